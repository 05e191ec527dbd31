"""What one port, or the ports of another node, may open: no workload fills the table for others."""

import re
import struct

import pytest

from conversation import Conversation
from node import eventually
from packets import ICMP, TCP, UDP, Raw, fresh_port
from test_audit import own_memory

TABLE = 64


@pytest.fixture(scope="module")
def lab(make_lab):
    """`left` is limited by the tests; `right` and `third` are as the node has it, which says nothing."""
    lab = make_lab(options=["--connections", str(TABLE)])
    lab.network("blue", 1, connectionTracking={"idleTimes": {"closed": 1, "timeWait": 1}})
    lab.group("open", {"direction": "ingress"}, {"direction": "egress"})
    for name in ("left", "right", "third"):
        lab.workload(name, "a", "blue", securityGroups=["open"])
    return lab.up()


@pytest.fixture(autouse=True)
def empty(request):
    """Without connections, and without limits: who may open none any more ends those that it has."""
    yield
    if "lab" in request.fixturenames:
        lab = request.getfixturevalue("lab")
        for workload in lab.workloads.values():
            if workload.object.pop("limits", None):
                lab.apply(workload.object)
        forget(lab)


def forget(lab):
    """All connections end: no rule allows them at their next packet."""
    node = lab.nodes["a"]
    lab.rules("open")
    for flow in node.flows():
        left, right = (next(w for w in lab.workloads.values() if flow[side] in w.address.values())
                       for side in ("source", "destination"))
        family = "v6" if ":" in flow["source"] else "v4"
        if flow["protocol"].startswith("icmp"):
            layer = echo(family, flow["sourcePort"])
        else:
            layer = {"tcp": TCP, "udp": UDP}[flow["protocol"]](sport=flow["sourcePort"], dport=flow["destinationPort"])
        left.send(left.frame(right, layer, family))
    eventually(lambda: counts(lab, "left") == counts(lab, "right") == counts(lab, "third") == (0, 0))
    assert not node.flows()
    lab.rules("open", {"direction": "ingress"}, {"direction": "egress"})


def echo(family, identifier):
    from scapy.layers.inet6 import ICMPv6EchoRequest
    return ICMP(type=8, id=identifier) if family == "v4" else ICMPv6EchoRequest(id=identifier)


def counts(lab, port, node="a"):
    stats = lab.nodes[node].stats()["ports"][port]
    return int(stats["connections"]), int(stats["halfOpenConnections"])


def datagram(lab, family, left="left", right="right", port=None):
    return lab[left].frame(lab[right], UDP(sport=port or fresh_port(), dport=53), family)


def refused(lab, frame, reason, port="left"):
    """A trace says so, the packet is dropped, and no connection is there."""
    before = len(lab.nodes["a"].flows())
    traced = lab.nodes["a"].json("trace", "--port", port, "--frame", bytes(frame).hex())
    assert (traced["verdict"], traced["reason"]) == ("drop", reason)
    lab.dropped(lab[port], frame, reason)
    assert len(lab.nodes["a"].flows()) == before


def test_connections(lab, family):
    """So many from the port; those that are there go on, others open theirs, and who is asked owes nothing."""
    left, right = lab["left"], lab["right"]
    lab.change(left, limits={"connections": 3})
    ports = [fresh_port() for _ in range(3)]
    for port in ports:
        lab.passes(left, datagram(lab, family, port=port), right)
    assert (counts(lab, "left"), counts(lab, "right")) == ((3, 3), (0, 0))
    refused(lab, datagram(lab, family), "connection-limit")
    refused(lab, left.frame(right, echo(family, 7), family), "connection-limit")
    lab.passes(right, right.frame(left, UDP(sport=53, dport=ports[0]), family), left)
    lab.passes(left, datagram(lab, family, port=ports[0]), right)
    assert counts(lab, "left") == (3, 2)
    lab.passes(right, datagram(lab, family, "right", "left"), left)
    assert (counts(lab, "left"), counts(lab, "right")) == ((3, 2), (1, 1))
    lab.change(left, limits={"connections": 4})
    lab.passes(left, datagram(lab, family), right)


def test_half_open(lab, family):
    """Until the other side has answered, and the opener that. Pings are none."""
    left, right = lab["left"], lab["right"]
    lab.change(left, limits={"halfOpen": 2})
    first, second, third = (Conversation(lab, family) for _ in range(3))
    first.send("S")
    second.send("S")
    assert counts(lab, "left") == (2, 2)
    refused(lab, third.frame(left, "S"), "half-open-limit")
    refused(lab, datagram(lab, family), "half-open-limit")
    lab.passes(left, left.frame(right, echo(family, 8), family), right)
    first.answer("SA")
    assert counts(lab, "left") == (3, 2)
    assert first.send("A") == "established"
    assert counts(lab, "left") == (3, 1)
    assert third.send("S") == "syn-sent"
    # What is refused is none any more either.
    assert second.answer("RA", seq=0) == "closed"
    assert counts(lab, "left")[1] == 1


@pytest.mark.parametrize("name, family", [("left", "v4"), ("third", "v6")])
def test_rate(lab, name, family):
    """So many at once, and then what a second gives. What is open already is not asked."""
    port = fresh_port()
    lab.change(lab[name], limits={"connectionRate": 1, "connectionBurst": 3})
    lab.passes(lab[name], datagram(lab, family, name, port=port), lab["right"])
    frames = [datagram(lab, family, name) for _ in range(20)]
    for frame in frames:
        lab[name].send(frame)
    eventually(lambda: lab.drops()[name, "connection-rate"] + counts(lab, name)[0] == 21)
    assert counts(lab, name)[0] >= 3 and lab.drops()[name, "connection-rate"] > 0
    for _ in range(5):
        lab.passes(lab[name], datagram(lab, family, name, port=port), lab["right"])


def test_given_back(lab, family):
    """When connections end: by themselves, or by policy."""
    left = lab["left"]
    lab.change(left, limits={"connections": 2})
    reset, closed = Conversation(lab, family), Conversation(lab, family)
    reset.handshake()
    closed.handshake()
    refused(lab, datagram(lab, family), "connection-limit")
    reset.send("RA")
    closed.send("FA")
    closed.answer("FA")
    assert closed.send("A") == "time-wait"
    eventually(lambda: counts(lab, "left") == (0, 0))
    reset = Conversation(lab, family)
    reset.send("S")
    forget(lab)
    assert reset.send("S") == "syn-sent"


def test_one_that_begins_anew(lab, family):
    """In place of its own that has ended: that is none more."""
    left = lab["left"]
    lab.change(left, limits={"connections": 1, "halfOpen": 1})
    one = Conversation(lab, family)
    one.handshake()
    refused(lab, datagram(lab, family), "connection-limit")
    one.send("FA")
    one.answer("FA")
    assert one.send("A") == "time-wait"
    one.next[left] += 1 << 20
    assert one.send("S") == "syn-sent"
    assert counts(lab, "left") == (1, 1)


def test_a_flood_leaves_room(lab, family):
    """Without any limits: all that one port can do, and another one opens what it wants to."""
    left, right = lab["left"], lab["right"]
    frames = [left.frame(right, TCP(sport=port, dport=80, flags="S"), family, payload=Raw(b""))
              for port in range(2000, 2000 + 2 * TABLE)]
    before = lab.drops()
    for frame in frames:
        left.send(frame)
    refusals = eventually(lambda: (count := lab.drops()["left", "half-open-limit"] - before["left", "half-open-limit"])
                          and count + counts(lab, "left")[0] == len(frames) and count)
    assert refusals > TABLE
    for number in range(5):
        made = Conversation(lab, family, left="third")
        assert made.handshake() == "established"
    assert counts(lab, "third") == (5, 0)
    refused(lab, datagram(lab, family), "half-open-limit")


def test_one_port_has_half_of_the_table(lab, family):
    """With connections that are answered, too. What it leaves is shared alike."""
    left, right = lab["left"], lab["right"]
    for number in range(TABLE // 2):
        port = 3000 + number
        lab.passes(left, datagram(lab, family, port=port), right)
        lab.passes(right, right.frame(left, UDP(sport=53, dport=port), family), left)
    assert counts(lab, "left") == (TABLE // 2, 0)
    refused(lab, datagram(lab, family), "connection-limit")
    lab.passes(lab["third"], datagram(lab, family, "third"), right)


def test_other_nodes(one_lab, family):
    """What comes through the tunnel is charged to the node that it comes from, whichever of its ports it is."""
    lab = one_lab(nodes=("a", "b"), underlay="v4")
    lab.limits("a", connections=2)
    lab.network("blue", 1)
    lab.workload("here", "a", "blue")
    for name in ("one", "two"):
        lab.workload(name, "b", "blue")
    lab.up()
    lab.passes(lab["one"], datagram(lab, family, "one", "here"), lab["here"])
    lab.passes(lab["two"], datagram(lab, family, "two", "here"), lab["here"])
    lab.dropped(lab["two"], datagram(lab, family, "two", "here"), "connection-limit", at="uplink")
    assert (counts(lab, "uplink"), counts(lab, "here")) == ((2, 2), (0, 0))
    assert counts(lab, "uplink", "b") == (0, 0)
    for _ in range(2):
        lab.passes(lab["here"], datagram(lab, family, "here", "one"), lab["one"])
    lab.dropped(lab["here"], datagram(lab, family, "here", "one"), "connection-limit")


def test_workers(one_lab, family):
    """Exact with several workers, whichever of them owns the connection."""
    lab = one_lab(options=["--workers", "0,1"])
    lab.network("blue", 1)
    lab.workload("left", "a", "blue", limits={"connections": 20, "halfOpen": 10})
    lab.workload("right", "a", "blue")
    lab.up()
    left, right = lab["left"], lab["right"]
    frames = [datagram(lab, family, port=port) for port in range(4000, 4040)]
    for frame in frames:
        left.send(frame)
    eventually(lambda: lab.drops()["left", "half-open-limit"] == 30)
    flows = lab.nodes["a"].flows()
    assert counts(lab, "left") == (10, 10) and len(flows) == 10
    for flow in flows:
        lab.passes(right, right.frame(left, UDP(sport=53, dport=flow["sourcePort"]), family), left)
    eventually(lambda: counts(lab, "left") == (10, 0))


def audit(node):
    return [line.split(maxsplit=1) for line in node.run("audit").stdout.splitlines()[1:]]


def test_an_audit_holds_charges_against_the_table(lab):
    """Nothing in the product damages them, so the test writes into the process' memory."""
    node, left, right = lab["left"].node, lab["left"], lab["right"]
    lab.change(left, limits={"connections": 7})
    for _ in range(5):
        lab.passes(left, datagram(lab, "v4"), right)
    for _ in range(2):
        lab.passes(left, datagram(lab, "v6"), right)
    assert counts(lab, "left") == (7, 7) and not audit(node)
    # A cache line: connections, half-open ones, a time.
    own = re.compile(re.escape(struct.pack("<II", 7, 7)) + b".{8}" + bytes(48), re.DOTALL)
    with open(f"/proc/{node.process.pid}/mem", "r+b", buffering=0) as memory:
        for start, end in own_memory(node.process.pid):
            memory.seek(start)
            data = memory.read(end - start) or b""
            for found in own.finditer(data):
                if found.start() % 64 == 0:
                    memory.seek(start + found.start())
                    memory.write(struct.pack("<II", 9, 6))
    assert counts(lab, "left") == (9, 6)
    found = audit(node)
    assert sorted(line.split("  ")[0] for _area, line in found) == [
        "Port/left is charged with -1 half-open connections too many", "Port/left is charged with 2 connections too many"]
    assert counts(lab, "left") == (7, 7) and not audit(node)
