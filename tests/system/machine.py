"""A kernel behind a tap, as a virtual machine is: what leaves it goes through a tap of the node's, whose other end a
program holds, with virtio headers on both sides."""

import fcntl
import os
import select
import struct
import threading

import netns

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
TAP, NO_PACKET_INFORMATION, VIRTIO_HEADER = 2, 0x1000, 0x4000
CHECKSUM, TSO4, TSO6 = 1, 2, 4


def open_tap(namespace, name):
    with netns.inside(namespace):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP | NO_PACKET_INFORMATION | VIRTIO_HEADER))
    fcntl.ioctl(fd, TUNSETOFFLOAD, CHECKSUM | TSO4 | TSO6)
    return fd


class Machine:
    """Carries frames between a tap of the node's and the workload's interface, which is a tap too."""

    def __init__(self, workload, there):
        mtu = workload.network.object.get("mtu", 1450)
        self.fds = [open_tap(workload.node.netns, there), open_tap(workload.netns, workload.interface)]
        netns.ip(workload.node.netns, f"link set {there} mtu {mtu} up")
        netns.ip(workload.netns, f"link set {workload.interface} address {workload.mac} mtu {mtu} up")
        self.ended, self.end = os.pipe()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        other = dict(zip(self.fds, reversed(self.fds)))
        while True:
            ready, _, _ = select.select([*self.fds, self.ended], [], [])
            if self.ended in ready:
                return
            for fd in ready:
                try:
                    os.write(other[fd], os.read(fd, 1 << 17))
                except (BlockingIOError, OSError):
                    pass  # a queue that is full loses, as a network card does

    def close(self):
        os.close(self.end)
        self.thread.join()
        for fd in (*self.fds, self.ended):
            os.close(fd)
