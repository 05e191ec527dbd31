"""What somebody with bad intentions sends: as somebody else, around the network's policy, into the node itself.

Each is dropped under its reason, once, and nothing of it reaches anybody. Frames that are merely broken are in
test_malformed.py, what the neighbours on the underlay may try also in test_tunnel.py.
"""

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Advertise, DHCP6_Reply, DHCP6_Solicit, DHCP6OptServerId, DUID_LL
from scapy.layers.inet6 import ICMPv6ND_Redirect, ICMPv6NDOptPrefixInfo

from packets import (ARP, BROADCAST, ICMP, IP, TCP, UDP, VXLAN, Ether, ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6ND_NS,
                     ICMPv6ND_RA, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, IPv6,
                     IPv6ExtHdrHopByHop, PadN, Raw, Wire, echo_reply, fresh_port, told, token, who_has)
from random_packets import link_local

NODE_B = "52:55:00:00:00:02"
STRANGER = "52:54:00:99:99:99"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"


class Underlay:
    """Node b, played by the test."""

    def __init__(self, lab):
        self.lab = lab
        self.wire = Wire(lab.switch, "to-a")
        self.wire.send(who_has(lab.vtep["a"], NODE_B, lab.vtep["b"]))
        self.mac = told(self.wire.wait_for(lambda frame: told(frame, lab.vtep["a"])), lab.vtep["a"])

    def packet(self, inner, vni=5001, source="192.0.2.2"):
        return Ether(src=NODE_B, dst=self.mac) / IP(src=source, dst=self.lab.vtep["a"]) / UDP(
            sport=50000, dport=4789, chksum=0) / VXLAN(vni=vni, flags=8) / inner

    def send(self, frame):
        self.wire.send(frame)

    def __str__(self):
        return "uplink"


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(underlay="v4")
    lab.add_node("b", "192.0.2.2/24", uplink={"netdev": "up0"})
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("other", 3, vrf="t2")
    lab.group("closed")
    lab.workload("mallory", "a", "blue")
    lab.workload("alice", "a", "blue")
    lab.workload("closed", "a", "blue", securityGroups=["closed"])
    lab.workload("red", "a", "red")
    lab.workload("other", "a", "other")
    lab.workload("bob", "b", "blue")
    lab.workload("red-on-b", "b", "red")
    return lab.up()


@pytest.fixture(scope="module")
def underlay(lab):
    made = Underlay(lab)
    yield made
    made.wire.close()


class Mallory:
    """Short words for what a workload sends."""

    def __init__(self, lab):
        self.lab = lab
        self.me, self.alice, self.closed = lab["mallory"], lab["alice"], lab["closed"]
        self.mac = self.me.mac
        self.gateway = self.me.gateway_mac()
        self.v4, self.v6 = self.me.address["v4"], self.me.address["v6"]

    def all(self):
        return Ether(src=self.mac, dst=BROADCAST)

    def arp(self, **fields):
        return self.all() / ARP(**{"op": 2, "hwsrc": self.mac, "psrc": self.v4, "pdst": self.v4, **fields})

    def nd(self, message, source=None, destination=ALL_NODES):
        return Ether(src=self.mac, dst=ALL_NODES_MAC) / IPv6(src=source or link_local(self.mac), dst=destination,
                                                             hlim=255) / message

    def udp(self, to, sport, dport, payload=None, family="v4", **fields):
        return self.me.frame(to, UDP(sport=sport, dport=dport), family, payload=payload, **fields)

    def tcp(self, to, flags, family="v4", **fields):
        return self.me.frame(to, TCP(sport=fresh_port(), dport=80, flags=flags), family, **fields)

    def boot(self, kind, op=1, mac=None, **fields):
        hardware = bytes.fromhex((mac or self.mac).replace(":", ""))
        sport, dport = (68, 67) if op == 1 else (67, 68)
        return self.all() / IP(src="0.0.0.0" if op == 1 else self.v4, dst="255.255.255.255") / UDP(
            sport=sport, dport=dport) / BOOTP(op=op, chaddr=hardware, **fields) / DHCP(
                options=[("message-type", kind), ("server_id", self.v4), "end"])

    def dhcpv6(self, message, sport=547, dport=546, destination=None, mac=None):
        return Ether(src=self.mac, dst=mac or self.alice.mac) / IPv6(
            src=link_local(self.mac), dst=destination or self.alice.address["v6"]) / UDP(sport=sport, dport=dport) / message

    def error(self, quoted, family="v4"):
        error = ICMP(type=3, code=3) if family == "v4" else ICMPv6DestUnreach(code=4)
        return self.me.frame(self.alice, error, family, payload=quoted)


def advertisement(mac):
    return ICMPv6ND_RA(routerlifetime=9000) / ICMPv6NDOptSrcLLAddr(lladdr=mac) / \
        ICMPv6NDOptPrefixInfo(prefix="fd00:bad::", prefixlen=64)


# name: (reason, frame)
IMPERSONATION = {
    "ARP reply for the gateway": ("arp-spoofed", lambda m: m.arp(psrc="10.1.0.1", pdst=m.alice.address["v4"])),
    "gratuitous ARP for the gateway": ("arp-spoofed", lambda m: m.arp(psrc="10.1.0.1", pdst="10.1.0.1")),
    "ARP announcement of another's address": ("arp-spoofed", lambda m: m.arp(
        op=1, psrc=m.alice.address["v4"], pdst=m.alice.address["v4"])),
    "ARP reply for another": ("arp-spoofed", lambda m: m.arp(psrc=m.alice.address["v4"])),
    "ARP with another's MAC address": ("arp-spoofed", lambda m: m.arp(hwsrc=m.alice.mac)),
    "ARP with the gateway's MAC address": ("arp-spoofed", lambda m: m.arp(hwsrc=m.gateway)),
    "ARP from another's MAC address": ("source-mac", lambda m: Ether(src=m.alice.mac, dst=BROADCAST) / ARP(
        op=2, hwsrc=m.alice.mac, psrc=m.alice.address["v4"], pdst=m.v4)),
    "neighbour advertisement for the gateway": ("nd-spoofed", lambda m: m.nd(
        ICMPv6ND_NA(tgt="fd00:1::1", R=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=m.mac), m.v6)),
    "neighbour advertisement for another": ("nd-spoofed", lambda m: m.nd(
        ICMPv6ND_NA(tgt=m.alice.address["v6"], O=1) / ICMPv6NDOptDstLLAddr(lladdr=m.mac), m.v6)),
    "neighbour advertisement with another's MAC address": ("nd-spoofed", lambda m: m.nd(
        ICMPv6ND_NA(tgt=m.v6, O=1) / ICMPv6NDOptDstLLAddr(lladdr=m.alice.mac), m.v6)),
    "neighbour solicitation from another": ("nd-spoofed", lambda m: m.nd(
        ICMPv6ND_NS(tgt="fd00:1::1") / ICMPv6NDOptSrcLLAddr(lladdr=m.mac), m.alice.address["v6"])),
    "router advertisement": ("ra-spoofed", lambda m: m.nd(advertisement(m.mac))),
    "router advertisement to one": ("ra-spoofed", lambda m: m.nd(advertisement(m.mac),
                                                                 destination=link_local(m.alice.mac))),
    "router advertisement as the gateway": ("ra-spoofed", lambda m: m.nd(advertisement(m.gateway),
                                                                         link_local(m.gateway))),
    "router advertisement that ends the gateway": ("ra-spoofed", lambda m: m.nd(
        ICMPv6ND_RA(routerlifetime=0), link_local(m.gateway))),
    "redirect": ("ra-spoofed", lambda m: m.nd(ICMPv6ND_Redirect(tgt=m.v6, dst="2001:db8::1"),
                                              link_local(m.gateway), m.alice.address["v6"])),
    "DHCP offer": ("dhcp-spoofed", lambda m: m.boot("offer", 2, yiaddr="10.1.0.66")),
    "DHCP acknowledgement": ("dhcp-spoofed", lambda m: m.boot("ack", 2, m.alice.mac, yiaddr="10.1.0.66")),
    "DHCP refusal": ("dhcp-spoofed", lambda m: m.boot("nak", 2, m.alice.mac)),
    "DHCP offer as a request": ("dhcp-spoofed", lambda m: m.boot("offer")),
    "DHCP for another": ("dhcp-spoofed", lambda m: m.boot("discover", mac=m.alice.mac)),
    "DHCP release for another": ("dhcp-spoofed", lambda m: m.boot("release", mac=m.alice.mac,
                                                                  ciaddr=m.alice.address["v4"])),
    "DHCP through a relay agent": ("dhcp-spoofed", lambda m: m.boot("discover", giaddr="10.1.0.99")),
    "DHCP answer to one": ("dhcp-spoofed", lambda m: m.udp(m.alice, 67, 68, Raw(bytes(300)))),
    "DHCPv6 advertisement": ("dhcp-spoofed", lambda m: m.dhcpv6(
        DHCP6_Advertise(trid=1) / DHCP6OptServerId(duid=DUID_LL(lladdr=m.mac)))),
    "DHCPv6 reply": ("dhcp-spoofed", lambda m: m.dhcpv6(
        DHCP6_Reply(trid=1) / DHCP6OptServerId(duid=DUID_LL(lladdr=m.mac)))),
    "another's source address": ("source-address", lambda m: m.udp(m.alice, fresh_port(), 53, src="10.1.0.77")),
    "the gateway's source address": ("source-address", lambda m: m.udp(m.alice, fresh_port(), 53, src="10.1.0.1")),
    "the gateway's MAC address": ("source-mac", lambda m: m.udp(m.alice, fresh_port(), 53, src_mac=m.gateway)),
    "another's MAC address": ("source-mac", lambda m: m.udp(m.alice, fresh_port(), 53, src_mac=STRANGER)),
    "the gateway's link-local address": ("source-address", lambda m: m.udp(
        m.alice, fresh_port(), 53, None, "v6", src=link_local(m.gateway))),
}

AROUND_POLICY = {
    "SYN to who is closed": ("security-group-ingress", lambda m: m.tcp(m.closed, "S")),
    "ACK to who is closed": ("security-group-ingress", lambda m: m.tcp(m.closed, "A")),
    "ACK of nothing": ("no-connection", lambda m: m.tcp(m.alice, "A")),
    "SYN and ACK to who is closed": ("security-group-ingress", lambda m: m.tcp(m.closed, "SA")),
    "SYN and ACK of nothing": ("no-connection", lambda m: m.tcp(m.alice, "SA")),
    "FIN to who is closed": ("security-group-ingress", lambda m: m.tcp(m.closed, "FA")),
    "FIN of nothing": ("no-connection", lambda m: m.tcp(m.alice, "FA")),
    "reset of nothing": ("no-connection", lambda m: m.tcp(m.closed, "R")),
    "reset and ACK of nothing": ("no-connection", lambda m: m.tcp(m.alice, "RA", "v6")),
    "Christmas tree": ("tcp-flags", lambda m: m.tcp(m.alice, "FPU")),
    "SYN and FIN": ("tcp-flags", lambda m: m.tcp(m.alice, "SF", "v6")),
    "all flags": ("tcp-flags", lambda m: m.tcp(m.alice, "FSRPAUEC")),
    "no flags": ("tcp-flags", lambda m: m.tcp(m.alice, "", "v6")),
    "echo reply that nobody asked for": ("no-connection", lambda m: m.me.frame(
        m.closed, echo_reply(m.v4, id=fresh_port()), "v4")),
    "echo reply that nobody asked for over IPv6": ("no-connection", lambda m: m.me.frame(
        m.closed, echo_reply(m.v6, id=fresh_port()), "v6")),
    "ICMP error about nothing": ("no-connection", lambda m: m.error(
        IP(src=m.alice.address["v4"], dst=m.v4) / UDP(sport=53, dport=fresh_port()))),
    "ICMP error about others' connection": ("no-connection", lambda m: m.error(
        IP(src=m.alice.address["v4"], dst="10.1.0.1") / TCP(sport=80, dport=fresh_port()))),
    "packet too big about nothing": ("no-connection", lambda m: m.me.frame(
        m.alice, ICMPv6PacketTooBig(mtu=1280), "v6",
        payload=IPv6(src=m.alice.address["v6"], dst=m.v6) / UDP(sport=53, dport=fresh_port()))),
    "ICMP error about an ICMP error": ("malformed", lambda m: m.error(
        IP(src=m.alice.address["v4"], dst=m.v4) / ICMP(type=3, code=3))),
    "another tenant's address": ("no-route", lambda m: m.udp(m.lab["other"], fresh_port(), 53, dst_mac=m.gateway)),
    "source and destination alike": ("malformed", lambda m: m.tcp(m.alice, "S", src=m.v4, dst=m.v4)),
    "loopback through the gateway": ("malformed", lambda m: m.udp(m.alice, 1, 2, dst="127.0.0.1", dst_mac=m.gateway)),
    "own MAC address as destination": ("hairpin", lambda m: m.udp(m.alice, fresh_port(), 53, dst_mac=m.mac)),
    "own address through the gateway": ("malformed", lambda m: m.udp(m.alice, 1, 2, dst=m.v4, dst_mac=m.gateway)),
}

INTO_THE_NODE = {
    "VXLAN to the node's own tunnel address": ("no-route", lambda m: m.udp(
        m.alice, 50000, 4789, VXLAN(vni=5001, flags=8) / m.tcp(m.closed, "S"), dst="192.0.2.1", dst_mac=m.gateway)),
    "VXLAN to another node": ("no-route", lambda m: m.udp(
        m.alice, 50000, 4789, VXLAN(vni=5003, flags=8) / m.tcp(m.closed, "S"), dst="192.0.2.2", dst_mac=m.gateway)),
    "IPv4 in IPv4 to the node": ("no-route", lambda m: m.me.frame(
        m.alice, IP(src="10.1.0.1", dst="10.1.0.12") / ICMP(), "v4", dst="192.0.2.1", dst_mac=m.gateway)),
    "TTL 0": ("ttl", lambda m: m.udp(m.alice, fresh_port(), 53, ttl=0)),
    "hop limit 0": ("ttl", lambda m: m.udp(m.alice, fresh_port(), 53, None, "v6", ttl=0)),
    "TTL 1 through the gateway": ("ttl", lambda m: m.udp(m.lab["red"], fresh_port(), 53, ttl=1)),
    "forty extension headers": ("extension-headers", lambda m: extension_chain(m, 40)),
    "ND behind an extension header to the gateway": ("nd-malformed", lambda m: Ether(src=m.mac, dst=ALL_NODES_MAC) / IPv6(
        src=m.v6, dst=ALL_NODES, hlim=255) / IPv6ExtHdrHopByHop(nh=58, options=[PadN(optdata=b"\0" * 4)]) / Raw(
            bytes([135, 1]) + bytes(22))),
    "DHCP cut in its options": ("dhcp-malformed", lambda m: Ether(
        bytes(m.all() / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(
            op=1, chaddr=bytes.fromhex(m.mac.replace(":", "")), options=b"c\x82Sc") / Raw(b"\x35\x40\1")))),
    "DHCP without a cookie": ("dhcp-malformed", lambda m: m.all() / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(
        sport=68, dport=67) / BOOTP(op=1, chaddr=bytes.fromhex(m.mac.replace(":", ""))) / Raw(b"\1\2\3\4")),
    "DHCPv6 option over the end": ("dhcp-malformed", lambda m: m.dhcpv6(
        DHCP6_Solicit(trid=1) / Raw(b"\0\1\xff\xff"), 546, 547, "ff02::1:2", "33:33:00:01:00:02")),
    "DHCPv6 without a client identifier": ("dhcp-malformed", lambda m: m.dhcpv6(
        DHCP6_Solicit(trid=1), 546, 547, "ff02::1:2", "33:33:00:01:00:02")),
}


def extension_chain(m, count):
    data = b"".join(bytes([60, 0, 1, 4, 0, 0, 0, 0]) for _ in range(count))
    return Ether(src=m.mac, dst=m.alice.mac) / IPv6(src=m.v6, dst=m.alice.address["v6"], nh=0) / Raw(
        data + bytes(UDP(sport=1, dport=2)) + bytes(token()))


CASES = {**IMPERSONATION, **AROUND_POLICY, **INTO_THE_NODE}


@pytest.mark.parametrize("name", CASES)
def test_a_workload(lab, name):
    reason, make = CASES[name]
    at = "closed" if reason == "security-group-ingress" else None
    lab.dropped(lab["mallory"], make(Mallory(lab)), reason, at=at)


def inner(lab, sender, to, layer=None, family="v4", **fields):
    """A frame between workloads, as the sender's node would have taken it."""
    sender, to = lab[sender], lab[to]
    dst_mac = fields.pop("dst_mac", to.mac)
    return sender.frame(to, layer or UDP(sport=fresh_port(), dport=53), family, dst_mac=dst_mac, **fields)


# name: (reason, inner frame, further fields of the tunnel packet)
FROM_A_NODE = {
    "VXLAN in VXLAN to the tunnel address": ("tunnel-source", lambda lab: Ether(src=NODE_B, dst=lab["alice"].mac) / IP(
        src="192.0.2.2", dst="192.0.2.1") / UDP(dport=4789) / VXLAN(vni=5001) / Ether(dst=NODE_B) / IP(), {}),
    "VXLAN in VXLAN of a port": ("tunnel-destination", lambda lab: inner(
        lab, "bob", "alice", UDP(sport=1, dport=4789), dst="192.0.2.1", dst_mac="02:53:4c:00:13:89"), {}),
    "a port of this node as the source": ("tunnel-source", lambda lab: inner(lab, "alice", "mallory"), {}),
    "a port of this node as the source over IPv6": ("tunnel-source", lambda lab: inner(
        lab, "alice", "mallory", None, "v6"), {}),
    "nobody's address": ("tunnel-source", lambda lab: inner(lab, "bob", "alice", src="10.1.0.77"), {}),
    "nobody's MAC address": ("tunnel-source", lambda lab: inner(lab, "bob", "alice", src_mac=STRANGER), {}),
    "the gateway's address": ("tunnel-source", lambda lab: inner(lab, "bob", "alice", src="10.1.0.1"), {}),
    "another node's packet for the gateway": ("tunnel-destination", lambda lab: inner(
        lab, "bob", "alice", dst="10.1.0.1", dst_mac="02:53:4c:00:13:89"), {}),
    "another node's packet back to it": ("hairpin", lambda lab: inner(
        lab, "bob", "bob", dst="10.1.0.99"), {}),
    "another tenant's network": ("tunnel-source", lambda lab: inner(lab, "bob", "other"), {"vni": 5003}),
    "nobody's network": ("unknown-vni", lambda lab: inner(lab, "bob", "alice"), {"vni": 9999}),
    "an address that is no node's": ("unknown-vtep", lambda lab: inner(lab, "bob", "alice"), {"source": "192.0.2.66"}),
    "what the group does not allow": ("security-group-ingress", lambda lab: inner(lab, "bob", "closed"), {}),
    "a router advertisement": ("tunnel-destination", lambda lab: Ether(src=lab["bob"].mac, dst=ALL_NODES_MAC) / IPv6(
        src=link_local(lab["bob"].mac), dst=ALL_NODES, hlim=255) / advertisement(lab["bob"].mac), {}),
    "land": ("malformed", lambda lab: inner(lab, "bob", "alice", src="10.1.0.12", dst="10.1.0.12"), {}),
    "a multicast source": ("malformed", lambda lab: inner(lab, "bob", "alice", src="224.0.0.9"), {}),
    "TTL 0": ("ttl", lambda lab: inner(lab, "bob", "alice", ttl=0), {}),
    "a tag inside": ("vlan", lambda lab: Ether(bytes(inner(lab, "bob", "alice"))[:12] + b"\x81\0\0\7\x08\0"
                                               + bytes(inner(lab, "bob", "alice"))[14:]), {}),
}


@pytest.mark.parametrize("name", FROM_A_NODE)
def test_another_node(lab, underlay, name):
    reason, make, fields = FROM_A_NODE[name]
    at = "closed" if reason == "security-group-ingress" else "uplink"
    lab.dropped(underlay, underlay.packet(make(lab), **fields), reason, at=at)
    assert not [frame for frame in underlay.wire.drain() if VXLAN in frame]
