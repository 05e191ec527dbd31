"""Captured packets: as received, as sent, and dropped, read by scapy and by tcpdump."""

import re
import signal
import struct
import subprocess
import threading
import time

import grpc
import pytest
from scapy.utils import rdpcap

from captures import COMMENT, FLAGS, INBOUND, OUTBOUND, VERDICT, Capture, pcapng, tcpdump
from node import BUILD, eventually
from packets import IP, TCP, UDP, VXLAN, Ether, fresh_port
from test_grpc_client import Client, M
from transfer import Datagrams


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=["--workers", request.param])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("web", {"direction": "ingress", "protocol": "udp", "ports": "80"}, {"direction": "egress"})
    for name, network in (("left", "blue"), ("right", "red")):
        lab.workload(name, "a", network, securityGroups=["web"])
    lab.workload("far", "b", "blue", securityGroups=["web"])
    return lab.up()


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


# Datagrams as they are, and inside VXLAN (not what Sluice itself says there).
INSIDE = {"v4": "udp port 80 or (udp port 4789 and ether[73] == 17)", "v6": "udp port 80 or (udp port 4789 and ether[70] == 17)"}


def udp(port=80):
    return UDP(sport=fresh_port(), dport=port)


def test_before_and_after_the_rewrite(lab, node, family):
    """A routed packet: other MAC addresses and one hop less where it leaves."""
    frame = lab["left"].frame(lab["right"], udp(), family)
    capture = Capture(node, "--count", 2, "-w", "-", "udp")
    arrived = lab.passes(lab["left"], frame, lab["right"])
    interfaces, packets = pcapng(capture.wait()[0])
    assert list(interfaces) == ["left/in", "right/out"]
    (first, earlier, length, received, in_options), (second, later, _, sent, out_options) = packets
    assert (first, second) == ("left/in", "right/out")
    assert received == bytes(frame) and length == len(received)
    assert sent == bytes(arrived) and sent != received
    assert earlier <= later
    assert struct.unpack("<I", in_options[FLAGS]) == (INBOUND,)
    assert struct.unpack("<I", out_options[FLAGS]) == (OUTBOUND,)


def test_time_is_that_of_the_day(lab, node):
    before = time.time_ns()
    capture = Capture(node, "--port", "left", "--count", 1, "-w", "-", "udp")
    lab.passes(lab["left"], lab["left"].frame(lab["right"], udp()), lab["right"])
    _, ((_, seen, _, _, _),) = pcapng(capture.wait()[0])
    assert before < seen < time.time_ns()


def test_with_outer_headers_at_the_uplink(lab, node, family):
    frame = lab["left"].frame(lab["far"], udp(), family)
    capture = Capture(node, "--port", "left", "--port", "uplink", "--point", "both", "--count", 2, "-w", "-",
                      INSIDE[family])
    lab.passes(lab["left"], frame, lab["far"])
    _, packets = pcapng(capture.wait()[0])
    assert [name for name, *_ in packets] == ["left/in", "uplink/out"]
    outer = Ether(packets[1][3])
    assert outer[IP].src == lab.vtep["a"] and outer[IP].dst == lab.vtep["b"]
    assert outer[VXLAN].vni == 5001 and bytes(outer[VXLAN].payload) == bytes(frame)


def test_what_comes_from_the_uplink(lab, node, family):
    frame = lab["far"].frame(lab["left"], udp(), family)
    capture = Capture(node, "--count", 2, "-w", "-", INSIDE[family])
    lab.passes(lab["far"], frame, lab["left"])
    _, packets = pcapng(capture.wait()[0])
    assert [name for name, *_ in packets] == ["uplink/in", "left/out"]
    assert VXLAN in Ether(packets[0][3]) and packets[1][3] == bytes(frame)


def test_dropped_packets_say_why(lab, node, family):
    """At the port to whose account they go; as comment and as verdict."""
    frame = lab["left"].frame(lab["right"], udp(81), family)
    capture = Capture(node, "--port", "right", "--point", "dropped", "--count", 1, "-w", "-", "udp")
    lab.dropped(lab["left"], frame, "security-group-ingress", at="right")
    interfaces, ((name, _, _, captured, options),) = pcapng(capture.wait()[0])
    assert list(interfaces) == ["right/dropped"] and name == "right/dropped"
    assert captured == bytes(frame)
    assert options[COMMENT] == b"dropped: security-group-ingress"
    assert options[VERDICT] == b"\0security-group-ingress"
    assert FLAGS not in options


def test_a_line_for_each_packet(lab, node, family):
    version = {"v4": "IP", "v6": "IP6"}[family]
    left, right = lab["left"], lab["right"]
    refused, source = udp(81), left.address[family]
    capture = Capture(node, "--count", 2, "--port", "left", "--port", "right", "--point", "in", "--point", "dropped",
                      "udp")
    left.send(left.frame(right, refused, family, payload=b"12345"))
    lines = capture.lines()
    summary = f"{version} {source}.{refused.sport} > {right.address[family]}.81: UDP, length 5"
    assert [re.sub(r"^\d\d:\d\d:\d\d\.\d{6} ", "", line) for line in lines] == [
        f"left in  {summary}", f"right dropped security-group-ingress  {summary}"]


def test_lines_of_other_protocols(lab, node):
    left = lab["left"]
    capture = Capture(node, "--port", "left", "--point", "in", "--count", 3)
    left.send(left.frame(lab["right"], TCP(sport=1000, dport=80, flags="SA", seq=5, ack=7, window=9), payload=b"ab"))
    left._gateway_macs.clear()
    left.gateway_mac("v4")
    left._gateway_macs.clear()
    left.gateway_mac("v6")
    tcp, arp, solicitation = [line.split("left in  ")[1] for line in capture.lines()]
    assert tcp.endswith(".1000 > %s.80: Flags [S.], seq 5:7, ack 7, win 9, length 2" % lab["right"].address["v4"])
    assert arp == "ARP, Request who-has 10.1.0.1 tell %s, length 28" % left.address["v4"]
    assert "ICMP6, neighbor solicitation, who has fd00:1::1" in solicitation


def test_filters_are_tcpdumps(lab, node, family):
    """What the filter lets through is what tcpdump lets through by the same expression."""
    left, right = lab["left"], lab["right"]
    expression = f"udp and (src port 7 or greater 200) and dst host {right.address[family]}"
    frames = [left.frame(right, UDP(sport=sport, dport=80), family, payload=bytes(size))
              for sport, size in ((7, 10), (8, 10), (8, 300), (7, 300))]
    frames += [left.frame(right, UDP(sport=9, dport=80), family, payload=bytes(200))]
    everything = Capture(node, "--port", "left", "--point", "in", "--count", len(frames), "-w", "-", "udp")
    chosen = Capture(node, "--port", "left", "--point", "in", "--count", 4, "-w", "-", *expression.split())
    for frame in frames:
        left.send(frame)
    whole = everything.wait()[0]
    assert tcpdump(whole, "-t", *expression.split()) == tcpdump(chosen.wait()[0], "-t")
    assert len(tcpdump(whole)) == len(frames)


def test_a_part_of_each_packet(lab, node):
    frame = lab["left"].frame(lab["right"], udp(), payload=bytes(500))
    capture = Capture(node, "--port", "left", "--point", "in", "--count", 1, "--snaplen", 60, "-w", "-", "udp")
    lab["left"].send(frame)
    interfaces, ((_, _, length, captured, _),) = pcapng(capture.wait()[0])
    assert length == len(frame) and captured == bytes(frame)[:60]
    assert interfaces["left/in"]["snaplen"] == 60


def test_tcpdump_and_scapy_read_the_file(lab, node, tmp_path):
    path = tmp_path / "some.pcapng"
    frames = [lab["left"].frame(lab["right"], udp(port)) for port in (80, 81, 80)]
    capture = Capture(node, "-w", path, "--count", 6, "udp")
    for frame in frames:
        lab["left"].send(frame)
    _, errors = capture.wait()
    assert "6 packets captured" in errors
    read = rdpcap(str(path))
    assert len(read) == 6 and sum(bytes(packet) in map(bytes, frames) for packet in read) == 4
    assert len(tcpdump(path.read_bytes(), "port 81")) == 2


def test_only_what_was_asked_for(lab, node):
    """Neither other ports nor other points."""
    capture = Capture(node, "--port", "right", "--point", "in", "-w", "-", "udp")
    lab.passes(lab["left"], lab["left"].frame(lab["right"], udp()), lab["right"])
    frame = lab["right"].frame(lab["left"], udp())
    lab.passes(lab["right"], frame, lab["left"])
    seen = Capture(node, "--port", "right", "--point", "in", "--count", 1, "udp port 9")
    lab["right"].send(lab["right"].frame(lab["left"], UDP(sport=9, dport=9)))
    seen.wait()
    _, packets = pcapng(capture.end()[0])
    assert [(name, data) for name, _, _, data, _ in packets][:1] == [("right/in", bytes(frame))]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(lab, node, number):
    capture = Capture(node, "-w", "-")
    output, errors = capture.end(number)
    assert "packets captured" in errors
    pcapng(output)


def test_eight_at_once_and_no_more(lab, node):
    captures = [Capture(node, "--port", "left", "--count", 1, "-w", "-", "udp") for _ in range(8)]
    result = node.run("capture", "--port", "left")
    assert result.returncode == 1 and result.stderr == "sluice: 8 captures run already\n"
    # A client that goes away without a word makes room.
    captures[0].process.kill()
    captures[0].process.wait()
    captures[0] = eventually(lambda: Capture(node, "--port", "left", "--count", 1, "-w", "-", "udp", ready=False))
    while captures[0].process.stderr.readline() == b"sluice: 8 captures run already\n":
        captures[0] = Capture(node, "--port", "left", "--count", 1, "-w", "-", "udp", ready=False)
    frame = lab["left"].frame(lab["right"], udp())
    lab["left"].send(frame)
    for capture in captures:
        _, ((_, _, _, data, _),) = pcapng(capture.wait()[0])
        assert data == bytes(frame)


def test_what_is_wrong_is_said(node):
    for arguments, status, text in (
            (["--port", "nobody"], 1, "no Port 'nobody' on node a"),
            (["--count", "0"], 2, "--count takes a number of packets from 1 on, not '0'"),
            (["--count", "some"], 2, "--count takes"),
            (["--snaplen", "262145"], 2, "--snaplen takes 0 to 262144 bytes"),
            (["--point", "up"], 2, "--point takes in, out, both, dropped or all, not 'up'"),
            (["tcp", "prot", "80"], 2, "filter 'tcp prot 80'"),
            (["-w", "/nowhere/x.pcapng"], 1, "cannot write /nowhere/x.pcapng: No such file")):
        result = node.run("capture", *arguments)
        assert (result.returncode, result.stdout) == (status, ""), arguments
        assert text in result.stderr and result.stderr.count("\n") == 1, result.stderr


def test_a_vlan_on_a_port(one_lab, family):
    """With its tag on the device's port, without by its own name; both ways."""
    lab = one_lab()
    lab.network("blue", 1)
    trunk = lab.workload("trunk", "a", "blue", kernel=True)
    sub = lab.workload("sub", "a", "blue", kernel=True, vlan=("trunk", 100))
    lab.workload("other", "a", "blue", kernel=True)
    lab.up()
    node, echo = lab.nodes["a"], {"v4": "icmp", "v6": "icmp6 and (ip6[40] == 128 or ip6[40] == 129)"}[family]
    untagged = Capture(node, "--port", "sub", "--count", 2, "-w", "-", echo)
    tagged = Capture(node, "--port", "trunk", "--count", 2, "-w", "-", "vlan 100 and " + echo)
    assert lab["other"].ping(sub, family)
    _, inner = pcapng(untagged.wait()[0])
    _, outer = pcapng(tagged.wait()[0])
    assert [name for name, *_ in inner] == ["sub/out", "sub/in"]
    assert [name for name, *_ in outer] == ["trunk/out", "trunk/in"]
    for (_, _, _, without, _), (_, _, _, with_tag, _) in zip(inner, outer):
        assert with_tag == without[:12] + bytes.fromhex("81000064") + without[12:]
    assert trunk


def test_what_the_kernel_forwards_comes_back(one_lab, family):
    """A connection that is offloaded is seen while a capture runs at its port, and goes on in the kernel then."""
    lab = one_lab()
    lab.network("blue", 1)
    for name in ("client", "server"):
        lab.workload(name, "a", "blue", kernel=True, veth=True)
    lab.up()
    lab.ports_up("client", "server")
    datagrams = Datagrams(lab, lab["server"], family)
    try:
        datagrams.until_offloaded()
        capture = Capture(lab.nodes["a"], "--port", "server", "--count", 400, "-w", "-", "udp")
        datagrams.talk(100)
        assert not datagrams.offloaded()
        datagrams.talk(100)
        _, packets = pcapng(capture.wait()[0])
        assert [name for name, *_ in packets] == ["server/out", "server/in"] * 200
        datagrams.until_offloaded()
    finally:
        datagrams.close()


def test_several_packets_in_one_piece(one_lab):
    """A large TCP send is one packet, whose bytes lie in several buffers."""
    lab = one_lab()
    lab.network("blue", 1)
    for name in ("client", "server"):
        lab.workload(name, "a", "blue", kernel=True)
    lab.up()
    capture = Capture(lab.nodes["a"], "--port", "client", "--point", "in", "--count", 1, "-w", "-", "greater 9000")
    client, connection = lab["client"].connection(lab["server"], 80)
    content = b"".join(b"%07d " % i for i in range(200000))
    connection.settimeout(60)
    reader = threading.Thread(target=lambda: [None for _ in iter(lambda: connection.recv(1 << 20), b"")])
    reader.start()
    client.sendall(content)
    client.close()
    reader.join(20)
    _, ((_, _, length, data, _),) = pcapng(capture.wait()[0])
    packet = Ether(data)
    payload = bytes(packet[TCP].payload)
    assert length == len(data) > 9000 and len(payload) > 8000 and payload in content


def test_what_comes_too_fast_is_counted(lab, node):
    """A client that reads nothing for a while: some packets are not captured, and said to be so."""
    left, sent = lab["left"], 16000
    capture = Capture(node, "--port", "left", "--point", "in", "-w", "-", "udp")
    frame = bytes(left.frame(lab["right"], udp(), payload=bytes(1400)))

    def received():
        for _ in range(400):
            left.send(frame)
        return int(node.stats()["ports"]["left"]["rxPackets"]) - before >= sent

    before = int(node.stats()["ports"]["left"]["rxPackets"])
    eventually(received)
    output, arrived = bytearray(), threading.Event()
    last = bytes(left.frame(lab["right"], udp(9)))

    def read():
        while block := capture.process.stdout.read1(1 << 20):
            output.extend(block)
            if last in output[-len(block) - len(last):]:
                arrived.set()

    def seen():
        left.send(last)
        return arrived.is_set()

    reader = threading.Thread(target=read)
    reader.start()
    eventually(seen)
    capture.process.send_signal(signal.SIGINT)
    reader.join(20)
    errors = capture.process.stderr.read().decode()
    assert capture.process.wait(60) == 0
    _, packets = pcapng(bytes(output))
    missed = int(re.search(r"(\d+) packets not captured: too fast", errors)[1])
    assert f"{len(packets)} packets captured" in errors and 0 < missed
    assert sum(struct.unpack("<Q", options[4])[0] for *_, options in packets if 4 in options) == missed


def test_it_begins_anew_with_its_port(lab, node):
    """A Port that is removed and made again while it runs is the same to it."""
    extra = lab.workload("extra", "a", "blue")
    node.apply(extra.object)
    extra.listen()
    capture = Capture(node, "--port", "extra", "--point", "in", "--count", 1, "-w", "-", "udp")
    extra.wire.close()
    extra.wire = None
    node.delete("port", "extra")
    node.apply(extra.object)
    extra.listen()

    def seen():
        extra.send(extra.frame(lab["left"], udp()))
        return capture.process.poll() is not None
    eventually(seen)
    _, packets = pcapng(capture.wait()[0])
    assert [name for name, *_ in packets] == ["extra/in"]


def test_help_shows_how():
    text = subprocess.run([BUILD / "sluice", "capture", "--help"], capture_output=True, text=True, check=True).stdout
    assert "tcpdump" in text and "wireshark" in text


def captured(client, **fields):
    """The stream of an official client, from when it has begun."""
    function = client.channel.unary_stream("/sluice.v1.Sluice/Capture",
                                           request_serializer=M["CaptureRequest"].SerializeToString,
                                           response_deserializer=M["CapturedPacket"].FromString)
    stream = function(M["CaptureRequest"](**fields), timeout=60)
    assert not next(stream).port
    return stream


def test_any_grpc_client_can(lab, node):
    """With the program that tcpdump prints."""
    text = subprocess.run(["tcpdump", "-y", "EN10MB", "-ddd", "udp dst port 80"], capture_output=True, text=True,
                          check=True).stdout
    program = [M["BpfInstruction"](**dict(zip(("code", "jt", "jf", "k"), map(int, line.split()))))
               for line in text.splitlines()[1:]]
    frames = [lab["left"].frame(lab["right"], udp(port)) for port in (81, 80)]
    with Client(node.api) as client:
        stream = captured(client, ports=["left"], points=[1], filter=program, count=1)
        for frame in frames:
            lab["left"].send(frame)
        packets = [message for message in stream if message.port]
    assert [(packet.port, packet.point, packet.data) for packet in packets] == [("left", 1, bytes(frames[1]))]


def test_requests_that_are_refused(node):
    with Client(node.api) as client:
        for fields, code, text in (
                ({"ports": ["nobody"]}, "NOT_FOUND", "no Port 'nobody' on node a"),
                ({"points": [9]}, "INVALID_ARGUMENT", "points[0]: 9 is no place to capture at"),
                ({"snaplen": 300000}, "INVALID_ARGUMENT", "snaplen: 300000 bytes, at most 262144"),
                ({"filter": [{"code": 6}, {"code": 5, "k": 7}]}, "INVALID_ARGUMENT", "filter[1]: jump to nowhere"),
                ({"filter": [{"code": 70000}]}, "INVALID_ARGUMENT", "filter[0]: code or jump is too large"),
                ({"filter": [{"code": 0}] * 5000}, "INVALID_ARGUMENT", "filter: 5000 instructions, at most 4096")):
            with pytest.raises(grpc.RpcError) as error:
                captured(client, **fields)
            assert error.value.code().name == code and text in error.value.details(), error.value


def test_ended_calls_make_room(lab, node):
    with Client(node.api) as client:
        for _ in range(20):
            captured(client, ports=["left"]).cancel()
