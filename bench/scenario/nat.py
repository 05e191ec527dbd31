"""Packets from a workload through a Nat to a server outside, beside security groups alone."""

import functions

NAME = "nat"
TITLE = "a Nat between a workload and a server outside, 64-byte packets"
ROUNDS = 2


def cases(bench):
    return functions.cases(bench, NAME)


def measure_case(bench, case):
    return functions.measure_case(bench, case, NAME)


def table(entries):
    return functions.table(entries)


def rows(entries):
    return functions.rows(entries, NAME, "translated and routed outside")
