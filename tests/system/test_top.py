"""`sluice top`: as text, and on a terminal of any size, which is a pseudoterminal whose output a small screen reads."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from node import BUILD, eventually
from packets import UDP, fresh_port

ESCAPE = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\([A-Z0-9]|[=>78])")


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.network("blue", 1)
    lab.group("closed", {"direction": "egress"})
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue")
    lab.workload("shut", "a", "blue", securityGroups=["closed"])
    lab.up()
    left, right, shut = lab["left"], lab["right"], lab["shut"]
    lab.passes(left, left.frame(right, UDP(sport=fresh_port(), dport=9)), right)
    lab.dropped(left, left.frame(shut, UDP(sport=fresh_port(), dport=9)), "security-group-ingress", at="shut")
    return lab


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


def ports(text):
    """Names in the order of the table."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("PORT"))
    return [line.split()[0] for line in lines[start + 1:] if line.strip()]


def test_batch(node):
    text = node.ok("top", "-b", "-n", "1")
    assert re.search(r"^sluice top - up 0:\d\d:\d\d, \d+ MiB resident$", text, re.M)
    assert re.search(r"^Connections: \d+ of 4096 \(0 offloaded\), opened .*/s, ended .*/s$", text, re.M)
    assert re.search(r"^Worker 0 on CPU \d+: +[0-9.]+ % busy, ", text, re.M)
    assert re.search(r"^Drops/s:.*security-group-ingress", text, re.M)
    assert set(ports(text)) == {"left", "right", "shut"}


def test_batch_several_times(node):
    text = node.ok("top", "-b", "-n", "2", "-d", "0.1")
    assert text.count("sluice top - up") == 2


def test_orders(node):
    by_name = ports(node.ok("top", "-b", "-n", "1", "--sort", "name"))
    assert by_name == sorted(by_name)
    assert ports(node.ok("top", "-b", "-n", "1", "--sort", "name", "-r")) == by_name[::-1]
    assert ports(node.ok("top", "-b", "-n", "1", "--sort", "drops"))[0] == "shut"


@pytest.mark.parametrize("words, status", [(["--sort", "x"], 2), (["-d", "0"], 2), (["-d", "nan"], 2), (["-n", "1"], 2),
                                           (["-b", "-n", "0"], 2), (["x"], 2), ([], 1)])
def test_what_cannot_be(node, words, status):
    result = node.run("top", *words)
    assert (result.returncode, result.stdout) == (status, "")
    assert len(result.stderr.splitlines()) == 1


class Terminal:
    """`sluice top` in a window of so many lines and columns."""

    def __init__(self, node, lines, columns, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Until it is told, the window has no size.
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8")
            for name in ("LINES", "COLUMNS"):
                os.environ.pop(name, None)
            os.execv(BUILD / "sluice", ["sluice", "--api", f"unix:{node.api}", "top", "-d", "0.2", *words])
        self.output = b""

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self.output += data
        return self.output

    def text(self):
        return ESCAPE.sub(b"\n", self.read()).decode(errors="replace")

    def shows(self, text):
        eventually(lambda: text in self.text(), what=f"never shown: {text}\n{self.text()}")

    def resize(self, lines, columns):
        self.output = b""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def press(self, key):
        self.output = b""
        os.write(self.fd, key)

    def status(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
            select.select([], [], [], 0.01)
        raise AssertionError("it does not end")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def test_screen(node):
    with Terminal(node, 24, 80) as terminal:
        terminal.shows("Connections:")
        terminal.shows("left")
        terminal.shows("q quit")
        terminal.press(b"d")
        terminal.shows("drops")
        terminal.press(b"q")
        assert terminal.status() == 0
        # The screen is left, and the cursor seen again.
        assert b"\x1b[?1049l" in terminal.output


def test_control_c_ends_it(node):
    with Terminal(node, 24, 80) as terminal:
        terminal.shows("Connections:")
        terminal.press(b"\x03")
        assert terminal.status() == 0


@pytest.mark.parametrize("lines, columns", [(50, 200), (24, 80), (5, 20), (2, 3), (1, 1)])
def test_windows_of_all_sizes(node, lines, columns):
    """It goes on through a change, and shows everything again afterwards."""
    with Terminal(node, 24, 80) as terminal:
        terminal.shows("Connections:")
        terminal.resize(lines, columns)
        eventually(terminal.read)
        terminal.resize(30, 100)
        terminal.shows("Connections:")
        terminal.shows("(by bits)")
        terminal.press(b"q")
        assert terminal.status() == 0


def test_the_daemon_goes_and_comes_back(one_lab):
    lab = one_lab()
    node = lab.nodes["a"]
    with Terminal(node, 24, 80) as terminal:
        terminal.shows("Connections:")
        terminal.output = b""
        node.stop()
        terminal.shows("sluiced")
        terminal.output = b""
        node.start()
        terminal.shows("q quit")
        terminal.press(b"q")
        assert terminal.status() == 0
