"""TCP of real systems between kernels: nothing that they do is taken for wrong. With one worker and with two."""

import errno
import hashlib
import re
import socket
import struct
import threading

import pytest

from node import eventually
from transfer import ENDED

INGRESS = {"direction": "ingress", "protocol": "tcp"}
SIZE = 24 << 20
WRONG = ("tcp-window", "tcp-flags", "no-connection", "malformed")
ABORT = struct.pack("ii", 1, 0)  # linger for no time: close() resets


@pytest.fixture(scope="module", params=[(workers, veth) for veth in (False, True) for workers in ("0", "0,1")],
                ids=["taps, one worker", "taps, two workers", "veth, one worker", "veth, two workers"])
def lab(make_lab, request):
    """Between veths the kernel takes over what lasts (test_flow_offload.py)."""
    workers, veth = request.param
    lab = make_lab(options=["--workers", workers])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("web", {**INGRESS, "ports": "80-81"}, {"direction": "egress"})
    lab.workload("client", "a", "blue", kernel=True, veth=veth)
    lab.workload("server", "a", "red", kernel=True, veth=veth, securityGroups=["web"])
    return lab.up()


@pytest.fixture(autouse=True)
def nothing_is_out_of_window(lab):
    before = lab.drops(*WRONG)
    yield
    assert lab.drops(*WRONG) == before


@pytest.fixture
def pair(lab, family):
    """Both ends of a new connection."""
    client, accepted = lab["client"].connection(lab["server"], 80, family)
    accepted.settimeout(60)
    client.settimeout(60)
    yield client, accepted
    # By a reset, so that the port is free for the next one.
    for made in (client, accepted):
        if made.fileno() >= 0:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        made.close()


def flow_of(lab, port, family):
    found = [flow for flow in lab.nodes["a"].flows(sourcePort=port) if (":" in flow["source"]) == (family == "v6")]
    return found[0] if found else None


def state(lab, port, family):
    return (flow_of(lab, port, family) or {}).get("state")


def pump(sender, size, digest, end=True):
    block = bytes(range(256)) * 256
    for _ in range(size // len(block)):
        digest.update(block)
        sender.sendall(block)
    if end:
        sender.shutdown(socket.SHUT_WR)


def drain(receiver):
    digest, size = hashlib.sha256(), 0
    while data := receiver.recv(1 << 20):
        digest.update(data)
        size += len(data)
    return digest, size


def test_large_transfers_both_ways(lab, family, pair):
    """Windows open to megabytes, in both directions at once."""
    client, server = pair
    sent = [hashlib.sha256(), hashlib.sha256()]
    threads = [threading.Thread(target=pump, args=(end, SIZE, digest)) for end, digest in zip(pair, sent)]
    got = {}
    threads += [threading.Thread(target=lambda end=end: got.update({end: drain(end)})) for end in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got[server][1] == got[client][1] == SIZE
    assert got[server][0].digest() == sent[0].digest() and got[client][0].digest() == sent[1].digest()
    port = client.getsockname()[1]
    assert state(lab, port, family) in ENDED


def test_receiver_that_does_not_read(lab, family, pair):
    """The window closes, is probed, and opens again."""
    client, server = pair
    sent = hashlib.sha256()
    sending = threading.Thread(target=pump, args=(client, SIZE, sent))
    sending.start()

    def stuck():
        words = lab["client"].popen("ss", "-tno", "state", "established").communicate(timeout=60)[0]
        return "persist" in words
    try:
        eventually(stuck)
    finally:
        digest, size = drain(server)
        sending.join(30)
    assert size == SIZE and digest.digest() == sent.digest()


def test_half_close(lab, family, pair):
    """The client has said all; the server's half goes on."""
    client, server = pair
    port = client.getsockname()[1]
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b"question" and server.recv(100) == b""
    eventually(lambda: state(lab, port, family) == "closing")
    sent = hashlib.sha256()
    sending = threading.Thread(target=pump, args=(server, SIZE // 4, sent))
    sending.start()
    digest, size = drain(client)
    sending.join(30)
    assert size == SIZE // 4 and digest.digest() == sent.digest()
    eventually(lambda: state(lab, port, family) in ENDED)


def test_loss(lab, family, pair):
    """Retransmissions, selective acknowledgements, packets out of order."""
    client, server = pair
    netem = lab["server"].popen("tc", "qdisc", "add", "dev", "eth0", "root", "netem", "loss", "2%", "delay", "1ms",
                                "reorder", "10%")
    if "Error" in netem.communicate(timeout=60)[0] or netem.returncode:
        netem = None  # the kernel may not have it; a small queue loses as well
        lab["server"].popen("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "50mbit", "burst", "10kb",
                            "limit", "15kb").communicate(timeout=60)
    try:
        sent = hashlib.sha256()
        sending = threading.Thread(target=pump, args=(server, 2 << 20, sent))
        sending.start()
        digest, size = drain(client)
        sending.join(60)
        assert size == 2 << 20 and digest.digest() == sent.digest()
    finally:
        lab["server"].popen("tc", "qdisc", "del", "dev", "eth0", "root").communicate(timeout=60)


def connect_from(lab, port, family):
    """None as long as the client's own kernel has the port in use."""
    client = lab["client"].open_socket(family)
    try:
        client.bind((lab["client"].address[family], port))
        client.connect((lab["server"].address[family], 80))
    except OSError as problem:
        client.close()
        if problem.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
            raise
        return None
    return client


def test_ports_are_used_again(lab, family):
    """The same four numbers, again and again, while the old connection is in any state of its end."""
    listening = lab["server"].server(80, family)
    for number in range(12):
        client = eventually(lambda: connect_from(lab, 40080, family))
        accepted, _ = listening.accept()
        client.sendall(b"question %d" % number)
        assert accepted.recv(100) == b"question %d" % number
        # By a reset, or by the server, whose kernel then has the port in TIME-WAIT.
        if number % 2 == 0:
            accepted.close()
            assert client.recv(100) == b""
        else:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            client.close()
            # Else the server's FIN may meet the next SYN, and be too late.
            with pytest.raises(ConnectionResetError):
                accepted.recv(100)
        client.close()
        accepted.close()
    listening.close()


def test_reset(lab, family, pair):
    """An abort reaches the other side and ends the connection here too."""
    client, server = pair
    port = client.getsockname()[1]
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(100)
    eventually(lambda: state(lab, port, family) == "closed")


def test_keepalive(lab, family, pair):
    """Probes and their answers pass, and keep the connection."""
    client, _ = pair
    port = client.getsockname()[1]
    eventually(lambda: state(lab, port, family) == "established")
    before = int(flow_of(lab, port, family)["packets"])
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    eventually(lambda: int(flow_of(lab, port, family)["packets"]) >= before + 4)


def test_fast_open(lab, family):
    """Data in the SYN, once the client has a cookie."""
    for name in ("client", "server"):
        lab[name].popen("sysctl", "-qw", "net.ipv4.tcp_fastopen=3").communicate(timeout=60)
    listening = lab["server"].open_socket(family)
    listening.bind((lab["server"].address[family], 81))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 8)
    listening.listen()
    for number in range(3):
        client = lab["client"].open_socket(family, timeout=None)
        client.sendto(b"question %d" % number, socket.MSG_FASTOPEN, (lab["server"].address[family], 81))
        accepted, _ = listening.accept()
        assert accepted.recv(100) == b"question %d" % number
        accepted.sendall(b"answer")
        assert client.recv(100) == b"answer"
        client.close()
        accepted.close()
    listening.close()


def nmap(lab, family, *options):
    """What a scanner says about the server's ports."""
    scan = lab["client"].popen("nmap", "-n", "-Pn", "--max-retries", "1", "--host-timeout", "60s", *options,
                               *(["-6"] if family == "v6" else []), lab["server"].address[family])
    text = scan.communicate(timeout=90)[0]
    assert scan.returncode == 0, text
    return dict(re.findall(r"^(\d+)/tcp\s+(\S+)", text, re.MULTILINE)), text


def test_scanner(lab, family):
    """nmap: open, closed and filtered ports are what the groups and the server say."""
    listening = lab["server"].server(80, family)
    for scan in ("-sS", "-sT"):
        ports, text = nmap(lab, family, scan, "-p", "80-82")
        assert ports == {"80": "open", "81": "closed", "82": "filtered"}, text
    listening.close()
