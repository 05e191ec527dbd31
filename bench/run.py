#!/usr/bin/python3
"""Compares Sluice's forwarding rate on one core with Open vSwitch's and with plain forwarding. See README.md."""

import argparse
import datetime
import os
import signal
import statistics
import sys

import ceiling
import load
import machine
import ovs
import quiet
import report
import sluice
from children import Failure
from measure import DEVICE_CPU, is_quiet, measure

DEVICES = {module.NAME: module for module in (sluice, ovs, ceiling)}
BUILD = os.path.join(machine.ROOT, "build", "bench")
# Open vSwitch takes 390 pages of buffers, the load 40, Sluice its own beside its flow table.
HUGE_PAGES = 1024


def arguments():
    def numbers(text):
        values = [int(word.replace("_", "")) for word in text.split(",")]
        if min(values) < 1 or max(values) > load.CONNECTIONS_MAX:
            raise argparse.ArgumentTypeError(f"{text}: not numbers from 1 to {load.CONNECTIONS_MAX}")
        return values

    def names(text):
        values = text.split(",")
        for value in values:
            if value not in DEVICES:
                raise argparse.ArgumentTypeError(f"{value}: not one of {', '.join(DEVICES)}")
        return values

    def duration(text):
        value = float(text)
        if not 0.5 <= value <= 60:
            raise argparse.ArgumentTypeError(f"{text}: not a number of seconds from 0.5 to 60")
        return value

    def rounds(text):
        value = int(text)
        if not 1 <= value <= 1000:
            raise argparse.ArgumentTypeError(f"{text}: not a number from 1 to 1000")
        return value

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=rounds, default=3, metavar="N", help="times that each is measured (3)")
    parser.add_argument("--seconds", type=duration, default=4, metavar="S",
                        help="undisturbed seconds wanted of each measurement (4); at most three times as long is tried")
    parser.add_argument("--warm-up", type=duration, default=2, metavar="S",
                        help="seconds of traffic before it, at least (2)")
    parser.add_argument("--connections", type=numbers, default=[1, 1000, 100000], metavar="N,...",
                        help=f"numbers of connections (1,1000,100000), up to {load.CONNECTIONS_MAX}")
    parser.add_argument("--only", type=names, default=list(DEVICES), metavar="NAME,...",
                        help="measure only these: " + ",".join(DEVICES))
    parser.add_argument("--output", default=os.path.join(BUILD, "results.json"), metavar="FILE",
                        help="where the JSON goes (build/bench/results.json)")
    return parser.parse_args()


def run(options, huge, result):
    """Measures everything, alternating, into `result`."""
    program = load.build(BUILD)
    speed = quiet.Speed([load.CPU, DEVICE_CPU])
    for number in range(1, options.rounds + 1):
        for connections in options.connections:
            for name in options.only:
                what = f"round {number}: {name}, {connections} connections"
                try:
                    version, samples = measure(DEVICES[name], connections, options.seconds, options.warm_up, program,
                                               huge, speed, os.path.join(BUILD, "logs"))
                except Failure as failure:
                    result["failures"].append(f"{what}: {failure}")
                    print(f"bench: {what}: {failure}", file=sys.stderr, flush=True)
                    continue
                result["versions"][name] = version
                for sample in samples:
                    result["samples"].append({"name": name, "connections": connections, "round": number, **sample})
                counted = [sample for sample in samples if is_quiet(sample, speed)]
                rate = statistics.median(sample["packetsPerSecond"] for sample in counted or samples)
                print(f"{what}: {rate / 1e6:.2f} Mpps, {len(counted)} of {len(samples)} samples quiet",
                      file=sys.stderr, flush=True)
    # Only now the best speed of the CPUs is known.
    for sample in result["samples"]:
        sample["quiet"] = is_quiet(sample, speed)
        sample["speedPercent"] = 100 * speed.part(sample.pop("speeds"))


def main():
    # These end it as an error does: through the clean-up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, to reserve huge pages and to run Open vSwitch")
    if os.cpu_count() < 2:
        sys.exit("bench: needs two CPUs, one for the load and one for the device")
    os.makedirs(BUILD, exist_ok=True)
    os.sched_setaffinity(0, {load.CPU})
    result = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(), "versions": {}, "frameBytes": 64, "failures": [], "samples": [],
    }
    try:
        with machine.HugePages(HUGE_PAGES) as pages:
            huge = result["machine"]["hugePages"] = pages.enough()
            if not huge:
                print("bench: too few huge pages, ordinary ones are used; all are slower", file=sys.stderr)
            run(options, huge, result)
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    result["results"] = report.summarize(result["samples"])
    report.write_json(options.output, result)
    if result["results"]:
        print(report.table(result["results"], {name: module.TITLE for name, module in DEVICES.items()}))
    if any(entry["disturbed"] for entry in result["results"]):
        print("~ other programs, or other machines on this host, took part of the CPUs: all samples count, see min - max")
    for failure in result["failures"]:
        print("not measured: " + failure)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
