#!/usr/bin/python3
"""A chaos run: everything that happens to nodes in years, in minutes, while traffic looks on.

Which events happen is decided by the seed alone, so a failure is repeated by the same seed.
"""

import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).resolve().parents[1] / "system")]

import checks  # noqa: E402
import daemons  # noqa: E402
import devices  # noqa: E402
import netns  # noqa: E402
import policy  # noqa: E402
import workloads  # noqa: E402
from node import BUILD, eventually  # noqa: E402
from probe import Probe  # noqa: E402
from resources import Resources  # noqa: E402
from traffic import Traffic  # noqa: E402
from world import World  # noqa: E402

# Events between two looks at everything.
ROUND = 12
KINDS = (devices.EVENTS, daemons.EVENTS, policy.EVENTS, workloads.EVENTS)
# How often those are chosen.
WEIGHTS = (4, 4, 3, 3)


class Run:
    def __init__(self, seed, seconds):
        self.rng = random.Random(seed)
        self.seed = seed
        self.began = time.monotonic()
        self.seconds = seconds
        self.faults = {}  # what is for a while: after how many events it ends, and how
        self.starts = collections.Counter()
        self.sometimes = False
        self.checkpoints = self.passed = self.failed = self.events = 0

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def problem(self, text):
        """Of an event, beside the checks."""
        self.failed += 1
        self.say(f"FAILED  {text}")

    def sleep(self, seconds):
        time.sleep(seconds)

    def node(self):
        return self.world.nodes[self.rng.choice("ab")]

    def fence(self):
        """All that workloads have sent until now was handled."""
        senders = self.traffic.datagrams
        sent = [one.sent for one in senders]
        eventually(lambda: all(one.last > number for one, number in zip(senders, sent)), what="datagrams do not go on")

    def fault(self, key, text, events, undo):
        self.faults[key] = [events, text, undo]

    def repair(self, all_of_them=False):
        for key, fault in list(self.faults.items()):
            fault[0] -= 1
            if fault[0] < 0 or all_of_them:
                del self.faults[key]
                self.say(fault[1])
                fault[2]()

    def check(self, which):
        self.checkpoints += 1
        passed = 0
        for check in which:
            problems = check(self)
            if problems:
                self.failed += 1
                for text in problems:
                    self.say(f"FAILED  {check.__name__}: {text}")
            else:
                passed += 1
        self.passed += passed
        self.say(f"{passed} of {len(which)} checks passed")

    def look(self, which):
        """The checks, and what they do not judge."""
        self.check(which)
        silences = "; ".join(f"{one} for {seconds:.1f} s" for seconds, one in self.traffic.longest_silences())
        self.say(f"{', '.join(map(str, self.resources))}; nothing came at most of {silences}")

    def prepare(self):
        underlay, workers = self.rng.choice(("v4", "v6")), self.rng.choice(("0", "0,1"))
        self.say(f"seed {self.seed}: underlay {underlay}, workers {workers}")
        self.world = World(underlay, ("--workers", workers))
        self.traffic = Traffic(self.world)
        eventually(self.traffic.is_open, what="not all connections can be opened")
        self.probe = Probe(self.world, "raw-a", "raw-b")
        self.resources = [Resources(node) for node in self.world.nodes.values()]
        self.look(checks.OFTEN)

    def go(self):
        self.prepare()
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not self.failed:
            for _ in range(ROUND):
                [kind] = self.rng.choices(KINDS, WEIGHTS)
                event, pause = self.rng.choice(kind), self.rng.choice((0, self.rng.uniform(0, 1.5)))
                self.events += 1
                event(self)
                self.sleep(pause)
                self.repair()
            self.repair(all_of_them=True)
            self.look(checks.OFTEN)
        if not self.failed:
            self.look(checks.AT_THE_END)
            self.traffic.stop()
            self.say("the traffic has ended")
            self.check(checks.AFTERWARDS)

    def keep_logs(self, where):
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        for path in self.world.directory.glob("*.log*"):
            shutil.copy(path, where)
        for node in self.world.nodes.values():
            if node.process:
                for what in ("stats", "flows"):
                    (where / f"{node.name}.{what}.json").write_text(node.run(what, "-o", "json").stdout)
        self.say(f"logs are in {where}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    if os.geteuid() != 0:
        sys.exit("chaos: needs root, for network namespaces")
    netns.sweep()
    run = Run(options.seed, options.seconds)
    try:
        run.go()
    except Exception as problem:
        run.problem(repr(problem))
        raise
    finally:
        if hasattr(run, "world"):
            if run.failed:
                run.keep_logs(BUILD / "chaos")
            run.world.down()
        if run.failed:
            print(f"again: make chaos CHAOS_SEED={options.seed}")
        print(f"{run.events} events; {run.passed} passed, {run.failed} failed", flush=True)
    sys.exit(1 if run.failed else 0)


if __name__ == "__main__":
    main()
