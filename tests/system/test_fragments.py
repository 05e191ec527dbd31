"""Fragments under stateful policy: their datagram is judged when it is whole, and they go on as they came."""

import random
import socket

import pytest

import pings
from lab import Lab
from node import DEADLINE, eventually
from test_grpc_client import Client
from packets import (IP, TCP, UDP, VXLAN, Ether, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                     SO_RCVBUFFORCE, IPv6ExtHdrRouting, PadN, Raw, echo_request, fresh_port, ip_header, is_refusal, port_unreachable)

IDENTIFICATIONS = iter(range(1000, 65000))


def fragment(sender, to, family, payload, offset, more, identification, protocol=17, **fields):
    """One fragment, of `payload`, as the sender's system would send it."""
    dst = fields.pop("dst", to.address[family])
    src_mac, dst_mac = fields.pop("src_mac", sender.mac), fields.pop("dst_mac", None)
    if not dst_mac:
        dst_mac = to.mac if to.network is sender.network else sender.gateway_mac(family)
    header = ip_header(fields.pop("src", sender.address[family]), dst, **fields)
    if family == "v4":
        header.frag, header.flags, header.id, header.proto = offset // 8, "MF" if more else 0, identification, protocol
        return Ether(src=src_mac, dst=dst_mac) / header / Raw(payload)
    return (Ether(src=src_mac, dst=dst_mac) / header
            / IPv6ExtHdrFragment(nh=protocol, offset=offset // 8, m=int(more), id=identification) / Raw(payload))


def datagram(sender, to, family, size, sport=None, dport=53):
    """Bytes of a UDP datagram: header, right checksum, and `size` bytes of payload."""
    payload = random.Random(size).randbytes(size - 8)
    whole = ip_header(sender.address[family], to.address[family]) / UDP(sport=sport or fresh_port(), dport=dport) / \
        Raw(payload)
    return bytes(whole.__class__(bytes(whole))[UDP])


def cut(sender, to, family, data, part=600, **fields):
    """All fragments of a datagram, in order."""
    identification = next(IDENTIFICATIONS)
    return [fragment(sender, to, family, data[at:at + part], at, at + part < len(data), identification, **fields)
            for at in range(0, len(data), part)]


def arrive(receiver, frames, timeout=DEADLINE):
    """The frames arrive, all of them, and in this order."""
    wanted = [bytes(frame)[14:] for frame in frames]
    return [receiver.wire.wait_for(lambda got, data=data: bytes(got)[14:] == data, timeout) for data in wanted]


def rules(lab, name, *values):
    lab.rules(name, *values, {"direction": "egress"})


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("narrow", 3, mtu=1280)
    lab.group("dns", {"direction": "ingress", "protocol": "udp", "ports": "53"}, {"direction": "egress"})
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue", securityGroups=["dns"])
    lab.workload("red", "a", "red", securityGroups=["dns"])
    lab.workload("narrow", "a", "narrow", securityGroups=["dns"])
    lab.up()
    return lab


@pytest.fixture(autouse=True)
def quiet():
    yield
    for lab in Lab.live:
        for workload in lab.workloads.values():
            if workload.wire:
                workload.wire.drain()


def test_pass_as_they_came(lab, family):
    """Whatever their order; by the rule for the datagram's port; and they are one connection, replies included."""
    one, two = lab["one"], lab["two"]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]):
        port = fresh_port()
        frames = cut(one, two, family, datagram(one, two, family, 1600, port))
        for index in order:
            one.send(frames[index])
        got = arrive(two, frames)
        assert [bytes(frame) for frame in got] == [bytes(frame) for frame in frames]
        flow, = lab.nodes["a"].flows(sourcePort=port)
        assert (flow["protocol"], flow["destinationPort"], flow["state"], int(flow["packets"])) == ("udp", 53, "unreplied", 3)
        assert flow["rule"] == "dns[0]"
        answer = cut(two, one, family, datagram(two, one, family, 1000, 53, port))
        for frame in answer:
            two.send(frame)
        arrive(one, answer)
        flow, = lab.nodes["a"].flows(sourcePort=port)
        assert (flow["state"], int(flow["packets"])) == ("replied", 5)


def test_nothing_goes_before_all_are_there(lab, family):
    one, two = lab["one"], lab["two"]
    frames = cut(one, two, family, datagram(one, two, family, 1600))
    for frame in frames[:-1]:
        one.send(frame)
    whole = one.frame(two, UDP(sport=fresh_port(), dport=53), family)
    lab.passes(one, whole, two)
    one.send(frames[-1])
    arrive(two, frames)


def test_routed(lab, family):
    one, red = lab["one"], lab["red"]
    frames = cut(one, red, family, datagram(one, red, family, 1600))
    gateway = red.gateway_mac(family)
    for frame in frames:
        one.send(frame)
    for sent in frames:
        end = bytes(sent)[-20:]
        got = red.wire.wait_for(lambda frame, end=end: bytes(frame)[-20:] == end)
        assert (got.src, got.dst) == (gateway, red.mac)
        assert (got[IP].ttl if family == "v4" else got[IPv6].hlim) == 63


def test_rules_are_for_the_datagram_s_port(lab, family):
    """Not for its fragments: none passes for a port that is closed."""
    one, two = lab["one"], lab["two"]
    frames = cut(one, two, family, datagram(one, two, family, 1600, dport=54))
    before = lab.drops()
    for frame in reversed(frames):
        one.send(frame)
    eventually(lambda: lab.drops().get(("two", "security-group-ingress"), 0)
               == before.get(("two", "security-group-ingress"), 0) + 3)
    assert not [frame for frame in two.wire.drain() if Raw in frame]


def test_spoofed_fragments_belong_to_nothing(lab, family):
    """What another source sends is another datagram, whatever it says."""
    one, two, red = lab["one"], lab["two"], lab["red"]
    data = datagram(one, two, family, 1600)
    frames = cut(one, two, family, data)
    one.send(frames[0])
    one.send(frames[1])
    other = Ether(bytes(frames[2]))
    other.src = red.mac
    one.send(other)
    lab.passes(one, one.frame(two, UDP(sport=fresh_port(), dport=53), family), two)
    one.send(frames[2])
    arrive(two, frames)


def overlapping(sender, to, family):
    """Sequences of fragments of which no piece may arrive."""
    data = datagram(sender, to, family, 1600)

    def piece(start, end, more=True, content=data):
        return lambda number: fragment(sender, to, family, content[start:end], start, more, number)

    other = data[:600] + bytes(1000)
    return {
        "one byte block": [piece(0, 600), piece(592, 1200), piece(1200, 1600, False)],
        "inside another": [piece(0, 1200), piece(600, 800), piece(1200, 1600, False)],
        "around another": [piece(600, 800), piece(0, 1200), piece(1200, 1600, False)],
        "the first one again, longer": [piece(0, 600), piece(0, 608), piece(600, 1600, False)],
        "the first one again, shorter": [piece(0, 600), piece(0, 592), piece(600, 1600, False)],
        "the last one again, longer": [piece(0, 600), piece(600, 1600, False), piece(600, 1608, False, data + bytes(8))],
        "behind the last": [piece(600, 1200, False), piece(1200, 1600), piece(0, 600)],
        "the last before others": [piece(1200, 1600), piece(600, 1200, False), piece(0, 600)],
        "two ends": [piece(600, 1200, False), piece(1200, 1600, False), piece(0, 600)],
        "an end that is none": [piece(600, 1600, False), piece(600, 1600), piece(0, 600)],
        "another content": [piece(0, 600), piece(600, 1600, False, other), piece(592, 1600, False)][::-1],
    }


@pytest.mark.parametrize("case", [
    "one byte block", "inside another", "around another", "the first one again, longer", "the first one again, shorter",
    "the last one again, longer", "behind the last", "the last before others", "two ends", "an end that is none",
    "another content"])
def test_overlaps_end_the_datagram(lab, family, case):
    """RFC 5722: all of it, what is still to come included."""
    one, two = lab["one"], lab["two"]
    number = next(IDENTIFICATIONS)
    frames = [make(number) for make in overlapping(one, two, family)[case]]
    if case == "the last one again, longer":
        frames = [frames[1], frames[2], frames[0]]
    before = lab.drops()
    for frame in frames:
        one.send(frame)

    def dropped():
        after = lab.drops()
        return sum(after.get(("one", reason), 0) - before.get(("one", reason), 0)
                   for reason in ("fragment-overlap", "fragment-malformed"))

    eventually(lambda: dropped() == len(frames))
    lab.passes(one, one.frame(two, UDP(sport=fresh_port(), dport=53), family), two)
    # A datagram with another identification is none of this.
    good = cut(one, two, family, datagram(one, two, family, 1600))
    for frame in good:
        one.send(frame)
    arrive(two, good)


def test_exact_duplicates_are_ignored(lab, family):
    """RFC 8200 section 4.5: the first one counts."""
    one, two = lab["one"], lab["two"]
    frames = cut(one, two, family, datagram(one, two, family, 1600))
    before = lab.drops().get(("one", "fragment-duplicate"), 0)
    for index in (0, 0, 2, 2, 0):
        one.send(frames[index])
    one.send(frames[1])
    arrive(two, frames)
    assert lab.drops()[("one", "fragment-duplicate")] == before + 3


def wrong(sender, to, family):
    """Single fragments that can't be part of anything, with the reason."""
    number = next(IDENTIFICATIONS)
    udp, tcp = bytes(UDP(sport=1, dport=53)), bytes(TCP(sport=1, dport=53, options=[("MSS", 1)]))

    def piece(data, offset, more, **fields):
        return fragment(sender, to, family, data, offset, more, number, **fields)

    icmp = {"v4": 1, "v6": 58}[family]
    cases = {
        "no multiple of 8": ("fragment-malformed", piece(udp + bytes(5), 0, True)),
        "empty": ("fragment-malformed", piece(b"", 64, True)),
        "empty last": ("fragment-malformed", piece(b"", 64, False)),
        "half a TCP header": ("fragment-tiny", piece(tcp[:16], 0, True, protocol=6)),
        "half an SCTP header": ("fragment-tiny", piece(bytes(8), 0, True, protocol=132)),
    }
    if family == "v4":
        cases["beyond 65535"] = ("malformed", piece(bytes(64), 65528, False))
    else:
        cases["beyond 65535"] = ("fragment-malformed", piece(bytes(64), 65528, False))
        cases["half an extension header"] = (
            "truncated", piece(bytes([17, 3]) + bytes(14), 0, True, protocol=60))
        cases["a fragment of a fragment"] = (
            "fragment-malformed", piece(bytes(IPv6ExtHdrFragment(nh=17, m=1, id=9)) + udp, 0, True, protocol=44))
        cases["neighbour discovery"] = (
            "nd-malformed", piece(bytes(ICMPv6ND_NS(tgt=to.address["v6"])), 0, True, protocol=icmp))
    return cases


@pytest.mark.parametrize("case", ["no multiple of 8", "empty", "empty last", "half a TCP header", "half an SCTP header",
                                  "beyond 65535", "half an extension header", "a fragment of a fragment",
                                  "neighbour discovery"])
def test_wrong_fragments(lab, family, case):
    one, two = lab["one"], lab["two"]
    cases = wrong(one, two, family)
    if case not in cases:
        pytest.skip("IPv6 only")
    reason, frame = cases[case]
    lab.dropped(one, frame, reason)


def test_tiny_first_fragment_ends_its_datagram(lab, family):
    """RFC 1858, RFC 7112: what a filter would not see, nobody gets."""
    one, two = lab["one"], lab["two"]
    number = next(IDENTIFICATIONS)
    tcp = bytes(TCP(sport=1, dport=53, flags="S", options=[("MSS", 1400), ("NOP", None), ("WScale", 3)]))
    assert len(tcp) == 28
    for frame in (fragment(one, two, family, tcp[:24], 0, True, number, protocol=6),
                  fragment(one, two, family, tcp[24:] + bytes(100), 24, False, number, protocol=6)):
        lab.dropped(one, frame, "fragment-tiny")


def test_lengths_must_fit(lab, family):
    """A UDP datagram that says to be longer than its fragments."""
    one, two = lab["one"], lab["two"]
    data = bytearray(datagram(one, two, family, 1600))
    data[4:6] = (1700).to_bytes(2, "big")
    before = lab.drops()
    for frame in cut(one, two, family, bytes(data)):
        one.send(frame)
    eventually(lambda: lab.drops().get(("one", "truncated"), 0) == before.get(("one", "truncated"), 0) + 3)


def test_headers_behind_the_fragment_header(lab):
    """The connection's ports are where the chain ends, in the first fragment."""
    one, two = lab["one"], lab["two"]
    data = bytes(IPv6ExtHdrDestOpt(nh=17, options=[PadN(optdata=b"\0" * 4)])) + datagram(one, two, "v6", 1600)
    frames = cut(one, two, "v6", data, protocol=60)
    for frame in frames:
        one.send(frame)
    arrive(two, frames)


def test_headers_before_the_fragment_header(lab):
    one, two = lab["one"], lab["two"]
    frames = cut(one, two, "v6", datagram(one, two, "v6", 1600))
    longer = []
    for frame in frames:
        header = IPv6(src=frame[IPv6].src, dst=frame[IPv6].dst, nh=60)
        options = IPv6ExtHdrDestOpt(nh=44, options=[PadN(optdata=b"\0" * 12)])
        longer.append(Ether(src=frame.src, dst=frame.dst) / header / options / frame[IPv6].payload)
        one.send(longer[-1])
    arrive(two, longer)


def test_largest_datagram(lab, family):
    """65535 bytes of IPv4 packet; with IPv6, of payload."""
    one, two = lab["one"], lab["two"]
    size = 65535 - (20 if family == "v4" else 0)
    frames = cut(one, two, family, datagram(one, two, family, size), 1400)
    for frame in frames:
        one.send(frame)
    arrive(two, frames)
    # Eight more are too many.
    number = next(IDENTIFICATIONS)
    before = lab.drops()
    data = bytes(size - size % 8)
    parts = [fragment(one, two, family, data[at:at + 1400], at, True, number) for at in range(0, len(data), 1400)]
    for frame in parts[1:]:
        one.send(frame)
    one.send(fragment(one, two, family, bytes(16), len(data), False, number))
    reason = "malformed" if family == "v4" else "fragment-malformed"
    eventually(lambda: lab.drops().get(("one", reason), 0) > before.get(("one", reason), 0))


def test_errors_about_fragments(lab, family):
    """About the first fragment, which shows what it is of; once for a datagram."""
    one, red = lab["one"], lab["red"]
    nowhere = {"v4": "203.0.113.1", "v6": "2001:db8:ffff::1"}[family]
    frames = cut(one, red, family, datagram(one, red, family, 1600), dst=nowhere)
    for frame in frames:
        one.send(frame)
    error = one.wire.wait_for(is_refusal)
    quote = bytes(error.payload)[{"v4": 28, "v6": 48}[family]:]
    assert bytes(frames[0])[14:14 + len(quote)] == quote and len(quote) > 500
    lab.passes(one, one.frame(lab["two"], UDP(sport=fresh_port(), dport=53), family), lab["two"])
    assert not [frame for frame in one.wire.drain() if is_refusal(frame)]


def test_errors_that_quote_fragments(lab, family):
    """The receiver's port is closed, and says so about the first fragment."""
    one, two = lab["one"], lab["two"]
    frames = cut(one, two, family, datagram(one, two, family, 1600))
    for frame in frames:
        one.send(frame)
    arrive(two, frames)
    error = (Ether(src=two.mac, dst=one.mac) / ip_header(two.address[family], one.address[family])
             / port_unreachable(two.address[family]) / Raw(bytes(frames[0])[14:14 + 100]))
    two.send(error)
    assert bytes(one.wire.wait_for(is_refusal)) == bytes(error)


def test_too_large_for_the_way(lab, family):
    """IPv4 is cut again; of IPv6 the sender is told."""
    one, narrow = lab["one"], lab["narrow"]
    data = datagram(one, narrow, family, 2600)
    frames = cut(one, narrow, family, data, 1376)
    for frame in frames:
        one.send(frame)
    if family == "v6":
        error = one.wire.wait_for(is_refusal)
        assert bytes(error.payload)[40:48][4:] == (1280).to_bytes(4, "big")
        return
    got = {}
    while len(b"".join(got.values())) < len(data):
        frame = narrow.wire.wait_for(lambda seen: IP in seen and seen[IP].id == frames[0][IP].id)
        assert frame[IP].len <= 1280
        got[frame[IP].frag * 8] = bytes(frame[IP].payload)[:frame[IP].len - 20]
    assert b"".join(got[at] for at in sorted(got)) == data


def test_one_port_does_not_take_the_others_place(lab, family):
    """Endless first fragments: the oldest of the same port go, and others' datagrams are whole all the same."""
    one, red, two = lab["one"], lab["red"], lab["two"]
    slow = cut(red, two, family, datagram(red, two, family, 1600))
    for frame in slow[:-1]:
        red.send(frame)
    before = lab.drops().get(("one", "fragment-limit"), 0)
    lone = cut(one, two, family, datagram(one, two, family, 1200))[1]
    for _ in range(150):
        number = next(IDENTIFICATIONS)
        if family == "v4":
            lone[IP].id = number
            del lone[IP].chksum
        else:
            lone[IPv6ExtHdrFragment].id = number
        one.send(lone)
    eventually(lambda: lab.drops().get(("one", "fragment-limit"), 0) >= before + 80)
    red.send(slow[-1])
    two.wire.wait_for(lambda got: Raw in got and bytes(got)[-20:] == bytes(slow[-1])[-20:])
    good = cut(one, two, family, datagram(one, two, family, 1600))
    for frame in good:
        one.send(frame)
    arrive(two, good)


def test_multicast_fragments(lab, family):
    """Each receiver gets them, by the datagram's port."""
    one, two = lab["one"], lab["two"]
    group, mac = {"v4": ("224.0.0.251", "01:00:5e:00:00:fb"), "v6": ("ff02::fb", "33:33:00:00:00:fb")}[family]
    for port, passes in ((53, True), (54, False)):
        frames = cut(one, two, family, datagram(one, two, family, 1600, dport=port), dst=group, dst_mac=mac)
        for frame in frames:
            one.send(frame)
        if passes:
            arrive(two, frames)
    lab.passes(one, one.frame(two, UDP(sport=fresh_port(), dport=53), family), two)
    assert not [frame for frame in two.wire.drain() if Raw in frame]


def test_trace_of_a_fragment(lab, family):
    """A fragment alone waits."""
    one, two = lab["one"], lab["two"]
    frame = cut(one, two, family, datagram(one, two, family, 1600))[1]
    with Client(lab.nodes["a"].api) as client:
        answer = client.call("Trace", port="one", frame=bytes(frame))
    assert answer.verdict == "allow" and not answer.outputs
    assert any("wait for the rest" in step.text for step in answer.steps)


# Real systems.


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def kernels(make_lab, request):
    """Two nodes, a policy that names ports, and the kernels' own fragments."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=["--workers", request.param])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("test", {"direction": "ingress", "protocol": "icmp", "icmpType": 8},
              {"direction": "ingress", "protocol": "icmp", "icmpType": 128},
              {"direction": "ingress", "protocol": "udp", "ports": "5201"},
              {"direction": "egress"})
    for name, node, network in (("one", "a", "blue"), ("two", "a", "blue"), ("red", "a", "red"), ("far", "b", "blue"),
                                ("far-red", "b", "red")):
        lab.workload(name, node, network, kernel=True, securityGroups=["test"])
    return lab.up()


@pytest.mark.parametrize("to", ["two", "red", "far", "far-red"])
def test_ping_of_60000_bytes(kernels, family, to):
    one = kernels["one"]
    process = one.popen(*pings.command(kernels[to].address[family], 3, 0.2, "-s", "60000"))
    text = process.communicate(timeout=60)[0]
    # The first may have waited for a neighbour on the underlay too long.
    assert pings.missing(text, 3) <= {1}, text


def test_ping_of_the_gateway_with_60000_bytes(kernels, family):
    one = kernels["one"]
    for gateway in (one.network.gateway[family], kernels.networks["red"].gateway[family]):
        pings.all_answered(one.netns, gateway, "-s", "60000")


@pytest.mark.parametrize("to", ["two", "far-red"])
def test_largest_datagrams_of_programs(kernels, family, to):
    """Several at a time, as many as the receiver has room for."""
    one, far = kernels["one"], kernels[to]
    size = 65507 if family == "v4" else 65487
    assert one.ping(far, family)
    with far.server(5201, family, socket.SOCK_DGRAM) as server, one.open_socket(family, socket.SOCK_DGRAM) as client:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        for number in range(25):
            sent = {random.Random(f"{number} {index}").randbytes(size) for index in range(3)}
            for data in sent:
                client.sendto(data, (far.address[family], 5201))
            assert {server.recv(65536) for _ in sent} == sent
