"""How long a packet is on its way, by load."""

import statistics

import measure
import plot
import report
from children import Failure
from device import DEVICES
from load import times
from setup import Setup

NAME = "latency"
TITLE = "one-way latency, 64-byte packets, 1000 connections"
ROUNDS = 2
CONNECTIONS = 1000
# Of Sluice's maximum, which testpmd gets as well; of its own for Open vSwitch. 0: find the maximum.
PERCENT = (10, 50, 90)
LIMIT = 1.2


def cases(bench):
    first = [{"device": device, "percent": 0} for device in bench.devices("sluice", "ovs")]
    return first + [{"device": device, "percent": percent} for percent in PERCENT
                    for device in bench.devices("testpmd", "sluice", "ovs")]


def measure_case(bench, case):
    device, wanted = case["device"], Setup(connections=2 * CONNECTIONS)
    if case["percent"] == 0:
        samples = measure.rate(bench, device, wanted, connections=CONNECTIONS)
        bench.found[device] = statistics.median(sample["packetsPerSecond"] for sample in samples)
        return samples
    most = bench.found.get("ovs" if device == "ovs" else "sluice")
    if not most:
        raise Failure("the maximum rate is not known")
    rate = round(most * case["percent"] / 100)
    with measure.running(bench, device, wanted, connections=CONNECTIONS, rate=rate, latency=True) as (stage, _d, source):
        source.warm_up(bench.warm_up)
        watch = measure.Watch(bench, stage)
        start = source.now()
        source.sleep(bench.seconds)
        lines = source.since(start)
        seen = watch.sample()
        if not times(lines, "p50"):
            raise Failure("no packets pass any more")
        # Of each interval of 20 ms, and of these the median: what disturbs one interval is left out.
        found = {key: statistics.median(times(lines, key)) / 1e3 for key in ("p50", "p99", "p999")}
        seconds = lines[-1]["seconds"] - lines[0]["seconds"]
        arrived = sum(b["received"] - a["received"] for a, b in zip(lines[0]["ports"], lines[-1]["ports"]))
        return [{"wanted": rate, "packetsPerSecond": arrived / seconds if seconds else None, **found,
                 "longest": max(times(lines, "max")) / 1e3, **seen}]


def table(entries):
    found = [("device", "load", "Mpps", "p50 µs", "min - max", "p99 µs", "min - max", "p99.9 µs")]
    for entry in entries:
        if entry["percent"]:
            found.append((
                DEVICES[entry["device"]].TITLE, f"{entry['percent']} %",
                f"{report.median(entry, 'packetsPerSecond') / 1e6:.2f}",
                f"{report.median(entry, 'p50'):.1f}", report.range_text(entry["p50"], 1, "{:.1f}"),
                f"{report.median(entry, 'p99'):.1f}", report.range_text(entry["p99"], 1, "{:.1f}"),
                f"{report.median(entry, 'p999'):.1f}"))
    return found


def rows(entries):
    found = []
    for percent in PERCENT:
        one = report.find(entries, device="sluice", percent=percent)
        base = report.find(entries, device="testpmd", percent=percent)
        if one and base:
            slow = [name for name, entry in (("Sluice", one), ("testpmd", base)) if
                    report.median(entry, "packetsPerSecond") < 0.97 * report.median(entry, "wanted")]
            note = f"{report.median(one, 'packetsPerSecond') / 1e6:.2f} Mpps through both"
            if slow:
                note += f"; through {' and '.join(slow)} less than {report.median(one, 'wanted') / 1e6:.2f} were wanted"
            worst = max(report.median(one, key) / report.median(base, key) for key in ("p50", "p99"))
            found.append(report.time_row(
                f"latency at {percent} % of the maximum, p50 and p99", "1.2 of testpmd io",
                f"{report.median(one, 'p50'):.1f} and {report.median(one, 'p99'):.1f} µs to "
                f"{report.median(base, 'p50'):.1f} and {report.median(base, 'p99'):.1f}: {worst:.2f}", worst <= LIMIT,
                note, one, base))
    return found


def draw(entries, _samples, directory):
    series = {}
    for device, module in DEVICES.items():
        for key in ("p50", "p99"):
            series[f"{module.TITLE}, {key}", device] = [
                (report.median(entry, "packetsPerSecond") / 1e6, *(entry[key][which] for which in
                                                                   ("median", "min", "max")))
                for entry in entries if entry["device"] == device and entry["percent"]]
    plot.lines(f"{directory}/latency-by-load.png", "One-way latency at 10, 50 and 90 % of the maximum rate",
               "million packets a second", "µs", series, log_y=True)
