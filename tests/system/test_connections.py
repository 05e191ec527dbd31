"""Connections as `sluice flows` shows them, and what a change of policy does to live ones."""

import socket

import pytest

from conversation import Conversation
from node import eventually
from packets import ICMP, UDP, fresh_port, port_unreachable
from transfer import ENDED

INGRESS = {"direction": "ingress"}
EGRESS = {"direction": "egress"}
OPEN = [{**INGRESS, "protocol": "tcp", "ports": "80"}, {**INGRESS, "protocol": "udp", "ports": "53"}, EGRESS]


@pytest.fixture(scope="module")
def lab(make_lab):
    """`client` and `server` have a kernel, `left` and `right` do what the test says."""
    lab = make_lab()
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("web", *OPEN)
    lab.workload("client", "a", "blue", kernel=True)
    lab.workload("server", "a", "red", kernel=True, securityGroups=["web"])
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue")
    return lab.up()


@pytest.fixture(scope="module", autouse=True)
def closed_early(lab):
    """Two connections at the module's begin, of which one is reset: for test_a_closed_connection_goes, at its end."""
    made = {}
    for flags in ("R", "A"):
        conversation = Conversation(lab, "v4")
        conversation.handshake()
        conversation.send(flags)
        made[flags] = conversation.port
    assert flow_of(lab, made["R"], "v4")["state"] == "closed"
    return made


@pytest.fixture(autouse=True)
def open_policy(lab):
    lab.rules("web", *OPEN)


def flow_of(lab, port, family):
    """The connection that was opened from this port; None where there is none."""
    found = [flow for flow in lab.nodes["a"].flows(sourcePort=port) if (":" in flow["source"]) == (family == "v6")]
    assert len(found) <= 1
    return found[0] if found else None


def state(lab, port, family):
    return (flow_of(lab, port, family) or {}).get("state")


def test_udp(lab, family):
    left, right = lab["left"], lab["right"]
    port = fresh_port()
    lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)
    assert state(lab, port, family) == "unreplied"
    lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)
    assert state(lab, port, family) == "unreplied"
    lab.passes(right, right.frame(left, UDP(sport=53, dport=port), family), left)
    assert state(lab, port, family) == "replied"


def test_icmp_error_is_none(lab):
    """What no answer belongs to makes no connection the other way."""
    left, right = lab["left"], lab["right"]
    lab.passes(left, left.frame(right, ICMP(type=10)), right)
    [flow] = lab.nodes["a"].flows(protocol="icmp", destinationPort=10 * 256)
    assert (flow["state"], flow["sourcePort"]) == ("icmp", 0)


def test_unrelated_errors_make_no_connection(lab, family):
    left, right, ports = lab["left"], lab["right"], {fresh_port(), fresh_port()}
    sport, dport = ports
    quote = right.frame(left, UDP(sport=sport, dport=dport), family).payload
    lab.dropped(left, left.frame(right, port_unreachable(left.address[family]), family, payload=quote),
                "no-connection")
    assert not [flow for flow in lab.nodes["a"].flows() if {flow["sourcePort"], flow["destinationPort"]} & ports]


def test_fields(lab, family):
    """All that the contract names, right to the byte."""
    left, right = lab["left"], lab["right"]
    port = fresh_port()
    sent = [lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right),
            lab.passes(right, right.frame(left, UDP(sport=53, dport=port), family), left)]
    flow = flow_of(lab, port, family)
    assert {key: flow[key] for key in flow if key not in ("age", "idle")} == {
        "network": "blue", "protocol": "udp", "source": left.address[family], "sourcePort": port,
        "destination": right.address[family], "destinationPort": 53, "state": "replied",
        "sourceAt": "left", "destinationAt": "right", "event": "", "replyPackets": 1, "replyBytes": len(bytes(sent[1])),
        "packets": flow["packets"], "bytes": flow["bytes"], "rule": "", "offloaded": False,
        "translatedSource": "", "translatedSourcePort": 0, "translatedDestination": "", "translatedDestinationPort": 0}
    assert int(flow["packets"]) == 2
    assert int(flow["bytes"]) == sum(len(bytes(frame)) for frame in sent)
    assert 0 <= flow["age"] < 30


def test_echo_in_flows(lab, family):
    """Type and code of the question, the identifier, one connection for question and answer."""
    assert not lab["client"].ping(lab["server"], family, timeout=1)
    lab.rules("web", *OPEN, {**INGRESS, "protocol": "icmp"})
    assert lab["client"].ping(lab["server"], family)
    protocol, kind = {"v4": ("icmp", 8), "v6": ("icmpv6", 128)}[family]
    [flow] = lab.nodes["a"].flows(protocol=protocol, destination=lab["server"].address[family])
    assert (flow["state"], flow["destinationPort"], int(flow["packets"])) == ("icmp", kind * 256, 2)
    assert flow["rule"] == "web[3]"


def test_flows_of_a_port(lab, family):
    """Where it is at one end, whichever."""
    left, right = lab["left"], lab["right"]
    port = fresh_port()
    lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)
    node = lab.nodes["a"]
    assert node.flows("left", sourcePort=port) and node.flows("right", sourcePort=port)
    assert not node.flows("client", sourcePort=port)
    result = node.run("flows", "--port", "nobody")
    assert result.returncode == 1 and "nobody" in result.stderr


def test_tcp_of_a_kernel(lab, family):
    """As programs do it: connect, talk, close."""
    client, accepted = lab["client"].connection(lab["server"], 80, family)
    port = client.getsockname()[1]
    client.sendall(b"question")
    assert accepted.recv(100) == b"question"
    flow = flow_of(lab, port, family)
    assert (flow["state"], flow["network"], flow["rule"]) == ("established", "blue", "web[0]")
    client.close()
    assert accepted.recv(100) == b""
    eventually(lambda: state(lab, port, family) == "closing")
    accepted.close()
    eventually(lambda: state(lab, port, family) in ENDED)


def test_refused_connect(lab, family):
    """Nobody listens: the reset comes through. Where no rule allows it, nothing does."""
    with pytest.raises(ConnectionRefusedError):
        lab["client"].connect(lab["server"], 80, family)
    with pytest.raises(TimeoutError):
        lab["client"].connect(lab["server"], 81, family, timeout=0.3)


def test_port_unreachable_reaches_the_program(lab, family):
    """The server's kernel says that nobody listens; the client's program gets the error."""
    client = lab["client"].open_socket(family, socket.SOCK_DGRAM)
    client.connect((lab["server"].address[family], 53))
    client.send(b"question")
    with pytest.raises(ConnectionRefusedError):
        client.recv(100)
    client.close()


def test_policy_change_ends_a_live_connection(lab, family):
    """At its next packet; and when it is allowed again, new ones can be opened."""
    server = lab["server"].server(80, family)
    client = lab["client"].connect(lab["server"], 80, family)
    port = client.getsockname()[1]
    accepted, _ = server.accept()
    client.sendall(b"before")
    assert accepted.recv(100) == b"before"
    lab.rules("web", EGRESS)
    before = lab.drops().get(("server", "security-group-ingress"), 0)
    client.sendall(b"after")
    eventually(lambda: lab.drops().get(("server", "security-group-ingress"), 0) > before)
    assert state(lab, port, family) is None
    accepted.settimeout(0.3)
    with pytest.raises(TimeoutError):
        accepted.recv(100)
    with pytest.raises(TimeoutError):
        lab["client"].connect(lab["server"], 80, family, timeout=0.3)
    lab.rules("web", *OPEN)
    again = lab["client"].connect(lab["server"], 80, family)
    for made in (again, client, accepted, server):
        made.close()


def test_policy_change_ends_it_from_the_server_s_side_too(lab, family):
    """The next packet may be a reply."""
    client, accepted = lab["client"].connection(lab["server"], 80, family)
    port = client.getsockname()[1]
    eventually(lambda: state(lab, port, family) == "established")
    lab.rules("web", EGRESS)
    before = lab.drops().get(("server", "security-group-ingress"), 0)
    accepted.sendall(b"after")
    eventually(lambda: lab.drops().get(("server", "security-group-ingress"), 0) > before)
    assert state(lab, port, family) is None
    for made in (client, accepted):
        made.close()


def test_policy_change_that_still_allows_keeps_it(lab, family):
    """Another rule lets it in now; its packets, bytes and state go on."""
    client, accepted = lab["client"].connection(lab["server"], 80, family)
    port = client.getsockname()[1]
    client.sendall(b"before")
    assert accepted.recv(100) == b"before"
    before = flow_of(lab, port, family)
    lab.rules("web", EGRESS, {**INGRESS, "protocol": "tcp", "ports": "79-81"})
    client.sendall(b"after")
    assert accepted.recv(100) == b"after"
    after = eventually(lambda: (now := flow_of(lab, port, family))["rule"] == "web[1]" and now)
    assert (before["rule"], after["state"]) == ("web[0]", "established")
    assert int(after["packets"]) > int(before["packets"]) >= 4
    for made in (client, accepted):
        made.close()


def test_table_full(one_lab, family):
    """New connections are refused and counted; the old ones go on, and nothing is thrown out for new ones."""
    lab = one_lab(options=["--connections", "4"])
    lab.limits("a", connections=4, halfOpen=4)
    lab.network("blue", 1)
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue")
    lab.up()
    one, two = lab["one"], lab["two"]
    ports = [fresh_port() for _ in range(5)]
    for port in ports[:4]:
        lab.passes(one, one.frame(two, UDP(sport=port, dport=53), family), two)
    connections = lab.nodes["a"].stats()["connections"]
    assert (int(connections["current"]), int(connections["max"])) == (4, 4)
    refused = one.frame(two, UDP(sport=ports[4], dport=53), family)
    traced = lab.nodes["a"].json("trace", "--port", "one", "--frame", bytes(refused).hex())
    assert traced["reason"] == "connection-table-full"
    lab.dropped(one, refused, "connection-table-full")
    for port in ports[:4]:
        lab.passes(two, two.frame(one, UDP(sport=53, dport=port), family), one)
    assert sorted(flow["sourcePort"] for flow in lab.nodes["a"].flows()) == sorted(ports[:4])


def test_table_full_for_one_that_begins_anew(one_lab, family):
    """A SYN on a closed connection needs a place of its own for some moments; without one nothing has changed."""
    lab = one_lab(options=["--connections", "2"])
    lab.limits("a", connections=2)
    lab.network("blue", 1)
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue")
    lab.up()
    closed, other = Conversation(lab, family), Conversation(lab, family)
    closed.handshake()
    other.handshake()
    closed.send("RA")
    before = closed.flow()
    assert before["state"] == "closed"
    closed.dropped(lab["left"], "S", "connection-table-full", seq=1 << 20)
    assert closed.flow()["packets"] == before["packets"]
    assert other.send("A", b"more") == "established"


def test_stats_count_connections(lab):
    stats = lab.nodes["a"].stats()["connections"]
    assert int(stats["current"]) == len(lab.nodes["a"].flows()) > 0
    assert int(stats["max"]) == 4096


def test_a_closed_connection_goes(lab, closed_early):
    """Ten seconds after its reset; the other one of the same time stays."""
    eventually(lambda: flow_of(lab, closed_early["R"], "v4") is None)
    assert state(lab, closed_early["A"], "v4") == "established"
