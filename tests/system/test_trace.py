"""`sluice trace` says what really happens: each packet is traced, then sent, and both verdicts compared."""

import re

import pytest

from packets import TCP, UDP, Raw, echo_request, fresh_port, split, told, who_has

INGRESS = {"direction": "ingress"}
EGRESS = {"direction": "egress"}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.objects.append({"kind": "Node", "name": "b"})
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.network("apart", 3, vrf="t2")
    lab.network("island", 4, vrf=None)
    lab.group("web", {**INGRESS, "protocol": "tcp", "ports": "80-81"}, {**INGRESS, "protocol": "icmp"})
    lab.group("friends", {**INGRESS, "remote": {"group": "friends"}}, EGRESS)
    lab.group("dns", {**EGRESS, "protocol": "udp", "ports": "53"})
    lab.workload("one", "a", "blue")
    lab.workload("web", "a", "blue", securityGroups=["web"])
    lab.workload("red", "a", "red", securityGroups=["friends"])
    lab.workload("friend", "a", "blue", securityGroups=["friends"])
    lab.workload("asker", "a", "blue", securityGroups=["dns"])
    lab.workload("apart", "a", "apart")
    lab.workload("island", "a", "island")
    lab.workload("elsewhere", "b", "blue")
    return lab.up()


# sender, packet with {names} for addresses, and what becomes of it.
PACKETS = [
    ("one", "udp {one} > {web}:53", "drop security-group-ingress"),
    ("one", "tcp {one} > {web}:80", "allow"),
    ("one", "tcp {one} > {web}:81", "allow"),
    ("one", "tcp {one} > {web}:82", "drop security-group-ingress"),
    ("one", "icmp {one} > {web}", "allow"),
    ("web", "tcp {web} > {one}:80", "drop security-group-egress"),
    ("one", "udp {one} > {red}:53", "drop security-group-ingress"),
    ("friend", "udp {friend} > {red}:53", "allow"),
    ("friend", "icmp {friend} > {red}", "allow"),
    ("red", "tcp {red} > {friend}:22", "allow"),
    ("asker", "udp {asker} > {one}:53", "allow"),
    ("asker", "udp {asker} > {one}:54", "drop security-group-egress"),
    ("asker", "tcp {asker} > {one}:53", "drop security-group-egress"),
    ("asker", "udp {asker} > {red}:53", "drop security-group-ingress"),
    ("one", "udp {web} > {red}:53", "drop source-address"),
    ("one", "icmp {red} > {web}", "drop source-address"),
    ("one", "udp {one} > {apart}:53", "drop no-route"),
    ("one", "udp {one} > {nowhere}:53", "drop no-route"),
    ("one", "udp {one} > {nobody in red}:53", "drop no-host"),
    ("one", "udp {one} > {nobody in blue}:53", "drop arp-unknown"),
    ("one", "icmp {one} > {gateway}", "allow"),
    ("one", "udp {one} > {gateway}:53", "drop gateway"),
    ("one", "tcp {one} > {gateway of red}:22", "drop gateway"),
    ("island", "udp {island} > {one}:53", "drop not-routed"),
    ("one", "udp {one} > {elsewhere}:53", "drop no-uplink"),
    ("one", "47 {one} > {web}", "drop security-group-ingress"),
    ("one", "47 {one} > {friend}", "drop security-group-ingress"),
    ("friend", "47 {friend} > {red}", "allow"),
]


def addresses(lab, family):
    known = {name: workload.address[family] for name, workload in lab.workloads.items()}
    known["nowhere"] = {"v4": "203.0.113.1", "v6": "2001:db8:9::1"}[family]
    known["nobody in red"] = {"v4": "10.2.0.222", "v6": "fd00:2::222"}[family]
    known["nobody in blue"] = {"v4": "10.1.0.222", "v6": "fd00:1::222"}[family]
    known["gateway"] = lab.networks["blue"].gateway[family]
    known["gateway of red"] = lab.networks["red"].gateway[family]
    return known


def read(lab, text, family):
    """Protocol, source, destination and ports of a line of the table."""
    protocol, rest = text.split(" ", 1)
    source, target = re.fullmatch(r"\{(.+)\} > (.+)", rest).groups()
    target, port = re.fullmatch(r"\{(.+)\}(?::(\d+))?", target).groups()
    known = addresses(lab, family)
    return protocol, known[source], known[target], int(port or 0)


def written(protocol, source, destination, sport, dport):
    """As `sluice trace` takes it."""
    if not dport:
        return f"{protocol} {source} > {destination}"
    if ":" in source:
        source, destination = f"[{source}]", f"[{destination}]"
    return f"{protocol} {source}:{sport} > {destination}:{dport}"


def frame_of(lab, sender, protocol, source, destination, sport, dport, family):
    """As the sender's system would send it: to whom ARP or ND say, on the link, else to the gateway."""
    layer, fields = {
        "tcp": lambda: (TCP(sport=sport, dport=dport, flags="S"), {}),
        "udp": lambda: (UDP(sport=sport, dport=dport), {}),
        "icmp": lambda: (echo_request(source, id=sport), {}),
        "47": lambda: (Raw(b"\0\0\x08\0"), {"v4": {"proto": 47}, "v6": {"nh": 47}}[family]),
    }[protocol]()
    on_link = destination.startswith({"v4": sender.network.prefix["v4"][:-4], "v6": sender.network.prefix["v6"][:-3]}
                                     [family])
    if on_link and destination != sender.network.gateway[family]:
        sender.send(who_has(destination, sender.mac, sender.address[family]))
        mac = told(sender.wire.wait_for(lambda got: told(got, destination)), destination)
    else:
        mac = sender.gateway_mac(family)
    return sender.frame(sender, layer, family, src=source, dst=destination, dst_mac=mac, **fields)


@pytest.mark.parametrize("name, text, verdict", PACKETS, ids=[f"{t} -- {v}" for _, t, v in PACKETS])
def test_trace_is_right(lab, family, name, text, verdict):
    protocol, source, destination, dport = read(lab, text, family)
    if verdict == "drop arp-unknown" and family == "v6":
        verdict = "drop nd-unknown"
    sender, sport = lab[name], fresh_port()
    node = lab.nodes["a"]
    assert node.trace(name, written(protocol, source, destination, sport, dport)) == verdict
    before = lab.drops()
    if verdict in ("drop arp-unknown", "drop nd-unknown"):
        lab.dropped(sender, who_has(destination, sender.mac, source), verdict[5:])
        return
    frame = frame_of(lab, sender, protocol, source, destination, sport, dport, family)
    owners = [w for w in lab.workloads.values() if w.wire and w.address[family] == destination]
    if verdict == "allow":
        lab.passes(sender, frame, owners[0] if owners else sender)
        assert lab.drops() == before
    else:
        at = owners[0] if verdict == "drop security-group-ingress" else sender
        lab.dropped(sender, frame, verdict[5:], at=at)


def test_trace_makes_no_connection_and_counts_nothing(lab, family):
    node = lab.nodes["a"]

    def known():
        # Not the times: a second may go by between two looks.
        return node.drops(), [{**flow, "age": None, "idle": None} for flow in node.flows()]

    before = known()
    packet = written("tcp", lab["one"].address[family], lab["web"].address[family], fresh_port(), 80)
    assert node.trace("one", packet) == "allow"
    node.trace("one", packet.replace("80", "82"))
    assert known() == before


def test_trace_of_a_reply(lab, family):
    """In a live connection it is told as what it is."""
    one, web, node = lab["one"], lab["web"], lab.nodes["a"]
    port = fresh_port()
    reply = written("tcp", web.address[family], one.address[family], 80, port)
    assert node.trace("web", reply) == "drop security-group-egress"
    lab.passes(one, one.frame(web, TCP(sport=port, dport=80, flags="S"), family), web)
    assert node.trace("web", reply) == "allow"


def test_trace_through_the_tunnel(one_lab, lab):
    """A port of another node: as that node would send it here, if there is a way."""
    far = one_lab(underlay="v4")
    far.add_node("b", "192.0.2.2/24", uplink={"netdev": "up0"})
    far.network("blue", 1)
    far.group("web", {**INGRESS, "protocol": "tcp", "ports": "80-81"})
    far.workload("web", "a", "blue", securityGroups=["web"])
    far.workload("elsewhere", "b", "blue")
    node = far.up().nodes["a"]
    source, web = far["elsewhere"].address["v4"], far["web"].address["v4"]
    assert node.trace("elsewhere", f"tcp {source}:1 > {web}:80") == "allow"
    assert node.trace("elsewhere", f"tcp {source}:1 > {web}:22") == "drop security-group-ingress"
    assert node.trace("elsewhere", f"tcp {web}:1 > {web}:80") == "drop malformed"
    assert node.trace("elsewhere", f"tcp 10.1.0.99:1 > {web}:80") == "drop tunnel-source"
    assert lab.nodes["a"].trace("elsewhere", f"tcp {lab['elsewhere'].address['v4']}:1 > "
                                             f"{lab['web'].address['v4']}:80") == "drop no-uplink"


def test_trace_tells_what_leaves(lab, family):
    """The frame itself, byte by byte as it then arrives, and where."""
    node, one, red = lab.nodes["a"], lab["one"], lab["friend"]
    frame = one.frame(lab["apart"], echo_request(one.address[family], id=fresh_port()), family,
                      dst=lab["one"].network.gateway[family], dst_mac=one.gateway_mac(family))
    answer = node.json("trace", "--port", "one", "--frame", bytes(frame).hex())
    assert (answer["verdict"], [output["port"] for output in answer["outputs"]]) == ("allow", ["one"])
    one.send(frame)
    expected = bytes.fromhex(answer["outputs"][0]["frame"])
    one.wire.wait_for(lambda received: bytes(received) == expected)


def test_trace_of_a_frame(lab):
    """With colons, blanks or neither; what is no frame of the port is dropped as from the wire."""
    node, one, web = lab.nodes["a"], lab["one"], lab["web"]
    frame = bytes(one.frame(web, TCP(sport=fresh_port(), dport=80, flags="S"), "v4"))
    for text in (frame.hex(), frame.hex(":"), frame.hex(" ").upper()):
        assert node.json("trace", "--port", "one", "--frame", text)["verdict"] == "allow"
    foreign = frame[:6] + bytes.fromhex("525400ffffff") + frame[12:]
    assert node.json("trace", "--port", "one", "--frame", foreign.hex())["reason"] == "source-mac"
    assert node.json("trace", "--port", "one", "--frame", frame[:30].hex())["reason"] == "truncated"
    for text in ("", "0", "xy", "001"):
        result = node.run("trace", "--port", "one", "--frame", text)
        assert result.returncode == 2 and "hexadecimal" in result.stderr
    result = node.run("trace", "--port", "elsewhere", "--frame", frame.hex())
    assert result.returncode == 1 and "another node" in result.stderr


def test_trace_of_fragments(lab, family):
    """Of several frames the last is told of; those before it wait, and leave with it if it is the one that they wait for."""
    node, one, web = lab.nodes["a"], lab["one"], lab["web"]
    pieces = split(bytes(one.frame(web, echo_request(one.address[family], id=fresh_port()), family,
                                   payload=Raw(b"x" * 48))), 24, number=fresh_port())

    def trace(*frames):
        return node.json("trace", "--port", "one", *[word for f in frames for word in ("--frame", f.hex())])

    assert len(pieces) == 3
    for frames in (pieces[:1], pieces[:2], [pieces[2], pieces[0]]):
        answer = trace(*frames)
        assert (answer["verdict"], answer["outputs"], answer["steps"][-1]["layer"]) == ("allow", [], "fragments")
    answer = trace(*pieces)
    assert (answer["verdict"], [bytes.fromhex(o["frame"]) for o in answer["outputs"]]) == ("allow", pieces)
    assert {output["port"] for output in answer["outputs"]} == {"web"}
    assert trace(*pieces[:2], pieces[0])["reason"] == "fragment-duplicate"
    # Nothing of them is there for the next one.
    assert trace(pieces[2])["outputs"] == []
    closed = split(bytes(one.frame(web, UDP(sport=fresh_port(), dport=53), family, payload=Raw(b"x" * 48))), 32)
    assert trace(*closed)["reason"] == "security-group-ingress"
    result = node.run("trace", "--port", "one", "--frame", pieces[0].hex(), "--frame", "0")
    assert result.returncode == 2 and "hexadecimal" in result.stderr


def test_trace_with_options(lab):
    node = lab.nodes["a"]
    one, web, red = (lab[name].address["v4"] for name in ("one", "web", "red"))
    assert node.trace("one", f"icmp {one} > {web} ttl 1") == "allow"
    assert node.trace("friend", f"icmp {lab['friend'].address['v4']} > {red} ttl 1") == "drop ttl"
    assert node.trace("one", f"tcp {one}:1 > {web}:80 size 1450") == "allow"
    assert node.trace("one", f"tcp {one}:1 > {web}:80 ttl 9 size 1451") == "drop too-big"
    assert node.trace("one", f"tcp {one}:1 > {web}:80 flags SF") == "drop tcp-flags"
    assert node.trace("one", f"tcp {one}:1 > {web}:80 flags s size 60") == "allow"


def test_trace_as_text(lab):
    """A line a layer, the verdict last; exit status 0 for a drop too."""
    node = lab.nodes["a"]
    one, web = lab["one"].address["v4"], lab["web"].address["v4"]
    lines = node.ok("trace", "--port", "one", f"tcp {one}:1 > {web}:80").splitlines()
    assert lines[-1].startswith("allow")
    assert [line.split()[0] for line in lines[:-1]] == ["connection", "port-security", "l2", "security-group",
                                                        "security-group", "limits"]
    assert "web[0]" in lines[-3]
    assert node.ok("trace", "--port", "one", f"tcp {one}:1 > {web}:82").splitlines()[-1] == \
        "drop security-group-ingress"


NONSENSE = [
    "", "tcp", "tcp 10.1.0.11", "tcp 10.1.0.11:1 > 10.1.0.12", "tcp 10.1.0.11 > 10.1.0.12:80",
    "udp 10.1.0.11:1 10.1.0.12:2", "icmp 10.1.0.11:1 > 10.1.0.12", "xyz 10.1.0.11 > 10.1.0.12",
    "tcp 10.1.0.11:1 > 10.1.0.12:65536", "tcp 10.1.0.11:x > 10.1.0.12:1", "icmp 10.1.0.11 > fd00::1",
    "icmp 10.1.0.11 > 10.1.0.12 more", "256 10.1.0.11 > 10.1.0.12", "tcp fd00::1:1 > fd00::2:2",
    "icmp 10.1.0.11 > 10.1.0.12 ttl", "icmp 10.1.0.11 > 10.1.0.12 ttl 256", "tcp 10.1.0.11:1 > 10.1.0.12:2 flags X",
    "udp 10.1.0.11:1 > 10.1.0.12:2 flags S", "udp 10.1.0.11:1 > 10.1.0.12:2 size 65536",
    "icmp 10.1.0 > 10.1.0.12", "icmp " + "1" * 200 + " > 10.1.0.12",
]


@pytest.mark.parametrize("packet", NONSENSE)
def test_trace_of_nonsense(lab, packet):
    result = lab.nodes["a"].run("trace", "--port", "one", packet)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("sluice: ") and len(result.stderr.splitlines()) == 1


def test_trace_of_an_unknown_port(lab):
    result = lab.nodes["a"].run("trace", "--port", "nobody", "icmp 10.1.0.1 > 10.1.0.2")
    assert result.returncode == 1 and "nobody" in result.stderr
