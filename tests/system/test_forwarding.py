"""Inside a network by MAC address, between networks of a Vrf through the gateway, and what the gateway itself does."""

import pytest

from packets import (ARP, TCP, UDP, Ether, ICMPv6ND_NA, echo_reply, echo_request, fresh_port, ip_header, told, token,
                     who_has)


@pytest.fixture(scope="module")
def lab(make_lab):
    """Node b has no process: what the objects say of it is enough for answers about its workloads."""
    lab = make_lab()
    lab.objects.append({"kind": "Node", "name": "b"})
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("small", 3, mtu=1300)
    lab.network("island", 4, vrf=None)
    lab.network("apart", 5, vrf="t2")
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue")
    lab.workload("red", "a", "red")
    lab.workload("small", "a", "small")
    lab.workload("island", "a", "island")
    lab.workload("apart", "a", "apart")
    lab.workload("elsewhere", "b", "blue")
    return lab.up()


def udp():
    return UDP(sport=fresh_port(), dport=53)


def hop_limit(frame, family):
    return frame["IP"].ttl if family == "v4" else frame["IPv6"].hlim


def test_frames_inside_a_network_stay_as_they_are(lab, family):
    sent = lab["one"].frame(lab["two"], udp(), family, ttl=1)
    assert bytes(lab.passes(lab["one"], sent, lab["two"])) == bytes(sent)


def test_own_mac(lab, family):
    lab.dropped(lab["one"], lab["one"].frame(lab["two"], udp(), family, dst_mac=lab["one"].mac), "hairpin")


def test_routing(lab, family):
    """One hop less, and the MAC addresses of the new link; nothing else is changed."""
    one, red = lab["one"], lab["red"]
    sent = one.frame(red, udp(), family, ttl=17)
    got = lab.passes(one, sent, red)
    assert got.dst == red.mac
    assert got.src == red.gateway_mac(family)
    assert hop_limit(got, family) == 16
    expected = Ether(bytes(sent))
    expected.src, expected.dst = got.src, got.dst
    if family == "v4":
        expected["IP"].ttl = 16
        del expected["IP"].chksum
    else:
        expected["IPv6"].hlim = 16
    assert bytes(got) == bytes(expected)


def test_routing_back(lab, family):
    one, red = lab["one"], lab["red"]
    port = fresh_port()
    lab.passes(one, one.frame(red, UDP(sport=port, dport=53), family), red)
    got = lab.passes(red, red.frame(one, UDP(sport=53, dport=port), family, ttl=9), one)
    assert (got.src, got.dst, hop_limit(got, family)) == (one.gateway_mac(family), one.mac, 8)


def test_the_last_hop(lab, family):
    """A first packet with no hop left, and one of a live connection."""
    one, red = lab["one"], lab["red"]
    lab.dropped(one, one.frame(red, udp(), family, ttl=1), "ttl")
    layer = udp()
    lab.passes(one, one.frame(red, layer, family, ttl=2), red)
    lab.dropped(one, one.frame(red, layer, family, ttl=1), "ttl")


def test_to_an_own_network_by_the_gateway(lab, family):
    """Who sends to the gateway what is on the same link is routed all the same."""
    one, two = lab["one"], lab["two"]
    got = lab.passes(one, one.frame(two, udp(), family, dst_mac=one.gateway_mac(family), ttl=20), two)
    assert (got.src, hop_limit(got, family)) == (two.gateway_mac(family), 19)


def test_no_route(lab, family):
    one = lab["one"]
    address = {"v4": "203.0.113.1", "v6": "2001:db8:ffff::1"}[family]
    lab.dropped(one, one.frame(lab["red"], udp(), family, dst=address), "no-route")


def test_no_host(lab, family):
    one = lab["one"]
    address = {"v4": "10.2.0.222", "v6": "fd00:2::222"}[family]
    lab.dropped(one, one.frame(lab["red"], udp(), family, dst=address), "no-host")


def test_other_vrf(lab, family):
    one, apart = lab["one"], lab["apart"]
    lab.dropped(one, one.frame(apart, udp(), family), "no-route")


def test_network_without_vrf_is_not_routed(lab, family):
    island, one = lab["island"], lab["one"]
    lab.dropped(island, island.frame(one, udp(), family), "not-routed")
    lab.dropped(one, one.frame(island, udp(), family), "no-route")


def test_larger_than_the_network_s_mtu(lab, family):
    one, small = lab["one"], lab["small"]
    header = {"v4": 28, "v6": 48}[family]
    fits = one.frame(small, udp(), family, payload=b"x" * (1300 - header - 14) + token().load)
    lab.passes(one, fits, small)
    fields = {"flags": "DF"} if family == "v4" else {}
    lab.dropped(one, one.frame(small, udp(), family, payload=b"x" * (1301 - header), **fields), "too-big")


def test_gateway_answers_pings(lab, family):
    """On the own side, and the one of another network in the Vrf."""
    one = lab["one"]
    for gateway in (one.network.gateway[family], lab["red"].network.gateway[family]):
        question = one.frame(one, echo_request(gateway, id=fresh_port(), seq=7), family, dst=gateway,
                             dst_mac=one.gateway_mac(family))
        one.send(question)
        answer = one.wire.wait_for(lambda frame: frame.src == one.gateway_mac(family))
        expected = (Ether(src=question.dst, dst=one.mac) / ip_header(gateway, one.address[family], ttl=64)
                    / echo_reply(gateway, id=question.lastlayer().underlayer.id, seq=7) / question.lastlayer())
        if family == "v4":
            expected["IP"].id = question["IP"].id
        assert bytes(answer) == bytes(expected)


def test_gateway_has_nothing_else(lab, family):
    one = lab["one"]
    gateway = one.network.gateway[family]
    for layer in (udp(), TCP(sport=fresh_port(), dport=22)):
        lab.dropped(one, one.frame(one, layer, family, dst=gateway, dst_mac=one.gateway_mac(family)), "gateway")


def test_gateway_of_another_vrf_is_silent(lab, family):
    one = lab["one"]
    gateway = lab["apart"].network.gateway[family]
    ping = one.frame(one, echo_request(gateway, id=fresh_port()), family, dst=gateway, dst_mac=one.gateway_mac(family))
    lab.dropped(one, ping, "no-route")


def ask(sender, address, source=None):
    """Asks for an address; the MAC address that is told."""
    family = "v6" if ":" in address else "v4"
    sender.wire.drain()
    sender.send(who_has(address, sender.mac, source or sender.address[family]))
    answer = sender.receive()
    assert answer is not None, f"nobody says who has {address}"
    return told(answer, address)


def test_who_has_the_gateway(lab, family):
    """One MAC address, locally administered, wherever in the network it is asked for."""
    gateway = lab["one"].network.gateway[family]
    assert ask(lab["one"], gateway) == ask(lab["two"], gateway)
    assert int(ask(lab["one"], gateway)[:2], 16) & 3 == 2


def test_who_has_a_workload(lab, family):
    """Answered from the objects, and the workload itself is not asked."""
    one, two = lab["one"], lab["two"]
    two.wire.drain()
    assert ask(one, two.address[family]) == two.mac
    assert ask(one, lab["elsewhere"].address[family]) == lab["elsewhere"].mac
    assert not two.wire.drain()


def test_answer_is_as_the_standards_have_it(lab, family):
    one, two = lab["one"], lab["two"]
    one.send(who_has(two.address[family], one.mac, one.address[family]))
    answer = one.receive()
    assert (answer.src, answer.dst) == (two.mac, one.mac)
    if family == "v4":
        expected = ARP(op=2, hwsrc=two.mac, psrc=two.address["v4"], hwdst=one.mac, pdst=one.address["v4"])
        assert bytes(answer.payload)[:28] == bytes(expected)
    else:
        assert answer["IPv6"].hlim == 255 and answer["IPv6"].dst == one.address["v6"]
        advertisement = answer[ICMPv6ND_NA]
        assert (advertisement.R, advertisement.S, advertisement.O) == (0, 1, 1)
        # The checksum is right.
        again = Ether(bytes(answer))
        del again[ICMPv6ND_NA].cksum
        assert bytes(again) == bytes(answer)
        one.send(who_has(one.network.gateway["v6"], one.mac, one.address["v6"]))
        assert one.receive()[ICMPv6ND_NA].R == 1


def test_who_has_what_nobody_has(lab, family):
    one = lab["one"]
    reason = {"v4": "arp-unknown", "v6": "nd-unknown"}[family]
    lab.dropped(one, who_has({"v4": "10.1.0.222", "v6": "fd00:1::222"}[family], one.mac, one.address[family]), reason)
    # An address of another network is behind the gateway, not on this link.
    lab.dropped(one, who_has(lab["red"].address[family], one.mac, one.address[family]), reason)


def test_probe_for_the_own_address_is_unanswered(lab, family):
    """Duplicate address detection finds no duplicate; nor is it a drop. For another's address it finds one."""
    one, two = lab["one"], lab["two"]
    nobody = {"v4": "0.0.0.0", "v6": "::"}[family]
    before = lab.drops()
    one.send(who_has(one.address[family], one.mac, nobody))
    one.send(who_has(two.address[family], one.mac, nobody))
    answer = one.receive()
    assert told(answer, two.address[family]) == two.mac
    assert told(answer, one.address[family]) is None
    assert lab.drops() == before
    if family == "v6":
        assert answer["IPv6"].dst == "ff02::1" and answer[ICMPv6ND_NA].S == 0


def test_own_announcement_is_taken_silently(lab, family):
    one, two = lab["one"], lab["two"]
    before = lab.drops()
    one.send(who_has(one.address[family], one.mac, one.address[family]))
    lab.passes(one, one.frame(two, udp(), family), two)
    assert not one.wire.drain() and not two.wire.drain()
    assert lab.drops() == before
