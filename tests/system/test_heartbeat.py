"""A worker that hangs: the process ends, so that another one goes on."""

import ctypes
import os
import pathlib
import signal

import pytest

from node import eventually

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16
WALL = 0x40000000


@pytest.fixture
def lab(one_lab):
    lab = one_lab()
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "blue", kernel=True)
    return lab.up()


def stop_worker(process):
    """Stops this one thread, as a debugger would."""
    tasks = pathlib.Path(f"/proc/{process.pid}/task")
    [worker] = [int(task.name) for task in tasks.iterdir() if (task / "comm").read_text() == "sluice-worker\n"]
    assert libc.ptrace(PTRACE_ATTACH, worker, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(worker, WALL)
    return worker


def test_worker_that_hangs(lab):
    """It is noticed within some seconds; the next process has the connections."""
    node = lab.nodes["a"]
    client, accepted = lab["one"].connection(lab["two"], 80)
    worker = stop_worker(node.process)
    eventually(lambda: os.waitpid(worker, WALL | os.WNOHANG)[0])
    assert node.process.wait(60) == -signal.SIGABRT
    node.process = None
    [said] = node.events("a worker stands still; ending, so that a new process goes on")
    assert said["worker"] == "0"
    node.start()
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.close()
    accepted.close()
