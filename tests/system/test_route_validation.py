"""Wrong Routes, and every line that `apply` says about each."""

import pytest

from test_validation import errors

SOUND = """
{kind: Node, name: a}
---
{kind: Vrf, name: t1}
---
{kind: Vrf, name: t2}
---
{kind: Vrf, name: t3}
---
{kind: Vrf, name: t4}
---
{kind: Vrf, name: t5}
---
{kind: Network, name: blue, vni: 5001, vrf: t1, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1},
                                                          {cidr: "fd00:1::/64", gateway: "fd00:1::1"}]}
---
{kind: Network, name: green, vni: 5002, vrf: t2, subnets: [{cidr: 10.2.0.0/24, gateway: 10.2.0.1}]}
---
{kind: Network, name: island, vni: 5003, subnets: [{cidr: 10.3.0.0/24, gateway: 10.3.0.1}]}
---
{kind: Port, name: fw, node: a, network: blue, mac: 52:54:00:00:00:01, addresses: [10.1.0.11],
 device: {vhostUser: {path: /run/slt/fw.sock}}}
---
{kind: Port, name: alone, node: a, network: island, mac: 52:54:00:00:00:02, device: {vhostUser: {path: /run/slt/alone.sock}}}
---
{kind: Route, name: old, vrf: t1, destinations: [192.0.2.0/24], nextHops: [{port: fw}]}
---
{kind: Route, name: leak, vrf: t2, destinations: [172.16.0.0/12], nextHops: [{vrf: t1}]}
---
{kind: Route, name: on, vrf: t3, destinations: [203.0.113.0/24], nextHops: [{vrf: t4}]}
---
{kind: Route, name: further, vrf: t4, destinations: [0.0.0.0/0], nextHops: [{vrf: t5}]}
---
{kind: Route, name: end, vrf: t5, destinations: [203.0.0.0/16], nextHops: [{vrf: t1}]}
"""


def route(*lines, name="n", vrf="t1"):
    return "\n".join(["kind: Route", f"name: {name}", f"vrf: {vrf}", *lines]) + "\n"


HOP = "nextHops: [{port: fw}]"
OUT = "destinations: [198.51.100.0/24]"

WRONG = [
    (route(), ["1: Route/n: destinations: missing", "1: Route/n: nextHops: missing, or blackhole"]),
    ("kind: Route\nname: n\n" + OUT + "\n" + HOP + "\n", ["1: Route/n: vrf: missing"]),
    (route(OUT, HOP, vrf="t6"), ["3: Route/n: vrf: no Vrf 't6', did you mean 't1'?",
                                 "5: Route/n: nextHops[0].port: can't be reached: Port/fw is in Network/blue, which is not in "
                                 "Vrf/t6"]),
    (route(OUT), ["1: Route/n: nextHops: missing, or blackhole"]),
    (route(OUT, HOP, "blackhole: true"), ["5: Route/n: nextHops: a black hole has none"]),
    (route("destinations: [x]", HOP),
     ["4: Route/n: destinations[0]: 'x' is no prefix, as 10.1.0.0/24 or fd00:1::/64"]),
    (route("destinations: [198.51.100.1/24]", HOP),
     ["4: Route/n: destinations[0]: '198.51.100.1/24' has bits behind its prefix, did you mean 198.51.100.0/24?"]),
    (route("destinations:", "- 198.51.100.0/24", "- 224.0.0.0/8", HOP),
     ["6: Route/n: destinations[1]: 224.0.0.0/8 is never routed"]),
    (route("destinations: [fe80::/10, 127.0.0.0/8]", HOP),
     ["4: Route/n: destinations[0]: fe80::/10 is never routed", "4: Route/n: destinations[1]: 127.0.0.0/8 is never routed"]),
    (route("destinations: [198.51.100.0/24, 198.51.100.0/24]", HOP),
     ["4: Route/n: destinations[1]: 198.51.100.0/24 is given twice"]),
    (route("destinations: [192.0.2.0/24]", HOP), ["4: Route/n: destinations[0]: Route/old has 192.0.2.0/24 already"]),
    (route("destinations: [10.1.0.0/24]", HOP), ["4: Route/n: destinations[0]: 10.1.0.0/24 is a subnet of Network/blue"]),
    (route(OUT, "nextHops: [{}]"), ["5: Route/n: nextHops[0]: needs one of address, port, vrf, external"]),
    (route(OUT, "nextHops: [{address: 10.1.0.300}]"),
     ["5: Route/n: nextHops[0].address: '10.1.0.300' is no IP address"]),
    (route(OUT, "nextHops: [{address: 10.2.0.5}]"),
     ["5: Route/n: nextHops[0].address: can't be reached: 10.2.0.5 is in no subnet of Vrf/t1"]),
    (route(OUT, "nextHops: [{address: 10.3.0.5}]"),
     ["5: Route/n: nextHops[0].address: can't be reached: 10.3.0.5 is in no subnet of Vrf/t1"]),
    (route(OUT, "nextHops: [{address: 10.1.0.1}]"),
     ["5: Route/n: nextHops[0].address: 10.1.0.1 is Sluice's own gateway of Network/blue"]),
    (route(OUT, "nextHops: [{address: 10.1.0.255}]"),
     ["5: Route/n: nextHops[0].address: 10.1.0.255 is the broadcast address of 10.1.0.0/24"]),
    (route(OUT, "nextHops: [{address: 224.0.0.1}]"),
     ["5: Route/n: nextHops[0].address: 224.0.0.1 is a multicast or broadcast address"]),
    (route(OUT, "nextHops: [{port: fx}]"), ["5: Route/n: nextHops[0].port: no Port 'fx', did you mean 'fw'?"]),
    (route(OUT, "nextHops: [{port: alone}]"),
     ["5: Route/n: nextHops[0].port: can't be reached: Port/alone is in Network/island, which is not in Vrf/t1"]),
    (route(OUT, "nextHops: [{port: fw, weight: 0}]"), ["5: Route/n: nextHops[0].weight: 0 is not 1 to 100"]),
    (route(OUT, "nextHops: [{port: fw, weight: 101}]"), ["5: Route/n: nextHops[0].weight: 101 is not 1 to 100"]),
    (route(OUT, "nextHops: [{port: fw}, {port: fw}]"), ["5: Route/n: nextHops[1]: 'fw' is given twice"]),
    (route(OUT, "nextHops: [{port: fw, vrf: t2}]"),
     ["5: Route/n: nextHops[0].vrf: is given beside port, only one of them may be"]),
    (route(OUT, "nextHops: [{vrf: t9}]"), ["5: Route/n: nextHops[0].vrf: no Vrf 't9', did you mean 't1'?"]),
    (route(OUT, "nextHops: [{vrf: t1}]"),
     ["5: Route/n: nextHops[0].vrf: Vrf/t1 is the Route's own: it would go in a circle"]),
    (route(OUT, "nextHops: [{vrf: t2}, {port: fw}]"), ["5: Route/n: nextHops[0].vrf: a Vrf must be the only next hop"]),
    # Part of what comes from there.
    (route("destinations: [172.16.5.0/24]", "nextHops: [{vrf: t2}]"),
     ["5: Route/n: nextHops[0].vrf: 172.16.5.0/24 goes in a circle: Route/leak leads back to Vrf/t1"]),
    # And all of it.
    (route("destinations: [0.0.0.0/0]", "nextHops: [{vrf: t2}]"),
     ["5: Route/leak: nextHops[0].vrf: 172.16.0.0/12 goes in a circle: Route/n leads back to Vrf/t2",
      "5: Route/on: nextHops[0].vrf: 203.0.113.0/24 goes through more than 4 Vrfs"]),
    (route("destinations: [203.0.0.0/16]", "nextHops: [{vrf: t2}]"),
     ["5: Route/on: nextHops[0].vrf: 203.0.113.0/24 goes through more than 4 Vrfs"]),
    (route(OUT, "nextHops:", *[f"- {{address: 10.1.0.{100 + i}}}" for i in range(65)]),
     ["5: Route/n: nextHops: more than 64"]),
    (route(OUT, "nexthops: [{port: fw}]"), ["5: Route/n: nexthops: unknown field, did you mean 'nextHops'?"]),
]


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab().nodes["a"]
    node.ok("apply", "-f", "-", input=SOUND)
    return node


def test_wrong_routes(node):
    before = node.json("get", "routes")
    said = [(text, errors(node, text)) for text, _ in WRONG]
    assert said == WRONG
    assert node.json("get", "routes") == before


@pytest.mark.parametrize("kind, name, message", [
    ("port", "fw", "Route/old: nextHops[0].port: no Port 'fw'"),
    ("vrf", "t5", "Route/end: vrf: no Vrf 't5'"),
])
def test_what_a_route_names_stays(node, kind, name, message):
    result = node.run("delete", kind, name)
    assert result.returncode == 1 and message in result.stderr


@pytest.mark.parametrize("document, line", [
    ("{kind: Network, name: blue, vni: 5001, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1}, {cidr: 'fd00:1::/64'}]}",
     "Route/old: nextHops[0].port: can't be reached: Port/fw is in Network/blue, which is not in Vrf/t1"),
    ("{kind: Network, name: more, vni: 7, vrf: t1, subnets: [{cidr: 192.0.2.0/24}]}",
     "Route/old: destinations[0]: 192.0.2.0/24 is a subnet of Network/more"),
    ("{kind: Port, name: fw, node: a, network: island, mac: 52:54:00:00:00:01, device: {vhostUser: {path: /run/slt/fw.sock}}}",
     "Route/old: nextHops[0].port: can't be reached: Port/fw is in Network/island, which is not in Vrf/t1"),
])
def test_small_changes_are_held_against_routes(node, document, line):
    assert [said.split(": ", 1)[-1] for said in errors(node, document)] == [line.split(": ", 1)[-1]] or \
        line in errors(node, document)[0]
