"""What many rules cost: a later packet, and a first one."""

import measure
import plot
import report
from setup import Setup

NAME = "rules"
TITLE = "security groups of many rules"
CONNECTIONS = 1000
IDLE = 2


def cases(bench):
    counts = [10, 10000] if bench.quick else [10, 1000, 100000]
    return [{"device": device, "rules": rules, "packets": packets} for rules in counts for packets in ("later", "first")
            for device in bench.devices("sluice")]


def measure_case(bench, case):
    if case["packets"] == "later":
        return measure.rate(bench, case["device"], Setup(connections=2 * CONNECTIONS, rules=case["rules"]),
                            connections=CONNECTIONS)
    with measure.running(bench, case["device"], Setup(connections=1 << 23, rules=case["rules"], idle_seconds=IDLE),
                         mode="new") as (stage, device, source):
        source.wait_for(lambda line: line["answered"] > 0, 30, "answers")
        source.sleep(bench.warm_up)
        samples = measure.slices(bench, stage, device, source, bench.seconds)
        for sample in samples:
            sample["cyclesPerConnection"] = (sample["device"]["busyCycles"] / sample["seconds"]
                                             / max(1, sample["answeredPerSecond"]))
        return samples


def _first(entries, rules):
    """Cycles of a first packet: those of a connection, without its answer, which is a later packet."""
    first = report.median(report.find(entries, rules=rules, packets="first"), "cyclesPerConnection")
    later = report.median(report.find(entries, rules=rules, packets="later"), "cyclesPerPacket")
    return first - later if first and later else None


def _counts(entries):
    return sorted({entry["rules"] for entry in entries})


def table(entries):
    found = [("rules", "later packets, Mpps", "cycles/packet", "new connections, M/s", "cycles/first packet")]
    for rules in _counts(entries):
        later = report.find(entries, rules=rules, packets="later")
        first = report.find(entries, rules=rules, packets="first")
        found.append((report.number(rules), report.cell(later and report.median(later, "packetsPerSecond") / 1e6, "{:.2f}"),
                      report.cell(report.median(later, "cyclesPerPacket"), "{:.0f}"),
                      report.cell(first and report.median(first, "answeredPerSecond") / 1e6, "{:.2f}"),
                      report.cell(_first(entries, rules), "{:.0f}")))
    return found


def rows(entries):
    note, counts = report.noted("", *entries), _counts(entries)
    few, many = counts[0], counts[-1]
    found = []
    low, high = (report.median(report.find(entries, rules=rules, packets="later"), "cyclesPerPacket")
                 for rules in (few, many))
    if low and high and few < many:
        found.append(report.Row(f"{report.number(many)} rules, a later packet", "within 5 % of 10 rules",
                                f"{high:.0f} to {low:.0f} cycles: {100 * (high / low - 1):+.1f} %", high / low <= 1.05,
                                note))
    low, high = _first(entries, few), _first(entries, many)
    if low and high and few < many:
        found.append(report.Row(f"{report.number(many)} rules, a first packet", "2 x 10 rules",
                                f"{high:.0f} to {low:.0f} cycles: {high / low:.2f}", high / low <= 2, note))
    return found


def draw(entries, _samples, directory):
    plot.lines(f"{directory}/rate-by-rules.png", "Security groups of many rules", "rules", "million a second", {
        ("packets of live connections", "sluice"): plot.points(entries, "rules", "packetsPerSecond", 1e6, packets="later"),
        ("new connections", "sluice"): plot.points(entries, "rules", "answeredPerSecond", 1e6, packets="first"),
    }, log_x=True)
    plot.lines(f"{directory}/cycles-by-rules.png", "Security groups of many rules", "rules", "cycles", {
        ("a later packet", "sluice"): plot.points(entries, "rules", "cyclesPerPacket", packets="later"),
        ("a first packet", "sluice"): [(rules, _first(entries, rules)) for rules in _counts(entries)
                                       if _first(entries, rules)]}, log_x=True)
