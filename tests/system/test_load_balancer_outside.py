"""Virtual addresses on external networks: clients outside come to members on any node, by any node, and see one server."""

import contextlib
import socket
import threading

import pytest

import netns
from node import DEADLINE, eventually
from outside import FAR, Router, at, network, own, route

VIP = {"v4": at("v4", 90), "v6": at("v6", 90)}
LENGTH = {"v4": 32, "v6": 128}


@pytest.fixture(scope="module")
def base(make_lab):
    """Members one on node a and far on node b; all nodes are in the external network, and c has nothing else."""
    lab = make_lab(nodes=("a", "b", "c"), underlay="v4", options=("--workers", "0,1"))
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("far", "b", "blue", kernel=True)
    lab.workload("inside", "b", "red", kernel=True)
    lab.objects += [network("abc"), route()]
    return lab.up()


@pytest.fixture
def lab(base):
    yield base
    for family in VIP:
        by(base, family, None)


def balancer(lab, *members, **fields):
    lab.apply({"kind": "LoadBalancer", "name": "lb", "vrf": "t1", "network": "internet", "addresses": list(VIP.values()),
               "ports": [{"port": 80, "memberPort": 8080}, {"port": 53, "protocol": "udp"}],
               "members": [{"port": member} for member in members], **fields})


def by(lab, family, node):
    """By which node the router sends to the virtual address; None: by whichever answers ARP or ND."""
    prefix = f"{VIP[family]}/{LENGTH[family]}"
    if node:
        lab.outside.routes(prefix, node)
    else:
        netns.run("sh", "-c", f"ip -n {lab.outside.netns} route del {prefix} 2>/dev/null || true")


def talk(a, b):
    """Something more than one segment, both ways."""
    for sender, receiver in ((a, b), (b, a)):
        data = bytes(range(256)) * 400
        sender.sendall(data)
        got = b""
        while len(got) < len(data):
            got += receiver.recv(65536)
        assert got == data


@pytest.mark.parametrize("node", [None, "b", "c"], ids=["the one that answers", "b", "c"])
@pytest.mark.parametrize("member", ["one", "far"])
def test_there_and_back(lab, family, member, node):
    """The member sees the client, the client the virtual address, whichever node has which."""
    balancer(lab, member)
    by(lab, family, node)
    client, accepted = lab.outside.connection(lab[member], VIP[family], family, listening=8080)
    talk(client, accepted)
    client.close()
    accepted.close()


def test_from_inside(lab, family):
    """A workload of the Vrf comes to them by its own node."""
    balancer(lab, "one")
    with lab["one"].server(8080, family) as server:
        client = lab["inside"].open_socket(family)
        client.connect((VIP[family], 80))
        accepted, (peer, *_) = server.accept()
    accepted.settimeout(DEADLINE)
    assert peer == lab["inside"].address[family]
    talk(client, accepted)
    client.close()
    accepted.close()


def test_one_node_answers(lab, family):
    """The first one of the network has the address on the link, and answers pings."""
    balancer(lab, "far")
    netns.run("ip", "-n", lab.outside.netns, "neigh", "flush", "all")
    assert lab.outside.ping(VIP[family])
    neighbours = netns.run("ip", "-n", lab.outside.netns, "neigh", "show", "to", VIP[family])
    mac = netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link", "show", "up0").split("link/ether ")[1].split()[0]
    assert mac in neighbours
    with lab.outside.open_socket(family) as client, pytest.raises(ConnectionRefusedError):
        client.connect((VIP[family], 81))


def test_a_next_hop_that_is_ours(lab, family):
    """A Route that names the virtual address as a router leads nowhere, and takes it from nobody."""
    balancer(lab, "one")
    lab.apply(route(VIP["v4"], VIP["v6"], name="wrong", destinations=["192.0.2.128/25", "2001:db8:99::/48"]))
    try:
        netns.run("ip", "-n", lab.outside.netns, "neigh", "flush", "all")
        assert lab.outside.ping(VIP[family])
    finally:
        for node in lab.nodes.values():
            node.delete("route", "wrong")


@contextlib.contextmanager
def answering(member, family):
    """It says its name to each datagram."""
    done = threading.Event()

    def serve():
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                _, peer = server.recvfrom(100)
                server.sendto(member.name.encode(), peer)

    with member.server(53, family, socket.SOCK_DGRAM) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def answers(lab, family, ports):
    """Which member answers datagrams from each port."""
    found = {}
    for port in ports:
        with lab.outside.open_socket(family, socket.SOCK_DGRAM) as client:
            client.bind((FAR[family], port))
            client.connect((VIP[family], 53))
            client.send(b"who?")
            found[port] = client.recv(100).decode()
    return found


def test_nodes_choose_alike(lab, family):
    """A connection has the same member by whatever node it comes, so that routers may spread them over nodes as they like."""
    balancer(lab, "one", "far")
    with answering(lab["one"], family), answering(lab["far"], family):
        ports = range(4000, 4012)
        by_node = []
        for node in "abc":
            by(lab, family, node)
            by_node.append(answers(lab, family, ports))
    assert by_node[0] == by_node[1] == by_node[2]
    assert set(by_node[0].values()) == {"one", "far"}


def test_health_is_known_to_nodes_without_ports(lab, family):
    """Node c has no Port, and balances all the same."""
    balancer(lab, "one", "far", healthCheck={"port": 7000, "intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 1})

    def states():
        shown = lab.nodes["c"].json("get", "loadbalancer", "lb")["status"]["members"]
        return {member["member"]: member["state"] for member in shown if (":" in member["address"]) == (family == "v6")}

    eventually(lambda: states() == {"one": "unhealthy", "far": "unhealthy"})
    with lab["far"].server(7000, family):
        eventually(lambda: states() == {"one": "unhealthy", "far": "up"})


def test_it_goes(lab, family):
    """Without it nobody answers for its address any more."""
    balancer(lab, "far")
    assert lab.outside.ping(VIP[family])
    for node in lab.nodes.values():
        node.delete("loadbalancer", "lb")
    with netns.inside(lab.outside.netns):
        assert "100% packet loss" in netns.run("sh", "-c", f"ping -n -c 1 -W 1 {VIP[family]} || true")
    assert lab.outside.ping(own("a")[family])
