"""The programs in the kernel hold packets against the same rules as Sluice: random packets of offloaded connections, and
what became of each, against what `sluice trace` says.

A failure names its seed: SLUICE_SEED=N draws these packets again, SLUICE_PACKETS=N draws more of them.
"""

import collections
import ipaddress
import os
import pathlib
import random
import select
import struct
import time

import pytest

import netns
from netns import ip
from packets import Ether, fresh_port, is_membership, is_question, is_unasked_advertisement
from test_grpc_client import Client
from virtio import Sender

SEED = int(os.environ.get("SLUICE_SEED", 1))
PACKETS = int(os.environ.get("SLUICE_PACKETS", 400))  # of each connection's kind
PATIENCE = 10
SPACE = 1 << 32
# A connection is looked at when it has had 64 packets, and one packet in 32.
BURST = 40
FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))
GIVEN_UP = 40


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    """`near` is in the network of `left`, the way to `far` is routed. Their interfaces take larger packets."""
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1, mtu=1450)
    lab.network("red", 2, mtu=1400)
    for name, network in (("left", "blue"), ("near", "blue"), ("far", "red")):
        made = lab.workload(name, "a", network, veth=True)
        ip(made.netns, "link set eth0 mtu 9000")
        ip(lab.nodes["a"].netns, f"link set to-{name} mtu 9000")
        with netns.inside(lab.nodes["a"].netns):
            # The node's kernel would speak there of itself.
            pathlib.Path(f"/proc/sys/net/ipv6/conf/to-{name}/disable_ipv6").write_text("1", encoding="ascii")
    return lab.up()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return 0xffff ^ ((total & 0xffff) + (total >> 16))


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def is_error(data):
    """Does Sluice say by ICMP why it has dropped a packet? It says so after it was counted, and not each time."""
    return data[6:9] == b"\x02\x53\x4c" and (data[12:14] == b"\x08\0" and data[23] == 1 and data[34] in (3, 11)
                                            or data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] in (1, 2, 3))


def octets(frame):
    """Of TCP in a frame, by its headers."""
    if frame[12:14] == b"\x08\0":
        head = (frame[14] & 15) * 4
        size = int.from_bytes(frame[16:18], "big") - head
    else:
        head = 40 + 8 * (frame[20] != 6)
        size = int.from_bytes(frame[18:20], "big") + 40 - head
    return size - (frame[14 + head + 12] >> 4) * 4 + (frame[14 + head + 13] & FIN)


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


def ipv4(sender, receiver, body, ttl=64, ip_options=b"", bad_checksum=0, fragment=0, number=0, more=0, protocol=6, tos=0):
    ip_options += bytes(-len(ip_options) % 4)
    size = 20 + len(ip_options) + len(body) + more
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + len(ip_options) // 4, tos, size & 0xffff, number, fragment, ttl, protocol,
                         0, sender, receiver) + ip_options
    right = checksum(header) ^ bad_checksum
    return header[:10] + right.to_bytes(2, "big") + header[12:] + body


def ipv6(sender, receiver, body, ttl=64, ip_options=b"", more=0, protocol=6, tos=0):
    if ip_options:  # the type of an extension header
        body, protocol = struct.pack("!BBBB", protocol, 0, 1, 4) + bytes(4) + body, ip_options[0]
    return struct.pack("!IHBB", 0x6 << 28 | tos << 20, (len(body) + more) & 0xffff, protocol, ttl) + sender + receiver + body


def tcp(ports, seq, ack, flags, window, payload=b"", options=b"", offset=None):
    options += b"\1" * (-len(options) % 4)
    offset = 5 + len(options) // 4 if offset is None else offset
    return struct.pack("!HHIIBBHHH", *ports, seq % SPACE, ack % SPACE, offset << 4, flags & 0xff, window, 0, 0) + options + payload


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


# ---- what is drawn

def near(rng, *edges):
    """One of these numbers, or one close to it."""
    return (rng.choice(edges) + rng.choice((0, 0, 0, -1, 1, -2, 2, rng.randrange(-2000, 2000)))) % SPACE


def draw_numbers(rng, connection, side, fields):
    other = connection.other(side)
    length = len(fields.get("payload", b""))
    oldest = side.end - other.size() - 1
    edge = connection.edge(side)
    if rng.random() < .8:
        fields["seq"] = near(rng, side.end, oldest, oldest - length, edge, edge - length, edge + other.size(),
                             edge + other.size() - length, oldest - other.size(), side.end - length,
                             side.end + SPACE // 2, rng.randrange(SPACE))
    if rng.random() < .6:
        fields["ack"] = near(rng, other.end, side.ack, side.ack - side.size(), other.end + side.size(),
                             side.ack - 2 * side.size(), other.end + SPACE // 2, rng.randrange(SPACE))
    if rng.random() < .3:
        fields["window"] = rng.choice((0, 1, side.window, min(side.window + 3, 65535), rng.randrange(1 << 16)))


def draw_flags(rng, fields):
    fields["flags"] = rng.choice((ACK | PSH, ACK | 0x40, ACK | 0xc0, ACK | URG, ACK | URG | PSH, 0, PSH, SYN, SYN | ACK,
                                  SYN | ACK, SYN | FIN, RST | FIN, rng.randrange(256)))
    if rng.random() < .9:  # the end is not the subject
        fields["flags"] &= ~FIN
        if fields["flags"] & RST:
            fields["flags"] = fields["flags"] & ~RST | ACK
    elif rng.random() < .5:
        fields["flags"] = rng.choice((RST, RST | ACK, FIN | ACK, FIN))


def draw_macs(rng, connection, side, fields):
    other = connection.other(side)
    macs = bytearray(side.macs)
    choice = rng.randrange(5)
    if choice == 0:
        macs = macs[6:] + macs[:6]
    elif choice == 1:
        macs[:6] = other.macs[6:]
    elif choice == 2:
        macs[6:] = other.macs[6:]
    else:
        macs[rng.randrange(12)] ^= 1 << rng.randrange(1, 8)
    fields["macs"] = bytes(macs)


def draw_ip_options(rng, family, fields):
    if family == "v4":
        fields["header"]["ip_options"] = rng.choice((b"\1", b"\0", b"\7\7\4\0\0\0\0", b"\x83\7\4\0\0\0\0", b"\x94\4\0\0", b"\7\1"))
    else:
        fields["header"]["ip_options"] = rng.choice((b"\0", b"\x3c", b"\x2b", b"\x33"))


def draw(rng, connection, side):
    """Fields for Connection.frame."""
    family = connection.family
    fields = {"header": {}}
    header = fields["header"]
    if rng.random() < .6:
        size = rng.choice((0, 1, 7, 100, 536, rng.randrange(1500), near(rng, 1360 - 20, 1410 - 20, 1360, 1410) % 4000, 3000))
        fields["payload"] = bytes([rng.randrange(256)]) * size
    if rng.random() < .6:
        draw_numbers(rng, connection, side, fields)
    if rng.random() < .2:
        draw_flags(rng, fields)
    if rng.random() < .15:
        header["ttl"] = rng.choice((0, 1, 1, 2, 2, 64, 255))
    if rng.random() < .1:
        header["tos"] = rng.randrange(256)
    if rng.random() < .05 and family == "v4":
        header["bad_checksum"] = rng.choice((1, 0x100, 0xffff, rng.randrange(1, 1 << 16)))
    if rng.random() < .05 and family == "v4":
        header["fragment"] = rng.choice((0x4000, 0x4000, 0x8000, 0x2000, 1, 0x1fff))
    # Which options all of its fragments have is another test's subject.
    if rng.random() < .05 and len(fields.get("payload", b"")) < 1200:
        draw_ip_options(rng, family, fields)
    if rng.random() < .05:
        fields["options"] = rng.choice((b"\1", b"\1\1\x08\x0a" + bytes(8), b"\0" * 40, b"\2\4\5\xb4", b"\xff\0"))
    if rng.random() < .03:
        fields["offset"] = rng.randrange(16)
    if rng.random() < .05:
        header["more"] = rng.choice((-1, 1, -20, -40, 40, rng.randrange(-100, 100)))
    if rng.random() < .05:
        fields["padding"] = bytes(rng.choice((1, 2, 4, 46, 200, 1500)))
    if rng.random() < .02:
        header["protocol"] = rng.choice((17, 1, 58, 132, 4, 255))
    if rng.random() < .05:
        draw_macs(rng, connection, side, fields)
    if rng.random() < .01:
        fields["tag"] = b"\x81\0" + rng.randrange(1 << 16).to_bytes(2, "big")
    if rng.random() < .03 and family == "v4" and set(header) <= {"ttl", "tos"}:
        fields["mapped"] = True
    return fields


def cut(rng, frame, number):
    """A frame without options as two fragments, sometimes the second one first."""
    if frame[12:14] == b"\x08\0":
        body, size = frame[34:], rng.choice((24, 32, (len(frame) - 34) // 2 // 8 * 8))
        pieces = [ipv4(frame[26:30], frame[30:34], part, frame[22], number=number, fragment=field)
                  for part, field in ((body[:size], 0x2000), (body[size:], size // 8))]
    else:
        body, size = frame[54:], rng.choice((24, 32, (len(frame) - 54) // 2 // 8 * 8))
        pieces = [ipv6(frame[22:38], frame[38:54], struct.pack("!BBHI", 6, 0, field, number) + part, frame[21], protocol=44)
                  for part, field in ((body[:size], 1), (body[size:], size))]
    pieces = [frame[:14] + piece for piece in pieces]
    return pieces[::-1] if rng.random() < .3 else pieces


def play(player, connection, rng):
    side = rng.choice((connection.left, connection.right))
    fields = draw(rng, connection, side)
    header = fields.pop("header")
    whole = not header and not set(fields) & {"padding", "tag", "mapped", "offset"}
    if connection.family == "v4" and not fields.get("mapped"):
        header["number"] = player.number % 65536
    frame = connection.frame(side, **fields, **header)
    frames = [frame]
    if whole and 100 < len(fields.get("payload", b"")) < 1300 and rng.random() < .1:
        frames = cut(rng, frame, player.number)
    if not player.step(connection, side, frames) or "protocol" in header:
        return
    other, flags = connection.other(side), fields.get("flags", ACK)
    seq, ack = fields.get("seq", side.end), fields.get("ack", other.end)
    if not flags & (SYN | RST):
        side.passed((seq + octets(frame)) % SPACE, ack, fields.get("window", side.window))
    if flags & FIN or flags & RST and seq in (side.end, other.ack):
        assert connection.state in ("closing", "closed"), f"{player}: {connection.state} behind the end"


@pytest.mark.parametrize("way", ["near", "far"])
def test_kernel_and_sluice_agree(lab, family, way, request):
    label = f"SLUICE_SEED={SEED} {request.node.name}"
    rng = random.Random(f"{SEED} {family} {way}")
    with Client(lab.nodes["a"].api) as client:
        player = Player(lab, client, label)
        player.arrived()
        connection = Connection(player, lab[way], family, rng)
        for _ in range(PACKETS):
            play(player, connection, rng)
            if connection.state != "established" or not (connection.offloaded or connection.recover()):
                connection = Connection(player, lab[way], family, rng)


def routed(frame, at):
    """As it leaves where it was routed to that workload; its IP header has no options."""
    data = bytearray(mac(at.mac) + mac(at.gateway_mac()) + frame[12:])
    if frame[12:14] == b"\x08\0":
        data[22] -= 1
        data[24:26] = bytes(2)
        data[24:26] = checksum(data[14:34]).to_bytes(2, "big")
    else:
        data[21] -= 1
    return bytes(data)


@pytest.mark.parametrize("way", ["near", "far"])
def test_large_sends(lab, family, way, request):
    """One piece, but only of what may become segments: not too many, and none too large for the way."""
    rng = random.Random(f"{SEED} large {family} {way}")
    sender = Sender(lab["left"])
    with Client(lab.nodes["a"].api) as client:
        player = Player(lab, client, f"SLUICE_SEED={SEED} {request.node.name}")
        player.arrived()
        connection = Connection(player, lab[way], family, rng)
        while connection.right.size() < 65536 + 2000:
            connection = Connection(player, lab[way], family, rng)
        side, start = connection.left, 34 if family == "v4" else 54
        for _ in range(PACKETS // 4):
            size = rng.choice((1, 31, 32, 33, 40, 250, 251, 255, 256, 1000, 1340, 1341, 1360, 1361, 1390, 1391, 1410, 1411))
            payload = min(rng.choice((size * 2, size * 256, size * 256 + 1, rng.randrange(2 * size, 60000 + 2 * size))), 60000)
            frame = connection.frame(side, payload=bytes(payload), **({"fragment": 0x4000} if family == "v4" else {}))
            outputs, drops = collections.Counter(), collections.Counter()
            if size < 32 or payload > size * 256:
                drops["offload"] += 1
            elif size + 20 + start - 14 > (1450 if way == "near" else 1400):
                drops["too-big"] += 1
            else:
                outputs[way, frame if way == "near" else routed(frame, lab[way])] += 1
            player.number += 1
            player.steps = [f"{payload} bytes in segments of {size}"]
            sender.send_segments(frame, family, size)
            player.compare([frame], outputs, drops)
            late = drops["too-big"] and size + 20 + start - 14 <= 1450
            if outputs or late:
                side.passed((side.end + payload) % SPACE, connection.right.end, side.window)
            connection.packets += bool(outputs or late)
            connection.bytes += len(frame) * bool(outputs or late)
            player.check_flow(connection, side, [])
            player.plain(connection, connection.right)
            assert connection.offloaded or connection.recover()
    sender.close()
