"""Connections of other protocols than TCP, and ICMP errors about all of them. With one worker and with two."""

import pytest

from conversation import Conversation
from packets import (SCTP, TCP, UDP, Raw, SCTPChunkAbort, SCTPChunkCookieAck, SCTPChunkCookieEcho, SCTPChunkData,
                     SCTPChunkInit, SCTPChunkInitAck, SCTPChunkShutdown, SCTPChunkShutdownAck,
                     SCTPChunkShutdownComplete, fresh_port, ip_header, port_unreachable, token)


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1)
    lab.group("ask", {"direction": "egress"})
    lab.workload("left", "a", "blue", securityGroups=["ask"])
    lab.workload("right", "a", "blue")
    return lab.up()


class Association:
    """SCTP by hand; each packet has the verification tag that its receiver has chosen."""

    def __init__(self, lab, family):
        self.lab, self.family = lab, family
        self.left, self.right = lab["left"], lab["right"]
        self.port = fresh_port()
        self.tag = {self.left: 0xaaaa0000 + self.port, self.right: 0xbbbb0000 + self.port}

    def frame(self, sender, chunk, tag=None):
        to = self.right if sender is self.left else self.left
        ports = {"sport": self.port, "dport": 5000} if sender is self.left else {"sport": 5000, "dport": self.port}
        tag = self.tag[to] if tag is None else tag
        return sender.frame(to, SCTP(tag=tag, **ports) / chunk, self.family, payload=b"")

    def move(self, sender, chunk, tag=None):
        self.lab.passes(sender, self.frame(sender, chunk, tag), self.right if sender is self.left else self.left)
        return self.state()

    def send(self, chunk, tag=None):
        return self.move(self.left, chunk, tag)

    def answer(self, chunk, tag=None):
        return self.move(self.right, chunk, tag)

    def init(self):
        return self.send(SCTPChunkInit(init_tag=self.tag[self.left]), 0)

    def init_ack(self):
        return self.answer(SCTPChunkInitAck(init_tag=self.tag[self.right]))

    def open(self):
        self.init()
        self.init_ack()
        self.send(SCTPChunkCookieEcho(cookie=b"cook"))
        return self.answer(SCTPChunkCookieAck())

    def state(self):
        flows = self.lab.nodes["a"].flows(protocol="sctp", sourcePort=self.port)
        return flows[0]["state"] if flows else None


def data():
    return SCTPChunkData(data=bytes(token()))


def test_sctp_association(lab, family):
    it = Association(lab, family)
    assert it.init() == "sctp-opening"
    assert it.init_ack() == "sctp-opening"
    assert it.send(SCTPChunkCookieEcho(cookie=b"cook")) == "sctp-opening"
    assert it.answer(SCTPChunkCookieAck()) == "sctp-established"
    assert it.send(data()) == "sctp-established"
    assert it.answer(data()) == "sctp-established"
    assert it.send(SCTPChunkShutdown()) == "sctp-shutdown"
    assert it.answer(SCTPChunkShutdownAck()) == "sctp-shutdown"
    assert it.send(SCTPChunkShutdownComplete()) == "closed"
    assert it.init() == "sctp-opening"


def test_sctp_abort(lab, family):
    it = Association(lab, family)
    assert it.open() == "sctp-established"
    lab.dropped(it.right, it.frame(it.right, SCTPChunkAbort(), 12345), "sctp-tag")
    assert it.state() == "sctp-established"
    assert it.answer(SCTPChunkAbort()) == "closed"
    it = Association(lab, family)
    it.init()
    assert it.answer(SCTPChunkAbort()) == "closed"


def test_sctp_tags(lab, family):
    it = Association(lab, family)
    it.init()
    lab.dropped(it.right, it.frame(it.right, SCTPChunkInitAck(init_tag=7), 12345), "sctp-tag")
    lab.dropped(it.left, it.frame(it.left, SCTPChunkCookieEcho(cookie=b"cook")), "sctp-tag")
    it.init_ack()
    it.send(SCTPChunkCookieEcho(cookie=b"cook"))
    it.answer(SCTPChunkCookieAck())
    for sender in (it.left, it.right):
        lab.dropped(sender, it.frame(sender, data(), 12345), "sctp-tag")
        assert it.move(sender, data()) == "sctp-established"


@pytest.mark.parametrize("chunk", [data, SCTPChunkAbort, SCTPChunkShutdown, SCTPChunkCookieAck,
                                   SCTPChunkShutdownComplete], ids=lambda chunk: chunk.__name__)
def test_sctp_opens_by_init_only(lab, family, chunk):
    it = Association(lab, family)
    lab.dropped(it.left, it.frame(it.left, chunk()), "no-connection")
    # The group lets nobody in.
    lab.dropped(it.right, it.frame(it.right, SCTPChunkInit(init_tag=7), 0), "security-group-ingress", at="left")


@pytest.mark.parametrize("protocol", [47, 50, 33, 136, 253], ids=["gre", "esp", "dccp", "udp-lite", "253"])
def test_protocols_by_address(lab, family, protocol):
    """What the one side has opened the other may answer, and not the other way round."""
    left, right = lab["left"], lab["right"]
    field = "proto" if family == "v4" else "nh"

    def frame(sender, to):
        return sender.frame(to, Raw(bytes(8)), family, **{field: protocol})

    def flow():
        found = [flow for flow in lab.nodes["a"].flows(protocol=str(protocol))
                 if flow["source"] == left.address[family]]
        return found[0] if found else {}

    if not flow():
        lab.dropped(right, frame(right, left), "security-group-ingress", at=left)
    lab.passes(left, frame(left, right), right)
    assert (flow()["state"], flow()["sourcePort"], flow()["destinationPort"]) == ("unreplied", 0, 0)
    lab.passes(right, frame(right, left), left)
    assert flow()["state"] == "other"


def error_frame(sender, to, family, quoted, size):
    """Port unreachable about a packet, of which `size` bytes behind the IP header are quoted."""
    header = 20 if family == "v4" else 40
    return sender.frame(to, port_unreachable(sender.address[family]), family,
                        payload=Raw(bytes(quoted.payload)[:header + size]))


def test_errors_about_tcp(lab, family):
    """The quoted number must be one that may be on the way (RFC 5927); eight octets are enough for that."""
    it = Conversation(lab, family)
    it.send("S")
    lab.passes(it.right, error_frame(it.right, it.left, family, it.frame(it.left, "S", seq=-1), 8), it.left)
    lab.dropped(it.right, error_frame(it.right, it.left, family, it.frame(it.left, "S", seq=1), 8), "tcp-window")
    it.answer("SA")
    it.send("A")
    it.send("PA", b"x" * 100)
    for seq in (-100, -1):
        lab.passes(it.right, error_frame(it.right, it.left, family, it.frame(it.left, "A", seq=seq), 8), it.left)
    for seq in (1, 100000, 1 << 31, -100000):
        quoted = it.frame(it.left, "A", seq=seq)
        lab.dropped(it.right, error_frame(it.right, it.left, family, quoted, 20), "tcp-window")
    # About what the other side has sent, in the other direction.
    lab.passes(it.left, error_frame(it.left, it.right, family, it.frame(it.right, "A", seq=-1), 8), it.right)
    lab.dropped(it.left, error_frame(it.left, it.right, family, it.frame(it.right, "A", seq=1), 8), "tcp-window")
    assert it.state() == "established"
    short = error_frame(it.right, it.left, family, it.frame(it.left, "A"), 4)
    lab.dropped(it.right, short, "malformed")


def test_errors_about_sctp(lab, family):
    it = Association(lab, family)
    it.open()
    lab.passes(it.right, error_frame(it.right, it.left, family, it.frame(it.left, data()), 8), it.left)
    lab.dropped(it.right, error_frame(it.right, it.left, family, it.frame(it.left, data(), 1), 8), "sctp-tag")


def test_errors_about_others(lab, family):
    """UDP and what has no ports."""
    left, right = lab["left"], lab["right"]
    layers = {"udp": UDP(sport=fresh_port(), dport=53), "gre": Raw(bytes(8))}
    for name, layer in layers.items():
        fields = {} if name == "udp" else {"proto" if family == "v4" else "nh": 47}
        sent = left.frame(right, layer, family, **fields)
        lab.passes(left, sent, right)
        lab.passes(right, error_frame(right, left, family, sent, 8), left)
    stranger = ip_header(left.address[family], right.address[family]) / TCP(sport=fresh_port(), dport=80)
    lab.dropped(right, right.frame(left, port_unreachable(right.address[family]), family,
                                   payload=Raw(bytes(stranger))), "no-connection")
