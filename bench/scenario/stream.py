"""Small packets of live connections from guest to guest, by the number of connections."""

import measure
import plot
import report
from device import DEVICES
from setup import Setup

NAME = "stream"
TITLE = "vhost-user to vhost-user, 64-byte packets, stateful policy"


def cases(bench):
    counts = bench.options.connections or ([1, 1000, 100000] if bench.quick else [1, 1000, 100000, 1000000])
    return [{"device": device, "connections": connections} for connections in counts for device in bench.devices(
        "sluice", "ovs", "testpmd")]


def measure_case(bench, case):
    return measure.rate(bench, case["device"], Setup(connections=2 * case["connections"]),
                        connections=case["connections"])


def table(entries):
    return report.rate_table(entries, {name: module.TITLE for name, module in DEVICES.items()}, "connections",
                             "connections")


def rows(entries):
    def entry(device, connections):
        return report.find(entries, device=device, connections=connections)

    def row(what, target, limit, one, base, name):
        ratio, how = report.advantage(one, base)
        if ratio is not None:
            yield report.Row(what, target, f"{report.median(one, 'packetsPerSecond') / 1e6:.2f} Mpps, {ratio:.2f} of "
                             f"{name}'s {report.median(base, 'packetsPerSecond') / 1e6:.2f}", ratio >= limit, how)

    found = [
        *row("vhost-user to vhost-user, 1 connection", "0.9 of testpmd io", 0.9, entry("sluice", 1),
             entry("testpmd", 1), "testpmd"),
        *row("vhost-user to vhost-user, 100 000 connections", "4.5 x OVS-DPDK", 4.5, entry("sluice", 100000),
             entry("ovs", 100000), "OVS"),
        *row("vhost-user to vhost-user, 1 000 000 connections", "6 x OVS-DPDK", 6, entry("sluice", 1000000),
             entry("ovs", 1000000), "OVS")]
    many, few = entry("sluice", 1000000), entry("sluice", 1000)
    found += row("1 000 000 connections, to 1 000", "0.85 of its own rate", 0.85, many, few, "its own")
    return found


def draw(entries, _samples, directory):
    for key, scale, name, label in (("packetsPerSecond", 1e6, "rate-by-connections", "million packets a second"),
                                    ("cyclesPerPacket", 1, "cycles-by-connections", "cycles a packet")):
        plot.lines(f"{directory}/{name}.png", "One core, 64-byte packets, both directions", "connections", label,
                   {(module.TITLE, device): plot.points(entries, "connections", key, scale, device=device)
                    for device, module in DEVICES.items()}, log_x=True)
