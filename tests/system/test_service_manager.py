"""What a service manager is told (sd_notify): ready, alive, stopping."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

import netns
from node import BUILD, DEADLINE, Node, eventually


class Manager:
    """Its end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def next(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))


@pytest.fixture
def place():
    """A network namespace and a directory."""
    namespace, directory = netns.make("alone"), netns.directory()
    yield namespace, directory
    netns.remove(namespace)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def launch(place):
    """Starts a node that a service manager of this address has started."""
    namespace, directory = place
    started = []

    def start(address, **environment):
        with netns.inside(namespace):  # names without a file are a network namespace's own
            manager = Manager(address)
        settings = [f"{name}={value}" for name, value in environment.items()]
        node = Node("alone", namespace, directory, prefix=["env", f"NOTIFY_SOCKET={address}", *settings])
        node.launch()
        started.append(node)
        return node, manager

    yield start
    for node in started:
        node.stop()


@pytest.mark.parametrize("kind", ["path", "name"])
def test_ready_and_stopping(launch, tmp_path, kind):
    """Ready is said when the API answers, by a socket with or without a file."""
    node, manager = launch(f"{tmp_path}/notify" if kind == "path" else f"@sluice-test-{os.getpid()}")
    assert manager.next() == {"READY": "1", "STATUS": "node alone"}
    assert node.json("version")["node"] == "alone"
    node.process.send_signal(signal.SIGTERM)
    assert manager.next() == {"STOPPING": "1"}


def test_watchdog(launch, tmp_path):
    """The event loop says again and again that it turns; it says nothing while it stands still."""
    node, manager = launch(f"{tmp_path}/notify", WATCHDOG_USEC=200000)
    assert manager.next()["READY"] == "1"
    for _ in range(3):
        assert manager.next() == {"WATCHDOG": "1"}
    node.process.send_signal(signal.SIGSTOP)
    eventually(lambda: stopped(node.process.pid))
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:  # what was on its way
            manager.next()
    manager.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        manager.next()
    node.process.send_signal(signal.SIGCONT)
    manager.socket.settimeout(DEADLINE)
    assert manager.next() == {"WATCHDOG": "1"}


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def test_watchdog_of_another(launch, tmp_path):
    """A watchdog that was meant for another process is left alone: stopping is what is heard next."""
    node, manager = launch(f"{tmp_path}/notify", WATCHDOG_USEC=1000, WATCHDOG_PID=1)
    assert manager.next()["READY"] == "1"
    node.json("version")
    node.process.send_signal(signal.SIGTERM)
    assert manager.next() == {"STOPPING": "1"}


def test_asked_twice(place):
    """Further SIGTERMs while it ends do not cut that short."""
    node = Node("alone", *place)
    node.start()
    while node.process.poll() is None:
        node.process.send_signal(signal.SIGTERM)
        time.sleep(.0002)
    assert node.process.returncode == 0
    assert node.events("stopped")
    node.process = None


def test_nobody_listens(place):
    """A service manager that can't be told is a line in the log; the node serves all the same."""
    node = Node("alone", *place, prefix=["env", "NOTIFY_SOCKET=/nowhere/notify"])
    node.start()
    eventually(lambda: "/nowhere/notify" in node.text())
    assert node.json("version")["node"] == "alone"
    node.stop()


def test_named_after_its_host(place, tmp_path):
    """With a configuration that names no node, it is the host's name; --node goes before it."""
    config = tmp_path / "sluiced.yaml"
    config.write_text("memory: 32\n", encoding="utf-8")
    node = Node("alone", *place)
    host = ["unshare", "--uts", "sh", "-c", 'hostname host-7.example.org && exec "$@"', "sh"]
    command = [BUILD / "sluiced", "--config", config, "--api", f"unix:{node.api}", "--state", node.state,
               "--connections", "64"]
    with subprocess.Popen([*host, *command], stderr=subprocess.PIPE, text=True) as process:
        assert any(line == "ready\n" for line in process.stderr)
        assert node.json("version")["node"] == "host-7.example.org"
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
