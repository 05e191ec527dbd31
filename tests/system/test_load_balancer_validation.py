"""Wrong LoadBalancers, and every line that `apply` says about each."""

import pytest

from test_validation import errors

SOUND = """
{kind: Node, name: a}
---
{kind: Vrf, name: t1}
---
{kind: Vrf, name: t2}
---
{kind: Network, name: blue, vni: 5001, vrf: t1, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1},
                                                          {cidr: "fd00:1::/64", gateway: "fd00:1::1"}]}
---
{kind: Network, name: green, vni: 5002, vrf: t2, subnets: [{cidr: 10.2.0.0/24, gateway: 10.2.0.1}]}
---
{kind: Port, name: web, node: a, network: blue, mac: 52:54:00:00:00:01, addresses: [10.1.0.11, "fd00:1::11"],
 allowedAddresses: [10.1.0.99/32], device: {vhostUser: {path: /run/slt/web.sock}}}
---
{kind: Port, name: web4, node: a, network: blue, mac: 52:54:00:00:00:02, addresses: [10.1.0.12],
 device: {vhostUser: {path: /run/slt/web4.sock}}}
---
{kind: Port, name: bare, node: a, network: blue, mac: 52:54:00:00:00:03, device: {vhostUser: {path: /run/slt/bare.sock}}}
---
{kind: Port, name: far, node: a, network: green, mac: 52:54:00:00:00:04, addresses: [10.2.0.11],
 device: {vhostUser: {path: /run/slt/far.sock}}}
---
{kind: Network, name: internet, external: {addresses: [{node: out, address: 203.0.113.11}]},
 subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1}]}
---
{kind: Node, name: out, vtep: 203.0.113.77/24, uplink: {netdev: up0}}
---
{kind: Nat, name: nat, vrf: t1, network: internet, pools: [{node: out, addresses: [203.0.113.64/30]}]}
---
{kind: Port, name: there, node: out, network: blue, mac: 52:54:00:00:00:05, addresses: [10.1.0.15],
 device: {vhostUser: {path: /run/slt/there.sock}}}
---
{kind: FloatingIp, name: floating, network: internet, address: 203.0.113.80, port: there}
---
{kind: LoadBalancer, name: outside, vrf: t1, network: internet, addresses: [203.0.113.90], ports: [{port: 80}],
 members: [{port: there}]}
---
{kind: LoadBalancer, name: old, vrf: t1, addresses: [10.1.0.200], ports: [{port: 80}, {port: 53, protocol: udp}],
 members: [{port: web}, {address: 10.1.0.12}]}
"""


def balancer(*lines, vrf="t1", **fields):
    """A sound one, but for what is given: a text of the field, or None for no such field."""
    values = {"addresses": "[10.1.0.201]", "ports": "[{port: 80}]", "members": "[{port: web}]", **fields}
    return "\n".join(["kind: LoadBalancer", "name: n", f"vrf: {vrf}",
                      *[f"{name}: {value}" for name, value in values.items() if value], *lines]) + "\n"


def address(text):
    return balancer(addresses=f"[{text}]")


def port(text):
    return balancer(ports=f"[{text}]")


def member(text, addresses="[10.1.0.201]"):
    return balancer(addresses=addresses, members=f"[{text}]")


def outside(text, **fields):
    return balancer("network: internet", addresses=f"[{text}]", **fields)


def health(text):
    return balancer(f"healthCheck: {{{text}}}")


WRONG = [
    ("kind: LoadBalancer\nname: n\n", ["1: LoadBalancer/n: vrf: missing", "1: LoadBalancer/n: addresses: missing",
                                       "1: LoadBalancer/n: ports: missing", "1: LoadBalancer/n: members: missing"]),
    (balancer(vrf="t3", members="[{address: 10.1.0.11}]"),
     ["3: LoadBalancer/n: vrf: no Vrf 't3', did you mean 't1'?",
      "6: LoadBalancer/n: members[0].address: can't be reached: 10.1.0.11 is in no subnet of Vrf/t3"]),
    (address("10.1.0.300"), ["4: LoadBalancer/n: addresses[0]: '10.1.0.300' is no IP address"]),
    (address("224.0.0.1"), ["4: LoadBalancer/n: addresses[0]: 224.0.0.1 is a multicast or broadcast address"]),
    (address("'fe80::1'"), ["4: LoadBalancer/n: addresses[0]: fe80::1 is a link-local address"]),
    (address("10.1.0.255"), ["4: LoadBalancer/n: addresses[0]: 10.1.0.255 is the broadcast address of 10.1.0.0/24"]),
    (address("10.1.0.1"), ["4: LoadBalancer/n: addresses[0]: 10.1.0.1 is the gateway of Network/blue"]),
    (address("10.1.0.12"), ["4: LoadBalancer/n: addresses[0]: Port/web4 has 10.1.0.12 already"]),
    (address("10.1.0.99"), ["4: LoadBalancer/n: addresses[0]: Port/web has 10.1.0.99 already"]),
    (address("10.1.0.201, 10.1.0.201"), ["4: LoadBalancer/n: addresses[1]: 10.1.0.201 is given twice"]),
    (address("10.1.0.200"), ["4: LoadBalancer/n: addresses[0]: LoadBalancer/old has 10.1.0.200 with port 80 already"]),
    (address(", ".join(f"10.1.0.{201 + i}" for i in range(17))), ["4: LoadBalancer/n: addresses: more than 16"]),
    (balancer("network: internat", addresses="[203.0.113.91]"),
     ["7: LoadBalancer/n: network: no Network 'internat', did you mean 'internet'?"]),
    (balancer("network: blue"), ["7: LoadBalancer/n: network: Network/blue is not external"]),
    (outside("10.1.0.201"), ["4: LoadBalancer/n: addresses[0]: 10.1.0.201/32 is in no subnet of Network/internet"]),
    (outside("203.0.113.1"), ["4: LoadBalancer/n: addresses[0]: 203.0.113.1 is the router's address in Network/internet"]),
    (outside("203.0.113.255"), ["4: LoadBalancer/n: addresses[0]: 203.0.113.255 is the broadcast address of 203.0.113.0/24"]),
    (outside("203.0.113.77"), ["4: LoadBalancer/n: addresses[0]: 203.0.113.77 is the tunnel address of Node/out"]),
    (outside("203.0.113.11"), ["4: LoadBalancer/n: addresses[0]: Network/internet has 203.0.113.11 already"]),
    (outside("203.0.113.65"), ["4: Nat/nat: pools[0].addresses[0]: LoadBalancer/n has 203.0.113.64/30 already"]),
    (outside("203.0.113.80"), ["4: FloatingIp/floating: address: LoadBalancer/n has 203.0.113.80 already"]),
    (outside("203.0.113.90"),
     ["4: LoadBalancer/n: addresses[0]: LoadBalancer/outside has 203.0.113.90 with port 80 already"]),
    (outside("203.0.113.90", members="[{port: far}]").replace("vrf: t1", "vrf: t2"),
     ["4: LoadBalancer/n: addresses[0]: LoadBalancer/outside has 203.0.113.90 with port 80 already"]),
    (port("{port: 0}"), ["5: LoadBalancer/n: ports[0].port: 0 is not 1 to 65535"]),
    (port("{port: 65536}"), ["5: LoadBalancer/n: ports[0].port: 65536 is not 1 to 65535"]),
    (port("{port: 80, memberPort: 0}"), ["5: LoadBalancer/n: ports[0].memberPort: 0 is not 1 to 65535"]),
    (port("{port: 80, protocol: http}"),
     ["5: LoadBalancer/n: ports[0].protocol: must be tcp, udp or sctp, not 'http'"]),
    (port("{port: 80}, {port: 80, protocol: tcp}"), ["5: LoadBalancer/n: ports[1]: port 80 is given twice"]),
    (port(", ".join(f"{{port: {1 + i}}}" for i in range(65))), ["5: LoadBalancer/n: ports: more than 64"]),
    (member("{}"), ["6: LoadBalancer/n: members[0]: needs one of address, port"]),
    (member("{port: web, address: 10.1.0.12}"),
     ["6: LoadBalancer/n: members[0].address: is given beside port, only one of them may be"]),
    (member("{port: wep}"), ["6: LoadBalancer/n: members[0].port: no Port 'wep', did you mean 'web'?"]),
    (member("{port: far}"),
     ["6: LoadBalancer/n: members[0].port: can't be reached: Port/far is in Network/green, which is not in Vrf/t1"]),
    (member("{port: bare}"), ["6: LoadBalancer/n: members[0].port: Port/bare has no address"]),
    (member("{address: x}"), ["6: LoadBalancer/n: members[0].address: 'x' is no IP address"]),
    (member("{address: 10.2.0.11}"),
     ["6: LoadBalancer/n: members[0].address: can't be reached: 10.2.0.11 is in no subnet of Vrf/t1"]),
    (member("{address: 10.1.0.1}"), ["6: LoadBalancer/n: members[0].address: 10.1.0.1 is the gateway of Network/blue"]),
    (member("{address: 10.1.0.201}"),
     ["6: LoadBalancer/n: members[0].address: 10.1.0.201 is a virtual address of this LoadBalancer: it would be its own member"]),
    (member("{address: 10.1.0.200}"),
     ["6: LoadBalancer/n: members[0].address: 10.1.0.200 is a virtual address of LoadBalancer/old"]),
    (member("{port: web}, {port: web}"), ["6: LoadBalancer/n: members[1].port: 'web' is given twice"]),
    (member("{port: web}, {address: 10.1.0.11}"), ["6: LoadBalancer/n: members[1].address: 10.1.0.11 is given twice"]),
    (member("{port: web, weight: 101}"), ["6: LoadBalancer/n: members[0].weight: 101 is not 0 to 100"]),
    (member("{port: web, weight: 0}, {port: web4, weight: 0}"),
     ["6: LoadBalancer/n: members: the weights sum to zero: nobody gets a connection"]),
    (member("{port: web4}", addresses="[10.1.0.201, 'fd00:1::201']"),
     ["6: LoadBalancer/n: members: no member has an IPv6 address, and a virtual address is IPv6"]),
    (member("{port: web}, {address: 'fd00:1::12'}"), ["6: LoadBalancer/n: members[1]: is IPv6, and no virtual address is"]),
    (balancer("affinity: clientaddress"),
     ["7: LoadBalancer/n: affinity: must be none or client-address, not 'clientaddress', did you mean 'client-address'?"]),
    (health("port: 0"), ["7: LoadBalancer/n: healthCheck.port: 0 is not 1 to 65535"]),
    (health("protocol: icmp, port: 8"), ["7: LoadBalancer/n: healthCheck.port: icmp has no ports"]),
    (health("path: /health"), ["7: LoadBalancer/n: healthCheck.path: only http has a path"]),
    (health("protocol: http, path: health"), ["7: LoadBalancer/n: healthCheck.path: 'health' does not begin with /"]),
    (health("protocol: http, path: '/a b'"),
     ["7: LoadBalancer/n: healthCheck.path: has blanks, or what is no ASCII: write %20 and the like"]),
    (health(f"protocol: http, path: /{'a' * 255}"), ["7: LoadBalancer/n: healthCheck.path: longer than 255 bytes"]),
    (health("intervalSeconds: 0"), ["7: LoadBalancer/n: healthCheck.intervalSeconds: 0 is not 1 to 3600"]),
    (health("intervalSeconds: 3, timeoutSeconds: 4"), ["7: LoadBalancer/n: healthCheck.timeoutSeconds: 4 is not 1 to 3"]),
    (health("rise: 0, fall: 11"), ["7: LoadBalancer/n: healthCheck.rise: 0 is not 1 to 10",
                                   "7: LoadBalancer/n: healthCheck.fall: 11 is not 1 to 10"]),
]


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab().nodes["a"]
    node.ok("apply", "-f", "-", input=SOUND)
    return node


def test_wrong_load_balancers(node):
    before = node.json("get", "loadbalancers")
    said = [(text, errors(node, text)) for text, _ in WRONG]
    assert said == WRONG
    assert node.json("get", "loadbalancers") == before


@pytest.mark.parametrize("kind, name, message", [
    ("port", "web", "LoadBalancer/old: members[0].port: no Port 'web'"),
    ("vrf", "t1", "LoadBalancer/old: vrf: no Vrf 't1'"),
])
def test_what_a_load_balancer_names_stays(node, kind, name, message):
    result = node.run("delete", kind, name)
    assert result.returncode == 1 and message in result.stderr


@pytest.mark.parametrize("document, line", [
    ("{kind: Port, name: new, node: a, network: blue, mac: 52:54:00:00:00:09, addresses: [10.1.0.200],"
     " device: {vhostUser: {path: /run/slt/new.sock}}}",
     "LoadBalancer/old: addresses[0]: Port/new has 10.1.0.200 already"),
    ("{kind: Port, name: new, node: a, network: blue, mac: 52:54:00:00:00:09, allowedAddresses: [10.1.0.200/32],"
     " device: {vhostUser: {path: /run/slt/new.sock}}}",
     "LoadBalancer/old: addresses[0]: Port/new has 10.1.0.200 already"),
    ("{kind: Network, name: blue, vni: 5001, vrf: t1, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.200},"
     " {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}]}",
     "LoadBalancer/old: addresses[0]: 10.1.0.200 is the gateway of Network/blue"),
    ("{kind: Port, name: web, node: a, network: blue, mac: 52:54:00:00:00:01, device: {vhostUser: {path: /run/slt/web.sock}}}",
     "LoadBalancer/old: members[0].port: Port/web has no address"),
])
def test_small_changes_are_held_against_load_balancers(node, document, line):
    kind, name = line.split(": ")[0].split("/")
    result = node.run("apply", "-f", "-", input=document)
    assert result.returncode == 1 and line.removeprefix(f"{kind}/{name}: ") in result.stderr


def test_a_virtual_address_outside_may_be_shared(node):
    """By other ports, of another Vrf, too."""
    text = outside("203.0.113.90", members="[{port: far}]", ports="[{port: 81}]").replace("vrf: t1", "vrf: t2")
    node.ok("apply", "-f", "-", "--dry-run", input=text)
