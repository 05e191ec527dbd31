"""What a daemon holds: descriptors, memory of its own, packet buffers."""

import os
import pathlib

import daemons
from node import eventually

# What a process may have more of than in the beginning.
DESCRIPTORS, MEMORY, BUFFERS = 4, 12 << 20, 96


def buffers(node):
    return int(node.stats()["packetBuffers"]["inUse"])


def descriptors(pid):
    found = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry).split(":[")[0])
        except OSError:
            pass
    return found


def memory(pid):
    """Bytes of its own: not the connection table, nor the guests'."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


class Resources:
    """Of a node, held against its first process's when all was open. A process starts with less than one that has worked."""

    def __init__(self, node):
        self.node = node
        pid = daemons.process(node)
        self.descriptors, self.memory, self.buffers = len(descriptors(pid)), memory(pid), buffers(node)

    def __str__(self):
        pid = daemons.process(self.node)
        return f"{self.node.name}: {len(descriptors(pid))} descriptors, {memory(pid) >> 20} MiB, {buffers(self.node)} buffers"

    def grown(self):
        pid = daemons.process(self.node)
        problems = []
        try:
            eventually(lambda: len(descriptors(pid)) <= self.descriptors + DESCRIPTORS, 15)
        except AssertionError:
            now = descriptors(pid)
            problems.append(f"{self.node.name} has {len(now)} descriptors, first {self.descriptors}: {sorted(now)}")
        try:
            eventually(lambda: buffers(self.node) <= self.buffers + BUFFERS, 15)
        except AssertionError:
            problems.append(f"{self.node.name} has {buffers(self.node)} packet buffers in use, first {self.buffers}")
        if (now := memory(pid)) > self.memory + MEMORY:
            problems.append(f"{self.node.name} has {now >> 20} MiB of its own, first {self.memory >> 20}")
        return problems
