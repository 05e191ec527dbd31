"""The ceiling: dpdk-testpmd passing packets from one vhost-user port to the other without looking at them."""

import re

import machine
import setup

NAME = "testpmd"
TITLE = "dpdk-testpmd io (no policy)"


class Device:
    """The forwarder. counters() counts since reset()."""

    def __init__(self, stage, wanted):
        # The control thread belongs to the load's CPU; it only waits.
        options = machine.eal_options(f"0@{setup.LOAD_CPU},1@{wanted.cpu}", "ceiling", wanted.huge, 256)
        for i, path in enumerate(wanted.sockets):
            options += ["--vdev", f"net_vhost{i},iface={path},client=1"]
        # Its output would otherwise stay in a buffer of its own until it ends.
        self.child = stage.start("testpmd", [
            "stdbuf", "-oL", "dpdk-testpmd", *options, "--", "-i", "--forward-mode=io", "--total-num-mbufs=16384"])
        self.child.wait_for(lambda output: "testpmd>" in output, 30, "prompt")
        self.child.write("set record-core-cycles on")
        self.child.write("start")
        self.child.wait_for(lambda output: "io packet forwarding" in output, 10, "forwarding")

    def reset(self):
        self.child.write("clear fwd stats all")

    def counters(self):
        """Packets, and the cycles that went into polls which found some."""
        before = len(self.child.output())
        self.child.write("show fwd stats all")
        found = self.child.wait_for(
            lambda output: re.search(r"total cycles=(\d+) / total \w+ packets=(\d+)", output[before:]), 30,
            "statistics")
        return {"packets": int(found.group(2)), "busyCycles": int(found.group(1))}

    def connections(self):
        """It has none."""
        return None

    def version(self):
        return machine.package_version("dpdk-dev")
