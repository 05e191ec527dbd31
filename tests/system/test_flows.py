"""`sluice flows`: which connections it shows, and how it goes on with --follow."""

import contextlib
import json
import os
import subprocess

import pytest

from node import BUILD, eventually
from packets import TCP, UDP, fresh_port

INGRESS = {"direction": "ingress"}
RULES = [{**INGRESS, "protocol": "tcp", "ports": "80"}, {**INGRESS, "protocol": "udp"}, {"direction": "egress"}]
PORTS = {"tcp": 40001, "udp": 40002, "v6": 40003, "red": 40004}


@pytest.fixture(scope="module")
def lab(make_lab):
    """Four connections: tcp and udp over IPv4, udp over IPv6, and one of another network."""
    lab = make_lab()
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("web", *RULES)
    lab.group("other", {**INGRESS})
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue", securityGroups=["web"])
    lab.workload("third", "a", "red")
    lab.workload("fourth", "a", "red", securityGroups=["other"])
    lab.up()
    left, right, third, fourth = (lab[name] for name in ("left", "right", "third", "fourth"))
    lab.passes(left, left.frame(right, TCP(sport=PORTS["tcp"], dport=80, flags="S")), right)
    lab.passes(left, left.frame(right, UDP(sport=PORTS["udp"], dport=53)), right)
    lab.passes(right, right.frame(left, UDP(sport=53, dport=PORTS["udp"])), left)
    lab.passes(left, left.frame(right, UDP(sport=PORTS["v6"], dport=81), "v6"), right)
    lab.passes(third, third.frame(fourth, UDP(sport=PORTS["red"], dport=81)), fourth)
    return lab


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


def shown(node, *filters):
    names = {port: name for name, port in PORTS.items()}
    return {names[flow["sourcePort"]] for flow in node.json("flows", *filters) if flow["sourcePort"] in names}


@pytest.mark.parametrize("filters, expected", [
    ("", "tcp udp v6 red"),
    ("--port left", "tcp udp v6"),
    ("--port fourth", "red"),
    ("--network red", "red"),
    ("--protocol tcp", "tcp"),
    ("--protocol 17", "udp v6 red"),
    ("--protocol icmpv6", ""),
    ("--source LEFT", "tcp udp"),
    ("--source RIGHT", ""),
    ("--source 10.2.0.0/24", "red"),
    ("--source fd00:1::/64", "v6"),
    ("--source ::/0", "v6"),
    ("--source 0.0.0.0/0", "tcp udp red"),
    ("--destination RIGHT", "tcp udp"),
    ("--destination 10.1.0.0/16", "tcp udp"),
    ("--address RIGHT", "tcp udp"),
    ("--address fd00::/8", "v6"),
    ("--source-port 40002", "udp"),
    ("--source-port 40002-40003", "udp v6"),
    ("--destination-port 53", "udp"),
    ("--destination-port 80-81", "tcp v6 red"),
    ("--destination-port 0-65535", "tcp udp v6 red"),
    ("--state replied", "udp"),
    ("--state syn-sent", "tcp"),
    ("--rule web", "tcp udp v6"),
    ("--rule web[0]", "tcp"),
    ("--rule web[1]", "udp v6"),
    ("--rule web[7]", ""),
    ("--offloaded", ""),
    ("--port left --protocol udp --state unreplied", "v6"),
])
def test_filters(lab, node, filters, expected):
    words = [{"LEFT": lab["left"].address["v4"], "RIGHT": lab["right"].address["v4"]}.get(word, word)
             for word in filters.split()]
    assert shown(node, *words) == set(expected.split())


@pytest.mark.parametrize("filters, why", [
    ("--port nobody", "no Port 'nobody' on node a"),
    ("--network nowhere", "no Network 'nowhere'"),
    ("--rule nothing[0]", "no SecurityGroup 'nothing'"),
    ("--rule web[x]", "rule: 'web[x]' is neither GROUP nor GROUP[INDEX]"),
    ("--rule web[0", "rule: 'web[0' is neither GROUP nor GROUP[INDEX]"),
    ("--protocol tpc", "protocol: 'tpc' is none of tcp, udp, sctp, icmp, icmpv6, 0 to 255"),
    ("--protocol 256", "protocol: '256' is none of tcp, udp, sctp, icmp, icmpv6, 0 to 255"),
    ("--state establishd", "state: there is no state 'establishd', did you mean 'established'?"),
    ("--source 10.1.0.300", "source: '10.1.0.300' is no address or prefix, as 10.1.0.0/24"),
    ("--destination 10.1.0.1/24", "destination: '10.1.0.1/24' has bits behind its prefix length"),
    ("--address x", "address: 'x' is no address or prefix, as 10.1.0.0/24"),
    ("--source-port 65536", "sourcePort: '65536' is no port or range, as 80 or 80-81"),
    ("--destination-port 81-80", "destinationPort: '81-80' is no port or range, as 80 or 80-81"),
    ("--destination-port -1", "destinationPort: '-1' is no port or range, as 80 or 80-81"),
])
def test_what_cannot_be(node, filters, why):
    result = node.run("flows", *filters.split())
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"sluice: {why}\n"


def test_limit(node):
    assert len(node.json("flows", "--limit", 2)) == 2
    assert node.run("flows", "--limit", "0").returncode == 2


def test_both_ends_and_replies(lab, node):
    [flow] = node.json("flows", "--source-port", PORTS["udp"])
    assert (flow["sourceAt"], flow["destinationAt"], flow["event"]) == ("left", "right", "")
    assert int(flow["packets"]) == 2 and int(flow["replyPackets"]) == 1
    assert 0 < int(flow["replyBytes"]) < int(flow["bytes"])
    assert 0 <= flow["idle"] <= flow["age"]


def test_wide_table(node):
    narrow, wide = node.ok("flows").splitlines()[0], node.ok("flows", "-o", "wide").splitlines()[0]
    assert narrow.split()[:2] == wide.split()[:2] == ["NETWORK", "PROTOCOL"]
    assert "OFFLOADED" in wide and "OFFLOADED" not in narrow
    assert node.run("stats", "-o", "wide").returncode == 2


@contextlib.contextmanager
def following(node, *words):
    """A reader of --follow; calling it returns the events of a source port so far."""
    process = subprocess.Popen([BUILD / "sluice", "--api", f"unix:{node.api}", "flows", "--follow", "-o", "json", *words],
                               stdout=subprocess.PIPE)
    os.set_blocking(process.stdout.fileno(), False)
    text = ""

    def events(port):
        nonlocal text
        text += (process.stdout.read() or b"").decode()
        found, rest, decoder = [], text.lstrip(), json.JSONDecoder()
        with contextlib.suppress(json.JSONDecodeError):
            while rest:
                value, end = decoder.raw_decode(rest)
                found.append(value)
                rest = rest[end:].lstrip()
        return [(flow["event"], flow["state"]) for flow in found if flow["sourcePort"] == port]

    try:
        yield events
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_follow(lab, node):
    left, right = lab["left"], lab["right"]
    port = fresh_port()
    with following(node, "--port", "left") as events:
        eventually(lambda: events(PORTS["udp"]) == [("present", "replied")])
        lab.passes(left, left.frame(right, UDP(sport=port, dport=9)), right)
        eventually(lambda: events(port) == [("opened", "unreplied")])
        lab.passes(right, right.frame(left, UDP(sport=9, dport=port)), left)
        eventually(lambda: events(port)[1:] == [("changed", "replied")])
        lab.rules("web", RULES[0], RULES[2])
        left.send(left.frame(right, UDP(sport=port, dport=9)))
        eventually(lambda: events(port)[2:] == [("ended", "replied")])
        lab.rules("web", *RULES)
        assert events(PORTS["red"]) == []


def test_follow_with_a_limit_ends(node):
    lines = node.ok("flows", "--follow", "--limit", 2, "--port", "left").splitlines()
    assert lines[0].split()[:2] == ["EVENT", "NETWORK"]
    assert [line.split()[0] for line in lines[1:]] == ["present", "present"]


def test_a_connection_that_leaves_the_filter_is_told_once_more(lab, node):
    left, right = lab["left"], lab["right"]
    port = fresh_port()
    with following(node, "--state", "unreplied") as events:
        lab.passes(left, left.frame(right, UDP(sport=port, dport=9)), right)
        eventually(lambda: [event for event, _ in events(port)] in (["present"], ["opened"]))
        lab.passes(right, right.frame(left, UDP(sport=9, dport=port)), left)
        eventually(lambda: events(port)[1:] == [("changed", "replied")])


def test_few_may_follow(lab, node):
    """The ninth is told so; those who go make room."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(following(node)) for _ in range(8)]
        for events in readers:
            eventually(lambda: events(PORTS["red"]))
        result = node.run("flows", "--follow")
        assert (result.returncode, result.stderr) == (1, "sluice: 8 callers follow connections already\n")
    eventually(lambda: node.run("flows", "--follow", "--limit", "1").returncode == 0)


def test_a_reader_that_does_not_read_costs_nothing(lab, node):
    """It holds its call open and takes nothing; others are answered as ever."""
    left, right = lab["left"], lab["right"]
    process = subprocess.Popen([BUILD / "sluice", "--api", f"unix:{node.api}", "flows", "--follow", "-o", "json"],
                               stdout=subprocess.PIPE)
    try:
        for _ in range(200):
            left.send(left.frame(right, UDP(sport=fresh_port(), dport=9)))
        eventually(lambda: len(node.flows(destinationPort=9)) >= 200)
        assert shown(node) == set(PORTS)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
