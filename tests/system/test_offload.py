"""Large sends and unfinished checksums between kernel workloads: kept as they are where that is possible, finished
where they leave for something else, and intact in any case."""

import hashlib
import socket
import struct
import threading

import pytest

import netns
from node import eventually
from packets import IP, TCP, UDP, Ether, IPv6, Raw, Wire, fresh_port, ip_header
from virtio import ECN, TCPV4, TCPV6, Sender, checksum_is_right, content, start_of

SIZE = 3 << 20
UDP_SEGMENT = 103


def veth(lab, workload, name, mtu):
    """A veth from the node's namespace to the workload's eth0."""
    netns.ip(lab.nodes["a"].netns, f"link add {name} type veth peer name eth0 netns {workload.netns}",
             f"link set {name} up mtu {mtu}")
    netns.ip(workload.netns, f"link set eth0 address {workload.mac} mtu {mtu} up")


@pytest.fixture(scope="module", params=["v4", "v6"], ids=["underlay v4", "underlay v6"])
def lab(make_lab, request):
    """Workloads by what is between them and Sluice: `tap`, `veth` (AF_PACKET), `far` (a tap on the other node) and
    `plain` (a device of DPDK's that finishes nothing)."""
    lab = make_lab(nodes=("a", "b"), underlay=request.param)
    # Frames of the tests' own come in the middle of a stream.
    lab.network("blue", 1, mtu=1400, connectionTracking={"midStreamPickup": True})
    lab.network("red", 2, mtu=1400)
    for name in ("tap", "other"):
        lab.workload(name, "a", "blue", kernel=True)
    lab.workload("far", "b", "blue", kernel=True)
    lab.workload("routed", "b", "red", kernel=True)
    made = lab.workload("veth", "a", "blue", kernel=True, device={"netdev": {"name": "veth0"}})
    veth(lab, made, "veth0", 1400)
    made = lab.workload("plain", "a", "blue", kernel=True, device={"devargs": "net_af_packet0,iface=veth1"})
    veth(lab, made, "veth1", 1400)
    with netns.inside(made.netns):
        netns.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
    lab.up()
    lab.ports_up("veth", "plain")
    return lab


def transfer(sender, receiver, family, size=SIZE):
    """Sends content by TCP; what arrives is the same."""
    port = fresh_port()
    data = content(size)
    client, accepted = sender.connection(receiver, port, family)
    accepted.settimeout(60)

    def send():
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    digest = hashlib.sha256()
    while part := accepted.recv(1 << 20):
        digest.update(part)
    thread.join()
    for made in (client, accepted):
        made.close()
    assert digest.digest() == hashlib.sha256(data).digest()


def counters(lab, name):
    values = next(node.stats()["ports"][name] for node in lab.nodes.values() if name in node.stats()["ports"])
    return {key: int(values[key]) for key in ("rxPackets", "rxBytes", "txPackets", "txBytes")}


def average(lab, name, direction, before):
    """Bytes of a packet at a port since then."""
    now = counters(lab, name)
    packets = now[f"{direction}Packets"] - before[f"{direction}Packets"]
    return (now[f"{direction}Bytes"] - before[f"{direction}Bytes"]) / packets


def undisturbed(lab):
    """Nothing was dropped for being wrong."""
    return lab.drops("offload", "send-error", "receive-error", "too-big", "checksum", "no-buffer")


@pytest.mark.parametrize("ends", ["tap other", "tap veth", "veth tap", "tap plain", "plain tap", "tap far", "veth far",
                                  "far tap", "far veth", "plain far", "tap routed", "routed veth"])
def test_transfer(lab, ends, family):
    sender, receiver = (lab[name] for name in ends.split())
    drops = undisturbed(lab)
    before, after = counters(lab, sender.name), counters(lab, receiver.name)
    transfer(sender, receiver, family)
    assert undisturbed(lab) == drops
    if sender.name != "plain":
        assert average(lab, sender.name, "rx", before) > 3000
    if receiver.name in ("other", "veth", "tap") and sender.name in ("tap", "veth"):
        assert average(lab, receiver.name, "tx", after) > 3000
    if receiver.name == "plain":
        assert average(lab, receiver.name, "tx", after) <= 1414


def datagrams(sender, receiver, family, total, size):
    """Sends bytes as datagrams of `size` at once (USO); the datagrams as they arrive."""
    port = fresh_port()
    server = receiver.server(port, family, socket.SOCK_DGRAM)
    client = sender.open_socket(family, socket.SOCK_DGRAM)
    client.setsockopt(socket.SOL_UDP, UDP_SEGMENT, size)
    client.sendto(content(total), (receiver.address[family], port))
    received = []
    while sum(map(len, received)) < total:
        received.append(server.recv(65536))
    for made in (client, server):
        made.close()
    return received


@pytest.mark.parametrize("ends", ["tap other", "tap veth", "veth tap", "tap plain", "tap far", "veth far"])
@pytest.mark.parametrize("size", [1200, 333])
def test_datagrams_sent_at_once(lab, ends, size, family):
    """Each is a datagram of its own at the receiver, the last one shorter."""
    sender, receiver = (lab[name] for name in ends.split())
    assert sender.ping(receiver, family)
    total = 10 * size + 7
    received = datagrams(sender, receiver, family, total, size)
    assert [len(part) for part in received] == [size] * 10 + [7]
    assert b"".join(received) == content(total)


# Frames with virtio headers of the test's own, from the workload's end of its veth.


@pytest.fixture
def hostile(lab):
    sender = Sender(lab["veth"])
    yield sender
    sender.close()


def large(lab, family, layer, size=4000, **fields):
    sender, receiver = lab["veth"], lab["tap"]
    header = ip_header(sender.address[family], receiver.address[family], **fields)
    return Ether(src=sender.mac, dst=receiver.mac) / header / layer / Raw(content(size))


def counted(lab, send):
    """What was counted as dropped at port veth while the frame was sent."""
    def now():
        return {key[1]: count for key, count in lab.drops().items() if key[0] == "veth"}

    before = now()
    send()
    after = eventually(lambda: (drops := now()) != before and drops)
    return {reason: after[reason] - before.get(reason, 0) for reason in after if after[reason] != before.get(reason)}


@pytest.mark.parametrize("what", ["segments of 8 bytes", "IP length too small", "IP length too large", "a fragment"])
def test_contradictions(lab, hostile, what, family):
    fields, options = {}, {"size": 1000}
    if what == "segments of 8 bytes":
        options["size"] = 8
    elif what.startswith("IP length"):
        wrong = 500 if what.endswith("small") else 60000
        fields = {"len": wrong} if family == "v4" else {"plen": wrong}
    elif family == "v4":
        fields = {"flags": "MF"}
    else:
        # The kernel takes no segmentation behind a fragment header.
        options["size"] = 31
    frame = large(lab, family, TCP(sport=fresh_port(), dport=80, flags="A"), **fields)
    drops = counted(lab, lambda: hostile.send(frame, gso_type=TCPV4 if family == "v4" else TCPV6,
                                              header_length=start_of(family) + 20, start=start_of(family), offset=16,
                                              **options))
    assert drops == {"offload": 1}


def test_checksum_anywhere(lab, hostile, family):
    """A checksum that is asked for somewhere else is made there, before anything else sees the packet."""
    wire = Wire(lab["tap"].netns, "eth0")
    frame = large(lab, family, UDP(sport=fresh_port(), dport=9, chksum=0x1111), size=100)
    frame[Raw].load = frame[Raw].load[:20] + bytes(2) + frame[Raw].load[22:]
    mark = bytes(frame)[-14:]
    hostile.send(frame, start=start_of(family) + 8, offset=20)
    arrived = wire.wait_for(lambda received: mark in bytes(received))
    payload, sent = bytes(arrived[UDP].payload), bytes(frame[UDP].payload)
    assert payload[:20] + payload[22:] == sent[:20] + sent[22:]
    total = sum(struct.unpack(f"!{len(payload) // 2}H", payload))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    assert total == 0xffff
    assert arrived[UDP].chksum == 0x1111
    wire.close()


def test_segments_on_the_wire(lab, family):
    """To a port that finishes nothing: sequence numbers go on, FIN and PSH in the last segment only, CWR in the first,
    identifications one by one, checksums right."""
    receiver = lab["plain"]
    wire = Wire(receiver.netns, "eth0")
    sender = Sender(lab["veth"])
    port = fresh_port()
    layer = TCP(sport=port, dport=80, seq=2**32 - 1500, ack=1, flags="APFC")
    fields = {"id": 65534} if family == "v4" else {}
    frame = large(lab, family, layer, size=4001, **fields)
    frame[Ether].dst = receiver.mac
    frame[IP if family == "v4" else IPv6].dst = receiver.address[family]
    sender.send_segments(frame, family, 1000, ECN)
    got = [wire.wait_for(lambda received: TCP in received and received[TCP].sport == port) for _ in range(5)]
    sender.close()
    wire.close()
    assert b"".join(bytes(frame[TCP].payload) for frame in got) == content(4001)
    assert [frame[TCP].seq for frame in got] == [(2**32 - 1500 + i * 1000) % 2**32 for i in range(5)]
    assert [str(frame[TCP].flags) for frame in got] == ["AC", "A", "A", "A", "FPA"]
    if family == "v4":
        assert [frame[IP].id for frame in got] == [65534, 65535, 0, 1, 2]
    assert all(checksum_is_right(frame) for frame in got)
