#!/usr/bin/python3
"""Writes the fuzzers' seeds: make_corpus.py DIRECTORY."""

import ipaddress
import os
import struct
import sys

MAC = {"a1": "525400000001", "a2": "525400000002", "a3": "525400000003", "b1": "525400000011",
       "gateway": "02534c001389", "all": "ffffffffffff", "uplink": "0200000000aa",
       "b": "0200000000bb", "group": "3333ff000012", "servers": "333300010002", "routers": "333300000002",
       "nodes": "333300000001"}


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def ethernet(to, source, kind, payload, vlan=None):
    tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
    return bytes.fromhex(MAC[to] + MAC[source]) + tag + struct.pack(">H", kind) + payload


def pseudo(source, to, protocol, size):
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    return addresses + struct.pack(">IHBB", size, 0, 0, protocol)


def ip(source, to, protocol, payload, ttl=64, options=b"", fragment=0, extensions=()):
    """IPv4 or IPv6; `extensions` are (protocol, header without its first byte)."""
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(to)
    if one.version == 4:
        size = 20 + len(options)
        header = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), 1, fragment,
                             ttl, protocol, 0) + one.packed + other.packed + options
        return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload
    for number, rest in reversed(list(extensions)):
        payload = bytes([protocol]) + rest + payload
        protocol = number
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, ttl) + one.packed + \
        other.packed + payload


def packet(source, to, protocol, payload, place, **more):
    """With the transport's checksum at `place`."""
    if place is not None:
        fake = b"" if protocol == 1 else pseudo(source, to, protocol, len(payload))
        value = struct.pack(">H", checksum(fake + payload))
        payload = payload[:place] + value + payload[place + 2:]
    return ip(source, to, protocol, payload, **more)


def tcp(source, to, flags=2, **more):
    return packet(source, to, 6, struct.pack(">HHIIBBHHH", 1234, 80, 1, 0, 0x50, flags, 1000, 0, 0),
                  16, **more)


def udp(source, to, port=53, payload=b"payload", **more):
    return packet(source, to, 17, struct.pack(">HHHH", 1234, port, 8 + len(payload), 0) + payload,
                  6, **more)


def icmp(source, to, kind, code=0, rest=b"\0\1\0\2", payload=b"", **more):
    protocol = 1 if "." in source else 58
    return packet(source, to, protocol, struct.pack(">BBH", kind, code, 0) + rest + payload, 2,
                  **more)


def arp(operation, mac, sender, target):
    return struct.pack(">HHBBH", 1, 0x800, 6, 4, operation) + bytes.fromhex(MAC[mac]) + \
        ipaddress.ip_address(sender).packed + bytes(6) + ipaddress.ip_address(target).packed


def nd(source, to, kind, target, option):
    body = ipaddress.ip_address(target).packed + bytes([option, 1]) + bytes.fromhex(MAC["a1"])
    return icmp(source, to, kind, rest=b"\x20\0\0\0", payload=body, ttl=255)


def vxlan(inner):
    return ethernet("uplink", "b", 0x800, udp("192.0.2.2", "192.0.2.1", port=4789,
                                              payload=struct.pack(">II", 0x08000000, 5001 << 8) +
                                              inner))


def packets():
    a, b, c = "10.1.0.11", "10.1.0.12", "10.2.0.13"
    a6, b6 = "fd00:1::11", "fd00:1::12"
    options = b"\1\4\0\0\0\0\0"  # an extension header's length and padding, before the next one's
    v4 = {
        "tcp": tcp(a, b), "tcp-fin": tcp(a, b, flags=0x11), "udp": udp(a, b),
        "options": udp(a, b, options=b"\1" * 12),
        "sctp": ip(a, b, 132, bytes(12) + b"\1\0\0\x14" + b"\1" * 16),
        "sctp-chunks": ip(a, b, 132, bytes(12) + b"\x0a\0\0\5aaaa" + b"\3\0\0\4" + b"\0\3\0\x14" + bytes(16)),
        "gre": ip(a, b, 47, bytes(8)),
        "first-fragment": udp(a, b, fragment=0x2000), "later-fragment": udp(a, b, fragment=3),
        "echo": icmp(a, b, 8), "echo-reply": icmp(a, b, 0), "timestamp": icmp(a, b, 13),
        "error": icmp(a, b, 3, payload=tcp(b, a)), "error-cut": icmp(a, b, 11, payload=udp(b, a)[:24]),
        "error-error": icmp(a, b, 3, payload=icmp(b, a, 3, payload=udp(a, b))),
        "routed": tcp(a, c),
    }
    v6 = {
        "tcp6": tcp(a6, b6), "udp6": udp(a6, b6), "echo6": icmp(a6, b6, 128),
        "hop-by-hop": udp(a6, b6, extensions=[(0, b"\0" + options[1:])]),
        "chain": tcp(a6, b6, extensions=[(0, b"\0\1\4\0\0\0\0"), (60, b"\0\1\4\0\0\0\0"),
                                         (43, b"\0\4\0\0\0\0\0"), (44, b"\0\0\0\0\0\0\1"),
                                         (51, b"\4" + bytes(22))]),
        "first-fragment6": udp(a6, b6, extensions=[(44, b"\0\0\1\0\0\0\1")]),
        "later-fragment6": udp(a6, b6, extensions=[(44, b"\0\0\x11\0\0\0\1")]),
        "error6": icmp(a6, b6, 2, rest=struct.pack(">I", 1280), payload=tcp(b6, a6)),
    }
    yield "arp", ethernet("all", "a1", 0x806, arp(1, "a1", a, b))
    yield "arp-reply", ethernet("a2", "a1", 0x806, arp(2, "a1", a, b))
    yield "ns", ethernet("group", "a1", 0x86dd, nd(a6, "ff02::1:ff00:12", 135, b6, 1))
    yield "na", ethernet("group", "a1", 0x86dd, nd(a6, "ff02::1", 136, a6, 2))
    yield "gateway", ethernet("gateway", "a1", 0x800, icmp(a, "10.1.0.1", 8))
    yield "gateway6", ethernet("gateway", "a1", 0x86dd, icmp(a6, "fd00:1::1", 128))
    yield "vlan", ethernet("a2", "a1", 0x800, tcp(a, b), vlan=5)
    yield "priority", ethernet("a2", "a1", 0x800, tcp(a, b), vlan=0xe000)
    for name, body in v4.items():
        to = "gateway" if name == "routed" else "a2"
        yield name, ethernet(to, "a1", 0x800, body)
    for name, body in v6.items():
        yield name, ethernet("a2", "a1", 0x86dd, body)
    remote = "10.1.0.21"
    yield "vxlan-tcp", vxlan(ethernet("a1", "b1", 0x800, tcp(remote, a)))
    yield "vxlan-echo", vxlan(ethernet("a2", "b1", 0x800, icmp(remote, b, 8)))
    yield "vxlan-tcp6", vxlan(ethernet("a1", "b1", 0x86dd, tcp("fd00:1::21", a6)))
    yield "vxlan-routed", vxlan(ethernet("a1", "gateway", 0x800, tcp(remote, a)))
    yield "vxlan-arp", vxlan(ethernet("all", "b1", 0x806, arp(1, "b1", remote, a)))
    yield "vxlan-vlan", vxlan(ethernet("a1", "b1", 0x800, tcp(remote, a), vlan=0))
    yield from service_frames()
    yield "underlay-arp", ethernet("all", "b", 0x806, arp(1, "b", "192.0.2.2", "192.0.2.1"))


def dhcp(kind, *options, mac="a1", op=1):
    """A client's message; options are (code, bytes)."""
    body = struct.pack(">BBBBIHH", op, 1, 6, 0, 0x1234, 0, 0) + bytes(16) + bytes.fromhex(MAC[mac]) + bytes(202) + \
        b"c\x82Sc" + bytes([53, 1, kind])
    return body + b"".join(bytes([code, len(data)]) + data for code, data in options) + b"\xff"


def dhcp6(kind, *options):
    client = (1, bytes.fromhex("00030001525400000001"))
    return bytes([kind, 0, 0, 1]) + b"".join(struct.pack(">HH", code, len(data)) + data
                                             for code, data in (client, *options))


def services():
    parameters = (55, bytes([1, 121, 3, 6, 12, 15, 26, 28, 42, 66, 67, 119, 249]))
    own, server = ipaddress.ip_address("10.1.0.11").packed, ipaddress.ip_address("10.1.0.1").packed
    yield "discover", 0, dhcp(1, parameters, (61, b"\1abcdef"), (57, b"\5\xdc"))
    yield "discover-small", 0, dhcp(1, parameters)
    yield "rapid", 0, dhcp(1, (80, b""), (93, b"\0\7"), (60, b"HTTPClient"), (77, b"iPXE"))
    yield "select", 0, dhcp(3, parameters, (50, own), (54, server))
    yield "reboot", 0, dhcp(3, (50, b"\x0a\1\0\x63"))
    yield "inform", 0, dhcp(8, parameters)
    yield "overload", 0, dhcp(1, (52, b"\3"))
    yield "decline", 0, dhcp(4, (50, own), (54, server))
    name = (2, bytes.fromhex("0003000102534c001389"))
    address = struct.pack(">HH", 5, 24) + ipaddress.ip_address("fd00:1::11").packed + bytes(8)
    identity = (3, bytes(12) + address)
    request = (6, struct.pack(">8H", 23, 24, 31, 56, 59, 39, 32, 23))
    yield "solicit", 1, dhcp6(1, identity, request, (39, b"\0"))
    yield "rapid6", 1, dhcp6(1, (14, b""), (3, bytes(12)), (3, bytes(12)), (4, bytes(4)), (25, bytes(12)))
    yield "request6", 1, dhcp6(3, name, identity)
    yield "confirm6", 1, dhcp6(4, identity)
    yield "renew6", 1, dhcp6(5, name, identity, request)
    yield "rebind6", 1, dhcp6(6, identity)
    yield "release6", 1, dhcp6(8, name, identity)
    yield "information6", 1, dhcp6(11, request, (15, b"\0\4iPXE"))
    yield "unicast6", 2, dhcp6(5, name, identity)


def service_frames():
    """The same as workloads send them; and router solicitations."""
    for name, which, data in services():
        if which == 0:
            body = udp("0.0.0.0", "255.255.255.255", port=67, payload=data)
            yield name, ethernet("all", "a1", 0x800, body)
        else:
            body = udp("fe80::5054:ff:fe00:1", "ff02::1:2", port=547, payload=data)
            yield name, ethernet("servers", "a1", 0x86dd, body)
    source = bytes([1, 1]) + bytes.fromhex(MAC["a1"])
    yield "rs", ethernet("routers", "a1", 0x86dd, icmp("fe80::5054:ff:fe00:1", "ff02::2", 133, rest=bytes(4),
                                                       payload=source, ttl=255))
    yield "rs-none", ethernet("routers", "a1", 0x86dd, icmp("::", "ff02::2", 133, rest=bytes(4), ttl=255))
    yield "ra", ethernet("nodes", "a1", 0x86dd, icmp("fe80::5054:ff:fe00:1", "ff02::1", 134, rest=bytes(4),
                                                     payload=bytes(8) + source, ttl=255))


def step(data):
    """A frame as the data plane's fuzzer takes it: at the port whose MAC address it has, or the uplink."""
    ports = {bytes.fromhex(MAC[name]): number for number, name in enumerate(["a1", "a2", "a3"], 1)}
    return bytes([0x08 | ports.get(data[6:12], 0)]) + struct.pack("<H", len(data)) + data


def planes():
    steps = [step(data) for _, data in packets()]
    for (name, _), one in zip(packets(), steps):
        yield name, one + b"\x40\2\0" + one + b"\x20\0\0" + bytes([one[0] | 0x80]) + one[1:]
    for first in range(0, len(steps), 16):
        yield f"all-{first}", b"".join(steps[first:first + 16])


def memberships():
    v4, v6 = b"\xef\1\2\3", b"\xff\5" + bytes(13) + b"\7"
    for name, kind in (("query", 0x11), ("v1", 0x12), ("v2", 0x16), ("leave", 0x17)):
        yield "igmp-" + name, b"\1" + bytes([kind, 0, 0, 0]) + v4
    yield "igmp-v3", b"\1\x22\0\0\0\0\0\0\2\4\0\0\0" + v4 + b"\5\1\0\1" + v4 + b"sourcdata"
    for name, kind in (("query", 130), ("v1", 131), ("done", 132)):
        yield "mld-" + name, b"\0" + bytes([kind]) + bytes(7) + v6
    yield "mld-v2", b"\0\x8f\0\0\0\0\0\0\2\4\0\0\0" + v6 + b"\5\1\0\1" + v6 + b"source of it all data"


def fragments():
    """Frames, and steps with fragments of datagrams, as the fuzzer of fragments takes them."""
    for name, data in packets():
        if "fragment" in name:
            yield name, b"\3" + data

    def piece(number, source, offset, size, more, cost=0):
        return struct.pack("<BBBHHB", more, number, source, offset // 8, size, cost)

    def other(kind, number=0, seconds=0):
        return struct.pack("<BBBHHB", kind, number, 0, 0, seconds, 0)

    first, middle, last = piece(1, 0, 0, 16, 1), piece(1, 0, 16, 8, 1), piece(1, 0, 24, 5, 0)
    yield "order", b"\0" + first + middle + last
    yield "reverse", b"\0" + last + middle + first
    yield "copies", b"\0" + middle + middle + last + last + first
    yield "overlap", b"\0" + first + piece(1, 0, 8, 8, 1) + last
    yield "two-ends", b"\0" + last + piece(1, 0, 32, 8, 0) + first
    yield "sources", b"\0" + b"".join(piece(1, source, at, 8, at < 16) for at in (0, 8, 16) for source in range(4))
    yield "costs", b"\0" + b"".join(piece(number, 2, 8, 8, 1, 3) for number in range(40))
    yield "many", b"\0" + b"".join(piece(number, 3, 8, 8, 1) for number in range(80))
    yield "time", b"\0" + first + other(0x20, seconds=31) + middle + last + first
    yield "ended", b"\0" + first + other(0x40, 1) + middle + last + other(0x60) + first + middle + last


def documents():
    yield "node", "kind: Node\nname: a\nvtep: 192.0.2.1/24\ngateway: 192.0.2.254\n" \
        "uplink: {netdev: up0}\n"
    yield "node6", "kind: Node\nname: b\nvtep: 2001:db8::1/64\nuplink: {pci: '0000:3b:00.0'}\n"
    yield "group", "kind: SecurityGroup\nname: web\nrules:\n" \
        "- {direction: ingress, protocol: tcp, ports: 80-81, remote: {cidr: 0.0.0.0/0}}\n" \
        "- {direction: ingress, protocol: icmp, icmpType: 8, icmpCode: 0, remote: {group: web}}\n" \
        "- {direction: egress, protocol: '47'}\n"
    yield "all", "kind: Node\nname: a\n---\nkind: Vrf\nname: v\n---\nkind: Network\nname: n\n" \
        "vni: 5001\nvrf: v\nmtu: 1450\nencapsulation: vxlan\nsubnets:\n" \
        "- {cidr: 10.1.0.0/24, gateway: 10.1.0.1, dns: [10.1.0.2]}\n" \
        "- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}\n---\nkind: SecurityGroup\nname: web\n" \
        "rules: [{direction: egress}]\n---\nkind: Port\nname: p\nnode: a\nnetwork: n\n" \
        "mac: '52:54:00:00:00:01'\naddresses: [10.1.0.11, 'fd00:1::11']\n" \
        "allowedAddresses: [10.1.0.100/32, 192.168.0.0/16]\nsecurityGroups: [web]\n" \
        "device: {vhostUser: {path: /run/p.sock, mode: client, queues: 2}}\n"
    yield "json", '{"kind": "Vrf", "name": "v"}'
    yield "anchors", "kind: Vrf\nname: &a v\n---\nkind: Vrf\nname: *a\n"
    yield "block", "kind: Vrf\nname: |\n  a\n  b\n--- # more\nkind: Vrf\nname: >-\n  a\n  b\n...\n"


def header(name, value):
    """A literal without indexing (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def calls():
    def start(method, stream=1, more=()):
        return frame(1, 4, stream, header(b":method", b"POST") + header(b":scheme", b"http") +
                     header(b":path", (b"" if method.startswith(b"/") else b"/sluice.v1.Sluice/") + method) +
                     b"".join(header(name, value) for name, value in more) +
                     header(b":authority", b"x") + header(b"te", b"trailers") +
                     header(b"content-type", b"application/grpc"))

    def message(body, stream=1, flags=1):
        return frame(0, flags, stream, b"\0" + struct.pack(">I", len(body)) + body)

    yield "version", start(b"Version") + message(b"")
    yield "flows", start(b"Flows") + message(b"\n\1p")
    yield "apply", start(b"Apply") + message(b"\n\5\x12\3\n\1v")
    yield "unknown", start(b"Nothing") + message(b"")
    yield "two", start(b"Version") + start(b"Get", 3) + message(b"", 3) + message(b"", 1)
    yield "reset", start(b"Flows") + message(b"") + frame(3, 0, 1, b"\0\0\0\x08")
    yield "window", start(b"Flows") + message(b"") + frame(8, 0, 0, b"\0\1\0\0")
    yield "ping", frame(6, 0, 0, bytes(8)) + frame(4, 0, 0, b"\0\4\0\0\0\1")
    yield "goaway", start(b"Version") + frame(7, 0, 0, bytes(8))
    yield "details", start(b"Delete") + message(b"")
    yield "large", start(b"Stats") + message(b"") + frame(8, 0, 1, b"\0\1\0\0")
    for timeout in (b"1n", b"99999999H", b"5m", b"1S", b"x"):
        yield f"timeout-{timeout.decode()}", start(b"Trace", more=[(b"grpc-timeout", timeout)]) + message(b"")
    for encoding in (b"gzip", b"identity", b"deflate"):
        yield f"encoding-{encoding.decode()}", start(b"Version", more=[(b"grpc-encoding", encoding)]) + message(b"")
    yield "compressed", start(b"Version") + frame(0, 1, 1, b"\1\0\0\0\0")
    yield "headers", start(b"Version", more=[(b"much", b"x" * 120)] * 12) + message(b"")
    for method in (b"Check", b"List", b"Watch"):
        path = b"/grpc.health.v1.Health/" + method
        yield f"health-{method.decode()}", start(path) + message(b"")
        yield f"health-{method.decode()}-named", start(path) + message(b"\n\x10sluice.v1.Sluice")
    for version in (b"v1", b"v1alpha"):
        path = b"/grpc.reflection." + version + b".ServerReflection/ServerReflectionInfo"
        questions = [b"\x3a\0", b"\x22\x0esluice.v1.Port", b"\x1a\x0csluice.proto", b"\x22\x01x",
                     b"\x2a\x04\n\x02ab", b"\x32\x0esluice.v1.Port", b"\n\x01h", b""]
        for i, question in enumerate(questions):
            yield f"reflection-{version.decode()}-{i}", start(path) + message(question)
        yield f"reflection-{version.decode()}", start(path) + \
            b"".join(message(question, flags=0) for question in questions) + \
            frame(8, 0, 0, b"\x00\x1f\0\0") + frame(8, 0, 1, b"\x00\x1f\0\0") + frame(0, 1, 1, b"")
        yield f"reflection-{version.decode()}-reset", start(path) + message(questions[1], flags=0) + \
            frame(3, 0, 1, b"\0\0\0\x08")
        yield f"reflection-{version.decode()}-wrong", start(path) + frame(0, 0, 1, b"\1\0\0\0\0")
    yield "pings", frame(6, 0, 0, bytes(8)) * 4
    yield "resets", b"".join(start(b"Version", i) + frame(3, 0, i, b"\0\0\0\x08") for i in range(1, 40, 2))


def offloads():
    """Virtio headers, a way and frames, as the offload fuzzer takes them."""
    def ip(version, protocol, size):
        if version == 4:
            return struct.pack(">6s6sHBBHHHBBHI4s", bytes(6), bytes(6), 0x800, 0x45, 0, 20 + size, 7, 0, 64, protocol,
                               0, 0x0a000001, bytes((10, 0, 0, 2)))
        return struct.pack(">6s6sHIHBB16s16s", bytes(6), bytes(6), 0x86dd, 6 << 28, size, protocol, 64,
                           b"\xfd" * 16, b"\xfc" * 16)

    def tcp(size):
        return struct.pack(">HHIIBBHHH", 1, 80, 9, 9, 0x50, 0x18, 100, 0, 0) + bytes(size)

    def udp(size):
        return struct.pack(">HHHH", 1, 80, 8 + size, 0) + bytes(size)

    def entry(frame, gso, start, offset, size=500, way=0):
        return struct.pack("<BBHHHH", 1, gso, 0, size, start, offset) + bytes((way,)) + frame

    for version, start, gso in ((4, 34, 1), (6, 54, 4)):
        segment, datagram = tcp(1400), udp(1500)
        for way in (0, 0x80, 0x40, 0xd0):
            frame = ip(version, 6, len(segment)) + segment
            yield f"tcp{version}-{way}", entry(frame, gso, start, 16, way=way)
            yield f"checksum{version}-{way}", entry(frame, 0, start, 16, way=way)
            frame = ip(version, 17, len(datagram)) + datagram
            yield f"uso{version}-{way}", entry(frame, 5, start, 6, way=way)
            yield f"ufo{version}-{way}", entry(frame, 3, start, 6, way=way)
        inner = ip(version, 6, len(segment)) + segment
        outer = udp(8 + len(inner))[:8] + bytes(8) + inner
        yield f"tunnel{version}", entry(ip(4, 17, len(outer)) + outer, gso, 50 + start, 16)


def payloads():
    """A byte that says what it is, and the payload; see fuzz_payload.c."""
    for family in (0, 8):
        yield f"client{family}", bytes([family | 1]) + \
            b"USER me\r\nPORT 10,1,0,11,4,1\r\nEPRT |1|10.1.0.11|6275|\r\nEPRT |2|fd00:1::11|5282|\r\n"
        yield f"server{family}", bytes([family]) + \
            b"227 Entering Passive Mode (10,1,0,11,4,1).\r\n229 Entering Extended Passive Mode (|||6446|)\r\n"
        body = (b"v=0\r\no=alice 1 1 IN IP4 10.1.0.11\r\nc=IN IP4 10.1.0.11\r\nm=audio 49170 RTP/AVP 0\r\n"
                b"a=rtcp:49180 IN IP4 10.1.0.11\r\nm=video 51372 RTP/AVP 31\r\nc=IN IP6 fd00:1::11\r\na=rtcp:51374\r\n")
        head = (b"Via: SIP/2.0/UDP 10.1.0.11:5060;branch=z9;rport=5060;received=10.1.0.11\r\n"
                b"f: \"me\" <sip:alice@[fd00:1::11]>;tag=1\r\nm: <sip:alice@10.1.0.11:5060;maddr=10.1.0.11>\r\n"
                b"c: application/sdp\r\nl: %d\r\n\r\n" % len(body))
        yield f"request{family}", bytes([family | 2]) + b"INVITE sip:bob@203.0.113.7:5062 SIP/2.0\r\n" + head + body
        yield f"response{family}", bytes([family | 2]) + b"SIP/2.0 200 OK\r\n" + head + body
    header = struct.pack(">HHIIBBHHH", 21, 1234, 150, 250, 0xa0, 0x10, 1000, 0, 0)
    yield "sequence", b"\3" + struct.pack("<IIHHhh", 100, 200, 10, 10, 5, -5) + header + \
        struct.pack(">BBBBIIII", 1, 1, 5, 18, 230, 240, 250, 260)
    for name, data in (("tcp", tcp("10.1.0.11", "10.1.0.12")), ("udp", udp("10.1.0.11", "10.1.0.12")),
                       ("udp6", udp("fd00:1::11", "fd00:1::12"))):
        yield f"edit-{name}", b"\4" + struct.pack("<8H", 0, 1, 20, 3, 2, 0, 50, 40 if "6" in name else 20) + \
            ethernet("a2", "a1", 0x86dd if "6" in name else 0x800, data)


def captures():
    """Programs of classic BPF with a packet: `udp port 53` in its short form, arithmetic, memory, a loop's attempt."""
    frame = ethernet("a2", "a1", 0x800, udp("10.1.0.11", "10.1.0.12"))
    for name, program in {
            "udp": [(0x28, 0, 0, 12), (0x15, 0, 6, 0x800), (0x30, 0, 0, 23), (0x15, 0, 4, 17), (0xb1, 0, 0, 14),
                    (0x48, 0, 0, 16), (0x15, 0, 1, 53), (0x06, 0, 0, 262144), (0x06, 0, 0, 0)],
            "arithmetic": [(0x80, 0, 0, 0), (0x04, 0, 0, 5), (0x07, 0, 0, 0), (0x3c, 0, 0, 0), (0x64, 0, 0, 3),
                           (0x6c, 0, 0, 0), (0x84, 0, 0, 0), (0x9c, 0, 0, 0), (0xa4, 0, 0, 1), (0x16, 0, 0, 0)],
            "memory": [(0x00, 0, 0, 9), (0x02, 0, 0, 15), (0x61, 0, 0, 15), (0x03, 0, 0, 1), (0x60, 0, 0, 1),
                       (0x50, 0, 0, 0xfffffff0), (0x16, 0, 0, 0)],
            "back": [(0x05, 0, 0, 0xffffffff), (0x06, 0, 0, 1)]}.items():
        yield name, bytes([len(program)]) + b"".join(struct.pack("<HBBI", *one) for one in program) + frame


def vhost_rings():
    """Rings of eight descriptors with four buffers: one piece, a chain, a table, over the regions' border."""
    size, base, memory = 8, 0x1000, 4096
    parts = memory * 3 // 4 & ~15  # the first region's size
    buffers = base + 1024
    for kind in range(128):
        packed, write = kind & 1, 2 if kind & 64 else 0
        header = 12 if kind & 6 else 10
        image = bytearray(memory)
        shapes = [(buffers, header + 60, 0), (buffers + 200, header, 1), (buffers + 300, 1500, 0),
                  (base + 800, 32, 4), (base + parts - 50, 300, 0)]
        heads = (0, 1, 3, 4)
        for place, (address, length, flags) in enumerate(shapes):
            flags |= write if flags != 4 else 0
            if flags & 4 and not kind & 16:
                address, length, flags = buffers, 70, write
            if packed:
                flags |= 1 << 7
                image[place * 16:place * 16 + 16] = struct.pack("<QIHH", address, length, place, flags)
            else:
                image[place * 16:place * 16 + 16] = struct.pack("<QIHH", address, length, flags, place + 1)
        table = ((buffers, header, write | 1, 1), (buffers + 2000, 100, write, 0))
        for place, (address, length, flags, following) in enumerate(table):
            more = struct.pack("<HH", 0, flags) if packed else struct.pack("<HH", flags, following)
            image[800 + place * 16:816 + place * 16] = struct.pack("<QI", address, length) + more
        if not packed:
            available = struct.pack("<HH4H", 0, len(heads), *heads)
            image[size * 16:size * 16 + len(available)] = available
        if kind & 8:  # a frame whose checksum is missing
            image[1024:1034] = struct.pack("<BBHHHH", 1, 0, 0, 0, 34, 6)
            image[1024 + header:1024 + header + 60] = ethernet("a2", "a1", 0x800, udp("10.1.0.11", "10.1.0.12")).ljust(60, b"\0")
        yield f"ring{kind}", bytes((kind, size if packed else 3, 0, 1)) + image


def front_ends():
    """Steps of fuzz_vhost_user.c."""
    def poke(place, data):
        return struct.pack(">BHB", 5, place, len(data)) + data

    def message(request, payload=b"", files=0):
        return bytes([0, request, 8, len(payload), files]) + payload

    def buffer(ring, write):
        data = poke(ring * 0x2000, struct.pack("<QIHH", 0x108000 + ring * 0x1000, 1514, 2 * write, 0))
        return data + poke(ring * 0x2000 + 0x1800, struct.pack("<HHH", 0, 1, 0))

    rings = b"".join(bytes([4, index, 3]) for index in range(4))
    yield "split", b"\3\x11\1" + rings + buffer(0, 1) + buffer(1, 0) + b"\6\7\6" + message(11, struct.pack("<II", 1, 0))
    yield "packed", b"\3\x51\1" + rings + poke(0x2000, struct.pack("<QIHH", 0x108000, 100, 0, 0x80)) + b"\6\6"
    yield "merged", b"\3\x33\1" + rings + buffer(0, 1) + b"\6" + message(39, struct.pack("<Q", 0)) + b"\6"
    yield "slots", message(16, struct.pack("<Q", 0x1a00f)) + b"\3\x11\0" + rings + message(
        37, struct.pack("<QQQQQ", 0, 0x200000, 4096, 0x7f0000200000, 0), 0x41) + b"\6" + message(
        38, struct.pack("<QQQQQ", 0, 0x200000, 4096, 0x7f0000200000, 0))
    yield "log", message(16, struct.pack("<Q", 0x1a00f)) + b"\3\x11\0" + rings + message(
        6, struct.pack("<QQ", 4096, 0), 0x41) + message(2, struct.pack("<Q", 1 << 32 | 1 << 30 | 1 << 28 | 1 << 26)) + b"\6"
    yield "asked", b"".join(message(request) for request in (1, 3, 15, 17, 36, 40, 34, 4))


def write(directory, seeds):
    os.makedirs(directory, exist_ok=True)
    for name, data in seeds:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(data)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_corpus.py DIRECTORY")
    root = sys.argv[1]
    write(os.path.join(root, "packet"), ((name, b"\1" + data) for name, data in packets()))
    # With some lengths of prefixes.
    write(os.path.join(root, "family"), ((f"{name}-{first}", bytes([first]) + data) for name, data in packets()
                                         for first in (0x01, 0x15)))
    write(os.path.join(root, "capture"), captures())
    write(os.path.join(root, "fragments"), fragments())
    write(os.path.join(root, "membership"), memberships())
    write(os.path.join(root, "offload"), offloads())
    write(os.path.join(root, "payload"), payloads())
    write(os.path.join(root, "plane"), planes())
    write(os.path.join(root, "vhost_ring"), vhost_rings())
    write(os.path.join(root, "dhcp"), ((name, bytes([which]) + data) for name, which, data in services()))
    write(os.path.join(root, "vhost_user"), front_ends())
    write(os.path.join(root, "yaml"), ((name, text.encode()) for name, text in documents()))
    # Preface and settings come from the fuzzer; in one piece.
    write(os.path.join(root, "rpc"), ((name, b"\1" + data) for name, data in calls()))


if __name__ == "__main__":
    main()
