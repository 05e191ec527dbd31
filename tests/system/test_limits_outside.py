"""A flood from another node, or from outside to a floating address: it fills its own share, and keeps no workload from opening connections."""

import pytest

import netns
from conversation import Conversation
from node import eventually
from outside import FAR, Router, at, network, route
from packets import TCP, Ether, Wire, ip_header

TABLE = 64


@pytest.fixture(scope="module")
def lab(make_lab):
    """`web` has a FloatingIp; all have security groups that let everything in."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=["--connections", str(TABLE)])
    lab.outside = Router(lab, 1)
    lab.network("blue", 1)
    lab.group("open", {"direction": "ingress"}, {"direction": "egress"})
    lab.objects += [network("a"), route(),
                    *[{"kind": "FloatingIp", "name": f"web-{family}", "network": "internet", "address": at(family, 50),
                       "port": "web"} for family in ("v4", "v6")]]
    for name, node in (("web", "a"), ("left", "a"), ("right", "a"), ("far", "b")):
        lab.workload(name, node, "blue", securityGroups=["open"])
    lab.wire = Wire(lab.outside.netns, lab.outside.interface)
    lab.up()
    yield lab
    lab.wire.close()


def uplink(lab):
    """How many connections those behind a's uplink have, and how many of theirs were refused."""
    node = lab.nodes["a"]
    return int(node.stats()["ports"]["uplink"]["connections"]), node.drops().get(("uplink", "half-open-limit"), 0)


def others_open_theirs(lab, family):
    for _ in range(3):
        assert Conversation(lab, family).handshake() == "established"


def test_another_node(lab, family):
    """Its node has held it to a share of its own table, and this one to a share of this one's."""
    far, web = lab["far"], lab["web"]
    before = lab.nodes["b"].drops().get(("far", "half-open-limit"), 0)
    for port in range(2000, 2000 + 2 * TABLE):
        far.send(far.frame(web, TCP(sport=port, dport=80, flags="S"), family))
    eventually(lambda: lab.nodes["b"].drops().get(("far", "half-open-limit"), 0) > before + TABLE)
    assert eventually(lambda: uplink(lab)[0]) < TABLE // 2
    others_open_theirs(lab, family)


def test_outside(lab, family):
    """Strangers share what is the uplink's."""
    mac = netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link", "show", "up0").split("link/ether ")[1].split()[0]
    router, before = lab.outside.mac(), uplink(lab)[1]
    for port in range(4000, 4000 + 2 * TABLE):
        lab.wire.send(Ether(src=router, dst=mac) / ip_header(FAR[family], at(family, 50)) /
                      TCP(sport=port, dport=80, flags="S"))
    eventually(lambda: uplink(lab)[1] > before + TABLE)
    assert 0 < uplink(lab)[0] < TABLE // 2 + TABLE // 4
    others_open_theirs(lab, family)
