"""Random objects and random packets for them, from one seed."""

import collections
import ipaddress
import random

import outside
from random_packets import FAMILIES, OUTSIDE, OUTSIDE_PREFIX, PORTS, Packets


class Router:
    """On the external network."""

    mac = "52:54:00:ff:00:09"

    def __init__(self, vlan):
        self.vlan = vlan
        self.address = {family: outside.at(family, 1) for family in FAMILIES}

    def tag(self, data):
        return data[:12] + b"\x81\0" + self.vlan.to_bytes(2, "big") + data[12:] if self.vlan else data

    def untag(self, data):
        return data[:12] + data[16:] if self.vlan else data


class World(Packets):
    """Networks, groups and ports of node a, and ports of a node b that the test plays."""

    def __init__(self, rng, lab):
        self.rng = rng
        self.lab = lab
        self.waiting = collections.defaultdict(list)  # by sender, frames that are to follow
        self.seen = []  # (workload or None for the uplink, frame) that arrived or was sent, for answers to it
        vrfs = rng.choice([["t1"], ["t1"], ["t1", "t2"]])
        for number in range(1, rng.randint(2, 4)):
            fields = {"mtu": rng.choice([1280, 1400, 1430, 1500])} if rng.random() < .4 else {}
            if rng.random() < .5:
                fields["connectionTracking"] = {"midStreamPickup": rng.random() < .5, "windowCheck": rng.random() < .7}
            lab.network(f"n{number}", number, vrf=rng.choice([*vrfs, None]), gateway=rng.random() < .8,
                        vni=rng.choice([None, None, None, 0]), **fields)
        if rng.random() < .4:
            lab.limits("a", **self.limits())
        # Never reached: what it does to packets is there all the same.
        lab.objects += [{"kind": "QosPolicy", "name": "limited", "ingress": {"rate": "1G"}, "egress": {"rate": "1G"}},
                        {"kind": "QosPolicy", "name": "marked", "dscp": rng.randint(0, 63)}]
        self.groups = [f"g{number}" for number in range(rng.randint(0, 3))]
        for name in self.groups:
            lab.group(name, *self.rules())
        for number in range(rng.randint(3, 5)):
            self.port(f"a{number}", "a")
        if rng.random() < .5:
            networks = lab.networks.values()
            self.port("sub", "a", min(networks, key=lambda n: n.object.get("mtu", 1450)).name, vlan=("a0", 100))
        for number in range(rng.randint(0, 2)):
            self.port(f"b{number}", "b")
        if rng.random() < .6:
            self.routes()
        self.router = None
        self.targets = collections.defaultdict(list)  # by Vrf, what is translated on its way there
        self.virtual = collections.defaultdict(list)  # by family, addresses of LoadBalancers
        self.public = collections.defaultdict(list)  # addresses outside that are translated
        if rng.random() < .5:
            self.outside()
        for vrf in sorted({network.object["vrf"] for network in lab.networks.values() if "vrf" in network.object}):
            inside = [name for name, workload in lab.workloads.items() if workload.network.object.get("vrf") == vrf]
            if inside and rng.random() < .6:
                self.balancer(vrf, inside)
            if inside and self.router and rng.random() < .7:
                self.translation(vrf, inside)

    def outside(self):
        """A router on an external network, tagged or not, which the test plays; some subnets are known there."""
        rng, lab = self.rng, self.lab
        self.router = Router(rng.choice([0, 0, 7]))
        lab.objects.append(outside.network("a", self.router.vlan))
        for network in lab.networks.values():
            for subnet in network.object["subnets"]:
                if "vrf" in network.object and rng.random() < .7:
                    subnet["external"] = ["internet"]
        for vrf in {network.object["vrf"] for network in lab.networks.values() if "vrf" in network.object}:
            if rng.random() < .9:
                lab.objects.append(outside.route(name=f"out-{vrf}", vrf=vrf, destinations=list(OUTSIDE_PREFIX.values())))

    def balancer(self, vrf, inside):
        """Addresses in a subnet of the Vrf, elsewhere, or on the external network; members on either node."""
        rng, lab = self.rng, self.lab
        network = rng.choice([lab.workloads[name].network for name in inside])
        number = len(self.virtual["v4"]) + 1
        addresses = {family: rng.choice([str(ipaddress.ip_network(network.prefix[family])[150]),
                                         {"v4": f"10.77.0.{number}", "v6": f"fd77::{number}"}[family]])
                     for family in FAMILIES}
        ports = [{"protocol": protocol, "port": port, **({"memberPort": rng.choice(PORTS)} if rng.random() < .4 else {})}
                 for protocol, port in {(rng.choice(["tcp", "tcp", "udp", "sctp"]), rng.choice(PORTS)) for _ in range(4)}]
        outside_too = {}
        if self.router and rng.random() < .5:
            outside_too = {"network": "internet"}
            addresses = {family: outside.at(family, 90 + number) for family in FAMILIES}
            for family in FAMILIES:
                self.public[family].append(addresses[family])
        # One of them is here for sure, and has a weight.
        members = [{"port": name} if not i or rng.random() < .7 else
                   {"address": lab.workloads[name].address[rng.choice(FAMILIES)]}
                   for i, name in enumerate(rng.sample(inside, rng.randint(1, len(inside))))]
        for member in members[1:]:
            member |= rng.choice([{}, {}, {"weight": rng.randint(0, 3)}, {"drain": True}])
        lab.objects.append({"kind": "LoadBalancer", "name": f"lb-{vrf}", "vrf": vrf, "addresses": list(addresses.values()),
                            "ports": ports, "members": members, "affinity": rng.choice(["none", "client-address"]),
                            **outside_too})
        for family in FAMILIES:
            self.virtual[family].append(addresses[family])
            self.targets[vrf] += [(addresses[family], port["protocol"], port["port"]) for port in ports]

    def translation(self, vrf, inside):
        """A Nat with a forward, and perhaps an address outside of one Port's own."""
        rng, lab = self.rng, self.lab
        here = [name for name in inside if lab.workloads[name].node]
        number = 30 + 10 * len(self.public["v4"])
        pool = [outside.at(family, number) for family in FAMILIES]
        nat = {"kind": "Nat", "name": f"nat-{vrf}", "vrf": vrf, "network": "internet",
               "pools": [{"node": "a", "addresses": pool}]}
        if here and rng.random() < .6:
            nat["forwards"] = [{"protocol": rng.choice(["tcp", "udp"]), "port": rng.choice(PORTS), "to": rng.choice(here),
                                "address": rng.choice(pool)}]
        if rng.random() < .4:
            nat["nat64"] = {}
        lab.objects.append(nat)
        self.targets[vrf] += [(OUTSIDE[family], protocol, port) for family in FAMILIES for protocol in ("tcp", "udp")
                              for port in PORTS[:2]]
        for family, address in zip(FAMILIES, pool):
            self.public[family].append(address)
        if here and rng.random() < .6:
            for family in rng.sample(FAMILIES, rng.randint(1, 2)):
                address = outside.at(family, number + 1)
                lab.objects.append({"kind": "FloatingIp", "name": f"own-{vrf}-{family}", "network": "internet",
                                    "address": address, "port": rng.choice(here)})
                self.public[family].append(address)

    def routes(self):
        """For addresses that packets have, in each Vrf; only t1 leads to others."""
        rng, lab = self.rng, self.lab
        vrfs = {network.object["vrf"] for network in lab.networks.values() if "vrf" in network.object}
        for number, vrf in enumerate(sorted(vrfs)):
            near = [name for name, workload in lab.workloads.items() if workload.network.object.get("vrf") == vrf]
            destinations = ["203.0.113.0/24", "2001:db8:9::/64", "10.99.0.0/16", "10.1.0.96/28", "10.3.0.0/16", "fd00:1::100/120",
                            "0.0.0.0/0", "::/0"]
            rng.shuffle(destinations)
            for part in range(rng.randint(1, 3)):
                route = {"kind": "Route", "name": f"r{number}{part}", "vrf": vrf,
                         "destinations": [destinations.pop() for _ in range(rng.randint(1, 2))]}
                if vrf == "t1" and len(vrfs) > 1 and rng.random() < .4:
                    route["nextHops"] = [{"vrf": "t2"}]
                elif near and rng.random() < .8:
                    hops = rng.sample(near, min(len(near), rng.randint(1, 3)))
                    route["nextHops"] = [{"port": name} if rng.random() < .5 else
                                         {"address": lab.workloads[name].address[rng.choice(FAMILIES)]} for name in hops]
                else:
                    route["blackhole"] = True
                lab.objects.append(route)

    def port(self, name, node, network=None, **fields):
        rng = self.rng
        if self.groups and rng.random() < .7:
            fields["securityGroups"] = rng.sample(self.groups, rng.randint(1, len(self.groups)))
        if rng.random() < .6:
            fields["limits"] = self.limits()
        if rng.random() < .2:
            fields["allowedAddresses"] = [rng.choice(["10.1.0.100/32", "fd00:1::100/128", "10.99.0.0/16", "fd99::/32"])]
        if rng.random() < .3:
            fields["qosPolicy"] = rng.choice(["marked", "limited"])
        self.lab.workload(name, node, network or rng.choice(list(self.lab.networks)), **fields)

    def limits(self):
        """Some that are met, and some that are not. None that time gives back."""
        rng = self.rng
        limits = {}
        if rng.random() < .5:
            limits["connections"] = rng.choice([1, 2, 3, 5, 1000])
        if rng.random() < .6:
            limits["halfOpen"] = min(rng.choice([1, 1, 2, 1000]), limits.get("connections", 1000))
        if rng.random() < .3:
            limits |= {"connectionRate": 1000, "connectionBurst": 10000}
        return limits

    def rules(self):
        rng = self.rng
        rules = []
        for _ in range(rng.randint(0, 4)):
            rule = {"direction": rng.choice(["ingress", "egress"])}
            if rng.random() < .7:
                rule["protocol"] = rng.choice(["tcp", "udp", "icmp", "sctp", "47", "112"])
                if rule["protocol"] in ("tcp", "udp", "sctp") and rng.random() < .5:
                    low, high = sorted(rng.choices(PORTS, k=2))
                    rule["ports"] = f"{low}-{high}"
                if rule["protocol"] == "icmp" and rng.random() < .3:
                    rule["icmpType"] = rng.choice([0, 8, 128, 129])
            if rng.random() < .4:
                rule["remote"] = rng.choice([{"cidr": "10.1.0.0/24"}, {"cidr": "fd00:1::/64"}, {"cidr": "0.0.0.0/0"}]
                                            + [{"group": group} for group in self.groups])
            if rng.random() < .15:
                rule["qosPolicy"] = rng.choice(["marked", "limited"])
            rules.append(rule)
        return rules

    def change(self):
        """Other rules for one group, or other groups for one port."""
        rng = self.rng
        if self.groups and rng.random() < .7:
            self.lab.rules(rng.choice(self.groups), *self.rules())
        else:
            workload = rng.choice(list(self.lab.workloads.values()))
            self.lab.change(workload, securityGroups=rng.sample(self.groups, rng.randint(0, len(self.groups))))


def make(seed, lab):
    return World(random.Random(seed), lab)
