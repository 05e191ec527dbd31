"""Addresses that several ports may use: the one that last said so has it, everybody is told, and nobody else may."""

import itertools

import pytest

from node import eventually
from packets import (ARP, BROADCAST, UDP, Ether, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6, Wire, fresh_port,
                     in6_getnsma, in6_getnsmac, told, who_has)

_numbers = itertools.count(100)


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def lab(make_lab, request):
    """Two ports on node a and one on b may use 80 addresses of each family; others of three networks may not."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=request.param)
    lab.network("blue", 1)
    lab.network("red", 2)
    shared = [f"10.1.0.{number}/32" for number in range(100, 180)] + [f"fd00:1::{number}/128"
                                                                      for number in range(100, 180)]
    for name, node in (("first", "a"), ("second", "a"), ("third", "b")):
        lab.workload(name, node, "blue", allowedAddresses=shared)
    lab.workload("client", "a", "blue")
    lab.workload("client-b", "b", "blue")
    lab.workload("red-a", "a", "red")
    lab.workload("red-b", "b", "red")
    return lab.up()


@pytest.fixture
def address(family):
    """One that nobody has yet: an address may move twice a second."""
    number = next(_numbers)
    return f"10.1.0.{number % 40 + 100}" if family == "v4" else f"fd00:1::{number % 40 + 100}"


def announcement(sender, address, mac=None):
    """As keepalived says it."""
    mac = mac or sender.mac
    if ":" not in address:
        return Ether(src=sender.mac, dst=BROADCAST) / ARP(op=1, hwsrc=mac, psrc=address, pdst=address,
                                                          hwdst="ff:ff:ff:ff:ff:ff")
    return (Ether(src=sender.mac, dst="33:33:00:00:00:01") / IPv6(src=address, dst="ff02::1", hlim=255)
            / ICMPv6ND_NA(tgt=address, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac))


def answer(sender, question, address):
    """To whoever asked."""
    if ":" not in address:
        return Ether(src=sender.mac, dst=question.src) / ARP(op=2, hwsrc=sender.mac, psrc=address,
                                                             hwdst=question.src, pdst=question[ARP].psrc)
    return (Ether(src=sender.mac, dst=question.src) / IPv6(src=address, dst=question[IPv6].src, hlim=255)
            / ICMPv6ND_NA(tgt=address, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=sender.mac))


def announced(frame, address):
    """The MAC address that an announcement to everybody gives."""
    if ARP in frame and frame[ARP].psrc == frame[ARP].pdst == address:
        return frame[ARP].hwsrc
    if ICMPv6ND_NA in frame and frame[ICMPv6ND_NA].tgt == address and frame[IPv6].dst == "ff02::1":
        return frame[ICMPv6NDOptDstLLAddr].lladdr
    return None


def asks(frame, address):
    return (ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == address and frame[ARP].psrc != address
            or ICMPv6ND_NS in frame and frame[ICMPv6ND_NS].tgt == address)


def owner(client, address):
    """Whom ARP or ND names to the client, if anybody."""
    family = "v6" if ":" in address else "v4"
    client.wire.drain()
    client.send(who_has(address, client.mac, client.address[family]))
    # What comes behind it shows that there is no answer.
    gateway = client.network.gateway[family]
    client.send(who_has(gateway, client.mac, client.address[family]))
    found = None

    def seen(frame):
        nonlocal found
        found = found or told(frame, address)
        return told(frame, gateway)

    client.wire.wait_for(seen)
    return found


def claim(lab, name, address):
    """The port says until it is believed that it has the address: one may move twice a second."""
    def believed():
        lab[name].send(announcement(lab[name], address))
        return all(owner(lab[client], address) == lab[name].mac for client in ("client", "client-b"))
    eventually(believed)


def is_at(lab, address, name):
    """On both nodes: ARP and ND, the way of what is routed, and trace."""
    for client in ("client", "client-b"):
        eventually(lambda: owner(lab[client], address) == lab[name].mac)
    for client in ("red-a", "red-b"):
        sent = lab[client].frame(lab[name], UDP(sport=fresh_port(), dport=53), "v6" if ":" in address else "v4",
                                 dst=address)
        lab.passes(lab[client], sent, lab[name])


def test_the_last_one_that_says_so(lab, address):
    """From port to port on one node, to the other node and back."""
    for name in ("first", "second", "third", "first"):
        claim(lab, name, address)
        is_at(lab, address, name)


def test_everybody_in_the_network_is_told(lab, address):
    for name in ("first", "third"):
        others = [lab[other] for other in ("first", "second", "third", "client", "client-b") if other != name]
        for other in others:
            other.wire.drain()
        lab[name].send(announcement(lab[name], address))
        for other in others:
            got = other.wire.wait_for(lambda frame: announced(frame, address))
            assert announced(got, address) == got.src == lab[name].mac
        assert not [frame for frame in lab[name].wire.drain() if announced(frame, address)]


def test_a_connection_follows(lab, address, family):
    """One that is routed and goes on: the next packet goes to the new owner."""
    red, port = lab["red-a"], fresh_port()
    for name in ("first", "third", "second"):
        claim(lab, name, address)
        for _ in range(3):
            sent = red.frame(lab[name], UDP(sport=port, dport=53), family, dst=address)
            lab.passes(red, sent, lab[name])


def test_a_quiet_owner_is_asked(lab, address, family):
    """Nobody has said anything (as after a restart): a question is passed to those who may have it, on both nodes."""
    client, third = lab["client"], lab["third"]
    wires = {name: Wire(lab[name].netns, "eth0") for name in ("first", "second", "third", "client-b")}
    for wire in wires.values():
        wire.questions = True
    assert owner(client, address) is None
    questions = {name: wires[name].wait_for(lambda frame: asks(frame, address))
                 for name in ("first", "second", "third")}
    assert all(question.src == client.gateway_mac(family) for question in questions.values())
    third.send(answer(third, questions["third"], address))
    is_at(lab, address, "third")
    assert not [frame for frame in wires["client-b"].drain() if asks(frame, address)]
    for wire in wires.values():
        wire.close()


def test_what_is_routed_asks_too(lab, address, family):
    red = lab["red-a"]
    lab["first"].wire.questions = True
    lab["first"].wire.drain()
    red.send(red.frame(lab["first"], UDP(sport=1, dport=2), family, dst=address))
    question = lab["first"].wire.wait_for(lambda frame: asks(frame, address))
    lab["first"].wire.questions = False
    lab["first"].send(answer(lab["first"], question, address))
    is_at(lab, address, "first")


def test_who_wants_it_asks_the_owner(lab, address, family):
    """A probe is not answered by Sluice: the owner may be gone, and is heard if it is not."""
    first, second = lab["first"], lab["second"]
    second.wire.drain()
    first.send(announcement(first, address))
    eventually(lambda: owner(lab["client"], address) == first.mac)
    second.wire.wait_for(lambda frame: announced(frame, address))
    first.wire.questions = True
    first.wire.drain()
    second.wire.drain()

    # Once a second, whoever wants to know.
    def asked():
        second.send(who_has(address, second.mac, "0.0.0.0" if family == "v4" else "::"))
        return next((frame for frame in first.wire.drain() if asks(frame, address)), None)

    question = eventually(asked)
    first.wire.questions = False
    assert not [frame for frame in second.wire.drain() if told(frame, address)]
    first.send(answer(first, question, address))
    assert announced(second.wire.wait_for(lambda frame: announced(frame, address)), address) == first.mac


def test_who_may_not(lab, address, family):
    """Announcements of others are spoofed; those from a node must be of its own ports."""
    reason = "arp-spoofed" if family == "v4" else "nd-spoofed"
    first, client = lab["first"], lab["client"]
    first.send(announcement(first, address))
    for name in ("second", "third", "client", "client-b"):
        lab[name].wire.wait_for(lambda frame: announced(frame, address))
    lab.dropped(client, announcement(client, address), reason)
    spoofed = announcement(client, address, first.mac)
    lab.dropped(client, spoofed, reason)
    lab.dropped(client, announcement(lab["second"], address), "source-mac")
    assert owner(client, address) == first.mac


def test_too_often(lab, address):
    """Who fights over an address wins twice a second."""
    first, second = lab["first"], lab["second"]
    def refused():
        return sum(count for (_, reason), count in lab.drops().items() if reason == "address-moves")

    before = refused()

    # Two workers may take what each has sent in one piece.
    def fought():
        for sender in (first, second):
            sender.send(announcement(sender, address))
        return refused() > before

    eventually(fought)
    # It ends with the one that goes on.
    claim(lab, "first", address)


def test_many_at_once(lab):
    """Who moves many takes nobody's turn; and all connections follow."""
    client, red, first, second = lab["client"], lab["red-a"], lab["first"], lab["second"]
    addresses = [address for number in range(140, 180) for address in (f"10.1.0.{number}", f"fd00:1::{number}")]
    frames = [red.frame(first, UDP(sport=fresh_port(), dport=53), "v6" if ":" in address else "v4", dst=address)
              for address in addresses]
    before = lab.drops()

    def move(sender):
        for message in [announcement(sender, address) for address in addresses]:
            sender.send(message)
        for address in addresses:
            eventually(lambda: owner(client, address) == sender.mac)

    move(first)
    for frame in frames:
        lab.passes(red, frame, first)
    move(second)
    for frame in frames:
        def follows():
            red.send(frame)
            return any(bytes(frame)[-14:] in bytes(got) for got in second.wire.drain())
        eventually(follows)
    assert not [key for key, count in lab.drops().items() if key[1] == "address-moves" and count != before.get(key)]


def test_trace(lab, address, family):
    lab["second"].send(announcement(lab["second"], address))
    eventually(lambda: owner(lab["client"], address) == lab["second"].mac)
    red = lab["red-a"].address[family]
    ends = f"{red}:1 > {address}:2" if family == "v4" else f"[{red}]:1 > [{address}]:2"
    answer = lab.nodes["a"].json("trace", "--port", "red-a", f"udp {ends}")
    assert [output["port"] for output in answer["outputs"]] == ["second"]
    # It changes nothing.
    frame = bytes(announcement(lab["first"], address)).hex()
    text = lab.nodes["a"].ok("trace", "--port", "first", "--frame", frame)
    assert "moves to first" in text
    assert owner(lab["client"], address) == lab["second"].mac


def test_a_port_that_goes(one_lab, family):
    """Its address is nobody's then, and those that are left are asked."""
    lab = one_lab()
    lab.network("blue", 1)
    shared = ["10.1.0.100/32", "fd00:1::100/128"]
    for name in ("first", "second", "third"):
        lab.workload(name, "a", "blue", allowedAddresses=shared)
    client = lab.workload("client", "a", "blue")
    lab.up()
    address = shared[family == "v6"].partition("/")[0]
    lab["first"].send(announcement(lab["first"], address))
    eventually(lambda: owner(client, address) == lab["first"].mac)
    # It stays through a change that has nothing to do with it.
    lab.network("later", 9)
    lab.apply(*lab.objects)
    assert owner(client, address) == lab["first"].mac
    lab.change(lab["first"], allowedAddresses=[])
    lab["second"].wire.questions = True
    assert owner(client, address) is None
    question = lab["second"].wire.wait_for(lambda frame: asks(frame, address))
    lab["second"].send(answer(lab["second"], question, address))
    eventually(lambda: owner(client, address) == lab["second"].mac)
    # With one port alone it is that port's, and nobody has to say so.
    lab.change(lab["second"], allowedAddresses=[])
    assert owner(client, address) == lab["third"].mac


def test_all_that_may_have_it_are_asked(one_lab, family):
    """In each of their networks, on each node; and nothing is lost of a question that nobody is there to hear."""
    lab = one_lab(("a", "b"), underlay="v4")
    lab.network("blue", 1)
    lab.network("red", 2)
    address = {"v4": "10.9.0.1", "v6": "fd00:9::1"}[family]
    prefix = f"{address}/{32 if family == 'v4' else 128}"
    for name, network in (("blue-b", "blue"), ("red-b", "red")):
        lab.workload(name, "b", network, allowedAddresses=[prefix])
    client = lab.workload("client", "a", "blue")
    lab.objects.append({"kind": "Port", "name": "off", "node": "a", "network": "blue", "mac": "52:54:00:00:77:77",
                        "allowedAddresses": [prefix],
                        "device": {"vhostUser": {"path": str(lab.directory / "off.sock"), "mode": "server"}}})
    lab.up()
    for name in ("blue-b", "red-b"):
        lab[name].wire.questions = True
    client.send(client.frame(lab["red-b"], UDP(sport=fresh_port(), dport=53), family, dst=address))
    for name in ("blue-b", "red-b"):
        lab[name].wire.wait_for(lambda frame: asks(frame, address))
    assert not [at for at, reason in lab.drops() if at == "off"]
