#!/usr/bin/python3
"""Writes what bench/run.py measured as the dated part of docs/performance.md.

  bench/summary.py             prints it
  bench/summary.py --write     puts it between the marks in docs/performance.md, in place of what is there
"""

import argparse
import json
import os
import sys

import machine
from scenario import SCENARIOS

DOCUMENT = os.path.join(machine.ROOT, "docs", "performance.md")
RESULTS = os.path.join(machine.ROOT, "build", "bench", "results.json")
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


def table(rows, left=1):
    """Markdown; the first `left` columns to the left, the others to the right."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    marks = ["---" if number < left else "---:" for number in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *body])


def about(found):
    """The machine in one sentence."""
    caches = ", ".join(f"{level} {size}" for level, size in found["caches"].items())
    kind = "virtual machine" if found["virtual"] else "machine"
    return (f"{found['cpus']} CPUs, {found['cpu']} (time stamp counter {found['tscMHz']} MHz; {caches}), {kind} with "
            f"{found['memoryGiB']} GiB; {found['system']}, kernel {found['kernel']}, gcc {found['compiler']}, "
            f"DPDK {found['dpdk']}.")


def text(result):
    scenarios = [(name, result["scenarios"][name]) for name in SCENARIOS if name in result["scenarios"]]
    versions = result["versions"]
    parts = [f"## {result['date'][:10]}", about(result["machine"]),
             f"Sluice {versions.get('sluice', '-')}, Open vSwitch {versions.get('ovs', '-')}, "
             f"testpmd {versions.get('testpmd', '-')}. Medians of interleaved rounds; only figures of one table compare."]
    if result["quick"]:
        parts.append("A quick run: the figures mean nothing.")
    rows = [("what", "target", "measured", "", "to repeat")]
    notes = []
    for _name, scenario in scenarios:
        for row in scenario["rows"]:
            verdict = row["verdict"]
            if row["note"]:
                notes.append(row["note"])
                verdict += f" ({len(notes)})"
            rows.append((row["what"], row["target"], row["figure"], verdict, f"`{row['repeat']}`"))
    parts.append(table(rows, len(rows[0])))
    if notes:
        parts.append("\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)))
    for name, scenario in scenarios:
        if len(scenario["table"]) > 1:
            pages = "" if scenario["hugePages"] else ", ordinary pages"
            rounds = f"{scenario['rounds']} rounds" if scenario["rounds"] > 1 else "one round"
            parts += [f"### {scenario['title'][0].upper()}{scenario['title'][1:]}",
                      f"`bench/run.py --only {name}`, {rounds}{pages}.", table(scenario["table"])]
        parts += [f"Not measured: {failure}." for failure in scenario["failures"]]
    return "\n\n".join(parts) + "\n"


def write(begin, end, made):
    """Puts it between the marks in docs/performance.md, in place of what is there."""
    with open(DOCUMENT) as file:
        document = file.read()
    if document.count(begin) != 1 or document.count(end) != 1:
        sys.exit(f"summary: {DOCUMENT}: needs the marks {begin} and {end}")
    before, rest = document.split(begin)
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{begin}\n{made}{end}{rest.split(end)[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    parser.add_argument("--input", default=RESULTS, metavar="FILE", help="build/bench/results.json")
    options = parser.parse_args()
    try:
        with open(options.input) as file:
            made = text(json.load(file))
    except OSError as error:
        sys.exit(f"summary: {options.input}: {error.strerror}; run bench/run.py first")
    if not options.write:
        print(made, end="")
        return
    write(BEGIN, END, made)


if __name__ == "__main__":
    main()
