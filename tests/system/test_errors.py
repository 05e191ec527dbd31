"""What a sender is told about packets that are dropped: ICMP errors as a router sends them, TCP resets of the gateway."""

import pytest

from hops import traceroute
from node import eventually
from packets import (ICMP, IP, TCP, UDP, ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6, Raw, echo_request, fresh_port,
                     ip_header, is_refusal, port_unreachable)

# By reason: type and code for IPv4 and for IPv6.
ERRORS = {
    "no-route": {"v4": (3, 0), "v6": (1, 0)},
    "not-routed": {"v4": (3, 0), "v6": (1, 0)},
    "no-host": {"v4": (3, 1), "v6": (1, 3)},
    "no-uplink": {"v4": (3, 1), "v6": (1, 3)},
    "ttl": {"v4": (11, 0), "v6": (3, 0)},
    "port": {"v4": (3, 3), "v6": (1, 4)},
    "protocol": {"v4": (3, 2), "v6": (4, 1)},
    "too-big": {"v4": (3, 4), "v6": (2, 0)},
}
NOWHERE = {"v4": "203.0.113.1", "v6": "2001:db8:ffff::1"}
NOBODY = {"v4": "10.2.0.222", "v6": "fd00:2::222"}
LARGEST = {"v4": 576, "v6": 1280}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.objects.append({"kind": "Node", "name": "b"})
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("small", 3, mtu=1300)
    lab.network("island", 4, vrf=None)
    lab.group("closed", {"direction": "egress", "remote": {"cidr": "10.2.0.0/24"}})
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue")
    lab.workload("red", "a", "red")
    lab.workload("small", "a", "small")
    lab.workload("island", "a", "island")
    lab.workload("closed", "a", "blue", securityGroups=["closed"])
    lab.workload("elsewhere", "b", "blue")
    lab.workload("k1", "a", "blue", kernel=True)
    lab.workload("k2", "a", "red", kernel=True)
    lab.workload("k3", "a", "small", kernel=True)
    return lab.up()


def udp(**fields):
    return UDP(sport=fresh_port(), dport=53, **fields)


def is_error(frame, family):
    return frame.type == {"v4": 0x800, "v6": 0x86dd}[family] and is_refusal(frame) and TCP not in frame


def told(lab, sender, frame, family):
    """The error that comes back about a frame: its type and code, and the frame that holds it."""
    sender.wire.drain()
    sender.send(frame)
    got = sender.wire.wait_for(lambda answer: is_error(answer, family))
    icmp = bytes(got.payload)[{"v4": 20, "v6": 40}[family]:]
    return (icmp[0], icmp[1]), got


def check_error(got, sender, frame, family, source):
    """Everything about the error but its type: addresses, checksums, the quote."""
    assert (got.src, got.dst) == (sender.gateway_mac(family), sender.mac)
    header = got[IP] if family == "v4" else got[IPv6]
    assert (header.src, header.dst) == (source, sender.address[family])
    header_size = {"v4": 28, "v6": 48}[family]
    quote = bytes(frame)[14:][:LARGEST[family] - header_size]
    assert bytes(got.payload)[header_size:] == quote
    again = got.copy()
    if family == "v4":
        assert (header.ttl, header.tos, header.flags) == (64, 0xc0, "DF")
        del again[IP].chksum, again[ICMP].chksum
        assert again.__class__(bytes(again))[IP].chksum == header.chksum
        assert again.__class__(bytes(again))[ICMP].chksum == got[ICMP].chksum
    else:
        assert header.hlim == 64
        del again[IPv6].payload.cksum
        assert again.__class__(bytes(again))[IPv6].payload.cksum == got[IPv6].payload.cksum


@pytest.mark.parametrize("payload", [0, 10, 1300])
@pytest.mark.parametrize("reason", ["no-route", "no-host", "ttl", "port", "too-big"])
def test_error_is_as_the_standards_have_it(lab, family, reason, payload):
    one, gateway = lab["one"], lab["one"].network.gateway[family]
    to, fields = {"no-route": ("red", {"dst": NOWHERE[family]}), "no-host": ("red", {"dst": NOBODY[family]}),
                  "ttl": ("red", {"ttl": 1}), "port": ("red", {"dst": gateway}), "too-big": ("small", {})}[reason]
    if reason == "too-big":
        payload += 1260
        if family == "v4":
            fields["flags"] = "DF"
        if payload > 1400:
            payload = 1400 - {"v4": 28, "v6": 48}[family] + 50
    frame = one.frame(lab[to], udp(), family, payload=Raw(b"y" * payload), **fields)
    if reason == "too-big" and len(frame) - 14 <= 1300:
        frame = one.frame(lab[to], udp(), family, payload=Raw(b"y" * 1301), **fields)
    number, got = told(lab, one, frame, family)
    assert number == ERRORS[reason][family]
    check_error(got, one, frame, family, gateway)
    rest = bytes(got.payload)[{"v4": 24, "v6": 44}[family]:][:4]
    assert rest == (1300).to_bytes(4, "big") if reason == "too-big" else rest == bytes(4)


def test_more_reasons(lab, family):
    one, island = lab["one"], lab["island"]
    frame = island.frame(one, udp(), family)
    number, got = told(lab, island, frame, family)
    assert number == ERRORS["not-routed"][family]
    check_error(got, island, frame, family, island.network.gateway[family])
    frame = one.frame(lab["elsewhere"], udp(), family)
    number, got = told(lab, one, frame, family)
    assert number == ERRORS["no-uplink"][family]
    check_error(got, one, frame, family, one.network.gateway[family])


def test_a_hop_limit_that_ends_on_a_live_connection(lab, family):
    one, layer = lab["one"], udp()
    lab.passes(one, one.frame(lab["red"], layer, family), lab["red"])
    number, _ = told(lab, one, one.frame(lab["red"], layer, family, ttl=1), family)
    assert number == ERRORS["ttl"][family]


def test_errors_have_a_source_where_there_is_no_gateway(one_lab, family):
    """The gateway's link-local address; for IPv4 the destination, which the sender believes to be on its link."""
    lab = one_lab()
    lab.network("bare", 1, vrf=None, gateway=False)
    lab.objects.append({"kind": "Node", "name": "b"})
    lab.workload("one", "a", "bare")
    lab.workload("elsewhere", "b", "bare")
    lab.up()
    one, elsewhere = lab["one"], lab["elsewhere"]
    number, got = told(lab, one, one.frame(elsewhere, udp(), family), family)
    assert number == ERRORS["no-uplink"][family]
    if family == "v4":
        assert got[IP].src == elsewhere.address["v4"]
    else:
        assert got[IPv6].src == "fe80::53:4cff:fe00:1389"


def test_unknown_protocol_at_the_gateway(lab, family):
    one, gateway = lab["one"], lab["one"].network.gateway[family]
    field = {"v4": {"proto": 132 + 7}, "v6": {"nh": 132 + 7}}[family]
    frame = one.frame(lab["red"], Raw(b"what"), family, dst=gateway, **field)
    number, got = told(lab, one, frame, family)
    assert number == ERRORS["protocol"][family]
    check_error(got, one, frame, family, gateway)
    if family == "v6":
        assert got[ICMPv6ParamProblem].ptr == 6


@pytest.mark.parametrize("flags, payload, expected", [
    ("S", b"", ("RA", 0, 1001)), ("A", b"abc", ("R", 77, 0)), ("SA", b"", ("R", 77, 0)), ("SF", b"ab", None),
    ("R", b"", None), ("RA", b"", None)])
def test_tcp_to_the_gateway_is_reset(lab, family, flags, payload, expected):
    one, gateway = lab["one"], lab["one"].network.gateway[family]
    port = fresh_port()
    frame = one.frame(lab["red"], TCP(sport=port, dport=22, flags=flags, seq=1000, ack=77, options=[("MSS", 1400)]),
                      family, dst=gateway, payload=Raw(payload))
    one.wire.drain()
    one.send(frame)
    if not expected:
        one.send(one.frame(lab["red"], echo_request(gateway, id=port), family, dst=gateway))
        got = one.receive()
        assert TCP not in got and not is_refusal(got)
        return
    got = one.wire.wait_for(lambda answer: TCP in answer)
    assert (got.src, got.dst) == (one.gateway_mac(family), one.mac)
    tcp = got[TCP]
    assert (tcp.sport, tcp.dport, tcp.flags, tcp.seq, tcp.ack) == (22, port, *expected)
    again = got.copy()
    del again[TCP].chksum
    assert again.__class__(bytes(again))[TCP].chksum == tcp.chksum


def silent(lab, sender, frame, family):
    """Nothing is said about the frame: the answer to a ping behind it is the first to come back."""
    gateway = sender.network.gateway[family]
    sender.wire.drain()
    sender.send(frame)
    sender.send(sender.frame(lab["red"], echo_request(gateway, id=fresh_port()), family, dst=gateway,
                             dst_mac=sender.gateway_mac(family)))
    got = sender.receive()
    assert not is_refusal(got), got.summary()


def test_no_errors_about_errors(lab, family):
    one, nowhere = lab["one"], NOWHERE[family]
    quoted = ip_header(nowhere, one.address[family]) / udp()
    for error in (port_unreachable(nowhere), ICMP(type=5, gw="10.1.0.1") if family == "v4" else ICMPv6TimeExceeded()):
        silent(lab, one, one.frame(lab["red"], error, family, dst=nowhere, payload=quoted), family)
    number, _ = told(lab, one, one.frame(lab["red"], echo_request(nowhere, id=1), family, dst=nowhere), family)
    assert number == ERRORS["no-route"][family]


def test_no_errors_about_what_several_get(lab, family):
    one = lab["one"]
    mac = one.gateway_mac(family)
    for fields in ({"dst": {"v4": "224.0.0.251", "v6": "ff05::fb"}[family], "dst_mac": mac},
                   {"dst": {"v4": "10.2.0.255", "v6": "ff02::1"}[family], "dst_mac": mac},
                   {"dst": NOWHERE[family], "dst_mac": "ff:ff:ff:ff:ff:ff"},
                   {"dst": NOWHERE[family], "dst_mac": {"v4": "01:00:5e:00:00:01", "v6": "33:33:00:00:00:01"}[family]}):
        silent(lab, one, one.frame(lab["red"], udp(), family, **fields), family)


def test_no_errors_to_spoofed_senders(lab, family):
    one, red = lab["one"], lab["red"]
    for fields in ({"src": red.address[family]}, {"src_mac": red.mac},
                   {"src": {"v4": "0.0.0.0", "v6": "::"}[family]}, {"src": {"v4": "127.0.0.1", "v6": "::1"}[family]}):
        silent(lab, one, one.frame(red, udp(), family, dst=NOWHERE[family], dst_mac=one.gateway_mac(family), **fields),
               family)
        silent(lab, one, one.frame(red, udp(), family, dst_mac=one.gateway_mac(family), payload=Raw(b"y" * 1380),
                                   **fields), family)


def test_security_groups_are_silent(lab, family):
    closed, one = lab["closed"], lab["one"]
    silent(lab, one, one.frame(closed, udp(), family), family)
    lab.dropped(closed, closed.frame(lab["small"], udp(), family), "security-group-egress")


def test_errors_are_limited(lab, family="v4"):
    """Per port: a burst gets some, not one for each packet; and another port's are not fewer for that."""
    two, one = lab["two"], lab["one"]
    frame = bytes(two.frame(lab["red"], udp(), family, dst=NOWHERE[family]))
    before = lab.drops().get(("two", "no-route"), 0)
    two.wire.drain()
    for _ in range(400):
        two.send(frame)
    number, _ = told(lab, one, one.frame(lab["red"], udp(), family, dst=NOWHERE[family]), family)
    assert number == ERRORS["no-route"][family]
    eventually(lambda: lab.drops().get(("two", "no-route"), 0) == before + 400)
    errors = [got for got in two.wire.drain() if is_refusal(got)]
    assert 20 < len(errors) < 390


# With programs of every system.


def output(workload, *command):
    process = workload.popen(*command)
    text = process.communicate(timeout=60)[0]
    return process.returncode, text


@pytest.mark.parametrize("method", [[], ["-I"], ["-T"]], ids=["udp", "icmp", "tcp"])
def test_traceroute(lab, family, method):
    """The gateway, then the destination."""
    k1, k2 = lab["k1"], lab["k2"]
    found = traceroute(k1, *method, k2.address[family])
    assert [line.split()[1] for line in found] == [k1.network.gateway[family], k2.address[family]]
    assert "!" not in "".join(found)


def test_traceroute_to_nowhere(lab, family):
    k1 = lab["k1"]
    for to, mark in ((NOWHERE, "!N"), (NOBODY, "!H")):
        first = traceroute(k1, to[family])[0]
        assert k1.network.gateway[family] in first and mark in first, first
    found = traceroute(k1, k1.network.gateway[family])
    assert found[-1].split()[:2] == ["1", k1.network.gateway[family]], found


def test_tracepath_finds_the_mtu(lab, family):
    k1, k3 = lab["k1"], lab["k3"]
    version = "-4" if family == "v4" else "-6"
    _, text = output(k1, "tracepath", version, "-n", k3.address[family])
    assert "pmtu 1300" in text and "hops 2" in text, text
    assert k1.network.gateway[family] in text


def test_ping_of_too_large_a_packet(lab, family):
    """ping tells its user what it was told."""
    k1, k3 = lab["k1"], lab["k3"]
    # An earlier answer may be remembered.
    output(k1, "ip", "route", "flush", "cache")
    output(k1, "ip", "-6", "route", "flush", "cache")
    code, text = output(k1, "ping", "-n", "-c", "2", "-W", "15", "-i", "0.2", "-M", "do", "-s", "1350", k3.address[family])
    assert code == 1
    assert ("mtu = 1300" in text if family == "v4" else "mtu=1300" in text) or "mtu: 1300" in text, text
    code, text = output(k1, "ping", "-n", "-c", "1", "-W", "15", "-M", "do", "-s",
                        str(1300 - {"v4": 28, "v6": 48}[family]), k3.address[family])
    assert code == 0, text


def test_connection_refused_at_the_gateway(lab, family):
    k1 = lab["k1"]
    client = k1.open_socket(family)
    with client, pytest.raises(ConnectionRefusedError):
        client.connect((k1.network.gateway[family], 22))
