"""The programs in the kernel hold packets against the same rules as Sluice: random packets of offloaded connections, and
what became of each, against what `sluice trace` says.

A failure names its seed: SLUICE_SEED=N draws these packets again, SLUICE_PACKETS=N draws more of them.
"""

import collections
import os
import pathlib
import random
import struct

import pytest

import netns
from netns import ip
from offload_player import Connection, Player
from raw_frames import ACK, FIN, PSH, RST, SPACE, SYN, URG, checksum, ipv4, ipv6, mac, octets
from test_grpc_client import Client
from virtio import Sender

SEED = int(os.environ.get("SLUICE_SEED", 1))
PACKETS = int(os.environ.get("SLUICE_PACKETS", 400))  # of each connection's kind


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
