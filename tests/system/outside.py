"""What is outside: routers on the link of the nodes' uplinks, with or without a VLAN, and hosts behind them.

In the external network `internet` (203.0.113.0/24, 2001:db8:f::/64) routers are at 1, 2 …, a node's own addresses at 11, 12 …
"""

import ipaddress
import socket

import netns
import vlan as vlans
from node import DEADLINE

PREFIX = {"v4": "203.0.113.0/24", "v6": "2001:db8:f::/64"}
# A host behind every router.
FAR = {"v4": "198.51.100.9", "v6": "2001:db8:9::9"}
ANY = ["0.0.0.0/0", "::/0"]
FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}


def at(family, number):
    return str(ipaddress.ip_network(PREFIX[family])[number])


def own(node):
    """Of a node, by its name: a letter."""
    return {family: at(family, 11 + "abc".index(node)) for family in PREFIX}


def network(nodes, vlan=0, name="internet", gateway=True, **fields):
    """The external Network in which these nodes have an address."""
    external = {"addresses": [{"node": n, "address": own(n)[f]} for n in nodes for f in PREFIX]}
    if vlan:
        external["vlan"] = vlan
    subnets = [{"cidr": PREFIX[f], **({"gateway": at(f, 1)} if gateway else {})} for f in PREFIX]
    return {"kind": "Network", "name": name, "external": external, "subnets": subnets, **fields}


def route(*routers, name="out", vrf="t1", destinations=None):
    """A default Route by the network's gateways, or by routers of which the numbers are given, of both families."""
    hops = [{"external": {"network": "internet"}}]
    if routers:
        hops = [{"external": {"network": "internet", "address": router}} for router in routers]
    return {"kind": "Route", "name": name, "vrf": vrf, "destinations": destinations or ANY, "nextHops": hops}


class Router:
    """A kernel on the link, with the far host's address; it forwards nothing. Tell it by `routes` how subnets inside are reached."""

    def __init__(self, lab, number=1, vlan=0):
        self.lab = lab
        self.address = {family: at(family, number) for family in PREFIX}
        self.netns = lab._namespace(f"outside{number}")
        self.interface = "eth0"
        self.object = None
        switch = lab.switch
        if "br0" not in netns.run("ip", "-n", switch, "-o", "link"):
            netns.ip(switch, "link add br0 type bridge mcast_snooping 0", "link set br0 up",
                     *[f"link set to-{node} master br0" for node in lab.nodes])
        netns.ip(switch, f"link add to-out{number} type veth peer name eth0 netns {self.netns}",
                 f"link set to-out{number} up master br0")
        netns.ip(self.netns, "link set lo up", "link set eth0 up")
        if vlan:
            self.interface = "tagged"
            vlans.make(self.netns, "eth0", vlan, self.netns, self.interface, f"52:54:00:00:fe:{number:02x}", 1500)
        netns.ip(self.netns, *[f"addr add {self.address[f]}/{PREFIX[f].split('/')[1]} dev {self.interface}"
                               + (" nodad" if f == "v6" else "") for f in PREFIX],
                 f"addr add {FAR['v4']}/32 dev lo", f"addr add {FAR['v6']}/128 dev lo nodad")

    def routes(self, prefix, node):
        """The prefix, of either family, is reached by the node's own address."""
        family = "v6" if ":" in prefix else "v4"
        netns.ip(self.netns, f"route replace {prefix} via {own(node)[family]}")

    def ping(self, address, source=None, count=1):
        with netns.inside(self.netns):
            options = ["-I", source] if source else []
            netns.run("ping", "-n", "-c", str(count), "-W", str(DEADLINE), *options, address)
        return True

    def open_socket(self, family, kind=socket.SOCK_STREAM):
        with netns.inside(self.netns):
            made = socket.socket(FAMILIES[family], kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(DEADLINE)
        return made

    def connection(self, workload, address, family, port=80, listening=80):
        """Both ends of a new one from the far host to an address by which the workload is reached; it sees who it is."""
        with workload.server(listening, family) as server:
            client = self.open_socket(family)
            client.bind((FAR[family], 0))
            client.connect((address, port))
            accepted, (peer, *_) = server.accept()
        accepted.settimeout(DEADLINE)
        assert peer == FAR[family]
        return client, accepted

    def server(self, port, family, address=None):
        made = self.open_socket(family)
        made.bind((address or FAR[family], port))
        made.listen()
        return made

    def mac(self):
        line = netns.run("ip", "-n", self.netns, "-o", "link", "show", self.interface)
        return line.split("link/ether ")[1].split()[0]
