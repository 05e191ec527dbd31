"""Connections through which data runs while the test looks at what the nodes say of them."""

import fcntl
import hashlib
import socket
import sys
import termios
import threading

from node import eventually

TTL = {"v4": (socket.IPPROTO_IP, socket.IP_TTL), "v6": (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
ASK_TTL = {"v4": (socket.IPPROTO_IP, 12), "v6": (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT)}


# A connection whose sides have both said that they end. Where an end was sent twice, because the machine was slow, the
# second acknowledgement meets no socket any more and is answered by a reset.
ENDED = ("time-wait", "closed")


class Stream:
    """A TCP connection from a client, through which data runs until it is ended."""

    def __init__(self, lab, to, family, client="client"):
        self.lab, self.family, self.to = lab, family, to
        self.client, self.server = lab[client].connection(to, 80, family)
        self.server.settimeout(60)
        self.port = self.client.getsockname()[1]
        self.received = 0
        self.stopping = False
        self.sent = hashlib.sha256()
        self.got = hashlib.sha256()
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        block = bytes(range(256)) * 64
        try:
            while not self.stopping:
                self.client.sendall(block)
                self.sent.update(block)
            self.client.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _receive(self):
        try:
            while data := self.server.recv(1 << 20):
                self.got.update(data)
                self.received += len(data)
        except OSError:
            pass

    def flow(self, node="a"):
        found = self.lab.nodes[node].flows(sourcePort=self.port, destination=self.to.address[self.family])
        return found[0] if found else None

    def offloaded(self, *nodes):
        """On each of these nodes, or on all that there are."""
        return all((self.flow(node) or {}).get("offloaded") for node in nodes or self.lab.nodes)

    def goes_on(self, size=1 << 20):
        seen = self.received
        eventually(lambda: self.received > seen + size)

    def end(self):
        """Both sides have said all; it was the same."""
        self.stopping = True
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads), f"{self.received} bytes have arrived, and no end"
        self.server.close()
        self.client.close()
        assert self.sent.digest() == self.got.digest()

    def cut(self):
        """The end of one that can't end."""
        self.stopping = True
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(30)
        self.client.close()
        self.server.close()


class Datagrams:
    """Two UDP sockets that know each other."""

    def __init__(self, lab, to, family):
        self.client = lab["client"].open_socket(family, socket.SOCK_DGRAM)
        self.server = to.open_socket(family, socket.SOCK_DGRAM)
        self.client.bind((lab["client"].address[family], 0))
        self.server.bind((to.address[family], 0))
        self.client.connect(self.server.getsockname())
        self.server.connect(self.client.getsockname())
        self.lab, self.family, self.port = lab, family, self.client.getsockname()[1]

    def flow(self, node="a"):
        found = self.lab.nodes[node].flows(protocol="udp", sourcePort=self.port)
        return found[0] if found else None

    def offloaded(self):
        return all((self.flow(node) or {}).get("offloaded") for node in self.lab.nodes)

    def talk(self, count, size=100):
        for number in range(count):
            data = number.to_bytes(4, "big") * (size // 4)
            self.client.send(data)
            assert self.server.recv(2000) == data
            self.server.send(data)
            assert self.client.recv(2000) == data

    def until_offloaded(self):
        eventually(lambda: self.talk(64) or self.offloaded())

    def set_ttl(self, ttl):
        """Of what the client sends; for IPv6 the hop limit."""
        self.client.setsockopt(*TTL[self.family], ttl)

    def ttl_received(self):
        """The server's, of a packet that the client sends now."""
        self.server.setsockopt(*ASK_TTL[self.family], 1)
        self.client.send(b"x")
        (_, _, value), = self.server.recvmsg(100, 100)[1]
        return int.from_bytes(value, "little")

    def close(self):
        self.client.close()
        self.server.close()


def judge_anew(lab, number):
    """A change that is no connection's business, another one for each number: all are judged anew."""
    lab.apply({"kind": "SecurityGroup", "name": "unused",
               "rules": [{"direction": "ingress", "protocol": "tcp", "ports": str(number + 1)}]})


def stopped(stream):
    """What has arrived when nothing more does, and nothing of it waits to be read."""
    def unread():
        return int.from_bytes(fcntl.ioctl(stream.server, termios.FIONREAD, bytes(4)), sys.byteorder)

    def quiet():
        """For a while, and for another: what is on its way may meet somebody who stands still."""
        at = stream.received
        for _ in range(2):
            threading.Event().wait(0.3)
            if unread() or at != stream.received:
                return None
        return at

    return eventually(quiet)


def received(stats, *names):
    return sum(int(stats["ports"][name]["rxPackets"]) for name in names)


def handled(stats):
    return sum(int(worker["packets"]) for worker in stats["workers"])


def counted(lab, port, reason, action):
    before = lab.drops().get((port, reason), 0)
    action()
    eventually(lambda: lab.drops().get((port, reason), 0) > before, what=f"{port}: nothing was dropped as {reason}")
