"""Network namespaces of this run, and work inside them.

All names begin with slt-PID-, so that runs don't meet and a later run can clear away what a killed one left.
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

PREFIX = f"slt-{os.getpid()}-"
IN_MEMORY, ON_DISK = "/dev/shm", "/tmp"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def run(*command, **options):
    """Runs a program that must succeed; its standard output."""
    result = subprocess.run(command, capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}: {result.stderr or result.stdout}"
    return result.stdout


def _enter(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(name):
    """In the body this thread is in the namespace: sockets and programs that it makes there stay there."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(here)
    finally:
        os.close(here)


def ip(name, *commands):
    """Several commands of ip(8) in a namespace, in one process. Addresses that they add are in use when it returns."""
    run("ip", "-n", name, "-batch", "-", input="\n".join(commands) + "\n")
    for command in commands:
        if added := re.match(r"addr (?:add|replace) ([0-9a-f:]*:[0-9a-f:]*)/\d+ dev (\S+) nodad", command):
            _wait_for_address(name, *added.groups())


def _wait_for_address(name, address, interface):
    """The kernel takes an IPv6 address into use a while after it was added, if the interface is up."""
    end = time.monotonic() + 30
    while "UP" in run("ip", "-n", name, "-o", "link", "show", interface) and \
            not run("ip", "-n", name, "-6", "route", "show", "table", "local", address):
        assert time.monotonic() < end, f"{address} is not in use"
        time.sleep(0.005)


def make(label, silent=False):
    """A new namespace; with `silent` the kernel says nothing of itself on its interfaces."""
    name = f"{PREFIX}{next(_numbers)}-{label}"
    run("ip", "netns", "add", name)
    with inside(name):
        for value, keys in {"0": ["accept_dad", "accept_ra", "router_solicitations"],
                            "1": ["disable_ipv6"] if silent else []}.items():
            for key in keys:
                pathlib.Path(f"/proc/sys/net/ipv6/conf/default/{key}").write_text(value)
    ip(name, "link set lo up")
    return name


def remove(name):
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _base():
    """In memory, if there is room: a disk that others write to may take a minute for what has to be on it."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(IN_MEMORY).free > 1 << 30 and os.access(IN_MEMORY, os.W_OK | os.X_OK):
            return IN_MEMORY
    return ON_DISK


def directory():
    """A new directory for sockets and files; the path is short, for sockets."""
    return pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base()))


def _is_dead(name):
    match = re.match(r"slt-(\d+)-", name)
    if not match:
        return False
    try:
        stat = pathlib.Path(f"/proc/{match[1]}/stat").read_text(encoding="utf-8")
    except OSError:
        return True
    # Ended, and nobody has asked for its status yet.
    return stat.rpartition(") ")[2].startswith("Z")


def sweep():
    """Clears away what runs that no longer live have left."""
    for entry in pathlib.Path("/run/netns").glob("slt-*"):
        if not _is_dead(entry.name):
            continue
        for pid in run("ip", "netns", "pids", entry.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        remove(entry.name)
    for entry in [*pathlib.Path(ON_DISK).glob("slt-*"), *pathlib.Path(IN_MEMORY).glob("slt-*")]:
        if _is_dead(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
