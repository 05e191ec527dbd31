#!/usr/bin/python3
"""What servicing a node costs its connections: packets lost, and how long nothing arrives.

Node a has two cables to a switch, node b one. A stream of numbered datagrams goes from a workload on a to one on b, and
another one back, while the event happens. See README.md."""

import argparse
import datetime
import glob
import json
import os
import signal
import sys
import time

import machine
import report
from bulk import PREFIX, Namespaces
from children import Failure, Stage

BUILD = os.path.join(machine.ROOT, "build", "bench")
STREAM = os.path.join(machine.ROOT, "bench", "stream.py")
FILL = os.path.join(machine.ROOT, "bench", "fill.py")
ADDRESS = {"client": "10.1.0.11", "server": "10.1.0.12", "silent": "10.1.0.13"}
SILENT = "52:54:01:00:00:02"
INTERVAL_US = 250
MEMORY = "/dev/shm"
DEVICES = ("up0", "up1")


def objects():
    def node(name, number, uplink):
        return {"kind": "Node", "name": name, "vtep": f"192.0.2.{number}/24", "uplink": uplink}

    yield node("a", 1, {"devices": [{"netdev": device} for device in DEVICES]})
    yield node("b", 2, {"netdev": "up0"})
    yield {"kind": "Network", "name": "blue", "vni": 5001, "subnets": [{"cidr": "10.1.0.0/24"}]}
    for number, (name, where) in enumerate((("client", "a"), ("server", "b"), ("silent", "b"))):
        yield {"kind": "Port", "name": name, "node": where, "network": "blue", "mac": f"52:54:01:00:00:0{number}",
               "addresses": [ADDRESS[name]], "device": {"tap": {"name": "eth0", "netns": PREFIX + name}}}


class Flows:
    """The nodes' connection tables, which outlive them."""

    def __init__(self, stage):
        self.pattern = os.path.join(MEMORY, os.path.basename(stage.directory) + "-*")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for path in glob.glob(self.pattern):
            os.unlink(path)


class Service:
    def __init__(self, stage, spaces):
        self.stage, self.spaces = stage, spaces
        self.processes = {}  # of the nodes
        spaces.ip("wire", "link add br0 type bridge", "link set br0 up")
        for device in DEVICES:
            self.cable("a", device)
        self.cable("b", "up0")
        path = stage.path("objects.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n---\n".join(json.dumps(value) for value in objects()))
        self.starts = 0
        for name in "ab":
            self.daemon = self.start(name)
            self.call(name, "apply", "-f", path)
            self.processes[name] = self.daemon.process.pid
        self.switched = []  # milliseconds that upgrades took, as the daemon says
        self.receivers = [self.stream("client", "server"), self.stream("server", "client")]
        self.wait("up0")

    def start(self, name):
        self.starts += 1
        daemon = self.stage.start(f"sluiced-{name}-{self.starts}", self.spaces.command(
            name, self.program("sluiced"), "--node", name, "--api", self.api(name), "--state",
            self.stage.path(f"{name}.db"), "--connections", "524288", "--memory", "64",
            "--flows", os.path.join(MEMORY, f"{os.path.basename(self.stage.directory)}-{name}.flows")))
        daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")
        return daemon

    def fill(self, connections):
        """So many more connections, of which nothing more is heard: to who does not answer."""
        if not connections:
            return
        # A tap takes no more than it has room for; some end meanwhile.
        for _ in range(10):
            self.stage.run(self.spaces.command("client", sys.executable, FILL, ADDRESS["silent"], SILENT, str(connections)), 120)
            found = int(json.loads(self.call("a", "stats", "-o", "json"))["connections"]["current"])
            if found >= .95 * connections:
                return
        raise Failure(f"{found} connections of {connections}")

    @staticmethod
    def program(name):
        return os.path.join(machine.ROOT, "build", name)

    def api(self, name):
        return "unix:" + self.stage.path(f"{name}.sock")

    def call(self, name, *arguments):
        return self.stage.run([self.program("sluice"), "--api", self.api(name), *arguments], 60)

    def cable(self, name, device):
        self.spaces.cable(name, device, "wire", f"{name}-{device}", 1500)
        self.spaces.ip("wire", f"link set {name}-{device} master br0")

    def stream(self, sender, receiver):
        for name in (sender, receiver):
            self.spaces.ip(name, f"addr replace {ADDRESS[name]}/24 dev eth0", "link set eth0 up")
        child = self.stage.start(f"at-{receiver}", self.spaces.command(
            receiver, sys.executable, STREAM, "receive", "7000"))
        child.wait_for(lambda output: "ready" in output, 10, "ready")
        self.stage.start(f"from-{sender}", self.spaces.command(
            sender, sys.executable, STREAM, "send", ADDRESS[receiver], "7000", str(INTERVAL_US)))
        child.seen = 0
        return child

    def take(self):
        """What came since the last time, in both directions."""
        taken = []
        for child in self.receivers:
            child.write("")
            child.seen += 1
            lines = child.wait_for(lambda output, child=child: output.endswith("\n")
                                   and len(output.splitlines()) > child.seen and output.splitlines(), 10, "answer")
            taken.append(json.loads(lines[child.seen]))
        return {"lost": sum(one["lost"] for one in taken), "received": sum(one["received"] for one in taken),
                "gapMs": max(one["gapMs"] or 0 for one in taken)}

    def wait(self, device):
        """Until the device sends, and then a little for what is still on its way."""
        end = time.monotonic() + 30
        while device not in self.carrying():
            if time.monotonic() > end:
                raise Failure(f"{device} does not carry the uplink")
            time.sleep(0.02)
        time.sleep(0.5)

    def carrying(self):
        status = json.loads(self.call("a", "get", "node", "a", "-o", "json"))["status"]
        return [device["name"] for device in status["devices"] if device["state"] == "carries"]

    # The events.

    def nothing(self):
        time.sleep(1)

    def planned(self):
        self.call("a", "drain", "uplink", "up0")
        self.wait("up1")
        self.call("a", "undrain", "uplink", "up0")
        self.wait("up0")

    def removed(self):
        self.spaces.ip("a", "link del up0")
        self.wait("up1")

    def unplugged(self):
        self.spaces.ip("wire", "link set a-up0 down")
        self.wait("up1")

    def upgraded(self):
        answer = json.loads(self.call("a", "upgrade", "-o", "json"))
        self.processes["a"] = int(answer["pid"])
        self.switched.append(int(answer["gapMicroseconds"]) / 1000)
        time.sleep(0.5)

    def killed(self):
        """And started again at once, as a supervisor would."""
        os.kill(self.processes["a"], signal.SIGKILL)
        daemon = self.start("a")
        self.processes["a"] = daemon.process.pid
        self.wait("up0")

    def restore(self):
        if "up0" not in self.carrying():
            try:
                self.spaces.ip("wire", "link set a-up0 up")
            except Failure:
                self.cable("a", "up0")
            self.wait("up0")


EVENTS = (("nothing happens", "nothing", None, None), ("planned move to the other device, and back", "planned", 0, 1),
          ("device removed without warning", "removed", None, 10), ("its cable pulled", "unplugged", None, 10),
          ("live upgrade", "upgraded", 0, 20), ("SIGKILL, and started again", "killed", None, 500))


def measure(options, logs):
    result = {name: [] for _, name, _, _ in EVENTS}
    with Stage(logs) as stage, Flows(stage), Namespaces("a", "b", "wire", "client", "server", "silent") as spaces:
        service = Service(stage, spaces)
        for _ in range(options.rounds):
            for _, name, _, _ in EVENTS:
                service.fill(options.connections)
                service.take()
                getattr(service, name)()
                result[name].append(service.take())
                service.restore()
        result["switchedMs"] = service.switched
    return result


def table(result):
    rows = [("event", "lost", "longest gap (median, all)", "target")]
    for text, name, lost, gap in EVENTS:
        gaps = sorted(one["gapMs"] for one in result[name])
        target = "" if gap is None else (f"{lost} lost, " if lost is not None else "") + f"under {gap} ms"
        rows.append((text, " ".join(str(one["lost"]) for one in result[name]),
                     f"{gaps[len(gaps) // 2]:.2f} ms ({', '.join(f'{value:.2f}' for value in gaps)})", target))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]).rstrip()
                     for row in rows)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each event (5)")
    parser.add_argument("--connections", type=int, default=100000, metavar="N", help="beside the streams' own (100000)")
    parser.add_argument("--output", default=os.path.join(BUILD, "service.json"), metavar="FILE",
                        help="where the JSON goes (build/bench/service.json)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces")
    os.makedirs(BUILD, exist_ok=True)
    try:
        result = measure(options, os.path.join(BUILD, "logs", "service"))
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "machine": machine.describe(), "packetsPerSecond": round(2e6 / INTERVAL_US), **result}
    report.write_json(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
