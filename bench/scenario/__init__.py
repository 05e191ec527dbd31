"""What is measured, in this order. A further scenario is a module in this folder, named here, that has

NAME, TITLE    for --only, and for people
cases(bench)   what it measures each round, one after the other: dictionaries, which tell the samples apart. A "device" is
               one of bench/device; cases that differ in nothing else are compared, and disturbed together.
measure_case(bench, case)   a list of samples: dictionaries of numbers. Raises Failure.
table(entries)              the results as a text table: rows of text, the first one the head
rows(entries)               what its targets ask for and what was found: report.Row
draw(entries, samples, directory)   pictures (optional)
ROUNDS         how many times, if not as by default (optional)
HUGE_PAGES     how many it needs, if more than by default (optional)

An entry has a case's keys, and of each number in its samples {"median", "min", "max"} (report.summarize). `bench` is a
context.Bench; measure.py runs a device with its load.
"""

from scenario import balance, bulk, change, held, idle, latency, limits, nat, nat_million, new, rules, stream, tunnel, workers

SCENARIOS = {module.NAME: module for module in (
    stream, tunnel, new, balance, nat, nat_million, held, change, workers, rules, latency, idle, bulk, limits)}
