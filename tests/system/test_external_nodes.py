"""What comes from outside to a node that has not the Port: it sends it on, and the Port's node answers by itself."""

import socket

import pytest

import netns
from node import DEADLINE, eventually
from outside import FAR, Router, network, own, route
from packets import UDP, Ether, Wire, ip_header, token


@pytest.fixture(scope="module", params=[(0, ()), (100, ("--workers", "0,1"))], ids=["untagged", "tagged, two workers"])
def lab(make_lab, request):
    """Nodes a and b are in the network outside, c is not. The router sends all of blue to a, which has none of its Ports."""
    vlan, options = request.param
    lab = make_lab(nodes=("a", "b", "c"), underlay="v4", options=options)
    lab.outside = Router(lab, 1, vlan=vlan)
    lab.wire = Wire(lab.outside.netns, lab.outside.interface)
    blue = lab.network("blue", 1)
    for subnet in blue.object["subnets"]:
        subnet["external"] = ["internet"]
        lab.outside.routes(subnet["cidr"], "a")
    lab.objects += [network("ab", vlan), route()]
    lab.group("open", {"direction": "ingress"}, {"direction": "egress"})
    lab.workload("one", "b", "blue", kernel=True, securityGroups=["open"])
    lab.workload("apart", "c", "blue")
    lab.up()
    yield lab
    lab.wire.close()


def exchange(client, listening, address, source):
    """A connection to there, with much in both directions."""
    client.connect(address)
    accepted, (peer, *_) = listening.accept()
    accepted.settimeout(DEADLINE)
    assert peer == source
    for sender, receiver in ((client, accepted), (accepted, client)):
        sender.sendall(bytes(100000))
        got = 0
        while got < 100000:
            got += len(receiver.recv(65536))
    accepted.close()


def test_connections(lab, family):
    """Both sides open them; the Port's node alone knows of them."""
    one, outside = lab["one"], lab.outside
    assert outside.ping(one.address[family], source=FAR[family])
    assert one.ping(FAR[family], family)
    with outside.server(80, family) as server, one.open_socket(family) as client:
        exchange(client, server, (FAR[family], 80), one.address[family])
    with one.server(81, family) as server, outside.open_socket(family) as client:
        exchange(client, server, (one.address[family], 81), outside.address[family])
    assert not lab.nodes["a"].flows() and lab.nodes["b"].flows(port="one")


def test_large_packets(lab, family):
    """In fragments, and too large for the tunnel: the sender is told, or they are cut."""
    with netns.inside(lab.outside.netns):
        for options in (("-s", "4000"), ("-M", "do", "-s", "1400")):
            netns.run("ping", "-n", "-c", "5", "-i", "0.2", "-W", str(DEADLINE), "-I", FAR[family], *options, lab["one"].address[family])


def test_the_node_goes_away(lab, family):
    """Which node the router chooses is all the same to a live connection."""
    one, outside = lab["one"], lab.outside
    cidr = one.network.prefix[family]
    with one.open_socket(family, socket.SOCK_DGRAM) as inner, outside.open_socket(family, socket.SOCK_DGRAM) as outer:
        inner.bind((one.address[family], 700))
        outer.bind((FAR[family], 701))
        for node in "abab":
            outside.routes(cidr, node)
            outer.sendto(node.encode(), (one.address[family], 700))
            assert inner.recvfrom(10)[0] == node.encode()
            inner.sendto(b"x", (FAR[family], 701))
            assert outer.recvfrom(10)[0] == b"x"
    outside.routes(cidr, "a")
    assert len(lab.nodes["b"].flows(sourcePort=701)) == (1 if family == "v4" else 2)


def frame(lab, family, source, destination):
    mac = netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link", "show", "up0").split("link/ether ")[1].split()[0]
    return Ether(src=lab.outside.mac(), dst=mac) / ip_header(source, destination) / UDP(sport=5, dport=9) / token()


def drop(lab, node, packet, reason):
    def count():
        return lab.nodes[node].drops().get(("uplink", reason), 0)

    before = count()
    lab.wire.send(packet)
    eventually(lambda: count() == before + 1)


def test_what_is_not_sent_on(lab, family):
    """What is for a node that has no way out itself; from who is not outside."""
    drop(lab, "a", frame(lab, family, FAR[family], lab["apart"].address[family]), "tunnel-destination")
    drop(lab, "a", frame(lab, family, own("a")[family], lab["one"].address[family]), "external-source")
    drop(lab, "a", frame(lab, family, lab["apart"].address[family], lab["one"].address[family]), "external-source")
    # The Port's node knows who is outside, too.
    drop(lab, "b", frame(lab, family, own("b")[family], lab["one"].address[family]), "external-source")
