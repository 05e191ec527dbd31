"""Packets up to the MTU and beyond: what is cut, what is refused and with which size, and the MTU of the underlay."""

import pathlib
import socket

import pytest

import netns
from node import DEADLINE, eventually
from packets import (ICMP, IP, TCP, UDP, VXLAN, Ether, ICMPv6PacketTooBig, IPv6, Raw, Wire, fresh_port, ip_header,
                     is_refusal, told, who_has)
from virtio import TCPV4, UDP_L4, Sender, content

UDP_SEGMENT = 103
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0
HEADER = {"v4": 28, "v6": 48}
OUTER = {"v4": 50, "v6": 70}


def mtu_told(frame, family):
    """The MTU of a "too big" error."""
    if family == "v4":
        assert (frame[ICMP].type, frame[ICMP].code) == (3, 4)
        return frame[ICMP].nexthopmtu
    return frame[ICMPv6PacketTooBig].mtu


def ping(workload, to, family, size, *options):
    """An echo request of `size` bytes of IP packet that must not be cut."""
    process = workload.popen("ping", "-n", "-c", "1", "-W", str(DEADLINE), "-M", "do", *options, "-s", str(size - HEADER[family]),
                             to.address[family])
    text = process.communicate(timeout=60)[0]
    return process.returncode == 0, text


def pieces(workload, frame, timeout=DEADLINE):
    """The fragments of an IPv4 packet, up to the last one."""
    got = []
    while not got or got[-1][IP].flags.MF:
        got.append(workload.wire.wait_for(lambda seen: IP in seen and seen[IP].id == frame[IP].id, timeout))
    return got


def reassembled(fragments):
    """The payload of IPv4 fragments behind each other, which must be whole."""
    payload = b""
    for fragment in fragments:
        assert fragment[IP].frag * 8 == len(payload)
        assert bool(fragment[IP].flags.MF) == (fragment is not fragments[-1])
        payload += bytes(fragment[IP].payload)[:fragment[IP].len - fragment[IP].ihl * 4]
    return payload


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    # Frames of the tests' own begin with the middle of a stream.
    lab.network("blue", 1, connectionTracking={"midStreamPickup": True})
    lab.network("small", 2, mtu=1280)
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue")
    lab.workload("small", "a", "small")
    lab.up()
    # A workload that thinks more of its network than that has.
    netns.ip(lab["one"].netns, "link set eth0 mtu 2000")
    return lab


@pytest.fixture(scope="module")
def kernels(make_lab):
    lab = make_lab()
    lab.network("small", 2, mtu=1280)
    lab.network("jumbo", 3, mtu=9000)
    for name, network in (("k2", "small"), ("k3", "jumbo"), ("k4", "jumbo")):
        lab.workload(name, "a", network, kernel=True)
    return lab.up()


def largest(to):
    return {"blue": 1450, "small": 1280}[to.network.name]


@pytest.mark.parametrize("receiver", ["two", "small"])
def test_larger_than_the_way(lab, family, receiver):
    """DF or IPv6: the sender is told the MTU; the limits of its own network and of the destination's hold."""
    one, to = lab["one"], lab[receiver]
    limit = largest(to)
    fields = {"flags": "DF"} if family == "v4" else {}
    one.wire.drain()
    lab.passes(one, one.frame(to, UDP(sport=fresh_port(), dport=9), family,
                              payload=Raw((bytes(range(256)) * 8)[:limit - HEADER[family]]), **fields), to)
    for size in (limit + 1, 1999):
        one.send(one.frame(to, UDP(sport=fresh_port(), dport=9), family,
                           payload=Raw(b"x" * (size - HEADER[family])), **fields))
        told_mtu = min(1450, limit) if size <= 1450 else 1450
        assert mtu_told(one.wire.wait_for(is_refusal), family) == told_mtu


@pytest.mark.parametrize("receiver", ["two", "small"])
@pytest.mark.parametrize("size", [1451, 1999])
def test_ipv4_without_df_is_cut(lab, receiver, size):
    """In pieces that fit, which are the packet again when they are put together."""
    one, to = lab["one"], lab[receiver]
    payload = bytes((i * 7 + i // 256) & 255 for i in range(size - 28))
    frame = one.frame(to, UDP(sport=fresh_port(), dport=9), payload=Raw(payload), id=fresh_port())
    to.wire.drain()
    one.send(frame)
    fragments = pieces(to, frame)
    assert all(got[IP].len <= largest(to) for got in fragments)
    assert reassembled(fragments) == bytes(frame[IP].payload)


def test_options_of_fragments(lab):
    """RFC 791: each option says whether it is copied."""
    from scapy.layers.inet import IPOption_NOP, IPOption_RR, IPOption_Router_Alert
    one, small = lab["one"], lab["small"]
    frame = one.frame(small, UDP(sport=fresh_port(), dport=9), payload=Raw(b"z" * 1380), id=fresh_port(),
                      options=[IPOption_RR(pointer=8, routers=["0.0.0.0"]), IPOption_NOP(), IPOption_Router_Alert()])
    small.wire.drain()
    one.send(frame)
    first, second = pieces(small, frame)
    assert first[IP].ihl == frame.__class__(bytes(frame))[IP].ihl
    assert [option.option for option in second[IP].options] == [20]
    assert reassembled([first, second]) == bytes(frame[IP].payload)


def test_a_padded_frame_is_no_large_packet(lab, family):
    """Nothing that its sender could make smaller."""
    one, two = lab["one"], lab["two"]
    one.wire.drain()
    frame = bytes(one.frame(two, UDP(sport=fresh_port(), dport=9), family)) + bytes(1600)
    lab.dropped(one, frame, "too-big")
    assert not one.wire.drain()


def test_hop_limit_before_size(lab, family):
    """A router looks at the hop limit first; so does tracepath."""
    one, small = lab["one"], lab["small"]
    one.wire.drain()
    one.send(one.frame(small, UDP(sport=fresh_port(), dport=9), family, payload=Raw(b"x" * 1380), ttl=1))
    got = one.wire.wait_for(is_refusal)
    assert bytes(got.payload)[{"v4": 20, "v6": 40}[family]] == {"v4": 11, "v6": 3}[family]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_large_sends_of_large_packets(lab, protocol):
    """A workload's device says more than its network: what the card makes of a send is too large, and may be cut."""
    one, two = lab["one"], lab["two"]
    sender, port = Sender(one), fresh_port()
    layer, offset, kind = {"tcp": (TCP(sport=port, dport=9, flags="A"), 16, TCPV4),
                           "udp": (UDP(sport=port, dport=9), 6, UDP_L4)}[protocol]
    size = 40000
    for name in (one, two):
        name.wire.drain()
    before = lab.drops().get(("one", "too-big"), 0)
    for flags in (0, "DF"):
        frame = one.frame(two, layer, payload=Raw(content(size)), flags=flags)
        sender.send(frame, gso_type=kind, header_length=42, size=1600, start=34, offset=offset)
        if flags:
            assert mtu_told(one.wire.wait_for(is_refusal), "v4") == 1450
            assert lab.drops()[("one", "too-big")] == before + 1
            continue
        got = b""
        while len(got) < size:
            part = two.wire.wait_for(lambda seen: IP in seen and seen[IP].src == one.address["v4"])
            # A fragment that is not the first has no header of its own, a first one that of the datagram.
            if part[IP].frag:
                got += bytes(part[IP].payload)
            else:
                got += bytes(part[IP].payload)[20 if protocol == "tcp" else 8:]
        assert got == content(size)
        assert lab.drops().get(("one", "too-big"), 0) == before
    sender.close()


def test_jumbo_between_local_ports(kernels, family):
    k2, k3, k4 = kernels["k2"], kernels["k3"], kernels["k4"]
    assert ping(k3, k4, family, 9000)[0]
    passed, text = ping(k3, k2, family, 9000)
    assert not passed and "1280" in text, text


def test_tcp_finds_the_mtu(kernels, family):
    """From a network with a large MTU to one with a small one, by what the gateway says alone."""
    k3, k2 = kernels["k3"], kernels["k2"]
    with k2.server(7000, family) as server, k3.connect(k2, 7000, family) as client:
        accepted, _ = server.accept()
        with accepted:
            data = bytes(200000)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            received = b""
            while part := accepted.recv(65536):
                received += part
            assert received == data


def test_datagrams_sent_at_once_are_cut(kernels):
    """Left to the card to be made of one send (USO), without DF: each is a packet that is too large."""
    k3, k2 = kernels["k3"], kernels["k2"]
    forget_routes(k3)
    port = fresh_port()
    data = bytes((i * 7 + i // 256) & 255 for i in range(10 * 1400 + 9))
    with k2.server(port, "v4", socket.SOCK_DGRAM) as server, k3.open_socket("v4", socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        client.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1400)
        client.sendto(data, (k2.address["v4"], port))
        received = [server.recv(65536) for _ in range(11)]
    assert [len(part) for part in received] == [1400] * 10 + [9]
    assert b"".join(received) == data


# The underlay.


def set_mtu(namespace, interface, mtu):
    netns.ip(namespace, f"link set {interface} mtu {mtu}")


def forget_routes(workload):
    """What the workload's kernel has learned itself."""
    for version in ("-4", "-6"):
        workload.popen("ip", version, "route", "flush", "cache").communicate(timeout=60)


@pytest.mark.parametrize("underlay", ["v4", "v6"])
def test_the_uplink_s_mtu(one_lab, underlay):
    """A network may have a larger MTU than the tunnel has room for: what does not fit is refused by its size."""
    lab = one_lab(nodes=("a", "b"), underlay=underlay)
    lab.network("wide", 1, mtu=3000)
    lab.network("tall", 2, mtu=9000)
    one = lab.workload("one", "a", "wide", kernel=True)
    two = lab.workload("two", "b", "wide", kernel=True)
    three = lab.workload("three", "b", "tall", kernel=True)
    near = lab.workload("near", "a", "wide", kernel=True)
    lab.up()
    room = 1500 - OUTER[underlay]
    for family in ("v4", "v6"):
        assert ping(one, near, family, 3000)[0]
        for to in (two, three):
            passed, text = ping(one, to, family, room + 1)
            assert not passed and str(room) in text, text
            assert ping(one, to, family, room)[0]


def test_a_jumbo_underlay(one_lab):
    lab = one_lab(nodes=("a", "b"))
    # Made by hand, because its links have their MTU before the nodes open them.
    switch = lab._namespace("wire", silent=True)  # pylint: disable=protected-access
    for number, name in enumerate("ab", 1):
        lab.switch = switch
        lab._cable(name, switch, f"to-{name}")  # pylint: disable=protected-access
        set_mtu(lab.nodes[name].netns, "up0", 9216)
        set_mtu(switch, f"to-{name}", 9216)
        lab.objects = [o for o in lab.objects if (o["kind"], o["name"]) != ("Node", name)]
        lab.add_node(name, f"192.0.2.{number}/24", uplink={"netdev": "up0"})
    netns.ip(switch, "link add br0 type bridge mcast_snooping 0", "link set br0 up mtu 9216",
             "link set to-a master br0", "link set to-b master br0")
    lab.network("blue", 1, mtu=9000)
    one = lab.workload("one", "a", "blue", kernel=True)
    two = lab.workload("two", "b", "blue", kernel=True)
    lab.up()
    for family in ("v4", "v6"):
        assert ping(one, two, family, 9000)[0]
    # And it may be limited to less than the interface has.
    node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", "a"))
    node["uplink"]["mtu"] = 4000
    lab.apply(node)
    forget_routes(one)
    for family in ("v4", "v6"):
        passed, text = ping(one, two, family, 9000)
        assert not passed and "3950" in text, text
        assert ping(one, two, family, 3950)[0]


@pytest.fixture(scope="module", params=["v4", "v6"], ids=["underlay v4", "underlay v6"])
def routed(make_lab, request):
    """Two nodes behind a router, which sends to node b with a smaller MTU."""
    lab = make_lab(nodes=("a", "b"), underlay=request.param, routed=True)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "b", "blue", kernel=True)
    lab.workload("three", "b", "red", kernel=True)
    lab.workload("sender", "a", "blue")
    lab.workload("receiver", "b", "blue")
    lab.up()
    set_mtu(lab.switch, "to-b", 1400)
    return lab


def test_path_mtu_of_the_underlay(routed, family):
    """The first large packet is lost in the underlay; then its sender learns what fits, by the next one."""
    one, two, three = routed["one"], routed["two"], routed["three"]
    room = 1400 - OUTER[routed.underlay]
    network = 1450 if routed.underlay == "v4" else 1430

    def learned():
        passed, text = ping(one, two, family, network, "-W", "1")
        return not passed and str(room) in text

    eventually(learned)
    assert ping(one, two, family, room)[0]
    forget_routes(one)
    passed, text = ping(one, three, family, network)
    assert not passed and str(room) in text, text
    assert ping(one, three, family, room)[0]
    # The way back carries all.
    assert ping(two, one, family, room)[0]


def test_tcp_over_a_narrow_underlay(routed, family):
    one, two = routed["one"], routed["two"]
    forget_routes(one)
    with two.server(7000, family) as server, one.connect(two, 7000, family) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(bytes(100000))
            client.shutdown(socket.SHUT_WR)
            received = 0
            while part := accepted.recv(65536):
                received += len(part)
            assert received == 100000


def test_tcp_without_df_over_a_narrow_underlay(routed):
    """A sender that does no path MTU discovery leaves it to the routers, however much it sends at once."""
    one, two = routed["one"], routed["two"]
    forget_routes(one)
    before = routed.drops().get(("one", "too-big"), 0)
    with two.server(7001, "v4") as server, one.open_socket("v4") as client:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        client.connect((two.address["v4"], 7001))
        accepted, _ = server.accept()
        with accepted:
            data = bytes(range(256)) * 1000
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            accepted.settimeout(60)
            received = b""
            while part := accepted.recv(65536):
                received += part
            assert received == data
    assert routed.drops().get(("one", "too-big"), 0) == before


def test_cut_for_a_narrow_underlay(routed):
    """IPv4 without DF goes through in pieces."""
    sender, receiver = routed["sender"], routed["receiver"]
    frame = sender.frame(receiver, UDP(sport=fresh_port(), dport=9), payload=Raw(b"abcdefg" * 200), id=fresh_port())

    def arrives():
        sender.send(frame)
        try:
            return pieces(receiver, frame, 1)
        except AssertionError:
            return None

    assert reassembled(eventually(arrives)) == bytes(frame[IP].payload)


class Router:
    """The test plays the underlay of a node, whose peer is said to be behind a narrow link."""

    mac = "52:55:00:00:00:02"

    def __init__(self, lab):
        self.lab = lab
        self.wire = Wire(lab.switch, "to-a")
        self.a, self.b = lab.vtep["a"], lab.vtep["b"]
        self.wire.send(who_has(self.a, self.mac, self.b))
        self.mac_of_a = told(self.wire.wait_for(lambda frame: told(frame, self.a)), self.a)

    def tunnelled(self):
        """The next tunnel packet."""
        return self.wire.wait_for(lambda frame: UDP in frame and frame[UDP].dport == 4789)

    def error(self, quote, mtu, source=None, **fields):
        source = source or self.b
        if self.lab.underlay == "v4":
            icmp = ICMP(**{"type": 3, "code": 4, "nexthopmtu": mtu, **fields})
        else:
            icmp = ICMPv6PacketTooBig(**{"mtu": mtu, **fields})
        return Ether(src=self.mac, dst=self.mac_of_a) / ip_header(source, self.a) / icmp / Raw(bytes(quote))


@pytest.fixture(params=["v4", "v6"], ids=["underlay v4", "underlay v6"])
def played(one_lab, request):
    lab = one_lab(underlay=request.param)
    lab.network("blue", 1)
    peer = {"v4": "192.0.2.2/24", "v6": "2001:db8::2/64"}[request.param]
    other = {"v4": "192.0.2.3/24", "v6": "2001:db8::3/64"}[request.param]
    lab.add_node("b", peer, uplink={"netdev": "up0"})
    lab.add_node("c", other, uplink={"netdev": "up0"})
    lab.workload("one", "a", "blue")
    lab.workload("on-b", "b", "blue")
    lab.workload("on-c", "c", "blue")
    return lab.up()


def test_errors_that_are_not_believed(played):
    """They must be about a packet as node a sends them, to a node that there is, and say something that can be."""
    lab, router = played, Router(played)
    one = lab["one"]
    v4 = lab.underlay == "v4"
    size = 1450 if v4 else 1430
    large = one.frame(lab["on-b"], UDP(sport=5, dport=9), payload=Raw(b"x" * (size - 28)), flags="DF")
    one.send(large)
    outer = router.tunnelled()
    quote = outer.payload
    changed = []

    def change(**fields):
        copy = quote.copy()
        for key, value in fields.items():
            layer, field = key.split("_")
            setattr(copy[{"ip": IP if v4 else IPv6, "udp": UDP, "vxlan": VXLAN}[layer]], field, value)
        if v4:
            del copy[IP].chksum
        changed.append(router.error(bytes(copy)[:500], 1400))

    change(udp_dport=4790)
    change(udp_sport=1000)
    change(vxlan_vni=77)
    change(ip_src=router.b)
    change(ip_dst={"v4": "192.0.2.99", "v6": "2001:db8::99"}[lab.underlay])
    change(**{"ip_len" if v4 else "ip_plen": 1300})
    change(**{"ip_len" if v4 else "ip_plen": 9000})
    if v4:
        change(ip_flags=0)
    short = bytes(quote)[:500]
    changed += [router.error(short, mtu) for mtu in (0, 100, 551 if v4 else 1279, 1500, 60000)]
    changed.append(router.error(bytes(quote)[:27 if v4 else 47], 1400))
    wrong = router.error(short, 1400)
    if v4:
        wrong[ICMP].chksum = 1
        changed.append(router.error(short, 1400, code=1))
        changed.append(router.error(short, 1400, type=11))
    else:
        wrong[ICMPv6PacketTooBig].cksum = 1
    changed.append(wrong)
    for frame in changed:
        before = lab.drops()
        router.wire.send(frame)
        eventually(lambda: lab.drops() != before)
        one.wire.drain()
        one.send(large)
        got = router.tunnelled()
        assert bytes(got[VXLAN].payload) == bytes(large), frame.show(dump=True)
    # And the right one is.
    router.wire.send(router.error(short, 1400))
    one.wire.drain()

    def refused():
        one.send(large)
        return any(is_refusal(frame) for frame in one.wire.drain())

    eventually(refused)
    one.wire.drain()
    one.send(large)
    assert mtu_told(one.wire.wait_for(is_refusal), "v4") == 1400 - OUTER[lab.underlay]
    # It is about the way to node b alone.
    elsewhere = {"v4": lab.vtep["c"], "v6": lab.vtep["c"]}[lab.underlay]
    router.wire.send(who_has(router.a, router.mac, elsewhere))
    router.wire.wait_for(lambda frame: told(frame, router.a))
    router.wire.drain()
    one.send(one.frame(lab["on-c"], UDP(sport=5, dport=9), payload=Raw(b"x" * (size - 28)), flags="DF"))
    router.tunnelled()
