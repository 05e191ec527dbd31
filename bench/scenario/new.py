"""New connections: each packet of the client opens one, each is answered once, while a million others live."""

import measure
import plot
import report
from device import DEVICES
from setup import ADDRESS, CLIENTS, Setup

NAME = "new"
TITLE = "new UDP connections, while a million live"
ROUNDS = 2
# The connection table alone takes 3.5 GiB.
HUGE_PAGES = 3072
TABLE = 1 << 24
# Connections that live on, the packets a second, not answered, that keep them where they would be forgotten, and the seconds
# that connections are remembered. Open vSwitch has its own, longer times, so that nothing need keep them: what a device
# spends on that it has not for new connections, and the slower it is, the more of its time that is.
HOLD = 1000000
KEEP = {"sluice": 350000, "ovs": 0}
IDLE = 4
# Open vSwitch has been seen to open 0.75 million a second. Where it does less than so many, its ratio says little, and
# the rate that the target stands for is asked for, too.
DOUBTFUL, RATE = 400000, 2000000
SECONDS = 10
# With one client's address decisions are recalled; with so many each is made.
MANY_CLIENTS = 65536


def cases(bench):
    devices = bench.devices("sluice", "ovs")
    return [{"device": device} for device in devices] + [
        {"device": device, "clients": MANY_CLIENTS} for device in devices if device == "sluice"]


def measure_case(bench, case):
    hold = HOLD // 10 if bench.quick else HOLD
    seconds = 1 if bench.quick else SECONDS
    clients = {"clients": case["clients"], "address": f"{CLIENTS},{ADDRESS[1]}"} if "clients" in case else {}
    wanted = Setup(connections=TABLE, idle_seconds=IDLE, many_clients=bool(clients))
    with measure.running(bench, case["device"], wanted, mode="new", hold=hold,
                         keep=KEEP[case["device"]] * hold // HOLD, **clients) as (stage, device, source):
        source.wait_for(lambda line: line["answered"] > 0, 60, "connections beside those that are held")
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


def title(case):
    many = f", from {report.number(case['clients'])} addresses" if case.get("clients") else ""
    return DEVICES[case["device"]].TITLE + many


def table(entries):
    found = [("device", "connections a second", "min - max", "x OVS", "cycles a connection", "busy", "live", "loss")]
    base = report.find(entries, device="ovs")
    for entry in entries:
        rate = report.median(entry, "answeredPerSecond")
        found.append((
            title(entry), f"{'~' if entry['disturbed'] else ''}{rate / 1e6:.2f} M",
            report.range_text(entry["answeredPerSecond"], 1e6, "{:.2f}"),
            report.cell(base and rate / report.median(base, "answeredPerSecond"), "{:.2f}"),
            f"{report.median(entry, 'cyclesPerConnection'):.0f}", f"{report.median(entry, 'busyPercent'):.0f} %",
            report.number(round(report.median(entry, "live"))), f"{report.median(entry, 'lossPercent'):.2f} %"))
    return found


def rows(entries):
    one, base = report.find(entries, device="sluice", clients=None), report.find(entries, device="ovs")
    if not one or not base:
        return []
    rate, other = report.median(one, "answeredPerSecond"), report.median(base, "answeredPerSecond")
    ratio, how = rate / other, ""
    if report.median(one, "busyPercent") < report.BUSY_PERCENT:
        ratio = report.median(base, "cyclesPerConnection") / report.median(one, "cyclesPerConnection")
        how = f"by cycles, the load was the limit ({rate / other:.2f} by rates)"
    live = report.number(round(report.median(one, "live")))
    met = ratio >= 2.5
    if other < DOUBTFUL:
        met = met and rate >= RATE
        doubt = f"Open vSwitch can do more: {RATE / 1e6:.0f} million a second are asked for, too"
        how = f"{how}; {doubt}" if how else doubt
    return [report.Row("new connections, sustained", "2.5 x OVS-DPDK", f"{rate / 1e6:.2f} million a second, "
                       f"{ratio:.2f} of OVS's {other / 1e6:.2f}; {live} live", met,
                       report.noted(how, one, base))]


def draw(_entries, samples, directory):
    series = {}
    for sample in samples:
        key = (title(sample["case"]), sample["case"]["device"])
        if "timeline" in sample and key not in series:
            series[key] = [(second, rate / 1e6) for second, rate in sample["timeline"]]
    plot.lines(f"{directory}/new-connections.png", "New UDP connections, while a million live", "seconds",
               "million connections a second", series)
