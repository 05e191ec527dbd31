"""Counted packets between workloads that send nothing else: what is sent is delivered, or counted under a reason."""

import time

import netns
from node import eventually
from packets import UDP, Raw

COUNT = 200
PORT = {"v4": 7100, "v6": 7101}
IDLE = 110  # seconds; a connection lives for 120


def interface_counts(workload):
    """Frames that left the workload and that came to it, as its kernel counts them."""
    path = f"/sys/class/net/{workload.interface}/statistics/"
    text = netns.run("ip", "netns", "exec", workload.netns, "cat", path + "tx_packets", path + "rx_packets")
    return tuple(int(line) for line in text.split())


def port_counts(workload):
    counts = workload.node.stats()["ports"][workload.name]
    return int(counts["rxPackets"]), int(counts["txPackets"])


class Probe:
    """Both ways between two workloads, in both families; each family's datagrams are one connection."""

    def __init__(self, world, left, right):
        self.world = world
        self.ends = world[left], world[right]
        self.known = {}  # what each node has counted of each family's connection, with the time of the last packet

    def counted(self, node, family):
        """Packets of the connection, both ways; None where there is none."""
        found = node.flows(protocol="udp", sourcePort=PORT[family], destinationPort=PORT[family])
        return sum(int(flow["packets"]) + int(flow["replyPackets"]) for flow in found) if found else None

    def survives(self, family):
        """Since the last time nobody has sent anything, and no restart or upgrade has forgotten anything."""
        problems = []
        for node in self.world.nodes.values():
            was, when = self.known.get((node, family), (None, 0))
            now = self.counted(node, family)
            # One that is idle for so long ends.
            if was is not None and time.monotonic() - when < IDLE and now != was:
                problems.append(f"{node.name} has counted {now} packets of an idle connection {family} that has had {was}")
        return problems

    def frames(self, sender, receiver, family, mark):
        made = sender.frame(receiver, UDP(sport=PORT[family], dport=PORT[family]), family, payload=Raw(mark + b"0" * 8))
        head = bytes(made)[:-8]
        # The checksum would have to be made anew for each; none is needed for what nobody reads but us.
        at = 40 if family == "v4" else 60
        if family == "v4":
            head = head[:at] + b"\0\0" + head[at + 2:]
            return [head + b"%08d" % number for number in range(COUNT)]
        return [bytes(sender.frame(receiver, UDP(sport=PORT[family], dport=PORT[family]), family,
                                   payload=Raw(mark + b"%08d" % number))) for number in range(COUNT)]

    def run(self, mark):
        """What is not as it has to be, in words."""
        problems = []
        for family in PORT:
            problems += self.survives(family)
            for sender, receiver in (self.ends, self.ends[::-1]):
                problems += self.one(sender, receiver, family, mark)
            for node in self.world.nodes.values():
                self.known[node, family] = self.counted(node, family), time.monotonic()
        return problems

    def one(self, sender, receiver, family, mark):
        before, drops = [self.at_rest(end) for end in self.ends], self.world.drops()
        receiver.wire.drain()
        for frame in self.frames(sender, receiver, family, mark):
            sender.send(frame)
            time.sleep(0.0005)
        arrived, lost = set(), 0

        def whole():
            nonlocal lost
            for frame in receiver.wire.drain():
                if mark in bytes(frame):
                    arrived.add(bytes(frame)[-8:])
            lost = sum(count - drops.get(key, 0) for key, count in self.world.drops(*LOSSES).items())
            return len(arrived) + lost >= COUNT

        name = f"{COUNT} datagrams {family} from {sender} to {receiver}"
        try:
            eventually(whole, 30)
        except AssertionError:
            return [f"{name}: {len(arrived)} arrived, {lost} were counted as dropped"]
        try:
            eventually(lambda: all(self.same(end, *was) for end, was in zip(self.ends, before)), 10)
        except AssertionError:
            return [f"{name}: {end} has {interface_counts(end)}, its Port {port_counts(end)} after {was}"
                    for end, was in zip(self.ends, before)]
        return []

    @staticmethod
    def at_rest(workload):
        """Its counts, when nothing is between the interface and the Port any more."""
        def twice():
            first = interface_counts(workload), port_counts(workload)
            return first if first == (interface_counts(workload), port_counts(workload)) else None

        return eventually(twice)

    @staticmethod
    def same(workload, interface, port):
        """Since then the workload has sent what its Port received, and got what it sent."""
        now, counted = interface_counts(workload), port_counts(workload)
        return all(now[i] - interface[i] == counted[i] - port[i] for i in (0, 1))


# Reasons under which something may be lost that is allowed: there is no room, or for a moment no way.
LOSSES = ("queue-full", "worker-queue-full", "no-buffer", "receive-error", "send-error", "port-down", "neighbour-unresolved")
