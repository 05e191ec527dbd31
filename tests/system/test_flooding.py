"""Multicast on the link, broadcast and unknown unicast: to all ports of the network on all nodes, by rules, at a rate."""

import time

import pytest

from node import eventually
from packets import BROADCAST, IP, UDP, IPv6ExtHdrFragment, Raw, fresh_port
from virtio import UDP_L4, Sender, content

UNKNOWN = "52:54:00:00:77:77"
DESTINATIONS = {"broadcast": ("v4", "255.255.255.255", BROADCAST), "subnet's broadcast": ("v4", "10.1.0.255", BROADCAST),
                "mDNS": ("v4", "224.0.0.251", "01:00:5e:00:00:fb"), "mDNS over IPv6": ("v6", "ff02::fb", "33:33:00:00:00:fb"),
                "unknown unicast": ("v4", "10.1.0.99", UNKNOWN), "unknown unicast over IPv6": ("v6", "fd00:1::99", UNKNOWN)}


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=request.param)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("slow", 3, multicast={"rate": 1, "burst": 5})
    lab.network("silent", 4, multicast={"rate": 0})
    lab.network("alone", 5)
    lab.group("closed", {"direction": "egress", "remote": {"cidr": "10.1.0.0/16"}})
    lab.group("mdns", {"direction": "ingress", "protocol": "udp", "ports": "5353"}, {"direction": "egress"})
    for name, node, network, groups in (
            ("one", "a", "blue", []), ("two", "a", "blue", []), ("closed", "a", "blue", ["closed"]),
            ("mdns", "b", "blue", ["mdns"]), ("on-b", "b", "blue", []), ("red", "a", "red", []),
            ("slow-1", "a", "slow", []), ("slow-2", "a", "slow", []), ("slow-3", "b", "slow", []),
            ("silent-1", "a", "silent", []), ("silent-2", "a", "silent", []), ("alone", "a", "alone", [])):
        lab.workload(name, node, network, securityGroups=groups)
    lab.up()
    # The nodes know each other's MAC addresses.
    lab.passes(lab["one"], lab["one"].frame(lab["on-b"], UDP(sport=fresh_port(), dport=53)), lab["on-b"])
    return lab


def frame(sender, name, port=53):
    family, address, mac = DESTINATIONS[name]
    return sender.frame(sender, UDP(sport=fresh_port(), dport=port), family, dst=address, dst_mac=mac)


def arrived(workload, sent):
    return [got for got in workload.wire.drain() if bytes(got) == bytes(sent)]


def settle(lab, names, sent):
    """Waits until each of these workloads has the frame, once."""
    for name in names:
        got = lab[name].wire.wait_for(lambda received: bytes(sent)[-14:] in bytes(received))
        assert bytes(got) == bytes(sent)
    return {name for name, workload in lab.workloads.items() if arrived(workload, sent)}


@pytest.mark.parametrize("name", DESTINATIONS)
def test_everybody_in_the_network(lab, name):
    """On both nodes, once each, as it was sent; not the sender, nobody in another network."""
    before = lab.drops()
    sent = frame(lab["one"], name)
    lab["one"].send(sent)
    assert settle(lab, ["two", "on-b"], sent) == set()
    # Who has a group that lets nothing in refuses its copy, and is charged with that.
    refused = {("closed", "security-group-ingress"), ("mdns", "security-group-ingress")}
    after = eventually(lambda: (now := lab.drops()) and refused <= {key for key in now if now[key] != before.get(key)}
                       and now)
    assert {key for key in after if after[key] != before.get(key)} == refused
    assert all(after[key] == before.get(key, 0) + 1 for key in refused)


def test_from_the_other_node(lab):
    sent = frame(lab["on-b"], "mDNS", 5353)
    lab["on-b"].send(sent)
    assert settle(lab, ["one", "two", "mdns"], sent) == set()


def test_ingress_rules_hold_for_each_copy(lab):
    sent = frame(lab["one"], "mDNS", 5353)
    lab["one"].send(sent)
    assert settle(lab, ["two", "on-b", "mdns"], sent) == set()


def test_egress_rules_hold_once(lab):
    closed = lab["closed"]
    lab.dropped(closed, frame(closed, "mDNS"), "security-group-egress")
    sent = frame(closed, "subnet's broadcast")
    closed.send(sent)
    settle(lab, ["one", "two", "on-b"], sent)


def test_answers_need_a_rule_of_their_own(lab):
    """No connection is made by a packet with several receivers."""
    sent = lab["one"].frame(lab["one"], UDP(sport=5353, dport=5353), dst="224.0.0.251", dst_mac="01:00:5e:00:00:fb")
    question = lab["mdns"].frame(lab["mdns"], UDP(sport=4444, dport=5353), dst="224.0.0.251",
                                 dst_mac="01:00:5e:00:00:fb")
    lab["mdns"].send(question)
    settle(lab, ["one", "two", "on-b"], question)
    lab["one"].send(sent)
    settle(lab, ["two", "on-b", "mdns"], sent)
    lab.dropped(lab["one"], lab["one"].frame(lab["mdns"], UDP(sport=5353, dport=4444)), "security-group-ingress",
                at="mdns")
    for node in lab.nodes.values():
        assert not node.flows(destination="224.0.0.251")


def test_order_is_kept(lab):
    sent = [frame(lab["one"], "mDNS") for _ in range(40)]
    for one in sent:
        lab["one"].send(one)
    for name in ("two", "on-b"):
        for one in sent:
            assert bytes(lab[name].wire.wait_for(lambda got: got.haslayer(UDP))) == bytes(one)


def test_fragments(lab):
    """Each of them, when all are there."""
    one = lab["one"]
    data = bytes(UDP(sport=9, dport=9, len=80)) + bytes(range(72))
    first, last = [one.frame(one, IPv6ExtHdrFragment(nh=17, m=more, offset=at // 8, id=7), "v6", dst="ff02::fb",
                             dst_mac="33:33:00:00:00:fb", payload=Raw(data[at:at + 40])) for at, more in ((0, 1), (40, 0))]
    one.send(first)
    one.send(last)
    settle(lab, ["two", "on-b"], first)
    one.send(last)
    one.send(first)
    settle(lab, ["two", "on-b"], last)


def test_spoofed(lab):
    one = lab["one"]
    for name, (family, address, mac) in DESTINATIONS.items():
        def spoofed(fields):
            return one.frame(one, UDP(sport=9, dport=9), family, dst=address, dst_mac=mac, **fields)
        lab.dropped(one, spoofed({"src": lab["two"].address[family]}), "source-address")
        lab.dropped(one, spoofed({"src_mac": lab["two"].mac}), "source-mac")
    lab.dropped(one, one.frame(one, UDP(sport=9, dport=9), src="0.0.0.0", dst="255.255.255.255", dst_mac=BROADCAST),
                "source-address")


def test_what_is_not_forwarded(lab):
    """A server of addresses that is none, scopes that end at the sender, a group's address for one receiver."""
    one, two = lab["one"], lab["two"]
    offer = one.frame(one, UDP(sport=67, dport=68), dst="255.255.255.255", dst_mac=BROADCAST)
    lab.dropped(one, offer, "dhcp-spoofed")
    solicit = one.frame(one, UDP(sport=547, dport=546), "v6", dst="ff02::1:2", dst_mac="33:33:00:01:00:02")
    lab.dropped(one, solicit, "dhcp-spoofed")
    for scope in (0, 1):
        local = one.frame(one, UDP(sport=9, dport=9), "v6", dst=f"ff0{scope}::1", dst_mac="33:33:00:00:00:01")
        lab.dropped(one, local, "multicast")
    lab.dropped(one, one.frame(two, UDP(sport=9, dport=9), dst="224.0.0.251"), "multicast")


def test_rate(lab):
    """Each port has a bucket of its own; what is too much is dropped at the sender."""
    first, second = lab["slow-1"], lab["slow-2"]
    limited = ("slow-1", "multicast-rate")
    before = lab.drops().get(limited, 0)
    frames, passed = [frame_of(first) for _ in range(40)], []
    began = time.monotonic()
    for sent in frames:
        first.send(sent)

    def all_told():
        passed.extend(got for got in second.wire.drain() if got.haslayer(UDP))
        return len(passed) + lab.drops().get(limited, 0) - before == 40

    eventually(all_told)
    # A burst, and one more for each second that they took.
    assert 5 <= len(passed) <= 5 + time.monotonic() - began + 1
    sent = frame_of(second)
    second.send(sent)
    settle(lab, ["slow-1", "slow-3"], sent)
    # Plain packets are not meant.
    lab.passes(first, first.frame(second, UDP(sport=fresh_port(), dport=53)), second)


def test_rate_of_datagrams_sent_at_once(lab):
    """What a card is left to make several of counts as so many (USO)."""
    third, first = lab["slow-3"], lab["slow-1"]
    sender = Sender(third)
    limited = ("slow-3", "multicast-rate")

    def send(count):
        sent = third.frame(third, UDP(sport=fresh_port(), dport=53), dst="224.0.0.251", dst_mac="01:00:5e:00:00:fb",
                           payload=Raw(content(100 * count)))
        sender.send(sent, gso_type=UDP_L4, header_length=42, size=100, start=34, offset=6)
        return content(100 * count)

    before = lab.drops().get(limited, 0)
    data = send(3)
    first.wire.wait_for(lambda got: UDP in got and bytes(got[UDP].payload) == data[200:])
    assert lab.drops().get(limited, 0) == before
    send(40)
    eventually(lambda: lab.drops().get(limited, 0) > before)
    assert not [got for got in first.wire.drain() if UDP in got and got[IP].src == third.address["v4"]]
    sender.close()


def frame_of(sender):
    return sender.frame(sender, UDP(sport=fresh_port(), dport=53), dst="224.0.0.251", dst_mac="01:00:5e:00:00:fb")


def test_switched_off(lab):
    one = lab["silent-1"]
    lab.dropped(one, frame_of(one), "multicast")
    lab.dropped(one, one.frame(one, UDP(sport=9, dport=9), dst="10.4.0.99", dst_mac=UNKNOWN), "unknown-mac")


def test_nobody_else(lab):
    lab.dropped(lab["alone"], frame_of(lab["alone"]), "no-receiver")


def test_trace(lab):
    """Says who gets a copy and who does not, and replicates nothing."""
    node = lab.nodes["a"]
    answer = node.json("trace", "--port", "one", "udp 10.1.0.11:4000 > 224.0.0.251:53")
    assert answer["verdict"] == "allow"
    assert sorted(output["port"] for output in answer["outputs"]) == ["two", "uplink"]
    text = node.ok("trace", "--port", "one", "udp 10.1.0.11:4000 > 224.0.0.251:53")
    assert "ingress of closed: no rule allows it" in text and "of node b" in text
    assert node.trace("one", "udp [fd00:1::b]:1 > [ff02::fb]:1") == "allow"
    assert node.trace("one", "udp 10.1.0.11:547 > 10.1.0.255:68") == "drop dhcp-spoofed"
    assert node.json("trace", "--port", "on-b", "udp 10.1.0.15:1 > 224.0.0.251:1")["verdict"] == "allow"
    assert node.trace("alone", "udp 10.5.0.22:1 > 224.0.0.251:1") == "drop no-receiver"
    assert not [got for got in lab["two"].wire.drain() if got.haslayer(UDP)]


def test_many_ports(one_lab):
    """More receivers than one turn of a worker serves: all of them get all, in order."""
    lab = one_lab()
    lab.network("blue", 1)
    sender = lab.workload("sender", "a", "blue")
    # Ports without devices still count as receivers; a few with, among them the last.
    for number in range(600):
        lab.objects.append({"kind": "Port", "name": f"p{number}", "node": "a", "network": "blue",
                            "mac": "52:54:01:00:%02x:%02x" % (number >> 8, number & 255),
                            "device": {"netdev": {"name": f"none{number}"}}})
    last = lab.workload("last", "a", "blue")
    lab.up()
    frames = [frame_of(sender) for _ in range(20)]
    for sent in frames:
        sender.send(sent)
    for sent in frames:
        assert bytes(last.wire.wait_for(lambda got: got.haslayer(UDP))) == bytes(sent)
    # Each port's are counted when its turn comes.
    eventually(lambda: (drops := lab.nodes["a"].drops())
               and drops.get(("p0", "port-down")) == drops.get(("p599", "port-down")) == 20)
