#!/usr/bin/python3
"""Compares TCP in bulk between two kernel workloads through Sluice and through a Linux bridge. See README.md."""

import argparse
import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import machine
import program
import report
from children import Failure, Stage

BUILD = os.path.join(machine.ROOT, "build", "bench")
MTU = 1450
ADDRESS = ["10.1.0.11", "10.1.0.12"]
MAC = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
VTEP = ["192.0.2.1", "192.0.2.2"]
PREFIX = f"slb-{os.getpid()}-"
ENDS = ("client", "server")


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


class Namespaces:
    """Network namespaces that go with the measurement. A context manager."""

    def __init__(self, *names):
        self.names = names

    def __enter__(self):
        for name in self.names:
            run("ip", "netns", "add", PREFIX + name)
            self.ip(name, "link set lo up")
        return self

    def ip(self, name, *commands):
        for command in commands:
            run("ip", "-n", PREFIX + name, *command.split())

    @staticmethod
    def command(name, *command):
        """`command` in a namespace."""
        return ["nsenter", f"--net=/run/netns/{PREFIX}{name}", *command]

    def cable(self, name, interface, other, other_interface, mtu):
        self.ip(name, f"link add {interface} mtu {mtu} type veth peer name {other_interface} netns {PREFIX}{other} "
                f"mtu {mtu}", f"link set {interface} up")
        self.ip(other, f"link set {other_interface} up")

    def __exit__(self, kind, error, trace):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", PREFIX + name], capture_output=True, check=False)


def workload_cable(spaces, end, node):
    """A veth from a node to the workload's eth0."""
    spaces.cable(node, f"to-{ENDS[end]}", ENDS[end], "eth0", MTU)
    spaces.ip(ENDS[end], f"link set eth0 address {MAC[end]}")


def machine_cable(spaces, stage, end):
    """A tap of node a's, behind which a workload's kernel is."""
    child = stage.start(f"tap-{ENDS[end]}", spaces.command(
        "a", program.build("behind_tap", BUILD), f"to-{ENDS[end]}", f"/run/netns/{PREFIX}{ENDS[end]}", "eth0"))
    child.wait_for(lambda output: "ready" in output, 10, "ready")
    spaces.ip("a", f"link set to-{ENDS[end]} mtu {MTU} up")
    spaces.ip(ENDS[end], f"link set eth0 address {MAC[end]} mtu {MTU} up")


def addresses(spaces):
    for end in range(2):
        spaces.ip(ENDS[end], f"addr add {ADDRESS[end]}/24 dev eth0")


def underlay(spaces):
    spaces.cable("a", "up0", "b", "up0", 1500)


# What is compared. Each makes the way between the workloads.

def bridge(spaces, _stage):
    spaces.ip("a", "link add br0 type bridge", "link set br0 up")
    for end in range(2):
        workload_cable(spaces, end, "a")
        spaces.ip("a", f"link set to-{ENDS[end]} master br0")


def bridge_machines(spaces, stage):
    spaces.ip("a", "link add br0 type bridge", "link set br0 up")
    for end in range(2):
        machine_cable(spaces, stage, end)
        spaces.ip("a", f"link set to-{ENDS[end]} master br0")


def bridge_vxlan(spaces, _stage):
    underlay(spaces)
    for end, node in enumerate("ab"):
        workload_cable(spaces, end, node)
        spaces.ip(node, f"addr add {VTEP[end]}/24 dev up0", "link add br0 type bridge", "link set br0 up",
                  f"link add vx0 mtu {MTU} type vxlan id 5001 local {VTEP[end]} remote {VTEP[1 - end]} dstport 4789",
                  "link set vx0 up master br0", f"link set to-{ENDS[end]} master br0")


def objects(nodes, devices):
    """Two ports with anti-spoofing and stateful groups, as in the other benchmark."""
    made = [{"kind": "Network", "name": "blue", "vni": 5001, "mtu": MTU, "subnets": [{"cidr": "10.1.0.0/24"}]},
            {"kind": "SecurityGroup", "name": "client", "rules": [{"direction": "egress"}]},
            {"kind": "SecurityGroup", "name": "server", "rules": [
                {"direction": "ingress", "protocol": "tcp", "ports": "5201", "remote": {"group": "client"}}]}]
    for number, name in enumerate(nodes):
        made.append({"kind": "Node", "name": name})
        if len(nodes) > 1:
            made[-1] |= {"vtep": VTEP[number] + "/24", "uplink": {"netdev": "up0"}}
    for end in range(2):
        made.append({"kind": "Port", "name": ENDS[end], "node": nodes[end % len(nodes)], "network": "blue",
                     "mac": MAC[end], "addresses": [ADDRESS[end]], "securityGroups": [ENDS[end]],
                     "device": devices[end]})
    return made


def start_nodes(spaces, stage, nodes, made):
    """A sluiced on each, with these objects in force; what calls the API of the last one."""
    text = stage.path("objects.yaml")
    with open(text, "w") as file:
        file.write("\n---\n".join(map(json.dumps, made)))
    for name in nodes:
        api = "unix:" + stage.path(f"{name}.sock")
        daemon = stage.start(f"sluiced-{name}", spaces.command(
            name, os.path.join(machine.ROOT, "build", "sluiced"), "--node", name, "--api", api, "--state",
            stage.path(f"{name}.db")))
        daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")
        call = [os.path.join(machine.ROOT, "build", "sluice"), "--api", api]
        stage.run([*call, "apply", "-f", text])
    return call


def taps():
    return [{"tap": {"name": "eth0", "netns": PREFIX + end}} for end in ENDS]


def veths():
    return [{"netdev": {"name": f"to-{end}"}} for end in ENDS]


def sluice_veth(spaces, stage):
    for end in range(2):
        workload_cable(spaces, end, "a")
    start_nodes(spaces, stage, "a", objects("a", veths()))


def sluice_machines(spaces, stage):
    for end in range(2):
        machine_cable(spaces, stage, end)
    start_nodes(spaces, stage, "a", objects("a", veths()))


def sluice_tap(spaces, stage):
    start_nodes(spaces, stage, "a", objects("a", taps()))


def sluice_vxlan(spaces, stage):
    underlay(spaces)
    for end, node in enumerate("ab"):
        workload_cable(spaces, end, node)
    start_nodes(spaces, stage, "ab", objects("ab", veths()))


def sluice_vxlan_tap(spaces, stage):
    underlay(spaces)
    start_nodes(spaces, stage, "ab", objects("ab", taps()))


# "Behind taps" is a program that holds them as a virtual machine does (behind_tap.c).
# name: (title, group, how). Each group is compared in itself; its first is the base.
WAYS = {
    "bridge": ("Linux bridge, veth", "one node", bridge),
    "sluice-veth": ("Sluice, veth", "one node", sluice_veth),
    "sluice-tap": ("Sluice, taps of its own", "one node", sluice_tap),
    "bridge-machines": ("Linux bridge, taps", "one node, behind taps", bridge_machines),
    "sluice-machines": ("Sluice, taps", "one node, behind taps", sluice_machines),
    "bridge-vxlan": ("Linux bridge and VXLAN, veth", "two nodes", bridge_vxlan),
    "sluice-vxlan": ("Sluice, veth, VXLAN", "two nodes", sluice_vxlan),
    "sluice-vxlan-tap": ("Sluice, taps of its own, VXLAN", "two nodes", sluice_vxlan_tap),
}


def cpu_seconds():
    """Of all CPUs since the start: in use, and all."""
    with open("/proc/stat") as file:
        words = list(map(int, file.readline().split()[1:9]))
    return sum(words) - words[3] - words[4], sum(words)


def process_seconds(stage):
    """CPU time of the sluiced processes."""
    ticks = 0
    for child in stage.children:
        if child.name.startswith("sluiced"):
            with open(f"/proc/{child.process.pid}/stat") as file:
                ticks += sum(map(int, file.read().rpartition(") ")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(name, seconds, streams, logs):
    """Bits a second that arrive, and how busy the CPUs were."""
    with Namespaces("a", "b", *ENDS) as spaces, Stage(os.path.join(logs, name)) as stage:
        WAYS[name][2](spaces, stage)
        addresses(spaces)
        stage.start("iperf3", spaces.command("server", "iperf3", "--server", "--one-off"))
        # Bridges and neighbours learn, large windows are had from the start.
        time.sleep(1)
        before, spent = cpu_seconds(), process_seconds(stage)
        text = stage.run(spaces.command("client", "iperf3", "--client", ADDRESS[1], "--time", str(seconds), "--json",
                                        "--parallel", str(streams), "--connect-timeout", "10000"), seconds + 30)
        after, spent = cpu_seconds(), process_seconds(stage) - spent
        said = json.loads(text)
        end = said["end"]
        if "sum_received" not in end:
            raise Failure(f"iperf3: {said.get('error', 'no result')}")
        return {"bitsPerSecond": end["sum_received"]["bits_per_second"],
                "retransmits": end["sum_sent"]["retransmits"],
                "sluicedSecondsPerGB": spent / (end["sum_received"]["bytes"] / 1e9),
                "busyPercent": 100 * (after[0] - before[0]) / (after[1] - before[1])}


def table(results):
    rows = [("way", "Gb/s", "min - max", "of the bridge", "CPUs busy", "CPU s/GB", "retransmits")]
    for entry in results:
        rate = entry["bitsPerSecond"]
        rows.append((f"{entry['group']}: {entry['title']}", f"{rate['median'] / 1e9:.1f}",
                     f"{rate['min'] / 1e9:.1f} - {rate['max'] / 1e9:.1f}",
                     f"{100 * entry['ratioToBridge']:.0f} %" if entry["ratioToBridge"] else "-",
                     f"{entry['busyPercent']:.0f} %",
                     f"{entry['sluicedSecondsPerGB']:.2f}" if entry["sluicedSecondsPerGB"] else "-",
                     f"{entry['retransmits']:.0f}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width
                                                            in zip(row[1:], widths[1:])]) for row in rows)


def summarize(samples):
    entries, base = [], {}
    for name, (title, group, _how) in WAYS.items():
        found = [sample for sample in samples if sample["name"] == name]
        if not found:
            continue
        rates = [sample["bitsPerSecond"] for sample in found]
        rate = {"median": statistics.median(rates), "min": min(rates), "max": max(rates)}
        if name.startswith("bridge"):
            base[group] = rate["median"]
        entries.append({"name": name, "title": title, "group": group, "bitsPerSecond": rate,
                        "ratioToBridge": rate["median"] / base[group] if group in base else None,
                        "busyPercent": statistics.median(sample["busyPercent"] for sample in found),
                        "sluicedSecondsPerGB": statistics.median(sample["sluicedSecondsPerGB"] for sample in found),
                        "retransmits": statistics.median(sample["retransmits"] for sample in found)})
    return entries


def arguments():
    def names(text):
        values = text.split(",")
        for value in values:
            if value not in WAYS:
                raise argparse.ArgumentTypeError(f"{value}: not one of {', '.join(WAYS)}")
        return values

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times that each is measured (5)")
    parser.add_argument("--seconds", type=int, default=4, metavar="S", help="of each transfer (4)")
    parser.add_argument("--streams", type=int, default=1, metavar="N", help="TCP connections at a time (1)")
    parser.add_argument("--only", type=names, default=list(WAYS), metavar="NAME,...",
                        help="measure only these: " + ",".join(WAYS))
    parser.add_argument("--output", default=os.path.join(BUILD, "bulk.json"), metavar="FILE",
                        help="where the JSON goes (build/bench/bulk.json)")
    return parser.parse_args()


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, to make network namespaces")
    os.makedirs(BUILD, exist_ok=True)
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "machine": machine.describe(), "mtu": MTU, "streams": options.streams, "failures": [], "samples": []}
    for number in range(1, options.rounds + 1):
        for name in options.only:
            try:
                sample = measure(name, options.seconds, options.streams, os.path.join(BUILD, "logs"))
            except Failure as failure:
                result["failures"].append(f"round {number}: {name}: {failure}")
                print(f"bench: round {number}: {name}: {failure}", file=sys.stderr, flush=True)
                continue
            result["samples"].append({"name": name, "round": number, **sample})
            print(f"round {number}: {name}: {sample['bitsPerSecond'] / 1e9:.1f} Gb/s", file=sys.stderr, flush=True)
    result["results"] = summarize(result["samples"])
    report.write_json(options.output, result)
    print(table(result["results"]))
    for failure in result["failures"]:
        print("not measured: " + failure)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
