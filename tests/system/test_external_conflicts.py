"""Somebody else on an external network has an address that is a node's: noticed, told, and defended."""

import pytest

from node import eventually
from outside import Router, at, network, own, route
from packets import ARP, Ether, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6, Wire
from web import ADDRESS, ask

STRANGER = "52:54:00:00:99:99"


@pytest.fixture(scope="module", params=[0, 100], ids=["untagged", "tagged"])
def lab(make_lab, request):
    """Beside the router there is a host, number 50, that nobody told the node of."""
    lab = make_lab(nodes=("a",), underlay="v4", options=["--metrics", ADDRESS])
    lab.outside = Router(lab, 1, vlan=request.param)
    lab.host = Router(lab, 50, vlan=request.param)
    lab.heard = Wire(lab.outside.netns, lab.outside.interface)
    lab.network("blue", 1)
    lab.objects += [network("a", request.param), route()]
    lab.workload("one", "a", "blue")
    lab.up()
    yield lab
    lab.heard.close()


def claim(address):
    """By a stranger, to everybody."""
    if ":" in address:
        return Ether(src=STRANGER, dst="33:33:00:00:00:01") / IPv6(src=address, dst="ff02::1", hlim=255) / \
            ICMPv6ND_NA(tgt=address, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=STRANGER)
    return Ether(src=STRANGER, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=STRANGER, psrc=address, pdst=address)


def is_announcement(frame, address):
    if frame.src == STRANGER:
        return False
    return ARP in frame and frame[ARP].psrc == frame[ARP].pdst == address or \
        ICMPv6ND_NA in frame and frame[ICMPv6ND_NA].tgt == address and frame[IPv6].dst == "ff02::1"


def reason(lab):
    return lab.nodes["a"].json("get", "network", "internet")["status"].get("reason", "")


def warnings(lab, address):
    return lab.nodes["a"].events("somebody else has an address of this node", address=address)


def count(lab):
    _, body = ask(lab.nodes["a"], "/metrics")
    return int(body.decode().split("\nsluice_address_conflicts_total ")[1].split()[0])


def test_a_stranger_comes(lab, family):
    """Who answers for the node's own address is told of once, whatever else he says; the node says whose it is."""
    address = own("a")[family]
    before = count(lab)
    lab.heard.drain()
    for _ in range(3):
        lab.heard.send(claim(address))
    eventually(lambda: f"{STRANGER} has {address}, too" in reason(lab))
    eventually(lambda: count(lab) == before + 3)
    assert len(warnings(lab, address)) == 1
    if family == "v4":
        # Both families together at most each ten seconds.
        assert lab.heard.wait_for(lambda frame: is_announcement(frame, address))


def test_a_host_was_there_before(lab, family):
    """An address that comes to the node is asked for; the host that has it already answers."""
    address = at(family, 50)
    lab.heard.drain()
    lab.apply({"kind": "FloatingIp", "name": f"late-{family}", "network": "internet", "address": address, "port": "one"})
    assert lab.heard.wait_for(lambda frame: ARP in frame and frame[ARP].psrc == "0.0.0.0" and frame[ARP].pdst == address
                              or ICMPv6ND_NS in frame and frame[IPv6].src == "::" and frame[ICMPv6ND_NS].tgt == address)
    eventually(lambda: f"{lab.host.mac()} has {address}, too" in reason(lab))
    assert len(warnings(lab, address)) == 1


def test_nobody_else(lab):
    """The router, which asks and answers all the time, is no conflict."""
    for family in ("v4", "v6"):
        assert lab.outside.ping(own("a")[family])
        assert at(family, 1) not in reason(lab).replace(at(family, 11), "")
