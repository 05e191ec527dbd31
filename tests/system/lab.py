"""Laboratories: nodes on an underlay, networks, workloads. And the two questions: does it pass, is it dropped?"""

import collections
import contextlib
import ipaddress
import shutil

import netns
from node import DEADLINE, Node, eventually
from packets import is_refusal

from workload import Workload

UNDERLAYS = {"v4": "192.0.2.0/24", "v6": "2001:db8::/64"}
# On the other side of a router.
FAR_UNDERLAYS = {"v4": "198.51.100.0/24", "v6": "2001:db8:1::/64"}

# Reasons that the sender is told.
TOLD = {"no-route", "route-loop", "not-routed", "no-host", "no-next-hop", "no-member", "no-uplink", "no-underlay-route",
        "neighbour-unresolved", "gateway", "ttl", "too-big"}


class Network:
    """Subnets follow from the number: 10.NUMBER.0.0/24 and fd00:NUMBER::/64, with gateways at 1."""

    def __init__(self, name, number, vrf="t1", vni=None, gateway=True, prefix_number=None, **fields):
        self.name = name
        subnet = prefix_number or number
        self.prefix = {"v4": f"10.{subnet}.0.0/24", "v6": f"fd00:{subnet}::/64"}
        self.gateway = {"v4": f"10.{subnet}.0.1", "v6": f"fd00:{subnet}::1"} if gateway else {}
        self.vni = 5000 + number if vni is None else vni
        subnets = [{"cidr": self.prefix[f], **({"gateway": self.gateway[f]} if gateway else {})} for f in self.prefix]
        self.object = {"kind": "Network", "name": name, "subnets": subnets, **fields}
        if self.vni:
            self.object["vni"] = self.vni
        if vrf:
            self.object["vrf"] = vrf


class Lab:
    """Nodes that are there; everything else is added, and put in force by up()."""

    live = []

    def __init__(self, nodes=("a",), underlay=None, options=(), routed=False, prefix=()):
        self.directory = netns.directory()
        self.namespaces = []
        self.nodes = {}
        self.objects = []
        self.networks = {}
        self.workloads = {}
        self.underlay = underlay
        self.vtep = {}
        Lab.live.append(self)
        try:
            self._start(nodes, underlay, options, routed, prefix)
        except BaseException:
            with contextlib.suppress(AssertionError):
                self.down()
            raise

    def _start(self, nodes, underlay, options, routed, prefix):
        for name in nodes:
            self.nodes[name] = Node(name, self._namespace(f"node-{name}"), self.directory, options, prefix)
        if underlay:
            (self._router if routed else self._bridge)(list(nodes), underlay)
        else:
            for name in nodes:
                self.objects.append({"kind": "Node", "name": name})
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.wait_ready()

    def _namespace(self, label, **options):
        name = netns.make(label, **options)
        self.namespaces.append(name)
        return name

    def _cable(self, node, namespace, interface):
        """From the node's up0 to an interface of another namespace."""
        where = self.nodes[node].netns
        netns.ip(where, f"link add up0 type veth peer name {interface} netns {namespace}", "link set up0 up")
        netns.ip(namespace, f"link set {interface} up")

    def _bridge(self, nodes, underlay):
        """All nodes on one link. With a single node its other end is the test's own: `wire`."""
        self.switch = self._namespace("wire", silent=True)
        prefix = ipaddress.ip_network(UNDERLAYS[underlay])
        for number, name in enumerate(nodes, 1):
            self._cable(name, self.switch, f"to-{name}")
            self.add_node(name, f"{prefix[number]}/{prefix.prefixlen}", uplink={"netdev": "up0"})
        if len(nodes) > 1:
            netns.ip(self.switch, "link add br0 type bridge mcast_snooping 0", "link set br0 up",
                     *[f"link set to-{name} master br0" for name in nodes])

    def _router(self, nodes, underlay):
        """Each node on a link of its own, with a kernel that routes between them."""
        self.switch = self._namespace("router")
        for name, table in zip(nodes, (UNDERLAYS, FAR_UNDERLAYS)):
            prefix = ipaddress.ip_network(table[underlay])
            self._cable(name, self.switch, f"to-{name}")
            netns.ip(self.switch, f"addr add {prefix[254]}/{prefix.prefixlen} dev to-{name}"
                     + (" nodad" if underlay == "v6" else ""))
            self.add_node(name, f"{prefix[1]}/{prefix.prefixlen}", uplink={"netdev": "up0"}, gateway=str(prefix[254]))
        key = "ipv4/ip_forward" if underlay == "v4" else "ipv6/conf/all/forwarding"
        with netns.inside(self.switch), open(f"/proc/sys/net/{key}", "w", encoding="utf-8") as file:
            file.write("1")

    def add_node(self, name, vtep, **fields):
        """A Node object; the test may play it, where it is not one of the lab's own."""
        self.vtep[name] = vtep.split("/", maxsplit=1)[0]
        self.objects.append({"kind": "Node", "name": name, "vtep": vtep, **fields})

    def limits(self, node, **limits):
        """What may be opened from each of the node's ports, and from each other node."""
        value = next(o for o in self.objects if (o["kind"], o["name"]) == ("Node", node))
        value["limits"] = limits

    def network(self, name, number, vrf="t1", **fields):
        network = Network(name, number, vrf, **fields)
        self.networks[name] = network
        if vrf and not any(o["kind"] == "Vrf" and o["name"] == vrf for o in self.objects):
            self.objects.append({"kind": "Vrf", "name": vrf})
        self.objects.append(network.object)
        return network

    def group(self, name, *rules):
        """Adds a group, or gives it other rules at once if the lab is up."""
        value = {"kind": "SecurityGroup", "name": name, "rules": list(rules)}
        self.objects = [o for o in self.objects if (o["kind"], o["name"]) != ("SecurityGroup", name)] + [value]
        return value

    def workload(self, name, node, network, **fields):
        made = Workload(self, name, node, self.networks[network], len(self.workloads) + 1, **fields)
        self.namespaces.append(made.netns)
        self.workloads[name] = made
        self.objects.append(made.object)
        return made

    def __getitem__(self, name):
        return self.workloads[name]

    def up(self):
        """Tells all nodes all objects, and workloads their addresses."""
        for node in self.nodes.values():
            node.apply(*self.objects)
        for workload in self.workloads.values():
            if not workload.node or workload.wire:
                continue
            if workload.automatic:
                continue
            if workload.kernel:
                workload.configure()
            else:
                workload.listen()
        return self

    def ports_up(self, *names):
        """Waits until the ports of these workloads, or of all, are up."""
        for workload in [self.workloads[name] for name in names] or self.workloads.values():
            eventually(lambda workload=workload: workload.node.stats()["ports"][workload.name]["state"] == "up")

    def apply(self, *objects):
        for node in self.nodes.values():
            node.apply(*objects)

    def rules(self, name, *rules):
        """Gives a group other rules, on all nodes."""
        self.apply(self.group(name, *rules))

    def change(self, workload, **fields):
        """Gives a workload's Port other fields, on all nodes."""
        workload.object.update(fields)
        self.apply(workload.object)

    # The two questions.

    def drops(self, *reasons):
        """All nodes' counters of drops, as {(port, reason): packets}; those of their uplinks are added up. Of these reasons
        only, if there are any."""
        counts = collections.Counter()
        for node in self.nodes.values():
            counts.update({key: count for key, count in node.drops().items() if not reasons or key[1] in reasons})
        return counts

    def passes(self, sender, frame, receiver, timeout=DEADLINE):
        """Sends a frame that must arrive; the frame as it arrives."""
        mark = bytes(frame)[-14:]
        sender.send(frame)
        return receiver.wire.wait_for(lambda received: mark in bytes(received), timeout)

    def dropped(self, sender, frame, reason, at=None, deadline=DEADLINE):
        """Sends a frame that must be counted under this reason, once and under no other, and reach nobody.

        `at` is the port to whose account it goes, the sender's own if none is named. For the reasons that a router
        gives, its error may come back to the sender: test_errors.py looks at that.
        """
        quiet = [w.wire for w in self.workloads.values() if w.wire and not w.kernel]
        for wire in quiet:
            wire.drain()
        before = self.drops()
        # Other workloads' kernels say what they want, when they want: a connection's last words to a closed port, say.
        kernels = {w.name for w in self.workloads.values() if w.kernel} - {str(sender), str(at)}

        def counted():
            return {key: count - before.get(key, 0) for key, count in self.drops().items()
                    if count != before.get(key, 0) and key[0] not in kernels}

        sender.send(frame)
        counted = eventually(counted, deadline, f"{reason}: the packet was not counted as dropped")
        assert counted == {(str(at or sender), reason): 1}
        arrived = [received.summary() for wire in quiet for received in wire.drain()
                   if not (reason in TOLD and wire is getattr(sender, "wire", None) and is_refusal(received))]
        assert not arrived, f"{reason}: counted as dropped, and yet there arrived {arrived}"

    # The end.

    def check(self):
        for node in self.nodes.values():
            node.check()

    def down(self):
        if self not in Lab.live:
            return
        Lab.live.remove(self)
        problems = []
        for workload in self.workloads.values():
            workload.close()
        for node in self.nodes.values():
            try:
                node.stop()
            except Exception as problem:  # the others are to end too
                problems.append(f"node {node.name}: {problem!r}")
        for name in self.namespaces:
            netns.remove(name)
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not problems, "\n".join(problems)


