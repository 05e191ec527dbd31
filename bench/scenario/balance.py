"""Packets from one network to a LoadBalancer's member in another one, beside security groups alone."""

import functions

NAME = "balance"
TITLE = "a LoadBalancer between the workloads, 64-byte packets"
ROUNDS = 2


def cases(bench):
    return functions.cases(bench, NAME)


def measure_case(bench, case):
    return functions.measure_case(bench, case, NAME)


def table(entries):
    return functions.table(entries)


def rows(entries):
    return functions.rows(entries, NAME, "balanced and routed")
