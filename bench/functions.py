"""What network functions cost beside security groups alone: a later packet, and a new connection. For scenarios.

Of each function (Setup.function) later packets are measured with and without limits and a mark, and with Open vSwitch.
"""

import measure
import report
from device import DEVICES
from setup import Setup

CONNECTIONS = 1000
IDLE = 2
COST, RATE = 1.15, 500000


def cases(bench, function):
    later = [{"device": "sluice", "has": "groups"}, {"device": "sluice", "has": function},
             {"device": "sluice", "has": f"{function}, limits, mark"}, {"device": "ovs", "has": function}]
    new = [{"device": device, "has": function} for device in ("sluice", "ovs")]
    wanted = bench.devices("sluice", "ovs")
    return [{**case, "packets": packets} for packets, list_ in (("later", later), ("first", new)) for case in list_
            if case["device"] in wanted]


def measure_case(bench, case, function):
    wanted = Setup(connections=2 * CONNECTIONS, function=function if case["has"] != "groups" else None,
                   limits=case["has"].endswith("mark"))
    if case["packets"] == "later":
        return measure.rate(bench, case["device"], wanted, connections=CONNECTIONS)
    wanted.connections, wanted.idle_seconds = 1 << 23, IDLE
    with measure.running(bench, case["device"], wanted, mode="new") as (stage, device, source):
        source.wait_for(lambda line: line["answered"] > 0, 30, "answers")
        source.sleep(1 if bench.quick else IDLE + 2)
        samples = measure.slices(bench, stage, device, source, bench.seconds)
        for sample in samples:
            sample["cyclesPerConnection"] = (sample["device"]["busyCycles"] / sample["seconds"]
                                             / max(1, sample["answeredPerSecond"]))
        return samples


def table(entries):
    found = [("device", "beside security groups", "Mpps", "cycles/packet", "to groups alone", "new connections, M/s",
              "cycles a connection", "loss")]
    base = report.find(entries, device="sluice", has="groups", packets="later")
    for entry in entries:
        if entry["packets"] == "first":
            continue
        first = report.find(entries, device=entry["device"], has=entry["has"], packets="first")
        cycles = report.median(entry, "cyclesPerPacket")
        found.append((
            DEVICES[entry["device"]].TITLE, "-" if entry["has"] == "groups" else entry["has"],
            f"{'~' if entry['disturbed'] else ''}{report.median(entry, 'packetsPerSecond') / 1e6:.2f}", f"{cycles:.0f}",
            report.cell(base and cycles / report.median(base, "cyclesPerPacket"), "{:.2f}"),
            report.cell(first and report.median(first, "answeredPerSecond") / 1e6, "{:.2f}"),
            report.cell(first and report.median(first, "cyclesPerConnection"), "{:.0f}"),
            f"{report.median(entry, 'lossPercent'):.2f} %"))
    return found


def rows(entries, function, what):
    """`what`: of a packet."""
    found = []
    base = report.find(entries, device="sluice", has="groups", packets="later")
    every = report.find(entries, device="sluice", has=f"{function}, limits, mark", packets="later")
    other = report.find(entries, device="ovs", has=function, packets="later")
    if base and every:
        low, high = (report.median(entry, "cyclesPerPacket") for entry in (base, every))
        figure = f"{high:.0f} to {low:.0f} cycles: {high / low:.2f}"
        if other:
            figure += f"; OVS without limits and mark {report.median(other, 'cyclesPerPacket'):.0f}"
        found.append(report.Row(f"{what}, limited and marked, a later packet", f"{COST} of security groups alone", figure,
                                high / low <= COST, report.noted("", base, every)))
    one = report.find(entries, device="sluice", packets="first")
    other = report.find(entries, device="ovs", packets="first")
    if one:
        rate = report.median(one, "answeredPerSecond")
        figure = f"{rate / 1e6:.2f} million a second"
        if other:
            figure += f", {rate / report.median(other, 'answeredPerSecond'):.2f} of OVS's " \
                      f"{report.median(other, 'answeredPerSecond') / 1e6:.2f}"
        found.append(report.Row(f"{what}, new connections", f"{RATE:,} a second".replace(",", " "), figure, rate >= RATE,
                                report.noted("", one)))
    return found
