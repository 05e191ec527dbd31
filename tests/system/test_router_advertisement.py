"""Router advertisements: workloads learn prefixes, routes and name servers, and form only addresses that are theirs."""

import ipaddress
import json

import pytest
from scapy.layers.inet6 import (ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS, ICMPv6NDOptDNSSL, ICMPv6NDOptMTU,
                                ICMPv6NDOptPrefixInfo, ICMPv6NDOptRDNSS, ICMPv6NDOptRouteInfo, ICMPv6NDOptSrcLLAddr,
                                IPv6, IPv6ExtHdrFragment)

from client import addresses, has, reset, routes, set_ipv6
from node import eventually
from packets import Ether, Raw, echo_request, who_has, told

ALL_NODES = "33:33:00:00:00:01"
ALL_ROUTERS = "33:33:00:00:00:02"


def formed(workload, prefix="fd00:1::"):
    """The address that follows from the MAC address."""
    mac = bytes.fromhex(workload.mac.replace(":", ""))
    return str(ipaddress.ip_address(int(ipaddress.ip_address(prefix)) | int.from_bytes(
        bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:], "big")))


def link_local(workload):
    return formed(workload, "fe80::")


def own_addresses(workload, *addresses):
    """Instead of those that the workload was given."""
    workload.object["addresses"] = list(addresses)


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    blue = lab.network("blue", 1, mtu=1400, dhcp={"domain": "example.org"})
    blue.object["subnets"][1].update(dns=["fd00:1::53", "fd00:1::54"], routes=[{"cidr": "fd00:77::/48"}])
    lab.network("lone", 2, gateway=False)
    lab.network("old", 3).object["subnets"].pop(1)
    for name, number, mode in (("slaac", 4, "slaac"), ("stateless", 5, "dhcpv6-stateless"),
                               ("stateful", 6, "dhcpv6-stateful")):
        lab.network(name, number).object["subnets"][1]["addressMode"] = mode
        lab.workload(f"in-{name}", "a", name)
    lab.network("off", 7, dhcp={"disabled": True})
    lab.workload("one", "a", "blue")
    lab.workload("two", "a", "blue")
    own = lab.workload("formed", "a", "blue")
    own_addresses(own, own.address["v4"], formed(own))
    both = lab.workload("both", "a", "blue")
    own_addresses(both, formed(both), both.address["v6"])
    lab.workload("alone", "a", "lone")
    v4 = lab.workload("v4", "a", "old")
    own_addresses(v4, v4.address["v4"])
    lab.workload("off-one", "a", "off")
    return lab.up()


def solicit(workload, source=None, option=True, **fields):
    frame = Ether(src=workload.mac, dst=ALL_ROUTERS) / IPv6(
        src=source or link_local(workload), dst="ff02::2", hlim=255) / ICMPv6ND_RS(**fields)
    return frame / ICMPv6NDOptSrcLLAddr(lladdr=workload.mac) if option else frame


def ask(workload):
    workload.wire.drain()
    workload.send(solicit(workload))
    return workload.wire.wait_for(lambda frame: ICMPv6ND_RA in frame and frame.dst == workload.mac)


def flags(frame):
    """Managed, other, and whether addresses are to be formed in the first prefix."""
    advertisement = frame[ICMPv6ND_RA]
    return advertisement.M, advertisement.O, frame[ICMPv6NDOptPrefixInfo].A


def test_answer(lab):
    one = lab["one"]
    frame = ask(one)
    advertisement = frame[ICMPv6ND_RA]
    assert (frame[IPv6].src, frame[IPv6].dst, frame[IPv6].hlim) == ("fe80::53:4cff:fe00:1389", link_local(one), 255)
    assert (advertisement.routerlifetime, advertisement.chlim, advertisement.prf) == (1800, 64, 0)
    assert frame[ICMPv6NDOptSrcLLAddr].lladdr == frame.src == one.gateway_mac("v6")
    assert frame[ICMPv6NDOptMTU].mtu == 1400
    prefix = frame[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.validlifetime) == ("fd00:1::", 64, 1, 86400)
    assert frame[ICMPv6NDOptRDNSS].dns == ["fd00:1::53", "fd00:1::54"]
    assert frame[ICMPv6NDOptDNSSL].searchlist == ["example.org."]
    route = frame[ICMPv6NDOptRouteInfo]
    assert (route.prefix, route.plen) == ("fd00:77::", 48)
    again = Ether(bytes(frame))
    del again[ICMPv6ND_RA].cksum
    assert Ether(bytes(again))[ICMPv6ND_RA].cksum == advertisement.cksum


@pytest.mark.parametrize("name,expected", [
    ("one", (1, 1, 0)), ("formed", (0, 1, 1)), ("both", (1, 1, 0)), ("in-slaac", (0, 0, 1)),
    ("in-stateless", (0, 1, 1)), ("in-stateful", (1, 1, 0)), ("off-one", (0, 0, 0))])
def test_how_addresses_are_had(lab, name, expected):
    """Formed only where that gives the Port's only address, or as the subnet says."""
    assert flags(ask(lab[name])) == expected


def test_without_gateway(lab):
    frame = ask(lab["alone"])
    assert frame[ICMPv6ND_RA].routerlifetime == 0 and frame[ICMPv6NDOptPrefixInfo].prefix == "fd00:2::"


def test_a_network_without_ipv6_says_nothing(lab):
    lab.dropped(lab["v4"], solicit(lab["v4"]), "multicast")


def test_who_has_no_address_is_answered_with_all(lab):
    """At most once in three seconds; what came too early is answered then."""
    two = lab["two"]
    two.wire.advertisements = True
    two.wire.drain()
    before = lab.drops()
    for _ in range(5):
        two.send(solicit(two, source="::", option=False))
    first = two.wire.wait_for(lambda frame: ICMPv6ND_RA in frame)
    assert (first.dst, first[IPv6].dst) == (ALL_NODES, "ff02::1")
    second = two.wire.wait_for(lambda frame: ICMPv6ND_RA in frame, 60)
    assert second.time - first.time > 1.5
    two.wire.advertisements = False
    assert lab.drops() == before


BAD = {
    "another's link-layer address": ("nd-spoofed", lambda w: _with_option(w, lladdr="52:54:00:00:99:99")),
    "another's address": ("nd-spoofed", lambda w: solicit(w, source="fd00:1::99")),
    "hop limit": ("nd-malformed", lambda w: _patched(w, hlim=64)),
    "code": ("nd-malformed", lambda w: solicit(w, code=1)),
    "checksum": ("nd-malformed", lambda w: solicit(w, cksum=1)),
    "no address and an option": ("nd-malformed", lambda w: solicit(w, source="::")),
    "option without length": ("nd-malformed", lambda w: _with_option(w, len=0)),
    "option over the end": ("nd-malformed", lambda w: _with_option(w, len=3)),
}


def _with_option(workload, **fields):
    return solicit(workload, option=False) / ICMPv6NDOptSrcLLAddr(**{"lladdr": workload.mac, **fields})


def _patched(workload, **fields):
    frame = solicit(workload)
    for key, value in fields.items():
        setattr(frame[IPv6], key, value)
    return frame


@pytest.mark.parametrize("name", BAD)
def test_wrong_solicitations(lab, name):
    reason, make = BAD[name]
    lab.dropped(lab["one"], make(lab["one"]), reason)


@pytest.mark.parametrize("to", ["all", "one"])
def test_workloads_are_no_routers(lab, to):
    """To all nodes, and to one alone."""
    one, two = lab["one"], lab["two"]
    mac, address = (ALL_NODES, "ff02::1") if to == "all" else (two.mac, two.address["v6"])
    for source in (link_local(one), one.address["v6"], "fe80::53:4cff:fe00:1389"):
        header = Ether(src=one.mac, dst=mac) / IPv6(src=source, dst=address, hlim=255)
        lab.dropped(one, header / ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=one.mac), "ra-spoofed")
        lab.dropped(one, header / ICMPv6ND_Redirect(tgt=one.address["v6"], dst="fd00:2::1"), "ra-spoofed")


def test_advertisements_in_fragments(lab):
    """Nobody may hide one there (RFC 6980)."""
    one = lab["one"]
    frame = Ether(src=one.mac, dst=ALL_NODES) / IPv6(src=link_local(one), dst="ff02::1", hlim=255)
    data = bytes(ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=one.mac))
    lab.dropped(one, frame / IPv6ExtHdrFragment(nh=58, id=7, m=1) / Raw(data[:16]), "nd-malformed")
    lab.dropped(one, frame / IPv6ExtHdrFragment(nh=58, id=7, offset=2) / Raw(data[16:]), "nd-malformed")


def test_gateway_answers_at_its_link_local_address(lab):
    one = lab["one"]
    gateway = "fe80::53:4cff:fe00:1389"
    one.send(who_has(gateway, one.mac, link_local(one)))
    mac = told(one.wire.wait_for(lambda frame: told(frame, gateway)), gateway)
    for source in (link_local(one), one.address["v6"]):
        one.send(Ether(src=one.mac, dst=mac) / IPv6(src=source, dst=gateway) / echo_request(source, id=5))
        assert one.wire.wait_for(lambda frame: IPv6 in frame and frame[IPv6].src == gateway)[IPv6].dst == source
    # Another network's is none here.
    frame = Ether(src=one.mac, dst=mac) / IPv6(src=link_local(one), dst="fe80::53:4cff:fe00:138a") / echo_request(gateway)
    one.wire.drain()
    one.send(frame)
    assert not [got for got in one.wire.drain() if IPv6 in got and got[IPv6].src == "fe80::53:4cff:fe00:138a"]


def test_trace(lab):
    result = lab.nodes["a"].ok("trace", "--port", "one", "--frame", bytes(solicit(lab["one"])).hex())
    assert "router solicitation: answered" in result


# The kernel as a host.

@pytest.fixture(scope="module")
def host(make_lab):
    lab = make_lab()
    network = lab.network("blue", 1)
    network.object["subnets"][1]["dns"] = ["fd00:1::53"]
    own = lab.workload("own", "a", "blue", automatic=True)
    own_addresses(own, own.address["v4"], formed(own))
    other = lab.workload("other", "a", "blue", automatic=True)
    own_addresses(other, other.address["v4"], other.address["v6"])
    lab.workload("listener", "a", "blue")
    lab.up()
    for workload in (own, other):
        set_ipv6(workload, accept_ra=2, router_solicitations=-1)
        reset(workload)
    # The first comes unasked.
    lab["listener"].wire.advertisements = True
    lab["listener"].wire.wait_for(lambda frame: ICMPv6ND_RA in frame, 60)
    return lab


def default_route(workload):
    return routes(workload, "v6").get("default")


def test_kernel_forms_its_only_address(host):
    own = host["own"]
    has(own, f"{formed(own)}/64", family="v6")
    assert default_route(own) == "fe80::53:4cff:fe00:1389"
    assert own.ping("fd00:1::1") and own.ping("fe80::53:4cff:fe00:1389%eth0")


def test_kernel_forms_no_other(host):
    other = host["other"]
    eventually(lambda: default_route(other) == "fe80::53:4cff:fe00:1389")
    assert "fd00:1::/64" in routes(other, "v6")
    has(other, family="v6")


def test_changed_objects_are_announced(host):
    """New information comes soon, and takes the place of the old."""
    listener, own = host["listener"], host["own"]
    has(own, f"{formed(own)}/64", family="v6")
    network = json.loads(json.dumps(listener.network.object))
    network["subnets"][1].update(cidr="fd00:9::/64", gateway="fd00:9::1", dns=["fd00:9::53"])
    moved = json.loads(json.dumps([host[name].object for name in ("own", "other", "listener")]))
    for port in moved:
        port["addresses"] = [a.replace("fd00:1::", "fd00:9::") for a in port["addresses"]]
    listener.wire.drain()
    host.apply(network, *moved)
    frame = listener.wire.wait_for(lambda got: ICMPv6ND_RA in got and got.dst == ALL_NODES
                                   and got[ICMPv6NDOptPrefixInfo].prefix == "fd00:9::", 20)
    told_of = {}
    option = frame[ICMPv6NDOptPrefixInfo]
    while isinstance(option, ICMPv6NDOptPrefixInfo):
        told_of[option.prefix] = (option.validlifetime, option.preferredlifetime)
        option = option.payload.getlayer(ICMPv6NDOptPrefixInfo)
    assert told_of == {"fd00:9::": (86400, 14400), "fd00:1::": (0, 0)}
    servers = []
    option = frame.getlayer(ICMPv6NDOptRDNSS)
    while option is not None:
        servers.append((option.dns, option.lifetime))
        option = option.payload.getlayer(ICMPv6NDOptRDNSS)
    assert servers == [(["fd00:9::53"], 1800), (["fd00:1::53"], 0)]
    eventually(lambda: f"{formed(own, 'fd00:9::')}/64" in addresses(own, "v6"), 20)
    # And without any IPv6: nobody is a router any more.
    network["subnets"].pop(1)
    for port in moved:
        port["addresses"] = [a for a in port["addresses"] if ":" not in a]
    listener.wire.drain()
    host.apply(network, *moved)
    frame = listener.wire.wait_for(lambda got: ICMPv6ND_RA in got and got[ICMPv6ND_RA].routerlifetime == 0, 60)
    option = frame[ICMPv6NDOptPrefixInfo]
    assert (option.prefix, option.validlifetime, option.preferredlifetime) == ("fd00:9::", 0, 0)
    eventually(lambda: default_route(own) is None, 20)
