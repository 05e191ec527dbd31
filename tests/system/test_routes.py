"""Routes: longest prefix, next hops by address, Port and Vrf, equal shares, black holes; on one node and across two."""

import pytest

import netns
from node import eventually
from packets import IP, UDP, IPv6

# Behind the routers; nobody's in the Vrf.
FAR = {"v4": "203.0.113.9", "v6": "2001:db8:9::9"}
AROUND = {"v4": "203.0.113.0/24", "v6": "2001:db8:9::/64"}
HOST = {"v4": "203.0.113.9/32", "v6": "2001:db8:9::9/128"}
ANY = ["0.0.0.0/0", "::/0"]


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def base(make_lab, request):
    """Routers near (node a) and far (node b) in blue, clients in blue and red, a Vrf t2 with green."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=request.param)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("green", 3, vrf="t2")
    lab.workload("near", "a", "blue", allowedAddresses=ANY)
    lab.workload("far", "b", "blue", allowedAddresses=ANY)
    lab.workload("shy", "a", "blue")
    lab.workload("blue-a", "a", "blue")
    lab.workload("red-a", "a", "red")
    lab.workload("red-b", "b", "red")
    lab.workload("green-a", "a", "green")
    lab.workload("green-b", "b", "green")
    return lab.up()


class Routes:
    """Adds Routes, and takes them away at the end."""

    def __init__(self, lab):
        self.lab = lab
        self.names = []

    def add(self, name, destinations, *hops, vrf="t1", **fields):
        """A hop is an address, the Port of a workload, or {vrf: …}."""
        value = {"kind": "Route", "name": name, "vrf": vrf, "destinations": destinations, **fields}
        if hops:
            value["nextHops"] = [hop if isinstance(hop, dict) else {"address": hop} if isinstance(hop, str)
                                 else {"port": hop.name} for hop in hops]
        self.lab.apply(value)
        self.names += [name] * (name not in self.names)

    def remove(self, name):
        for node in self.lab.nodes.values():
            node.delete("route", name)
        self.names.remove(name)

    def clear(self):
        while self.names:
            self.remove(self.names[-1])


@pytest.fixture
def lab(base):
    base.routes = Routes(base)
    yield base
    base.routes.clear()


def to_far(sender, family, sport=1000, dport=9, address=None):
    return sender.frame(sender, UDP(sport=sport, dport=dport), family, dst=address or FAR[family],
                        dst_mac=sender.gateway_mac(family))


def back(router, to, family, sport=1000, address=None):
    return router.frame(to, UDP(sport=9, dport=sport), family, src=address or FAR[family],
                        dst_mac=router.gateway_mac(family))


def is_routed(lab, sender, router, family, **options):
    """It gets to the router, with its MAC address and one hop less."""
    arrived = lab.passes(sender, to_far(sender, family, **options), router)
    header = arrived[IP] if family == "v4" else arrived[IPv6]
    assert (arrived.dst, arrived.src) == (router.mac, router.gateway_mac(family))
    assert (header.ttl if family == "v4" else header.hlim) == 63
    return arrived


@pytest.mark.parametrize("router", ["near", "far"])
@pytest.mark.parametrize("sender", ["blue-a", "red-a", "red-b"])
@pytest.mark.parametrize("by", ["address", "port"])
def test_by_a_workload(lab, family, sender, router, by):
    """There and back, also where router and sender are on different nodes."""
    sender, router = lab[sender], lab[router]
    lab.routes.add("out", [AROUND[family]], router.address[family] if by == "address" else router)
    is_routed(lab, sender, router, family)
    lab.passes(router, back(router, sender, family), sender)


def test_other_family(lab, family):
    """The next hop is a workload, whatever address it is named by."""
    other = "v6" if family == "v4" else "v4"
    lab.routes.add("out", [AROUND[family]], lab["near"].address[other])
    is_routed(lab, lab["red-a"], lab["near"], family)


def test_longest_prefix(lab, family):
    sender, near, far = lab["red-a"], lab["near"], lab["far"]
    lab.dropped(sender, to_far(sender, family), "no-route")
    lab.routes.add("default", ["0.0.0.0/0" if family == "v4" else "::/0"], near)
    is_routed(lab, sender, near, family)
    lab.routes.add("around", [AROUND[family]], far)
    is_routed(lab, sender, far, family)
    lab.routes.add("host", [HOST[family]], blackhole=True)
    lab.dropped(sender, to_far(sender, family), "blackhole")
    lab.routes.remove("host")
    is_routed(lab, sender, far, family)
    lab.routes.remove("around")
    is_routed(lab, sender, near, family)


def test_subnets_and_ports_are_prefixes_too(lab, family):
    """A Route inside a subnet is longer than it; a Port's own address is longer than any Route."""
    sender, near = lab["red-a"], lab["near"]
    part, nobody = {"v4": ("10.1.0.0/25", "10.1.0.99"), "v6": ("fd00:1::/120", "fd00:1::63")}[family]
    lab.routes.add("default", ["0.0.0.0/0" if family == "v4" else "::/0"], near)
    lab.dropped(sender, to_far(sender, family, address=nobody), "no-host")
    lab.routes.add("part", [part], near)
    is_routed(lab, sender, near, family, address=nobody)
    shy = lab["shy"]
    assert lab.passes(sender, to_far(sender, family, address=shy.address[family]), shy)


def test_only_who_may_routes(lab, family):
    """What a next hop sends for others has to be in its allowedAddresses."""
    sender, shy = lab["red-a"], lab["shy"]
    lab.routes.add("out", [AROUND[family]], shy)
    is_routed(lab, sender, shy, family)
    lab.dropped(shy, back(shy, sender, family), "source-address")


def spread(lab, sender, routers, family, ports):
    """By source port, the router that got the packet."""
    found = {}
    for router in routers:
        router.wire.drain()
    for sport in ports:
        sender.send(to_far(sender, family, sport=sport))

    def all_there():
        for router in routers:
            for frame in router.wire.drain():
                if UDP in frame and frame[UDP].dport == 9 and frame.dst == router.mac:
                    found[frame[UDP].sport] = router.name
        return len(found) == len(ports)

    eventually(all_there)
    return found


def test_equal_shares(lab, family):
    """Connections are spread over the next hops by weight, each stays with its own, and few move when one comes."""
    sender, near, far, third = lab["red-a"], lab["near"], lab["far"], lab["blue-a"]
    ports = range(2000, 2200)
    lab.routes.add("out", [AROUND[family]], near, far.address[family])
    first = spread(lab, sender, [near, far], family, ports)
    shares = [list(first.values()).count(name) for name in ("near", "far")]
    assert min(shares) > 60
    assert spread(lab, sender, [near, far], family, ports) == first
    lab.routes.add("out", [AROUND[family]], third, near, far.address[family])
    second = spread(lab, sender, [near, far, third], family, ports)
    assert 30 < list(second.values()).count("blue-a") < 110
    # Those that moved did so to the new one, but for a few.
    assert sum(first[port] != second[port] != "blue-a" for port in ports) < 20
    lab.routes.add("out", [AROUND[family]], near, far.address[family])
    assert spread(lab, sender, [near, far], family, ports) == first
    lab.routes.add("out", [AROUND[family]], {"port": "near", "weight": 1}, {"port": "far", "weight": 9})
    weighted = spread(lab, sender, [near, far], family, ports)
    assert list(weighted.values()).count("near") < 50


@pytest.mark.parametrize("sender, receiver", [("red-a", "green-a"), ("red-a", "green-b"), ("red-b", "green-a")])
def test_between_vrfs(lab, family, sender, receiver):
    """A Route there and one back; without the way back there is none."""
    sender, receiver = lab[sender], lab[receiver]
    frame = sender.frame(receiver, UDP(sport=7, dport=9), family)
    lab.dropped(sender, frame, "no-route")
    lab.routes.add("there", [receiver.network.prefix[family]], {"vrf": "t2"})
    reply = receiver.frame(sender, UDP(sport=9, dport=7), family)
    if sender.node is receiver.node:
        assert lab.passes(sender, frame, receiver)
    else:
        # The node of the destination does not believe in a sender that it has no way back to.
        lab.dropped(sender, frame, "tunnel-source", at="uplink")
    lab.dropped(receiver, reply, "no-route")
    lab.routes.add("back", [sender.network.prefix[family]], {"vrf": "t1"}, vrf="t2")
    assert lab.passes(sender, frame, receiver)
    assert lab.passes(receiver, reply, sender)


def test_through_a_vrf_to_a_router(lab, family):
    """What is in one Vrf goes out by a router of another."""
    sender, router = lab["green-a"], lab["near"]
    lab.routes.add("out", [AROUND[family]], router)
    lab.routes.add("shared", ["0.0.0.0/0", "::/0"], {"vrf": "t1"}, vrf="t2")
    lab.routes.add("home", [sender.network.prefix[family]], {"vrf": "t2"})
    is_routed(lab, sender, router, family)
    lab.passes(router, back(router, sender, family), sender)


def test_nobody_has_the_next_hop(lab, family):
    """An address in a subnet, and no Port has it: the sender is told, and once a Port has it, it is used."""
    sender, near = lab["red-a"], lab["near"]
    missing = {"v4": "10.1.0.99", "v6": "fd00:1::99"}[family]
    lab.routes.add("out", [AROUND[family]], missing)
    lab.dropped(sender, to_far(sender, family), "no-next-hop")
    addresses = near.object["addresses"]
    lab.change(near, addresses=[*addresses, missing])
    is_routed(lab, sender, near, family)
    # One of two next hops is enough.
    lab.change(near, addresses=addresses)
    lab.routes.add("out", [AROUND[family]], missing, near)
    for sport in range(20):
        is_routed(lab, sender, near, family, sport=1 + sport)


def test_live_connections_follow(lab, family):
    """A Route that changes takes the connection along; one that goes ends it."""
    sender, near, far = lab["red-a"], lab["near"], lab["far"]
    lab.routes.add("out", [AROUND[family]], near)
    is_routed(lab, sender, near, family, sport=4000)
    lab.passes(near, back(near, sender, family, sport=4000), sender)
    lab.routes.add("out", [AROUND[family]], far)
    is_routed(lab, sender, far, family, sport=4000)
    lab.passes(far, back(far, sender, family, sport=4000), sender)
    lab.routes.remove("out")
    lab.dropped(sender, to_far(sender, family, sport=4000), "no-route")


def test_programs(make_lab, family):
    """Linux as the router, and a program behind it."""
    lab = make_lab()
    lab.network("blue", 1)
    lab.workload("client", "a", "blue", kernel=True)
    router = lab.workload("router", "a", "blue", kernel=True, allowedAddresses=ANY)
    lab.objects.append({"kind": "Route", "name": "out", "vrf": "t1", "destinations": ANY,
                        "nextHops": [{"address": router.address[family]}]})
    lab.up()
    far = FAR[family]
    netns.ip(router.netns, f"addr add {HOST[family]} dev lo" + (" nodad" if family == "v6" else ""))
    assert lab["client"].ping(far, family, count=3)
    server = lab["router"].open_socket(family)
    server.bind((far, 80))
    server.listen()
    client = lab["client"].open_socket(family)
    client.connect((far, 80))
    accepted, _ = server.accept()
    accepted.sendall(b"x" * 100000)
    got = 0
    while got < 100000:
        got += len(client.recv(65536))
    for made in (client, accepted, server):
        made.close()


def test_shown(lab):
    """get, trace, diff and history know it as any object."""
    node = lab.nodes["a"]
    lab.routes.add("out", ["203.0.113.0/24", "2001:db8:9::/64"], lab["near"])
    shown = node.json("get", "routes", "out")
    assert shown["destinations"] == ["203.0.113.0/24", "2001:db8:9::/64"]
    text = node.ok("trace", "--port", "red-a", "udp 10.2.0.15:1 > 203.0.113.9:2")
    assert "Route out: by port near" in text
    lab.routes.remove("out")
    assert node.trace("red-a", "udp 10.2.0.15:1 > 203.0.113.9:2") == "drop no-route"
