"""The load: the program build/bench/load on one CPU, the two workloads at the ends of the device under test."""

import json
import time

import machine
import setup
from children import Failure


class Load:
    """The running load.

    lines: what it has told, a dictionary each interval, counters since its start (bench/README.md).
    """

    def __init__(self, stage, program, wanted, name="load", queue_size=1024, **options):
        """options: the program's, as connections=1000, mode="new"; True stands for one without a value."""
        command = [program, *machine.eal_options(f"0@{setup.LOAD_CPU}", "load", wanted.huge, 64), "--"]
        for path in wanted.sockets:
            command += ["--vhost-user", f"path={path},server=1,queue_size={queue_size}"]
        if wanted.tunnel:
            options["tunnel"] = (f"local={setup.VTEP[1]},remote={setup.VTEP[0]},local-mac={setup.UNDERLAY_MAC},"
                                 f"vni={setup.VNI}")
        options |= setup.LOAD.get(wanted.function, {})
        for option, value in options.items():
            if value is not None and value is not False:
                command += ["--" + option.replace("_", "-")] + ([] if value is True else [str(value)])
        self.stage = stage
        self.connections = options.get("connections", 1)
        self.lines = []
        self._place = 0
        self.child = stage.start(name, command)

    def read(self):
        """Takes what it has told since the last time into `lines`; the newest line, if there is one."""
        with open(self.child.log, "rb") as log:
            log.seek(self._place)
            text = log.read()
        whole = text[:text.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    raise Failure(f"load: not JSON: {line[:80]!r}") from None
        return self.lines[-1] if self.lines else None

    def since(self, seconds):
        """The lines that came after that time of its own clock."""
        self.read()
        return [line for line in self.lines if line["seconds"] > seconds]

    def now(self):
        """Seconds of its own clock."""
        line = self.read()
        return line["seconds"] if line else 0

    def sleep(self, seconds):
        """Lets it run, with nobody asking; then all processes have to be alive."""
        time.sleep(seconds)
        self.stage.check()
        self.check()

    def wait_for(self, found, seconds, what):
        """Waits until found(newest line) is true, and returns its value. The other processes have to live."""
        def look(_output):
            self.stage.check()
            line = self.read()
            return line and found(line)
        return self.child.wait_for(look, seconds, what)

    def warm_up(self, seconds, limit=60):
        """Returns when every connection has been seen a few times in both directions, at least `seconds` after
        the first packets."""
        def received(packets):
            return lambda line: min(port["received"] for port in line["ports"]) >= packets
        self.wait_for(received(1), limit, "packets through the device in both directions")
        time.sleep(seconds)
        self.wait_for(received(2 * self.connections), limit, "traffic on all connections")

    def end(self):
        """Ends it and returns its last line, with the quantiles of all that it received."""
        self.child.stop()
        self.stage.children.remove(self.child)
        line = self.read()
        if not line or not line.get("final"):
            self.child.check()
            raise Failure("load: no last line")
        return line

    def check(self):
        """Raises Failure if what arrives is not what was sent."""
        line = self.read()
        if line and sum(port["unexpected"] for port in line["ports"]) > 0:
            raise Failure("load: received packets that are not of the load")


def sent(line):
    return sum(port["sent"] for port in line["ports"])


def received(line):
    return sum(port["received"] for port in line["ports"])


def lost(line):
    return sum(port.get("lost", 0) for port in line["ports"])


def times(lines, key):
    """Of intervals with packets that had time stamps, a quantile (p50, p99, p999, max) in nanoseconds."""
    return [line["latency"][key] for line in lines if line.get("latency")]
