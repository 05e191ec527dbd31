"""What a Network says about tracking: mid-stream pick-up, the window check, idle times."""

import pytest

from conversation import Conversation
from node import eventually
from packets import SCTP, TCP, UDP, SCTPChunkData, fresh_port


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("shut")
    for name in ("left", "right"):
        lab.workload(name, "a", "blue")
    lab.workload("far", "a", "red")
    lab.workload("shut", "a", "blue", securityGroups=["shut"])
    return lab.up()


@pytest.fixture(autouse=True)
def strict(lab):
    for network in ("blue", "red"):
        tracking(lab, network)


def tracking(lab, network, **fields):
    """Gives a network other rules of tracking."""
    value = lab.networks[network].object
    value["connectionTracking"] = fields
    lab.apply(value)


def test_middle_of_a_stream_is_picked_up(lab, family):
    """Established it is once both sides have spoken; numbers are not known, so all fit."""
    tracking(lab, "blue", midStreamPickup=True)
    it = Conversation(lab, family)
    assert it.send("A") == "picked-up"
    assert it.send("PA", b"data", seq=500000) == "picked-up"
    assert it.answer("PA", b"data") == "established"
    assert it.answer("PA", b"data", seq=900000000) == "established"
    assert it.send("FA") == "closing"
    assert it.answer("FA") == "time-wait"
    for flags in ("R", "RA"):
        Conversation(lab, family).dropped(it.left, flags, "no-connection")


def test_rules_hold_for_what_is_picked_up(lab, family):
    tracking(lab, "blue", midStreamPickup=True)
    it = Conversation(lab, family, right="shut")
    lab.dropped(it.left, it.frame(it.left, "A"), "security-group-ingress", at="shut")


def test_picked_up_and_then_opened(lab, family):
    """One side alone has spoken: a SYN opens a new connection, which has windows."""
    tracking(lab, "blue", midStreamPickup=True)
    it = Conversation(lab, family)
    assert it.send("A") == "picked-up"
    assert it.handshake() == "established"
    it.dropped(it.left, "A", seq=1 << 31)


def test_the_opener_s_network_counts(lab, family):
    """A routed connection belongs to the network in which its first packet is received."""
    tracking(lab, "red", midStreamPickup=True)
    left, far, port = lab["left"], lab["far"], fresh_port()
    segment = TCP(sport=port, dport=80, flags="A", seq=1, ack=1)
    lab.dropped(left, left.frame(far, segment, family), "no-connection")
    lab.passes(far, far.frame(left, segment, family), left)
    [flow] = lab.nodes["a"].flows(sourcePort=port)
    assert (flow["network"], flow["state"]) == ("red", "picked-up")


def test_answers_that_take_another_way(lab, family):
    """Only the opener is seen: without pick-up the connection stops behind its SYN."""
    it = Conversation(lab, family)
    it.send("S")
    it.dropped(it.left, "A")
    tracking(lab, "blue", midStreamPickup=True)
    assert it.send("A") == "picked-up"
    assert it.send("PA", b"question") == "picked-up"
    assert it.send("FA") == "closing"
    # Only the answering side is seen.
    it = Conversation(lab, family)
    it.next[it.left] += 1
    assert it.answer("SA") is None
    [flow] = lab.nodes["a"].flows(sourcePort=80, destinationPort=it.port)
    assert flow["state"] == "picked-up"
    it.answer("PA", b"answer")


def test_sctp_is_picked_up(lab, family):
    left, right, port = lab["left"], lab["right"], fresh_port()

    def data(sender, to, tag):
        ports = {"sport": port, "dport": 5000} if sender is left else {"sport": 5000, "dport": port}
        return sender.frame(to, SCTP(tag=tag, **ports) / SCTPChunkData(data=b"data%06d" % port), family, payload=b"")

    lab.dropped(left, data(left, right, 7), "no-connection")
    tracking(lab, "blue", midStreamPickup=True)
    lab.passes(left, data(left, right, 7), right)
    assert lab.nodes["a"].flows(sourcePort=port)[0]["state"] == "picked-up"
    lab.passes(right, data(right, left, 9), left)
    assert lab.nodes["a"].flows(sourcePort=port)[0]["state"] == "sctp-established"


def test_window_check_off(lab, family):
    tracking(lab, "blue", windowCheck=False)
    it = Conversation(lab, family)
    assert it.handshake() == "established"
    assert it.send("PA", b"far behind the window", seq=1 << 31) == "established"
    assert it.send("A", ack=1 << 30) == "established"
    # The handshake is one all the same, and the middle of a stream opens nothing.
    Conversation(lab, family).dropped(it.left, "A", "no-connection")
    it = Conversation(lab, family)
    assert it.send("S") == "syn-sent"
    it.dropped(it.left, "A")


def test_window_check_is_switched(lab, family):
    """Off for live connections too, on for new ones."""
    it = Conversation(lab, family)
    it.handshake()
    it.dropped(it.left, "PA", seq=1 << 31)
    tracking(lab, "blue", windowCheck=False)
    assert it.send("PA", b"outside", seq=1 << 31) == "established"
    tracking(lab, "blue", windowCheck=True)
    assert it.send("PA", b"outside", seq=1 << 31) == "established"
    again = Conversation(lab, family)
    again.handshake()
    again.dropped(again.left, "PA", seq=1 << 31)


def test_window_check_off_is_for_what_has_windows(lab, family):
    """UDP goes on as ever, also where it is judged anew before there is an answer."""
    tracking(lab, "blue", windowCheck=False)
    left, right, port = lab["left"], lab["right"], fresh_port()
    lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)
    tracking(lab, "red", windowCheck=False)
    lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)
    lab.passes(right, right.frame(left, UDP(sport=53, dport=port), family), left)
    assert lab.nodes["a"].flows(sourcePort=port)[0]["state"] == "replied"


def test_idle_times(lab, family):
    """By network and state; the other states have their usual ones."""
    left, right = lab["left"], lab["right"]
    streams = [fresh_port(), fresh_port()]

    def asks(port):
        lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)

    # Replied before the short times hold, and judged by them then: however late we are, it is not too late.
    asks(streams[0])
    lab.passes(right, right.frame(left, UDP(sport=53, dport=streams[0]), family), left)
    tracking(lab, "blue", idleTimes={"unreplied": 1, "synSent": 2, "established": 3})
    for port in streams:
        asks(port)
    opened = Conversation(lab, family)
    opened.send("S")
    eventually(lambda: not lab.nodes["a"].flows(sourcePort=streams[1]) and opened.flow() is None, 30)
    assert lab.nodes["a"].flows(sourcePort=streams[0])[0]["state"] == "replied"


def test_what_does_not_fit_keeps_nothing_alive(lab, family):
    """Segments outside the window do not count as a sign of life."""
    # When a connection is first looked at is said at its first packet, by the idle time of its first state.
    tracking(lab, "blue", idleTimes={"synSent": 6, "established": 2})
    it = Conversation(lab, family)
    it.handshake()

    def gone():
        lab["left"].send(it.frame(it.left, "PA", seq=1 << 31))
        return it.flow() is None
    eventually(gone, 30)


@pytest.mark.parametrize("field, text", [
    ("{idleTimes: {established: 2592001}}", "connectionTracking.idleTimes.established: 2592001 is more than 2592000"),
    ("{idleTimes: {established: -1}}", "connectionTracking.idleTimes.established"),
    ("{idleTimes: {estblished: 5}}", "estblished"),
    ("{midStreamPickup: maybe}", "connectionTracking.midStreamPickup"),
    ("{windowCheck: 2}", "connectionTracking.windowCheck"),
])
def test_wrong_values(lab, field, text):
    """One clear line, and nothing changes."""
    result = lab.nodes["a"].run("apply", "-f", "-",
                                input=f"kind: Network\nname: wrong\nconnectionTracking: {field}\n")
    assert result.returncode == 1
    assert text in result.stderr and len(result.stderr.splitlines()) == 1
    assert lab.nodes["a"].run("get", "network", "wrong").returncode == 1
