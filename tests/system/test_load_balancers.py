"""LoadBalancers: there and back, shares, members that come, go and drain, affinity, hairpin, what is not balanced."""

import collections

import pytest

from node import eventually
from packets import (ICMP, IP, SCTP, TCP, UDP, IPv6, SCTPChunkInit, echo_request, fresh_port, is_refusal,
                     port_unreachable, told, who_has)

# In blue's subnet, and in none.
INSIDE = {"v4": "10.1.0.200", "v6": "fd00:1::200"}
OUTSIDE = {"v4": "198.18.0.10", "v6": "2001:db8:18::10"}
LENGTH = {"v4": 32, "v6": 128}
MEMBERS = ("one", "two", "far")


@pytest.fixture(scope="module")
def base(make_lab):
    """Members in blue: one and two on node a, far on node b; clients in blue and red."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=("--workers", "0,1"))
    lab.network("blue", 1)
    lab.network("red", 2)
    for name, node in zip(MEMBERS, ("a", "a", "b")):
        lab.workload(name, node, "blue")
    lab.workload("blue-a", "a", "blue")
    lab.workload("red-a", "a", "red")
    lab.workload("red-b", "b", "red")
    # Another Vrf; Routes lead from it to the virtual addresses, and back.
    lab.network("green", 3, vrf="t2")
    lab.workload("green-a", "a", "green")
    lab.objects += [{"kind": "Route", "name": "there", "vrf": "t2", "nextHops": [{"vrf": "t1"}],
                     "destinations": [f"{vip}/{LENGTH[family]}" for family, vip in [*INSIDE.items(), *OUTSIDE.items()]]},
                    {"kind": "Route", "name": "back", "vrf": "t1", "nextHops": [{"vrf": "t2"}],
                     "destinations": list(lab.networks["green"].prefix.values())}]
    return lab.up()


def balancer(lab, *members, name="lb", ports=None, **fields):
    """Makes or changes one; a member is a name, or its fields."""
    lab.apply({"kind": "LoadBalancer", "name": name, "vrf": "t1",
               "addresses": [*INSIDE.values(), *OUTSIDE.values()],
               "ports": ports or [{"port": 9, "protocol": "udp", "memberPort": 9099}, {"port": 80, "memberPort": 8080}],
               "members": [{"port": member} if isinstance(member, str) else member for member in members], **fields})


@pytest.fixture
def lab(base):
    yield base
    for node in base.nodes.values():
        for name in [known["name"] for known in node.json("get", "loadbalancers")]:
            node.delete("loadbalancer", name)


def fresh(count):
    """Source ports of new connections."""
    return [fresh_port() for _ in range(count)]


def ip_of(frame):
    return frame[IP] if IP in frame else frame[IPv6]


def to_vip(client, family, sport=1000, dport=9, vip=None):
    return client.frame(client, UDP(sport=sport, dport=dport), family, dst=(vip or INSIDE)[family],
                        dst_mac=client.gateway_mac(family))


def who(lab, frames, sender, members=MEMBERS):
    """Which member gets each frame: (name, as it arrives), in their order."""
    marks = {bytes(frame)[-14:]: None for frame in frames}
    for name in members:
        lab[name].wire.drain()
    for frame in frames:
        sender.send(frame)

    def all_there():
        for name in members:
            for arrived in lab[name].wire.drain():
                mark = bytes(arrived)[-14:]
                if mark in marks:
                    marks[mark] = (name, arrived)
        return None not in marks.values()

    eventually(all_there)
    return list(marks.values())


def chosen(lab, sender, family, ports, vip=None, dport=9):
    """By source port, the member's name."""
    frames = [to_vip(sender, family, sport, dport, vip) for sport in ports]
    return dict(zip(ports, [name for name, _ in who(lab, frames, sender)]))


def sound(frame):
    """Are its checksums right?"""
    again = frame.copy()
    for layer in (IP, UDP, TCP, ICMP):
        if layer in again:
            del again[layer].chksum
    return bytes(again.__class__(bytes(again))) == bytes(frame)


@pytest.mark.parametrize("client, vip", [("blue-a", INSIDE), ("blue-a", OUTSIDE), ("red-a", INSIDE), ("red-b", OUTSIDE),
                                         ("green-a", INSIDE), ("green-a", OUTSIDE)])
def test_there_and_back(lab, family, client, vip):
    """Members see the client, the client sees the virtual address; on one node and across two."""
    client = lab[client]
    for name in MEMBERS:
        balancer(lab, name)
        member, sport = lab[name], fresh_port()
        (_, arrived), = who(lab, [to_vip(client, family, sport, vip=vip)], client)
        header = ip_of(arrived)
        assert (header.src, header.dst, arrived[UDP].dport) == (client.address[family], member.address[family], 9099)
        assert sound(arrived)
        back = lab.passes(member, member.frame(client, UDP(sport=9099, dport=arrived[UDP].sport), family), client)
        header = ip_of(back)
        assert (header.src, header.dst) == (vip[family], client.address[family])
        assert (back[UDP].sport, back[UDP].dport) == (9, sport)
        assert sound(back)


def test_tcp_and_sctp(lab, family):
    client, member, sport = lab["red-a"], lab["one"], fresh_port()
    balancer(lab, "one", ports=[{"port": 80, "memberPort": 8080}, {"port": 90, "protocol": "sctp"}])
    syn = client.frame(client, TCP(sport=sport, dport=80, flags="S", seq=5), family, dst=INSIDE[family],
                       dst_mac=client.gateway_mac(family))
    arrived = lab.passes(client, syn, member)
    assert arrived[TCP].dport == 8080 and sound(arrived)
    answer = member.frame(client, TCP(sport=8080, dport=arrived[TCP].sport, flags="SA", seq=9, ack=6), family)
    back = lab.passes(member, answer, client)
    assert (ip_of(back).src, back[TCP].sport, back[TCP].dport) == (INSIDE[family], 80, sport) and sound(back)
    init = client.frame(client, SCTP(sport=700, dport=90) / SCTPChunkInit(init_tag=7), family, dst=INSIDE[family],
                        dst_mac=client.gateway_mac(family), payload=b"")
    client.send(init)
    got = member.wire.wait_for(lambda frame: SCTP in frame)
    assert (ip_of(got).dst, got[SCTP].dport) == (member.address[family], 90)


def test_shares(lab, family):
    """By weight; the choice stays as long as the members do, and no weight means no share."""
    client, ports = lab["red-a"], fresh(90)
    balancer(lab, "one", "two", "far")
    first = chosen(lab, client, family, ports)
    counts = collections.Counter(first.values())
    assert min(counts[name] for name in MEMBERS) > 12
    balancer(lab, {"port": "one", "weight": 10}, {"port": "two", "weight": 30}, {"port": "far", "weight": 0})
    counts = collections.Counter(chosen(lab, client, family, fresh(90)).values())
    assert 5 < counts["one"] < 45 and counts["far"] == 0


def test_one_of_three_goes_and_comes(lab, family):
    """Only its own share of the new connections moves; those of live ones stay."""
    client, ports = lab["red-a"], fresh(60)
    balancer(lab, "one", "two", "far")
    first = chosen(lab, client, family, ports)
    balancer(lab, "one", "far")
    kept = [port for port in ports if first[port] != "two"]
    assert chosen(lab, client, family, kept) == {port: first[port] for port in kept}
    # New ones of the same client: not those that are live.
    ports = fresh(60)
    moved = chosen(lab, client, family, ports)
    balancer(lab, "one", "two", "far")
    again = chosen(lab, client, family, ports)
    assert again == moved
    assert "two" in chosen(lab, client, family, fresh(60)).values()


def test_a_member_goes(lab, family):
    """Its live connections end, and what comes next is a new one."""
    client = lab["red-a"]
    balancer(lab, "one", "two")
    first = chosen(lab, client, family, fresh(10))
    port = next(port for port, name in first.items() if name == "one")
    balancer(lab, "two")
    lab.dropped(client, to_vip(client, family, port), "translation-gone")
    assert chosen(lab, client, family, [port]) == {port: "two"}
    for node in lab.nodes.values():
        node.delete("loadbalancer", "lb")
    lab.dropped(client, to_vip(client, family, port), "translation-gone")


def test_a_member_of_tcp_goes(lab, family):
    """The client is told at once, and need not wait for what never comes."""
    client, member, sport = lab["red-a"], lab["one"], fresh_port()
    balancer(lab, "one", "two")
    balancer(lab, "one", {"port": "two", "drain": True})

    def segment(flags, seq, ack=0):
        return client.frame(client, TCP(sport=sport, dport=80, flags=flags, seq=seq, ack=ack), family, dst=INSIDE[family],
                            dst_mac=client.gateway_mac(family))

    port = lab.passes(client, segment("S", 5), member)[TCP].sport
    lab.passes(member, member.frame(client, TCP(sport=8080, dport=port, flags="SA", seq=99, ack=6), family), client)
    lab.passes(client, segment("A", 6, 100), member)
    balancer(lab, "two")
    client.wire.drain()
    client.send(segment("A", 6, 100))
    reset = client.wire.wait_for(lambda frame: TCP in frame and frame[TCP].flags == "R")
    assert (ip_of(reset).src, reset[TCP].sport, reset[TCP].dport, reset[TCP].seq) == (INSIDE[family], 80, sport, 100)


@pytest.mark.parametrize("flags", [["S"], ["S", "SA", "A", "R"], ["S", "SA", "A", "FA", "fa"]],
                         ids=["not answered", "reset", "closed"])
def test_the_client_begins_again(lab, family, flags):
    """With a port that it had for a connection to a member that has gone since: another one takes it."""
    client, member, sport = lab["red-a"], lab["one"], fresh_port()
    balancer(lab, "one")
    port = None
    for number, flag in enumerate(flags):
        if flag in ("SA", "fa"):
            segment = TCP(sport=8080, dport=port, flags=flag.upper(), seq=99 + (flag == "fa"), ack=6 + (flag == "fa"))
            lab.passes(member, member.frame(client, segment, family), client)
        else:
            segment = TCP(sport=sport, dport=80, flags=flag, seq=5 + (number > 0), ack=100 if "A" in flag else 0)
            arrived = lab.passes(client, client.frame(client, segment, family, dst=INSIDE[family],
                                                      dst_mac=client.gateway_mac(family)), member)
            port = port or arrived[TCP].sport
    balancer(lab, "two")
    client.wire.drain()
    again = client.frame(client, TCP(sport=sport, dport=80, flags="S", seq=5 if len(flags) == 1 else 50000), family,
                         dst=INSIDE[family], dst_mac=client.gateway_mac(family))
    arrived = lab.passes(client, again, lab["two"])
    answer = TCP(sport=8080, dport=arrived[TCP].sport, flags="SA", seq=700, ack=arrived[TCP].seq + 1)
    lab.passes(lab["two"], lab["two"].frame(client, answer, family), client)
    assert not [frame for frame in client.wire.drain() if TCP in frame and "R" in frame[TCP].flags]


def test_draining(lab, family):
    """No new connections, and the live ones go on; afterwards it has its share again."""
    client, ports = lab["red-a"], fresh(20)
    balancer(lab, "one", "two")
    first = chosen(lab, client, family, ports)
    balancer(lab, {"port": "one", "drain": True}, "two")
    assert chosen(lab, client, family, ports) == first
    assert set(chosen(lab, client, family, fresh(20)).values()) == {"two"}
    balancer(lab, "one", "two")
    assert set(chosen(lab, client, family, fresh(20)).values()) == {"one", "two"}
    balancer(lab, {"port": "one", "drain": True}, {"port": "two", "drain": True})
    lab.dropped(client, to_vip(client, family, fresh_port()), "no-member")


def test_affinity(lab, family):
    """A client has one member, whatever port it asks."""
    balancer(lab, "one", "two", "far", affinity="client-address",
             ports=[{"port": 9, "protocol": "udp"}, {"port": 10, "protocol": "udp"}])
    for name in ("red-a", "red-b", "blue-a"):
        client = lab[name]
        both = [*chosen(lab, client, family, fresh(5)).values(),
                *chosen(lab, client, family, fresh(5), dport=10).values()]
        assert len(set(both)) == 1


@pytest.mark.parametrize("vip", [INSIDE, OUTSIDE], ids=["inside", "outside"])
def test_hairpin(lab, family, vip):
    """A member that is its own client sees the virtual address on both sides."""
    balancer(lab, "one")
    one, sport = lab["one"], fresh_port()
    arrived = lab.passes(one, to_vip(one, family, sport, vip=vip), one)
    assert (ip_of(arrived).src, ip_of(arrived).dst) == (vip[family], one.address[family])
    assert arrived[UDP].dport == 9099 and sound(arrived)
    answer = one.frame(one, UDP(sport=9099, dport=arrived[UDP].sport), family, dst=vip[family],
                       dst_mac=one.gateway_mac(family))
    back = lab.passes(one, answer, one)
    assert (ip_of(back).src, ip_of(back).dst, back[UDP].dport) == (vip[family], one.address[family], sport)


def test_hairpin_and_rules(lab, family):
    """Who is its own client is allowed in as itself, by a rule for its group."""
    balancer(lab, "one", "two")
    lab.rules("web", {"direction": "ingress", "protocol": "udp", "remote": {"group": "web"}}, {"direction": "egress"})
    one = lab["one"]
    lab.change(one, securityGroups=["web"])
    lab.change(lab["two"], securityGroups=["web"])
    assert set(chosen(lab, one, family, fresh(12)).values()) == {"one", "two"}
    lab.change(one, securityGroups=[])
    lab.change(lab["two"], securityGroups=[])


def test_members_by_address(lab, family):
    client = lab["red-a"]
    balancer(lab, {"address": lab["two"].address["v4"]}, {"address": lab["far"].address["v6"]})
    expected = {"v4": "two", "v6": "far"}[family]
    assert set(chosen(lab, client, family, fresh(10)).values()) == {expected}


def test_nobody_has_the_address(lab, family):
    """A member that is no Port's gets nothing."""
    client, nobody = lab["red-a"], {"v4": "10.1.0.99", "v6": "fd00:1::99"}
    balancer(lab, *[{"address": address} for address in nobody.values()])
    lab.dropped(client, to_vip(client, family, fresh_port()), "no-member")
    balancer(lab, *[{"address": address} for address in nobody.values()], "one")
    assert set(chosen(lab, client, family, fresh(10)).values()) == {"one"}


def test_answers(lab, family):
    """A virtual address in the subnet is the gateway's; it answers pings, and refuses what is not balanced."""
    balancer(lab, "one")
    blue, red = lab["blue-a"], lab["red-a"]
    blue.send(who_has(INSIDE[family], blue.mac, blue.address[family]))
    assert told(blue.wire.wait_for(lambda frame: told(frame, INSIDE[family])), INSIDE[family]) == blue.gateway_mac(family)
    for client, vip in ((blue, INSIDE), (red, OUTSIDE)):
        echo = client.frame(client, echo_request(vip[family], id=7), family, dst=vip[family],
                            dst_mac=client.gateway_mac(family))
        assert ip_of(lab.passes(client, echo, client)).src == vip[family]
        lab.dropped(client, to_vip(client, family, 100, dport=99, vip=vip), "gateway")
        client.wire.drain()
        client.send(client.frame(client, TCP(sport=77, dport=81), family, dst=vip[family], dst_mac=client.gateway_mac(family)))
        reset = client.wire.wait_for(is_refusal)
        assert (ip_of(reset).src, reset[TCP].sport) == (vip[family], 81)


def test_no_member(lab, family):
    """The client is told."""
    client = lab["red-a"]
    balancer(lab, {"port": "one", "drain": True})
    client.wire.drain()
    client.send(client.frame(client, TCP(sport=78, dport=80), family, dst=INSIDE[family], dst_mac=client.gateway_mac(family)))
    assert client.wire.wait_for(lambda frame: is_refusal(frame) and TCP in frame)[TCP].sport == 80
    client.send(to_vip(client, family, 79))
    assert ip_of(client.wire.wait_for(lambda frame: is_refusal(frame) and TCP not in frame)).src == INSIDE[family]


def test_errors_quote_what_was_sent(lab, family):
    client, member, sport = lab["red-a"], lab["one"], fresh_port()
    balancer(lab, "one")
    sent = to_vip(client, family, sport)
    arrived = lab.passes(client, sent, member)
    inner = ip_of(arrived)
    error = member.frame(client, port_unreachable(inner.src), family, payload=bytes(inner)[:48 if family == "v6" else 28])
    client.wire.drain()
    member.send(error)
    got = client.wire.wait_for(lambda frame: is_refusal(frame) and TCP not in frame)
    quoted = bytes(got)[14 + (28 if family == "v4" else 48):]
    quoted = IP(quoted) if family == "v4" else IPv6(quoted)
    assert ip_of(got).src == INSIDE[family]
    assert (quoted.src, quoted.dst) == (client.address[family], INSIDE[family])
    assert bytes(quoted.payload)[:4] == sport.to_bytes(2, "big") + (9).to_bytes(2, "big")


def test_security_groups(lab, family):
    """The member's are held against the client, the client's against the virtual address."""
    balancer(lab, "one")
    client, member, sport = lab["red-a"], lab["one"], fresh_port()
    cidr = {"v4": "10.2.0.0/24", "v6": "fd00:2::/64"}[family]
    lab.rules("in", {"direction": "ingress", "protocol": "udp", "ports": "9099", "remote": {"cidr": cidr}})
    lab.rules("out", {"direction": "egress", "protocol": "udp", "ports": "9",
                      "remote": {"cidr": INSIDE[family] + ("/32" if family == "v4" else "/128")}})
    lab.change(member, securityGroups=["in"])
    lab.change(client, securityGroups=["out"])
    assert chosen(lab, client, family, [sport]) == {sport: "one"}
    lab.dropped(client, to_vip(client, family, fresh_port(), vip=OUTSIDE), "security-group-egress")
    lab.dropped(lab["blue-a"], to_vip(lab["blue-a"], family, fresh_port()), "security-group-ingress", at="one")
    lab.change(member, securityGroups=[])
    lab.change(client, securityGroups=[])


def test_shown(lab):
    """get, trace and audit know it."""
    node = lab.nodes["a"]
    balancer(lab, "one")
    assert node.json("get", "loadbalancers", "lb")["members"] == [{"port": "one"}]
    red = lab["red-a"].address["v4"]
    text = node.ok("trace", "--port", "red-a", f"udp {red}:1 > {INSIDE['v4']}:9")
    assert "LoadBalancer lb: to member one, 10.1.0.11 port 9099" in text
    assert node.trace("red-a", f"tcp {red}:1 > {INSIDE['v4']}:99") == "drop gateway"
    node.ok("audit")


def test_members_in_the_status(lab, family):
    """Each address with its state and connections, and a line where one is missing; both families at once."""
    node, client, ports = lab.nodes["a"], lab["red-a"], [{"port": 19, "protocol": "udp"}]
    one, two, nobody = lab["one"].address[family], lab["two"].address[family], {"v4": "10.1.0.99", "v6": "fd00:1::99"}[family]

    def status():
        return node.json("get", "loadbalancer", "lb")["status"]

    def of(address):
        found, = [member for member in status()["members"] if member["address"] == address]
        return found["member"], found["state"], int(found.get("connections", 0))

    balancer(lab, "one", {"port": "two", "drain": True}, {"address": nobody}, ports=ports)
    # Each second they are counted again.
    eventually(lambda: (of(one), of(two), of(nobody)) == (("one", "up", 0), ("two", "draining", 0), (nobody, "absent", 0)))
    assert status()["reason"] == f"{nobody} is absent"
    assert set(chosen(lab, client, family, fresh(5), dport=19).values()) == {"one"}
    eventually(lambda: of(one)[2] == 5)
    balancer(lab, {"port": "one", "drain": True}, {"port": "two", "drain": True}, ports=ports)
    assert of(one) == ("one", "draining", 5)
    assert status()["reason"] == "no member takes connections"
    assert "no member takes connections" in node.ok("get", "loadbalancers")
