"""A pseudo-terminal with a program in it: what a user at a keyboard sees and types."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from node import DEADLINE


class Terminal:
    def __init__(self, command, columns=80, env=None, cwd=None):
        self.fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "HOME": "/nonexistent", **(env or {})}
        self.process = subprocess.Popen([str(word) for word in command], stdin=inner, stdout=inner, stderr=inner,
                                        env=environment, cwd=cwd, start_new_session=True)
        os.close(inner)
        self.text = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self):
        """What has come; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], 0.05)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def until(self, condition):
        """Reads until the condition holds; its value."""
        end = time.monotonic() + DEADLINE
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, self.text
            self.read()

    def wait(self):
        """All that the program has printed, when it has ended."""
        end = time.monotonic() + DEADLINE
        while self.read():
            assert time.monotonic() < end, self.text
        self.status = self.process.wait(DEADLINE)
        return self.text.replace("\r\n", "\n")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)


def on_terminal(command, **options):
    """Runs a program on a terminal; what it printed."""
    terminal = Terminal(command, **options)
    try:
        return terminal.wait()
    finally:
        terminal.close()
