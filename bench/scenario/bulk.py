"""TCP in bulk between kernel workloads, beside Linux' bridge; ../bulk.py does it."""

import os

import bulk
import report

NAME = "bulk"
TITLE = "TCP in bulk between kernel workloads"
SECONDS = 3


def cases(bench):
    return [{"way": way} for way in bulk.WAYS if way.startswith("bridge") or "sluice" in bench.options.devices]


def measure_case(bench, case):
    before = os.sched_getaffinity(0)
    # Nothing is pinned here.
    os.sched_setaffinity(0, range(os.cpu_count()))
    try:
        return [bulk.measure(case["way"], 1 if bench.quick else SECONDS, 1, os.path.join(bench.build, "logs"))]
    finally:
        os.sched_setaffinity(0, before)


def _base(entries, way):
    group = bulk.WAYS[way][1]
    return report.find(entries, way=next(name for name in bulk.WAYS if bulk.WAYS[name][1] == group))


def table(entries):
    found = [("way", "Gb/s", "min - max", "of the bridge", "CPUs busy", "CPU s/GB", "retransmits")]
    for entry in entries:
        title, group, _how = bulk.WAYS[entry["way"]]
        rate = report.median(entry, "bitsPerSecond")
        base = report.median(_base(entries, entry["way"]), "bitsPerSecond")
        found.append((f"{group}: {title}", f"{rate / 1e9:.1f}", report.range_text(entry["bitsPerSecond"], 1e9, "{:.1f}"),
                      report.cell(base and 100 * rate / base, "{:.0f} %"), f"{report.median(entry, 'busyPercent'):.0f} %",
                      f"{report.median(entry, 'sluicedSecondsPerGB'):.2f}", f"{report.median(entry, 'retransmits'):.0f}"))
    return found


def rows(entries):
    found = []
    for way, what in (("sluice-veth", "one node, veth"), ("sluice-machines", "one node, taps of virtual machines"),
                      ("sluice-vxlan", "two nodes, VXLAN")):
        one, base = report.find(entries, way=way), _base(entries, way)
        if one and base:
            rate, other = report.median(one, "bitsPerSecond"), report.median(base, "bitsPerSecond")
            found.append(report.Row(f"bulk TCP, {what}", "as a Linux bridge", f"{rate / 1e9:.1f} Gb/s, "
                                    f"{rate / other:.2f} of the bridge's {other / 1e9:.1f}", rate >= other))
    return found
