"""Two workers beside each other: cycles a packet of the pipeline alone, since no CPU is left for a load."""

import os
import re

import machine
import report
from children import Failure, Stage

NAME = "workers"
TITLE = "two workers, pipeline without devices, 100 000 connections"
CONNECTIONS = 100000
PROGRAM = os.path.join(machine.ROOT, "build", "bench", "pipeline")
# How the program is told, by what it is.
WAYS = {"one": ["--workers", "1"], "two": ["--workers", "2"], "two, directions apart": ["--workers", "2", "--apart"],
        "one, VXLAN": ["--workers", "1", "--vxlan"]}


def cases(_bench):
    return [{"workers": way} for way in WAYS]


def measure_case(bench, case):
    if not os.path.exists(PROGRAM):
        raise Failure(f"{os.path.relpath(PROGRAM, machine.ROOT)}: not built")
    with Stage(bench.logs("pipeline")) as stage:
        # With all CPUs, which a Stage gives to what it starts.
        child = stage.start("pipeline", [PROGRAM, "--connections", str(CONNECTIONS), "--seconds",
                                         "0.3" if bench.quick else "1", *WAYS[case["workers"]]])
        text = child.wait_end(120)
    found = re.findall(r"^(?:udp|tcp)\d(?: vxlan)? +\d+ +([\d.]+) +\(([\d.]+)\)(.*)$", text, re.MULTILINE)
    if not found:
        raise Failure("pipeline: no figures")
    samples = []
    for least, median, rest in found:
        sample = {"cyclesPerPacket": float(least), "medianCyclesPerPacket": float(median)}
        for stage_name, value in re.findall(r"(receive\+parse|look up|apply|send) ([\d.]+)", rest):
            sample[stage_name] = float(value)
        samples.append(sample)
    return samples


def table(entries):
    stages = ("receive+parse", "look up", "apply", "send")
    found = [("workers", "cycles/packet", "min - max", *stages)]
    for entry in entries:
        found.append((entry["workers"], f"{report.median(entry, 'cyclesPerPacket'):.0f}",
                      report.range_text(entry["cyclesPerPacket"], 1, "{:.0f}"),
                      *(report.cell(report.median(entry, stage), "{:.0f}") for stage in stages)))
    return found


def rows(entries):
    one, two = report.find(entries, workers="one"), report.find(entries, workers="two")
    if not one or not two:
        return []
    alone, beside = report.median(one, "cyclesPerPacket"), report.median(two, "cyclesPerPacket")
    return [report.Row("two workers, cycles a packet", "1.1 of one", f"{beside:.0f} to {alone:.0f}: "
                       f"{beside / alone:.2f}", beside / alone <= 1.1, "the pipeline without devices")]
