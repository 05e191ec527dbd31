"""A VLAN interface in a namespace, on an interface of another: the kernel's own, or the like where it has none.

The like: a veth whose packets get the tag and go out by the interface, and come back without it, by BPF programs of
tc. Checksums, large packets and tags stay where the kernel's own driver has them: beside the packet.
"""

import ctypes
import functools
import os
import socket
import struct
import subprocess

import netns

SYS_BPF = 321
BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS = 5, 3
VLAN_PUSH, VLAN_POP, REDIRECT = 18, 19, 23
INGRESS = 0xfffffff2
RTM_NEWTFILTER, CREATE = 44, 0x605  # request, acknowledge, create, exclusively


@functools.cache
def kernel_has_vlans():
    probe = netns.make("probe")
    try:
        return subprocess.run(["ip", "-n", probe, "link", "add", "link", "lo", "name", "v", "type", "vlan", "id", "1"],
                              capture_output=True, check=False).returncode == 0
    finally:
        netns.remove(probe)


def make(parent_netns, parent, number, namespace, name, mac, mtu):
    """`name` in `namespace`, up: VLAN `number` on `parent`."""
    subprocess.run(["ip", "-n", namespace, "link", "del", name], capture_output=True, check=False)
    if kernel_has_vlans():
        netns.ip(parent_netns, f"link add link {parent} name vlan{number} type vlan id {number}",
                 f"link set vlan{number} netns {namespace}")
        netns.ip(namespace, f"link set vlan{number} name {name} address {mac} mtu {mtu}", f"link set {name} up")
        return
    netns.ip(parent_netns, f"link add vlan{number} mtu {mtu} type veth peer name {name} mtu {mtu} address {mac} "
             f"netns {namespace}", f"link set vlan{number} up")
    netns.ip(namespace, f"link set {name} up")
    with netns.inside(parent_netns):
        outer, inner = socket.if_nametoindex(parent), socket.if_nametoindex(f"vlan{number}")
        for interface in (parent, f"vlan{number}"):
            subprocess.run(["tc", "qdisc", "add", "dev", interface, "clsact"], capture_output=True, check=False)
        _attach(inner, number, [(0xb7, 2, 0, 0, 0x0081), (0xb7, 3, 0, 0, number), (0x85, 0, 0, 0, VLAN_PUSH)]
                + _redirect(outer))
        _attach(outer, number, [(0x61, 2, 1, 20, 0), (0x15, 2, 0, 8, 0),                              # no tag
                                (0x61, 2, 1, 24, 0), (0x57, 2, 0, 0, 0xfff), (0x55, 2, 0, 5, number),  # another one
                                (0x85, 0, 0, 0, VLAN_POP)]
                + _redirect(inner) + [(0xb7, 0, 0, 0, -1), (0x95, 0, 0, 0, 0)])


def _redirect(interface):
    return [(0xb7, 1, 0, 0, interface), (0xb7, 2, 0, 0, 0), (0x85, 0, 0, 0, REDIRECT), (0x95, 0, 0, 0, 0)]


def _attach(interface, priority, instructions):
    """As a filter for what the interface receives; without an answer of its own the next filter is asked."""
    code = b"".join(struct.pack("<BBhi", op, source << 4 | to, offset, value)
                    for op, to, source, offset, value in instructions)
    code, text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(65536)
    attributes = ctypes.create_string_buffer(struct.pack(
        "<IIQQIIQII", BPF_PROG_TYPE_SCHED_CLS, len(instructions), ctypes.addressof(code), ctypes.addressof(text),
        1, len(log), ctypes.addressof(log), 0, 0), 128)
    program = ctypes.CDLL(None, use_errno=True).syscall(SYS_BPF, BPF_PROG_LOAD, attributes, 128)
    assert program >= 0, f"{os.strerror(ctypes.get_errno())}: {log.value.decode()}"

    def attribute(kind, value):
        return struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    options = attribute(6, struct.pack("<I", program)) + attribute(7, b"vlan\0") + attribute(8, struct.pack("<I", 1))
    body = struct.pack("<BxxxiIII", 0, interface, 0, INGRESS, priority << 16 | socket.htons(3)) \
        + attribute(1, b"bpf\0") + attribute(2, options)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(struct.pack("<IHHII", 16 + len(body), RTM_NEWTFILTER, CREATE, 1, 0) + body)
        answer = netlink.recv(65536)
    os.close(program)
    error = struct.unpack_from("<i", answer, 16)[0]
    assert error == 0, f"filter: {os.strerror(-error)}"
