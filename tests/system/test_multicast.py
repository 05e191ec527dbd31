"""Groups: who joins gets the packets, on whatever node, and nobody else does. Sluice asks and remembers."""

import contextlib
import itertools
import json
import select
import socket
import struct
import sys

import pytest
from scapy.contrib.igmp import IGMP
from scapy.contrib.igmpv3 import IGMPv3, IGMPv3gr, IGMPv3mq, IGMPv3mr
from scapy.layers.inet6 import ICMPv6MLDMultAddrRec, ICMPv6MLQuery2, ICMPv6MLReport2, RouterAlert

import netns
from node import eventually
from packets import UDP, IPv6ExtHdrHopByHop, Wire, fresh_port

ROUTERS = {"v4": "224.0.0.22", "v6": "ff02::16"}


def mac_of(group):
    if ":" in group:
        return "33:33:" + ":".join("%02x" % byte for byte in socket.inet_pton(socket.AF_INET6, group)[12:])
    high, middle, low = socket.inet_aton(group)[1:]
    return "01:00:5e:%02x:%02x:%02x" % (high & 127, middle, low)


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=request.param)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("limits", 3)
    for name, node, network in (("one", "a", "blue"), ("two", "a", "blue"), ("three", "a", "blue"),
                                ("on-b", "b", "blue"), ("four", "b", "blue"), ("red", "a", "red"),
                                ("greedy", "a", "limits"), ("modest", "a", "limits")):
        lab.workload(name, node, network)
    lab.workload("kernel-a", "a", "blue", kernel=True)
    lab.workload("kernel-b", "b", "blue", kernel=True)
    return lab.up()


def report(sender, group, joins=True, sources=()):
    """A report of IGMPv3 or MLDv2."""
    family = "v6" if ":" in group else "v4"
    kind = (4 if joins else 3) if not sources else (5 if joins else 6)
    if family == "v4":
        message = IGMPv3(type=0x22) / IGMPv3mr(numgrp=1, records=[
            IGMPv3gr(rtype=kind, maddr=group, numsrc=len(sources), srcaddrs=list(sources))])
        return sender.frame(sender, message, "v4", dst=ROUTERS["v4"], dst_mac=mac_of(ROUTERS["v4"]), ttl=1, payload=b"")
    message = IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2(records_number=1, records=[
        ICMPv6MLDMultAddrRec(rtype=kind, dst=group, sources_number=len(sources), sources=list(sources))])
    return sender.frame(sender, message, "v6", src=link_local(sender), dst=ROUTERS["v6"],
                        dst_mac=mac_of(ROUTERS["v6"]), ttl=1, payload=b"")


def link_local(workload):
    return "fe80::5054:ff:fe00:%x" % int(workload.mac[-5:-3] + workload.mac[-2:], 16)


def to_group(sender, group):
    return sender.frame(sender, UDP(sport=fresh_port(), dport=9999), "v6" if ":" in group else "v4", dst=group,
                        dst_mac=mac_of(group))


def receivers(lab, sender, group):
    """Who gets a packet to the group; all of them have it when one that everybody gets has come, too."""
    sent = to_group(sender, group)
    mark = to_group(sender, "224.0.0.200")
    everybody = [w for w in lab.workloads.values()
                 if w.wire and w is not sender and not w.kernel and w.network is sender.network]
    sender.send(sent)
    sender.send(mark)
    found = set()
    for workload in everybody:
        while bytes(got := workload.wire.wait_for(lambda frame: UDP in frame)) != bytes(mark):
            if bytes(got) == bytes(sent):
                found.add(workload.name)
    return found


def becomes(lab, sender, group, expected):
    eventually(lambda: receivers(lab, sender, group) == set(expected))


_numbers = itertools.count(1)


def fresh_group(family):
    """In which nobody is yet: that somebody has left takes its time."""
    number = next(_numbers)
    return f"239.1.{number // 200}.{number % 200}" if family == "v4" else f"ff15::{number:x}"


@pytest.fixture
def group(family):
    return fresh_group(family)


@pytest.fixture
def groups():
    """One of each family, for tests that have to wait: the seconds go by for both."""
    return [fresh_group("v4"), fresh_group("v6")]


def test_members_only(lab, groups):
    one, two, on_b = lab["one"], lab["two"], lab["on-b"]
    for group in groups:
        lab.dropped(one, to_group(one, group), "no-receiver")
        two.send(report(two, group))
    for group in groups:
        becomes(lab, one, group, ["two"])
        # The other node hears of it.
        becomes(lab, on_b, group, ["two"])
        on_b.send(report(on_b, group))
        becomes(lab, one, group, ["two", "on-b"])
        becomes(lab, two, group, ["on-b"])
        # Also who is no member may send, and other networks don't get it.
        assert receivers(lab, one, fresh_group("v4")) == receivers(lab, one, fresh_group("v6")) == set()
        two.send(report(two, group, joins=False))
    for group in groups:
        becomes(lab, one, group, ["on-b"])
        on_b.send(report(on_b, group, joins=False))
    for group in groups:
        becomes(lab, one, group, [])


def test_leaving_is_asked_about(lab, groups):
    """A query for the group goes to the port that says so; who answers stays."""
    two, three = lab["two"], lab["three"]
    wire = Wire(two.netns, two.interface, membership=True)
    for group in groups:
        two.send(report(two, group))
        becomes(lab, lab["one"], group, ["two"])
        two.send(report(two, group, joins=False))

        def asks(frame):
            query = frame.getlayer(IGMPv3mq) or frame.getlayer(ICMPv6MLQuery2)
            return query and getattr(query, "gaddr" if IGMPv3mq in frame else "mladdr") == group

        query = wire.wait_for(asks)
        assert query.dst == mac_of(group) and query.src == two.gateway_mac("v6" if ":" in group else "v4")
        two.send(report(two, group))
        becomes(lab, lab["one"], group, ["two"])
        three.send(report(three, group))
        becomes(lab, lab["one"], group, ["two", "three"])
        three.send(report(three, group, joins=False))
    # It is asked twice; who has answered stays, however long it is.
    for group in groups:
        becomes(lab, lab["one"], group, ["two"])
    wire.close()


def test_sources_count_as_the_group(lab, groups):
    """A member of some sources is one of the group; when it wants the last no more it is asked."""
    two = lab["two"]
    for group in groups:
        source = lab["one"].address["v6" if ":" in group else "v4"]
        two.send(report(two, group, sources=[source]))
        becomes(lab, lab["three"], group, ["two"])
        two.send(report(two, group, joins=False, sources=[source]))
    for group in groups:
        becomes(lab, lab["three"], group, [])


def test_version_2_and_1(lab):
    group, two = fresh_group("v4"), lab["two"]

    def igmp(kind, to):
        return two.frame(two, IGMP(type=kind, gaddr=group), "v4", dst=to, dst_mac=mac_of(to), ttl=1, payload=b"")

    two.send(igmp(0x16, group))
    becomes(lab, lab["one"], group, ["two"])
    two.send(igmp(0x17, "224.0.0.2"))
    becomes(lab, lab["one"], group, [])
    two.send(igmp(0x12, group))
    becomes(lab, lab["one"], group, ["two"])


def test_reports_to_one_receiver(lab, family):
    """A report that is sent to nobody's MAC address joins nothing, on whatever worker it is."""
    two, group = lab["two"], fresh_group(family)
    for number in range(200, 208):
        message = report(two, group)
        message.dst = "52:54:00:00:77:77"
        message[1].dst = f"10.1.0.{number}" if family == "v4" else f"fd00:1::{number}"
        lab.dropped(two, message, "unknown-mac")
    assert receivers(lab, lab["one"], group) == set()


def test_groups_of_the_link_reach_everybody(lab):
    """RFC 4541: without a report, and one makes no difference."""
    for group in ("224.0.0.251", "ff02::fb"):
        assert receivers(lab, lab["one"], group) == {"two", "three", "on-b", "four"}
        lab["two"].send(report(lab["two"], group))
        assert receivers(lab, lab["one"], group) == {"two", "three", "on-b", "four"}


def test_reports_reach_no_workload(lab, group):
    wires = [Wire(lab[name].netns, "eth0", membership=True) for name in ("one", "three", "on-b")]
    lab["two"].send(report(lab["two"], group))
    becomes(lab, lab["one"], group, ["two"])
    for wire in wires:
        assert not [frame for frame in wire.drain() if frame.src == lab["two"].mac and is_report(frame)]
        wire.close()


def is_report(frame):
    return IGMPv3mr in frame or ICMPv6MLReport2 in frame


def test_refused(lab, family, group):
    """Queries are Sluice's, messages must be right, and one's own."""
    two = lab["two"]
    if family == "v4":
        query = two.frame(two, IGMPv3(type=0x11) / IGMPv3mq(gaddr="0.0.0.0"), "v4", dst="224.0.0.1",
                          dst_mac=mac_of("224.0.0.1"), ttl=1, payload=b"")
    else:
        query = two.frame(two, IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLQuery2(), "v6",
                          src=link_local(two), dst="ff02::1", dst_mac=mac_of("ff02::1"), ttl=1, payload=b"")
    lab.dropped(two, query, "membership-query")
    good = report(two, group)
    lab.dropped(two, bytes(good)[:-4] + b"abcd", "membership-malformed")
    spoofed = report(lab["three"], group)
    lab.dropped(two, spoofed, "source-mac")
    if family == "v4":
        spoofed.src = two.mac
        lab.dropped(two, spoofed, "source-address")
    assert receivers(lab, lab["one"], group) == set()


def test_limits(lab):
    """A port may be in 256 groups; what is too much is counted and takes nobody else's place."""
    greedy, modest = lab["greedy"], lab["modest"]
    for number in range(256):
        greedy.send(report(greedy, f"239.7.0.{number}"))
    eventually(lambda: lab.nodes["a"].stats()["ports"]["greedy"]["rxPackets"] >= 256)
    lab.dropped(greedy, report(greedy, "239.8.0.1"), "membership-full")
    modest.send(report(modest, "239.8.0.1"))
    becomes(lab, greedy, "239.8.0.1", ["modest"])
    becomes(lab, modest, "239.7.0.255", ["greedy"])


def test_a_change_of_configuration_keeps_them(lab, group):
    two = lab["two"]
    two.send(report(two, group))
    becomes(lab, lab["one"], group, ["two"])
    lab.change(lab["three"], securityGroups=[])
    lab.apply({"kind": "Network", "name": "later", "vni": 5900})
    assert receivers(lab, lab["one"], group) == {"two"}


def test_trace(lab, group):
    two = lab["two"]
    for member in (two, lab["on-b"]):
        member.send(report(member, group))
    becomes(lab, lab["one"], group, ["two", "on-b"])
    answer = lab.nodes["a"].json("trace", "--port", "one", trace_of(lab["one"], group))
    assert sorted(output["port"] for output in answer["outputs"]) == ["two", "uplink"]


# The kernel's own sockets.

MEMBER = """
import json, socket, struct, sys
group, interface = sys.argv[1:3]
v6 = ":" in group
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
index = socket.if_nametoindex(interface)
s.bind((group, 9999))
if v6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index))
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", socket.inet_aton(group), bytes(4), index))
print("joined", flush=True)
for _ in range(int(sys.argv[3])):
    data, sender = s.recvfrom(2000)
    print(json.dumps([data.decode(), sender[0]]), flush=True)
"""


@contextlib.contextmanager
def member(workload, group, packets=1000):
    process = workload.popen(sys.executable, "-c", MEMBER, group, workload.interface, str(packets))
    try:
        assert process.stdout.readline() == "joined\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def say(workload, group, text):
    with contextlib.closing(workload.open_socket("v6" if ":" in group else "v4", socket.SOCK_DGRAM)) as out:
        index = socket_index(workload)
        if ":" in group:
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        else:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), bytes(4), index))
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        out.sendto(text.encode(), (group, 9999))


def socket_index(workload):
    with netns.inside(workload.netns):
        return socket.if_nametoindex(workload.interface)


def test_sockets(lab, family, group):
    """Members on both nodes, one sender: each hears all, in order; who left hears no more."""
    sender, a, b = lab["kernel-a"], lab["kernel-a"], lab["kernel-b"]
    with member(b, group) as on_b:
        # The report has come when a packet arrives.
        eventually(lambda: say(sender, group, "ready?") or select.select([on_b.stdout], [], [], 0)[0])
        for number in range(50):
            say(sender, group, f"packet {number}")
        heard = [json.loads(on_b.stdout.readline()) for _ in range(51)]
        while heard[-1][0] != "packet 49":
            heard.append(json.loads(on_b.stdout.readline()))
        assert [text for text, _ in heard if text != "ready?"] == [f"packet {number}" for number in range(50)]
        assert {address for _, address in heard} == {sender.address[family]}
        with member(a, group) as on_a:
            eventually(lambda: say(b, group, "back?") or select.select([on_a.stdout], [], [], 0)[0])
    # Closing the socket leaves the group, and the query finds nobody: packets stay on their node. Whose leave is not
    # heard is a member for as long as its last report holds (RFC 3810 section 9.4).
    eventually(lambda: lab.nodes["a"].trace("kernel-a", trace_of(sender, group)) == "drop no-receiver", 290)


def trace_of(sender, group):
    if ":" in group:
        return f"udp [{sender.address['v6']}]:1 > [{group}]:2"
    return f"udp {sender.address['v4']}:1 > {group}:2"


def test_after_a_restart(lab, groups):
    """The first queries bring back what was known, from the ports and from the other node."""
    a, b = lab["kernel-a"], lab["kernel-b"]

    def both_allow(node, sender):
        return all(lab.nodes[node].trace(sender.name, trace_of(sender, group)) == "allow" for group in groups)

    with contextlib.ExitStack() as members:
        for workload in (a, b):
            for group in groups:
                members.enter_context(member(workload, group))
        eventually(lambda: both_allow("a", a) and both_allow("b", b))
        lab.nodes["b"].stop()
        lab.nodes["b"].start()
        if not has_address(b):
            b.configure()
        eventually(lambda: both_allow("b", b))
        for name in ("on-b", "four"):
            lab[name].close()
            lab[name].listen()


def has_address(workload):
    return workload.address["v4"] in netns.run("ip", "-n", workload.netns, "addr")
