"""Connections by hand that the kernel takes over, and what becomes of their packets."""

import collections
import ipaddress
import time

import pytest

from packets import Ether, fresh_port, is_membership, is_question, is_unasked_advertisement
from raw_frames import ACK, SPACE, SYN, ipv4, ipv6, mac, tcp

PATIENCE = 20
# A connection is looked at when it has had 64 packets, and one packet in 32.
BURST = 40
GIVEN_UP = 40


def is_error(data):
    """Does Sluice say by ICMP why it has dropped a packet? It says so after it was counted, and not each time."""
    return data[6:9] == b"\x02\x53\x4c" and (data[12:14] == b"\x08\0" and data[23] == 1 and data[34] in (3, 11)
                                            or data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] in (1, 2, 3))


def is_later(a, b):
    return 0 < (a - b) % SPACE < SPACE // 2


class Side:
    """A workload, and what it has sent, acknowledged and offered at most; as the node should know it."""

    def __init__(self, workload, peer, port, family):
        self.workload, self.port = workload, port
        self.name = workload.name
        self.macs = mac(peer.mac if peer.network is workload.network else workload.gateway_mac(family)) + mac(workload.mac)
        self.address = ipaddress.ip_address(workload.address[family]).packed
        self.end = self.ack = self.window = self.scale = 0

    def size(self):
        return self.window << self.scale

    def passed(self, end, ack, window):
        self.end = end if is_later(end, self.end) else self.end
        self.ack = ack if is_later(ack, self.ack) else self.ack
        self.window = max(window, self.window)


class Connection:
    """Opened by `left` as systems do it."""

    def __init__(self, player, to, family, rng):
        self.player, self.family, self.rng = player, family, rng
        lab = player.lab
        self.port = fresh_port()
        self.left, self.right = Side(lab["left"], to, self.port, family), Side(to, lab["left"], 80, family)
        self.left.end = rng.choice((rng.randrange(SPACE), SPACE - 300, SPACE // 2 - 300))
        self.right.end = rng.choice((rng.randrange(SPACE), SPACE - 300))
        scales = [rng.choice((0, 0, 0, 3, 7, 14)) for _ in range(2)] if rng.random() < .7 else None
        self.packets = self.bytes = 0
        for side, flags in ((self.left, SYN), (self.right, SYN | ACK), (self.left, ACK)):
            other = self.other(side)
            side.window = rng.choice((1, 500, 4000, 29200, 65535))
            if flags & SYN:
                options = bytes((3, 3, scales[side is self.right])) if scales else b""
            else:
                options = b""
                for one, scale in zip((self.left, self.right), scales or (0, 0)):
                    one.scale = scale
            assert player.step(self, side, [self.frame(side, flags=flags, ack=other.end if flags & ACK else 0,
                                                       options=options)])
            side.end = (side.end + bool(flags & SYN)) % SPACE
            side.ack = other.end if flags & ACK else 0
        # The windows of SYNs are in units of later ones, rounded up.
        for side in (self.left, self.right):
            side.window = max(side.window, 1)
            side.ack = self.other(side).end
        assert self.recover()

    def other(self, side):
        return self.right if side is self.left else self.left

    def edge(self, side):
        """How far it may begin segments."""
        other = self.other(side)
        return (other.ack + other.size()) % SPACE

    def frame(self, side, seq=None, ack=None, flags=ACK, window=None, payload=b"", macs=None, padding=b"", options=b"",
              offset=None, mapped=False, tag=None, **header):
        other = self.other(side)
        body = tcp((side.port, other.port), side.end if seq is None else seq, other.end if ack is None else ack, flags,
                   side.window if window is None else window, payload, options, offset)
        if mapped:
            prefix = bytes(10) + b"\xff\xff"
            kind, packet = b"\x86\xdd", ipv6(prefix + side.address, prefix + other.address, body, **header)
        elif self.family == "v4":
            kind, packet = b"\x08\x00", ipv4(side.address, other.address, body, **header)
        else:
            kind, packet = b"\x86\xdd", ipv6(side.address, other.address, body, **header)
        return (macs or side.macs) + (tag or b"") + kind + packet + padding

    def first(self):
        """Who can send something plain: it is not further than the other has offered. None: neither can."""
        able = [side for side in (self.left, self.right) if not is_later(side.end, self.edge(side))]
        return able[0] if able else None

    def counted_sizes(self, side, frame):
        """Of the frames as which this one is counted: one that is too large for the network is cut first."""
        mtu, head = side.workload.network.object["mtu"], 20
        protocol = frame[23] if self.family == "v4" else frame[20] if frame[20] == 6 else frame[54]
        if protocol != 6:
            return []
        size = int.from_bytes(frame[16:18], "big")
        if self.family == "v6" or size <= mtu:
            return [len(frame)]
        most = (mtu - head) // 8 * 8
        return [14 + head + min(size - head - at, most) for at in range(0, size - head, most)]

    def recover(self):
        """Plain segments, until the kernel has the connection. False: neither may send any."""
        for _ in range(GIVEN_UP):
            side = self.first()
            if not side:
                return False
            for one in (side, self.other(side)):
                self.player.plain(self, one)
            if self.offloaded:
                return True
        pytest.fail(f"{self.player}: {BURST * GIVEN_UP} plain segments each way, and it is not offloaded", pytrace=False)


class Player:
    """Sends, and looks at what becomes of it."""

    def __init__(self, lab, client, label):
        self.lab, self.client, self.label = lab, client, label
        self.number = 0
        self.steps = []
        self.passed = collections.Counter()
        self.wires = {name: workload.wire.socket for name, workload in lab.workloads.items()}
        self.drops = self.stats()

    def __str__(self):
        return f"{self.label}, packet {self.number}"

    def stats(self):
        drops = collections.Counter()
        for port in self.client.call("Stats").ports.values():
            drops.update(dict(port.drops))
        return drops

    def flow(self, connection):
        found = [flow for flow in self.client.flows(port="left") if flow.source_port == connection.port]
        return found[0] if found else None

    def arrived(self):
        """By port, frames."""
        frames = collections.Counter()
        for name, wire in self.wires.items():
            while True:
                try:
                    data = wire.recv(65536)
                except BlockingIOError:
                    break
                if not (is_unasked_advertisement(data) or is_membership(data) or is_question(data) or is_error(data)):
                    frames[name, data] += 1
        return frames

    def plain(self, connection, side):
        """A burst of what a system in good order sends when it has nothing to say. All arrives, and is counted."""
        frame, peer = connection.frame(side), connection.other(side)
        for _ in range(BURST):
            self.wires[side.name].send(frame)
        left, end, self.steps = BURST, time.monotonic() + PATIENCE, []
        while left:
            for (name, data), count in self.arrived().items():
                if name != peer.name or len(data) != len(frame):
                    self.fail([data], f"came to {name}")
                left -= count
            if time.monotonic() > end:
                self.fail([frame], f"of {BURST} from {side.name} {left} did not arrive: {self.stats() - self.drops}")
        side.passed(side.end, peer.end, side.window)
        self.check_flow(connection, side, [frame] * BURST)

    def check_flow(self, connection, side, frames):
        """These have passed, and no others were counted."""
        sizes = [size for frame in frames for size in connection.counted_sizes(side, frame)]
        connection.packets += len(sizes)
        connection.bytes += sum(sizes)
        flow = self.flow(connection)
        connection.state, connection.offloaded = (flow.state, flow.offloaded) if flow else (None, False)
        if flow and (flow.packets, flow.bytes) != (connection.packets, connection.bytes):
            self.fail(frames, f"{flow.packets} packets with {flow.bytes} bytes are counted, "
                      f"{connection.packets} with {connection.bytes} passed")

    def fail(self, frames, words):
        pytest.fail("\n".join([str(self), *(f"{Ether(frame).summary()}: {frame[:200].hex()} ({len(frame)} bytes)"
                                            for frame in frames), *self.steps, words]), pytrace=False)

    def compare(self, frames, outputs, drops):
        """With what has become of them. Returns what was dropped."""
        got, end = collections.Counter(), time.monotonic() + PATIENCE
        while True:
            now = self.stats()
            got.update(self.arrived())
            counted = now - self.drops
            del counted["fragment-timeout"]
            # A trace always asks the layers, and before it looks at the connection's numbers.
            if set(drops) == {"ttl"} and counted in ({"tcp-window": drops["ttl"]}, {"tcp-flags": drops["ttl"]}):
                drops = counted
            if got == outputs and counted == drops:
                break
            if time.monotonic() > end:
                self.fail(frames, "\n".join([
                    f"drops expected {dict(drops)}, counted {dict(counted)}",
                    *(f"expected at {name}: {data[:200].hex()}" for name, data in outputs - got),
                    *(f"came to {name}: {data[:200].hex()}" for name, data in got - outputs)]))
        self.drops = now
        return drops

    def step(self, connection, side, frames):
        """Traces a frame, or fragments of one packet, sends them, and compares. True: it was counted."""
        self.number += 1
        peer = connection.other(side).name
        outputs, drops = collections.Counter(), collections.Counter()
        self.steps = []
        for index, frame in enumerate(frames):
            answer = self.client.call("Trace", port=side.name, frame=frame, earlier=frames[:index])
            self.steps += [f"  {step.layer}: {step.text}" for step in answer.steps]
            for output in answer.outputs:
                if not is_error(bytes(output.frame)):
                    outputs[output.port, bytes(output.frame)] += 1
            drops.update(step.text.rpartition(": ")[2] for step in answer.steps if step.layer == "drop")
            if answer.verdict == "drop":
                drops[answer.reason] += 1
        for frame in frames:
            self.wires[side.name].send(frame)
        drops = self.compare(frames, outputs, drops)
        there = bool(outputs)
        # Counted before its way was looked at.
        lost = drops["ttl"] and frames[-1][22 if connection.family == "v4" else 21] == 1 or \
            drops["too-big"] and len(frames[-1]) - 14 <= side.workload.network.object["mtu"]
        self.check_flow(connection, side, frames if there or lost else [])
        self.passed[there, tuple(drops)] += 1
        assert {name for name, _ in outputs} <= {peer}
        return there or lost
