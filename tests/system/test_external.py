"""External networks: addresses of a node's own outside, and what is routed there and back, tagged and untagged."""

import socket
import subprocess

import pytest

import netns
import vlan as vlans
from node import DEADLINE, eventually
from outside import FAR, Router, network, own, route
from packets import ARP, UDP, Ether, ICMPv6ND_NA, IPv6, Wire, fresh_port, ip_header, token


@pytest.fixture(scope="module", params=[0, 100], ids=["untagged", "tagged"])
def lab(make_lab, request):
    """Node a; in blue both families are known outside, in red none; two routers."""
    lab = make_lab(nodes=("a",), underlay="v4")
    lab.vlan = request.param
    lab.outside = Router(lab, 1, vlan=lab.vlan)
    lab.heard = Wire(lab.outside.netns, lab.outside.interface)
    blue = lab.network("blue", 1)
    lab.network("red", 2)
    for subnet in blue.object["subnets"]:
        subnet["external"] = ["internet"]
        lab.outside.routes(subnet["cidr"], "a")
    lab.objects += [network("a", lab.vlan), route()]
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("private", "a", "red")
    lab.up()
    yield lab
    lab.heard.close()


def node_mac(lab):
    """On external networks a node has the MAC address of its uplink."""
    return netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link", "show", "up0").split("link/ether ")[1].split()[0]


def test_announced(lab, family):
    """Addresses that come to a node are told to everybody."""
    address = own("a")[family]

    def is_announcement(frame):
        if family == "v4":
            return ARP in frame and frame[ARP].psrc == frame[ARP].pdst == address
        return ICMPv6ND_NA in frame and frame[ICMPv6ND_NA].tgt == address and frame[IPv6].dst == "ff02::1"

    assert lab.heard.wait_for(is_announcement)


def test_own_addresses_answer(lab, family):
    """To ARP or ND, and to pings; others' are left alone."""
    assert lab.outside.ping(own("a")[family])


def test_a_node_asks_as_itself(lab, family):
    """Its own addresses are the senders of its questions."""
    router = lab.outside.address[family]
    asked = lab.heard.wait_for(lambda f: ARP in f and f[ARP].pdst == router and f[ARP].op == 1 if family == "v4"
                               else IPv6 in f and f[IPv6].src == own("a")["v6"])
    assert asked.src == node_mac(lab)


def test_out_and_in(lab, family):
    """Both sides begin; programs notice nothing."""
    one = lab["one"]
    assert one.ping(FAR[family], family)
    assert lab.outside.ping(one.address[family], source=FAR[family])
    with lab.outside.server(80, family) as server:
        client = one.open_socket(family)
        client.connect((FAR[family], 80))
        accepted, (peer, *_) = server.accept()
    assert peer == one.address[family]
    accepted.sendall(b"x" * 300000)
    got = 0
    while got < 300000:
        got += len(client.recv(65536))
    client.close()
    accepted.close()
    with one.server(81, family) as server:
        client = lab.outside.open_socket(family)
        client.connect((one.address[family], 81))
        accepted, _ = server.accept()
    client.sendall(b"y" * 300000)
    got = 0
    while got < 300000:
        got += len(accepted.recv(65536))
    client.close()
    accepted.close()


def test_fragments(lab, family):
    """What is larger than a packet goes in pieces, to Sluice itself, too. The far host has to find out the network's MTU."""
    one = lab["one"]
    process = one.ping_process(FAR[family], 5, DEADLINE, "-s", "4000", "-i", "0.2")
    process.communicate()
    assert process.returncode == 0
    with netns.inside(lab.outside.netns):
        for address, source in ((one.address[family], FAR[family]), (own("a")[family], lab.outside.address[family])):
            netns.run("ping", "-n", "-c", "5", "-i", "0.2", "-W", str(DEADLINE), "-s", "4000", "-I", source, address)


def ping_with_one_hop(namespace, address, *options):
    with netns.inside(namespace):
        return subprocess.run(["ping", "-n", "-c", "1", "-t", "1", "-W", str(DEADLINE), *options, address],
                              capture_output=True, text=True, check=False).stdout


def test_hops(lab, family):
    """Each side's traceroute sees the router that Sluice is to it."""
    one = lab["one"]
    assert own("a")[family] in ping_with_one_hop(lab.outside.netns, one.address[family], "-I", FAR[family])
    assert one.network.gateway[family] in ping_with_one_hop(one.netns, FAR[family])


def drops_at_uplink(lab, reason):
    return lab.drops()[("uplink", reason)]


def frame_in(lab, family, source, destination, **header):
    return Ether(src=lab.outside.mac(), dst=node_mac(lab)) / ip_header(source, destination, **header) / \
        UDP(sport=5, dport=9) / token()


@pytest.mark.parametrize("source", ["own", "inside"])
def test_spoofed_sources(lab, family, source):
    """Who is outside has none of the addresses that are not."""
    one = lab["one"]
    address = own("a")[family] if source == "own" else str(one.network.gateway[family])[:-1] + "99"
    before = drops_at_uplink(lab, "external-source")
    lab.heard.send(frame_in(lab, family, address, one.address[family]))
    eventually(lambda: drops_at_uplink(lab, "external-source") == before + 1)


def test_a_live_connection_lets_nobody_else_in(lab, family):
    """Its packets come to this node's MAC address."""
    one, port = lab["one"], fresh_port()
    with one.server(port, family, socket.SOCK_DGRAM) as client:
        client.sendto(b"question", (FAR[family], 9))

        def send(payload, mac):
            lab.heard.send(Ether(src=lab.outside.mac(), dst=mac) / ip_header(FAR[family], one.address[family])
                           / UDP(sport=9, dport=port) / payload)

        for answer in (b"first", b"second"):
            send(b"for another", "02:00:00:00:00:99")
            send(answer, node_mac(lab))
            assert client.recv(100) == answer


def test_private_addresses_stay_inside(lab, family):
    """What is not known outside, and not translated, does not go out, and nothing comes in."""
    private = lab["private"]
    frame = private.frame(private, UDP(sport=1, dport=2), family, dst=FAR[family], dst_mac=private.gateway_mac(family))
    lab.dropped(private, frame, "not-translated")


def test_what_is_not_ours_is_the_host_s(lab, family):
    """The host's kernel goes on having the uplink."""
    host = {"v4": "203.0.113.99/24", "v6": "2001:db8:f::99/64"}[family]
    node = lab.nodes["a"].netns
    device = "up0"
    if lab.vlan:
        device = "host"
        if "host@" not in netns.run("ip", "-n", node, "-o", "link"):
            vlans.make(node, "up0", lab.vlan, node, device, "52:54:00:00:fe:99", 1500)
    netns.ip(node, f"addr add {host} dev {device}" + (" nodad" if family == "v6" else ""))
    assert lab.outside.ping(host.split("/", maxsplit=1)[0])
    netns.ip(node, f"addr del {host} dev {device}")


def test_shown(lab):
    """get, trace and explain know it."""
    node = lab.nodes["a"]
    shown = node.json("get", "networks", "internet")
    assert shown["external"]["addresses"][0] == {"node": "a", "address": own("a")["v4"]}
    text = node.ok("trace", "--port", "one", f"udp {lab['one'].address['v4']}:1 > {FAR['v4']}:2")
    assert "Route out: by router 203.0.113.1" in text
    assert "to external network internet" + (f", VLAN {lab.vlan}" if lab.vlan else "") in text
    text = node.ok("trace", "--port", "private", f"udp {lab['private'].address['v4']}:1 > {FAR['v4']}:2")
    assert "drop not-translated" in text
