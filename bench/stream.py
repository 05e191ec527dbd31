"""Steady streams of numbered datagrams between two workloads (stream.c), and what became of them."""

import json
import os
import time

import machine
import program
import setup
from bulk import PREFIX

BUILD = os.path.join(machine.ROOT, "build", "bench")


def end(mac, address, name=None, interface="eth0"):
    """Of the streams: an interface in a network namespace; without a name the other end alone is the program's."""
    return ",".join([f"/run/netns/{PREFIX}{name}" if name else "-", interface, mac, address])


class Stream:
    """Between two ends, both ways, of so many connections in turn; the first end opens them."""

    def __init__(self, stage, ends, connections=1):
        command = ["taskset", "--cpu-list", str(setup.LOAD_CPU), program.build("stream", BUILD), str(connections), *ends]
        self.child = stage.start("stream", command, limit=1200)
        self.child.wait_for(lambda output: "ready" in output, 10, "ready")
        self.seen = 1

    def rate(self, datagrams):
        """So many a second from each end."""
        self.child.write(f"rate {round(datagrams)}")

    def take(self):
        """What became of those sent since the last time, by direction."""
        self.child.write("take")
        lines = self.child.wait_for(lambda output: output.endswith("\n") and len(output.splitlines()) > self.seen
                                    and output.splitlines(), 10, "answer")
        self.seen += 1
        return json.loads(lines[-1])

    def both(self):
        """The same, of both directions together."""
        ways = self.take()
        return {**{key: sum(way[key] for way in ways) for key in ("sent", "received", "lost")},
                **{key: max(way[key] for way in ways) for key in ("gapMs", "longestMs")}}

    def maximum(self, seconds=1.5):
        """How many arrive in a second, both ways together, when there are as many as there can be."""
        self.child.write("flood")
        time.sleep(0.5)
        self.take()
        time.sleep(seconds)
        ways = self.take()
        self.rate(0)
        time.sleep(0.3)
        self.take()
        return sum(way["received"] / way["seconds"] for way in ways)

    def stop(self):
        self.child.stop()
