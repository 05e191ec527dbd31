"""Two nodes, networks, Vrfs, tenants with the same addresses: who reaches whom follows from the objects alone."""

import itertools
import socket
import threading

import pytest

import netns
import pings
from node import DEADLINE, eventually

# With a router between the nodes' links, and with two workers on each node.
KINDS = {
    "underlay v4": {"underlay": "v4"},
    "underlay v6": {"underlay": "v6"},
    "underlay v4, routed": {"underlay": "v4", "routed": True},
    "underlay v6, routed": {"underlay": "v6", "routed": True},
    "two workers": {"underlay": "v4", "options": ["--workers", "0,1"]},
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def lab(make_lab, request):
    """Tenant 1 has blue and red, tenant 2 green with the addresses of blue; island has no Vrf."""
    lab = make_lab(nodes=("a", "b"), **request.param)
    lab.network("blue", 1, vrf="tenant-1")
    lab.network("red", 2, vrf="tenant-1")
    lab.network("green", 3, vrf="tenant-2", prefix_number=1)
    lab.network("island", 4, vrf=None)
    lab.group("members", {"direction": "ingress", "protocol": "icmp", "remote": {"group": "members"}},
              {"direction": "ingress", "protocol": "tcp", "ports": "80"}, {"direction": "egress"})
    for network in ("blue", "green"):
        lab.workload(f"{network}-a", "a", network, host=11, kernel=True)
        lab.workload(f"{network}-b", "b", network, host=12, kernel=True)
    lab.workload("red-a", "a", "red", kernel=True)
    lab.workload("red-b", "b", "red", kernel=True)
    lab.workload("island-a", "a", "island", kernel=True)
    lab.workload("island-b", "b", "island", kernel=True)
    lab.workload("member-a", "a", "blue", kernel=True, securityGroups=["members"])
    lab.workload("member-b", "b", "red", kernel=True, securityGroups=["members"])
    return lab.up()


def tenant(workload):
    return {"blue": 1, "red": 1, "green": 2, "island": 3}[workload.network.name]


def may_ping(source, to):
    if to.object.get("securityGroups") and not source.object.get("securityGroups"):
        return False
    return tenant(source) == tenant(to)


def test_matrix_of_pings(lab, family):
    """All pairs, both ways, at once. Where two tenants have the same address, each reaches its own."""
    pairs = [(source, to) for source, to in itertools.permutations(lab.workloads.values(), 2)
             if may_ping(source, to) or source.address[family] != to.address[family]]
    # The address of another tenant's workload may also be one of the own tenant's: then it says nothing.
    own = {(tenant(w), w.address[family]) for w in lab.workloads.values()}
    pairs = [(s, t) for s, t in pairs if may_ping(s, t) or tenant(s) == tenant(t)
             or (tenant(s), t.address[family]) not in own]
    running = [(source, to, source.ping_process(to.address[family], 1, DEADLINE if may_ping(source, to) else 1))
               for source, to in pairs]
    reached = {(str(source), str(to)) for source, to, process in running if process.wait(60) == 0}
    for _, _, process in running:
        process.stdout.close()
    assert reached == {(str(source), str(to)) for source, to in pairs if may_ping(source, to)}


def test_same_addresses_are_told_apart(lab, family):
    """Blue's and green's second workload have one address; each tenant's first hears its own one."""
    servers = {name: lab[f"{name}-b"].server(80, family) for name in ("blue", "green")}
    for name in servers:
        client = lab[f"{name}-a"].connect(lab[f"{name}-b"], 80, family)
        accepted, _ = servers[name].accept()
        accepted.sendall(name.encode())
        assert client.recv(100) == name.encode()
        accepted.close()
        client.close()
    for server in servers.values():
        server.close()


def transfer(client, server, family, size=300000):
    """So many bytes each way over one connection."""
    data = bytes(range(256)) * (size // 256)
    near, far = client.connection(server, 8080, family)
    far.settimeout(60)
    for sender, receiver in ((near, far), (far, near)):
        sending = threading.Thread(target=sender.sendall, args=(data,))
        sending.start()
        got = bytearray()
        while len(got) < len(data):
            received = receiver.recv(65536)
            assert received
            got += received
        sending.join()
        assert bytes(got) == data
    for made in (near, far):
        made.close()


@pytest.mark.parametrize("client, server", [("blue-a", "blue-b"), ("blue-a", "red-b"), ("red-b", "red-a"),
                                            ("blue-a", "red-a"), ("island-b", "island-a")])
def test_tcp_transfer(lab, family, client, server):
    transfer(lab[client], lab[server], family)


def test_remote_group_spans_nodes(lab, family):
    """A rule names a group whose members are on another node."""
    assert lab["member-a"].ping(lab["member-b"], family)
    assert not lab["blue-a"].ping(lab["member-b"], family, timeout=1)


def test_host_goes_on_using_the_uplink(lab):
    """A kernel address on node a's uplink, and one of its neighbour: node b's host, or the router."""
    routed = "br0" not in netns.run("ip", "-n", lab.switch, "-o", "link")
    near = lab.nodes["a"].netns, "up0"
    far = (lab.switch, "to-a") if routed else (lab.nodes["b"].netns, "up0")
    for number, (namespace, interface) in enumerate((near, far), 1):
        netns.ip(namespace, f"addr replace 172.16.0.{number}/24 dev {interface}")
        netns.ip(namespace, f"addr replace fd99::{number}/64 dev {interface} nodad")
    for address in ("172.16.0.2", "fd99::2"):
        pings.all_answered(near[0], address, interval=0.1)
    # And a program of the host, at the tunnel's port number.
    with netns.inside(far[0]):
        server = socket.create_server(("172.16.0.2", 4789))
    with netns.inside(near[0]):
        client = socket.create_connection(("172.16.0.2", 4789), 10)
    client.close()
    server.close()


def test_a_port_that_moves_is_found_again(lab, family):
    """Its Port object names another node: the others send there from then on."""
    moving, witness = lab["red-a"], lab["blue-b"]
    assert witness.ping(moving, family)
    lab.change(moving, node="b", device={"tap": {"name": "eth1", "netns": moving.netns}})
    interface, moving.interface = moving.interface, "eth1"
    moving.configure()
    assert witness.ping(moving, family)
    assert lab["blue-a"].ping(moving, family)
    lab.change(moving, node="a", device={"tap": {"name": "eth0", "netns": moving.netns}})
    moving.interface = interface
    moving.configure()
    assert witness.ping(moving, family)
    assert eventually(lambda: moving.ping(lab["blue-a"], family, timeout=1))
