"""The load: build/bench/load (bench/load/) on CPU 0, the two workloads at the ends of the device under test."""

import json
import os
import subprocess
import time

import machine
from children import Failure

CPU = 0
MAC = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
ADDRESS = ["10.1.0.11", "10.1.0.12"]
CLIENT_PORTS = 64000
CONNECTIONS_MAX = 16 << 20
# The ports that are open at the second workload: room for the most connections.
SERVER_PORTS = (5000, 5000 + (CONNECTIONS_MAX - 1) // CLIENT_PORTS)


def build(directory):
    """Compiles the load; returns its path."""
    build_directory = os.path.dirname(directory)
    done = subprocess.run(["ninja", "-C", build_directory, "bench/load"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"bench/load could not be built: {(done.stdout or done.stderr).strip().splitlines()[-1]}")
    return os.path.join(directory, "load")


class Load:
    """The running load. `options` are further ones of its own: ["--mode", "new"]."""

    def __init__(self, stage, program, sockets, connections, huge, options=()):
        command = [program, *machine.eal_options(f"0@{CPU}", "load", huge, 64), "--"]
        for path in sockets:
            command += ["--vhost-user", f"path={path},server=1,queue_size=1024"]
        self.stage = stage
        self.connections = connections
        self.child = stage.start("load", [*command, "--connections", str(connections), *options])

    def last(self):
        """The newest line that it printed, as a dictionary, or None."""
        for line in reversed(self.child.output().splitlines()):
            if line.startswith("{"):
                try:
                    return json.loads(line)
                except ValueError:
                    pass  # not all of it is there yet
        return None

    def counters(self):
        """The newest line as (seconds, sent, received, unexpected), each of the last three by port; None before."""
        line = self.last()
        if line is None:
            return None
        return (line["seconds"], *([port[key] for port in line["ports"]] for key in ("sent", "received", "unexpected")))

    def warm_up(self, seconds, limit=30):
        """Returns when every connection has been seen a few times in both directions, at least `seconds` after
        the first packets."""
        def received(packets):
            self.stage.check()
            now = self.counters()
            return now and min(now[2]) >= packets
        self.child.wait_for(lambda _output: received(1), limit, "packets through the device in both directions")
        time.sleep(seconds)
        self.child.wait_for(lambda _output: received(3 * self.connections), limit, "traffic on all connections")

    def check(self):
        """Raises Failure if what arrives is not what was sent."""
        if sum(self.counters()[3]) > 0:
            raise Failure("load: received packets that are not of the load")
