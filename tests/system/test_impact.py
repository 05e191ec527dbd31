"""What a change would mean for live connections, before it is made."""

import json
import re

import pytest

from changes import revision, text, vrf
from node import eventually


RULES = [{"direction": "ingress", "protocol": "tcp", "ports": "80"},
         {"direction": "ingress", "protocol": "tcp", "ports": "81"}, {"direction": "egress"}]


@pytest.fixture
def live(one_lab):
    lab = one_lab()
    lab.network("blue", 1)
    lab.network("green", 2)
    lab.group("web", *RULES)
    lab.workload("one", "a", "blue", kernel=True, securityGroups=["web"])
    lab.workload("two", "a", "blue", kernel=True, securityGroups=["web"])
    lab.workload("far", "a", "green", kernel=True, securityGroups=["web"])
    return lab.up()


@pytest.fixture
def connections(live, family):
    """To two ports of a neighbour, and one routed."""
    opened = [connect(live, to, port, family) for to, port in (("two", 80), ("two", 81), ("far", 80))]
    yield [client for client, _ in opened]
    for one in (one for pair in opened for one in pair):
        one.close()


def connect(lab, to, port, family):
    """From `one`; a word each way. Both ends."""
    client, accepted = lab["one"].connection(lab[to], port, family)
    client.sendall(b"x")
    assert accepted.recv(1) == b"x"
    accepted.sendall(b"y")
    assert client.recv(1) == b"y"
    return client, accepted


def impact(node, *objects, arguments=("apply", "-f", "-", "--dry-run")):
    answer = json.loads(node.ok(*arguments, "-o", "json", input=text(*objects) if objects else None))
    return answer["impact"]


def named(found, connections, ends):
    """Of these connections: those of other tests may be there, too."""
    ports = [connection.getsockname()[1] for connection in connections]
    return sorted((f["source"], f["destination"], f["destinationPort"], f["reason"] if ends else f["ruleThen"])
                  for f in found["first"] if f["ends"] == ends and f["sourcePort"] in ports
                  and f["protocol"] == "tcp")


def test_connections_that_would_end(live, family, connections):
    node = live.nodes["a"]
    group = {"kind": "SecurityGroup", "name": "web", "rules": [RULES[0], {**RULES[1], "ports": "82"}, RULES[2]]}
    found = impact(node, group)
    one, two = live["one"].address[family], live["two"].address[family]
    assert named(found, connections, True) == [(one, two, 81, "security-group-ingress")]
    assert named(found, connections, False) == []
    assert not found["incomplete"] and int(found["unclear"]) == 0
    for command in (["apply", "-f", "-", "--dry-run"], ["diff", "-f", "-"]):
        shown = node.ok(*command, input=text(group))
        assert re.search(r"^\d+ of \d+ live connections would end:$", shown, re.M)
        assert re.search(r"^  tcp .*:81 in blue: security-group-ingress$", shown, re.M)
    # And it is so.
    live.apply(group)
    try:
        connections[1].sendall(b"y")
        ports = [connection.getsockname()[1] for connection in connections]
        eventually(lambda: not node.flows(protocol="tcp", source=one, sourcePort=ports[1]))
        assert node.flows(protocol="tcp", source=one, destination=two, sourcePort=ports[0])
    finally:
        live.rules("web", *RULES)


def test_connections_that_would_be_judged_otherwise(live, family, connections):
    """By another rule: they go on."""
    group = {"kind": "SecurityGroup", "name": "web", "rules": [RULES[1], RULES[0], RULES[2]]}
    found = impact(live.nodes["a"], group)
    one, two, far = (live[name].address[family] for name in ("one", "two", "far"))
    assert named(found, connections, True) == []
    assert named(found, connections, False) == sorted(
        [(one, two, 80, "web[2], web[1]"), (one, two, 81, "web[2], web[0]"), (one, far, 80, "web[2], web[1]")])
    shown = live.nodes["a"].ok("apply", "-f", "-", "--dry-run", input=text(group))
    assert re.search(r"live connections would be judged otherwise and go on:\n  tcp .*: web\[2\], web\[[01]\], then web",
                     shown)


def test_nothing_would_end(live, family, connections):
    node = live.nodes["a"]
    found = impact(node, vrf("unrelated"))
    assert int(found["connections"]) >= 3 and int(found["ending"]) == int(found["changing"]) == 0
    assert re.search(r"^of \d+ live connections none would end or be judged otherwise$",
                     node.ok("apply", "-f", "-", "--dry-run", input=text(vrf("unrelated"))), re.M)
    assert node.ok("apply", "-f", "-", "--dry-run", input=text(live["one"].object)) == "1 unchanged\n"


def test_port_that_goes(live, family, connections):
    node = live.nodes["a"]
    found = impact(node, arguments=["delete", "port", "far", "--dry-run"])
    one, far = live["one"].address[family], live["far"].address[family]
    assert named(found, connections, True) == [(one, far, 80, "no-host")]
    found = impact(node, arguments=["delete", "port", "one", "--dry-run"])
    assert len(named(found, connections, True)) == 3


def test_way_that_goes(live, family, connections):
    """Only the routed connection needs the Vrf."""
    green = {k: v for k, v in live.networks["green"].object.items() if k != "vrf"}
    found = impact(live.nodes["a"], green)
    assert [c[:3] for c in named(found, connections, True)] == \
        [(live["one"].address[family], live["far"].address[family], 80)]


def test_would_be_of_a_rollback(live, family, connections):
    node = live.nodes["a"]
    live.apply(vrf("newer"))
    now = revision(node)
    live.rules("web", RULES[2], *RULES[:2])
    try:
        found = impact(node, arguments=["rollback", str(now), "--dry-run"])
    finally:
        live.rules("web", *RULES)
    assert len(named(found, connections, False)) == 3 and int(found["ending"]) == 0


def test_through_the_tunnel(one_lab, family):
    """Each node says what becomes of its own half."""
    lab = one_lab(nodes=("a", "b"), underlay="v4")
    lab.network("blue", 1)
    lab.network("green", 2)
    lab.group("web", *RULES)
    lab.workload("one", "a", "blue", kernel=True, securityGroups=["web"])
    lab.workload("two", "b", "blue", kernel=True, securityGroups=["web"])
    lab.workload("far", "b", "green", kernel=True, securityGroups=["web"])
    lab.up()
    held = [connect(lab, to, port, family) for to, port in (("two", 81), ("far", 80))]
    connections = [client for client, _ in held]
    one, two, far = (lab[name].address[family] for name in ("one", "two", "far"))
    group = {"kind": "SecurityGroup", "name": "web", "rules": [RULES[0], RULES[2]]}
    # The sender's half is not filtered by the other side's rules.
    assert named(impact(lab.nodes["a"], group), connections, True) == []
    assert named(impact(lab.nodes["b"], group), connections, True) == [(one, two, 81, "security-group-ingress")]
    for name in "ab":
        found = impact(lab.nodes[name], arguments=["delete", "port", "far", "--dry-run"])
        assert [c[:3] for c in named(found, connections, True)] == [(one, far, 80)]
        assert int(found["unclear"]) == 0
    for end in (end for pair in held for end in pair):
        end.close()
