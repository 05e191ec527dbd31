"""NAT, port forwarding and floating addresses, with the programs that workloads use, and hosts outside that know nothing of it."""

import errno
import socket
import struct
import subprocess
import threading

import pytest

import netns
import outside
from node import DEADLINE, eventually
from outside import FAMILIES, FAR, Router, at, network, own, route
from packets import UDP

POOL = {"v4": at("v4", 64), "v6": at("v6", 64)}
FLOATING = {"v4": at("v4", 80), "v6": at("v6", 80)}
BLOCK = 64
SEVERAL = range(9000, 9008)
IP_MTU_DISCOVER, SO_NO_CHECK, IPV6_RECVERR, UDP_SEGMENT = 10, 11, 25, 103


@pytest.fixture(scope="module", params=[(), ("--workers", "0,1")], ids=["one worker", "two workers"])
def lab(make_lab, request):
    """Node a, with two clients behind the Nat and a server that has floating addresses."""
    lab = make_lab(nodes=("a",), underlay="v4", options=request.param)
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "red", kernel=True)
    lab.workload("server", "a", "blue", kernel=True)
    lab.workload("quiet", "a", "red")
    lab.nat = {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet", "portBlock": BLOCK,
               "pools": [{"node": "a", "addresses": list(POOL.values())}], "nat64": {},
               "forwards": [{"address": POOL[f], "port": 8080, "to": "two", "toPort": 80} for f in POOL]
               + [{"address": POOL[f], "port": 53, "protocol": "udp", "to": "two"} for f in POOL]
               + [{"address": POOL[f], "port": port, "to": "two", "toPort": 90} for f in POOL for port in SEVERAL]}
    lab.objects += [network("a"), route(), lab.nat,
                    *[{"kind": "FloatingIp", "name": f"floating-{f}", "network": "internet", "address": FLOATING[f],
                       "port": "server"} for f in FLOATING]]
    return lab.up()


def connect(client, address, port, family, source_port=0):
    made = client.open_socket(family)
    if source_port:
        made.bind((client.address[family], source_port))
    made.connect((address, port))
    return made


def talk(a, b):
    """Something more than one segment, both ways."""
    for sender, receiver in ((a, b), (b, a)):
        data = bytes(range(256)) * 400
        sender.sendall(data)
        got = b""
        while len(got) < len(data):
            got += receiver.recv(65536)
        assert got == data


def flow_of(lab, **fields):
    return eventually(lambda: [flow for flow in lab.nodes["a"].json("flows")
                               if all(flow.get(key) == value for key, value in fields.items())])


def test_out(lab, family):
    """A server outside sees an address of the pool; both directions work."""
    with lab.outside.server(80, family) as server:
        client = connect(lab["one"], FAR[family], 80, family)
        accepted, (peer, port, *_) = server.accept()
    accepted.settimeout(DEADLINE)
    assert peer == POOL[family] and port >= 1024
    talk(client, accepted)
    client.close()
    accepted.close()


def test_ping(lab, family):
    """Queries are told apart by their identifiers (RFC 5508)."""
    assert lab["one"].ping(FAR[family], family)
    assert lab["two"].ping(FAR[family], family, count=2)


def seen_from(lab, sender, address, port, family):
    """The address and port that a server outside sees of a datagram."""
    with lab.outside.open_socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        sender.sendto(b"hello", (address, port))
        data, (peer, peer_port, *_) = server.recvfrom(100)
        assert data == b"hello"
        server.sendto(b"back", (peer, peer_port))
        assert sender.recv(100) == b"back"
    return peer, peer_port


def test_endpoint_independent(lab, family):
    """One inside address and port has one outside, whatever it talks to (RFC 4787 REQ-1); UDP's keeps its parity (REQ-4)."""
    for port in (5000, 5001):
        with lab["one"].open_socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((lab["one"].address[family], port))
            seen = {seen_from(lab, sender, address, to, family)
                    for address, to in ((FAR[family], 9), (FAR[family], 10), (lab.outside.address[family], 9))}
        assert len(seen) == 1
        (address, external), = seen
        assert address == POOL[family] and external % 2 == port % 2


def test_nobody_comes_in(lab, family):
    """What is no reply and no forward ends at the node."""
    before = lab.drops()[("uplink", "nat-inbound")]
    with lab.outside.open_socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"?", (POOL[family], 9999))
        eventually(lambda: lab.drops()[("uplink", "nat-inbound")] == before + 1)


def test_forward(lab, family):
    """A port of the pool leads inside, to another port there."""
    with lab["two"].server(80, family) as server:
        client = lab.outside.open_socket(family)
        client.bind((FAR[family], 0))
        client.connect((POOL[family], 8080))
        accepted, (peer, *_) = server.accept()
    accepted.settimeout(DEADLINE)
    assert peer == FAR[family]
    talk(client, accepted)
    client.close()
    accepted.close()


def test_forward_udp(lab, family):
    with lab["two"].server(53, family, socket.SOCK_DGRAM) as server, \
            lab.outside.open_socket(family, socket.SOCK_DGRAM) as client:
        client.sendto(b"name?", (POOL[family], 53))
        data, peer = server.recvfrom(100)
        server.sendto(b"address", peer)
        data, (address, port, *_) = client.recvfrom(100)
    assert (data, address, port) == (b"address", POOL[family], 53)


def test_floating(lab, family):
    """In and out with one address, and the same ports."""
    server = lab["server"]
    with server.server(80, family) as listening:
        client = lab.outside.open_socket(family)
        client.connect((FLOATING[family], 80))
        accepted, _ = listening.accept()
    accepted.settimeout(DEADLINE)
    talk(client, accepted)
    client.close()
    accepted.close()
    with lab.outside.server(81, family) as listening:
        client = connect(server, FAR[family], 81, family)
        accepted, (peer, *_) = listening.accept()
    accepted.settimeout(DEADLINE)
    assert peer == FLOATING[family]
    talk(client, accepted)
    client.close()
    accepted.close()


def test_floating_keeps_ports(lab, family):
    """Of each connection in either direction, whichever worker has it."""
    server, ports = lab["server"], range(20000, 20032)
    for port in ports:
        with lab.outside.open_socket(family, socket.SOCK_DGRAM) as far, server.open_socket(family, socket.SOCK_DGRAM) as here:
            far.bind((FAR[family], 9))
            here.bind((server.address[family], port))
            here.sendto(b"question", (FAR[family], 9))
            data, (address, seen, *_) = far.recvfrom(100)
            assert (data, address, seen) == (b"question", FLOATING[family], port)
            far.sendto(b"answer", (address, seen))
            assert here.recvfrom(100)[0] == b"answer"
    for port in ports:
        with lab.outside.open_socket(family, socket.SOCK_DGRAM) as far, server.open_socket(family, socket.SOCK_DGRAM) as here:
            far.bind((FAR[family], port))
            here.bind((server.address[family], 10))
            far.sendto(b"question", (FLOATING[family], 10))
            data, (address, seen, *_) = here.recvfrom(100)
            assert (data, address, seen) == (b"question", FAR[family], port)
            here.sendto(b"answer", (address, seen))
            data, (address, seen, *_) = far.recvfrom(100)
            assert (data, address, seen) == (b"answer", FLOATING[family], 10)


def test_floating_without_ports(lab, family):
    """A protocol that has none, from two addresses outside."""
    header = 20 if family == "v4" else 0
    for source in (FAR[family], lab.outside.address[family]):
        with netns.inside(lab["server"].netns):
            here = socket.socket(FAMILIES[family], socket.SOCK_RAW, 253)
        with netns.inside(lab.outside.netns):
            far = socket.socket(FAMILIES[family], socket.SOCK_RAW, 253)
        with here, far:
            here.settimeout(DEADLINE)
            far.settimeout(DEADLINE)
            far.bind((source, 0))
            far.sendto(b"question", (FLOATING[family], 0))
            data, (address, *_) = here.recvfrom(100)
            assert (data[header:], address) == (b"question", source)
            here.sendto(b"answer", (address, 0))
            data, (address, *_) = far.recvfrom(100)
            assert (data[header:], address) == (b"answer", FLOATING[family])


def test_floating_ping(lab, family):
    assert lab.outside.ping(FLOATING[family])
    assert lab["server"].ping(FAR[family], family)


@pytest.mark.parametrize("sender", ["one", "server"])
def test_hairpin(lab, family, sender):
    """From inside to an address outside that is inside's: the server sees the sender's own outside (RFC 4787 REQ-9)."""
    with lab["two"].server(80, family) as listening:
        client = connect(lab[sender], POOL[family], 8080, family)
        accepted, (peer, *_) = listening.accept()
    accepted.settimeout(DEADLINE)
    assert peer == (POOL if sender == "one" else FLOATING)[family]
    talk(client, accepted)
    client.close()
    accepted.close()


def test_hairpin_from_own_blocks(lab, family):
    """Whichever worker a connection belongs to: its port outside is of a block that its Port has been given."""
    seen = set()
    with lab["two"].server(90, family) as listening:
        for port in [*SEVERAL] * 4:
            connect(lab["one"], POOL[family], port, family).close()
            accepted, (peer, outside_port, *_) = listening.accept()
            accepted.close()
            assert peer == POOL[family]
            seen.add(outside_port // BLOCK)
    # Nearly each would have another one, were it any port.
    assert len(seen) <= 4


def test_hairpin_is_taken_over(lab, family):
    with lab["two"].server(90, family) as listening:
        pairs = []
        for port in SEVERAL:
            pairs.append((connect(lab["one"], POOL[family], port, family), listening.accept()[0]))
    lab.nodes["a"].json("upgrade")
    for client, accepted in pairs:
        accepted.settimeout(DEADLINE)
        talk(client, accepted)
        client.close()
        accepted.close()


def test_hairpin_to_floating(lab, family):
    with lab["server"].server(82, family) as listening:
        client = connect(lab["one"], FLOATING[family], 82, family)
        accepted, (peer, *_) = listening.accept()
    accepted.settimeout(DEADLINE)
    assert peer == POOL[family]
    talk(client, accepted)
    client.close()
    accepted.close()


def test_hairpin_to_a_mapping(lab, family):
    """Two peers that know each other's address outside."""
    one, two = [lab[name].open_socket(family, socket.SOCK_DGRAM) for name in ("one", "two")]
    with one, two:
        one.bind((lab["one"].address[family], 6000))
        two.bind((lab["two"].address[family], 6000))
        outside_one = seen_from(lab, one, FAR[family], 9, family)
        outside_two = seen_from(lab, two, FAR[family], 9, family)
        one.sendto(b"ping", outside_two)
        data, peer = two.recvfrom(100)
        assert (data, peer[:2]) == (b"ping", outside_one)
        two.sendto(b"pong", outside_one)
        data, peer = one.recvfrom(100)
        assert (data, peer[:2]) == (b"pong", outside_two)


# The far host's IPv4 address, as NAT64 has it (RFC 6052).
FAR64 = "64:ff9b::" + FAR["v4"]


def test_nat64(lab):
    """IPv6 inside, IPv4 outside: TCP with large sends, UDP, pings."""
    with lab.outside.server(80, "v4") as server:
        client = connect(lab["one"], FAR64, 80, "v6")
        accepted, (peer, *_) = server.accept()
    accepted.settimeout(DEADLINE)
    assert peer == POOL["v4"]
    talk(client, accepted)
    client.close()
    accepted.close()
    assert lab["one"].ping(FAR64, "v6", count=2)
    assert lab["server"].ping(FAR64, "v6")
    with lab.outside.open_socket("v4", socket.SOCK_DGRAM) as server, \
            lab["one"].open_socket("v6", socket.SOCK_DGRAM) as client:
        server.bind((FAR["v4"], 53))
        client.sendto(b"name?", (FAR64, 53))
        data, peer = server.recvfrom(100)
        assert (data, peer[0]) == (b"name?", POOL["v4"])
        server.sendto(b"address", peer)
        assert client.recv(100) == b"address"


@pytest.fixture
def pair(lab):
    """A socket inside, and one outside in the other family; each knows how to say something to the other."""
    with lab.outside.open_socket("v4", socket.SOCK_DGRAM) as there, lab["one"].open_socket("v6", socket.SOCK_DGRAM) as here:
        there.bind((FAR["v4"], 53))
        here.connect((FAR64, 53))
        here.send(b"?")
        there.connect(there.recvfrom(1)[1])
        yield here, there


def test_nat64_fragments(pair):
    """Fragments become the other family's, and what is too long with its header is cut."""
    for sender, receiver in (pair, pair[::-1]):
        # No path is known: IPv4 leaves it to routers.
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
        for size in (1400, 1410, 1440, 3000, 9000):
            data = bytes(number % 251 for number in range(size))
            sender.send(data)
            assert receiver.recv(10000) == data


def test_nat64_without_checksum(pair):
    """IPv4's UDP may have none; over IPv6 it gets one (RFC 7915 section 4.5). In fragments it can't, and says so."""
    here, there = pair
    there.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    for data in (b"odd", bytes(1200), b""):
        there.send(data)
        assert here.recv(2000) == data


def test_nat64_fragments_without_checksum(lab, pair):
    pair[1].setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    before = lab.drops()[("uplink", "translation-unfit")]
    pair[1].send(bytes(3000))
    eventually(lambda: lab.drops()[("uplink", "translation-unfit")] > before)


def test_nat64_extension_headers(pair):
    """Options for the destination have no form in IPv4: the packet goes without."""
    here, there = pair
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
    here.send(b"with options")
    assert there.recv(100) == b"with options"


def test_nat64_addresses(lab):
    """The well-known prefix stands for global addresses alone (RFC 6052 section 3.1): the sender is told."""
    for address in ("10.1.2.3", "192.168.0.1", "100.64.0.1", "127.0.0.1", "224.0.0.1", "0.0.0.1"):
        text = lab.nodes["a"].ok("trace", "--port", "one", f"udp [{lab['one'].address['v6']}]:4000 > [64:ff9b::{address}]:80")
        assert "drop nat64-address" in text, address
    with lab["one"].open_socket("v6", socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sender.connect(("64:ff9b::10.1.2.3", 80))
        sender.send(b"?")
        with pytest.raises(OSError) as refused:
            sender.recv(1)
    assert refused.value.errno == errno.ENETUNREACH


def test_nat64_errors(lab):
    """A closed port of the other family refuses; a hop limit ends where it would."""
    with lab["one"].open_socket("v6", socket.SOCK_DGRAM) as sender:
        sender.connect((FAR64, 7))
        sender.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(100)
    one = lab["one"].address["v6"]
    text = lab.nodes["a"].ok("trace", "--port", "one", f"tcp [{one}]:4000 > [{FAR64}]:80")
    assert f"Nat nat: 64:ff9b::c633:6409 is {FAR['v4']}" in text and "allow" in text


@pytest.mark.parametrize("name", ["one", "server"])
def test_errors_come_back(lab, family, name):
    """A closed port outside: what the error quotes is what the sender has sent (RFC 5508 section 4)."""
    with lab[name].open_socket(family, socket.SOCK_DGRAM) as sender:
        sender.connect((FAR[family], 7))
        sender.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(100)


def test_errors_go_out(lab, family):
    """A closed port inside, asked for by an address outside."""
    with lab.outside.open_socket(family, socket.SOCK_DGRAM) as sender:
        sender.connect((FLOATING[family], 7))
        sender.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(100)


def test_traceroute(lab, family):
    """Time exceeded: inside sees the gateway; outside sees the node, and behind it the address that it asked for."""
    one = lab["one"]
    with netns.inside(one.netns):
        shown = subprocess.run(["ping", "-n", "-c", "1", "-t", "1", "-W", str(DEADLINE), FAR[family]], capture_output=True,
                               text=True, check=False).stdout
    assert one.network.gateway[family] in shown
    with netns.inside(lab.outside.netns):
        shown = subprocess.run(["ping", "-n", "-c", "1", "-t", "1", "-W", str(DEADLINE), FLOATING[family]],
                               capture_output=True, text=True, check=False).stdout
    assert own("a")[family] in shown


def test_trace(lab, family):
    """It says what becomes of addresses, and takes nothing."""
    def trace(port, text):
        return lab.nodes["a"].ok("trace", "--port", port, text)

    def tcp(name, address, port):
        inside = lab[name].address[family]
        return f"tcp {inside}:4000 > {address}:{port}" if family == "v4" else f"tcp [{inside}]:4000 > [{address}]:{port}"

    one, server = lab["one"].address[family], lab["server"].address[family]
    text = trace("one", tcp("one", FAR[family], 80))
    assert f"Nat nat: from {one} port 4000 as {POOL[family]} port " in text and "allow" in text
    assert text == trace("one", tcp("one", FAR[family], 80))
    text = trace("server", tcp("server", FAR[family], 80))
    assert f"FloatingIp floating-{family}: {server} is {FLOATING[family]}" in text
    assert "drop nat-inbound" in trace("one", tcp("one", POOL[family], 8081))


def test_a_floating_address_moves(lab, family):
    """From Port to Port, at once: its connections end."""
    floating = {"kind": "FloatingIp", "name": "mover", "network": "internet", "address": at(family, 90), "port": "one"}
    lab.apply(floating)
    with lab["two"].server(83, family) as there, lab["one"].server(83, family) as here:
        client = lab.outside.open_socket(family)
        client.connect((at(family, 90), 83))
        accepted, _ = here.accept()
        lab.apply({**floating, "port": "two"})
        before = lab.drops()
        client.send(b"x")
        eventually(lambda: {port for port, _ in lab.drops() - before} >= {"uplink"})
        # From outside it may be found still, if the keys of both Ports' connections happen to be alike; then it has ended.
        accepted.send(b"x")
        eventually(lambda: lab.drops("translation-gone") - before)
        second = lab.outside.open_socket(family)
        second.connect((at(family, 90), 83))
        moved, _ = there.accept()
    for made in (client, accepted, second, moved):
        made.close()
    lab.nodes["a"].delete("floatingip", "mover")


def test_large_sends(lab, family):
    """What a kernel leaves to be cut goes out as it is: nothing of it has to be sent again."""
    with lab.outside.server(84, family) as listening:
        client = connect(lab["one"], FAR[family], 84, family)
        accepted, _ = listening.accept()
    accepted.settimeout(DEADLINE)
    sent = threading.Thread(target=client.sendall, args=(bytes(1 << 20),))
    sent.start()
    got = 0
    while got < 1 << 20:
        got += len(accepted.recv(1 << 20))
    sent.join()
    again, = struct.unpack_from("=I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)
    assert again < 20
    client.close()
    accepted.close()


def test_large_udp_sends_to_a_tunnels_port(lab, family):
    """Datagrams that leave in one piece, to the port that tunnels have, and begin as VXLAN does: they are none."""
    port = 4789
    with lab.outside.open_socket(family, socket.SOCK_DGRAM) as there, lab["one"].open_socket(family, socket.SOCK_DGRAM) as here:
        there.bind((FAR[family], port))
        here.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        data = b"".join(bytes([8, 0, 0, 0]) + bytes([number]) * 996 for number in range(8))
        here.sendto(data, (FAR[family], port))
        assert b"".join(there.recv(2000) for _ in range(8)) == data
