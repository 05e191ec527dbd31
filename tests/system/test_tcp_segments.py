"""TCP segment by segment: what passes, what does not, and the state that it leaves. With one worker and with two."""

import pytest

from conversation import Conversation

EGRESS = {"direction": "egress"}


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1)
    lab.group("ask", EGRESS)
    for name in ("left", "right", "asked"):
        lab.workload(name, "a", "blue")
    lab.workload("asker", "a", "blue", securityGroups=["ask"])
    return lab.up()


def test_handshake(lab, family):
    it = Conversation(lab, family)
    assert it.send("S") == "syn-sent"
    it.next[it.left] -= 1
    assert it.send("S") == "syn-sent"
    assert it.answer("SA") == "syn-received"
    assert it.send("A") == "established"
    assert it.send("PA", b"question") == "established"
    assert it.answer("A") == "established"


def test_close_by_both(lab, family):
    it = Conversation(lab, family)
    it.handshake()
    assert it.send("FA") == "closing"
    assert it.answer("A") == "closing"
    assert it.answer("PA", b"the rest") == "closing"
    assert it.send("A") == "closing"
    assert it.answer("FA") == "time-wait"
    assert it.send("A") == "time-wait"


def test_close_by_the_other_side(lab, family):
    it = Conversation(lab, family)
    it.handshake()
    assert it.answer("FA") == "closing"
    assert it.answer("FA", seq=-1) == "closing"
    assert it.send("FA") == "time-wait"


def test_simultaneous_open(lab, family):
    """Both sides send a SYN (RFC 9293, figure 8)."""
    it = Conversation(lab, family)
    assert it.send("S") == "syn-sent"
    assert it.answer("S") == "syn-received"
    assert it.send("SA", seq=-1) == "syn-received"
    assert it.answer("SA", seq=-1) == "syn-received"
    assert it.send("A") == "established"


def test_reset(lab, family):
    it = Conversation(lab, family)
    it.handshake()
    assert it.answer("R") == "closed"
    it = Conversation(lab, family)
    it.send("S")
    assert it.answer("RA", seq=-it.next[it.right]) == "closed"
    # An answer to what the other side asks for ends it as well, in its window any other number does not.
    it = Conversation(lab, family)
    it.handshake()
    it.send("PA", b"lost on the way")
    assert it.answer("A", ack=-15) == "established"
    assert it.send("R", seq=-7) == "established"
    assert it.send("R", seq=1000) == "established"
    it.dropped(it.left, "R", seq=100000)
    assert it.send("R", seq=-15) == "closed"


def test_out_of_window(lab, family):
    """Neither passes nor moves the state nor keeps the connection alive; numbers wrap on the way."""
    it = Conversation(lab, family, start=2 ** 32 - 20000)
    it.handshake()
    for _ in range(30):
        it.send("PA", b"x" * 1000)
        it.answer("A")
    for sender in (it.left, it.right):
        it.dropped(sender, "PA", seq=8193, payload=b"beyond the window")
        it.dropped(sender, "PA", seq=-20000, payload=b"too old")
        it.dropped(sender, "FA", seq=1 << 31)
        it.dropped(sender, "A", ack=1)
        it.dropped(sender, "A", ack=-20000)
    assert it.send("PA", b"at the edge", seq=8192) == "established"


def test_window_scale(lab, family):
    """By the options of both SYNs; what the SYNs themselves offer is not scaled."""
    it = Conversation(lab, family)
    it.handshake(options=[("WScale", 7)])
    it.dropped(it.left, "PA", seq=8193)
    it.answer("A")
    assert it.send("PA", b"in 8192 * 128", seq=8192 * 128) == "established"
    it.dropped(it.left, "PA", seq=8192 * 128 + 1)
    it = Conversation(lab, family)
    it.send("S", options=[("WScale", 7)])
    it.answer("SA")
    it.send("A")
    it.answer("A")
    it.dropped(it.left, "PA", seq=8193)


def test_wrong_answers_to_a_syn(lab, family):
    it = Conversation(lab, family)
    it.send("S")
    it.dropped(it.right, "SA", ack=1)
    it.dropped(it.right, "SA", ack=-1)
    it.dropped(it.right, "RA", ack=1)
    it.dropped(it.right, "PA", payload=b"data")
    # The opener has nothing to acknowledge yet.
    it.dropped(it.left, "A")
    assert it.answer("SA") == "syn-received"
    it.dropped(it.left, "A", ack=1)
    assert it.send("A") == "established"


def test_reset_of_an_older_connection(lab, family):
    """The opener resets what a packet of an older one came from, which may be seen behind the answer to its SYN."""
    it = Conversation(lab, family)
    it.send("S")
    assert it.answer("A", seq=700000, ack=-800000) == "syn-sent"
    assert it.answer("SA") == "syn-received"
    assert it.send("R", seq=-800001) == "syn-received"
    assert it.send("A") == "established"
    it.dropped(it.left, "R", seq=-800001)


def test_keepalive_and_closed_window(lab, family):
    it = Conversation(lab, family)
    it.handshake()
    it.send("PA", b"something")
    it.answer("A")
    it.send("A", seq=-1)
    it.send("A", b"\0", seq=-1)
    it.answer("A", seq=-1)
    it.send("PA", b"x" * 1300)
    it.answer("A", window=0)
    assert it.send("A", b"p") == "established"
    it.next[it.left] -= 1
    assert it.answer("A", window=0) == "established"
    assert it.send("A", seq=-1) == "established"


def test_late_fin_opens_nothing_the_other_way(lab, family):
    """A FIN again after the end belongs to the connection that there was."""
    it = Conversation(lab, family)
    it.handshake()
    it.send("FA")
    it.answer("FA")
    it.answer("FA", seq=-1)
    assert not lab.nodes["a"].flows(sourcePort=80, destinationPort=it.port)


@pytest.mark.parametrize("end", ["closing", "time-wait", "closed"])
def test_ports_are_used_again(lab, family, end):
    """A SYN with the ports of a connection that has ended, or ends, opens a new one."""
    it = Conversation(lab, family)
    it.handshake()
    if end == "closed":
        it.answer("R")
    else:
        it.send("FA")
    if end == "time-wait":
        it.answer("FA")
    assert it.state() == end
    it.next[it.left] += 100000
    assert it.send("S") == "syn-sent"
    assert int(it.flow()["packets"]) == 1
    assert it.answer("SA") == "syn-received"
    assert it.send("A") == "established"


def test_a_new_connection_is_judged(lab, family):
    """The other side's SYN on a connection that has ended is a first packet; refused, it changes nothing."""
    it = Conversation(lab, family, left="asker", right="asked")
    it.handshake()
    it.send("FA")
    before = it.flow()
    lab.dropped(it.right, it.frame(it.right, "S", seq=12345), "security-group-ingress", at="asker")
    assert {**it.flow(), "age": 0, "idle": 0} == {**before, "age": 0, "idle": 0}
    assert it.answer("A") == "closing"


def test_a_syn_does_not_end_a_live_connection(lab, family):
    """Whoever has forgotten the connection finds out by a challenge ACK, and resets it."""
    it = Conversation(lab, family)
    it.handshake()
    assert it.send("S", seq=700000) == "established"
    assert int(it.flow()["packets"]) == 4
    assert it.answer("A") == "established"
    assert it.send("R") == "closed"
    it.next[it.left] += 700000
    assert it.send("S") == "syn-sent"


def test_both_have_forgotten(lab, family):
    """The other side agrees at once: the next SYN finds nothing of the old connection."""
    it = Conversation(lab, family)
    it.handshake()
    it.dropped(it.right, "SA", seq=500000)
    it.next[it.left] += 700000
    assert it.send("S") == "established"
    lab.dropped(it.right, it.frame(it.right, "SA", seq=500000), "tcp-window")
    assert it.state() is None
    it.next[it.left] -= 1
    assert it.send("S") == "syn-sent"
    it.next[it.right] += 500000
    assert it.answer("SA") == "syn-received"
    assert it.send("A") == "established"


def test_a_server_s_syn_opens_nothing(lab, family):
    """Not through the client's own connection."""
    it = Conversation(lab, family)
    it.handshake()
    it.dropped(it.right, "S", seq=500000)
    assert it.send("A") == "established"


@pytest.mark.parametrize("flags", ["A", "PA", "SA", "FA", "RA", "R"])
def test_middle_of_a_stream(lab, family, flags):
    """Nothing but a SYN opens a connection."""
    it = Conversation(lab, family)
    it.dropped(it.left, flags, "no-connection")
