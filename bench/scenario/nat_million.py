"""A million connections of one workload through one external address, to ten thousand destinations, and all are answered."""

import machine
import report
import setup
from children import Failure, Stage
from device import sluice
from load import Load

NAME = "nat-million"
TITLE = "a million connections of one workload through one external address"
ROUNDS = 1
CONNECTIONS = 1000000
DESTINATIONS = 10000
# Packets a second, both ways together: far below what is possible, so that what is lost is not for want of time.
RATE = 1000000
SECONDS = 60


def cases(bench):
    return [{"device": device, "wanted": CONNECTIONS // (10 if bench.quick else 1)} for device in bench.devices("sluice")]


def measure_case(bench, case):
    wanted = case["wanted"]
    # Of those that are not answered within the time, the result tells how many.
    with Stage(bench.logs("sluice")) as stage:
        ready = setup.Setup(sockets=[stage.path("v0"), stage.path("v1")], connections=2 * wanted, function="nat",
                            one_address=True, huge=bench.huge)
        device = sluice.Device(stage, ready)
        bench.versions["sluice"] = device.version()
        table, own = device.table_bytes(), machine.own_memory(device.pid)
        source = Load(stage, bench.load, ready, connections=wanted, servers=DESTINATIONS, check=True, rate=RATE,
                      opening=SECONDS)
        opened = source.wait_for(lambda line: line["phase"] == "steady" and line, 2 * SECONDS, "connections")
        try:
            source.wait_for(lambda line: line["answered"] >= wanted, SECONDS, "answers to all")
        except Failure:
            source.check()
        answered, pool = source.read()["answered"], device.pool()
        source.check()
        return [{"opened": opened["opened"], "openingSeconds": opened["seconds"], "answered": answered,
                 "live": device.connections(), "refused": int(pool.get("refused", 0)), "addresses": pool["addresses"],
                 "tableBytes": device.table_bytes() - table, "ownBytes": machine.own_memory(device.pid) - own}]


def table(entries):
    entry = entries[0]
    return [("what", "found")] + [(what, text) for what, text in (
        ("connections", report.number(entry["wanted"])), ("destinations", report.number(DESTINATIONS)),
        ("external addresses", f"{report.median(entry, 'addresses'):.0f}"),
        ("seen at their destination", report.number(round(report.median(entry, "opened")))),
        ("refused by the pool", report.number(round(report.median(entry, "refused")))),
        ("answered, and the answer came", report.number(round(report.median(entry, "answered")))),
        ("until all were open", f"{report.median(entry, 'openingSeconds'):.1f} s"),
        ("memory of the connection table", f"{report.median(entry, 'tableBytes') / (1 << 20):.0f} MiB"),
        ("other memory", f"{report.median(entry, 'ownBytes') / (1 << 20):.1f} MiB"))]


def rows(entries):
    entry = report.find(entries, device="sluice")
    if not entry:
        return []
    opened, answered, live = (round(report.median(entry, key)) for key in ("opened", "answered", "live"))
    memory = (report.median(entry, "tableBytes") + report.median(entry, "ownBytes")) / (1 << 20)
    return [report.Row("connections of a workload through one address", "a million, all answered",
                       f"{report.number(opened)} opened in {report.median(entry, 'openingSeconds'):.1f} s, "
                       f"{report.number(answered)} answered; {memory:.0f} MiB",
                       (min(opened, answered, live) >= entry["wanted"]) if entry["wanted"] >= CONNECTIONS else None)]
