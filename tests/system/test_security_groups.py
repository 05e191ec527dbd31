"""Security groups: stateful allow rules, judged at both ends of a connection."""

import pytest

from conversation import Conversation
from node import eventually
from packets import (ICMP, TCP, UDP, ICMPv6EchoRequest, IPv6ExtHdrFragment, Raw, echo_reply, echo_request, fresh_port,
                     port_unreachable)
from random_packets import link_local

INGRESS = {"direction": "ingress"}
EGRESS = {"direction": "egress"}


@pytest.fixture(scope="module")
def lab(make_lab):
    """`client` opens to anybody, `server` has the groups under test, `free` has none."""
    lab = make_lab()
    lab.network("blue", 1)
    for name in ("clients", "servers", "second"):
        lab.group(name)
    lab.rules("clients", EGRESS)
    lab.workload("client", "a", "blue", securityGroups=["clients"])
    lab.workload("server", "a", "blue", securityGroups=["servers"])
    lab.workload("free", "a", "blue")
    lab.workload("other", "a", "blue")
    # With the MAC address of a client, in another network of the same Vrf.
    lab.network("red", 2)
    lab.workload("red-server", "a", "red", securityGroups=["servers"])
    twin = lab.workload("twin", "a", "red", mac=lab["client"].mac)
    twin.mac = lab["client"].mac
    return lab.up()


@pytest.fixture(autouse=True)
def no_rules_before(lab):
    lab.change(lab["server"], securityGroups=["servers"])
    lab.change(lab["client"], securityGroups=["clients"])
    lab.rules("clients", EGRESS)
    lab.rules("servers")
    lab.rules("second")


def tcp(port, source=None):
    return TCP(sport=source or fresh_port(), dport=port, flags="S")


def udp(port, source=None):
    return UDP(sport=source or fresh_port(), dport=port)


def host(address):
    return f"{address}/{128 if ':' in address else 32}"


def allowed(lab, layer, family, sender="client", receiver="server", **fields):
    lab.passes(lab[sender], lab[sender].frame(lab[receiver], layer, family, **fields), lab[receiver])


def refused(lab, layer, family, sender="client", receiver="server", way="ingress", **fields):
    lab.dropped(lab[sender], lab[sender].frame(lab[receiver], layer, family, **fields), f"security-group-{way}",
                at=receiver if way == "ingress" else sender)


def test_no_rule_allows_nothing(lab, family):
    for layer in (tcp(80), udp(53), echo_request(lab["client"].address[family], id=fresh_port())):
        refused(lab, layer, family)
        allowed(lab, layer, family, receiver="free")


def test_no_group_is_not_filtered(lab, family):
    allowed(lab, tcp(80), family, sender="other", receiver="free")
    allowed(lab, tcp(80), family, sender="free", receiver="other")
    lab.change(lab["server"], securityGroups=[])
    allowed(lab, tcp(80), family, sender="other")


def test_direction(lab, family):
    """Ingress is what others open to the workload, egress what it opens."""
    lab.rules("servers", {**INGRESS, "protocol": "tcp"})
    allowed(lab, tcp(80), family)
    refused(lab, tcp(80), family, sender="server", receiver="free", way="egress")
    lab.rules("servers", {**EGRESS, "protocol": "tcp"})
    refused(lab, tcp(80), family)
    allowed(lab, tcp(80), family, sender="server", receiver="free")


def test_both_ends_must_allow(lab, family):
    lab.rules("servers", INGRESS)
    lab.rules("clients", {**EGRESS, "protocol": "tcp", "ports": "443"})
    refused(lab, tcp(80), family, way="egress")
    allowed(lab, tcp(443), family)


@pytest.mark.parametrize("protocol, make", [("tcp", tcp), ("udp", udp)])
def test_port_range_has_its_edges(lab, family, protocol, make):
    lab.rules("servers", {**INGRESS, "protocol": protocol, "ports": "80-82"})
    for port in (80, 81, 82):
        allowed(lab, make(port), family)
    for port in (79, 83, 0, 65535):
        refused(lab, make(port), family)


def test_ports_of_the_whole_range(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "udp", "ports": "1-65535"})
    allowed(lab, udp(1), family)
    allowed(lab, udp(65535), family)
    lab.rules("servers", {**INGRESS, "protocol": "udp", "ports": "65535"})
    allowed(lab, udp(65535), family)
    refused(lab, udp(65534), family)


def test_source_ports_do_not_matter(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "udp", "ports": "53"})
    refused(lab, udp(5353, source=53), family)
    allowed(lab, udp(53, source=5353), family)


def test_protocol(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "tcp", "ports": "80"})
    refused(lab, udp(80), family)
    allowed(lab, tcp(80), family)


def test_protocol_by_number(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "47"})
    next_header = {"v4": {"proto": 47}, "v6": {"nh": 47}}[family]
    allowed(lab, Raw(b"\0\0\x08\0"), family, **next_header)
    next_header = {"v4": {"proto": 50}, "v6": {"nh": 50}}[family]
    refused(lab, Raw(b"\0\0\x08\0"), family, **next_header)


def test_icmp_means_the_family_s_own(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "icmp"})
    allowed(lab, echo_request(lab["client"].address[family], id=fresh_port()), family)
    refused(lab, udp(53), family)


def test_icmp_type_and_code(lab, family):
    kind, other, make = {"v4": (8, 13, ICMP), "v6": (128, 200, ICMPv6EchoRequest)}[family]
    lab.rules("servers", {**INGRESS, "protocol": "icmp", "icmpType": kind})
    allowed(lab, make(type=kind, id=fresh_port()), family)
    allowed(lab, make(type=kind, code=1, id=fresh_port()), family)
    refused(lab, make(type=other, id=fresh_port()), family)
    lab.rules("servers", {**INGRESS, "protocol": "icmp", "icmpType": kind, "icmpCode": 1})
    allowed(lab, make(type=kind, code=1, id=fresh_port()), family)
    refused(lab, make(type=kind, code=0, id=fresh_port()), family)
    refused(lab, make(type=kind, code=2, id=fresh_port()), family)


def test_remote_prefix(lab, family):
    lab.rules("servers", {**INGRESS, "remote": {"cidr": host(lab["client"].address[family])}})
    allowed(lab, tcp(80), family)
    refused(lab, tcp(80), family, sender="free")


def test_remote_prefix_holds_for_its_family_only(lab):
    lab.rules("servers", {**INGRESS, "remote": {"cidr": "0.0.0.0/0"}})
    allowed(lab, tcp(80), "v4")
    refused(lab, tcp(80), "v6")
    lab.rules("servers", {**INGRESS, "remote": {"cidr": "::/0"}})
    allowed(lab, tcp(80), "v6")
    refused(lab, tcp(80), "v4")


def test_remote_prefix_of_egress_is_the_destination(lab, family):
    lab.rules("clients", {**EGRESS, "remote": {"cidr": host(lab["free"].address[family])}})
    lab.rules("servers", INGRESS)
    allowed(lab, tcp(80), family, receiver="free")
    refused(lab, tcp(80), family, way="egress")


def test_remote_group(lab, family):
    lab.rules("servers", {**INGRESS, "remote": {"group": "clients"}})
    allowed(lab, tcp(80), family)
    refused(lab, tcp(80), family, sender="free")


def test_remote_group_has_link_local_addresses(lab):
    """Those that are made of its members' MAC addresses, in their own networks: VRRP over IPv6 comes from them."""
    lab.rules("servers", {**INGRESS, "protocol": "112", "remote": {"group": "clients"}})
    server = lab["server"]
    for sender, receiver in (("client", server), ("free", server), ("twin", lab["red-server"])):
        sender, source = lab[sender], link_local(lab[sender].mac)
        advert = sender.frame(receiver, Raw(b"\x31\x33\x64\1\0\x64\0\0"), "v6", src=source, dst="ff02::12", nh=112,
                              dst_mac="33:33:00:00:00:12", hlim=255)
        direct = sender.frame(receiver, Raw(b"\x31\x33\x64\1\0\x64\0\0"), "v6", src=source,
                              dst=link_local(receiver.mac), nh=112)
        if sender.name == "client":
            lab.passes(sender, advert, receiver)
            lab.passes(sender, direct, receiver)
            continue
        refused = (str(receiver), "security-group-ingress")
        before = lab.drops().get(refused, 0)
        for frame in (advert, direct):
            sender.send(frame)
        eventually(lambda: lab.drops().get(refused, 0) == before + 2)
        assert not [frame for frame in receiver.wire.drain() if bytes(frame)[-14:] in (bytes(advert)[-14:],
                                                                                       bytes(direct)[-14:])]


def test_membership_reaches_live_traffic(lab, family):
    """Who leaves the group loses its connections at the next packet; who enters it may open some."""
    lab.rules("servers", {**INGRESS, "protocol": "udp", "remote": {"group": "second"}})
    lab.change(lab["client"], securityGroups=["clients", "second"])
    port = fresh_port()
    allowed(lab, udp(53, port), family)
    allowed(lab, udp(53, port), family)
    lab.change(lab["client"], securityGroups=["clients"])
    refused(lab, udp(53, port), family)
    assert not lab.nodes["a"].flows(sourcePort=port)
    lab.change(lab["client"], securityGroups=["clients", "second"])
    allowed(lab, udp(53, port), family)


def test_several_groups_are_a_union(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "tcp", "ports": "80"})
    lab.rules("second", {**INGRESS, "protocol": "tcp", "ports": "443"})
    lab.change(lab["server"], securityGroups=["servers", "second"])
    allowed(lab, tcp(80), family)
    allowed(lab, tcp(443), family)
    refused(lab, tcp(22), family)
    lab.change(lab["server"], securityGroups=["second"])
    refused(lab, tcp(80), family)


REPLIES = {
    "tcp": lambda to, port: (tcp(80, port), TCP(sport=80, dport=port, flags="SA", ack=1)),
    "udp": lambda to, port: (udp(53, port), UDP(sport=53, dport=port)),
    "echo": lambda to, port: (echo_request(to, id=port), echo_reply(to, id=port)),
}


@pytest.mark.parametrize("kind", REPLIES)
def test_replies_need_no_rule(lab, family, kind):
    """Neither the server may open, nor the client be opened to; the answer passes all the same."""
    lab.rules("servers", INGRESS)
    question, answer = REPLIES[kind](lab["client"].address[family], fresh_port())
    allowed(lab, question, family)
    allowed(lab, answer, family, sender="server", receiver="client")


def test_what_looks_like_a_reply_is_none(lab, family):
    """The same answer without a question before it is a new connection, which no rule allows; where one does, TCP
    begins otherwise."""
    lab.rules("servers", INGRESS, EGRESS)
    server = lab["server"]
    for kind in ("udp", "tcp"):
        _, answer = REPLIES[kind](lab["client"].address[family], fresh_port())
        refused(lab, answer, family, sender="server", receiver="client")
        if kind == "udp":
            allowed(lab, answer, family, sender="server", receiver="free")
        else:
            lab.dropped(server, server.frame(lab["free"], answer, family), "no-connection")


def test_an_echo_reply_opens_nothing(lab, family):
    """Whatever its identifier; with the question before it passes (test_replies_need_no_rule)."""
    kind = {"v4": 8, "v6": 128}[family]
    source = lab["server"].address[family]
    lab.rules("servers", INGRESS, EGRESS)
    lab.rules("clients", EGRESS, {**INGRESS, "protocol": "icmp", "icmpType": kind})
    allowed(lab, echo_request(source, id=fresh_port()), family, sender="server", receiver="client")
    for identifier in (fresh_port(), kind << 8):
        answer = lab["server"].frame(lab["client"], echo_reply(source, id=identifier), family)
        lab.dropped(lab["server"], answer, "no-connection")


def quoted(frame, family, keep=1000):
    """The IP packet of a frame, as an ICMP error quotes it."""
    layer = frame["IP" if family == "v4" else "IPv6"]
    return Raw(bytes(layer)[:keep])


def test_related_error_passes(lab, family):
    """Port unreachable about a live connection, to the one who opened it, without any rule for it."""
    lab.rules("servers", {**INGRESS, "protocol": "udp", "ports": "53"})
    client, server = lab["client"], lab["server"]
    question = client.frame(server, udp(53), family)
    lab.passes(client, question, server)
    error = server.frame(client, port_unreachable(client.address[family]), family, payload=quoted(question, family))
    lab.passes(server, error, client)
    short = {"v4": 28, "v6": 48}[family]
    error = server.frame(client, port_unreachable(client.address[family]), family,
                         payload=quoted(question, family, short))
    lab.passes(server, error, client)


def test_unrelated_error_is_dropped(lab, family):
    """Nobody has sent what it quotes; or it goes to another than who did."""
    lab.rules("servers", INGRESS, EGRESS)
    lab.rules("clients", INGRESS, EGRESS)
    client, server, other = lab["client"], lab["server"], lab["other"]
    port = fresh_port()
    unreachable = port_unreachable(client.address[family])
    never_sent = client.frame(server, udp(53, port), family)
    error = server.frame(client, unreachable, family, payload=quoted(never_sent, family))
    lab.dropped(server, error, "no-connection")
    lab.passes(client, never_sent, server)
    lab.dropped(server, server.frame(other, unreachable, family, payload=quoted(never_sent, family)), "no-connection")
    lab.passes(server, error, client)


def test_rules_are_judged_by_the_opener_s_side(lab, family):
    """An allowed connection's later packets are not held against rules for the other way."""
    lab.rules("servers", {**INGRESS, "protocol": "tcp", "ports": "80"})
    it = Conversation(lab, family, left="client", right="server")
    it.send("S")
    it.answer("SA")
    lab.rules("second", INGRESS)  # a change elsewhere: both directions are judged anew
    it.answer("A")
    assert it.send("A") == "established"


def test_rule_in_flows(lab, family):
    lab.rules("servers", {**INGRESS, "protocol": "tcp", "ports": "22"}, {**INGRESS, "protocol": "tcp", "ports": "80"})
    port = fresh_port()
    allowed(lab, tcp(80, port), family)
    [flow] = lab.nodes["a"].flows(sourcePort=port)
    assert flow["rule"] == "clients[0], servers[1]"
    port = fresh_port()
    allowed(lab, tcp(80, port), family, sender="free", receiver="other")
    [flow] = lab.nodes["a"].flows(sourcePort=port)
    assert flow["rule"] == ""


def error_about(frame, receiver, sender, family, **fields):
    """What the frame's receiver says: an ICMP error back to its sender."""
    return receiver.frame(sender, port_unreachable(receiver.address[family]), family, payload=frame.payload, **fields)


def test_errors_pass_as_long_as_the_rules_allow(lab, family):
    """An error is a packet of the connection that it quotes, also before that has another one."""
    free, server, port = lab["free"], lab["server"], fresh_port()
    lab.rules("servers", {**INGRESS, "protocol": "udp", "ports": "53"})
    asked = free.frame(server, UDP(sport=port, dport=53), family)
    told = server.frame(free, UDP(sport=53, dport=port), family)
    lab.passes(free, asked, server)
    lab.passes(server, told, free)
    lab.passes(server, error_about(asked, server, free, family), free)
    lab.passes(free, error_about(told, free, server, family), server)
    lab.rules("servers", EGRESS)
    for error, sender in ((error_about(asked, server, free, family), server),
                          (error_about(told, free, server, family), free)):
        lab.dropped(sender, error, "security-group-ingress", at=server)


def test_errors_get_nowhere_else(lab, family):
    """Than to the port whose packet they quote, whatever their MAC address says."""
    free, other, port = lab["free"], lab["other"], fresh_port()
    lab.rules("servers", INGRESS, EGRESS)
    asked = free.frame(other, UDP(sport=port, dport=80), family)
    lab.passes(free, asked, other)
    lab.dropped(other, error_about(asked, other, free, family, dst_mac=lab["server"].mac), "no-connection")
