"""The API is taken away or overrun: connections go on, and it comes back by itself."""

import contextlib
import resource
import socket

import pytest

from node import eventually, sluice


@pytest.fixture
def lab(one_lab):
    lab = one_lab()
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "blue", kernel=True)
    return lab.up()


def answers(node):
    return sluice("version", api=node.api).returncode == 0


def test_its_file_is_removed(lab):
    """It is made again; who is connected stays so."""
    node = lab.nodes["a"]
    with socket.socket(socket.AF_UNIX) as before:
        before.connect(str(node.api))
        node.api.unlink()
        assert lab["one"].ping(lab["two"])
        eventually(lambda: answers(node))
        assert node.api.stat().st_mode & 0o777 == 0o660
        before.settimeout(60)
        before.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        assert before.recv(100)
    node.stop()
    assert not node.api.exists()
    node.start()


def test_thousands_who_say_nothing(lab):
    """They can have nothing but the API, and that for as long as they are there."""
    node = lab.nodes["a"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with contextlib.ExitStack() as crowd:
            for _ in range(2000):
                client = crowd.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                # Where nobody accepts any more it would wait.
                with contextlib.suppress(BlockingIOError):
                    client.connect(str(node.api))
            assert lab["one"].ping(lab["two"]) and lab["one"].ping(lab["two"], "v6")
        eventually(lambda: answers(node))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
