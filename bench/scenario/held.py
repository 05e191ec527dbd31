"""As many connections as the table has room for: memory, and whether filling and ageing hold up other packets."""

import dataclasses

import report
import setup
from children import Failure, Stage
from device import sluice
from load import Load, lost, times

NAME = "held"
TITLE = "16 million connections held"
ROUNDS = 1
HUGE_PAGES = 3072
TABLE = 1 << 24
CONNECTIONS = 16000000
RATE = 1200000
# Seconds without a packet after which connections end: first they have to stay, then to go, all at once.
IDLE = (300, 5)
# The others: connections that live on, and their packets a second while the table is filled, and while it empties.
STREAM = 1000
STREAM_RATES = (100000, 500000)
PAUSE_MS = 1.0
# Seconds in which that happens: ageing comes by each within 16.
AGEING = 22


def cases(bench):
    return [{"device": device, "fill": CONNECTIONS // (20 if bench.quick else 1)}
            for device in bench.devices("sluice")]


def _longest(lines):
    """Of the packets of these lines, the longest time on the way (ms), and how many intervals had one over 1 ms."""
    found = [time / 1e6 for time in times(lines, "max")]
    return max(found, default=0.0), sum(time > PAUSE_MS for time in found), len(found)


def _phase(result, name, lines):
    result[name + "LongestMs"], result[name + "Over"], result[name + "Intervals"] = _longest(lines)
    if lines:
        result[name + "Lost"] = lost(lines[-1]) - lost(lines[0])


def measure_case(bench, case):
    wanted = case["fill"]
    with Stage(bench.logs("sluice")) as stage:
        ready = setup.Setup(sockets=[stage.path("v0"), stage.path("v1")], connections=TABLE, idle_seconds=IDLE[0],
                            huge=bench.huge)
        device = sluice.Device(stage, ready)
        bench.versions["sluice"] = device.version()
        empty = device.table_bytes()
        result = {}

        source = Load(stage, bench.load, ready, name="load-fill", mode="new", rate=RATE, hold=STREAM,
                      keep=STREAM_RATES[0], latency=True)
        source.wait_for(lambda line: line["answered"] > 2 * STREAM, 60, "answers")
        start = source.now()
        source.sleep(0.98 * wanted / RATE)
        source.wait_for(lambda line: line["answered"] >= wanted, 120, "all connections")
        _phase(result, "fill", source.since(start))
        result["fillSeconds"] = source.now() - start
        result["connections"] = device.connections()
        result["tableBytes"] = device.table_bytes()
        result["bytesPerConnection"] = result["tableBytes"] / max(1, result["connections"])
        result["tableEmptyBytes"] = empty
        source.end()

        # Nothing keeps them, and soon nothing lets them stay; others go on.
        source = Load(stage, bench.load, ready, name="load-age", connections=STREAM, rate=STREAM_RATES[1],
                      latency=True)
        source.warm_up(0.5)
        device.apply("network.json", [sluice.network(dataclasses.replace(ready, idle_seconds=IDLE[1]))])
        start = source.now()
        source.sleep(AGEING)
        _phase(result, "age", source.since(start))
        # Asking disturbs.
        while (left := device.connections()) > STREAM + wanted // 100:
            if source.now() > start + 4 * AGEING:
                raise Failure(f"{left} connections are left {source.now() - start:.0f} s later")
            source.sleep(1)
        result["leftAfterAgeing"] = left
        source.sleep(0.5)
        start = source.now()
        source.sleep(1 if bench.quick else 5)
        _phase(result, "calm", source.since(start))
        source.check()
        if result["connections"] < wanted:
            raise Failure(f"holds {result['connections']} of {wanted} connections")
        return [result]


def table(entries):
    entry = entries[0]
    found = [("phase", "longest on the way", "intervals of 20 ms with more than 1 ms", "lost")]
    for name, title in (("fill", "filling"), ("age", "ageing"), ("calm", "neither")):
        found.append((title, f"{report.median(entry, name + 'LongestMs'):.2f} ms",
                      f"{report.median(entry, name + 'Over'):.0f} of {report.median(entry, name + 'Intervals'):.0f}",
                      f"{report.median(entry, name + 'Lost'):.0f}"))
    return found


def rows(entries):
    entry = report.find(entries, device="sluice")
    if not entry:
        return []
    size = report.median(entry, "tableBytes")
    count = round(report.median(entry, "connections"))
    fill, age, calm = (report.median(entry, name + "LongestMs") for name in ("fill", "age", "calm"))
    pause = report.Row("filling and ageing, longest pause of others", "1 ms",
                       f"{fill:.2f} ms filling, {age:.2f} ms ageing", max(fill, age) <= PAUSE_MS,
                       f"{calm:.2f} ms with neither, on the same CPUs")
    if not pause.met and calm > PAUSE_MS:
        pause.met = None
        pause.note += ": this machine pauses by itself"
    return [report.Row("connections held", "16 million in 4 GiB",
                       f"{report.number(count)} in {size / (1 << 30):.2f} GiB, "
                       f"{report.median(entry, 'bytesPerConnection'):.0f} bytes each",
                       (size <= 4 << 30) if count >= CONNECTIONS else None), pause]
