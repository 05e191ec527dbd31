"""The traffic's other ends: who listens in workloads and outside, and whom they must never hear."""

import contextlib
import socket

import netns
import outside
import world as worlds
from loop import READ

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}
# What each connection begins with: whose it is, as a number.
HELLO = 16


def open_socket(namespace, family, kind, own=None):
    """`own`: address and port of a server."""
    with netns.inside(namespace):
        made = socket.socket(FAMILIES[family], KINDS[kind])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)
    if kind == "tcp":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if own:
        made.bind(own)
    return made


class Servers:
    """A listener is told by the name of its workload; what is outside is `outside`."""

    def __init__(self, world, loop):
        self.loop = loop
        self.waiting = {}  # connections by their number, until they are accepted
        self.datagrams = {}  # who sends numbered datagrams, by number
        self.sockets = []
        self.at_times = 0  # datagrams that came to the port that is open only at times
        self.strangers = {address for name in worlds.STRANGERS for address in world[name].address.values()}
        for name in (*worlds.SERVERS, *worlds.MEMBERS):
            for family in worlds.FAMILIES:
                self.listen(name, world[name].netns, family, world[name].address[family])
        for family in worlds.FAMILIES:
            self.listen("outside", world.outside.netns, family, outside.FAR[family])

    def listen(self, name, namespace, family, host):
        tcp = open_socket(namespace, family, "tcp", (host, worlds.TCP))
        tcp.listen(64)
        self.loop.watch(tcp, READ, lambda _: self.accept(name, tcp))
        for port, receive in ((worlds.UDP, self.receive), (worlds.AT_TIMES, self.receive_at_times)):
            udp = open_socket(namespace, family, "udp", (host, port))
            self.loop.watch(udp, READ, lambda _, udp=udp, receive=receive: receive(name, udp))
            self.sockets.append(udp)
        self.sockets.append(tcp)

    def accept(self, name, listener):
        with contextlib.suppress(BlockingIOError):
            while True:
                made, peer = listener.accept()
                made.setblocking(False)
                if peer[0] in self.strangers:
                    self.loop.problem(f"{name} was reached by TCP from {peer[0]}, which no rule allows")
                self.loop.watch(made, READ, lambda _, made=made: self.hello(name, made))

    def hello(self, name, made):
        try:
            data = made.recv(HELLO, socket.MSG_PEEK)
        except OSError as problem:
            self.loop.problem(f"{name}: a connection ended at its beginning: {problem}")
            data = b""
        if not data:
            self.loop.close(made)
        if len(data) < HELLO:
            return
        made.recv(HELLO)
        connection = self.waiting.pop(int(data), None)
        if connection:
            connection.accepted(name, made)
        else:
            self.loop.close(made)

    def receive(self, name, udp):
        with contextlib.suppress(BlockingIOError):
            while True:
                data, peer = udp.recvfrom(2048)
                if data.startswith(b"forbidden") or peer[0] in self.strangers:
                    self.loop.problem(f"{name} has got from {peer[0]} what no rule allows: {data}")
                    continue
                if sender := self.datagrams.get(int(data[:HELLO])):
                    sender.arrived(int(data[HELLO:]))
                with contextlib.suppress(OSError):
                    udp.sendto(data, peer)

    def receive_at_times(self, name, udp):
        with contextlib.suppress(BlockingIOError):
            while True:
                data, peer = udp.recvfrom(2048)
                if data.startswith(b"forbidden"):
                    self.loop.problem(f"{name} has got from {peer[0]} what no rule allowed when it was sent: {data}")
                self.at_times += 1

    def close(self):
        for made in self.sockets:
            self.loop.close(made)


def address(world, way, family):
    """Where a way's server is asked, with the port for TCP."""
    if way == "balanced":
        return worlds.BALANCED[family], worlds.BALANCED_PORT
    if way == "outside":
        return outside.FAR[family], worlds.TCP
    return world[way].address[family], worlds.TCP
