"""Established connections between kernel interfaces of two nodes go on in the kernels of both: each takes outer headers off
and puts them on by itself. test_flow_offload.py has what is the same on one node."""

import pytest

import netns
import pings
from netns import ip
from node import eventually
from packets import ARP, TCP, UDP, VXLAN, Ether, Raw, Wire, ip_header
from transfer import ENDED, Datagrams, Stream, counted, handled, judge_anew, received, stopped

SIZE = 8 << 20
# Through Sluice on one node at least.
SMALL = 2 << 20
# A packet that is not yet cut.
LARGEST = 1 << 16
OUTER = {"v4": 50, "v6": 70}
ANY = {"direction": "ingress"}
OUT = {"direction": "egress"}
OTHERS = {"v4": {"c": "192.0.2.3/24", "nobody": "192.0.2.99/24"}, "v6": {"c": "2001:db8::3/64", "nobody": "2001:db8::99/64"}}


def populate(lab):
    lab.network("blue", 1, mtu=1450)
    lab.network("red", 2, mtu=1400)
    lab.group("any", ANY, OUT)
    for name, node, network in (("client", "a", "blue"), ("near", "b", "blue"), ("far", "b", "red")):
        lab.workload(name, node, network, kernel=True, veth=True, securityGroups=["any"])
    lab.workload("machine", "b", "blue", kernel=True, machine=True, securityGroups=["any"])
    for name, node in (("own", "a"), ("tap", "b")):
        lab.workload(name, node, "blue", kernel=True, securityGroups=["any"])
    lab.up()
    lab.ports_up()
    return lab


@pytest.fixture(scope="module", params=[("v4", "0"), ("v6", "0,1")], ids=["underlay v4, one worker", "underlay v6, two workers"])
def lab(make_lab, request):
    """`near` is in the client's network, the way to `far` is routed, `machine` is behind a tap; `own` and `tap` are no
    interfaces for this, so that only one of the nodes can, or none."""
    underlay, workers = request.param
    lab = make_lab(nodes=("a", "b"), underlay=underlay, options=["--workers", workers])
    lab.add_node("c", OTHERS[underlay]["c"], uplink={"netdev": "up0"})
    return populate(lab)


@pytest.fixture(params=["near", "far", "machine"], ids=["one network", "routed", "virtual machine"])
def to(lab, request):
    return lab[request.param]


def grown(before, after, port, what):
    return int(after["ports"][port][what]) - int(before["ports"][port][what])


def test_the_kernels_forward(lab, stream, to):
    """Hardly a packet comes to the workers of either node, and all are counted, on the uplinks with their outer headers."""
    counts = {}

    def forwarded():
        eventually(stream.offloaded)
        counts.update({node: stream.flow(node) for node in "ab"})
        before = {node: lab.nodes[node].stats() for node in "ab"}
        stream.goes_on(SIZE)
        after = {node: lab.nodes[node].stats() for node in "ab"}
        for node, ports in (("a", ("client", "uplink")), ("b", ("uplink", str(to)))):
            # Some of it was on its way already.
            assert grown(before[node], after[node], ports[0], "rxBytes") > SIZE // 2
            assert grown(before[node], after[node], ports[1], "txBytes") > SIZE // 2
        return all(handled(after[node]) - handled(before[node]) < (received(after[node], *ports)
                                                                 - received(before[node], *ports)) / 4
                   for node, ports in (("a", ("client", "uplink")), ("b", ("uplink", str(to)))))
    # Where one node's kernel begins, it may overtake Sluice, and TCP sends again what does not fit any more.
    eventually(forwarded)
    for node in "ab":
        flow = stream.flow(node)
        assert int(flow["bytes"]) - int(counts[node]["bytes"]) > SIZE // 2
        assert flow["state"] == "established" and flow["rule"] == counts[node]["rule"]
    stream.end()


def test_the_other_way(lab, family):
    """The opener is on the far node, and sends."""
    stream = Stream(lab, lab["client"], family, "near")
    try:
        eventually(stream.offloaded)
        stream.goes_on(SIZE)
        stream.end()
    finally:
        stream.cut()


def test_its_end(lab, stream):
    eventually(stream.offloaded)
    stream.end()
    for node in "ab":
        flow = eventually(lambda node=node: (flow := stream.flow(node)) and flow["state"] in ENDED and flow)
        # One of the kernel's, on another CPU just when the end came, may be missing.
        assert not flow["offloaded"] and int(flow["bytes"]) > stream.received - LARGEST
        assert lab.nodes[node].stats()["connections"]["offloaded"] == 0


def test_packets_on_the_underlay(lab, family):
    """Look as those that Sluice sends: the same addresses, VNI and source port as before."""
    datagrams = Datagrams(lab, lab["near"], family)
    wire = Wire(lab.switch, "to-a")
    try:
        def tunnelled(data):
            wire.drain()
            datagrams.client.send(data)
            assert datagrams.server.recv(100) == data
            return wire.wait_for(lambda frame: VXLAN in frame and data in bytes(frame))
        first = tunnelled(b"through Sluice")
        datagrams.until_offloaded()

        def untouched():
            before = handled(lab.nodes["a"].stats())
            return (frame := tunnelled(b"through kernel")) and handled(lab.nodes["a"].stats()) == before and frame

        # The systems also have something to say of themselves now and then.
        later = eventually(untouched)
        header = 14 + OUTER[lab.underlay]
        assert bytes(first)[:header] == bytes(later)[:header]
        assert bytes(first)[header + 14:].replace(b"Sluice", b"kernel")[-14:] == bytes(later)[-14:]
        assert later[UDP].sport >= 49152 and later[VXLAN].vni == 5001
    finally:
        wire.close()
        datagrams.close()


@pytest.mark.parametrize("node, rules, port, reason", [
    ("a", [ANY], "client", "security-group-egress"), ("b", [OUT], None, "security-group-ingress")], ids=["egress", "ingress"])
def test_policy_is_withdrawn(lab, stream, to, node, rules, port, reason):
    """On one of the nodes: that one ends it at once, and the other can't keep it."""
    eventually(stream.offloaded)
    port = port or str(to)
    before = lab.nodes[node].drops().get((port, reason), 0)
    lab.nodes[node].apply({"kind": "SecurityGroup", "name": "any", "rules": rules})
    try:
        eventually(lambda: lab.nodes[node].drops().get((port, reason), 0) > before)
        seen = stopped(stream)
        assert stream.flow(node) is None and stream.received == seen
    finally:
        lab.rules("any", ANY, OUT)


def test_policy_changes_elsewhere(lab, stream):
    for number in range(3):
        eventually(stream.offloaded)
        judge_anew(lab, number)
        stream.goes_on()
    stream.end()


@pytest.mark.parametrize("sender, receiver", [("client", "tap"), ("tap", "client")])
def test_only_one_of_the_nodes(lab, family, sender, receiver):
    """Each does its part by itself: what the kernel of one sends whole, Sluice takes on the other."""
    stream = Stream(lab, lab[receiver], family, sender)
    try:
        eventually(lambda: stream.offloaded("a"))
        before = lab.drops("offload", "receive-error")
        stream.goes_on(SMALL)
        assert not stream.offloaded("b")
        stream.end()
        assert lab.drops("offload", "receive-error") == before
    finally:
        stream.cut()


def test_large_sends_of_none(lab, family):
    """What goes through Sluice on both nodes is still not cut between them, nor at its end."""
    stream = Stream(lab, lab["tap"], family, "own")
    between, end = Wire(lab.switch, "to-a"), Wire(lab["tap"].netns, "eth0")
    try:
        before = lab.drops("offload", "receive-error")
        for wire in (between, end):
            wire.wait_for(lambda frame: TCP in frame and frame[TCP].sport == stream.port and len(frame) > 1600, 60)
        assert not stream.offloaded("a") and not stream.offloaded("b")
        stream.end()
        assert lab.drops("offload", "receive-error") == before
    finally:
        between.close()
        end.close()
        stream.cut()


def test_datagrams(lab, datagrams):
    """Sizes from nothing to the MTU; each is counted once, on both nodes."""
    datagrams.until_offloaded()
    packets = {node: int(datagrams.flow(node)["packets"]) for node in "ab"}
    for size in (4, 100, 1000, 1320):
        datagrams.talk(50, size)
    assert datagrams.offloaded()
    for node in "ab":
        assert int(datagrams.flow(node)["packets"]) - packets[node] == 400


def test_hop_limit(lab, datagrams, to):
    """One less where the way is routed, which the sender's node does; the underlay takes none."""
    datagrams.until_offloaded()
    routed = to.network is not lab["client"].network
    datagrams.set_ttl(50)
    assert [datagrams.ttl_received() for _ in range(3)] == [49 if routed else 50] * 3
    assert datagrams.offloaded()
    datagrams.set_ttl(1)
    if routed:
        counted(lab, "client", "ttl", lambda: datagrams.client.send(b"x"))


def tunnel_packet(lab, stream, family, sender="a", vni=5001, **fields):
    """A segment of the stream's, to node b, that its own system did not send."""
    client, near = lab["client"], lab["near"]
    macs = {name: netns.run("ip", "netns", "exec", lab.nodes[name].netns, "cat", "/sys/class/net/up0/address").strip()
            for name in "ab"}
    address = {**lab.vtep, "nobody": OTHERS[lab.underlay]["nobody"].split("/")[0]}[sender]
    outer = ip_header(address, lab.vtep["b"])
    inner = (Ether(src=client.mac, dst=near.mac) / ip_header(client.address[family], near.address[family])
             / TCP(sport=stream.port, dport=80, flags="A", **{"seq": 1, "ack": 1, **fields}) / Raw(b"forged"))
    return Ether(src="02:00:00:00:00:99", dst=macs["b"]) / outer / UDP(sport=50000, dport=4789, chksum=0) / VXLAN(
        vni=vni, flags=8) / inner


@pytest.mark.parametrize("sender, vni, reason", [("nobody", 5001, "unknown-vtep"), ("c", 5001, "tunnel-source"),
                                                 ("a", 5999, "unknown-vni"), ("a", 5002, "tunnel-source"),
                                                 ("a", 5001, "tcp-window")])
def test_forged_tunnel_packets(lab, family, sender, vni, reason):
    """Another node's, another network's, or only numbers that are nobody's: refused as ever, and no harm is done."""
    stream = Stream(lab, lab["near"], family)
    wire, listener = Wire(lab.switch, "to-b"), Wire(lab["near"].netns, "eth0")
    try:
        eventually(stream.offloaded)
        heard = listener.wait_for(lambda frame: TCP in frame and frame[TCP].sport == stream.port)[TCP]
        far = (heard.seq + (1 << 31)) % (1 << 32)
        frame = tunnel_packet(lab, stream, family, sender, vni, seq=far, ack=heard.ack)
        counted(lab, "uplink", reason, lambda: wire.send(frame))
        stream.goes_on()
        eventually(stream.offloaded)
        stream.end()
    finally:
        wire.close()
        listener.close()
        stream.cut()


def test_the_host_keeps_its_network(lab):
    """What is for the node itself comes to it beside connections in the kernel."""
    for number, node in enumerate("ab", 1):
        ip(lab.nodes[node].netns, f"addr replace 198.18.0.{number}/24 dev up0")
    stream = Stream(lab, lab["near"], "v4")
    try:
        eventually(stream.offloaded)
        pings.all_answered(lab.nodes["a"].netns, "198.18.0.2", count=3)
        assert stream.offloaded()
        stream.end()
    finally:
        stream.cut()


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_node_starts_anew(lab, family, node):
    """Its part of the connection ends or is picked up; the next one goes on in both kernels as ever."""
    stream = Stream(lab, lab["near"], family)
    try:
        eventually(stream.offloaded)
        lab.nodes[node].stop()
        stopped(stream)
        lab.nodes[node].start()
        lab.ports_up()
    finally:
        stream.cut()
    lab["own" if node == "a" else "tap"].configure()
    stream = Stream(lab, lab["near"], family)
    try:
        eventually(stream.offloaded)
        stream.goes_on(SIZE)
        stream.end()
    finally:
        stream.cut()


@pytest.fixture(scope="module", params=["v4", "v6"], ids=["underlay v4", "underlay v6"])
def routed(make_lab, request):
    return populate(make_lab(nodes=("a", "b"), underlay=request.param, routed=True))


def test_the_underlay_gets_narrow(routed, family):
    """A router on the way says so; from then on what the kernel sends fits, and is the kernel's again."""
    wire = Wire(routed.switch, "to-b")
    ip(routed.switch, "link set to-b mtu 1500")
    stream = Stream(routed, routed["near"], family)
    try:
        eventually(stream.offloaded)
        ip(routed.switch, "link set to-b mtu 1400")
        stream.goes_on(4 << 20)
        eventually(stream.offloaded)
        stream.goes_on(SIZE)
        stream.end()
    finally:
        stream.cut()
        wire.close()
        ip(routed.switch, "link set to-b mtu 1500")


def test_the_next_hop_has_another_address(routed, family):
    """As soon as it says so, what the kernel sends goes there."""
    there = {"v4": "192.0.2.1", "v6": "2001:db8::1"}[routed.underlay]
    stream = Stream(routed, routed["near"], family)
    try:
        for last in ("11", "12"):
            eventually(stream.offloaded)
            ip(routed.switch, f"link set to-a address 02:00:00:00:00:{last}")
            seen = stream.received

            def goes_on():
                # It asks for the node's address, which is an answer, too.
                netns.run("ip", "netns", "exec", routed.switch, "sh", "-c",
                          f"ip neigh flush dev to-a; ping -c 1 -W 0.2 {there} || true")
                return stream.received > seen + SIZE
            eventually(goes_on)
        eventually(stream.offloaded)
        stream.end()
    finally:
        stream.cut()


@pytest.mark.parametrize("routed", ["v4"], indirect=True)
def test_the_next_hop_is_asked_for_again(routed):
    """What only the kernel sends there is use, too."""
    datagrams = Datagrams(routed, routed["near"], "v4")
    wire = Wire(routed.switch, "to-a")

    def asked():
        datagrams.talk(1)
        return [frame for frame in wire.drain() if ARP in frame and frame[ARP].op == 1
                and frame[ARP].psrc == routed.vtep["a"]]
    try:
        datagrams.until_offloaded()
        before = handled(routed.nodes["a"].stats())
        for _ in range(2):
            eventually(asked, 60)
        assert datagrams.offloaded() and handled(routed.nodes["a"].stats()) - before < 100
    finally:
        wire.close()
        datagrams.close()
