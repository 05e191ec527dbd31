#!/usr/bin/python3
"""Measures Sluice beside Open vSwitch with DPDK and beside plain forwarding, and holds it against its targets.

  bench/run.py                                 everything: about 25 minutes
  bench/run.py --quick                         everything, briefly: does it work?
  bench/run.py --only stream,new               some scenarios
  bench/run.py --only stream --devices sluice,testpmd --connections 1,100000 --rounds 5
  bench/run.py --add --only latency            adds to the results that there are, or replaces
  bench/summary.py --write                     puts the results into docs/performance.md

Needs root, two CPUs that have nothing else to do, and what scripts/install-packages bench installs. See README.md.
"""

import argparse
import datetime
import json
import os
import signal
import sys
import time
import traceback

import machine
import program
import quiet
import report
import setup
from children import Failure
from context import Bench
from device import DEVICES
from measure import is_quiet
from scenario import SCENARIOS

BUILD = os.path.join(machine.ROOT, "build", "bench")
# Beside buffers there is Sluice's connection table.
HUGE_PAGES = 1024
ROUNDS = 3


def arguments():
    def names(known):
        def parse(text):
            values = text.split(",")
            for value in values:
                if value not in known:
                    raise argparse.ArgumentTypeError(f"{value}: not one of {', '.join(known)}")
            return values
        return parse

    def numbers(text):
        values = [int(word.replace("_", "")) for word in text.split(",")]
        if min(values) < 1 or max(values) > 1 << 24:
            raise argparse.ArgumentTypeError(f"{text}: not numbers from 1 to {1 << 24}")
        return values

    def between(kind, lowest, highest, what):
        def parse(text):
            value = kind(text)
            if not lowest <= value <= highest:
                raise argparse.ArgumentTypeError(f"{text}: not {what} from {lowest} to {highest}")
            return value
        return parse

    what = "\n".join(f"  {name:<10} {module.TITLE}" for name, module in SCENARIOS.items())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="scenarios:\n" + what)
    parser.add_argument("--only", type=names(SCENARIOS), default=list(SCENARIOS), metavar="NAME,...",
                        help="these scenarios (all)")
    parser.add_argument("--devices", type=names(DEVICES), default=list(DEVICES), metavar="NAME,...",
                        help="of the devices only these: " + ",".join(DEVICES))
    parser.add_argument("--connections", type=numbers, metavar="N,...",
                        help="of the scenario stream (1,1000,100000,1000000)")
    parser.add_argument("--rounds", type=between(int, 1, 1000, "a number"), metavar="N",
                        help=f"times that each case is measured ({ROUNDS}; some scenarios have fewer)")
    parser.add_argument("--seconds", type=between(float, 0.2, 60, "a number of seconds"), metavar="S",
                        help="undisturbed seconds wanted of a measured rate (2); at most twice as long is tried")
    parser.add_argument("--minutes", type=between(float, 1, 1000, "a number of minutes"), default=30, metavar="M",
                        help="when four fifths of this time are over, scenarios have one round only (30)")
    parser.add_argument("--quick", action="store_true", help="one short round with fewer cases: tells nothing but that "
                        "it works")
    parser.add_argument("--add", action="store_true", help="keep the results of other scenarios that are in the file")
    parser.add_argument("--output", default=os.path.join(BUILD, "results.json"), metavar="FILE",
                        help="where the JSON goes (build/bench/results.json); pictures go beside it")
    return parser.parse_args()


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def name_of(case):
    return ", ".join(f"{value} {key}" if isinstance(value, int) else str(value) for key, value in case.items())


def measure_scenario(bench, module, rounds):
    """All samples of a scenario, its cases taking turns, what could not be measured, the cases, and rounds made."""
    samples, failures, cases = [], [], module.cases(bench)
    bench.found.clear()
    for number in range(1, rounds + 1):
        if number > 1 and time.monotonic() > bench.hurry_at:
            say(f"{module.NAME}: it takes long, so it has {number - 1} of {rounds} rounds")
            rounds = number - 1
            break
        for case in cases:
            what = f"{module.NAME}, round {number}: {name_of(case)}"
            bench.where = "-".join(map(str, (module.NAME, *(v for k, v in case.items() if k != "device"))))
            bench.where = bench.where.replace(" ", "_").replace("/", "_")
            for attempt in range(2):
                try:
                    taken = module.measure_case(bench, case)
                    break
                except Failure as failure:
                    say(f"{what}: {failure}")
                    taken, why = [], str(failure)
                except Exception as error:  # pylint: disable=broad-except
                    # One scenario's own mistake is not the end of the others.
                    traceback.print_exc()
                    taken, why = [], f"{type(error).__name__}: {error}"
                if attempt:
                    failures.append(f"{what}: {why}")
            samples += [{"case": case, "round": number, **sample} for sample in taken]
            if taken:
                say(what)
    # Only now the best speed of the CPUs is known.
    for sample in samples:
        if "speeds" in sample:
            sample["quiet"] = is_quiet(sample, bench.speed)
            sample["speedPercent"] = 100 * bench.speed.part(sample.pop("speeds"))
    return samples, failures, cases, rounds


def empty(module):
    """The result of a scenario before it is measured."""
    return {"title": module.TITLE, "date": now(), "rounds": 0, "seconds": 0, "hugePages": True, "table": [],
            "rows": [], "results": [], "failures": [], "samples": []}


def run_scenario(bench, module, rounds, result):
    """Measures one scenario into `result`, draws its pictures and prints its table."""
    start = time.monotonic()
    with machine.HugePages(getattr(module, "HUGE_PAGES", HUGE_PAGES)) as pages:
        bench.huge = pages.enough()
        if not bench.huge:
            say(f"{module.NAME}: too few huge pages, ordinary ones are used; all are slower")
        samples, failures, cases, rounds = measure_scenario(bench, module, rounds)
    entries = report.summarize(samples, cases)
    rows = []
    if entries:
        rows = [{**vars(row), "verdict": row.verdict(), "repeat": f"bench/run.py --only {module.NAME}"}
                for row in module.rows(entries)]
        if hasattr(module, "draw"):
            module.draw(entries, samples, os.path.dirname(bench.options.output) or ".")
        table = module.table(entries)
        print(f"\n{module.TITLE}\n\n{report.text_table(table)}\n", flush=True)
    result["scenarios"][module.NAME] = {
        "title": module.TITLE, "date": now(), "rounds": rounds, "seconds": round(time.monotonic() - start),
        "hugePages": bench.huge, "table": table if entries else [], "rows": rows, "results": entries,
        "failures": failures, "samples": samples}
    result["versions"] |= bench.versions
    report.write_json(bench.options.output, result)


def open_result(options):
    result = {"date": now(), "machine": machine.describe(), "quick": options.quick, "versions": {}, "frameBytes": 64,
              "scenarios": {}}
    if options.add and os.path.exists(options.output):
        with open(options.output) as file:
            before = json.load(file)
        result["versions"], result["scenarios"] = before["versions"], before["scenarios"]
    return result


def finish(result):
    """Prints all targets; the exit status."""
    scenarios = [scenario for name in SCENARIOS if (scenario := result["scenarios"].get(name))]
    rows = [row for scenario in scenarios for row in scenario["rows"]]
    if rows:
        print("\nTargets\n\n" + report.target_table(rows) + "\n")
    if any(entry.get("disturbed") for scenario in scenarios for entry in scenario["results"]):
        print("~ other programs, or other machines on this host, took part of the CPUs: all samples count, see min - max")
    failures = [failure for scenario in scenarios for failure in scenario["failures"]]
    for failure in failures:
        print("not measured: " + failure)
    return 1 if failures else 0


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
    os.sched_setaffinity(0, {setup.LOAD_CPU})
    result = open_result(options)
    try:
        load, _pipeline = program.make("load", "pipeline")
        bench = Bench(options, BUILD, load,
                      quiet.Speed([setup.LOAD_CPU, setup.DEVICE_CPU], 1 if options.quick else 5))
        for name in options.only:
            module = SCENARIOS[name]
            rounds = options.rounds or (1 if options.quick else getattr(module, "ROUNDS", ROUNDS))
            try:
                run_scenario(bench, module, rounds, result)
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                traceback.print_exc()
                result["scenarios"].setdefault(name, empty(module))["failures"].append(
                    f"{name}: {type(error).__name__}: {error}")
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    return finish(result)


if __name__ == "__main__":
    sys.exit(main())
