"""Many objects: what changes among them is in force at once, what did not stays, and packets go on meanwhile."""

import json
import os
import pathlib

import pytest

from node import eventually
from packets import UDP, fresh_port, token

PORTS, NETWORKS, GROUPS = 600, 30, 50


def network(number):
    return {"kind": "Network", "name": f"far{number}", "vni": 9000 + number, "vrf": "many",
            "subnets": [{"cidr": f"10.100.{number}.0/24", "gateway": f"10.100.{number}.1"}]}


def group(number):
    return {"kind": "SecurityGroup", "name": f"many{number}", "rules": [
        {"direction": "ingress", "remote": {"group": f"many{number}"}}, {"direction": "egress"}]}


def port(number, host=None):
    return {"kind": "Port", "name": f"far{number}", "node": "b", "network": f"far{number % NETWORKS}",
            "mac": f"52:54:02:00:{number >> 8:02x}:{number & 255:02x}",
            "addresses": [f"10.100.{number % NETWORKS}.{number // NETWORKS + 10 if host is None else host}"],
            "securityGroups": [f"many{number % GROUPS}"], "device": {"tap": {"name": f"far{number}"}}}


@pytest.fixture(scope="module")
def lab(make_lab):
    made = make_lab(underlay="v4")
    made.add_node("b", "192.0.2.2/24", uplink={"netdev": "up0"})
    made.network("blue", 1)
    made.workload("a1", "a", "blue")
    made.workload("a2", "a", "blue")
    made.objects += [{"kind": "Vrf", "name": "many"}, *map(network, range(NETWORKS)), *map(group, range(GROUPS)),
                     *map(port, range(PORTS))]
    # One here that may speak to those of its group alone.
    made.objects.append({**port(PORTS), "name": "here", "node": "a", "securityGroups": ["many1"],
                         "device": {"tap": {"name": "here0"}}})
    return made.up()


def verdict(lab, source):
    """What port `here` says to a packet from elsewhere in its routing domain, seen as one that leaves."""
    return lab.nodes["a"].trace("here", f"udp {port(PORTS)['addresses'][0]}:1 > {source}:2")


def test_changes_are_in_force(lab):
    assert verdict(lab, "10.100.1.10") == "allow"
    assert verdict(lab, "10.100.1.250") == "drop no-host"
    for _round in range(3):
        lab.apply(port(1, 250))
        assert verdict(lab, "10.100.1.250") == "allow"
        assert verdict(lab, "10.100.1.10") == "drop no-host"
        lab.nodes["a"].delete("port", "far1")
        assert verdict(lab, "10.100.1.250") == "drop no-host"
        # Another one, whose object was the last in the set, is still there.
        assert verdict(lab, port(PORTS - 1)["addresses"][0]) == "allow"
        lab.apply(port(1))
        assert verdict(lab, "10.100.1.10") == "allow"


def test_small_change_is_checked(lab):
    node = lab.nodes["a"]
    for wrong, field in (({**port(1), "mac": port(1 + NETWORKS)["mac"]}, "mac"),
                         ({**port(1), "addresses": port(1 + NETWORKS)["addresses"]}, "addresses"),
                         ({**port(1), "device": {"tap": {"name": "far2"}}}, "device.tap.name"),
                         ({**port(1), "network": "nowhere"}, "network"),
                         ({**port(1), "securityGroups": ["nobody"]}, "securityGroups"),
                         ({**network(1), "vni": 9002}, "vni"),
                         ({**network(1), "vrf": "nowhere"}, "vrf"),
                         ({**network(1), "subnets": network(2)["subnets"]}, "subnets[0].cidr"),
                         ({**network(NETWORKS), "subnets": [{"cidr": "10.100.0.0/16"}]}, "subnets[0].cidr")):
        answer = node.run("apply", "-f", "-", input=json.dumps(wrong))
        assert answer.returncode == 1 and f": {field}" in answer.stderr, answer.stderr
    for kind, name, user in (("network", "far1", "Port/far"), ("vrf", "many", "Network/far"),
                             ("securityGroup", "many7", "Port/far")):
        answer = node.run("delete", kind, name)
        assert answer.returncode == 1 and user in answer.stderr, answer.stderr
    assert verdict(lab, "10.100.1.10") == "allow"


def test_what_nobody_names_comes_and_goes(lab):
    node = lab.nodes["a"]
    lab.apply({"kind": "Vrf", "name": "other"}, {**network(NETWORKS), "vrf": "other"}, group(GROUPS))
    lab.apply(port(0), {**network(NETWORKS), "mtu": 1400})
    for kind, name in (("network", f"far{NETWORKS}"), ("vrf", "other"), ("securityGroup", f"many{GROUPS}")):
        node.delete(kind, name)
    assert verdict(lab, "10.100.1.10") == "allow"


def own_memory(node):
    """MiB that are nobody else's: neither files nor what lies in memory files (packet buffers, connections)."""
    size, counted = 0, False
    for line in pathlib.Path(f"/proc/{node.process.pid}/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            counted = len(words) < 6 or words[5].startswith("[")
        elif counted and words[0] == "Rss:":
            size += int(words[1])
    return size / 1024


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer keeps what is freed")
def test_memory_goes_back(lab):
    """What large changes take is not kept when they are over."""
    node = lab.nodes["a"]
    before, revision = own_memory(node), node.json("history", "--limit", "1")["revision"]
    node.apply(*map(group, range(GROUPS, 15000)))
    assert own_memory(node) > before + 6
    node.ok("rollback", revision)
    # But for what those are told who watch and have not been there.
    eventually(lambda: own_memory(node) < before + 5)


def test_packets_go_on(lab):
    """Of a connection nothing is lost while the configuration changes under it."""
    a1, a2 = lab["a1"], lab["a2"]
    layer = UDP(sport=fresh_port(), dport=53)
    for number in range(20):
        first, second = token(), token()
        a1.send(a1.frame(a2, layer, payload=first))
        lab.apply(port(number, 240), group(number))
        a1.send(a1.frame(a2, layer, payload=second))
        for payload in (first, second):
            mark = bytes(payload)
            assert a2.wire.wait_for(lambda frame, mark=mark: mark in bytes(frame))
