"""A node that is not heard: its members get nothing from the others, until it is heard again."""

import pytest

import netns
from node import eventually
from packets import UDP, fresh_port

VIP = {"v4": "10.1.0.200", "v6": "fd00:1::200"}


@pytest.fixture(scope="module")
def lab(make_lab):
    """A member on each of three nodes, and a client on the first."""
    lab = make_lab(nodes=("a", "b", "c"), underlay="v4", options=("--workers", "0,1"))
    lab.network("blue", 1)
    lab.network("red", 2)
    for name in lab.nodes:
        lab.workload(f"at-{name}", name, "blue", kernel=True, veth=True)
    lab.workload("client", "a", "red", veth=True)
    lab.objects.append({"kind": "LoadBalancer", "name": "lb", "vrf": "t1", "addresses": list(VIP.values()),
                        "ports": [{"port": 9, "protocol": "udp"}], "members": [{"port": f"at-{name}"} for name in lab.nodes],
                        "healthCheck": {"protocol": "icmp", "intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 1}})
    return lab.up()


def status(node):
    return node.json("get", "loadbalancer", "lb")["status"]


def members(node):
    """What is the matter with whom: {member: what, of each address}."""
    found = {}
    for member in status(node)["members"]:
        found.setdefault(member["member"], []).append(member.get("reason") or member["state"])
    return found


def echo(workload, answered):
    with netns.inside(workload.netns):
        for key in ("ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"):
            with open(f"/proc/sys/net/{key}", "w", encoding="utf-8") as file:
                file.write("0" if answered else "1")


UP = ["up", "up"]
DOWN = ["unhealthy", "unhealthy"]
SILENT = 2 * ["node b is not heard"]


def at(client, frame, places):
    """Is the connection there, with one packet more?"""
    client.send(frame)
    return any(client.node.flows(sourcePort=frame[UDP].sport, destinationAt=place) for place in places)


def connection(client, family, places):
    """The packet of one that a member there has got."""
    while True:
        frame = client.frame(client, UDP(sport=fresh_port(), dport=9), family, dst=VIP[family],
                             dst_mac=client.gateway_mac(family))
        client.send(frame)
        [flow] = eventually(lambda port=frame[UDP].sport: client.node.flows(sourcePort=port))
        if flow["destinationAt"] in places:
            return frame


def chosen(client, family):
    """Who gets new connections."""
    texts = [client.node.run("trace", "--port", client.name, f"udp {source(client, family)}:{port} > {to(family)}:9").stdout
             for port in range(1, 17)]
    return {name for text in texts for name in ("at-a", "at-b", "at-c") if f"to member {name}," in text}


def source(client, family):
    return client.address[family] if family == "v4" else f"[{client.address[family]}]"


def to(family):
    return VIP[family] if family == "v4" else f"[{VIP[family]}]"


def test_a_node_dies(lab):
    """Nobody sends to its members, those of a node that says all is well get their share; and all is well again."""
    client, others = lab["client"], [lab.nodes["a"], lab.nodes["c"]]
    # What b says is heard; and another process of c knows it at once, and what c has found itself.
    for answered, state in ((False, DOWN), (True, UP)):
        for name in ("at-b", "at-c"):
            echo(lab[name], answered)
        for node in lab.nodes.values():
            eventually(lambda node=node, state=state: members(node) == {"at-a": UP, "at-b": state, "at-c": state})
        if not answered:
            others[1].json("upgrade")
            assert members(others[1]) == {"at-a": UP, "at-b": DOWN, "at-c": DOWN}
    frames = {family: connection(client, family, {"uplink/b"}) for family in VIP}
    for family in VIP:
        eventually(lambda family=family: chosen(client, family) == {"at-a", "at-b", "at-c"})
    lab.nodes["b"].kill()

    def gone(node):
        for frame in frames.values():
            client.send(frame)
        return members(node) == {"at-a": UP, "at-b": SILENT, "at-c": UP}

    for node in others:
        eventually(lambda node=node: gone(node))
        eventually(lambda node=node: f"{lab['at-b'].address['v6']} is unhealthy (node b is not heard)"
                   in status(node).get("reason", ""))
        [event] = eventually(lambda node=node: node.events("node is not heard"))
        assert (event["level"], event["node"], event["members"]) == ("warning", "b", "2")
    for family in VIP:
        eventually(lambda family=family: chosen(client, family) == {"at-a", "at-c"})
        # Nobody else would end what goes to nowhere.
        eventually(lambda family=family: at(client, frames[family], {"at-a", "uplink/c"}))
    # Who goes on has not heard it either. Who has just started has heard nobody, and believes no one to be dead.
    others[1].json("upgrade")
    assert members(others[1])["at-b"] == SILENT
    others[0].kill()
    others[0].start()
    assert members(others[0])["at-b"] == UP
    lab.nodes["b"].start()
    eventually(lambda: members(others[1]) == {"at-a": UP, "at-b": UP, "at-c": UP})
    eventually(lambda: others[1].events("node is heard again", node="b", members="2"))
    for node in lab.nodes.values():
        assert not node.events("node is not heard", node="c") + node.events("node is not heard", node="a")
