"""A change of policy under load: are packets of connections that stay allowed lost?"""

import measure
import report
from children import Failure
from device import sluice
from load import lost, received, times
from setup import Setup

NAME = "change"
TITLE = "policy change at half load, 100 000 live connections"
ROUNDS = 1
CONNECTIONS = 100000
CHANGES = 10
# Deep rings: load and control thread share a CPU, and what the load can't take while the other one works
# is no fault of the policy.
QUEUE_SIZE = 4096
# Seconds for all connections to be judged anew, which their next packet does.
PATIENCE = 10


def cases(bench):
    return [{"device": device} for device in bench.devices("sluice")]


def _dropped(before, after):
    """By reason, what a device dropped between two looks."""
    return {reason: count - before.get(reason, 0) for reason, count in after.items() if count > before.get(reason, 0)}


def measure_case(bench, _case):
    wanted = Setup(connections=2 * CONNECTIONS, rules=10)
    fastest = measure.rate(bench, "sluice", wanted, 0.5, connections=CONNECTIONS)
    most = report.spread([sample["packetsPerSecond"] for sample in fastest])["median"]
    with measure.running(bench, "sluice", wanted, connections=CONNECTIONS, rate=round(most / 2), latency=True,
                         queue_size=QUEUE_SIZE) as (_stage, device, source):
        source.warm_up(1)
        samples = []
        for number in range(3 if bench.quick else CHANGES):
            # The same time without a change, then with one.
            first = source.read()
            source.sleep(0.5)
            middle = source.read()
            before, judged = device.drops(), device.judged()
            group = sluice.server_group(10)
            group["rules"] += sluice.other_rules(1, 100 + number)
            device.apply("group.json", [group])
            source.sleep(0.5)
            # Both directions of each connection.
            for _second in range(PATIENCE):
                if device.judged() >= judged + 2 * CONNECTIONS:
                    break
                source.sleep(1)
            last = source.read()
            during = [line for line in source.lines if middle["seconds"] < line["seconds"] <= last["seconds"]]
            rates = [(line["seconds"], received(line)) for line in [middle, *during]]
            samples.append({
                "judged": device.judged() - judged, "wanted": most / 2,
                "packetsPerSecond": (received(middle) - received(first)) / (middle["seconds"] - first["seconds"]),
                "lostBefore": lost(middle) - lost(first), "lost": lost(last) - lost(middle),
                "received": received(last) - received(middle),
                "longestMs": max(times(during, "max"), default=0) / 1e6,
                "slowest": min((b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(rates, rates[1:])),
                "drops": _dropped(before, device.drops())})
            # Of them those that the load did not take.
            samples[-1]["queueFull"] = min(samples[-1]["lost"], samples[-1]["drops"].get("queue-full", 0))
        if device.connections() < CONNECTIONS:
            raise Failure(f"{device.connections()} of {CONNECTIONS} connections are left")
        judged = min(sample["judged"] for sample in samples)
        if judged < 2 * CONNECTIONS:
            raise Failure(f"of {2 * CONNECTIONS} directions {judged} were judged anew")
        for sample in samples:
            sample["lostInAll"] = sum(sample["lost"] for sample in samples)
            sample["queueFullInAll"] = sum(sample["queueFull"] for sample in samples)
        return samples


def table(entries):
    found = [("", "median", "min - max")]
    for key, title, scale, pattern in (
            ("packetsPerSecond", "load, Mpps", 1e6, "{:.2f}"),
            ("judged", "judged anew, directions of connections", 1, "{:.0f}"),
            ("lostBefore", "lost in half a second without a change", 1, "{:.0f}"),
            ("lost", "lost in half a second with a change", 1, "{:.0f}"),
            ("longestMs", "longest on the way, ms", 1, "{:.2f}"),
            ("slowest", "rate of the slowest 20 ms, Mpps", 1e6, "{:.2f}")):
        for entry in entries:
            found.append((title, pattern.format(report.median(entry, key) / scale),
                          report.range_text(entry[key], scale, pattern)))
    return found


def rows(entries):
    entry = report.find(entries, device="sluice")
    if not entry:
        return []
    count, full = (round(report.median(entry, key)) for key in ("lostInAll", "queueFullInAll"))
    wanted = report.median(entry, "wanted")
    row = report.Row("policy change under load, 100 000 connections", "no packet lost",
                     f"{count} lost in {entry['samples']} changes at {report.median(entry, 'packetsPerSecond') / 1e6:.2f} "
                     f"Mpps, longest {entry['longestMs']['max']:.2f} ms", count == 0,
                     f"each time all {2 * CONNECTIONS} directions were judged anew")
    if count and count == full:
        row.met = None
        row.note += ("; what was lost found the load's ring full: it shares its CPU with the control thread (up to "
                     f"{entry['lostBefore']['max']:.0f} in half a second without a change)")
    if row.met and report.median(entry, "packetsPerSecond") < 0.9 * wanted:
        row.met = None
        row.note += f"; the load did not reach the {wanted / 1e6:.2f} Mpps of half load"
    return [row]
