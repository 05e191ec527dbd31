"""QosPolicies: what ports, rules and groups may send and receive, exactly by packets; marks; and what programs get."""

import time
from collections import Counter

import pytest

from conversation import Conversation
from node import eventually
from packets import BROADCAST, IP, UDP, IPv6, Raw, token
from web import ADDRESS, ask

# So slow that nothing comes back in a test's time, but for a packet a second.
SLOW = {"rate": "8k", "burst": "10k"}
SIZE = 1000  # of IP packets
BURST = 10  # packets


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def base(make_lab, request):
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=(*request.param, "--metrics", ADDRESS))
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("open", {"direction": "ingress"}, {"direction": "egress"})
    for name, node, network in (("one", "a", "blue"), ("two", "a", "blue"), ("three", "a", "red"), ("far", "b", "blue")):
        lab.workload(name, node, network, securityGroups=["open"])
    return lab.up()


@pytest.fixture
def lab(base):
    """Without policies at the beginning of each test, so that no bucket is another's."""
    yield base
    for workload in base.workloads.values():
        workload.object.pop("qosPolicy", None)
    base.group("open", {"direction": "ingress"}, {"direction": "egress"})
    base.apply(*[o for o in base.objects if o["kind"] in ("Port", "SecurityGroup")])


def policy(lab, **fields):
    # From then on something may come back.
    lab.limited_at = time.monotonic()
    lab.apply({"kind": "QosPolicy", "name": "limited", **fields})


def limit(lab, name, **fields):
    """A policy of these fields for a Port."""
    policy(lab, **fields)
    lab.change(lab[name], qosPolicy="limited")


def packet(sender, receiver, family, sport=1000, dport=9, size=SIZE, **header):
    mark = bytes(token())
    payload = Raw(bytes(size - (28 if family == "v4" else 48) - len(mark)) + mark)
    return sender.frame(receiver, UDP(sport=sport, dport=dport), family, payload=payload, **header)


def arrived(lab, sender, receiver, family, count=30, sport=1000, dport=9, reverse=False):
    """How many of so many packets arrive, and where the others were dropped; none is unaccounted for."""
    before = lab.drops("rate-limit")
    receiver.wire.drain()
    frames = [packet(sender, receiver, family, sport + i % 3, dport) for i in range(count)]
    if reverse:
        # Replies to what the other side opens.
        for i in range(3):
            lab.passes(receiver, packet(receiver, sender, family, dport, sport + i, size=100), sender)
    for frame in frames:
        sender.send(frame)
    found = []

    def all_known():
        found.extend(frame for frame in receiver.wire.drain() if UDP in frame and frame[UDP].dport == dport)
        return len(found) + sum((lab.drops("rate-limit") - before).values()) >= count

    eventually(all_known)
    dropped = lab.drops("rate-limit") - before
    assert len(found) + sum(dropped.values()) == count
    return found, {port for port, _ in dropped}


def is_burst(lab, found, burst=BURST):
    """What a bucket lets through, and what may have come back: a packet a second, and one may wait."""
    assert burst <= len(found) <= burst + 2 + 1.2 * (time.monotonic() - lab.limited_at)


@pytest.mark.parametrize("receiver", ["two", "three", "far"])
def test_what_a_port_sends(lab, family, receiver):
    limit(lab, "one", egress=SLOW)
    found, where = arrived(lab, lab["one"], lab[receiver], family)
    is_burst(lab, found)
    assert where == {"one"}
    # What it receives is not concerned.
    assert len(arrived(lab, lab[receiver], lab["one"], family, sport=2000, dport=10)[0]) == 30


@pytest.mark.parametrize("sender", ["two", "three", "far"])
def test_what_a_port_receives(lab, family, sender):
    limit(lab, "one", ingress=SLOW)
    found, where = arrived(lab, lab[sender], lab["one"], family)
    is_burst(lab, found)
    assert where == {"one"}
    assert len(arrived(lab, lab["one"], lab[sender], family, sport=2000, dport=10)[0]) == 30


def test_all_of_a_port_shares_its_limit(lab):
    limit(lab, "one", egress=SLOW)
    found = [frame for other in ("two", "three", "far") for family in ("v4", "v6")
             for frame in arrived(lab, lab["one"], lab[other], family)[0]]
    is_burst(lab, found)


def test_what_is_over_the_limit_waits(lab, family):
    """And goes in its order; where nothing may wait, it is dropped."""
    one, two = lab["one"], lab["two"]
    lab.passes(one, packet(one, two, family, sport=5000, size=100), two)
    limit(lab, "one", egress={"rate": "800k", "burst": "10k"})
    lab.passes(one, packet(one, two, family, sport=5000, size=100), two)
    sizes = [1000 + i for i in range(26)]
    for frame in [packet(one, two, family, sport=5000, size=size) for size in sizes]:
        one.send(frame)
    found = []

    def all_there():
        found.extend(len(frame[UDP].payload) for frame in two.wire.drain() if UDP in frame)
        return len(found) == len(sizes)

    eventually(all_there)
    assert found == [size - (28 if family == "v4" else 48) for size in sizes]
    lab.change(one, qosPolicy="")
    limit(lab, "one", egress={"rate": "8k", "burst": "10k", "queueMilliseconds": 0})
    is_burst(lab, arrived(lab, one, two, family)[0])


def test_acknowledgements_do_not_wait(lab, family):
    """Where data waits, or is lost, what acknowledges the other direction's goes at once; it counts."""
    one = lab["one"]
    talk = Conversation(lab, family, left="one", right="two")
    talk.handshake()
    limit(lab, "one", egress=SLOW)
    for _ in range(20):
        one.send(talk.frame(one, "PA", payload=bytes(1000)))
    eventually(lambda: lab.drops("rate-limit")["one", "rate-limit"])
    talk.answer("PA", b"question")
    assert talk.send("A") == "established"
    # At a limit of which nothing may wait it is as everything else.
    limit(lab, "one", egress={**SLOW, "queueMilliseconds": 0})
    before = lab.drops("rate-limit")
    for _ in range(20):
        one.send(talk.frame(one, "PA", payload=bytes(1000)))
    eventually(lambda: lab.drops("rate-limit") - before)


def test_replies_count(lab, family):
    limit(lab, "one", egress=SLOW)
    found, where = arrived(lab, lab["one"], lab["two"], family, reverse=True)
    is_burst(lab, found)
    assert where == {"one"}


def test_a_large_burst_after_a_small_one(lab):
    """A live connection has the limit of the moment; what was counted before stays so."""
    limit(lab, "one", egress=SLOW)
    is_burst(lab, arrived(lab, lab["one"], lab["two"], "v4")[0])
    policy(lab, egress={"rate": "100M", "burst": "100k"})
    eventually(lambda: arrived(lab, lab["one"], lab["two"], "v4", count=3)[0])
    # An unrelated change fills no bucket.
    policy(lab, egress=SLOW)
    eventually(lambda: not arrived(lab, lab["one"], lab["two"], "v4", count=3)[0] or None)
    lab.change(lab["far"], allowedAddresses=["10.1.0.200/32"])
    assert len(arrived(lab, lab["one"], lab["two"], "v4", count=6)[0]) < 6


@pytest.mark.parametrize("of", ["rule", "group"])
@pytest.mark.parametrize("sender, receiver", [("one", "two"), ("far", "two"), ("two", "far")])
def test_connections_of_a_rule_or_group(lab, family, of, sender, receiver):
    """They share a limit at the port, in the rule's own direction and in that of the replies."""
    sender, receiver = lab[sender], lab[receiver]
    policy(lab, ingress=SLOW)
    rule = {"direction": "ingress", "protocol": "udp", "ports": "9-11"}
    group = lab.group("narrow", {**rule, "qosPolicy": "limited"} if of == "rule" else rule)
    if of == "group":
        group["qosPolicy"] = "limited"
    lab.apply(group)
    lab.change(receiver, securityGroups=["narrow", "open"])
    try:
        found, where = arrived(lab, sender, receiver, family)
        is_burst(lab, found)
        assert where == {receiver.name}
        policy(lab, egress=SLOW)
        found, where = arrived(lab, receiver, sender, family, sport=9, dport=3000, reverse=True)
        is_burst(lab, found)
        assert where == {receiver.name}
        # Another rule let these in.
        assert len(arrived(lab, sender, receiver, family, dport=20)[0]) == 30
    finally:
        lab.change(receiver, securityGroups=["open"])


def test_multicast_counts(lab):
    """What is for all ports, at its sender and at each receiver."""
    one, two = lab["one"], lab["two"]

    def flood():
        before = lab.drops("rate-limit")
        two.wire.drain()
        for _ in range(20):
            one.send(packet(one, two, "v4", dst="255.255.255.255", dst_mac=BROADCAST))
        found = []

        def all_known():
            found.extend(frame for frame in two.wire.drain() if UDP in frame)
            return len(found) + sum((lab.drops("rate-limit") - before).values()) >= 20

        eventually(all_known)
        assert {port for port, _ in lab.drops("rate-limit") - before} == {"one" if one.object.get("qosPolicy") else "two"}
        return found

    limit(lab, "two", ingress=SLOW)
    is_burst(lab, flood())
    lab.change(two, qosPolicy="")
    limit(lab, "one", egress=SLOW)
    is_burst(lab, flood())


def counts(lab, direction="egress"):
    """What the policy has done on a, as numbers; the counters of JSON are texts."""
    shown = lab.nodes["a"].json("get", "qospolicy", "limited")["status"]["qosPolicy"].get(direction, {})
    return {key: int(value) for key, value in shown.items() if int(value)}


def metric(lab, name, direction="egress"):
    _, body = ask(lab.nodes["a"], "/metrics")
    return int(body.decode().split(f'sluice_qos_{name}_total{{policy="limited",direction="{direction}"}} ')[1].split()[0])


def test_counted(lab):
    """What has passed, waited, was marked and dropped; also of a Port that has another policy now."""
    one, two = lab["one"], lab["two"]
    lab.apply({"kind": "QosPolicy", "name": "limited", "egress": {"rate": "80k", "burst": "10k", "queueMilliseconds": 200}})
    base = counts(lab)
    lab.change(one, qosPolicy="limited")
    found, _ = arrived(lab, one, two, "v4")
    now = {key: value - base.get(key, 0) for key, value in counts(lab).items()}
    assert now["packets"] == len(found) and now["bytes"] == SIZE * len(found)
    assert now["dropped"] == 30 - len(found) and now["droppedBytes"] == SIZE * now["dropped"]
    assert 0 < now["delayed"] <= len(found) - BURST
    assert metric(lab, "packets") == counts(lab)["packets"] and metric(lab, "dropped_bytes") == counts(lab)["droppedBytes"]
    before = counts(lab)
    lab.change(one, qosPolicy="")
    assert counts(lab) == before
    limit(lab, "two", ingress={**SLOW, "excessBurst": "5k", "excessDscp": 12})
    marked = [frame for frame in arrived(lab, one, two, "v6")[0] if class_of(frame) >> 2 == 12]
    assert counts(lab, "ingress")["marked"] == metric(lab, "marked_packets", "ingress") == len(marked) > 0
    assert counts(lab) == before


def test_shown(lab):
    node = lab.nodes["a"]
    limit(lab, "one", egress={"rate": "100M"}, dscp=46)
    assert node.json("get", "qospolicies", "limited")["egress"]["rate"] == "100M"
    assert node.json("get", "port", "one")["qosPolicy"] == "limited"
    text = node.ok("trace", "--port", "one", "udp 10.1.0.11:1 > 10.1.0.12:2")
    assert "egress: limited by limited of one" in text and "marked with DSCP 46 by limited" in text
    assert "limited" not in node.ok("trace", "--port", "two", "udp 10.1.0.12:1 > 10.1.0.14:2")


# Marks.


def class_of(frame):
    return frame[IP].tos if IP in frame else frame[IPv6].tc


@pytest.mark.parametrize("receiver", ["two", "three", "far"])
@pytest.mark.parametrize("ecn", [0, 1, 3])
def test_mark(lab, family, receiver, ecn):
    """DSCP is set, ECN stays, and the header's checksum is right."""
    limit(lab, "one", dscp=46)
    field = {"tos" if family == "v4" else "tc": 8 << 2 | ecn}
    frame = lab.passes(lab["one"], lab["one"].frame(lab[receiver], UDP(sport=1, dport=9), family, **field), lab[receiver])
    assert class_of(frame) == 46 << 2 | ecn
    if family == "v4":
        again = frame.copy()
        del again[IP].chksum
        assert IP(bytes(again[IP])).chksum == frame[IP].chksum
    back = lab.passes(lab[receiver], lab[receiver].frame(lab["one"], UDP(sport=9, dport=1), family, **field), lab["one"])
    assert class_of(back) == 8 << 2 | ecn


def test_congestion_marks_pass(lab, family):
    """Who marks congestion on the way is heard, whichever DSCP a packet is given (RFC 3168)."""
    limit(lab, "one", dscp=46, egress={"rate": "8k", "burst": "10k", "excessBurst": "5k", "excessDscp": 12})
    field = {"tos" if family == "v4" else "tc": 3}
    lab["two"].wire.drain()
    for _ in range(13):
        lab["one"].send(packet(lab["one"], lab["two"], family, **field))
    found = []

    def all_there():
        found.extend(frame for frame in lab["two"].wire.drain() if UDP in frame)
        return len(found) >= 13

    eventually(all_there)
    assert {class_of(frame) for frame in found} == {46 << 2 | 3, 12 << 2 | 3}


def test_peak_alone(lab, family):
    """Two rates (RFC 2698) without a mark for what is between them: the rate is kept, and the peak keeps bursts apart."""
    limit(lab, "one", egress={"rate": "8k", "burst": "30k", "peak": "9k", "peakBurst": "10k", "queueMilliseconds": 0})
    found, where = arrived(lab, lab["one"], lab["two"], family)
    is_burst(lab, found)
    assert where == {"one"} and {class_of(frame) >> 2 for frame in found} == {0}
    limit(lab, "two", ingress={"rate": "8k", "burst": "10k", "peak": "10M", "peakBurst": "30k", "queueMilliseconds": 0})
    lab.change(lab["one"], qosPolicy="")
    found, where = arrived(lab, lab["one"], lab["two"], family)
    is_burst(lab, found)
    assert where == {"two"}


@pytest.mark.parametrize("second", [{"peak": "9k", "peakBurst": "15k"}, {"excessBurst": "5k"}], ids=["peak", "excess"])
def test_excess_is_marked(lab, family, second):
    limit(lab, "one", egress={**SLOW, **second, "excessDscp": 12})
    found, _ = arrived(lab, lab["one"], lab["two"], family)
    classes = Counter(class_of(frame) >> 2 for frame in found)
    # Of which connection the first ones are is open with several workers.
    assert set(classes) == {0, 12} and classes[0] >= BURST and classes[12] >= 5
    is_burst(lab, [frame for frame in found if not class_of(frame) >> 2])
    is_burst(lab, found, BURST + 5)
