"""Virtual addresses on external networks when the node that answers for them dies: the next one does, and connections go on."""

import pytest

import netns
from node import eventually
from outside import Router, at, network, own, route

VIP = {"v4": at("v4", 5), "v6": at("v6", 5)}
CONFLICT = "somebody else has an address of this node"
SILENT = "another node on an external network does not answer"
BACK = "another node on an external network answers again"


@pytest.fixture(scope="module")
def lab(make_lab):
    """All nodes are in the external network, in the order of their names; the member is on the last one."""
    lab = make_lab(nodes=("a", "b", "c"), underlay="v4")
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.workload("member", "c", "blue", kernel=True, veth=True)
    lab.objects += [
        network("abc", connectionTracking={"midStreamPickup": True}), route(),
        {"kind": "LoadBalancer", "name": "lb", "vrf": "t1", "network": "internet", "addresses": list(VIP.values()),
         "ports": [{"port": 80}], "members": [{"port": "member"}]}]
    return lab.up()


def mac(lab, node):
    line = netns.run("ip", "-n", lab.nodes[node].netns, "-o", "link", "show", "up0")
    return line.split("link/ether ")[1].split()[0]


def holder(lab, family):
    """The node to which the router sends for the virtual address."""
    shown = netns.run("ip", "-n", lab.outside.netns, "neigh", "show", "to", VIP[family])
    return next((node for node in lab.nodes if mac(lab, node) in shown), None)


def connect(lab, family):
    return lab.outside.connection(lab["member"], VIP[family], family)


def talk(client, accepted):
    """Both ways; segments may have to be sent again."""
    for sender, receiver in ((client, accepted), (accepted, client)):
        sender.sendall(b"something")
        assert receiver.recv(100) == b"something"


def conflicts(lab, nodes):
    return [event for node in nodes for event in lab.nodes[node].events(CONFLICT)]


def silences(lab, node, message):
    """Which nodes' addresses, and who answers instead."""
    return {(event["node"], event["address"]): event.get("sharedAddresses") for event in lab.nodes[node].events(message)}


def test_the_next_node_takes_over(lab):
    families = list(VIP)
    for family in families:
        assert lab.outside.ping(VIP[family])
        eventually(lambda family=family: holder(lab, family) == "a")
    pairs = [connect(lab, family) for family in families]
    assert conflicts(lab, "abc") == []
    lab.nodes["a"].kill()
    for family in families:
        eventually(lambda family=family: holder(lab, family) == "b")
    for pair in pairs:
        talk(*pair)
    for family in families:
        for end in connect(lab, family):
            end.close()
    for node, who in (("b", "answered here"), ("c", "answered by another node")):
        eventually(lambda node=node: len(silences(lab, node, SILENT)) == 2)
        assert silences(lab, node, SILENT) == {("a", own("a")[family]): who for family in families}
        reason = lab.nodes[node].json("get", "network", "internet")["status"]["reason"]
        assert all(f"{own('a')[family]} does not answer" in reason for family in families)

    # Another process on the node that has taken over goes on.
    lab.nodes["b"].json("upgrade")
    for family in families:
        netns.run("ip", "-n", lab.outside.netns, "neigh", "flush", "to", VIP[family])
        assert lab.outside.ping(VIP[family]) and holder(lab, family) == "b"

    # The first one has them back when it is back.
    lab.nodes["a"].start()
    for family in families:
        eventually(lambda family=family: holder(lab, family) == "a")
    for node in "bc":
        eventually(lambda node=node: len(silences(lab, node, BACK)) == 2)
        assert not lab.nodes[node].json("get", "network", "internet")["status"].get("reason")
    for family, pair in zip(families, pairs):
        talk(*pair)
        netns.run("ip", "-n", lab.outside.netns, "neigh", "flush", "to", VIP[family])
        assert lab.outside.ping(VIP[family]) and holder(lab, family) == "a"
        for end in pair:
            end.close()
    # Who is back may still hear one that is late to know it.
    assert conflicts(lab, "bc") == []
