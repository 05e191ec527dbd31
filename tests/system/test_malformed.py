"""Frames that nobody should send: each is dropped under its reason, reaches nobody, and the daemon lives."""

import pytest

from conversation import Conversation
from packets import (ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, IPOption_LSRR, IPOption_RR, IPOption_SSRR,
                     IPv6, IPv6ExtHdrDestOpt,
                     IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, echo_request, fresh_port,
                     ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, who_has)


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.network("blue", 1)
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue")
    return lab.up()


class Frames:
    """Frames from one workload to the other."""

    def __init__(self, lab):
        self.one, self.two = lab["one"], lab["two"]
        self.ethernet = Ether(src=self.one.mac, dst=self.two.mac)

    def v4(self, layer, **fields):
        return self.one.frame(self.two, layer, "v4", **fields)

    def v6(self, layer, **fields):
        return self.one.frame(self.two, layer, "v6", **fields)

    def udp(self, **fields):
        return UDP(**{"sport": fresh_port(), "dport": 53, **fields})

    def tcp(self, flags="S", **fields):
        return TCP(**{"sport": fresh_port(), "dport": 80, "flags": flags, **fields})


def cut(frame, size):
    """The first bytes of a frame, as they are."""
    return bytes(frame)[:size]


def patched(frame, offset, data):
    frame = bytearray(bytes(frame))
    frame[offset:offset + len(data)] = data
    return bytes(frame)


def with_checksum(frame):
    """IPv4 with its header's checksum made anew after a patch."""
    frame = bytearray(frame)
    size = (frame[14] & 15) * 4
    frame[24:26] = b"\0\0"
    total = sum(int.from_bytes(frame[i:i + 2], "big") for i in range(14, 14 + size, 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    frame[24:26] = (~total & 0xffff).to_bytes(2, "big")
    return bytes(frame)


def options(*headers):
    """A chain of IPv6 extension headers."""
    chain = headers[0]
    for header in headers[1:]:
        chain = chain / header
    return chain


def destination_options():
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])


# Right ones, next to which the wrong ones below differ in one thing.
GOOD = {
    "UDP over IPv4": lambda f: f.v4(f.udp()),
    "UDP over IPv6": lambda f: f.v6(f.udp()),
    "TCP over IPv4": lambda f: f.v4(f.tcp()),
    "TCP over IPv6": lambda f: f.v6(f.tcp()),
    "echo": lambda f: f.v4(echo_request("10.1.0.1", id=fresh_port())),
    "echo over IPv6": lambda f: f.v6(echo_request("fd00::", id=fresh_port())),
    "IPv4 options": lambda f: f.v4(f.udp(), options=[IPOption_RR(routers=["0.0.0.0"] * 3)]),
    "padding behind IPv4": lambda f: f.v4(f.udp(len=12, chksum=0), len=32, payload=b"abcd" + b"padpadpadpadpadpad"),
    "priority tag": lambda f: Ether(src=f.one.mac, dst=f.two.mac) / Dot1Q(vlan=0, prio=5) / f.v4(f.udp()).payload,
    "TCP options": lambda f: f.v4(f.tcp(options=[("MSS", 1400)])),
    "eight extension headers": lambda f: f.v6(options(*[destination_options() for _ in range(8)], f.udp())),
    "hop-by-hop first": lambda f: f.v6(options(IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]), f.udp())),
    "atomic fragment": lambda f: f.v6(options(IPv6ExtHdrFragment(id=1), f.udp())),
    "UDP without checksum": lambda f: f.v4(f.udp(chksum=0)),
}


@pytest.mark.parametrize("name", GOOD)
def test_right_frames_pass(lab, name):
    lab.passes(lab["one"], GOOD[name](Frames(lab)), lab["two"])


BAD = {
    # Cut in each header.
    "Ethernet header only": ("truncated", lambda f: cut(f.v4(f.udp()), 14)),
    "cut in the VLAN tag": ("truncated", lambda f: bytes(f.ethernet)[:12] + b"\x81\x00\0"),
    "cut in IPv4": ("truncated", lambda f: cut(f.v4(f.udp()), 14 + 19)),
    "cut in IPv4 options": ("truncated", lambda f: cut(GOOD["IPv4 options"](f), 14 + 24)),
    "cut in IPv6": ("truncated", lambda f: cut(f.v6(f.udp()), 14 + 39)),
    "cut in UDP": ("truncated", lambda f: cut(f.v4(f.udp()), 14 + 20 + 7)),
    "cut in UDP over IPv6": ("truncated", lambda f: cut(f.v6(f.udp()), 14 + 40 + 7)),
    "cut in TCP": ("truncated", lambda f: cut(f.v4(f.tcp()), 14 + 20 + 19)),
    "cut in TCP over IPv6": ("truncated", lambda f: cut(f.v6(f.tcp()), 14 + 40 + 19)),
    "cut in ICMP": ("truncated", lambda f: cut(f.v4(ICMP(id=1)), 14 + 20 + 7)),
    "cut in an extension header": ("truncated", lambda f: cut(f.v6(options(destination_options(), f.udp())), 14 + 44)),
    "cut in ARP": ("truncated", lambda f: cut(who_has("10.1.0.1", f.one.mac, f.one.address["v4"]), 14 + 27)),
    "less than the IPv4 length": ("truncated", lambda f: cut(f.v4(f.udp()), 14 + 30)),
    "less than the IPv6 length": ("truncated", lambda f: cut(f.v6(f.udp()), 14 + 50)),
    "IPv4 length over the end": ("truncated", lambda f: f.v4(f.udp(), len=1000)),
    "IPv6 length over the end": ("truncated", lambda f: f.v6(f.udp(), plen=1000)),
    "IPv4 packet too short for UDP": ("truncated", lambda f: f.v4(f.udp(), len=24)),
    "IPv4 packet too short for TCP": ("truncated", lambda f: f.v4(f.tcp(), len=30)),
    "IPv6 packet too short for TCP": ("truncated", lambda f: f.v6(f.tcp(), plen=12)),
    "IPv6 packet too short for UDP": ("truncated", lambda f: f.v6(f.udp(), plen=4)),
    "UDP length over the packet": ("truncated", lambda f: f.v4(f.udp(len=100))),
    "TCP header over the packet": ("truncated", lambda f: f.v4(f.tcp(dataofs=15), payload=b"")),
    "extension header over the packet": ("truncated", lambda f: f.v6(options(IPv6ExtHdrDestOpt(len=50), f.udp()))),
    # Headers that contradict themselves.
    "IPv4 with version 5": ("malformed", lambda f: with_checksum(patched(f.v4(f.udp()), 14, b"\x55"))),
    "IPv6 with version 4": ("malformed", lambda f: patched(f.v6(f.udp()), 14, b"\x40")),
    "IPv6 under the type of IPv4": ("malformed", lambda f: patched(f.v6(f.udp()), 12, b"\x08\x00")),
    "IPv4 under the type of IPv6": ("malformed", lambda f: patched(f.v4(f.udp(), payload=b"x" * 40), 12, b"\x86\xdd")),
    "IPv4 header of 16 bytes": ("malformed", lambda f: with_checksum(patched(f.v4(f.udp()), 14, b"\x44"))),
    "IPv4 length less than the header": ("malformed", lambda f: f.v4(f.udp(), len=19)),
    "IPv4 header checksum": ("checksum", lambda f: f.v4(f.udp(), chksum=0x1234)),
    "UDP length less than its header": ("malformed", lambda f: f.v4(f.udp(len=7))),
    "UDP length less than its header over IPv6": ("malformed", lambda f: f.v6(f.udp(len=0))),
    "TCP header of 16 bytes": ("malformed", lambda f: f.v4(f.tcp(dataofs=4))),
    "ICMP over IPv6": ("malformed", lambda f: f.v6(ICMP(id=1), nh=1)),
    "ICMPv6 over IPv4": ("malformed", lambda f: f.v4(Raw(bytes(ICMPv6EchoRequest(cksum=1))), proto=58)),
    "IPv4 option over the header": ("malformed", lambda f: with_checksum(patched(GOOD["IPv4 options"](f), 35, b"\x20"))),
    "IPv4 option without length": ("malformed", lambda f: with_checksum(patched(GOOD["IPv4 options"](f), 35, b"\0"))),
    "IPv4 loose source route": ("malformed", lambda f: f.v4(f.udp(), options=[IPOption_LSRR(routers=["10.1.0.1"])])),
    "IPv4 strict source route": ("malformed", lambda f: f.v4(f.udp(), options=[IPOption_SSRR(routers=["10.1.0.1"])])),
    "zero TTL": ("ttl", lambda f: f.v4(f.udp(), ttl=0)),
    "zero hop limit": ("ttl", lambda f: f.v6(f.udp(), ttl=0)),
    "fragment beyond 65535 bytes": ("malformed", lambda f: f.v4(Raw(b"x" * 32), proto=17, frag=8189)),
    "ICMP error that quotes nothing": ("malformed", lambda f: f.v4(ICMP(type=3, code=3), payload=b"")),
    "ICMP error about an ICMP error": ("malformed", lambda f: f.v4(
        ICMP(type=3, code=3) / IP(src=f.two.address["v4"], dst=f.one.address["v4"]) / ICMP(type=3, code=3))),
    # Extension headers.
    "nine extension headers": ("extension-headers", lambda f: f.v6(
        options(*[destination_options() for _ in range(9)], f.udp()))),
    "hop-by-hop options not first": ("malformed", lambda f: f.v6(
        options(destination_options(), IPv6ExtHdrHopByHop(), f.udp()))),
    "source routing of type 0": ("malformed", lambda f: f.v6(
        options(IPv6ExtHdrRouting(type=0, addresses=["fd00:1::99"]), f.udp()))),
    # Ethernet.
    "VLAN tag": ("vlan", lambda f: f.ethernet / Dot1Q(vlan=5) / f.v4(f.udp()).payload),
    "two tags": ("ethertype", lambda f: f.ethernet / Dot1Q(vlan=0) / Dot1Q(vlan=5) / f.v4(f.udp()).payload),
    "other EtherType": ("ethertype", lambda f: Ether(src=f.one.mac, dst=f.two.mac, type=0x88cc) / Raw(b"x" * 40)),
    "IEEE 802.3 length": ("ethertype", lambda f: Ether(src=f.one.mac, dst=f.two.mac, type=40) / Raw(b"x" * 40)),
    "zero source MAC": ("source-mac", lambda f: f.v4(f.udp(), src_mac="00:00:00:00:00:00")),
    "multicast source MAC": ("source-mac", lambda f: f.v4(f.udp(), src_mac="01:00:5e:00:00:01")),
    # Addresses that are no source, or no destination.
    "land": ("malformed", lambda f: f.v4(f.tcp(), src=f.one.address["v4"], dst=f.one.address["v4"])),
    "land over IPv6": ("malformed", lambda f: f.v6(f.tcp(), src=f.one.address["v6"], dst=f.one.address["v6"])),
    "zero source": ("malformed", lambda f: f.v4(f.udp(), src="0.0.0.0")),
    "unspecified source": ("malformed", lambda f: f.v6(f.udp(), src="::")),
    "multicast source": ("malformed", lambda f: f.v4(f.udp(), src="224.0.0.1")),
    "multicast source over IPv6": ("malformed", lambda f: f.v6(f.udp(), src="ff02::1")),
    "broadcast source": ("malformed", lambda f: f.v4(f.udp(), src="255.255.255.255")),
    "loopback source": ("malformed", lambda f: f.v4(f.udp(), src="127.0.0.1")),
    "loopback source over IPv6": ("malformed", lambda f: f.v6(f.udp(), src="::1")),
    "loopback destination": ("malformed", lambda f: f.v4(f.udp(), dst="127.0.0.1")),
    "IPv4-mapped source": ("malformed", lambda f: f.v6(f.udp(), src="::ffff:10.1.0.11")),
    # TCP flags.
    "TCP without flags": ("tcp-flags", lambda f: f.v4(f.tcp(""))),
    "TCP with all flags": ("tcp-flags", lambda f: f.v4(f.tcp("FSRPAU"))),
    "TCP SYN and FIN": ("tcp-flags", lambda f: f.v4(f.tcp("SF"))),
    "TCP SYN and RST": ("tcp-flags", lambda f: f.v6(f.tcp("SR"))),
    "TCP FIN alone": ("tcp-flags", lambda f: f.v6(f.tcp("F"))),
    "TCP FIN, PSH and URG": ("tcp-flags", lambda f: f.v4(f.tcp("FPU"))),
    "TCP RST of no connection": ("no-connection", lambda f: f.v4(f.tcp("R"))),
    "TCP ACK of no connection": ("no-connection", lambda f: f.v4(f.tcp("A"))),
    "TCP SYN and ACK of no connection": ("no-connection", lambda f: f.v6(f.tcp("SA"))),
    "TCP SYN with an option of length 0": ("malformed", lambda f: f.v4(f.tcp(dataofs=6), payload=b"\x02\x00\x01\x01")),
    "TCP SYN with an option of length 1": ("malformed", lambda f: f.v6(f.tcp(dataofs=6), payload=b"\x01\x01\x03\x01")),
    "TCP SYN with an option that is cut": ("malformed", lambda f: f.v4(f.tcp(dataofs=6), payload=b"\x01\x01\x03\x03")),
    # ARP and neighbour discovery.
    "ARP for Token Ring": ("arp-malformed", lambda f: f.ethernet / ARP(hwtype=6, hwlen=6, plen=4)),
    "ARP with long addresses": ("arp-malformed", lambda f: f.ethernet / ARP(hwlen=8, hwsrc=b"12345678")),
    "ARP operation 9": ("arp-malformed", lambda f: who_has("10.1.0.1", f.one.mac, f.one.address["v4"], op=9)),
    "ND with hop limit 64": ("nd-malformed", lambda f: solicitation(f, hlim=64)),
    "ND with a wrong checksum": ("nd-malformed", lambda f: solicitation(f, cksum=1)),
    "ND with code 1": ("nd-malformed", lambda f: solicitation(f, code=1)),
    "ND for a multicast address": ("nd-malformed", lambda f: solicitation(f, tgt="ff02::1")),
    "ND with an option of no length": ("nd-malformed", lambda f: solicitation(f, option_length=0)),
    "ND with an option over the end": ("nd-malformed", lambda f: solicitation(f, option_length=9)),
}


def solicitation(frames, hlim=255, option_length=1, **fields):
    one = frames.one
    return (Ether(src=one.mac, dst="33:33:ff:00:00:01") / IPv6(src=one.address["v6"], dst="ff02::1:ff00:1", hlim=hlim)
            / ICMPv6ND_NS(**{"tgt": "fd00:1::1", **fields}) / ICMPv6NDOptSrcLLAddr(lladdr=one.mac, len=option_length))


def test_right_solicitation_is_answered(lab):
    lab["one"].send(solicitation(Frames(lab)))
    assert lab["one"].receive()


@pytest.mark.parametrize("name", BAD)
def test_wrong_frames_are_dropped(lab, name):
    reason, make = BAD[name]
    lab.dropped(lab["one"], make(Frames(lab)), reason)


def test_wrong_flags_inside_a_connection(lab, family):
    """They are dropped, and leave the connection as it is."""
    it = Conversation(lab, family, left="one", right="two")
    assert it.handshake() == "established"
    for flags in ("", "SF", "SR", "FSRPAU"):
        it.dropped(it.left, flags, "tcp-flags")
