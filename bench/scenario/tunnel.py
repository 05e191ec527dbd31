"""The same through a VXLAN tunnel: from a guest to an underlay and back."""

import measure
import plot
import report
from device import DEVICES
from setup import Setup

NAME = "tunnel"
TITLE = "vhost-user to uplink, VXLAN, 64-byte packets, stateful policy"
CONNECTIONS = 100000


def cases(bench):
    counts = [CONNECTIONS] if bench.quick else [1, CONNECTIONS, 1000000]
    return [{"device": device, "connections": connections} for connections in counts
            for device in bench.devices("sluice", "ovs")]


def measure_case(bench, case):
    return measure.rate(bench, case["device"], Setup(connections=2 * case["connections"], tunnel=True),
                        connections=case["connections"])


def table(entries):
    return report.rate_table(entries, {name: module.TITLE for name, module in DEVICES.items()}, "connections",
                             "connections")


def rows(entries):
    one = report.find(entries, device="sluice", connections=CONNECTIONS)
    base = report.find(entries, device="ovs", connections=CONNECTIONS)
    ratio, how = report.advantage(one, base)
    if ratio is None:
        return []
    return [report.Row(f"policy and VXLAN, {report.number(CONNECTIONS)} connections", "5 x OVS-DPDK",
                       f"{report.median(one, 'packetsPerSecond') / 1e6:.2f} Mpps, {ratio:.2f} of OVS's "
                       f"{report.median(base, 'packetsPerSecond') / 1e6:.2f}", ratio >= 5, how)]


def draw(entries, _samples, directory):
    plot.lines(f"{directory}/tunnel-rate-by-connections.png", "One core, 64-byte packets, guest to VXLAN and back",
               "connections", "million packets a second",
               {(DEVICES[device].TITLE, device): plot.points(entries, "connections", "packetsPerSecond", 1e6,
                                                             device=device) for device in ("sluice", "ovs")},
               log_x=True)
