"""What a node without traffic costs, and how soon it is awake."""

import os
import signal
import time

import measure
import report
from device import DEVICES
from load import times
from setup import Setup

NAME = "idle"
TITLE = "idle, and awake again"
ROUNDS = 1
# Packets a second, so few that the device sleeps before each.
RATE = 200
# So that each interval has one of them.
INTERVAL_MS = 4


def cases(bench):
    return [{"device": device} for device in bench.devices("sluice", "ovs")]


def cpu_seconds(pid):
    """CPU time of all threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def measure_case(bench, case):
    with measure.running(bench, case["device"], Setup(connections=1000, spin=False), connections=1, rate=RATE,
                         latency=True, interval=INTERVAL_MS) as (stage, _device, source):
        source.wait_for(lambda line: min(port["received"] for port in line["ports"]) > 5, 60, "packets")
        watch = measure.Watch(bench, stage)
        start, seconds = source.now(), 1 if bench.quick else 10
        pid = stage.children[-2].process.pid
        before = cpu_seconds(pid)
        source.sleep(seconds)
        awake = 100 * (cpu_seconds(pid) - before) / seconds
        found = sorted(time / 1e3 for time in times(source.since(start), "max"))
        seen = watch.sample()
        # Guests that are there, and silent.
        source.child.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        before = cpu_seconds(pid)
        time.sleep(seconds)
        resting = 100 * (cpu_seconds(pid) - before) / seconds
        source.child.process.send_signal(signal.SIGCONT)
        return [{"cpuPercent": resting, "cpuPercentAwake": awake, "p50": found[len(found) // 2],
                 "p99": found[len(found) * 99 // 100], "longest": found[-1], **seen}]


def table(entries):
    found = [("device", "CPU at rest", f"CPU with {RATE} packets a second", "on the way, p50 µs", "p99 µs", "longest µs")]
    for entry in entries:
        found.append((DEVICES[entry["device"]].TITLE, f"{report.median(entry, 'cpuPercent'):.2f} %",
                      f"{report.median(entry, 'cpuPercentAwake'):.2f} %",
                      *(f"{report.median(entry, key):.0f}" for key in ("p50", "p99", "longest"))))
    return found


def rows(entries):
    entry = report.find(entries, device="sluice")
    if not entry:
        return []
    cpu, wake = report.median(entry, "cpuPercent"), report.median(entry, "p99")
    return [report.Row("idle, --idle sleep", "5 % of a core", f"{cpu:.2f} %", cpu < 5),
            report.time_row("idle, p99 from a guest to the other", "200 µs", f"{wake:.0f} µs", wake < 200,
                            f"{RATE} packets a second", entry)]
