"""Translations outlive the process with their connections: NAT's mappings, floating addresses, LoadBalancers' choices."""

import socket

import pytest

from node import DEADLINE, eventually
from outside import FAR, Router, at, network, route

POOL = {"v4": at("v4", 64), "v6": at("v6", 64)}
FLOATING = {"v4": at("v4", 80), "v6": at("v6", 80)}
BALANCED = {"v4": "198.18.0.10", "v6": "2001:db8:18::10"}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=("a",), underlay="v4", options=("--workers", "0,1"))
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.network("red", 2)
    for name, where in (("client", "blue"), ("floating", "red"), ("one", "red"), ("two", "red")):
        lab.workload(name, "a", where, kernel=True, veth=True)
    lab.objects += [
        network("a"), route(),
        {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet", "portBlock": 64,
         "pools": [{"node": "a", "addresses": list(POOL.values())}]},
        *[{"kind": "FloatingIp", "name": f"floating-{f}", "network": "internet", "address": FLOATING[f], "port": "floating"}
          for f in FLOATING],
        {"kind": "LoadBalancer", "name": "lb", "vrf": "t1", "addresses": list(BALANCED.values()), "ports": [{"port": 80}],
         "members": [{"port": "one"}, {"port": "two"}]}]
    return lab.up()


def restart(lab, *options):
    node = lab.nodes["a"]
    node.kill()
    node.options = [*node.options, *options]
    node.start()
    [event] = node.events("connections recovered")
    return int(event["recovered"]), int(event["dropped"])


def goes_on(client, accepted):
    """The other side is first; then data, both ways."""
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.sendall(bytes(10000))
    got = 0
    while got < 10000:
        got += len(accepted.recv(65536))
    client.close()
    accepted.close()


def test_nat(lab, family):
    with lab.outside.server(80, family) as server:
        client = lab["client"].open_socket(family)
        client.connect((FAR[family], 80))
        accepted, _ = server.accept()
    accepted.settimeout(DEADLINE)
    # It answers to the same end, or its segments would be nobody's.
    assert restart(lab)[0] > 0
    goes_on(client, accepted)


def seen(lab, sender, port, family):
    """The end from which a server outside is asked."""
    with lab.outside.open_socket(family, socket.SOCK_DGRAM) as server:
        server.bind((FAR[family], port))
        sender.sendto(b"question", (FAR[family], port))
        return server.recvfrom(100)[1]


def test_mapping(lab, family):
    """An inside end that has a mapping has it again, for new connections too, and no other one gets it."""
    with lab["client"].open_socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((lab["client"].address[family], 0))
        before = seen(lab, sender, 9, family)
        restart(lab)
        assert seen(lab, sender, 10, family) == before
        with lab["one"].open_socket(family, socket.SOCK_DGRAM) as other:
            other.bind((lab["one"].address[family], 0))
            assert seen(lab, other, 10, family) != before


def test_blocks_are_counted(lab):
    """Connections that were recovered give back at their end what they took."""
    with lab["client"].open_socket(kind=socket.SOCK_DGRAM) as sender:
        seen(lab, sender, 9, "v4")
    before = lab.nodes["a"].json("stats")["connections"]["current"]
    recovered, dropped = restart(lab)
    assert (str(recovered), dropped) == (str(before), 0)


def test_floating_address(lab, family):
    """From outside."""
    with lab["floating"].server(80, family) as server:
        client = lab.outside.open_socket(family)
        client.bind((FAR[family], 0))
        client.connect((FLOATING[family], 80))
        accepted, _ = server.accept()
    accepted.settimeout(DEADLINE)
    restart(lab)
    goes_on(client, accepted)


def accepted_by(servers):
    """The connection that one of them has, or None."""
    for server in servers:
        try:
            accepted, _ = server.accept()
        except BlockingIOError:
            continue
        accepted.settimeout(DEADLINE)
        return accepted
    return None


@pytest.mark.parametrize("workers", ["0", "0,1"])
def test_balanced(lab, family, workers):
    """All connections keep their members, also where only one worker is left; with two again nothing is mixed up."""
    servers = [lab[name].server(80, family) for name in ("one", "two")]
    for server in servers:
        server.setblocking(False)
    pairs = []
    for _ in range(6):
        client = lab["client"].open_socket(family)
        client.connect((BALANCED[family], 80))
        pairs.append((client, eventually(lambda: accepted_by(servers))))
    recovered, dropped = restart(lab, "--workers", workers)
    if workers == "0":
        assert recovered >= 6 and dropped == 0
        for pair in pairs:
            goes_on(*pair)
    else:
        # What one worker has made may not fit two; what fits goes on.
        lab["client"].connect(lab["one"], 80, family).close()
    for made in [*sum(pairs, ()), *servers]:
        made.close()
