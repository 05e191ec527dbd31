"""A group of very many rules: the first one that allows a packet is found among them, and nothing is lost on the way
of such a group through the command line, the API, the store and the connection table."""

import ipaddress
import json
import os
import random

import pytest

from packets import TCP, UDP, echo_request, fresh_port

RULES = 70000  # a connection tells of more than 65536
PROTOCOLS = {"tcp": TCP, "udp": UDP}


def make_rule(chance):
    """In 172.16.0.0/12 and 2001:db8::/32, a few hundred ports: many overlap, most packets meet none."""
    if chance.random() < 0.5:
        length = chance.choice((20, 24, 24, 28, 32))
        network = ipaddress.ip_network((0xac100000 + chance.randrange(1 << 20), length), strict=False)
    else:
        length = chance.choice((48, 64, 64, 96, 128))
        network = ipaddress.ip_network(((0x20010db8 << 96) + (chance.randrange(4096) << 64) + chance.randrange(64),
                                        length), strict=False)
    first = chance.randrange(1000, 1300)
    return {"direction": "ingress", "protocol": chance.choice(list(PROTOCOLS)),
            "ports": f"{first}-{first + chance.randrange(3)}", "remote": {"cidr": str(network)}}


def first_rule(networks, rules, protocol, source, port):
    """What any rule but for the last one says, by looking at one after the other."""
    address = ipaddress.ip_address(source)
    for number, rule in enumerate(rules[:-1]):
        first, last = map(int, rule["ports"].split("-"))
        if rule["protocol"] == protocol and first <= port <= last and address in networks[number]:
            return number
    return None


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    chance = random.Random(5)
    lab.network("blue", 1)
    lab.many = [make_rule(chance) for _number in range(RULES - 1)]
    # Of the last one a connection has to tell its whole number.
    lab.many.append({"direction": "ingress", "protocol": "sctp", "ports": "9", "remote": {"group": "clients"}})
    lab.remotes = [ipaddress.ip_network(rule["remote"]["cidr"]) for rule in lab.many[:-1]]
    lab.group("clients", {"direction": "egress"})
    lab.group("many", *lab.many)
    lab.workload("client", "a", "blue", securityGroups=["clients"], allowedAddresses=["172.16.0.0/12", "2001:db8::/32"])
    lab.workload("server", "a", "blue", securityGroups=["many"])
    return lab.up()


def questions(lab, family, count):
    """Packets of which about half meet a rule, with what the rules say."""
    chance = random.Random(family)
    version = {"v4": 4, "v6": 6}[family]
    while count:
        number = chance.randrange(RULES - 1)
        rule, network = lab.many[number], lab.remotes[number]
        if network.version != version:
            continue
        count -= 1
        source = str(network[chance.randrange(network.num_addresses)])
        port = int(rule["ports"].split("-")[0]) + (0 if count % 2 else 400)
        yield rule["protocol"], source, port, first_rule(lab.remotes, lab.many, rule["protocol"], source, port)


def ends(source, source_port, destination, port, protocol):
    return "{} {} > {}".format(protocol, *(f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
                                           for address, number in ((source, source_port), (destination, port))))


def test_trace(lab, family):
    found = 0
    for protocol, source, port, number in questions(lab, family, 30):
        text = lab.nodes["a"].ok("trace", "--port", "client", ends(source, 1, lab["server"].address[family], port, protocol))
        if number is None:
            assert text.splitlines()[-1] == "drop security-group-ingress", text
        else:
            assert f"allowed by many[{number}]\n" in text
            found += 1
    assert 10 <= found < 30


def test_packets(lab, family):
    client, server = lab["client"], lab["server"]
    for protocol, source, port, number in questions(lab, family, 10):
        mine = fresh_port()
        layer = TCP(sport=mine, dport=port, flags="S") if protocol == "tcp" else UDP(sport=mine, dport=port)
        frame = client.frame(server, layer, family, src=source)
        if number is None:
            lab.dropped(client, frame, "security-group-ingress", at="server")
            continue
        lab.passes(client, frame, server)
        [flow] = lab.nodes["a"].flows(sourcePort=mine)
        assert flow["rule"] == f"clients[0], many[{number}]"


def test_last_rule(lab, family):
    """Found by its group; and what the connection says of it can be asked for."""
    node, client, server = lab.nodes["a"], lab["client"], lab["server"]
    assert f"allowed by many[{RULES - 1}]\n" in node.ok(
        "trace", "--port", "client", ends(client.address[family], 1, server.address[family], 9, "sctp"))
    last = {"direction": "ingress", "protocol": "icmp", "remote": {"group": "clients"}}
    lab.rules("many", *lab.many[:-1], last)
    lab.passes(client, client.frame(server, echo_request(client.address[family], id=fresh_port()), family), server)
    [flow] = [flow for flow in node.json("flows", "--rule", f"many[{RULES - 1}]")
              if flow["source"] == client.address[family]]
    assert flow["rule"] == f"clients[0], many[{RULES - 1}]"
    assert node.json("flows", "--rule", f"many[{RULES - 1 - 65536}]") == []
    lab.rules("many", *lab.many)


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer looks at all of a long text for each piece of it")
def test_objects(lab):
    """The group is what was applied, also after a small change and back."""
    node = lab.nodes["a"]
    group = node.json("get", "securityGroup", "many")
    assert len(group["rules"]) == RULES
    assert group["rules"][12345]["ports"] == lab.many[12345]["ports"]
    revision = node.json("history", "--limit", "1")["revision"]
    # Of so many lines the one is shown that differs, and what is near it.
    changed = [*lab.many]
    changed[30000] = {**changed[30000], "ports": "7"}
    lines = node.ok("diff", "-f", "-", input=json.dumps({**group, "rules": changed})).splitlines()
    assert [line for line in lines if line[0] in "+-"] == [f'-     ports: "{lab.many[30000]["ports"]}"', '+     ports: "7"']
    assert len(lines) < 20
    lab.apply(lab.group("many", *lab.many[1:]))
    assert len(node.json("get", "securityGroup", "many")["rules"]) == RULES - 1
    node.ok("rollback", revision)
    assert node.json("get", "securityGroup", "many")["rules"][0]["ports"] == lab.many[0]["ports"]


def test_too_many(lab):
    node = lab.nodes["a"]
    answer = node.run("apply", "-f", "-", input="kind: SecurityGroup\nname: more\nrules:\n"
                      + "- {direction: egress}\n" * 131073)
    assert answer.returncode == 1
    assert answer.stderr == "<stdin>:3: SecurityGroup/more: rules: more than 131072\n"
