"""TCP connections that have to last: streams both ways, idle ones, and short ones one after the other."""

import errno
import itertools
import socket
import time

import pattern
from loop import READ, WRITE
from servers import HELLO, address, open_socket

_numbers = itertools.count(1)
# No connection may stand still for longer, nor take longer to be opened: a retransmission waits up to twice as long as
# the path was away, and the machine may be busy.
PATIENCE = 60
TICK, PORTION = 0.04, 8192
# No way, or no address of its own.
AWAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
REQUEST, ANSWER = 100, 3000


class Connection:
    """A client's socket, and the server's once it was accepted. `kind` is for messages."""

    kind = "connection"

    def __init__(self, traffic, client, way, family):
        self.traffic, self.loop = traffic, traffic.loop
        self.client, self.way, self.family = client, way, family
        self.ends = [None, None]
        self.failed = None
        self.began = time.monotonic()
        self.open()

    def __str__(self):
        return f"{self.kind} {self.number} {self.family} from {self.client} to {self.way}" + (
            f" ({self.server})" if self.server not in (None, self.way) else "")

    def open(self):
        self.server = None  # who accepted
        self.number = next(_numbers)
        self.traffic.servers.waiting[self.number] = self
        made = open_socket(self.traffic.world[self.client].netns, self.family, "tcp")
        self.ends[0] = made
        result = made.connect_ex(address(self.traffic.world, self.way, self.family))
        if result != errno.EINPROGRESS:
            return self.refused(result)
        self.loop.watch(made, WRITE, self.connected)

    def refused(self, problem):
        self.fail(f"connect: {errno.errorcode[problem]} after {time.monotonic() - self.began:.1f} s")

    def connected(self, _events):
        if problem := self.ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return self.refused(problem)
        self.loop.forget(self.ends[0])
        self.ends[0].send(b"%*d" % (HELLO, self.number))

    def accepted(self, name, made):
        self.server = name
        self.ends[1] = made
        self.loop.forget(made)
        self.begin()

    def begin(self):
        pass

    def choose_again(self):
        """A virtual address has led it to the member that may go: opens another one instead."""
        if self.way != "balanced" or self.server in self.traffic.stable:
            return False
        self.close()
        self.open()
        return True

    def say(self, end, data):
        """As much as there is room for; how much that was."""
        try:
            return self.ends[end].send(data)
        except BlockingIOError:
            return 0
        except OSError as problem:
            self.fail(f"{('client', 'server')[end]} sends: {problem}")
            return 0

    def receive(self, end, size=1 << 15):
        """What has come to this end; None where nothing has, b"" at the end."""
        try:
            return self.ends[end].recv(size)
        except BlockingIOError:
            return None
        except OSError as problem:
            self.lost(end, problem)
            return None

    def lost(self, end, problem):
        self.fail(f"{('client', 'server')[end]} receives: {problem}")

    def fail(self, text):
        if not self.failed:
            self.failed = text
            self.loop.problem(f"{self}: {text}")
            self.close()

    def close(self, reset=False):
        """Reset: nothing waits for the other side."""
        self.traffic.servers.waiting.pop(self.number, None)
        for made in self.ends:
            if made and reset:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.loop.close(made)
        self.ends = [None, None]


class Stream(Connection):
    """Both ends send all the time."""

    kind = "stream"

    def begin(self):
        if self.choose_again():
            return
        self.sent, self.got = [0, 0], [0, 0]
        self.heard = [time.monotonic()] * 2
        self.silence = 0
        for end in (0, 1):
            self.loop.watch(self.ends[end], READ, lambda _, end=end: self.take(end))
        self.tick()

    def tick(self):
        for end in (0, 1):
            if self.ends[end]:
                self.send(end)
        if self.ends[0]:
            self.loop.after(TICK, self.tick)

    def send(self, end):
        self.sent[end] += self.say(end, pattern.part(2 * self.number + end, self.sent[end], PORTION))

    def take(self, end):
        data = self.receive(end)
        if data is None:
            return
        if not data:
            return self.fail("ended before its time")
        if data != pattern.part(2 * self.number + 1 - end, self.got[end], len(data)):
            return self.fail(f"other bytes than were sent, at {self.got[end]}")
        self.got[end] += len(data)
        now = time.monotonic()
        self.silence = max(self.silence, now - self.heard[end])
        self.heard[end] = now

    def look(self):
        """Called once a second."""
        if self.failed:
            return
        since = min(self.heard) if self.server else self.began
        if time.monotonic() - since > PATIENCE:
            self.fail(f"stands still for {PATIENCE} s")


class Idle(Connection):
    """Nothing is said until it is asked for; the server begins."""

    kind = "idle connection"

    def begin(self):
        if self.choose_again():
            return
        self.asked = self.answered = 0
        for end in (0, 1):
            self.loop.watch(self.ends[end], READ, lambda _, end=end: self.take(end))

    def ask(self):
        if not self.failed and self.server:
            self.asked += 1
            self.say(1, b"?")

    def take(self, end):
        data = self.receive(end)
        if data is None:
            return
        if not data:
            return self.fail("ended before its time")
        if end == 0:
            self.say(0, b"!" * len(data))
        else:
            self.answered += len(data)

    def look(self):
        if not self.failed and not self.server and time.monotonic() - self.began > PATIENCE:
            self.fail(f"could not be opened in {PATIENCE} s")


class Short(Connection):
    """A question, an answer, the end; done() follows."""

    kind = "short connection"

    def __init__(self, traffic, client, way, family, done):
        self.done = done
        self.data = [b"", b""]
        super().__init__(traffic, client, way, family)

    def refused(self, problem):
        """Where a node is away for some seconds a neighbour does not answer, and the kernel gives up; programs don't."""
        if problem not in AWAY:
            return super().refused(problem)
        self.close()
        self.loop.after(0.5, lambda: self.failed or self.open())

    def open(self):
        self.gone = self.traffic.interfaces_gone[self.way]
        super().open()

    def lost(self, end, problem):
        """A kernel whose interface goes forgets who was about to connect, and resets it later; programs ask again."""
        if problem.errno != errno.ECONNRESET or self.server or self.traffic.interfaces_gone[self.way] == self.gone:
            return super().lost(end, problem)
        self.close()
        self.loop.after(0.5, lambda: self.failed or self.open())

    def connected(self, events):
        super().connected(events)
        if self.ends[0]:
            self.say(0, bytes(REQUEST))
            self.loop.watch(self.ends[0], READ, self.answer)

    def begin(self):
        self.loop.watch(self.ends[1], READ, self.question)

    def question(self, _events):
        data = self.receive(1)
        if data is None:
            return
        if not data and len(self.data[1]) < REQUEST:
            return self.fail("ended before its question")
        self.data[1] += data
        if len(self.data[1]) == REQUEST:
            self.say(1, bytes(ANSWER))
            self.loop.close(self.ends[1])
            self.ends[1] = None

    def answer(self, _events):
        data = self.receive(0)
        if data is None:
            return
        self.data[0] += data
        if data:
            return
        if len(self.data[0]) < ANSWER:
            return self.fail(f"ended after {len(self.data[0])} of {ANSWER} bytes")
        self.close()
        self.done(self)

    def look(self):
        if not self.failed and time.monotonic() - self.began > PATIENCE:
            self.fail(f"not done in {PATIENCE} s")
