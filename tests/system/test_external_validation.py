"""Wrong external Networks and Routes to them, and every line that `apply` says about each."""

import pytest

from test_validation import errors

SOUND = """
{kind: Node, name: a, vtep: 192.0.2.1/24, uplink: {netdev: up0}}
---
{kind: Node, name: b, vtep: 203.0.113.200/24, uplink: {netdev: up0}}
---
{kind: Node, name: c}
---
{kind: Vrf, name: t1}
---
{kind: Network, name: blue, vni: 5001, vrf: t1, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1, external: [internet]}]}
---
{kind: Network, name: island, vni: 5003, subnets: [{cidr: 10.3.0.0/24, gateway: 10.3.0.1}]}
---
{kind: Network, name: internet, external: {addresses: [{node: a, address: 203.0.113.11}]},
 subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1}, {cidr: "2001:db8:f::/64"}]}
---
{kind: Route, name: default, vrf: t1, destinations: [0.0.0.0/0], nextHops: [{external: {network: internet}}]}
"""

HOST = "198.18.0.11"


def network(external, *more, name="n", subnet="{cidr: 198.18.0.0/24, gateway: 198.18.0.1}"):
    return "\n".join(["kind: Network", f"name: {name}", f"external: {{{external}}}", f"subnets: [{subnet}]", *more]) + "\n"


def own(address, node="a", vlan=7):
    return f"vlan: {vlan}, addresses: [{{node: {node}, address: {address}}}]"


def hop(text, destinations="[198.51.100.0/24]"):
    return f"kind: Route\nname: r\nvrf: t1\ndestinations: {destinations}\nnextHops: [{{external: {text}}}]\n"


WRONG = [
    (network(own(HOST), "vni: 7"), ["5: Network/n: vni: an external network has none"]),
    (network(own(HOST), "vrf: t1"), ["5: Network/n: vrf: an external network has none: Routes lead to it"]),
    (network(own(HOST), "dhcp: {}"), ["5: Network/n: dhcp: is of no use in an external network"]),
    (network(own(HOST), "multicast: {}"), ["5: Network/n: multicast: is of no use in an external network"]),
    (network(own(HOST), subnet="{cidr: 198.18.0.0/24, dns: [198.18.0.2]}"),
     ["4: Network/n: subnets[0].dns: is of no use in an external network"]),
    (network(own(HOST), subnet="{cidr: 198.18.0.0/24, external: [internet]}"),
     ["4: Network/n: subnets[0].external: is of no use in an external network"]),
    (network(own(HOST, vlan=4095)), ["3: Network/n: external.vlan: 4095 is not 0 to 4094"]),
    (network(own(HOST, vlan=0)), ["3: Network/n: external.vlan: Network/internet is in the same place on Node/a"]),
    (network(own(HOST, node="d")), ["3: Network/n: external.addresses[0].node: no Node 'd'"]),
    (network(own(HOST, node="c")), ["3: Network/n: external.addresses[0].node: Node/c has no uplink"]),
    (network(own("x")), ["3: Network/n: external.addresses[0].address: 'x' is no IP address"]),
    (network(own("198.19.0.1")), ["3: Network/n: external.addresses[0].address: 198.19.0.1/32 is in no subnet of Network/n"]),
    (network(own("198.18.0.255")),
     ["3: Network/n: external.addresses[0].address: 198.18.0.255 is the broadcast address of 198.18.0.0/24"]),
    (network(own("198.18.0.1")), ["3: Network/n: external.addresses[0].address: 198.18.0.1 is the router's address in Network/n"]),
    (network("vlan: 7, addresses: [{node: a, address: 198.18.0.2}, {node: b, address: 198.18.0.2}]"),
     ["3: Network/n: external.addresses[1].address: Network/n has 198.18.0.2 already"]),
    (network("vlan: 7, addresses: [{node: a, address: 198.18.0.2}, {node: a, address: 198.18.0.3}]"),
     ["3: Network/n: external.addresses[1].address: Node/a has an address in that subnet already"]),
    (network(own("192.0.2.1"), subnet="{cidr: 192.0.2.0/24}"),
     ["3: Network/n: external.addresses[0].address: 192.0.2.1 is the tunnel address of Node/a"]),
    ("{kind: Port, name: p, node: a, network: internet, mac: 52:54:00:00:00:02, device: {tap: {name: t}}}\n",
     ["1: Port/p: network: Network/internet is external: no Ports are in it"]),
    ("{kind: Network, name: n, vni: 7, vrf: t1, subnets: [{cidr: 10.7.0.0/24, external: [blue]}]}\n",
     ["1: Network/n: subnets[0].external[0]: Network/blue is not external"]),
    ("{kind: Network, name: n, vni: 7, vrf: t1, subnets: [{cidr: 10.7.0.0/24, external: [internet, internet]}]}\n",
     ["1: Network/n: subnets[0].external[1]: 'internet' is given twice"]),
    ("{kind: Network, name: n, vni: 7, subnets: [{cidr: 10.7.0.0/24, external: [internet]}]}\n",
     ["1: Network/n: subnets[0].external[0]: is of no use without vrf"]),
    ("{kind: Vrf, name: t2}\n---\n"
     "{kind: Network, name: n, vni: 7, vrf: t2, subnets: [{cidr: 10.1.0.0/25, external: [internet]}]}\n",
     ["3: Network/n: subnets[0].cidr: overlaps with 10.1.0.0/24 of Network/blue"]),
    (hop("{network: nowhere}"), ["5: Route/r: nextHops[0].external.network: no Network 'nowhere'"]),
    (hop("{network: island}"), ["5: Route/r: nextHops[0].external.network: Network/island is not external"]),
    (hop("{network: internet}", '["2001:db8::/32"]'),
     ["5: Route/r: nextHops[0].external.network: can't be reached: Network/internet has no gateway of IPv6"]),
    (hop("{network: internet, address: 192.0.2.9}"),
     ["5: Route/r: nextHops[0].external.address: can't be reached: 192.0.2.9 is in no subnet of Network/internet"]),
    (hop("{network: internet, address: 203.0.113.11}"),
     ["5: Route/r: nextHops[0].external.address: 203.0.113.11 is Node/a's own address in Network/internet"]),
    (hop("{network: internet, address: 203.0.113.0}"),
     ["5: Route/r: nextHops[0].external.address: 203.0.113.0 is the network address of 203.0.113.0/24"]),
    (hop("{network: internet}}, {external: {network: internet}"),
     ["5: Route/r: nextHops[1]: 'internet' is given twice"]),
]


@pytest.fixture(scope="module")
def node(make_lab):
    made = make_lab().nodes["a"]
    made.ok("apply", "-f", "-", input=SOUND)
    return made


def test_wrong_external_networks(node):
    before = node.json("get", "networks")
    said = [(text, errors(node, text)) for text, _ in WRONG]
    assert said == WRONG
    assert node.json("get", "networks") == before


def test_delete_what_others_need(node):
    result = node.run("delete", "network", "internet", "--dry-run")
    assert result.returncode == 1
    assert "Route/default: nextHops[0].external.network: no Network 'internet'" in result.stderr
    assert "Network/blue: subnets[0].external[0]: no Network 'internet'" in result.stderr
