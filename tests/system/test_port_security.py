"""A workload sends from its own MAC and IP addresses only, with and without security groups."""

import pytest

from packets import (ARP, UDP, Ether, ICMPv6ND_NA, ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr,
                     ICMPv6NDOptSrcLLAddr, IPv6, fresh_port, told, who_has)


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("all", {"direction": "ingress"}, {"direction": "egress"})
    lab.workload("one", "a", "blue", securityGroups=["all"])
    lab.workload("two", "a", "blue")
    lab.workload("three", "a", "blue", allowedAddresses=["10.1.0.128/28", "fd00:1::1:0/112"])
    lab.workload("routed", "a", "red")
    return lab.up()


@pytest.fixture(params=["one", "two"], ids=["with groups", "without groups"])
def sender(lab, request):
    return lab[request.param]


def udp(port=None):
    return UDP(sport=port or fresh_port(), dport=53)


def test_own_addresses_pass(lab, sender, family):
    lab.passes(sender, sender.frame(lab["three"], udp(), family), lab["three"])
    lab.passes(sender, sender.frame(lab["routed"], udp(), family), lab["routed"])


def test_source_mac(lab, sender, family):
    spoofed = sender.frame(lab["three"], udp(), family, src_mac="52:54:00:00:99:99")
    lab.dropped(sender, spoofed, "source-mac")
    lab.dropped(sender, sender.frame(lab["one" if sender is lab["two"] else "two"], udp(), family,
                                     src_mac=lab["three"].mac), "source-mac")


def test_source_address(lab, sender, family):
    nobodys = {"v4": "10.1.0.200", "v6": "fd00:1::200"}[family]
    lab.dropped(sender, sender.frame(lab["routed"], udp(), family, src=nobodys), "source-address")
    lab.dropped(sender, sender.frame(lab["routed"], udp(), family, src=lab["three"].address[family]), "source-address")
    lab.dropped(sender, sender.frame(lab["three"], udp(), family, src=lab["routed"].address[family]), "source-address")


def test_source_within_a_live_connection(lab, family):
    """The five-tuple of others' connection does not help, whatever MAC address is tried with it."""
    one, two, three = lab["one"], lab["two"], lab["three"]
    port = fresh_port()
    lab.passes(one, one.frame(two, udp(port), family), two)
    theirs = one.address[family]
    lab.dropped(three, three.frame(two, udp(port), family, src=theirs), "source-address")
    lab.dropped(three, three.frame(two, udp(port), family, src=theirs, src_mac=one.mac), "source-mac")
    lab.dropped(one, one.frame(two, udp(port), family, src_mac=three.mac), "source-mac")
    reply = {"layer": UDP(sport=53, dport=port), "family": family, "src": two.address[family]}
    lab.dropped(three, three.frame(one, **reply), "source-address")
    # The connection goes on, and none of that was counted for it.
    lab.passes(one, one.frame(two, udp(port), family), two)
    lab.passes(two, two.frame(one, UDP(sport=53, dport=port), family), one)
    [flow] = lab.nodes["a"].flows(source=theirs, sourcePort=port)
    assert int(flow["packets"]) == 3


def test_source_of_an_answer(lab, family):
    """Who is sent a packet for an address that is not its own does not answer under that address."""
    one, two = lab["one"], lab["two"]
    stranger = {"v4": "10.1.0.222", "v6": "fd00:1::222"}[family]
    port = fresh_port()
    lab.passes(one, one.frame(two, UDP(sport=port, dport=53), family, dst=stranger), two)
    lab.dropped(two, two.frame(one, UDP(sport=53, dport=port), family, src=stranger), "source-address")


def test_arp_sender(lab, sender):
    gateway = sender.network.gateway["v4"]
    own = who_has(gateway, sender.mac, sender.address["v4"])
    sender.send(own)
    assert told(sender.receive(), gateway)
    lab.dropped(sender, who_has(gateway, sender.mac, lab["three"].address["v4"]), "arp-spoofed")
    lab.dropped(sender, who_has(gateway, sender.mac, sender.address["v4"], hwsrc=lab["three"].mac), "arp-spoofed")
    lab.dropped(sender, who_has(gateway, lab["three"].mac, sender.address["v4"]), "source-mac")
    announced = Ether(src=sender.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=sender.mac, psrc=gateway, pdst=gateway)
    lab.dropped(sender, announced, "arp-spoofed")


def test_nd_solicitation_sender(lab, sender):
    gateway = sender.network.gateway["v6"]
    sender.send(who_has(gateway, sender.mac, sender.address["v6"]))
    assert told(sender.receive(), gateway)
    lab.dropped(sender, who_has(gateway, sender.mac, lab["three"].address["v6"]), "nd-spoofed")
    lab.dropped(sender, who_has(gateway, sender.mac, sender.address["v6"], hwsrc=lab["three"].mac), "nd-spoofed")
    lab.dropped(sender, who_has(gateway, lab["three"].mac, sender.address["v6"]), "source-mac")


def advertisement(sender, target, mac=None, router=0):
    return (Ether(src=sender.mac, dst="33:33:00:00:00:01") / IPv6(src=sender.address["v6"], dst="ff02::1", hlim=255)
            / ICMPv6ND_NA(tgt=target, R=router, S=0) / ICMPv6NDOptDstLLAddr(lladdr=mac or sender.mac))


def test_nd_advertisement_target(lab, sender):
    """Who announces what is not its own is not heard; own announcements are no drop, those of a router neither."""
    before = lab.drops()
    sender.send(advertisement(sender, sender.address["v6"]))
    sender.send(advertisement(sender, sender.address["v6"], router=1))
    lab.passes(sender, sender.frame(lab["three"], udp(), "v6"), lab["three"])
    assert lab.drops() == before
    lab.dropped(sender, advertisement(sender, lab["three"].address["v6"]), "nd-spoofed")
    lab.dropped(sender, advertisement(sender, sender.network.gateway["v6"]), "nd-spoofed")
    lab.dropped(sender, advertisement(sender, sender.address["v6"], mac=lab["three"].mac), "nd-spoofed")
    lab.dropped(sender, advertisement(sender, sender.network.gateway["v6"], router=1), "nd-spoofed")


def test_router_advertisement(lab, sender):
    """A workload is no router, from its own addresses neither."""
    for source in (sender.address["v6"], "fe80::1"):
        frame = (Ether(src=sender.mac, dst="33:33:00:00:00:01") / IPv6(src=source, dst="ff02::1", hlim=255)
                 / ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=sender.mac))
        lab.dropped(sender, frame, "ra-spoofed")


def test_router_solicitation_reaches_no_workload(lab, sender):
    """The gateway alone answers."""
    frame = (Ether(src=sender.mac, dst="33:33:00:00:00:02") / IPv6(src=sender.address["v6"], dst="ff02::2", hlim=255)
             / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=sender.mac))
    sender.send(frame)
    assert ICMPv6ND_RA in sender.receive()
    sender.send(who_has(sender.network.gateway["v4"], sender.mac, sender.address["v4"]))
    assert told(sender.receive(), sender.network.gateway["v4"])
    assert not lab["three"].wire.drain()


ALLOWED = {"v4": ("10.1.0.128", "10.1.0.143"), "v6": ("fd00:1::1:0", "fd00:1::1:ffff")}
BESIDE = {"v4": ("10.1.0.127", "10.1.0.144"), "v6": ("fd00:1::ffff", "fd00:1::2:0")}


def test_allowed_addresses(lab, family):
    """A prefix in allowedAddresses may be a source, up to its edges."""
    three, two = lab["three"], lab["two"]
    for source in ALLOWED[family]:
        lab.passes(three, three.frame(two, udp(), family, src=source), two)
    for source in BESIDE[family]:
        lab.dropped(three, three.frame(two, udp(), family, src=source), "source-address")
    lab.dropped(two, two.frame(three, udp(), family, src=ALLOWED[family][1]), "source-address")


def test_link_local_of_the_own_mac(lab):
    """fe80:: made from the port's MAC address may be used; others may not."""
    two, three = lab["two"], lab["three"]
    own = "fe80::5054:ff:fe00:%x" % int(two.mac[-5:-3] + two.mac[-2:], 16)
    other = "fe80::5054:ff:fe00:%x" % int(three.mac[-5:-3] + three.mac[-2:], 16)
    lab.passes(two, two.frame(three, udp(), "v6", src=own, dst=other), three)
    lab.dropped(two, two.frame(three, udp(), "v6", src=other, dst=three.address["v6"]), "source-address")
    lab.dropped(two, two.frame(three, udp(), "v6", src="fe80::1", dst=other), "source-address")
