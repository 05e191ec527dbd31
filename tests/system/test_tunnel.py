"""VXLAN on the wire: the test plays the other nodes, on the far end of the node's uplink."""

import signal

import pytest

import netns
from lab import UNDERLAYS
from node import eventually
from packets import (ARP, BROADCAST, TCP, UDP, VXLAN, Ether, ICMPv6ND_NS, IPv6ExtHdrFragment, Raw, Wire, fresh_port,
                     ip_header, is_refusal, told, who_has)

MDNS = "01:00:5e:00:00:fb"
MACS = {"b": "52:55:00:00:00:02", "c": "52:55:00:00:00:03", "late": "52:55:00:00:00:04",
        "later": "52:55:00:00:00:06", "stranger": "52:55:00:00:00:99"}


class Underlay:
    """The wire at the other end of node a's uplink, and the nodes that are played on it."""

    def __init__(self, lab):
        self.lab = lab
        self.wire = Wire(lab.switch, "to-a")
        self.a = lab.vtep["a"]

    def address(self, name):
        return self.lab.vtep.get(name) or {"v4": "192.0.2.99", "v6": "2001:db8::99"}[self.lab.underlay]

    def mac_of_a(self):
        self.wire.send(who_has(self.a, MACS["b"], self.address("b")))
        return told(self.wire.wait_for(lambda frame: told(frame, self.a)), self.a)

    def asked(self, frame, name):
        """Is it node a's question for the MAC address of a node?"""
        if self.lab.underlay == "v4":
            return ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == self.address(name)
        return ICMPv6ND_NS in frame and frame[ICMPv6ND_NS].tgt == self.address(name)

    def introduce(self, name):
        """The node announces its MAC address by asking for that of node a."""
        self.wire.send(who_has(self.a, MACS[name], self.address(name)))
        self.wire.wait_for(lambda frame: told(frame, self.a))

    def packet(self, inner, vni, sender="b", source=None, flags=8, sport=50000, dport=4789, mac=None, **header):
        """A tunnel packet to node a."""
        outer = ip_header(source or self.address(sender), header.pop("dst", self.a), **header)
        udp = UDP(sport=sport, dport=dport, chksum=0)
        return (Ether(src=MACS[sender], dst=mac or self.mac_of_a()) / outer / udp / VXLAN(vni=vni, flags=flags)
                / inner)

    def is_tunnel(self, frame, inner=None):
        return UDP in frame and frame[UDP].dport == 4789 and (not inner or bytes(inner)[-14:] in bytes(frame))


@pytest.fixture(scope="module", params=["v4", "v6"], ids=["underlay v4", "underlay v6"])
def lab(make_lab, request):
    lab = make_lab(underlay=request.param)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("local", 3, vni=0)
    prefix = UNDERLAYS[request.param]
    for number, name in ((2, "b"), (3, "c"), (4, "late"), (5, "never"), (6, "later")):
        address = prefix.replace("0/", f"{number}/") if request.param == "v4" else prefix.replace("::/", f"::{number}/")
        lab.add_node(name, address, uplink={"netdev": "up0"})
    far = {"v4": "198.51.100.7/24", "v6": "2001:db8:77::7/64"}[request.param]
    lab.add_node("far", far, uplink={"netdev": "up0"})
    other_family = {"v6": "198.51.100.8/24", "v4": "2001:db8:77::8/64"}[request.param]
    lab.add_node("foreign", other_family, uplink={"netdev": "up0"})
    lab.objects.append({"kind": "Node", "name": "bare"})
    lab.group("ssh", {"direction": "ingress", "protocol": "tcp", "ports": "22"}, {"direction": "egress"})
    lab.workload("one", "a", "blue")
    lab.workload("red", "a", "red")
    lab.workload("closed", "a", "blue", securityGroups=["ssh"])
    lab.workload("local", "a", "local")
    for node in ("b", "c", "late", "later", "never", "far", "foreign", "bare"):
        lab.workload(f"on-{node}", node, "blue")
    lab.workload("red-on-b", "b", "red")
    lab.workload("local-on-b", "b", "local")
    return lab.up()


@pytest.fixture(scope="module")
def underlay(lab):
    underlay = Underlay(lab)
    underlay.introduce("b")
    yield underlay
    underlay.wire.close()


def udp(port=None):
    return UDP(sport=port or fresh_port(), dport=53)


def sent_out(lab, underlay, sender, frame):
    underlay.wire.drain()
    sender.send(frame)
    return underlay.wire.wait_for(lambda got: underlay.is_tunnel(got, frame))


def test_sluice_answers_for_its_tunnel_address(lab, underlay):
    """With the MAC address of its uplink, to those who ask for this address, and the kernel doesn't answer too."""
    underlay.wire.drain()
    mac = underlay.mac_of_a()
    assert mac == netns.run("ip", "netns", "exec", lab.nodes["a"].netns, "cat", "/sys/class/net/up0/address").strip()
    other = {"v4": "192.0.2.77", "v6": "2001:db8::77"}[lab.underlay]
    underlay.wire.send(who_has(other, MACS["b"], underlay.address("b")))
    underlay.mac_of_a()
    assert not [frame for frame in underlay.wire.drain() if told(frame, other) or told(frame, underlay.a)]


def test_outer_headers(lab, underlay, family):
    one = lab["one"]
    inner = one.frame(lab["on-b"], udp(), family)
    got = sent_out(lab, underlay, one, inner)
    assert (got.src, got.dst) == (underlay.mac_of_a(), MACS["b"])
    outer = got["IP" if lab.underlay == "v4" else "IPv6"]
    assert (outer.src, outer.dst) == (underlay.a, underlay.address("b"))
    if lab.underlay == "v4":
        assert (outer.ttl, outer.flags, outer.frag) == (64, "DF", 0)
        assert outer.len == len(bytes(outer))
    else:
        assert (outer.hlim, outer.plen) == (64, len(bytes(outer)) - 40)
    assert (got[UDP].dport, got[UDP].chksum) == (4789, 0)
    assert got[UDP].len == len(bytes(got[UDP])) and got[UDP].sport >= 49152
    assert (int(got[VXLAN].flags), got[VXLAN].vni) == (8, lab.networks["blue"].vni)
    assert bytes(got[VXLAN].payload) == bytes(inner)
    # The header checksum is right.
    again = Ether(bytes(got))
    if lab.underlay == "v4":
        del again["IP"].chksum
        assert bytes(again)[:34] == bytes(got)[:34]


def test_a_routed_packet_has_the_network_of_its_destination(lab, underlay, family):
    one, to = lab["one"], lab["red-on-b"]
    inner = one.frame(to, udp(), family, ttl=33)
    got = sent_out(lab, underlay, one, inner)
    assert got[VXLAN].vni == lab.networks["red"].vni
    frame = got[VXLAN].payload
    assert (frame.src, frame.dst) == (lab["red"].gateway_mac(family), to.mac)
    assert (frame["IP"].ttl if family == "v4" else frame["IPv6"].hlim) == 32


def test_source_port_is_the_connection_s(lab, underlay, family):
    """Same for all packets of one, different between them, so that the underlay spreads them."""
    one, to = lab["one"], lab["on-b"]
    of_one = {sent_out(lab, underlay, one, one.frame(to, udp(fixed), family))[UDP].sport
              for fixed in [fresh_port()] for _ in range(4)}
    assert len(of_one) == 1
    of_many = {sent_out(lab, underlay, one, one.frame(to, udp(), family))[UDP].sport for _ in range(16)}
    assert len(of_many) > 8
    assert min(of_many | of_one) >= 49152


def arrives(lab, underlay, inner, vni, receiver="one", **fields):
    underlay.wire.drain()
    underlay.wire.send(underlay.packet(inner, vni, **fields))
    return lab[receiver].wire.wait_for(lambda got: bytes(inner)[-14:] in bytes(got))


def refused(lab, underlay, inner, vni, reason, at="uplink", **fields):
    lab.dropped(underlay.wire, underlay.packet(inner, vni, **fields), reason, at=at)


@pytest.fixture
def blue(lab):
    return lab.networks["blue"].vni


@pytest.fixture
def inner(lab, family):
    """What a workload on node b sends to one of node a."""
    return lab["on-b"].frame(lab["one"], udp(), family)


def test_inner_frame_arrives_as_it_was(lab, underlay, blue, inner):
    assert bytes(arrives(lab, underlay, inner, blue)) == bytes(inner)


def test_bits_to_be_ignored_are(lab, underlay, blue, inner):
    """RFC 7348 section 5: on receipt, all flags but the one that says that there is a VNI."""
    packet = bytearray(bytes(underlay.packet(inner, blue)))
    header = len(packet) - len(bytes(inner)) - 8
    packet[header:header + 4] = b"\xff\xff\xff\xff"
    packet[header + 7] = 0xff
    underlay.wire.send(bytes(packet))
    lab["one"].wire.wait_for(lambda got: bytes(inner)[-14:] in bytes(got))


def test_routed_by_the_other_node(lab, underlay, family):
    """A packet that node b has routed comes in the receiver's network, from its gateway."""
    one = lab["one"]
    gateway = one.gateway_mac(family)
    inner = lab["red-on-b"].frame(one, udp(), family, src_mac=gateway, dst_mac=one.mac)
    arrives(lab, underlay, inner, lab.networks["blue"].vni)


def test_unknown_vni(lab, underlay, blue, inner):
    for vni in (1, blue + 100, 0xffffff, 0):
        refused(lab, underlay, inner, vni, "unknown-vni")
    arrives(lab, underlay, inner, blue)


def test_unknown_vtep(lab, underlay, blue, inner):
    refused(lab, underlay, inner, blue, "unknown-vtep", sender="stranger")
    # Node a's own address is no other node's.
    refused(lab, underlay, inner, blue, "unknown-vtep", source=underlay.a)
    arrives(lab, underlay, inner, blue)


def test_no_vni_flag(lab, underlay, blue, inner):
    refused(lab, underlay, inner, blue, "tunnel-header", flags=0)
    refused(lab, underlay, inner, blue, "tunnel-header", flags=0xf7)
    arrives(lab, underlay, inner, blue)


def test_other_ports_are_no_tunnel(lab, underlay, blue, inner):
    refused(lab, underlay, inner, blue, "not-for-us", dport=4790)
    arrives(lab, underlay, inner, blue)


def test_truncated(lab, underlay, blue, inner):
    """Cut in the outer headers, in VXLAN, in the inner frame; each with lengths that say so, and without."""
    whole = underlay.packet(inner, blue)
    headers = len(bytes(whole)) - len(bytes(inner))
    for size in (headers - 12, headers - 4, headers + 10, headers + 30, len(bytes(whole)) - 1):
        lab.dropped(underlay.wire, bytes(whole)[:size], "truncated", at="uplink")
    for size in (0, 4, 13, 14, 33, 50):
        short = underlay.packet(Raw(bytes(inner)[:size]), blue)
        lab.dropped(underlay.wire, short, "truncated", at="uplink")
    arrives(lab, underlay, inner, blue)


def test_outer_padding_is_no_payload(lab, underlay, blue, family):
    """A short frame is filled up by the link; none of that reaches the workload."""
    inner = lab["on-b"].frame(lab["one"], udp(), family)
    packet = bytes(underlay.packet(inner, blue)) + b"\xaa" * 30
    underlay.wire.send(packet)
    got = lab["one"].wire.wait_for(lambda frame: bytes(inner)[-14:] in bytes(frame))
    assert bytes(got) == bytes(inner)


def test_outer_fragments(lab, underlay, blue, inner):
    """RFC 7348 section 4.3: tunnel endpoints don't fragment."""
    packet = underlay.packet(inner, blue)
    if lab.underlay == "v4":
        packet["IP"].flags = "MF"
    else:
        packet["IPv6"].payload = IPv6ExtHdrFragment(nh=17, m=1, id=5) / packet["IPv6"].payload
        packet["IPv6"].nh = 44
    lab.dropped(underlay.wire, packet, "tunnel-header", at="uplink")
    arrives(lab, underlay, inner, blue)


def test_inner_source_must_be_a_port_of_the_sending_node(lab, underlay, blue, family):
    """By MAC and by IP address: those of another node, of this one, of nobody."""
    one, on_b, on_c = lab["one"], lab["on-b"], lab["on-c"]
    good = on_b.frame(one, udp(), family)
    arrives(lab, underlay, good, blue)
    spoofed = [
        on_c.frame(one, udp(), family),
        on_b.frame(one, udp(), family, src=on_c.address[family]),
        on_b.frame(one, udp(), family, src_mac=on_c.mac),
        on_b.frame(one, udp(), family, src=lab["closed"].address[family]),
        lab["closed"].frame(one, udp(), family),
        on_b.frame(one, udp(), family, src={"v4": "10.1.0.250", "v6": "fd00:1::250"}[family]),
        on_b.frame(one, udp(), family, src_mac="52:54:00:00:88:88"),
        on_c.frame(one, udp(), family, src_mac=one.gateway_mac(family)),
    ]
    for frame in spoofed:
        refused(lab, underlay, frame, blue, "tunnel-source")
    # The same frame from the node that has the port is right.
    underlay.introduce("c")
    arrives(lab, underlay, spoofed[0], blue, sender="c")


def test_within_a_live_connection(lab, underlay, blue, family):
    """The right five-tuple and MAC addresses from another node end as the first packet would have."""
    one, on_b = lab["one"], lab["on-b"]
    frame = on_b.frame(one, udp(), family)
    arrives(lab, underlay, frame, blue)
    refused(lab, underlay, frame, blue, "tunnel-source", sender="c")
    arrives(lab, underlay, frame, blue)


def test_inner_destination_must_be_a_port_of_this_node(lab, underlay, blue, family):
    one, on_b, on_c = lab["one"], lab["on-b"], lab["on-c"]
    refused(lab, underlay, on_b.frame(on_c, udp(), family), blue, "tunnel-destination")
    refused(lab, underlay, on_b.frame(one, udp(), family, dst_mac=one.gateway_mac(family)), blue, "tunnel-destination")
    refused(lab, underlay, who_has(one.address[family], on_b.mac, on_b.address[family]), blue, "tunnel-destination")


def test_multicast_through_the_tunnel(lab, underlay, blue):
    """It ends at this node's ports: nothing goes on to a third node, nor back."""
    frame = lab["on-b"].frame(lab["one"], udp(), "v4", dst="224.0.0.251", dst_mac="01:00:5e:00:00:fb")
    arrives(lab, underlay, frame, blue)
    after = lab["on-b"].frame(lab["one"], udp(), "v4")
    arrives(lab, underlay, after, blue)
    assert not [got for got in underlay.wire.drain() if underlay.is_tunnel(got, frame)]
    # The sender must be a port of the node, and no gateway: nothing of this kind is routed.
    refused(lab, underlay, lab["on-c"].frame(lab["one"], udp(), "v4", dst="224.0.0.251", dst_mac=MDNS), blue,
            "tunnel-source")
    refused(lab, underlay, lab["on-b"].frame(lab["one"], udp(), "v4", dst="224.0.0.251", dst_mac=MDNS,
                                             src_mac=lab["one"].gateway_mac()), blue, "tunnel-source")


def test_security_groups_hold_for_what_comes_through_the_tunnel(lab, underlay, blue, family):
    on_b, closed = lab["on-b"], lab["closed"]

    def tcp(port):
        return on_b.frame(closed, TCP(sport=fresh_port(), dport=port, flags="S"), family)

    arrives(lab, underlay, tcp(22), blue, receiver="closed")
    refused(lab, underlay, tcp(23), blue, "security-group-ingress", at="closed")


def test_no_way_to_the_other_node(lab, underlay, family):
    """No uplink there, no VNI, no gateway to it, or another address family."""
    one, local = lab["one"], lab["local"]
    lab.dropped(one, one.frame(lab["on-bare"], udp(), family), "no-uplink")
    lab.dropped(local, local.frame(lab["local-on-b"], udp(), family), "no-uplink")
    lab.dropped(one, one.frame(lab["on-far"], udp(), family), "no-underlay-route")
    lab.dropped(one, one.frame(lab["on-foreign"], udp(), family), "no-underlay-route")


def test_first_packets_wait_for_the_next_hop(lab, underlay):
    """Held while it is asked for, sent in their order when the answer is there; then nobody is asked again."""
    one = lab["one"]
    frames = [one.frame(lab["on-late"], udp(), family) for family in ("v4", "v6", "v4")]
    underlay.wire.drain()
    before = lab.drops()
    for frame in frames:
        one.send(frame)
    underlay.wire.wait_for(lambda frame: underlay.asked(frame, "late"))
    assert not [frame for frame in underlay.wire.drain() if underlay.is_tunnel(frame)]
    underlay.wire.send(who_has(underlay.a, MACS["late"], underlay.address("late")))
    for frame in frames:
        got = underlay.wire.wait_for(underlay.is_tunnel)
        assert got.dst == MACS["late"] and bytes(got[VXLAN].payload) == bytes(frame)
    assert lab.drops() == before
    # Waiting does not make two of one.
    for frame in frames:
        assert [flow["packets"] for flow in lab.nodes["a"].flows(sourcePort=frame[UDP].sport)] == [1]
    more = one.frame(lab["on-late"], udp())
    one.send(more)
    seen = []
    underlay.wire.wait_for(lambda frame: seen.append(frame) or underlay.is_tunnel(frame, more))
    assert not [frame for frame in seen if underlay.asked(frame, "late")]


def test_nobody_overtakes_who_waits_for_the_next_hop(lab, underlay):
    """The answer and further packets are there in one turn of the worker: they go behind those that wait."""
    one, node = lab["one"], lab.nodes["a"]
    frames = [one.frame(lab["on-later"], udp(), family) for family in ("v4", "v6", "v4")]
    underlay.wire.drain()
    one.send(frames[0])
    underlay.wire.wait_for(lambda frame: underlay.asked(frame, "later"))
    node.process.send_signal(signal.SIGSTOP)
    try:
        underlay.wire.send(who_has(underlay.a, MACS["later"], underlay.address("later")))
        for frame in frames[1:]:
            one.send(frame)
    finally:
        node.process.send_signal(signal.SIGCONT)
    for frame in frames:
        got = underlay.wire.wait_for(underlay.is_tunnel)
        assert got.dst == MACS["later"] and bytes(got[VXLAN].payload) == bytes(frame)


def test_next_hop_that_never_answers(lab, underlay):
    """Asked for several times; then the packet is dropped and counted."""
    one = lab["one"]

    def is_asked_twice():
        underlay.wire.drain()
        lab.dropped(one, one.frame(lab["on-never"], udp()), "neighbour-unresolved")
        frames = underlay.wire.drain()
        assert not [frame for frame in frames if underlay.is_tunnel(frame)]
        return len([frame for frame in frames if underlay.asked(frame, "never")]) >= 2

    # The first question may be one of before.
    eventually(is_asked_twice)


def test_the_sender_is_told_that_a_node_does_not_answer(lab, underlay, family):
    one = lab["one"]
    one.wire.drain()
    one.send(one.frame(lab["on-never"], udp(), family))
    error = one.wire.wait_for(is_refusal)
    icmp = bytes(error.payload)[{"v4": 20, "v6": 40}[family]:]
    assert (icmp[0], icmp[1]) == {"v4": (3, 1), "v6": (1, 3)}[family]


def test_the_question_is_as_the_standards_have_it(lab, underlay):
    one = lab["one"]
    underlay.wire.drain()
    one.send(one.frame(lab["on-never"], udp()))
    question = underlay.wire.wait_for(lambda frame: underlay.asked(frame, "never"))
    assert question.src == underlay.mac_of_a()
    if lab.underlay == "v4":
        assert question.dst == BROADCAST
        assert (question[ARP].hwsrc, question[ARP].psrc) == (question.src, underlay.a)
    else:
        assert question.dst == "33:33:ff:00:00:05"
        header = question["IPv6"]
        assert (header.src, header.dst, header.hlim) == (underlay.a, "ff02::1:ff00:5", 255)
        assert question["ICMPv6NDOptSrcLLAddr"].lladdr == question.src
    eventually(lambda: ("one", "neighbour-unresolved") in lab.drops())
