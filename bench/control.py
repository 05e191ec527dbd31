#!/usr/bin/python3
"""How long changes of a large configuration take, whether forwarding feels them, and what control costs at rest.

See README.md."""

import argparse
import datetime
import json
import os
import signal
import statistics
import sys
import time

import fleet
import machine
import report
import stream
from bulk import PREFIX, Namespaces
from children import Failure, Stage

BUILD = os.path.join(machine.ROOT, "build", "bench")
ADDRESS = ["10.200.0.11", "10.200.0.12"]
MAC = ["52:54:01:00:00:00", "52:54:01:00:00:01"]
# Datagrams a second, each way.
RATE = 2000


def workloads():
    """Two ports of their own, between which a stream runs."""
    network = {"kind": "Network", "name": "stream", "vni": 9, "subnets": [{"cidr": "10.200.0.0/24"}]}
    return [network] + [
        {"kind": "Port", "name": name, "node": "node-0", "network": "stream", "mac": MAC[end],
         "addresses": [ADDRESS[end]], "device": {"tap": {"name": "eth0", "netns": PREFIX + name}}}
        for end, name in enumerate(("client", "server"))]


class Node:
    """One node of the fleet, with an uplink and two workloads of its own."""

    def __init__(self, stage, spaces):
        self.stage, self.spaces = stage, spaces
        spaces.cable("node", "up0", "wire", "up1", 1500)
        self.api = "unix:" + stage.path("api.sock")
        self.daemon = stage.start("sluiced", spaces.command(
            "node", self._program("sluiced"), "--node", "node-0", "--api", self.api, "--state",
            stage.path("state.db"), "--connections", "65536", "--memory", "64"))
        self.daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")
        self.pid = self.daemon.process.pid

    @staticmethod
    def _program(name):
        return os.path.join(machine.ROOT, "build", name)

    def call(self, *arguments):
        """Milliseconds from the command's start to its end."""
        start = time.monotonic()
        self.stage.run([self._program("sluice"), "--api", self.api, *arguments], 60)
        return (time.monotonic() - start) * 1e3

    def apply(self, name, objects):
        path = self.stage.path(name)
        fleet.write(path, objects)
        return self.call("apply", "-f", path)

    def memory(self):
        return machine.own_memory(self.pid) / (1 << 20)

    def control_seconds(self):
        """CPU time of the control thread."""
        with open(f"/proc/{self.pid}/task/{self.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9


def streams(stage, spaces):
    for name in ("client", "server"):
        spaces.ip(name, "link set eth0 up")
    made = stream.Stream(stage, [stream.end(MAC[end], ADDRESS[end], name) for end, name in enumerate(("client", "server"))])
    made.rate(RATE)
    time.sleep(1)
    made.both()
    return made


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(options, logs):
    result = {}
    with Stage(logs) as stage, Namespaces("node", "wire", "client", "server") as spaces:
        node = Node(stage, spaces)
        node.apply("few.yaml", [fleet.node(0), *workloads()])
        time.sleep(2)
        result["memoryEmptyMiB"] = node.memory()
        between = streams(stage, spaces)
        time.sleep(2)
        result["streamQuiet"] = between.both()

        everything = fleet.objects()
        result["applyAllMs"] = node.apply("all.yaml", everything)
        result["streamApplyAll"] = between.both()
        result["applyAgainMs"] = node.call("apply", "-f", stage.path("all.yaml"))
        node_ports = [number for number in range(fleet.PORTS) if number // 7 % fleet.NODES]
        times = {"changePort": [], "deletePort": [], "addPort": [], "changeGroup": []}
        between.both()
        for number in range(options.changes):
            port = node_ports[number * 37 % len(node_ports)]
            times["changePort"].append(node.apply("port.yaml", [fleet.port(port, 200 + number % 20)]))
            times["deletePort"].append(node.call("delete", "port", f"port-{port}"))
            times["addPort"].append(node.apply("port.yaml", [fleet.port(port)]))
            times["changeGroup"].append(node.apply("group.yaml", [fleet.group(port % fleet.GROUPS, 8000 + number)]))
        result["streamChanges"] = between.both()
        result.update({key + "Ms": summary(values) for key, values in times.items()})
        between.stop()

        time.sleep(2)
        before = node.control_seconds()
        time.sleep(options.rest)
        result["restCpuPercent"] = 100 * (node.control_seconds() - before) / options.rest
        result["memoryAllMiB"] = node.memory()
    return result


def table(result):
    def times(key):
        value = result[key + "Ms"]
        return f"{value['median']:.1f} ms ({value['min']:.1f} - {value['max']:.1f})"

    def way(key):
        value = result[key]
        return f"longest {value['longestMs']:.2f} ms on the way, {value['lost']} of {value['sent']} lost"

    rows = [
        (f"apply {fleet.PORTS} ports, {fleet.NETWORKS} networks, {fleet.GROUPS} groups", f"{result['applyAllMs']:.0f} ms"),
        ("the same again, nothing changes", f"{result['applyAgainMs']:.0f} ms"),
        ("change one port", times("changePort")), ("delete one port", times("deletePort")),
        ("create one port", times("addPort")), ("change one group's rules", times("changeGroup")),
        ("stream, no changes", way("streamQuiet")), ("stream, during the large apply", way("streamApplyAll")),
        ("stream, during the small changes", way("streamChanges")),
        ("own memory, three ports", f"{result['memoryEmptyMiB']:.1f} MiB"),
        ("own memory, all of it", f"{result['memoryAllMiB']:.1f} MiB"),
        ("control thread at rest", f"{result['restCpuPercent']:.3f} % of a core")]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0].ljust(width)}  {row[1]}" for row in rows)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=20, metavar="N", help="small changes of each sort (20)")
    parser.add_argument("--rest", type=float, default=60, metavar="S", help="seconds at rest (60: one audit)")
    parser.add_argument("--output", default=os.path.join(BUILD, "control.json"), metavar="FILE",
                        help="where the JSON goes (build/bench/control.json)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces")
    os.makedirs(BUILD, exist_ok=True)
    try:
        result = measure(options, os.path.join(BUILD, "logs", "control"))
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "machine": machine.describe(), **result}
    report.write_json(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
