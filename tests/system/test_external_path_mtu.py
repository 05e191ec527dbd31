"""A link outside that carries less than the networks do: its router's errors reach who has sent, as it is or translated."""

import socket

import pytest

import netns
from node import DEADLINE
from outside import FAMILIES, Router, at, network, route

# A host behind a link of the router's, of which the MTU is less than anything here.
BEHIND = {"v4": "198.51.101.9", "v6": "2001:db8:a::9"}
MTU = 1300
SIZE = 100000


@pytest.fixture(scope="module")
def lab(make_lab):
    """What `one` sends is known outside; `hidden` is translated."""
    lab = make_lab(nodes=("a",), underlay="v4")
    lab.outside = Router(lab, 1)
    lab.behind = lab._namespace("behind")
    netns.ip(lab.outside.netns, f"link add small mtu {MTU} type veth peer name eth0 netns {lab.behind}",
             "addr add 198.51.101.1/24 dev small", "addr add 2001:db8:a::1/64 dev small nodad", "link set small up")
    netns.ip(lab.behind, "link set eth0 up", "addr add 198.51.101.9/24 dev eth0", "addr add 2001:db8:a::9/64 dev eth0 nodad",
             "route add default via 198.51.101.1", "route add default via 2001:db8:a::1")
    with netns.inside(lab.outside.netns):
        netns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    blue = lab.network("blue", 1)
    for subnet in blue.object["subnets"]:
        subnet["external"] = ["internet"]
        lab.outside.routes(subnet["cidr"], "a")
    lab.network("red", 2)
    lab.objects += [network("a"), route(),
                    {"kind": "Nat", "name": "out", "vrf": "t1", "network": "internet",
                     "pools": [{"node": "a", "addresses": [at("v4", 40), at("v6", 40)]}]}]
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("hidden", "a", "red", kernel=True)
    return lab.up()


@pytest.mark.parametrize("name", ["one", "hidden"])
def test_errors_come_in(lab, family, name):
    """A stream gets there, and the sender's kernel has heard of the MTU."""
    workload = lab[name]
    with netns.inside(lab.behind):
        server = socket.socket(FAMILIES[family])
    server.bind((BEHIND[family], 90 + len(name)))
    server.listen()
    server.settimeout(DEADLINE)
    with server, workload.open_socket(family) as client:
        client.connect((BEHIND[family], 90 + len(name)))
        accepted, _ = server.accept()
        accepted.settimeout(DEADLINE)
        client.sendall(bytes(SIZE))
        got = 0
        while got < SIZE:
            got += len(accepted.recv(65536))
        accepted.close()
    assert f"mtu {MTU}" in netns.run("ip", "-n", workload.netns, "route", "get", BEHIND[family])
