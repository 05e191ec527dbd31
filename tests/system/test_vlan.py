"""VLAN trunks: sub-interfaces of a workload, each a Port in a network of its own."""

import json

import pytest

import netns
from node import eventually
from packets import ARP, TCP, UDP, Dot1Q, Ether, ICMPv6ND_NA, fresh_port, who_has


@pytest.fixture(scope="module")
def lab(make_lab):
    """Two workers, so that a VLAN's packets come from the other one too; and the tunnel."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=["--workers", "0,1"])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("green", 3, vrf="t2")
    lab.group("web", {"direction": "ingress", "protocol": "tcp", "ports": "80"},
              {"direction": "ingress", "protocol": "icmp"}, {"direction": "egress"})
    lab.workload("trunk", "a", "blue", kernel=True)
    lab.workload("trunk-red", "a", "red", kernel=True, vlan=("trunk", 100), securityGroups=["web"])
    lab.workload("trunk-green", "a", "green", kernel=True, vlan=("trunk", 4094))
    lab.workload("near", "a", "red", kernel=True)
    lab.workload("far", "b", "red", kernel=True)
    lab.workload("far-green", "b", "green", kernel=True)
    lab.workload("raw", "a", "blue")
    lab.workload("raw-red", "a", "red", vlan=("raw", 7)).wire = lab["raw"].wire
    lab.workload("other", "a", "red")
    for workload in lab.workloads.values():
        if workload.name == "raw-red":
            workload.listen = lambda: None
    lab.up()
    # A packet socket takes no more than its interface.
    netns.ip(lab["raw"].netns, "link set eth0 mtu 1500")
    return lab


def tagged(frame, vlan, priority=0):
    return Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=vlan, prio=priority) / frame.payload


def stats(lab, name):
    return lab.nodes["a"].stats()["ports"][name]


@pytest.mark.parametrize("to", ["near", "far", "trunk", "raw-gateway"])
def test_ping(lab, family, to):
    """To its network here and on the other node, to its own parent by routing, and to its gateway."""
    address = lab["trunk-red"].network.gateway[family] if to == "raw-gateway" else lab[to]
    assert lab["trunk-red"].ping(address, family)
    if to != "raw-gateway":
        assert lab[to].ping(lab["trunk-red"], family)


def test_networks_stay_apart(lab, family):
    assert lab["trunk-green"].ping(lab["far-green"], family)
    assert not lab["trunk-green"].ping(lab["far"], family, timeout=1)
    assert not lab["far-green"].ping(lab["trunk-red"], family, timeout=1)


@pytest.mark.parametrize("server, client", [("trunk-red", "near"), ("trunk-red", "far"), ("far", "trunk-red"),
                                            ("trunk-red", "trunk")])
def test_bulk(lab, family, server, client):
    """The kernel leaves checksums and segmentation to its interface; in whole packets of the network's MTU."""
    made, accepted = lab[client].connection(lab[server], 80, family)
    accepted.settimeout(60)
    for sender, receiver in ((made, accepted), (accepted, made)):
        sent, got = bytes(range(256)) * 2000, b""
        sender.setblocking(False)
        offset = 0
        receiver.setblocking(False)

        def step():
            nonlocal offset, got
            try:
                offset += sender.send(sent[offset:])
            except BlockingIOError:
                pass
            try:
                got += receiver.recv(1 << 20)
            except BlockingIOError:
                pass
            return len(got) == len(sent)

        eventually(step)
        assert got == sent
    for one in (made, accepted):
        one.close()


def test_security_groups_are_its_own(lab, family):
    """Port 81 is closed on the sub-port; the parent has no groups."""
    before = lab.drops().get(("trunk-red", "security-group-ingress"), 0)
    with pytest.raises(TimeoutError):
        lab["near"].connect(lab["trunk-red"], 81, family, timeout=0.5)
    assert lab.drops()[("trunk-red", "security-group-ingress")] > before
    listening = lab["trunk"].server(81, family)
    lab["near"].connect(lab["trunk"], 81, family).close()
    listening.close()


def test_frames(lab, family):
    """The tag is on outside, and off inside; the sub-port counts, and the parent doesn't."""
    raw, sub, other = lab["raw"], lab["raw-red"], lab["other"]
    before = {name: stats(lab, name) for name in ("raw", "raw-red")}
    out = sub.frame(other, UDP(sport=fresh_port(), dport=53), family)
    raw.send(tagged(out, 7, 5))
    arrived = other.wire.wait_for(lambda frame: bytes(out)[-14:] in bytes(frame))
    assert bytes(arrived) == bytes(out)
    back = other.frame(sub, UDP(sport=fresh_port(), dport=53), family)
    other.send(back)
    arrived = raw.wire.wait_for(lambda frame: bytes(back)[-14:] in bytes(frame))
    assert bytes(arrived) == bytes(tagged(back, 7))
    now = eventually(lambda: (seen := {name: stats(lab, name) for name in before})["raw-red"]["txPackets"]
                     != before["raw-red"]["txPackets"] and seen)

    def grown(name, counter):
        return int(now[name].get(counter, 0)) - int(before[name].get(counter, 0))

    assert [grown("raw-red", counter) for counter in ("rxPackets", "rxBytes")] == [1, len(bytes(out))]
    # What Sluice itself says may have come in between.
    if grown("raw-red", "txPackets") == 1:
        assert grown("raw-red", "txBytes") == len(bytes(back))
    assert [grown("raw", counter) for counter in ("rxPackets", "rxBytes")] == [0, 0]
    assert [flow["network"] for flow in lab.nodes["a"].flows("raw-red", destination=other.address[family])] == ["red"]


def test_full_size(lab, family):
    """The tag's bytes do not count for the MTU."""
    raw, sub, other = lab["raw"], lab["raw-red"], lab["other"]
    room = 1450 - (28 if family == "v4" else 48)
    payload = b"x" * (room - 14)
    for size, passes in ((room, True), (room + 1, False)):
        frame = sub.frame(other, UDP(sport=fresh_port(), dport=53), family, payload=b"x" * (size - 14) + b"end of packet!",
                          **({"flags": "DF"} if family == "v4" else {}))
        if passes:
            raw.send(tagged(frame, 7))
            assert bytes(other.wire.wait_for(lambda got: b"end of packet!" in bytes(got))) == bytes(frame)
        else:
            lab.dropped(raw, tagged(frame, 7), "too-big", at="raw-red")
    frame = other.frame(sub, UDP(sport=fresh_port(), dport=53), family, payload=payload + b"end of packet?")
    other.send(frame)
    assert bytes(raw.wire.wait_for(lambda got: b"end of packet?" in bytes(got))) == bytes(tagged(frame, 7))


def test_question_for_the_gateway(lab, family):
    """ARP and ND are answered inside the VLAN."""
    sub = lab["raw-red"]
    question = who_has(sub.network.gateway[family], sub.mac, sub.address[family])
    lab["raw"].send(tagged(question, 7))
    kind = ARP if family == "v4" else ICMPv6ND_NA
    answer = lab["raw"].wire.wait_for(lambda frame: kind in frame)
    assert answer[Dot1Q].vlan == 7 and answer.dst == sub.mac


def test_broadcast(lab):
    """Goes to all of the network: with the tag to those behind one, without to the others."""
    raw, sub, other = lab["raw"], lab["raw-red"], lab["other"]
    raw.wire.drain()
    frame = other.frame(sub, UDP(sport=fresh_port(), dport=9), dst="10.2.0.255", dst_mac="ff:ff:ff:ff:ff:ff")
    other.send(frame)
    assert bytes(raw.wire.wait_for(lambda got: bytes(frame)[-14:] in bytes(got))) == bytes(tagged(frame, 7))
    back = sub.frame(other, UDP(sport=fresh_port(), dport=9), dst="10.2.0.255", dst_mac="ff:ff:ff:ff:ff:ff")
    raw.send(tagged(back, 7))
    assert bytes(other.wire.wait_for(lambda got: bytes(back)[-14:] in bytes(got))) == bytes(back)
    assert not [got for got in raw.wire.drain() if bytes(back)[-14:] in bytes(got)]


WRONG = {
    "a tag that nobody has": ("vlan", "raw", lambda lab, frame: tagged(frame, 8)),
    "a tag of another trunk": ("vlan", "raw", lambda lab, frame: tagged(frame, 100)),
    "VLAN 4095": ("vlan", "raw", lambda lab, frame: tagged(frame, 4095)),
    "no tag": ("source-mac", "raw", lambda lab, frame: frame),
    "two tags": ("ethertype", "raw-red", lambda lab, frame: tagged(tagged(frame, 7), 7)),
    "the parent's addresses": ("source-mac", "raw-red",
                               lambda lab, frame: tagged(lab["raw"].frame(lab["other"], UDP(sport=1, dport=2)), 7)),
    "cut behind the tag": ("truncated", "raw-red", lambda lab, frame: bytes(tagged(frame, 7))[:30]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tags(lab, name):
    reason, at, make = WRONG[name]
    raw = lab["raw"]
    raw.gateway_mac()
    raw.wire.drain()
    frame = make(lab, lab["raw-red"].frame(lab["other"], UDP(sport=fresh_port(), dport=53)))
    lab.dropped(raw, frame, reason, at=at)


def test_priority_tag_is_the_parents(lab, family):
    raw, frame = lab["raw"], lab["raw"].frame(lab["trunk"], TCP(sport=fresh_port(), dport=9, flags="S"), family)
    before = int(stats(lab, "raw")["rxPackets"])
    raw.send(tagged(frame, 0, 3))
    raw.wire.wait_for(lambda got: TCP in got and "R" in str(got[TCP].flags))
    assert int(stats(lab, "raw")["rxPackets"]) == before + 1


def test_trace(lab, family):
    """By the sub-port's name, as of any other; and a frame with a tag that enters at the parent."""
    node, sub, other = lab.nodes["a"], lab["raw-red"], lab["other"]
    source, to = ((f"[{w.address[family]}]" if family == "v6" else w.address[family]) for w in (sub, other))
    assert node.trace("raw-red", f"udp {source}:1 > {to}:2") == "allow"
    assert node.trace("raw", f"udp {source}:1 > {to}:2") == "drop source-address"
    answer = node.json("trace", "--port", "raw", "--frame", bytes(tagged(sub.frame(other, UDP(), family), 7)).hex())
    assert answer["verdict"] == "allow"
    assert [output["port"] for output in answer["outputs"]] == ["other"]
    answer = node.json("trace", "--port", "raw", "--frame", bytes(tagged(sub.frame(other, UDP(), family), 9)).hex())
    assert (answer["verdict"], answer["reason"]) == ("drop", "vlan")


def test_parent_goes_and_comes(one_lab, family):
    """Its sub-ports are down with it, whatever is done to it; a VLAN changes its tag and its parent."""
    lab = one_lab()
    lab.network("blue", 1)
    lab.network("red", 2)
    trunk = lab.workload("trunk", "a", "blue", kernel=True)
    second = lab.workload("second", "a", "blue", kernel=True)
    sub = lab.workload("sub", "a", "red", kernel=True, vlan=("trunk", 100))
    near = lab.workload("near", "a", "red", kernel=True)
    lab.up()
    node = lab.nodes["a"]

    def reaches():
        """The kernel sends nothing on a new interface until it has noticed that it is up."""
        eventually(lambda: near.ping(sub, family, timeout=1))

    assert near.ping(sub, family)

    # The device is replaced: the sub-port goes on in the new one.
    lab.change(trunk, device={"tap": {"name": "eth1", "netns": trunk.netns}})
    trunk.interface = "eth1"
    sub.configure()
    reaches()
    assert stats(lab, "sub")["state"] == "up"

    # It can't be opened: both say why.
    lab.change(trunk, device={"netdev": {"name": "missing0"}})
    assert stats(lab, "sub")["state"] == stats(lab, "trunk")["state"] and "missing0" in stats(lab, "sub")["state"]
    before = lab.drops().get(("sub", "port-down"), 0)
    assert not near.ping(sub, family, timeout=1)
    assert lab.drops()[("sub", "port-down")] > before

    # It stays as long as somebody needs it.
    result = node.run("delete", "port", "trunk")
    assert result.returncode == 1 and "Port/sub: device.vlan.port: no Port 'trunk'" in result.stderr, result.stderr
    lab.change(sub, device={"vlan": {"port": "second", "id": 5}})
    node.delete("port", "trunk")
    sub.vlan = ("second", 5)
    sub.configure()
    reaches()

    # A sub-port gets a device of its own, and back.
    lab.change(sub, device={"tap": {"name": "eth2", "netns": sub.netns}})
    netns.ip(sub.netns, "link del eth0")
    sub.vlan, sub.interface = None, "eth2"
    sub.configure()
    reaches()
    lab.change(sub, device={"vlan": {"port": "second", "id": 6}})
    sub.vlan = ("second", 6)
    sub.configure()
    reaches()
    assert second.ping(sub, family)
    node.delete("port", "sub")
    assert "sub" not in node.stats()["ports"]
    assert not near.ping(sub, family, timeout=1)


def test_restart(one_lab):
    """The order in which ports are stored does not matter."""
    lab = one_lab()
    lab.network("blue", 1)
    trunk = lab.workload("z", "a", "blue", kernel=True)
    sub = lab.workload("b", "a", "blue", kernel=True, vlan=("z", 2))
    other = lab.workload("other", "a", "blue", kernel=True)
    lab.up()
    lab.nodes["a"].stop()
    lab.nodes["a"].start()
    for workload in (trunk, sub, other):
        workload.configure()
    assert other.ping(sub, "v4") and sub.ping(trunk, "v6")


def test_on_a_netdev(one_lab, family):
    """A veth, whose kernel hands over tags beside the frame."""
    lab = one_lab()
    lab.network("blue", 1)
    lab.network("red", 2)
    trunk = lab.workload("trunk", "a", "blue", kernel=True, device={"netdev": {"name": "veth0"}})
    netns.ip(lab.nodes["a"].netns, f"link add veth0 type veth peer name eth0 netns {trunk.netns}", "link set veth0 up")
    netns.ip(trunk.netns, f"link set eth0 address {trunk.mac} mtu 1450", "link set eth0 up")
    sub = lab.workload("sub", "a", "red", kernel=True, vlan=("trunk", 100))
    near = lab.workload("near", "a", "red", kernel=True)
    lab.up()
    assert near.ping(sub, family) and sub.ping(trunk, family)
    listening = sub.popen("iperf3", "-s", "-1", "-J", "-B", sub.address[family])
    eventually(lambda: "5201" in sub.popen("ss", "-Hltn").communicate(timeout=60)[0])
    report = json.loads(near.popen("iperf3", "-J", "-t", "1", "-c", sub.address[family],
                                   *(["-R"] if family == "v6" else [])).communicate(timeout=60)[0])
    listening.communicate(timeout=60)
    assert report["end"]["sum_received"]["bytes"] > 1000000
    assert not {reason for port, reason in lab.drops() if port in ("trunk", "sub")} & {"vlan", "ethertype"}
