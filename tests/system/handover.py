"""What a sluiced says to the one that takes its place, kept as data, and a small node that has something to hand over.

`record` asks a running sluiced for it (tests/handover/record), `Successor` has today's sluiced take it.
"""

import array
import base64
import fcntl
import gzip
import json
import os
import shutil
import socket
import struct
import subprocess
import time

import netns
from node import BUILD, Node, eventually
from packets import IP, TCP, UDP, Ether, Raw, Wire
from protobuf_fields import fields

PORTS = ("client", "server")
MAC = {"client": "52:54:00:00:00:01", "server": "52:54:00:00:00:02", "far": "52:54:00:00:00:03"}
ADDRESS = {"client": "10.1.0.11", "server": "10.1.0.12", "far": "10.1.0.13"}
NODES = {"a": "192.0.2.1", "b": "192.0.2.2"}

# Of api/handover.proto.
KINDS = ("hello", "prepare", "prepared", "port", "part", "listener", "neighbour", "owner", "end", "taken",
         "failed", "memberHealth")

TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUN_F_CSUM = 0x400454ca, 0x400454d0, 0x400454d8, 1
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
# src/flow/keep.h: where in the header.
LAYOUT, CLOCK, BOOT, BOOT_SIZE = 8, 48, 56, 40

# Like the other process, up to where it would take over; then it ends.
RECORDER = """#!/usr/bin/python3
import base64, json, os, shutil, socket
channel = socket.socket(fileno=3)
hello = b"\\x08\\x01\\x12\\x06record\\x1a\\x01a"
channel.send(b"\\x0a" + bytes([len(hello)]) + hello)
frames, objects = [], b""
while not frames or frames[-1]["bytes"][:2] != "4a":
    data, descriptors, _, _ = socket.recv_fds(channel, 65536, 64)
    if not data:
        raise SystemExit("nothing is said any more")
    if data[:1] == b"\\x12":
        objects = os.pread(descriptors[0], 1 << 24, 0)
        channel.send(b"\\x1a\\x00")
    frames.append({"bytes": data.hex(), "descriptors": len(descriptors)})
for source, name in ((PATH, "table"), (PATH + ".names", "names"), (STATE, "state")):
    shutil.copy(source, PATH + ".kept-" + name)
with open(PATH + ".said", "w", encoding="utf-8") as file:
    json.dump({"frames": frames, "objects": base64.b64encode(objects).decode()}, file)
"""

# Of another version; it hears what can be said before it is ready.
BEGINS = """#!/usr/bin/python3
import os, pathlib, socket, time
channel = socket.socket(fileno=3)
hello = b"\\x08\\x01\\x12\\x03bad\\x1a\\x01a"
channel.send(b"\\x0a" + bytes([len(hello)]) + hello)
for _ in range(2):
    socket.recv_fds(channel, 65536, 16)
"""

DIES = BEGINS + """channel.send(b"\\x1a\\x00")
while socket.recv_fds(channel, 65536, 64)[0][:1] not in (b"\\x4a", b""):
    pass
os._exit(1)
"""

HANGS = BEGINS + """pathlib.Path("{heard}").touch()
time.sleep(1000)
"""


def one_that_dies(path):
    """A program that is given all that there is, and ends before it forwards."""
    path.write_text(DIES, encoding="utf-8")
    path.chmod(0o755)
    return path


def objects():
    for name, address in NODES.items():
        yield {"kind": "Node", "name": name, "vtep": f"{address}/24", "uplink": {"netdev": "up0"}}
    yield {"kind": "Network", "name": "blue", "vni": 5001, "subnets": [{"cidr": "10.1.0.0/24"}]}
    yield {"kind": "SecurityGroup", "name": "servers", "rules": [
        {"direction": "ingress", "protocol": "tcp", "ports": "80"}, {"direction": "ingress", "protocol": "udp", "ports": "53"}]}
    for name in MAC:
        yield {"kind": "Port", "name": name, "node": "b" if name == "far" else "a", "network": "blue", "mac": MAC[name],
               "addresses": [ADDRESS[name]], **({"securityGroups": ["servers"]} if name == "server" else {}),
               "device": {"tap": {"name": f"{name}0"}}}


def frame(source, to, layer):
    return Ether(src=MAC[source], dst=MAC[to]) / IP(src=ADDRESS[source], dst=ADDRESS[to]) / layer


def datagram(source, to, source_port, port):
    return frame(source, to, UDP(sport=source_port, dport=port) / Raw(b"hello"))


def segment(source, to, source_port, port, flags, sequence, acknowledged=0, payload=b""):
    return frame(source, to, TCP(sport=source_port, dport=port, flags=flags, seq=sequence, ack=acknowledged, window=1000)
                 / Raw(payload))


class World:
    """A node's namespace, with an uplink; its process is the caller's to start."""

    def __init__(self):
        self.directory = netns.directory()
        self.netns, self.wire = (netns.make(name, silent=True) for name in ("node-a", "wire"))
        netns.ip(self.netns, f"link add up0 type veth peer name to-a netns {self.wire}", "link set up0 up")
        netns.ip(self.wire, "link set to-a up")
        self.flows = self.directory / "a.flows"
        self.node = Node("a", self.netns, self.directory, ["--workers", "0", "--flows", self.flows])
        self.wires = {}

    def open_wires(self):
        for name in PORTS:
            netns.ip(self.netns, f"link set {name}0 up")
            self.wires[name] = Wire(self.netns, f"{name}0")

    def passes(self, sent, sender, receiver):
        """Again where it may have been sent before somebody was there."""
        def attempt():
            self.wires[sender].send(sent)
            got = self.wires[receiver].receive(1)
            return got is not None and bytes(got[IP].payload) == bytes(sent[IP].payload)
        eventually(attempt)

    def close(self):
        for wire in self.wires.values():
            wire.close()
        try:
            self.node.stop()
        finally:
            for name in (self.netns, self.wire):
                netns.remove(name)
            shutil.rmtree(self.directory, ignore_errors=True)


def converse(world):
    """Connections, drops, and a next hop that is known."""
    for sequence, (sender, receiver, flags, payload) in enumerate((
            ("client", "server", "S", b""), ("server", "client", "SA", b""), ("client", "server", "A", b""),
            ("client", "server", "A", b"question"), ("server", "client", "A", b"answer"))):
        ports = (40000, 80) if sender == "client" else (80, 40000)
        numbers = {"client": (1000, 1001, 1001, 1001), "server": (0, 5000, 5000, 5000, 5001)}[sender]
        other = 0 if sequence == 0 else 1009 if sequence == 4 else 1001 if sender == "server" else 5001
        world.passes(segment(sender, receiver, *ports, flags, numbers[sequence], other, payload), sender, receiver)
    world.passes(datagram("client", "server", 50000, 53), "client", "server")
    world.passes(datagram("server", "client", 53, 50000), "server", "client")
    world.passes(datagram("client", "server", 50001, 53), "client", "server")
    world.wires["client"].send(datagram("client", "server", 50002, 54))
    eventually(lambda: world.node.drops())
    netns.ip(world.wire, f"addr add {NODES['b']}/24 dev to-a")
    world.wires["client"].send(datagram("client", "far", 50003, 53))
    eventually(lambda: int(world.node.stats()["ports"]["uplink"].get("txPackets", 0)) >= 2)


FILES = ("table", "names", "state")
KEPT_OF_FLOW = ("network", "protocol", "source", "sourcePort", "destination", "destinationPort", "state", "packets", "bytes",
                "replyPackets", "replyBytes")


def flows_of(node):
    return sorted(([flow[key] for key in KEPT_OF_FLOW] for flow in node.flows()), key=str)


def counters_of(node):
    return {name: {key: port.get(key) for key in ("rxPackets", "rxBytes", "drops")} for name, port in node.stats()["ports"].items()
            if name in PORTS}


def record():
    """All that a sluiced of today says, and what was so."""
    world = World()
    try:
        node = world.node
        node.start()
        node.apply(*objects())
        world.open_wires()
        converse(world)
        kept = {"version": node.json("version")["version"], "flows": flows_of(node), "counters": counters_of(node)}
        script = world.directory / "record"
        script.write_text(RECORDER.replace("\nchannel", f"\nPATH, STATE = {str(world.flows)!r}, {str(node.state)!r}\nchannel", 1), encoding="utf-8")
        script.chmod(0o755)
        result = node.run("upgrade", "--binary", script)
        assert "the other process has ended" in result.stderr, result.stderr
        kept |= json.loads((world.directory / "a.flows.said").read_text())
        # Nearly all of them are zeros.
        for name in FILES:
            data = world.directory.joinpath(f"a.flows.kept-{name}").read_bytes()
            kept[name] = base64.b64encode(gzip.compress(data, mtime=0)).decode()
        kept["bootTime"] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return kept
    finally:
        world.close()


# ---- the other way round

def fnv(data):
    total = 0xcbf29ce484222325
    for byte in data:
        total = (total ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return total


def table_of_this_boot(table, boot_time, layout=0):
    """The header says of which boot it is, and when its clock began: both are the machine's. `layout` is added to its own."""
    table = bytearray(table)
    checksum = next(at for at in range(BOOT + BOOT_SIZE, 512, 8)
                    if fnv(table[:at]) == int.from_bytes(table[at:at + 8], "little"))
    [number], [clock] = struct.unpack_from("<I", table, LAYOUT), struct.unpack_from("<q", table, CLOCK)
    struct.pack_into("<I", table, LAYOUT, number + layout)
    struct.pack_into("<q", table, CLOCK, clock + time.clock_gettime_ns(time.CLOCK_BOOTTIME) - boot_time)
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        table[BOOT:BOOT + BOOT_SIZE] = file.read(BOOT_SIZE - 1).ljust(BOOT_SIZE, b"\0")
    struct.pack_into("<Q", table, checksum, fnv(table[:checksum]))
    return bytes(table)


def put_varint(value):
    data = b""
    while value > 127:
        data, value = data + bytes([value & 127 | 128]), value >> 7
    return data + bytes([value])


def put_field(number, value):
    if isinstance(value, int):
        return put_varint(number << 3) + put_varint(value)
    return put_varint(number << 3 | 2) + put_varint(len(value)) + value


def of_later_version(data):
    """The frame with fields that nobody knows, in it and in what it holds."""
    [(kind, content)] = fields(data)
    return put_field(kind, content + put_field(900, 7) + put_field(901, b"new")) + put_field(902, b"newer")


class Successor:
    """Today's sluiced, which takes over what was kept. The test plays the one that runs."""

    def __init__(self, world, kept, layout=0):
        self.world, self.kept = world, kept
        table, names, state = (gzip.decompress(base64.b64decode(kept[name])) for name in FILES)
        world.flows.write_bytes(table_of_this_boot(table, kept["bootTime"], layout))
        world.flows.with_name("a.flows.names").write_bytes(names)
        world.node.state.write_bytes(state)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(60)
        node = world.node
        command = ["bash", "-c", f'exec "$@" 3<&{theirs.fileno()} 4</dev/null', "bash", "setpriv", "--pdeathsig", "KILL",
                   BUILD / "sluiced", "--node", "a", "--api", f"unix:{node.api}", "--state", node.state, *node.options]
        with netns.inside(world.netns), open(node.log, "w", encoding="utf-8") as log:
            node.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[theirs.fileno()], env={**os.environ, "SLUICE_TAKE_OVER": "3"})
        theirs.close()

    def heard(self, kind):
        data = self.channel.recv(65536)
        assert data, self.world.node.text()
        [(number, content)] = fields(data)
        assert KINDS[number - 1] == kind
        return dict(fields(content))

    def say(self, data, *descriptors):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.channel.sendmsg([data], ancillary)

    def frames(self, *kinds):
        """(kind, bytes) of what was said, of these kinds."""
        for said in self.kept["frames"]:
            data = bytes.fromhex(said["bytes"])
            if (kind := KINDS[next(fields(data))[0] - 1]) in kinds:
                yield kind, data

    def tap(self, name):
        """As the driver makes it: the process that was had it open."""
        with netns.inside(self.world.netns):
            made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(made, TUNSETVNETHDRSZ, struct.pack("i", 10))
        fcntl.ioctl(made, TUNSETOFFLOAD, TUN_F_CSUM)
        netns.ip(self.world.netns, f"link set {name} up")
        return made

    def prepare(self, change=lambda data: data):
        """What can be said while one still forwards."""
        self.heard("hello")
        [(_, hello)] = self.frames("hello")
        self.say(change(hello))
        given = os.memfd_create("objects")
        os.write(given, base64.b64decode(self.kept["objects"]))
        lock = os.open(self.world.directory / "a.flows.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        [(_, prepare)] = self.frames("prepare")
        self.say(change(prepare), given, lock)
        os.close(given)
        os.close(lock)

    def failed(self):
        """Why it has ended."""
        reason = self.heard("failed")[1].decode()
        process, self.world.node.process = self.world.node.process, None
        assert process.wait(60) == 1, self.world.node.text()
        return reason

    def say_all(self, change=lambda data: data):
        """The devices are the test's: taps are made here, the uplink is opened by the process."""
        self.heard("prepared")
        api, port = socket.socket(socket.AF_UNIX), None
        api.bind(str(self.world.node.api))
        api.listen()
        api.setblocking(False)
        for kind, data in self.frames("port", "part", "listener", "neighbour", "owner", "end"):
            [(_, content)] = fields(data)
            descriptors = []
            if kind == "port":
                port = dict(fields(content)).get(1, b"").decode()
            elif kind == "part" and port in PORTS:
                descriptors = [self.tap(f"{port}0")]
            elif kind == "part":
                continue
            elif kind == "listener":
                descriptors = [api.fileno()]
            self.say(change(data), *descriptors)
            if kind == "part":
                os.close(descriptors[0])
        api.close()
        return int(self.heard("taken").get(1, 0))

