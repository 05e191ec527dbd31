"""Numbered datagrams that are answered, what is allowed at times, and what never is."""

import errno
import itertools
import socket
import time

import world as worlds
from connections import PATIENCE
from loop import READ, WRITE
from packets import UDP, Ether, Raw, ip_header
from servers import HELLO, address, open_socket

_numbers = itertools.count(1)


class Datagrams:
    """Some may be lost, but not all for long."""

    INTERVAL = 0.02

    def __init__(self, traffic, client, way, family):
        self.traffic, self.loop = traffic, traffic.loop
        self.text = f"datagrams {family} from {client} to {way}"
        self.number = next(_numbers)
        traffic.servers.datagrams[self.number] = self
        self.socket = open_socket(traffic.world[client].netns, family, "udp")
        self.socket.connect((address(traffic.world, way, family)[0], worlds.UDP))
        self.sent = self.came = self.answers = 0
        self.last = 0  # of what was answered, the number
        self.heard, self.silence = time.monotonic(), 0
        self.failed = False
        self.loop.watch(self.socket, READ, self.answered)
        self.tick()

    def __str__(self):
        return self.text

    def tick(self):
        if self.socket.fileno() < 0:
            return
        self.sent += 1
        try:
            self.socket.send(b"%*d%d" % (HELLO, self.number, self.sent))
        except OSError:  # its interface may be away
            pass
        self.loop.after(self.INTERVAL, self.tick)

    def arrived(self, number):
        if not 0 < number <= self.sent:
            self.loop.problem(f"{self.text}: number {number} came, and {self.sent} were sent")
        self.came += 1

    def answered(self, _events):
        try:
            while data := self.socket.recv(2048):
                self.answers += 1
                self.last = int(data[HELLO:])
                now = time.monotonic()
                self.silence = max(self.silence, now - self.heard)
                self.heard = now
        except OSError:
            pass

    def look(self):
        if not self.failed and time.monotonic() - self.heard > PATIENCE:
            self.failed = True
            self.loop.problem(f"{self.text}: no answer for {PATIENCE} s")

    def close(self):
        self.loop.close(self.socket)


class AtTimes:
    """What the rule SOMETIMES is about: each datagram says whether there was one when it was sent."""

    def __init__(self, traffic, client, way, family):
        self.loop = traffic.loop
        self.socket = open_socket(traffic.world[client].netns, family, "udp")
        self.socket.connect((address(traffic.world, way, family)[0], worlds.AT_TIMES))
        self.allowed = None  # None: nothing is sent
        self.tick()

    def tick(self):
        if self.socket.fileno() < 0:
            return
        if self.allowed is not None:
            try:
                self.socket.send(b"allowed" if self.allowed else b"forbidden")
            except OSError:
                pass
        self.loop.after(0.02, self.tick)

    def close(self):
        self.loop.close(self.socket)


class Stranger:
    """Tries to reach servers, by TCP and UDP, and never does."""

    def __init__(self, traffic, name):
        self.world, self.loop, self.name = traffic.world, traffic.loop, name
        self.targets = itertools.cycle((way, family) for way in (*worlds.SERVERS, "balanced")
                                       for family in worlds.FAMILIES)
        self.udp = {family: open_socket(self.world[name].netns, family, "udp") for family in worlds.FAMILIES}
        self.tried = 0
        self.ended = False
        self.tick()

    def tick(self):
        if self.ended:
            return
        way, family = next(self.targets)
        host, port = address(self.world, way, family)
        self.tried += 1
        try:
            self.udp[family].sendto(b"forbidden %d" % self.tried, (host, worlds.UDP))
        except OSError:
            pass
        made = open_socket(self.world[self.name].netns, family, "tcp")
        if made.connect_ex((host, port)) == errno.EINPROGRESS:
            self.loop.watch(made, WRITE, lambda _: self.connected(made, way, family))
        self.loop.after(2, lambda: self.loop.close(made))
        self.loop.after(0.1, self.tick)

    def connected(self, made, way, family):
        self.loop.forget(made)
        # A reset is what Sluice says where a LoadBalancer's member has gone.
        if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            self.loop.problem(f"{self.name} has reached {way} by {family}, which no rule allows")

    def close(self):
        self.ended = True
        for made in self.udp.values():
            self.loop.close(made)


class Forger:
    """Sends frames under another workload's addresses, with that one's MAC address or its own."""

    def __init__(self, traffic, name, victim, target):
        world, self.loop = traffic.world, traffic.loop
        sender, victim, target = world[name], world[victim], world[target]
        self.wire = sender.wire
        self.frames = itertools.cycle([
            bytes(Ether(src=mac, dst=target.mac) / ip_header(victim.address[family], target.address[family])
                  / UDP(sport=worlds.UDP, dport=worlds.UDP) / Raw(b"forbidden, forged"))
            for family in worlds.FAMILIES for mac in (victim.mac, sender.mac)])
        self.sent = 0
        self.ended = self.paused = False
        self.tick()

    def tick(self):
        if self.ended:
            return
        self.loop.after(0.05, self.tick)
        if self.paused:
            return
        try:
            self.wire.socket.send(next(self.frames))
            self.sent += 1
        except OSError:
            pass

    def close(self):
        self.ended = True
