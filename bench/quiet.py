"""Tells whether a measurement had its CPUs for itself.

Other programs take time, which the scheduler accounts; other virtual machines on the same physical cores take speed,
which nothing accounts: on a shared host a CPU may run at less than half its speed for seconds. Whatever is slow for
such a reason says nothing about the program, so it is told apart here and left out of medians.
"""

import os
import re
import time

import machine

# Percent of a CPU that others may take, and the part of the best speed that a CPU must have.
TAKEN = 2
SPEED = 0.85


def probe(cpu, seconds=0.01):
    """The speed of a CPU, in loops a microsecond of its time; no matter who else waits for it."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        loops, value = 0, 1
        start = time.thread_time_ns()
        while True:
            for i in range(1000):
                value = (value * 5 + i) & 0xffff
            loops += 1000
            spent = time.thread_time_ns() - start
            if spent > seconds * 1e9:
                return loops * 1e3 / spent
    finally:
        os.sched_setaffinity(0, allowed)


class Speed:
    """The speed of some CPUs, as a part of the best that was seen of each."""

    def __init__(self, cpus, seconds=5):
        self.best = {cpu: 0.0 for cpu in cpus}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.now()

    def now(self):
        speeds = {cpu: probe(cpu) for cpu in self.best}
        for cpu, speed in speeds.items():
            self.best[cpu] = max(self.best[cpu], speed)
        return speeds

    def part(self, speeds):
        """The slowest of `speeds` (a list of what now() returned)."""
        return min(speed / self.best[cpu] for by_cpu in speeds for cpu, speed in by_cpu.items())


class Taken:
    """How much of a CPU others took since it was made, in percent.

    Of each process the busiest thread counts, which is the one that polls: how long it could run and did not.
    """

    def __init__(self, pids, cpus):
        self.pids = pids
        self.cpus = cpus
        self.before = self._read()

    def _read(self):
        threads = {}
        for pid in self.pids:
            for thread in os.listdir(f"/proc/{pid}/task"):
                # Nanoseconds on a CPU, nanoseconds waiting for one.
                words = machine.read_file(f"/proc/{pid}/task/{thread}/schedstat").split()
                if len(words) >= 2:
                    threads[pid, thread] = int(words[0]), int(words[1])
        stolen = {}
        for cpu in self.cpus:
            words = re.search(rf"^cpu{cpu} (.*)", machine.read_file("/proc/stat"), re.MULTILINE).group(1).split()
            stolen[cpu] = int(words[7]) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), threads, stolen

    def percent(self):
        (start, threads, stolen), (end, threads_now, stolen_now) = self.before, self._read()
        worst = max(stolen_now[cpu] - stolen[cpu] for cpu in self.cpus)
        for pid in self.pids:
            spent = [(now[0] - threads[key][0], now[1] - threads[key][1])
                     for key, now in threads_now.items() if key[0] == pid and key in threads]
            if spent:
                worst = max(worst, max(spent)[1] / 1e9)
        return 100 * worst / (end - start)
