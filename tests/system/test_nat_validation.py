"""Wrong Nats and FloatingIps, and every line that `apply` says about each."""

import pytest

from test_validation import errors

SOUND = """
{kind: Node, name: a, vtep: 10.9.0.1/24, uplink: {netdev: up0}}
---
{kind: Node, name: b}
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
{kind: Network, name: bare, vni: 5003, subnets: [{cidr: 10.3.0.0/24}]}
---
{kind: Network, name: out, external: {addresses: [{node: a, address: 198.51.100.2}, {node: a, address: "2001:db8:1::2"}]},
 subnets: [{cidr: 198.51.100.0/24, gateway: 198.51.100.1}, {cidr: "2001:db8:1::/64", gateway: "2001:db8:1::1"}]}
---
{kind: Port, name: web, node: a, network: blue, mac: 52:54:00:00:00:01, addresses: [10.1.0.11, "fd00:1::11"],
 device: {vhostUser: {path: /run/slt/web.sock}}}
---
{kind: Port, name: web4, node: a, network: blue, mac: 52:54:00:00:00:02, addresses: [10.1.0.12],
 device: {vhostUser: {path: /run/slt/web4.sock}}}
---
{kind: Port, name: web6, node: a, network: blue, mac: 52:54:00:00:00:03, addresses: ["fd00:1::13"],
 device: {vhostUser: {path: /run/slt/web6.sock}}}
---
{kind: Port, name: far, node: b, network: blue, mac: 52:54:00:00:00:04, addresses: [10.1.0.14],
 device: {vhostUser: {path: /run/slt/far.sock}}}
---
{kind: Port, name: other, node: a, network: green, mac: 52:54:00:00:00:05, addresses: [10.2.0.11],
 device: {vhostUser: {path: /run/slt/other.sock}}}
---
{kind: Port, name: alone, node: a, network: bare, mac: 52:54:00:00:00:06, addresses: [10.3.0.11],
 device: {vhostUser: {path: /run/slt/alone.sock}}}
---
{kind: Nat, name: old, vrf: t2, network: out, pools: [{node: a, addresses: [198.51.100.64/28]}]}
---
{kind: FloatingIp, name: taken, network: out, address: 198.51.100.80, port: web4}
"""


def nat(*lines, vrf="t1", network="out", pools="[{node: a, addresses: [198.51.100.16/28]}]"):
    return "\n".join(["kind: Nat", "name: n", f"vrf: {vrf}", f"network: {network}", f"pools: {pools}", *lines]) + "\n"


def pool(*addresses, node="a"):
    return nat(pools=f"[{{node: {node}, addresses: [{', '.join(addresses)}]}}]")


def forward(*texts):
    return nat(f"forwards: [{', '.join(f'{{{text}}}' for text in texts)}]")


def floating(*lines, network="out", address="198.51.100.81", port="web"):
    return "\n".join(["kind: FloatingIp", "name: f", f"network: {network}", f"address: {address}", f"port: {port}",
                      *lines]) + "\n"


WRONG = [
    ("kind: Nat\nname: n\n", ["1: Nat/n: vrf: missing", "1: Nat/n: network: missing", "1: Nat/n: pools: missing"]),
    (nat(vrf="t3"), ["3: Nat/n: vrf: no Vrf 't3', did you mean 't1'?"]),
    (nat(network="oud"), ["4: Nat/n: network: no Network 'oud', did you mean 'out'?"]),
    (nat(network="green"), ["4: Nat/n: network: Network/green is not external"]),
    (nat(vrf="t2"), ["4: Nat/n: network: Nat/old translates from Vrf/t2 to Network/out already"]),
    (pool("198.51.100.16/28", node="c"), ["5: Nat/n: pools[0].node: no Node 'c'"]),
    (pool("198.51.100.16/28", node="b"), ["5: Nat/n: pools[0].node: Node/b has no address in Network/out"]),
    (nat(pools="[{node: a, addresses: [198.51.100.16]}, {node: a, addresses: [198.51.100.17]}]"),
     ["5: Nat/n: pools[1].node: 'a' is given twice"]),
    (nat(pools="[{node: a}]"), ["5: Nat/n: pools[0].addresses: missing"]),
    (pool("198.51.100.300"), ["5: Nat/n: pools[0].addresses[0]: '198.51.100.300' is no IP address"]),
    (pool("198.51.100.17/28"), ["5: Nat/n: pools[0].addresses[0]: '198.51.100.17/28' has bits behind its prefix, did you mean "
     "198.51.100.16/28?"]),
    (pool("198.51.0.0/16"), ["5: Nat/n: pools[0].addresses[0]: 198.51.0.0/16 has more than 256 addresses"]),
    (pool("198.51.101.0/28"), ["5: Nat/n: pools[0].addresses[0]: 198.51.101.0/28 is in no subnet of Network/out"]),
    (pool("10.1.0.16/28"), ["5: Nat/n: pools[0].addresses[0]: 10.1.0.16/28 is in no subnet of Network/out"]),
    (pool("198.51.100.1"), ["5: Nat/n: pools[0].addresses[0]: 198.51.100.1 is the router's address in Network/out"]),
    (pool("198.51.100.0/30"), ["5: Nat/n: pools[0].addresses[0]: 198.51.100.1 is the router's address in Network/out"]),
    (pool("198.51.100.2"), ["5: Nat/n: pools[0].addresses[0]: Network/out has 198.51.100.2 already"]),
    (pool("198.51.100.64/29"), ["5: Nat/n: pools[0].addresses[0]: Nat/old has 198.51.100.64/29 already"]),
    (pool("198.51.100.80"), ["5: FloatingIp/taken: address: Nat/n has 198.51.100.80 already"]),
    (pool("198.51.100.16/28", "198.51.100.20"), ["5: Nat/n: pools[0].addresses[1]: Nat/n has 198.51.100.20 already"]),
    (nat("portBlock: 100"), ["6: Nat/n: portBlock: 100 is not 64, 128 and so on up to 8192"]),
    (nat("portBlock: 16384"), ["6: Nat/n: portBlock: 16384 is not 64, 128 and so on up to 8192"]),
    (nat("maxBlocks: 0"), ["6: Nat/n: maxBlocks: 0 is not 1 to 1024"]),
    (forward("port: 0, to: web"), ["6: Nat/n: forwards[0].port: 0 is not 1 to 65535"]),
    (forward("port: 80, to: web, toPort: 70000"), ["6: Nat/n: forwards[0].toPort: 70000 is not 1 to 65535"]),
    (forward("port: 80"), ["6: Nat/n: forwards[0].to: missing"]),
    (forward("port: 80, to: wep"), ["6: Nat/n: forwards[0].to: no Port 'wep', did you mean 'web'?"]),
    (forward("port: 80, to: other"),
     ["6: Nat/n: forwards[0].to: can't be reached: Port/other is in Network/green, which is not in Vrf/t1"]),
    (forward("port: 80, to: far"),
     ["6: Nat/n: forwards[0].to: Node/b, which has Port/far, has no address of its family in a pool"]),
    (forward("port: 80, to: web6"),
     ["6: Nat/n: forwards[0].to: Node/a, which has Port/web6, has no address of its family in a pool"]),
    (forward("port: 80, to: web6, address: 198.51.100.16"), ["6: Nat/n: forwards[0].to: Port/web6 has no IPv4 address"]),
    (forward("port: 80, to: far, address: 198.51.100.16"),
     ["6: Nat/n: forwards[0].address: 198.51.100.16 is Node/a's, and Port/far is on Node/b"]),
    (forward("port: 80, to: web, address: 198.51.100.99"),
     ["6: Nat/n: forwards[0].address: 198.51.100.99 is in no pool of this Nat"]),
    (forward("port: 80, to: web", "port: 80, to: web4, protocol: tcp"),
     ["6: Nat/n: forwards[1]: port 80 of 198.51.100.16 is given twice"]),
    (forward("port: 80, to: web, protocol: icmp"),
     ["6: Nat/n: forwards[0].protocol: must be tcp, udp or sctp, not 'icmp'"]),
    (nat("nat64: {prefix: 10.0.0.0/24}"), ["6: Nat/n: nat64.prefix: 10.0.0.0/24 is not IPv6"]),
    (nat("nat64: {prefix: '2001:db8:64::/72'}"),
     ["6: Nat/n: nat64.prefix: the length of 2001:db8:64::/72 is not 32, 40, 48, 56, 64 or 96"]),
    (nat("nat64: {prefix: '2001:db8:64:0:100::/96'}"),
     ["6: Nat/n: nat64.prefix: bits 64 to 71 of 2001:db8:64:0:100::/96 are not zero"]),
    (nat("nat64: {}", pools="[{node: a, addresses: ['2001:db8:1::40']}]"),
     ["6: Nat/n: nat64: no pool has an IPv4 address to translate to"]),
    ("kind: FloatingIp\nname: f\n", ["1: FloatingIp/f: network: missing", "1: FloatingIp/f: port: missing",
                                     "1: FloatingIp/f: address: missing"]),
    (floating(network="blue"), ["3: FloatingIp/f: network: Network/blue is not external"]),
    (floating(address="198.51.100.0"), ["4: FloatingIp/f: address: 198.51.100.0 is the network address of 198.51.100.0/24"]),
    (floating(address="203.0.113.1"), ["4: FloatingIp/f: address: 203.0.113.1/32 is in no subnet of Network/out"]),
    (floating(address="198.51.100.80"), ["4: FloatingIp/f: address: FloatingIp/taken has 198.51.100.80 already"]),
    (floating(address="198.51.100.70"), ["4: FloatingIp/f: address: Nat/old has 198.51.100.70 already"]),
    (floating(port="wep"), ["5: FloatingIp/f: port: no Port 'wep', did you mean 'web'?"]),
    (floating(port="far"), ["5: FloatingIp/f: port: Node/b has no address in Network/out"]),
    (nat("helpers: [{ports: [21]}]"), ["6: Nat/n: helpers[0].protocol: missing"]),
    (nat("helpers: [{protocol: ftp}, {protocol: sip}, {protocol: ftp}]"), ["6: Nat/n: helpers[2].protocol: given twice"]),
    (nat("helpers: [{protocol: sip, ports: [5060, 5070, 5060]}]"),
     ["6: Nat/n: helpers[0].ports[2]: 5060 is given twice"]),
    (nat("helpers: [{protocol: ftp, ports: [1, 2, 3, 4, 5, 6, 7, 8, 9]}]"), ["6: Nat/n: helpers[0].ports: more than 8"]),
    (floating("helpers: [{protocol: ftp, ports: [70000]}]"),
     ["6: FloatingIp/f: helpers[0].ports[0]: 70000 is not 1 to 65535"]),
    (floating(port="alone"), ["5: FloatingIp/f: port: Port/alone is in Network/bare, which has no Vrf"]),
    (floating(port="web6"), ["5: FloatingIp/f: port: Port/web6 has no IPv4 address"]),
    (floating(port="web4"), ["5: FloatingIp/f: port: FloatingIp/taken is for 10.1.0.12 of Port/web4 already"]),
    (floating("internalAddress: 10.1.0.12"), ["6: FloatingIp/f: internalAddress: Port/web does not have 10.1.0.12"]),
    (floating("internalAddress: 'fd00:1::11'"),
     ["6: FloatingIp/f: internalAddress: fd00:1::11 is not of the family of 198.51.100.81"]),
]


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab(nodes=("a",)).nodes["a"]
    node.ok("apply", "-f", "-", input=SOUND)
    return node


def test_wrong_translations(node):
    before = node.json("get", "nats"), node.json("get", "floatingips")
    said = [(text, errors(node, text)) for text, _ in WRONG]
    assert said == WRONG
    assert (node.json("get", "nats"), node.json("get", "floatingips")) == before


@pytest.mark.parametrize("kind, name, message", [
    ("port", "web4", "FloatingIp/taken: port: no Port 'web4'"),
    ("vrf", "t2", "Nat/old: vrf: no Vrf 't2'"),
])
def test_what_they_name_stays(node, kind, name, message):
    result = node.run("delete", kind, name)
    assert result.returncode == 1 and message in result.stderr
