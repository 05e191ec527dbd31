"""Guests that misbehave, on the worker that forwards another workload's datagrams: that one loses nothing."""

import contextlib
import os
import random
import threading
import time

import pytest

from front_end import FROM_GUEST, RING, ROOM, SIZE, TO_GUEST, FrontEnd, Memory
from node import DEADLINE, eventually
from numbered import Numbered
from packets import UDP, fresh_port


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(options=["--workers", "0"])
    lab.network("blue", 1)
    lab.workload("raw", "a", "blue")
    lab.workload("one", "a", "blue", kernel=True, veth=True)
    lab.workload("two", "a", "blue", kernel=True, veth=True)
    lab.guest = lab.workload("guest", "a", "blue", device={"vhostUser": {
        "path": str(lab.directory / "guest.sock"), "mode": "server"}})
    lab.nodes["a"].apply(*lab.objects)
    lab["raw"].listen()
    for name in ("one", "two"):
        lab[name].configure()
    return lab


class Flood:
    """Packets to the guest all the time."""

    def __init__(self, lab):
        self.wire, self.ending = lab["raw"], False
        self.frame = bytes(lab["raw"].frame(lab.guest, UDP(sport=9, dport=9)))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.ending:
            for _ in range(4):
                self.wire.send(self.frame)
            time.sleep(.002)

    def end(self):
        self.ending = True
        self.thread.join()


def for_a_while(step, seconds=.5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        step()


def dies(end, lab):
    del lab
    end.send(bytes(60))


def memory_ends(end, lab):
    """What is mapped goes while the rings are in use."""
    end.send(bytes(60))
    os.ftruncate(end.memory.fd, 0)
    eventually(lambda: "taken its memory away" in lab.nodes["a"].text())


def half_of_the_memory_ends(end, lab):
    """The rings stay, the buffers go."""
    del lab
    for _ in range(RING):
        end.send(bytes(60))
        os.ftruncate(end.memory.fd, 2 * ROOM)
        os.ftruncate(end.memory.fd, SIZE)


def garbage(end, lab):
    """In both rings, everywhere, again and again."""
    del lab
    numbers = random.Random(7)

    def scribble():
        for _ in range(64):
            end.memory.bytes[(at := numbers.randrange(2 * ROOM - 8)):at + 8] = numbers.randbytes(8)
        end.kick(TO_GUEST)
        end.kick(FROM_GUEST)

    for_a_while(scribble)


def floods(end, lab):
    """More packets than anybody takes."""
    del lab
    for_a_while(lambda: [end.send(bytes(60)) for _ in range(100)])


def stops_its_queues(end, lab):
    """Each is taken back and given again, while packets wait in it."""
    def stop_and_go():
        for ring in (TO_GUEST, FROM_GUEST):
            end.start(ring, end.stop(ring))

    for_a_while(stop_and_go)
    still_there(end, lab)
    # It is not said each time.
    assert len(lab.nodes["a"].events("workload connected")) < 64


def other_memory(end, lab):
    """The rings are to be in another file from now on, with the same contents; and again."""
    def change():
        before, end.memory = end.memory, Memory()
        end.memory.bytes[:] = before.bytes[:]
        end.share(end.memory)
        # What was written meanwhile is lost, so the places are told anew.
        for ring in (TO_GUEST, FROM_GUEST):
            end.stop(ring)
            end.places[ring] = end.used(ring)
            end.start(ring, end.places[ring])
        end.offer(RING)
        before.close()

    for_a_while(change)
    still_there(end, lab)


def memory_without_rings(end, lab):
    """The rings are nowhere from now on."""
    nowhere = Memory(4096)
    end.share(nowhere, 4096)
    end.send(bytes(60))
    eventually(lambda: lab.nodes["a"].events("ring of a workload not usable", port="guest"))
    nowhere.close()


MISDEEDS = [dies, memory_ends, half_of_the_memory_ends, garbage, floods, stops_its_queues, other_memory, memory_without_rings]


def joins(lab):
    """A front-end whose packets arrive; as others, it comes again where its connection ends before."""
    def comes():
        with contextlib.suppress(OSError):
            end = FrontEnd(lab.directory / "guest.sock")
            try:
                still_there(end, lab, 2)
                return end
            except (AssertionError, OSError):
                end.close()
        return None

    return eventually(comes)


def still_there(end, lab, deadline=DEADLINE):
    """What it sends arrives."""
    raw = lab["raw"]
    frame = lab.guest.frame(raw, UDP(sport=fresh_port(), dport=7))
    mark = bytes(frame)[-14:]

    def arrives():
        end.send(frame)
        until = time.monotonic() + .1
        while received := raw.wire.receive(max(until - time.monotonic(), 0)):
            if mark in bytes(received):
                return True
        return False

    eventually(arrives, deadline)


@pytest.mark.parametrize("misdeed", MISDEEDS, ids=lambda misdeed: misdeed.__name__)
def test_nobody_else_loses_anything(lab, misdeed):
    stream, flood = Numbered(lab["one"], lab["two"]), Flood(lab)
    try:
        end = joins(lab)
        misdeed(end, lab)
        end.close()
        # Somebody else has the port.
        joins(lab).close()
    finally:
        flood.end()
        lost = stream.end()
    lab.check()
    assert not lost, lab.drops()
