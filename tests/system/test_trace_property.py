"""`sluice trace` says the truth: random objects, random packets, and what the data plane did with each of them.

A failure names its seed: SLUICE_SEED=N runs that world again, SLUICE_WORLDS=N runs more of them.
"""

import collections
import os
import time

import pytest

import outside
import random_world
from packets import ARP, UDP, Ether, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, IPv6, Wire, told, who_has
from test_grpc_client import Client

WORLDS = int(os.environ.get("SLUICE_WORLDS", 40))
FIRST = int(os.environ.get("SLUICE_SEED", 1))
PACKETS = 80  # in each world
PATIENCE = 20

SEEDS = [FIRST] if "SLUICE_SEED" in os.environ else range(FIRST, FIRST + WORLDS)


class Underlay:
    """Node b, as far as its link goes: node a knows its MAC address."""

    mac = "52:54:00:ff:00:02"

    def __init__(self, lab, router):
        self.lab = lab
        self.router = router
        self.wire = Wire(lab.switch, "to-a")
        self.tell()

    def tell(self):
        """It asks, so it is known; and so does a router outside."""
        a, b = self.lab.vtep["a"], self.lab.vtep["b"]
        self.ask(a, self.mac, b)
        for family, address in (self.router.address if self.router else {}).items():
            self.ask(outside.own("a")[family], self.router.mac, address, self.router.tag)
        self.told = time.monotonic()

    def ask(self, address, mac, sender, tag=bytes):
        """In the middle of something node a may be asking, too, if the machine is slow."""
        self.wire.socket.send(tag(bytes(who_has(address, mac, sender))))
        self.lab.uplink_mac = told(self.wire.wait_for(lambda frame: told(frame, address)), address)

    def tell_again(self):
        """Soon enough that node a does not ask in the middle of something."""
        if time.monotonic() - self.told > (2 if self.router else 10):
            self.tell()


class SubWire:
    """A sub-interface, in tags on its parent's wire."""

    def __init__(self, parent, vlan):
        self.parent = parent
        self.vlan = vlan
        self.socket = self

    def send(self, data):
        data = bytes(data)
        self.parent.wire.socket.send(data[:12] + b"\x81\0" + self.vlan.to_bytes(2, "big") + data[12:])

    def drain(self):
        return []

    def close(self):
        pass


class Observer:
    """What comes out of the node, and what it has counted."""

    def __init__(self, lab, uplink, client):
        self.client = client
        self.wires = {name: workload.wire for name, workload in lab.workloads.items() if workload.wire}
        self.wires["uplink"] = uplink
        self.subs = collections.defaultdict(dict)
        for name, workload in lab.workloads.items():
            if workload.vlan:
                self.subs[workload.vlan[0]][name] = workload
        self.pending = collections.Counter()
        self.earlier = collections.defaultdict(list)  # by port, what was sent there

    def stats(self):
        ports = self.client.call("Stats").ports
        received = {name: port.rx_packets for name, port in ports.items()}
        drops = collections.Counter()
        for port in ports.values():
            drops.update(dict(port.drops))
        return received, drops

    def arrived(self):
        for name, wire in self.wires.items():
            for frame in wire.drain():
                data = bytes(frame)
                if is_advertisement(frame):
                    continue
                for sub, workload in self.subs.get(name, {}).items():
                    if data[12:14] == b"\x81\0" and int.from_bytes(data[14:16], "big") == workload.vlan[1]:
                        self.pending[sub, data[:12] + data[16:]] += 1
                        break
                else:
                    if not (name == "uplink" and (is_of_the_host(frame) or is_for_routers(frame))):
                        self.pending[name, data] += 1
        return self.pending


def is_advertisement(frame):
    """To all nodes: sent from time to time, and as an answer no more often than RFC 4861 section 6.2.6 allows."""
    return ICMPv6ND_RA in frame and frame.dst == "33:33:00:00:00:01" and frame.src.startswith("02:53:4c")


def is_for_routers(frame):
    """Questions whether a router outside is there, and announcements of addresses there."""
    # Who looks whether somebody else has an address does not say its own.
    return (ARP in frame and frame[ARP].op == 1 and "203.0.113." in (frame[ARP].psrc[:10], frame[ARP].pdst[:10])
            and frame[ARP].psrc.startswith(("203.0.113.", "0.0.0.0"))) or \
        (IPv6 in frame and frame[IPv6].src.startswith("2001:db8:f:") and (ICMPv6ND_NS in frame or
                                                                       frame[IPv6].dst == "ff02::1"))


def is_of_the_host(frame):
    """The host's kernel speaks on the uplink too: MLD and router solicitations."""
    return IPv6 in frame and UDP not in frame and ICMPv6ND_NA not in frame and (frame[IPv6].src == "::" or frame[IPv6].src.startswith("fe80"))


def expectation(answer):
    """Frames by port, drops by reason."""
    outputs = collections.Counter((output.port, bytes(output.frame)) for output in answer.outputs
                                  if not is_advertisement(Ether(output.frame)))
    drops = collections.Counter(step.text.rpartition(": ")[2] for step in answer.steps if step.layer == "drop")
    if answer.verdict == "drop":
        drops[answer.reason] += 1
    return outputs, drops


def differences(expected, found):
    return [f"expected {name}: {Ether(frame).summary()} {frame.hex()}" for (name, frame) in (expected - found)] + \
        [f"came {name}: {Ether(frame).summary()} {frame.hex()}" for (name, frame) in (found - expected)]


def play(world, observer, name, data, seed, number):
    """Traces a frame, sends it, and compares."""
    received, before = observer.stats()
    answer = observer.client.call("Trace", port=name, frame=data, earlier=observer.earlier[name])
    frames, drops = expectation(answer)
    try:
        observer.wires[name].socket.send(data)
    except OSError:
        return False  # the interface takes no such frame
    observer.earlier[name].append(data)
    end = time.monotonic() + PATIENCE
    while True:
        got, after = observer.stats()
        arrived = observer.arrived()
        if got[name] > received[name] and after - before == drops and arrived == frames:
            break
        if time.monotonic() > end:
            steps = "\n".join(f"  {step.layer}: {step.text}" for step in answer.steps)
            pytest.fail(f"seed {seed}, packet {number}: {name} sends {Ether(data).summary()}\n{data.hex()}\n"
                        f"trace: {answer.verdict} {answer.reason}\n{steps}\n"
                        f"drops expected {dict(drops)}, counted {dict(after - before)}\n"
                        + "\n".join(differences(frames, arrived)), pytrace=False)
    for port, frame in arrived:
        if port != "uplink":
            world.remember(world.lab.workloads[port], frame)
        elif world.router and frame[:6] == bytes.fromhex(world.router.mac.replace(":", "")):
            world.remember(world.router, world.router.untag(frame))
    if name != "uplink":
        world.remember(world.lab.workloads[name], data)
    arrived.clear()
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_trace_says_what_happens(one_lab, seed):
    family = "v4" if seed % 4 else "v6"
    # Two workers hand over to each other what is the other's.
    lab = one_lab(underlay=family, options=["--workers", "0,1" if seed % 2 else "0"])
    lab.add_node("b", {"v4": "192.0.2.2/24", "v6": "2001:db8::2/64"}[family], uplink={"netdev": "up0"})
    world = random_world.make(seed, lab)
    for workload in lab.workloads.values():
        if workload.vlan:
            workload.wire = SubWire(lab[workload.vlan[0]], workload.vlan[1])
    lab.up()
    underlay = Underlay(lab, world.router)
    sent = 0
    with Client(lab.nodes["a"].api) as client:
        observer = Observer(lab, underlay.wire, client)
        observer.arrived().clear()
        local = [name for name, workload in lab.workloads.items() if workload.wire]
        for number in range(PACKETS):
            underlay.tell_again()
            if world.rng.random() < .03:
                world.change()
            if world.rng.random() < .2:
                sent += play(world, observer, "uplink", world.tunnelled(), seed, number)
            elif world.router and world.rng.random() < .3:
                sent += play(world, observer, "uplink", world.from_outside(), seed, number)
            else:
                name = world.rng.choice(local)
                sent += play(world, observer, name, world.frame(lab.workloads[name]), seed, number)
    assert sent > PACKETS / 2
