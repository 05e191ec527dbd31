"""What streams carry: bytes that tell where in which stream they belong."""

import random

LENGTH = 65521  # a prime, so that what is moved by any usual size does not look right
_BYTES = random.Random(1).randbytes(LENGTH)
_TWICE = _BYTES + _BYTES


def part(stream, offset, size):
    """`size` bytes, LENGTH at most, of a stream (a number) from an offset on."""
    start = (offset + stream * 977) % LENGTH
    return _TWICE[start:start + size]
