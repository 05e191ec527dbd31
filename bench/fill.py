#!/usr/bin/python3
"""Opens TCP connections that nobody answers to, from a workload's interface and at once: fill.py ADDRESS MAC COUNT

Each is a SYN with ports of its own, in the middle of which it stays: syn-sent, for a minute."""

import json
import socket
import struct
import subprocess
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def main(address, mac, count):
    [link] = json.loads(subprocess.run(["ip", "-j", "addr", "show", "eth0"], capture_output=True, check=True).stdout)
    source = next(one["local"] for one in link["addr_info"] if one["family"] == "inet")
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    frame = bytes.fromhex((mac + link["address"]).replace(":", "")) + b"\x08\0"
    header = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0) + ends
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind(("eth0", 0))
    for number in range(count):
        segment = struct.pack("!HHIIBBHHH", 1024 + number % 60000, 8000 + number // 60000, number, 0, 0x50, 2, 65535, 0, 0)
        pseudo = ends + struct.pack("!BBH", 0, 6, len(segment))
        segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
        out.send(frame + header + segment)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
