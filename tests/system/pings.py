"""Streams of pings of which each is to be answered, however late.

At its end ping(8) waits for what is missing no longer than for a few usual answers. With a deadline it sends on until so
many were answered: what is lost then shows as a gap.
"""

import re

import netns
from node import DEADLINE


def command(address, count, interval, *options):
    return ["ping", "-n", "-c", str(count), "-i", str(interval), "-w", str(DEADLINE + int(count * interval)), *options, address]


def missing(text, count):
    """Numbers of the first `count` pings that were not answered."""
    return set(range(1, count + 1)) - set(map(int, re.findall(r"bytes from .* icmp_seq=(\d+) ", text)))


def all_answered(namespace, address, *options, count=2, interval=0.2):
    with netns.inside(namespace):
        text = netns.run(*command(address, count, interval, *options))
    assert not missing(text, count), text
