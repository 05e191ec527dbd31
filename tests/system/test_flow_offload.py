"""Established connections between kernel interfaces of a node go on in the kernel: what is different, and that nothing
else is. test_tcp_programs.py has TCP's own behaviour over the same way."""

import errno
import json
import pathlib
import re
import socket
import subprocess

import pytest

from netns import ip
from node import eventually
from packets import TCP, Ether, Raw, Wire, ip_header
from transfer import ENDED, Datagrams, Stream, counted, handled, judge_anew, received, stopped

SIZE = 16 << 20
# So many packets that a connection is noticed.
MANY = 400
ANY = {"direction": "ingress"}


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    """`near` is in the client's network, the way to `server` is routed, `machine` is behind a tap; `tap` and `tagged` are no
    interfaces for this."""
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1, mtu=1450)
    lab.network("red", 2, mtu=1400)
    lab.group("any", ANY, {"direction": "egress"})
    for name, network in (("client", "blue"), ("near", "blue"), ("server", "red")):
        lab.workload(name, "a", network, kernel=True, veth=True, securityGroups=["any"])
    lab.workload("machine", "a", "blue", kernel=True, machine=True, securityGroups=["any"])
    lab.workload("tap", "a", "blue", kernel=True)
    lab.workload("tagged", "a", "blue", kernel=True, vlan=("client", 100))
    lab.up()
    lab.ports_up("client", "near", "server", "machine")
    yield lab
    # The kernel knows what the connection table does, and no connection that has ended.
    said = lab.nodes["a"].ok("audit")
    assert "all that is in force is as the objects" in said, said


@pytest.fixture(params=["near", "server", "machine"], ids=["one network", "routed", "virtual machine"])
def to(lab, request):
    return lab[request.param]


def bpftool(*words):
    done = subprocess.run(["/usr/sbin/bpftool", "-j", *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout or "null")


def kernel_map(node, name):
    """The number of one of the process' own maps."""
    for file in pathlib.Path(f"/proc/{node.process.pid}/fdinfo").iterdir():
        number = re.search(r"^map_id:\s*(\d+)$", file.read_text(encoding="ascii"), re.MULTILINE)
        if number and bpftool("map", "show", "id", number[1])["name"] == name:
            return number[1]
    raise AssertionError(f"no map {name}")


def audited(node):
    """What an audit finds."""
    return [(found["area"], found["text"].split(": ")[-1], found["repaired"])
            for found in json.loads(node.run("audit", "-o", "json").stdout)["differences"]]


def test_audit(lab):
    """What the kernel has of connections is held against the table; here somebody else has changed it."""
    node = lab.nodes["a"]
    stream = Stream(lab, lab["server"], "v4")
    eventually(stream.offloaded)
    assert audited(node) == []
    keys = kernel_map(node, "offload_keys")
    for entry in bpftool("map", "dump", "id", keys):
        bpftool("map", "delete", "id", keys, "key", *entry["key"])
    bpftool("map", "update", "id", keys, "key", *["7"] * 48, "value", "0", "0", "0", "0")
    assert sorted(audited(node)) == [("offload", "the kernel does not know it", True),
                                     ("offload", "the kernel knows it, and nobody else", True)]
    stream.goes_on()
    eventually(lambda: len(bpftool("map", "dump", "id", keys)) == 2)
    eventually(stream.offloaded)
    assert audited(node) == []
    stream.end()


def test_the_kernel_forwards(lab, stream, to):
    """Hardly a packet comes to the workers any more, and all are counted."""
    def forwarded():
        eventually(stream.offloaded)
        counted, before = stream.flow(), lab.nodes["a"].stats()
        stream.goes_on(SIZE)
        after = lab.nodes["a"].stats()
        passed = received(after, "client", str(to)) - received(before, "client", str(to))
        bytes_in = [int(stats["ports"]["client"]["rxBytes"]) for stats in (before, after)]
        bytes_out = [int(stats["ports"][str(to)]["txBytes"]) for stats in (before, after)]
        # Some of it was on its way already.
        assert bytes_in[1] - bytes_in[0] > SIZE // 2 and bytes_out[1] - bytes_out[0] > SIZE // 2
        now = stream.flow()
        assert int(now["bytes"]) - int(counted["bytes"]) > SIZE // 2
        assert int(now["packets"]) - int(counted["packets"]) >= passed
        assert now["state"] == "established" and now["rule"] == counted["rule"]
        return handled(after) - handled(before) < passed / 4 and after["connections"]["offloaded"] == 1

    # What the kernel has overtaken at its beginning is sent again, and is Sluice's.
    eventually(forwarded)


@pytest.mark.parametrize("lab", ["0"], ids=["one worker"], indirect=True)
def test_numbers_wrap(lab, to):
    """More than 32 bits of sequence numbers can count, in the kernel alone; the end then fits to the last of them."""
    moved = {"destinationPort": 5201, "destination": to.address["v4"]}
    server = to.popen("iperf3", "--server", "--one-off", "--bind", to.address["v4"])
    try:
        eventually(lambda: ":5201 " in to.popen("ss", "-tln").communicate(timeout=60)[0])
        client = lab["client"].popen("iperf3", "--client", to.address["v4"], "--bytes", "4600M")
        # What the kernel has overtaken at its beginning and was sent again does not fit any more.
        eventually(lambda: [flow["offloaded"] for flow in lab.nodes["a"].flows(**moved)
                            if int(flow["bytes"]) > 1 << 28] == [True])
        before = lab.drops("tcp-window")
        text = client.communicate(timeout=200)[0]
        assert client.returncode == 0, text
        server.communicate(timeout=60)
        # iperf3 may reset what it does not want to read any more. Its last packets may still be on their way.
        eventually(lambda: [flow["state"] in ENDED for flow in lab.nodes["a"].flows(**moved)
                            if int(flow["bytes"]) > 1 << 32] == [True])
        assert lab.drops("tcp-window") == before
    finally:
        server.kill()
        server.communicate()


def test_its_end(lab, stream):
    """The last packets are Sluice's again: the states of the end are as ever."""
    eventually(stream.offloaded)
    total = stream.flow()
    stream.end()
    flow = eventually(lambda: (flow := stream.flow()) and flow["state"] in ENDED and flow)
    assert not flow["offloaded"] and int(flow["packets"]) >= int(total["packets"])
    assert lab.nodes["a"].stats()["connections"]["offloaded"] == 0


def test_policy_is_withdrawn(lab, stream, to):
    """As at any other connection: not a packet more."""
    eventually(stream.offloaded)
    before = lab.drops()
    lab.rules("any", {"direction": "ingress", "protocol": "udp"}, {"direction": "egress"})
    try:
        seen = stream.received
        eventually(lambda: lab.drops().get((str(to), "security-group-ingress"), 0) > before.get((str(to), "security-group-ingress"), 0))
        # What was in the receiver's buffer may still be read.
        assert stream.received - seen < 16 << 20
        seen = stopped(stream)
        assert stream.flow() is None and stream.received == seen
    finally:
        lab.rules("any", ANY, {"direction": "egress"})


@pytest.mark.parametrize("policy", [{"egress": {"rate": "100G"}}, {"ingress": {"rate": "100G"}}, {"dscp": 10}],
                         ids=["egress", "ingress", "mark"])
def test_limits_and_marks_are_ours(lab, stream, policy):
    """What has to be counted or marked comes back from the kernel, and goes there again without."""
    client = lab["client"]
    eventually(stream.offloaded)
    lab.apply({"kind": "QosPolicy", "name": "limited", **policy})
    lab.change(client, qosPolicy="limited")
    try:
        for _ in range(3):
            stream.goes_on(SIZE)
            assert not stream.offloaded()
    finally:
        lab.change(client, qosPolicy="")
    eventually(stream.offloaded)
    stream.end()


def test_policy_changes_elsewhere(lab, stream):
    """Each change has all connections judged anew; what is still allowed goes on, and soon in the kernel again."""
    for number in range(5):
        eventually(stream.offloaded)
        judge_anew(lab, number)
        stream.goes_on()
    stream.end()


def test_port_goes_and_comes(lab, stream, family, to):
    """Its connections end with it, also when another one is there by the same name."""
    eventually(stream.offloaded)
    lab.nodes["a"].delete("port", to.name)
    try:
        seen = stopped(stream)
    finally:
        lab.nodes["a"].apply(to.object)
    lab.ports_up(to.name)
    stream.cut()
    assert stream.received == seen
    another = Stream(lab, to, family)
    try:
        eventually(another.offloaded)
        another.end()
    finally:
        another.cut()


def test_interface_goes_and_comes(lab, stream, to):
    """Its packets go nowhere meanwhile, least of all to the host's own stack."""
    eventually(stream.offloaded)
    there = to.object["device"]["netdev"]["name"]
    ip(lab.nodes["a"].netns, f"link set {there} down")
    seen = stopped(stream)
    ip(lab.nodes["a"].netns, f"link set {there} up")
    eventually(lambda: stream.received > seen, 60)
    stream.end()


def forged(lab, to, stream, family, flags="A", src_mac=None, **fields):
    """A segment of the stream's that its own system did not send."""
    client = lab["client"]
    dst_mac = to.mac
    if to.network is not client.network:
        words = client.popen("ip", "neigh", "show", client.network.gateway[family]).communicate(timeout=60)[0]
        dst_mac = re.search(r"lladdr (\S+)", words)[1]
    segment = TCP(**{"sport": stream.port, "dport": 80, "flags": flags, "seq": 1, "ack": 1, **fields})
    return (Ether(src=src_mac or client.mac, dst=dst_mac) / ip_header(client.address[family], to.address[family])
            / segment / Raw(b"forged"))


@pytest.mark.parametrize("flags", ["A", "R", "F", "S"])
def test_segments_out_of_window(lab, stream, family, to, flags):
    """Are Sluice's to refuse, and harm nobody. Where the numbers are is known from the packets themselves."""
    eventually(stream.offloaded)
    wire = Wire(lab["client"].netns, "eth0")
    listener = Wire(to.netns, "eth0")
    try:
        heard = listener.wait_for(lambda frame: TCP in frame and frame[TCP].sport == stream.port)[TCP]
        far = (heard.seq + (1 << 31)) % (1 << 32)
        frame = forged(lab, to, stream, family, flags + "A" * (flags == "F"), seq=far, ack=heard.ack)
        if flags == "S":
            # Answered by the receiver itself, if it gets there (RFC 5961).
            wire.send(frame)
        else:
            counted(lab, "client", "tcp-window", lambda: wire.send(frame))
        stream.goes_on()
        eventually(stream.offloaded)
        stream.end()
    finally:
        wire.close()
        listener.close()


def test_another_source_address(lab, stream, family, to):
    eventually(stream.offloaded)
    wire = Wire(lab["client"].netns, "eth0")
    try:
        frame = forged(lab, to, stream, family, src_mac="52:54:00:00:ff:ff")
        counted(lab, "client", "source-mac", lambda: wire.send(frame))
        stream.goes_on()
    finally:
        wire.close()


def test_datagrams(lab, datagrams):
    """Sizes from nothing to the MTU; each is counted once."""
    datagrams.until_offloaded()
    packets = int(datagrams.flow()["packets"])
    for size in (4, 100, 1000, 1320):
        datagrams.talk(50, size)
    flow = datagrams.flow()
    assert flow["offloaded"] and int(flow["packets"]) - packets == 400
    assert flow["state"] == "replied"


def test_hop_limit(lab, datagrams, to):
    """One less where the way is routed; who has none left is told."""
    datagrams.until_offloaded()
    routed = to.network is not lab["client"].network
    datagrams.set_ttl(50)
    assert [datagrams.ttl_received() for _ in range(3)] == [49 if routed else 50] * 3
    assert datagrams.flow()["offloaded"]
    datagrams.set_ttl(1)
    if routed:
        counted(lab, "client", "ttl", lambda: datagrams.client.send(b"x"))
    else:
        datagrams.client.send(b"y")
        assert datagrams.server.recv(100) == b"y"


def test_too_large(lab, datagrams, family, to):
    """A workload with a larger MTU than its network's is told the right one."""
    datagrams.until_offloaded()
    interfaces = [(lab["client"].netns, "eth0"), (lab.nodes["a"].netns, "to-client")]
    try:
        for namespace, interface in interfaces:
            ip(namespace, f"link set {interface} mtu 9000")
        option = (socket.IPPROTO_IP, 10) if family == "v4" else (socket.IPPROTO_IPV6, 23)  # MTU_DISCOVER
        datagrams.client.setsockopt(*option, 3)  # PROBE: DF, whatever is known
        counted(lab, "client", "too-big", lambda: datagrams.client.send(bytes(3000)))
    finally:
        for namespace, interface in reversed(interfaces):
            ip(namespace, f"link set {interface} mtu 1450")


def test_errors_about_it(lab, datagrams):
    """An ICMP error about an offloaded connection is known to be one."""
    datagrams.until_offloaded()
    datagrams.server.close()
    datagrams.client.send(b"anybody?")

    def refused():
        try:
            datagrams.client.send(b"anybody?")
        except OSError as problem:
            return problem.errno == errno.ECONNREFUSED
        return False
    eventually(refused)


def test_idle_time(lab, family):
    """Counts from the last packet that the kernel forwarded."""
    lab.apply({**lab.networks["blue"].object, "connectionTracking": {"idleTimes": {"unreplied": 1, "replied": 1}}})
    datagrams = Datagrams(lab, lab["near"], family)
    try:
        def aged():
            datagrams.talk(64)
            flow = datagrams.flow()
            # Where the machine stood still for a second it is another one.
            return flow and flow["offloaded"] and flow["age"] >= 4

        eventually(aged)
        eventually(lambda: datagrams.flow() is None)
    finally:
        datagrams.close()
        lab.apply(lab.networks["blue"].object)


def test_trace(lab, stream, family, to):
    """Says where its packets go, and changes nothing."""
    eventually(stream.offloaded)
    client = lab["client"]
    packet = (f"tcp {client.address[family]}:{stream.port} > {to.address[family]}:80 flags A" if family == "v4" else
              f"tcp [{client.address[family]}]:{stream.port} > [{to.address[family]}]:80 flags A")
    text = lab.nodes["a"].ok("trace", "--port", "client", packet)
    assert "goes on in the kernel" in text
    assert stream.offloaded()
    stream.goes_on()
    stream.end()


@pytest.mark.parametrize("other", ["tap", "tagged"])
def test_what_is_no_kernel_interface_of_the_node(lab, family, other):
    stream = Stream(lab, lab[other], family, "near")
    stream.goes_on(SIZE)
    assert not stream.offloaded()
    stream.end()


def test_many_at_a_time(lab, family, to):
    streams = []
    try:
        for _ in range(12):
            streams.append(Stream(lab, to, family))
        for stream in streams:
            eventually(stream.offloaded, 60)
        for stream in streams:
            stream.end()
    finally:
        for stream in streams:
            stream.cut()


def test_counters_of_many_ports(one_lab):
    """Numbers of ports grow where ports come and go; all are counted."""
    lab = one_lab()
    lab.network("blue", 1)
    lab.nodes["a"].apply(*lab.objects, *[
        {"kind": "Port", "name": f"port-{i}", "node": "a", "network": "blue", "device": {"netdev": {"name": f"none{i}"}},
         "mac": "52:54:01:00:%02x:%02x" % (i >> 8, i & 255)} for i in range(4200)])
    for name in ("client", "near"):
        lab.workload(name, "a", "blue", kernel=True, veth=True)
    lab.up()
    stream = Stream(lab, lab["near"], "v4")
    try:
        eventually(stream.offloaded)
        before = int(lab.nodes["a"].stats()["ports"]["client"]["rxBytes"])
        stream.goes_on(SIZE)
        after = int(lab.nodes["a"].stats()["ports"]["client"]["rxBytes"])
        assert after - before > SIZE // 2
        stream.end()
    finally:
        stream.cut()


def test_switched_off(one_lab):
    lab = one_lab(options=["--flow-offload", "off"])
    lab.network("blue", 1)
    for name in ("client", "near"):
        lab.workload(name, "a", "blue", kernel=True, veth=True)
    lab.up()
    stream = Stream(lab, lab["near"], "v4")
    stream.goes_on(SIZE)
    assert not stream.offloaded()
    stream.end()
