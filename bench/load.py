"""The load: bench/load.c on CPU 0, the two workloads at the ends of the device under test."""

import time

import machine
import program
from children import Failure

CPU = 0
MAC = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
ADDRESS = ["10.1.0.11", "10.1.0.12"]
# The ports that are open at the second workload.
SERVER_PORTS = (5000, 5015)
CONNECTIONS_MAX = 64000 * 16


def build(directory):
    """Compiles the load; returns its path."""
    return program.build("load", directory, "libdpdk")


class Load:
    """The running load. Counters are those of the last line that it printed."""

    def __init__(self, stage, program, sockets, connections, huge):
        command = [program, *machine.eal_options(f"0@{CPU}", "load", huge, 64)]
        for i, path in enumerate(sockets):
            command += ["--vdev", f"net_virtio_user{i},path={path},server=1,queue_size=1024,mac={MAC[i]}"]
        self.stage = stage
        self.connections = connections
        self.child = stage.start("load", [*command, "--", str(connections)])

    def counters(self):
        """The newest line as (seconds, sent, received, unexpected), each of the last three by port."""
        for line in reversed(self.child.output().splitlines()[-4:]):
            words = line.split()
            if len(words) == 7 and words[0][0].isdigit() and line.endswith(words[-1]):
                numbers = [int(word) for word in words[1:]]
                return float(words[0]), numbers[0::3], numbers[1::3], numbers[2::3]
        return None

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
