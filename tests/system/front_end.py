"""The front-end of a vhost-user port, with rings of its own making: a guest that does whatever a test wants done."""

import array
import mmap
import os
import socket
import struct

SET_FEATURES, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 2, 5, 8, 9, 10
GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ENABLE = 11, 12, 13, 18
FEATURES = 1 << 32 | 1 << 30  # VERSION_1, PROTOCOL_FEATURES
HEADER = bytes(12)  # virtio's
WRITE = 2

SIZE = 1 << 21
GUEST, USER = 1 << 30, 0x7f0000000000
RING = 256
ROOM = 0x4000  # of a ring
AVAILABLE, USED = 0x1000, 0x2000
BUFFERS, BUFFER = 0x10000, 2048
TO_GUEST, FROM_GUEST = 0, 1


class Memory:
    """A file of memory that can be shared."""

    def __init__(self, size=SIZE):
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self.bytes = mmap.mmap(self.fd, size)

    def close(self):
        self.bytes.close()
        os.close(self.fd)


class FrontEnd:
    """Connects to a port's socket, and has a ring in each direction."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.memory = Memory()
        self.kicks = [os.eventfd(0), os.eventfd(0)]
        self.calls = [os.eventfd(0), os.eventfd(0)]
        self.places = [0, 0]
        self.say(SET_FEATURES, struct.pack("<Q", FEATURES))
        self.share(self.memory)
        for ring in (TO_GUEST, FROM_GUEST):
            self.start(ring, 0)
        self.offer(RING)

    def say(self, request, payload, fd=None):
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.socket.sendmsg([struct.pack("<III", request, 1, len(payload)) + payload], rights)

    def share(self, memory, size=SIZE):
        """The memory map is this and nothing else."""
        self.say(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, GUEST, size, USER, 0), memory.fd)

    def start(self, ring, base):
        user = USER + ring * ROOM
        self.say(SET_VRING_CALL, struct.pack("<Q", ring), self.calls[ring])
        self.say(SET_VRING_NUM, struct.pack("<II", ring, RING))
        self.say(SET_VRING_BASE, struct.pack("<II", ring, base))
        self.say(SET_VRING_ADDR, struct.pack("<IIQQQQ", ring, 0, user, user + USED, user + AVAILABLE, 0))
        self.say(SET_VRING_KICK, struct.pack("<Q", ring), self.kicks[ring])
        self.say(SET_VRING_ENABLE, struct.pack("<II", ring, 1))

    def stop(self, ring):
        """Where the other end was."""
        self.say(GET_VRING_BASE, struct.pack("<II", ring, 0))
        return struct.unpack("<II", self.socket.recv(20, socket.MSG_WAITALL)[12:])[1]

    def kick(self, ring):
        os.eventfd_write(self.kicks[ring], 1)

    def _put(self, ring, size, flags):
        """Makes the next descriptor available."""
        at, place = ring * ROOM, self.places[ring]
        number = place % RING
        buffer = BUFFERS + (ring * RING + number) * BUFFER
        struct.pack_into("<QIHH", self.memory.bytes, at + 16 * number, GUEST + buffer, size, flags, 0)
        struct.pack_into("<H", self.memory.bytes, at + AVAILABLE + 4 + 2 * number, number)
        self.places[ring] = place + 1
        struct.pack_into("<H", self.memory.bytes, at + AVAILABLE + 2, (place + 1) & 0xffff)

    def offer(self, count):
        """Room for so many packets more."""
        for _ in range(count):
            self._put(TO_GUEST, BUFFER, WRITE)
        self.kick(TO_GUEST)

    def send(self, frame):
        data = HEADER + bytes(frame)
        at = BUFFERS + (FROM_GUEST * RING + self.places[FROM_GUEST] % RING) * BUFFER
        self.memory.bytes[at:at + len(data)] = data
        self._put(FROM_GUEST, len(data), 0)
        self.kick(FROM_GUEST)

    def used(self, ring):
        """How many buffers came back, modulo 65536."""
        return struct.unpack_from("<H", self.memory.bytes, ring * ROOM + USED + 2)[0]

    def close(self):
        self.socket.close()
        self.memory.close()
        for fd in (*self.kicks, *self.calls):
            os.close(fd)
