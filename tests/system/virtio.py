"""Frames with virtio headers: what a kernel or a guest leaves to a network card."""

import random
import socket
import struct

import netns
from packets import TCP, Ether

SOL_PACKET = 263
PACKET_VNET_HDR = 15
NEEDS_CSUM = 1
TCPV4, TCPV6, UDP_L4 = 1, 4, 5
ECN = 0x80


class Sender:
    """A packet socket on a workload's interface whose frames begin with a virtio header."""

    def __init__(self, workload):
        with netns.inside(workload.netns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.bind((workload.interface, 0))

    def send(self, frame, flags=NEEDS_CSUM, gso_type=0, header_length=0, size=0, start=0, offset=0):
        self.socket.send(struct.pack("<BBHHHH", flags, gso_type, header_length, size, start, offset) + bytes(frame))

    def send_segments(self, frame, family, size, more=0):
        """As a kernel with TSO on; `more` are bits of the type."""
        start = start_of(family)
        self.send(frame, gso_type=(TCPV4 if family == "v4" else TCPV6) | more, header_length=start + 20, size=size,
                  start=start, offset=16)

    def close(self):
        self.socket.close()


def start_of(family):
    """Of TCP or UDP in a frame."""
    return 34 if family == "v4" else 54


def content(size):
    return random.Random(size).randbytes(size)


def checksum_is_right(frame):
    """Of a frame with TCP: that of TCP and, over IPv4, of the IP header."""
    again = frame.copy()
    del again[TCP].chksum
    if again.payload.version == 4:
        del again.payload.chksum
    return bytes(Ether(bytes(again))) == bytes(frame)
