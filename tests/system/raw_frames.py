"""Frames with TCP byte by byte, with any mistake in them: quicker than scapy's."""

import struct

FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))
SPACE = 1 << 32  # of sequence numbers


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return 0xffff ^ ((total & 0xffff) + (total >> 16))


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def octets(frame):
    """Of TCP in a frame, by its headers."""
    if frame[12:14] == b"\x08\0":
        head = (frame[14] & 15) * 4
        size = int.from_bytes(frame[16:18], "big") - head
    else:
        head = 40 + 8 * (frame[20] != 6)
        size = int.from_bytes(frame[18:20], "big") + 40 - head
    return size - (frame[14 + head + 12] >> 4) * 4 + (frame[14 + head + 13] & FIN)


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
