"""Frames: built and read with scapy, sent and received with packet sockets."""

import itertools
import select
import socket
import struct
import time

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_RR, IPOption_SSRR  # noqa: F401
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA,  # noqa: F401
                                ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr,
                                ICMPv6PacketTooBig, ICMPv6ParamProblem,
                                ICMPv6TimeExceeded, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, in6_getnsma, in6_getnsmac)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import (SCTP, SCTPChunkAbort, SCTPChunkCookieAck, SCTPChunkCookieEcho,  # noqa: F401
                                SCTPChunkData, SCTPChunkInit, SCTPChunkInitAck, SCTPChunkShutdown,
                                SCTPChunkShutdownAck, SCTPChunkShutdownComplete)
from scapy.layers.vxlan import VXLAN  # noqa: F401
from scapy.packet import Padding, Raw  # noqa: F401
from scapy.utils6 import inet_pton

import netns
from node import DEADLINE

conf.verb = 0


def _ask_nobody(_lower, upper):
    """scapy would ask for it on the machine's own network."""
    raise AssertionError(f"a frame says no destination: {upper.summary()}")


conf.neighbor.resolve = _ask_nobody

BROADCAST = "ff:ff:ff:ff:ff:ff"
PACKET_OUTGOING = 4
PACKET_IGNORE_OUTGOING = 23
PACKET_AUXDATA = 8
VLAN_VALID = 0x10
SO_RCVBUFFORCE = 33
RECEIVE_ROOM = 4 << 20

_tokens = itertools.count(1)
_ports = itertools.count(20000)


def token():
    """A payload that no other packet has."""
    return Raw(b"packet%08d" % next(_tokens))


def fresh_port():
    """A port, or an ICMP identifier, that no other connection has."""
    return next(_ports)


def ip_header(source, destination, **fields):
    """An IPv4 or IPv6 header, as the addresses are; `ttl` stands for the hop limit too."""
    if ":" not in source:
        return IP(src=source, dst=destination, **fields)
    if "ttl" in fields:
        fields["hlim"] = fields.pop("ttl")
    return IPv6(src=source, dst=destination, **fields)


def echo_request(source, **fields):
    return ICMP(type=8, **fields) if ":" not in source else ICMPv6EchoRequest(**fields)


def echo_reply(source, **fields):
    return ICMP(type=0, **fields) if ":" not in source else ICMPv6EchoReply(**fields)


def split(frame, size, number=1):
    """A frame's IP packet as fragments, each with `size` bytes behind its headers: frames as bytes."""
    ether, packet = bytes(frame[:14]), bytes(frame[14:])
    if ether[12:] == b"\x86\xdd":
        body, rest = packet[40:40 + int.from_bytes(packet[4:6], "big")], packet[:4]
    else:
        head = (packet[0] & 15) * 4
        body, rest = packet[head:int.from_bytes(packet[2:4], "big")], IP(packet[:head])
        del rest.len, rest.chksum
    pieces = []
    for offset in range(0, len(body), size):
        piece, more = body[offset:offset + size], offset + size < len(body)
        if isinstance(rest, bytes):
            header = struct.pack("!BBHI", packet[6], 0, offset | more, number)
            pieces.append(ether + rest + (8 + len(piece)).to_bytes(2, "big") + b"\x2c" + packet[7:40] + header + piece)
        else:
            rest.id, rest.frag, rest.flags = number & 0xffff, offset // 8, "MF" if more else 0
            pieces.append(ether + bytes(rest / Raw(piece)))
    return pieces


def port_unreachable(source):
    return ICMP(type=3, code=3) if ":" not in source else ICMPv6DestUnreach(code=4)


def is_refusal(frame):
    """Is it what a router says about a packet that it drops: an ICMP error, or a TCP reset?"""
    if ICMP in frame:
        return frame[ICMP].type in (3, 11)
    if IPv6 in frame and frame[IPv6].nh == 58:
        return bytes(frame[IPv6].payload)[0] in (1, 2, 3, 4)
    return TCP in frame and "R" in frame[TCP].flags


def who_has(address, mac, sender, **fields):
    """The question for a MAC address that a system with `mac` and `sender` asks: ARP or a neighbour solicitation."""
    if ":" not in address:
        values = {"hwsrc": mac, "psrc": sender, "pdst": address, **fields}
        return Ether(src=mac, dst=BROADCAST) / ARP(**values)
    group = in6_getnsma(inet_pton(socket.AF_INET6, address))
    group_mac = in6_getnsmac(group)
    solicitation = Ether(src=mac, dst=group_mac) / IPv6(src=sender, dst=socket.inet_ntop(socket.AF_INET6, group),
                                                        hlim=255) / ICMPv6ND_NS(tgt=address)
    return solicitation if sender == "::" else solicitation / ICMPv6NDOptSrcLLAddr(lladdr=fields.get("hwsrc", mac))


def told(frame, address):
    """The MAC address that an answer gives for the address; None where the frame is no such answer."""
    if ARP in frame and frame[ARP].op == 2 and frame[ARP].psrc == address:
        return frame[ARP].hwsrc
    if ICMPv6ND_NA in frame and frame[ICMPv6ND_NA].tgt == address:
        return frame[ICMPv6NDOptDstLLAddr].lladdr
    return None


def is_nd(data, kind):
    return data[12:14] == b"\x86\xdd" and data[20:21] == b"\x3a" and data[54:55] == bytes([kind])


def is_unasked_advertisement(data):
    """A router advertisement of Sluice's own to all nodes: these come at any time."""
    return data[:9] == bytes.fromhex("333300000001" "02534c") and is_nd(data, 134)


def is_membership(data):
    """Is it one of Sluice's own IGMP or MLD messages, to a workload or through a tunnel?"""
    outer = {b"\x08\x00": 50, b"\x86\xdd": 70}.get(data[12:14], 0)
    if data[outer - 14:outer - 12] == b"\x12\xb5":  # VXLAN
        data = data[outer:]
    if data[6:9] != b"\x02\x53\x4c":
        return False
    return data[12:14] == b"\x08\x00" and data[23] == 2 or data[12:14] == b"\x86\xdd" and data[20] == 0 \
        and data[62] in (130, 143)


def is_question(data):
    """Does Sluice ask for an address that several ports may have?"""
    outer = {b"\x08\x00": 50, b"\x86\xdd": 70}.get(data[12:14], 0)
    if data[outer - 14:outer - 12] == b"\x12\xb5":  # VXLAN
        data = data[outer:]
    return data[6:9] == b"\x02\x53\x4c" and (data[12:14] == b"\x08\x06" and data[21] == 1 or is_nd(data, 135))


class Wire:
    """A packet socket on an interface: what is written to it leaves there, what arrives there can be read.

    Unasked router advertisements are not shown, unless `advertisements` is set, nor what Sluice asks and tells about
    groups, unless `membership` is, nor its questions for addresses that several ports may have, unless `questions` is.
    """

    advertisements = False
    questions = False

    def __init__(self, namespace, interface, membership=False):
        self.membership = membership
        with netns.inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            # Options count for what arrives later.
            self.socket.setsockopt(263, PACKET_IGNORE_OUTGOING, 1)
            self.socket.setsockopt(263, PACKET_AUXDATA, 1)
            # What comes while nobody reads: a few hundred frames fill the usual room.
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_ROOM)
            self.socket.bind((interface, 3))
        self.socket.setblocking(False)
        self.interface = interface

    def close(self):
        self.socket.close()

    def send(self, frame):
        self.socket.send(bytes(frame))

    def receive(self, timeout=DEADLINE):
        """The next frame, or None."""
        while select.select([self.socket], [], [], timeout)[0]:
            data, control, _, address = self.socket.recvmsg(65536, 64)
            # The kernel takes a tag out of the frame and hands it over beside it.
            tagged = data
            for level, kind, value in control:
                status, _, _, _, _, tag, protocol = struct.unpack("=IIIHHHH", value)
                if (level, kind) == (263, PACKET_AUXDATA) and status & VLAN_VALID:
                    tagged = data[:12] + struct.pack(">HH", protocol, tag) + data[12:]
            if (address[2] == PACKET_OUTGOING or (not self.advertisements and is_unasked_advertisement(data))
                    or (not self.membership and is_membership(data)) or (not self.questions and is_question(data))):
                continue
            return Ether(tagged)
        return None

    def drain(self):
        """All frames that have arrived by now."""
        frames = []
        while (frame := self.receive(0)) is not None:
            frames.append(frame)
        return frames

    def wait_for(self, condition, timeout=DEADLINE):
        """The first frame for which the condition is true."""
        end = time.monotonic() + timeout
        seen = []
        while (left := end - time.monotonic()) > 0:
            frame = self.receive(left)
            if frame is None:
                break
            if condition(frame):
                return frame
            seen.append(frame.summary())
        raise AssertionError(f"{self.interface}: what was waited for did not arrive; there came {seen}")
