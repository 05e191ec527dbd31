"""The benchmarks' load tells the truth: what it sends, what comes back, and what doesn't."""

import pytest

import load
import netns
import outside
from node import eventually
from packets import IP, TCP, UDP, Ether, Wire
from testpmd import Device


@pytest.fixture(scope="module")
def device():
    made = Device()
    yield made
    made.stop()


@pytest.mark.parametrize("options, message", [
    (["--mode", "x"], "load: --mode: x: not stream, new or tcp"),
    (["--size", "59"], "load: --size: 59: not a number from 60 to 1514"),
    (["--size", "60", "--family", "6"], "load: --size: 60: no room for headers and payload; at least 62"),
    (["--latency", "--mode", "tcp"], "load: --latency: TCP's packets carry time stamps in --mode stream only"),
    (["--connections", "16777217"], "load: --connections: 16777217: not a number from 1 to 16777216"),
    (["--rate"], "load: --rate: needs a value"),
    (["--quick"], "load: --quick: unknown option; --help tells of all"),
    (["quick"], "load: quick: not expected"),
    (["--tunnel", "vni=1,local=192.0.2.1"], "load: --tunnel: no remote"),
    (["--clients", "2", "--family", "6"], "load: --clients: IPv4 only"),
    (["--servers", "2", "--family", "6"], "load: --servers: IPv4 only"),
    (["--outside", "--family", "6"], "load: --outside: UDP over IPv4 only, without --latency and --tunnel"),
    (["--seen", "fd00::1,fd00::2"], "load: --seen: not of the family of --family"),
    (["--mac", "52:54:00:00:00:01"], "load: --mac: 52:54:00:00:00:01: not two, with a comma between"),
    (["--vhost-user", "path=/x,queue_size=100"], "load: --vhost-user: 100: not a power of two"),
], ids=lambda value: value[0].strip("-") if isinstance(value, list) else "")
def test_wrong_options(options, message):
    done = load.run(*options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + "\n")


def all_answered(line):
    """Of 300, and some more packets."""
    return line["answered"] >= 300 and min(port["received"] for port in line["ports"]) > 500


# Through the device without loss, in all shapes: (options, connections).
SHAPES = {
    "udp": [],
    "udp v6": ["--family", 6],
    "tcp": ["--protocol", "tcp"],
    "tcp v6": ["--protocol", "tcp", "--family", 6, "--size", 1514],
    "large": ["--size", 1514],
    "latency": ["--latency"],
    "latency tcp v6": ["--latency", "--protocol", "tcp", "--family", 6],
    "clients": ["--clients", 1000],
    "checksum": ["--clients", 1000, "--checksum"],
    "outside": ["--outside", "--checksum"],
    "clients tcp": ["--clients", 1000, "--protocol", "tcp"],
    "servers": ["--servers", 1000, "--checksum"],
    "clients and servers tcp": ["--clients", 1000, "--servers", 500, "--protocol", "tcp"],
    "servers outside": ["--servers", 1000, "--outside", "--checksum"],
}


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES.keys())
def test_all_arrives(device, options):
    """The device counts what the load has sent, and all of it comes back as it was."""
    device.reset()
    *lines, final = load.measure(device.sockets, "--connections", 300, "--rate", 20000, "--check", *options,
                                 until=all_answered)
    assert (final["opened"], final["answered"]) == (300, 300)
    sent = [port["sent"] for port in final["ports"]]
    assert sent == device.received()
    for here, there in ((0, 1), (1, 0)):
        port = final["ports"][here]
        assert (port["received"] + port["lost"], port["unexpected"], port["reordered"]) == (sent[there], 0, 0)
        # What came before both ports were up went nowhere. Nothing else did.
        assert port["lost"] <= next(line["ports"][here]["lost"] for line in lines if line["phase"] == "steady")
    for key in ("sent", "received"):
        counts = [line["ports"][0][key] for line in lines]
        assert counts == sorted(counts)
    if "--latency" in options:
        assert 0 < final["latency"]["p50"] <= final["latency"]["p99"] <= final["latency"]["max"]
    else:
        assert final["latency"] is None


@pytest.mark.parametrize("options", [["--latency"], ["--latency", "--protocol", "tcp"]], ids=" ".join)
def test_what_the_device_drops(device, options):
    """First packets and handshakes too: they are sent again, and count as lost."""
    device.forward("rxonly")
    device.reset()
    dropped = []

    def measured(line):
        if not dropped and line["ports"][0]["sent"] > 0:
            dropped.append(line)
            device.forward("io")
        return line["phase"] == "steady" and min(port["received"] for port in line["ports"]) > 500

    *_lines, final = load.measure(device.sockets, "--connections", 300, "--rate", 20000, *options, until=measured)
    assert final["opened"] == 300
    sent = [port["sent"] for port in final["ports"]]
    assert sent == device.received()
    assert [port["received"] + port["lost"] for port in final["ports"]] == [sent[1], sent[0]]
    assert final["ports"][1]["lost"] > 0


def test_ports_of_dpdk(device):
    """DPDK's own driver instead of the load's."""
    device.reset()
    devices = [f"--vdev=net_virtio_user{i},path={path},queue_size=256" for i, path in enumerate(device.sockets)]
    *_lines, final = load.measure(device.sockets, "--connections", 100, "--rate", 20000, "--latency", eal=devices)
    sent = [port["sent"] for port in final["ports"]]
    assert sent == device.received()
    # What came before both ports were up went nowhere.
    assert [port["received"] + port["lost"] for port in final["ports"]] == [sent[1], sent[0]]
    assert [(port["unexpected"], port["reordered"]) for port in final["ports"]] == [(0, 0), (0, 0)]


def test_new_connections(device):
    """Each is opened and answered once; those that stay are kept busy, and are none of the new ones."""
    *lines, final = load.measure(device.sockets, "--mode", "new", "--rate", 5000, "--hold", 200, "--keep", 1000,
                                 until=lambda line: line["answered"] > 500)
    assert final["opened"] - 200 == final["answered"] > 0
    assert final["ports"][0]["sent"] > final["opened"], "nothing was kept busy"
    # What came before both ports were up went nowhere.
    before = next(line for line in lines if line["phase"] == "steady")
    for then, now in zip(before["ports"], final["ports"]):
        assert now["lost"] <= then["lost"]


def some_closed(line):
    return line["closed"] > 100


def test_whole_tcp_connections(device):
    *_lines, final = load.measure(device.sockets, "--mode", "tcp", "--rate", 500, "--exchanges", 3, until=some_closed)
    assert final["opened"] == final["closed"]
    assert final["answered"] == 3 * final["opened"]
    # SYN, ACK, three of data, FIN, ACK; and what answers them. More, where the device took its time.
    sent = [port["sent"] for port in final["ports"]]
    assert sent[0] >= 7 * final["opened"] and sent[1] >= 5 * final["opened"]


def checksum_is_right(packet):
    """Of the innermost transport header, computed anew."""
    again = Ether(bytes(packet))
    for layer in (UDP, TCP):
        if layer in again:
            is_left_out = layer is UDP and IP in again and again[UDP].chksum == 0
            del again[layer].chksum
            return is_left_out or Ether(bytes(again))[layer].chksum == packet[layer].chksum
    return False


@pytest.fixture(scope="module")
def bridge():
    """Two interfaces that a kernel's bridge connects, and what goes over it."""
    space = netns.make("load", silent=True)
    netns.ip(space, "link add br0 type bridge mcast_snooping 0", "link set br0 up", *[command for end in "ab" for command in (
        f"link add {end}0 type veth peer name {end}1", f"link set {end}1 master br0 up", f"link set {end}0 up")])
    yield space
    netns.remove(space)


@pytest.mark.parametrize("options", [["--protocol", "udp"], ["--protocol", "tcp"], ["--mode", "tcp"], ["--latency"],
                                     ["--checksum", "--outside"], ["--latency", "--protocol", "tcp"]], ids=" ".join)
def test_packets_are_well_formed(bridge, family, options):
    """Lengths, checksums and sequence numbers, as another implementation reads them."""
    if "--outside" in options and family == "v6":
        pytest.skip("IPv4 only")
    wire = Wire(bridge, "b1")
    eal = [f"--vdev=net_af_packet{i},iface={end}0,blocksz=65536,framecnt=64" for i, end in enumerate("ab")]
    with netns.inside(bridge):
        *_lines, final = load.measure([], "--family", family[1], "--rate", 100, "--connections", 3, "--check", *options,
                                      eal=eal, until=lambda line: line["ports"][0]["received"] > 30)
    frames = wire.drain()
    wire.close()
    assert [port["unexpected"] for port in final["ports"]] == [0, 0]
    packets = [frame for frame in frames if UDP in frame or TCP in frame]
    assert len(packets) == final["ports"][1]["sent"]
    for packet in packets:
        assert packet.src == "52:54:00:00:00:02"
        assert packet[UDP if UDP in packet else TCP].sport == 5000
        assert checksum_is_right(packet), packet.show(dump=True)
        assert IP not in packet or Ether(bytes(packet))[IP].chksum == IP(bytes(packet[IP])).chksum
    if "tcp" in options:
        flags = {str(packet[TCP].flags) for packet in packets}
        assert flags == ({"SA", "A", "FA"} if "--mode" in options else {"SA", "PA"})


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_many_clients(bridge, protocol):
    """A connection keeps its address, and that is in all checksums."""
    wire = Wire(bridge, "b1")
    eal = [f"--vdev=net_af_packet{i},iface={end}0,blocksz=65536,framecnt=64" for i, end in enumerate("ab")]
    with netns.inside(bridge):
        *_lines, final = load.measure([], "--protocol", protocol, "--clients", 50, "--connections", 20, "--rate", 200, "--check",
                                      eal=eal, until=lambda line: line["ports"][0]["received"] > 60)
    packets = [frame for frame in wire.drain() if UDP in frame or TCP in frame]
    wire.close()
    assert [port["unexpected"] for port in final["ports"]] == [0, 0]
    clients = {}
    for packet in packets:
        transport = packet[TCP if TCP in packet else UDP]
        clients.setdefault(transport.dport, set()).add(packet[IP].dst)
        assert checksum_is_right(packet), packet.show(dump=True)
        again = Ether(bytes(packet))
        del again[IP].chksum
        assert Ether(bytes(again))[IP].chksum == packet[IP].chksum
    assert len(clients) == 20 and all(len(addresses) == 1 for addresses in clients.values())
    assert len(set.union(*clients.values())) > 10
    assert set.union(*clients.values()) <= {f"10.1.0.{11 + number}" for number in range(50)}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(options=["--connections", "131072", "--memory", "64"])
    # All of them come from one port.
    lab.limits("a", connections=131072, halfOpen=131072)
    lab.network("blue", 1, gateway=False)
    lab.group("client", {"direction": "egress"})
    lab.group("server", *[{"direction": "ingress", "protocol": protocol, "ports": "5000", "remote": {"group": "client"}}
                          for protocol in ("udp", "tcp")])
    for name in ("client", "server"):
        lab.workload(name, "a", "blue", securityGroups=[name], device={"vhostUser": {
            "path": str(lab.directory / f"{name}.sock"), "mode": "server"}})
    lab.apply(*lab.objects)
    lab.sockets = [lab.directory / "client.sock", lab.directory / "server.sock"]
    eventually(lambda: all(path.exists() for path in lab.sockets))
    return lab


def through(lab, *options, family="v4", **arguments):
    """The final line, and what Sluice has dropped meanwhile, as {reason: packets}."""
    ends = [lab["client"], lab["server"]]
    before = lab.drops()
    final = load.measure(lab.sockets, "--mac", ",".join(end.mac for end in ends), "--address",
                         ",".join(end.address[family] for end in ends), "--family", family[1], *options, **arguments)[-1]
    drops = {}
    for (_port, reason), count in lab.drops().items():
        drops[reason] = drops.get(reason, 0) + count - before.get((_port, reason), 0)
    return final, {reason: count for reason, count in drops.items() if count}


def assert_dropped(final, drops):
    """What is missed was dropped. A full ring may also have dropped a word or two of Sluice's own."""
    missed = sum(port["lost"] for port in final["ports"])
    assert 0 <= sum(drops.values()) - missed <= 3, (missed, drops)


@pytest.mark.parametrize("options", [["--latency"], ["--check"]], ids=["by sequence number", "by count"])
def test_refused_packets_are_lost(lab, options):
    """Ten connections go to a port that is closed: they never open, and each of their packets is missed."""
    final, drops = through(lab, "--connections", 64010, "--opening", 1.5, "--rate", 100000, *options)
    assert final["opened"] == 64000
    # Before the device is ready, and at a full ring on a busy machine, also others.
    assert drops["security-group-ingress"] >= 10
    assert_dropped(final, drops)
    assert [port["unexpected"] for port in final["ports"]] == [0, 0]


def test_tcp_is_tcp(lab, family):
    """A strict connection tracker has nothing to say, and everything arrives that it lets pass."""
    final, drops = through(lab, "--mode", "tcp", "--rate", 300, "--exchanges", 2, family=family, until=some_closed)
    assert final["opened"] == final["closed"]
    assert not [reason for reason in drops if reason.startswith("tcp")]
    final, drops = through(lab, "--protocol", "tcp", "--connections", 500, "--rate", 5000, "--check", family=family)
    assert final["opened"] == 500
    assert not [reason for reason in drops if reason.startswith("tcp")]
    assert_dropped(final, drops)


def gateway_mac(network):
    """As Sluice has it."""
    return "02:53:4c:%02x:%02x:%02x" % tuple(network.vni.to_bytes(3, "big"))


def test_translated(one_lab):
    """What a LoadBalancer and a Nat make of the packets, and of the answers, is what each end expects."""
    lab = one_lab()
    sockets = {name: lab.directory / f"{name}.sock" for name in ("client", "server", "uplink")}
    lab.objects[0].update(vtep="192.0.2.1/24", uplink={"devargs": f"net_vhost0,iface={sockets['uplink']}"})
    ends = []
    for number, name in enumerate(("client", "server"), 1):
        lab.network(name, number)
        ends.append(lab.workload(name, "a", name, device={"vhostUser": {"path": str(sockets[name]), "mode": "server"}}))
    client, server = (end.address["v4"] for end in ends)
    lab.apply(*lab.objects,
              {"kind": "LoadBalancer", "name": "l", "vrf": "t1", "addresses": ["10.99.0.1"], "members": [{"port": "server"}],
               "ports": [{"protocol": "udp", "port": 5000}]},
              outside.network(["a"]), outside.route(),
              {"kind": "Nat", "name": "n", "vrf": "t1", "network": "internet",
               "pools": [{"node": "a", "addresses": [outside.at("v4", 64)]}]})
    eventually(lambda: all(path.exists() for path in sockets.values()))
    common = ["--mac", f"{ends[0].mac},{ends[1].mac}", "--connections", 300, "--rate", 5000, "--check", "--checksum", "--drain", 200,
              "--next-hop", f"{gateway_mac(ends[0].network)},{gateway_mac(ends[1].network)}"]
    for options, end in (["--address", f"{client},10.99.0.1", "--seen", f"{client},{server}"], "server"), \
            (["--address", f"{client},{outside.at('v4', 1)}", "--outside"], "uplink"), \
            (["--address", f"{client},{outside.at('v4', 1)}", "--outside", "--servers", 8], "uplink"):
        final = load.measure([sockets["client"], sockets[end]], *common, *options, until=all_answered)[-1]
        assert (final["opened"], final["answered"]) == (300, 300)
        assert [port["unexpected"] for port in final["ports"]] == [0, 0]


VTEPS = {"v4": ["192.0.2.1", "192.0.2.2"], "v6": ["2001:db8::1", "2001:db8::2"]}


@pytest.mark.parametrize("underlay, family", [("v4", "v6"), ("v6", "v4")])
def test_underlay(one_lab, underlay, family):
    """Port 1 is another node: its tunnel's address is asked for, and all arrives with VXLAN around it."""
    lab = one_lab()
    local, remote = VTEPS[underlay]
    length = 24 if underlay == "v4" else 64
    sockets = [lab.directory / "client.sock", lab.directory / "uplink.sock"]
    lab.objects[0].update(vtep=f"{local}/{length}", uplink={"devargs": f"net_vhost0,iface={sockets[1]}"})
    lab.objects.append({"kind": "Node", "name": "b", "vtep": f"{remote}/{length}", "uplink": {"netdev": "up0"}})
    network = lab.network("blue", 1)
    client = lab.workload("client", "a", "blue", device={"vhostUser": {"path": str(sockets[0]), "mode": "server"}})
    server = lab.workload("server", "b", "blue")
    lab.apply(*lab.objects)
    eventually(lambda: all(path.exists() for path in sockets))
    final = load.measure(
        sockets, "--mac", f"{client.mac},{server.mac}", "--address", f"{client.address[family]},{server.address[family]}",
        "--family", family[1], "--connections", 100, "--rate", 5000, "--latency",
        "--tunnel", f"vni={network.vni},local={remote},remote={local},local-mac=02:00:00:00:00:02")[-1]
    assert final["opened"] == 100
    assert [port["unexpected"] for port in final["ports"]] == [0, 0]
    assert final["ports"][0]["received"] == final["ports"][1]["sent"]
    # Until the neighbour is found, some are held and some given up.
    dropped = sum(count for (port, _reason), count in lab.drops().items() if port == "client")
    assert sum(port["lost"] for port in final["ports"]) == dropped
