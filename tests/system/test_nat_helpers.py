"""FTP and SIP through a Nat: what messages say of the sender's own address, and what comes by that."""

import contextlib
import re
import socket
import subprocess

import pytest

import netns
from node import DEADLINE, eventually
from outside import FAR, Router, at, network, route

POOL = {"v4": at("v4", 64), "v6": at("v6", 64)}
FLOATING = {"v4": at("v4", 80), "v6": at("v6", 80)}
HELPERS = [{"protocol": "ftp"}, {"protocol": "sip", "ports": [5060, 5070]}]
SIZE = 300000


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def lab(make_lab, request, tmp_path_factory):
    """A client into which nothing is let, one with an address of its own outside, and a server behind a forward."""
    lab = make_lab(nodes=("a",), underlay="v4", options=request.param)
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.group("closed", {"direction": "egress"})
    lab.group("web", {"direction": "egress"}, {"direction": "ingress", "protocol": "tcp", "ports": "21"})
    lab.workload("client", "a", "blue", kernel=True, securityGroups=["closed"])
    lab.workload("floating", "a", "blue", kernel=True)
    lab.workload("server", "a", "blue", kernel=True, securityGroups=["web"])
    lab.objects += [network("a"), route(),
                    {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet", "helpers": HELPERS,
                     "pools": [{"node": "a", "addresses": list(POOL.values())}],
                     "forwards": [{"address": POOL[f], "port": 21, "to": "server"} for f in POOL]},
                    *[{"kind": "FloatingIp", "name": f"floating-{f}", "network": "internet", "address": FLOATING[f],
                       "port": "floating", "helpers": HELPERS[:1]} for f in FLOATING]]
    lab.files = tmp_path_factory.mktemp("ftp")
    for name in "abc":
        (lab.files / name).write_bytes(name.encode() * SIZE)
    return lab.up()


@contextlib.contextmanager
def ftpd(lab, where, address, port=21):
    with netns.inside(where):
        process = subprocess.Popen(["/usr/bin/python3", "-m", "pyftpdlib", "-i", address, "-p", str(port), "-d", lab.files],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: f":{port} " in netns.run("ip", "netns", "exec", where, "ss", "-Hltn"))
        yield
    finally:
        process.kill()
        process.wait()


def curl(where, address, *options, port=21, files="abc"):
    """Gets files, one after the other by one control connection. What curl has, and its exit status."""
    host = f"[{address}]" if ":" in address else address
    with netns.inside(where):
        done = subprocess.run(["curl", "--silent", "--show-error", "--globoff", "--max-time", str(DEADLINE), *options,
                               *[f"ftp://{host}:{port}/{name}" for name in files]], capture_output=True, check=False)
    return done.stdout, done.returncode


def whole(files="abc"):
    return b"".join(name.encode() * SIZE for name in files), 0


ACTIVE = [(), ("--disable-eprt",)]


@pytest.mark.parametrize("how", ACTIVE, ids=["eprt", "port"])
@pytest.mark.parametrize("name", ["client", "floating"])
def test_active(lab, family, name, how):
    """The server connects to the address outside that the client names, which no rule allows it."""
    if how and family == "v6":
        how = ()
    with ftpd(lab, lab.outside.netns, FAR[family]):
        assert curl(lab[name].netns, FAR[family], "--ftp-port", "-", *how) == whole()


@pytest.mark.parametrize("how", [(), ("--disable-epsv",)], ids=["epsv", "pasv"])
def test_passive(lab, family, how):
    """A client inside needs nothing for it."""
    with ftpd(lab, lab.outside.netns, FAR[family]):
        assert curl(lab["client"].netns, FAR[family], *(how if family == "v4" else ())) == whole()


@pytest.mark.parametrize("how", [(), ("--disable-epsv",)], ids=["epsv", "pasv"])
def test_passive_server_inside(lab, family, how):
    """Of the server behind a forward outside sees the forward's address; its data ports lead in for the client alone."""
    with ftpd(lab, lab["server"].netns, lab["server"].address[family]):
        options = how if family == "v4" else ()
        assert curl(lab.outside.netns, POOL[family], *options, "--interface", FAR[family]) == whole()


def test_other_ports(lab):
    """Only where it is said: elsewhere messages stay as they are, and servers refuse what is not the client's address."""
    with ftpd(lab, lab.outside.netns, FAR["v4"], port=2121):
        assert curl(lab["client"].netns, FAR["v4"], "--ftp-port", "-", "--disable-eprt", port=2121, files="a") == (b"", 30)
        assert curl(lab["client"].netns, FAR["v4"], port=2121, files="a") == whole("a")


class Control:
    """A control connection by hand: the client's end and the server's."""

    def __init__(self, lab, family):
        with lab.outside.server(21, family) as listening:
            self.client = lab["client"].open_socket(family)
            self.client.connect((FAR[family], 21))
            self.server, _ = listening.accept()
        self.server.settimeout(DEADLINE)
        self.family = family

    def says(self, text):
        """What the server receives of it."""
        self.client.sendall(text.encode())
        got = b""
        while not got.endswith(b"\r\n"):
            got += self.server.recv(1000)
        return got.decode()

    def announces(self, lab, port):
        number = 1 if self.family == "v4" else 2
        said = self.says(f"EPRT |{number}|{lab['client'].address[self.family]}|{port}|\r\n")
        found = re.fullmatch(rf"EPRT \|{number}\|{POOL[self.family]}\|(\d+)\|\r\n", said)
        assert found, said
        return int(found[1])

    def close(self):
        self.client.close()
        self.server.close()


@pytest.fixture
def control(lab, family):
    made = Control(lab, family)
    yield made
    made.close()


def comes(lab, family, source, port):
    made = lab.outside.open_socket(family)
    made.bind((source, 0))
    made.connect((POOL[family], port))
    return made


def inbound(lab):
    return lab.drops().get(("uplink", "nat-inbound"), 0)


def test_who_is_expected(lab, family, control):
    """The server alone, and once; a connection that has come lasts, whatever else is changed."""
    with lab["client"].server(7000, family) as listening:
        port = control.announces(lab, 7000)
        # The same once more is the same.
        assert control.announces(lab, 7000) == port
        before = inbound(lab)
        stranger = lab.outside.open_socket(family)
        stranger.bind((lab.outside.address[family], 0))
        stranger.setblocking(False)
        stranger.connect_ex((POOL[family], port))
        eventually(lambda: inbound(lab) > before)
        stranger.close()
        data = comes(lab, family, FAR[family], port)
        accepted, _ = listening.accept()
    before = inbound(lab)
    again = lab.outside.open_socket(family)
    again.bind((FAR[family], 0))
    again.setblocking(False)
    again.connect_ex((POOL[family], port))
    eventually(lambda: inbound(lab) > before)
    again.close()
    lab.apply({"kind": "Vrf", "name": f"other-{family}"})
    for one, other in ((data, accepted), (accepted, data)):
        one.sendall(b"still here")
        assert other.recv(100) == b"still here"
    data.close()
    accepted.close()
    lab.nodes["a"].delete("vrf", f"other-{family}")


def test_others_are_not_announced(lab, family, control):
    """What is not the sender's own address stays."""
    said = f"EPRT |{1 if family == 'v4' else 2}|{lab['server'].address[family]}|7000|\r\n"
    assert control.says(said) == said


def untranslated(lab):
    return int(lab.nodes["a"].stats().get("untranslatedMessages", 0))


def test_in_pieces(lab, family, control):
    """What comes in two segments passes as it is, and is counted."""
    before = untranslated(lab)
    halves = f"EPRT |{1 if family == 'v4' else 2}|{lab['client'].address[family]}".encode(), b"|7000|\r\n"
    for half in halves:
        control.client.sendall(half)
        got = b""
        while len(got) < len(half):
            got += control.server.recv(1000)
        assert got == half
    assert untranslated(lab) > before
    before = untranslated(lab)
    control.announces(lab, 7000)
    assert untranslated(lab) == before


def test_numbers_go_on(lab, family, control):
    """Behind what became longer, in both directions, with the selective acknowledgements of real stacks."""
    for port in range(7000, 7005):
        control.announces(lab, port)
        control.server.sendall(b"200 ok\r\n" * 2000)
        got = 0
        while got < 16000:
            got += len(control.client.recv(65536))
        assert control.says("NOOP\r\n") == "NOOP\r\n"
    assert lab.nodes["a"].flows(sourcePort=control.client.getsockname()[1])[0]["state"] == "established"
    assert ("client", "tcp-window") not in lab.drops() and ("uplink", "tcp-window") not in lab.drops()


INVITE = """INVITE sip:bob@{far} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK1
Contact: <sip:alice@{host}:{port}>
Call-ID: 1
Content-Type: application/sdp
Content-Length: {length}

"""
SDP = """v=0
o=alice 1 1 IN {kind} {address}
c=IN {kind} {address}
m=audio {media} RTP/AVP 0
"""


def invitation(family, address, port, media):
    body = SDP.format(kind="IP4" if family == "v4" else "IP6", address=address, media=media).replace("\n", "\r\n")
    far, host = [f"[{text}]" if family == "v6" else text for text in (FAR[family], address)]
    return (INVITE.format(far=far, host=host, port=port, length=len(body)).replace("\n", "\r\n") + body).encode()


def test_sip(lab, family):
    """An invitation says where media are to be sent; they come in, and go out from there."""
    client = lab["client"]
    caller, media = [client.open_socket(family, socket.SOCK_DGRAM) for _ in range(2)]
    callee, far_media = [lab.outside.open_socket(family, socket.SOCK_DGRAM) for _ in range(2)]
    with caller, media, callee, far_media:
        caller.bind((client.address[family], 6060))
        media.bind((client.address[family], 6070))
        callee.bind((FAR[family], 5060))
        far_media.bind((FAR[family], 6080))
        caller.sendto(invitation(family, client.address[family], 6060, 6070), (FAR[family], 5060))
        said, (address, port, *_) = callee.recvfrom(4096)
        assert address == POOL[family]
        audio = int(re.search(rb"m=audio (\d+) ", said)[1])
        assert said == invitation(family, POOL[family], port, audio)
        # The answer has the Via as it came, and is found by it.
        callee.sendto(b"SIP/2.0 200 OK\r\n" + said.split(b"\r\n")[1] + b"\r\n\r\n", (address, port))
        host = f"[{client.address['v6']}]" if family == "v6" else client.address["v4"]
        assert caller.recv(4096).decode() == f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {host}:6060;branch=z9hG4bK1\r\n\r\n"
        far_media.sendto(b"hello", (POOL[family], audio))
        data, peer = media.recvfrom(100)
        assert data == b"hello"
        media.sendto(b"and back", peer)
        data, (address, port, *_) = far_media.recvfrom(100)
        assert (data, address, port) == (b"and back", POOL[family], audio)


def test_trace(lab):
    """It says what a helper is for, and changes nothing."""
    client = lab["client"].address["v4"]
    text = lab.nodes["a"].ok("trace", "--port", "client", f"tcp {client}:4000 > {FAR['v4']}:21")
    assert "addresses in messages of FTP are translated, too" in text
    text = lab.nodes["a"].ok("trace", "--port", "client", f"tcp {client}:4000 > {FAR['v4']}:22")
    assert "FTP" not in text
