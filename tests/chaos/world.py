"""The lab of a chaos run: two nodes with two cables each, workloads on both, and what is outside."""

import ipaddress

import netns
import outside
from lab import UNDERLAYS, Lab
from node import NO_HUGE_PAGES, eventually
from uplinks import cable, states

DEVICES = ("up0", "up1")
FAMILIES = ("v4", "v6")
BALANCED = {"v4": "10.2.0.200", "v6": "fd00:2::200"}
POOL = {"a": {"v4": outside.at("v4", 64), "v6": outside.at("v6", 64)},
        "b": {"v4": outside.at("v4", 65), "v6": outside.at("v6", 65)}}
# What servers listen to: connections, datagrams, and what is allowed only at times. A member is asked by BALANCED_PORT.
TCP, UDP, AT_TIMES, BALANCED_PORT = 7000, 7001, 7002, 80
STABLE = ("member1", "member2")  # those of the LoadBalancer that never go
MEMBERS = (*STABLE, "member3")
# Who has what a friend may reach; strangers are of no group that a rule names.
SERVERS = ("near", "routed", "far", "caller")
STRANGERS = ("stranger", "alien")


def rule(protocol, ports, **more):
    return {"direction": "ingress", "protocol": protocol, "ports": str(ports), **more}


FRIENDS = {"remote": {"group": "friends"}}
EGRESS = {"direction": "egress"}
PINGS = {"direction": "ingress", "protocol": "icmp"}
ALWAYS = [rule("tcp", TCP, **FRIENDS), rule("udp", UDP, **FRIENDS), PINGS, EGRESS]
SOMETIMES = rule("udp", AT_TIMES, **FRIENDS)


class World(Lab):
    def __init__(self, underlay, options):
        # How many there are at the moment is others' business, and what a process has would depend on it.
        super().__init__(("a", "b"), underlay, options, prefix=NO_HUGE_PAGES)
        self.outside = outside.Router(self)
        self.network("blue", 1)
        self.network("red", 2)
        self.group("friends", EGRESS)
        self.group("servers", *ALWAYS)
        self.group("members", rule("tcp", TCP, **FRIENDS), EGRESS)
        self.group("strangers", EGRESS)
        served = {"kernel": True, "securityGroups": ["friends", "servers"]}
        self.workload("near", "a", "blue", veth=True, **served)
        self.workload("routed", "a", "red", **served)
        self.workload("far", "b", "blue", **served)
        self.workload("caller", "b", "red", veth=True, **served)
        for name, node in zip(MEMBERS, "abb"):
            self.workload(name, node, "blue", kernel=True, securityGroups=["members"])
        for name, node in zip(STRANGERS, "ab"):
            self.workload(name, node, "blue", kernel=True, securityGroups=["strangers"])
        self.group("pinged", PINGS)
        self.workload("visitor", "b", "blue", kernel=True, securityGroups=["friends", "pinged"])
        for node in "ab":
            self.workload(f"raw-{node}", node, "blue")
        self.objects += [outside.network("ab"), outside.route(), self.nat(), self.balancer()]
        self.up()
        self.guests()
        for node in self.nodes:
            eventually(lambda node=node: states(self, node) == {"up0": "carries", "up1": "standby"})

    def _bridge(self, nodes, underlay):
        self.switch = self._namespace("wire", silent=True)
        netns.ip(self.switch, "link add br0 type bridge mcast_snooping 0", "link set br0 up")
        prefix = ipaddress.ip_network(UNDERLAYS[underlay])
        for number, name in enumerate(nodes, 1):
            for device in DEVICES:
                cable(self, device, name)
            self.add_node(name, f"{prefix[number]}/{prefix.prefixlen}",
                          uplink={"devices": [{"netdev": device} for device in DEVICES]})

    def guests(self):
        """Ports for one on each node, which makes the socket itself."""
        for node in self.nodes:
            name = f"guest-{node}"
            self.workload(name, node, "blue", device={"vhostUser": {
                "path": str(self.directory / f"{name}.sock"), "mode": "client"}})
            self.apply(self[name].object)

    def hasten(self):
        """Connections end soon after their last packet."""
        states = ("unreplied", "replied", "icmp", "synSent", "synReceived", "established", "closing", "timeWait", "closed")
        self.apply(*[{**self.networks[name].object, "connectionTracking": {"idleTimes": dict.fromkeys(states, 1)}}
                     for name in ("blue", "red")],
                   {**outside.network("ab"), "connectionTracking": {"idleTimes": dict.fromkeys(states, 1)}})

    @staticmethod
    def nat():
        return {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet",
                "pools": [{"node": node, "addresses": list(pool.values())} for node, pool in POOL.items()]}

    @staticmethod
    def balancer(**third):
        """`third` are fields of the member that may go, as `drain`; with `gone` it has."""
        members = [{"port": name} for name in STABLE]
        if not third.get("gone"):
            members.append({"port": MEMBERS[2], **third})
        return {"kind": "LoadBalancer", "name": "balancer", "vrf": "t1", "addresses": list(BALANCED.values()),
                "ports": [{"port": BALANCED_PORT, "memberPort": TCP}], "members": members}
