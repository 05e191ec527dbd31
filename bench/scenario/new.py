"""New connections: each packet of the client opens one, each is answered once, while a million others live."""

import measure
import plot
import report
from device import DEVICES
from load import received
from setup import Setup

NAME = "new"
TITLE = "new UDP connections, while a million live"
ROUNDS = 2
# The connection table alone takes 3.5 GiB.
HUGE_PAGES = 3072
TABLE = 1 << 24
# Connections that live on, the packets a second that keep them, and the seconds that the others are remembered.
HOLD = 1000000
KEEP = 500000
IDLE = 4
SECONDS = 10


def cases(bench):
    return [{"device": device} for device in bench.devices("sluice", "ovs")]


def measure_case(bench, case):
    hold = HOLD // 10 if bench.quick else HOLD
    seconds = 1 if bench.quick else SECONDS
    with measure.running(bench, case["device"], Setup(connections=TABLE, idle_seconds=IDLE), mode="new", hold=hold,
                         keep=KEEP * hold // HOLD) as (stage, device, source):
        source.wait_for(lambda line: received(line) > 2 * hold, 60, "connections that are held")
        start = source.now()
        # Until the first ones are forgotten, they only become more.
        source.sleep(1 if bench.quick else IDLE + 2)
        samples = measure.slices(bench, stage, device, source, seconds, patience=1)
        live = device.connections()
        if live < hold:
            raise measure.Failure(f"{live} of {hold} connections are alive")
        for sample in samples:
            sample["live"] = live
            spent = sample["device"]["busyCycles"] / sample["seconds"]
            # With the answer, and what keeps the others.
            sample["cyclesPerConnection"] = spent / max(1, sample["answeredPerSecond"])
        samples[0]["timeline"] = timeline(source.since(start - 1))
        return samples


def timeline(lines, step=0.2):
    """(second, answered a second) since the first line."""
    found, last = [], None
    for line in lines:
        if last is None:
            last = first = line
        elif line["seconds"] - last["seconds"] >= step:
            rate = (line["answered"] - last["answered"]) / (line["seconds"] - last["seconds"])
            found.append((round(line["seconds"] - first["seconds"], 3), rate))
            last = line
    return found


def table(entries):
    found = [("device", "connections a second", "min - max", "x OVS", "cycles a connection", "busy", "live", "loss")]
    base = report.find(entries, device="ovs")
    for entry in entries:
        rate = report.median(entry, "answeredPerSecond")
        found.append((
            DEVICES[entry["device"]].TITLE, f"{'~' if entry['disturbed'] else ''}{rate / 1e6:.2f} M",
            report.range_text(entry["answeredPerSecond"], 1e6, "{:.2f}"),
            report.cell(base and rate / report.median(base, "answeredPerSecond"), "{:.2f}"),
            f"{report.median(entry, 'cyclesPerConnection'):.0f}", f"{report.median(entry, 'busyPercent'):.0f} %",
            report.number(round(report.median(entry, "live"))), f"{report.median(entry, 'lossPercent'):.2f} %"))
    return found


def rows(entries):
    one, base = report.find(entries, device="sluice"), report.find(entries, device="ovs")
    if not one or not base:
        return []
    rate, other = report.median(one, "answeredPerSecond"), report.median(base, "answeredPerSecond")
    ratio, how = rate / other, ""
    if report.median(one, "busyPercent") < report.BUSY_PERCENT:
        ratio = report.median(base, "cyclesPerConnection") / report.median(one, "cyclesPerConnection")
        how = f"by cycles, the load was the limit ({rate / other:.2f} by rates)"
    live = report.number(round(report.median(one, "live")))
    return [report.Row("new connections, sustained", "2.5 x OVS-DPDK", f"{rate / 1e6:.2f} million a second, "
                       f"{ratio:.2f} of OVS's {other / 1e6:.2f}; {live} live", ratio >= 2.5, how)]


def draw(_entries, samples, directory):
    series = {}
    for sample in samples:
        key = (DEVICES[sample["case"]["device"]].TITLE, sample["case"]["device"])
        if "timeline" in sample and key not in series:
            series[key] = [(second, rate / 1e6) for second, rate in sample["timeline"]]
    plot.lines(f"{directory}/new-connections.png", "New UDP connections, while a million live", "seconds",
               "million connections a second", series)
