#!/usr/bin/python3
"""A steady stream of numbered datagrams, and how long each was on its way.

stream.py send ADDRESS PORT INTERVAL_US
stream.py receive PORT      for each line on standard input prints what came since the last one, as JSON
"""

import json
import os
import select
import socket
import struct
import sys
import time

FORMAT = struct.Struct("!QQ")
SO_TIMESTAMPNS = 35


def send(address, port, interval):
    """Each says when it was sent (ns)."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect((address, port))
    number, due = 0, time.monotonic()
    while True:
        number += 1
        out.send(FORMAT.pack(number, time.time_ns()))
        due = max(due + interval / 1e6, time.monotonic() - 0.01)
        time.sleep(max(0, due - time.monotonic()))


def receive(port):
    """The kernel says when each came, so that this program's own delays do not count."""
    box = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    box.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    box.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    box.bind(("", port))
    delays, last, lost, before, gap = [], None, 0, None, None
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([box, sys.stdin], [], [])
        if box in ready:
            data, control, _flags, _peer = box.recvmsg(64, 64)
            number, sent = FORMAT.unpack(data)
            seconds, nanoseconds = struct.unpack("qq", control[0][2])
            came = seconds * 10**9 + nanoseconds
            delays.append((came - sent) / 1e6)
            gap = max(gap or 0, (came - before) / 1e6) if before else gap
            before = came
            lost += 0 if last is None else number - last - 1
            last = number
        if sys.stdin in ready:
            if not os.read(0, 4096):
                return
            delays.sort()
            count = len(delays)
            print(json.dumps({"received": count, "lost": lost,
                              "medianMs": delays[count // 2] if count else None,
                              "longestMs": delays[-1] if count else None, "gapMs": gap}), flush=True)
            delays, lost, gap = [], 0, None


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        receive(int(sys.argv[2]))
