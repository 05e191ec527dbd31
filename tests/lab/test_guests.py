"""Guests with an ordinary kernel on two nodes: its own virtio-net driver, from boot to traffic, and what disturbs it."""

import json

import pytest

from node import eventually
from packets import UDP, fresh_port


def add_guest(lab, name, node, mode, network="blue", queues=1, **fields):
    """The Port of a guest, and what its virtual card is started with."""
    path = lab.directory / f"{name}.sock"
    workload = lab.workload(name, node, network, device={"vhostUser": {"path": str(path), "mode": mode,
                                                                       "queues": queues}}, **fields)
    workload.nic = {"path": path, "mac": workload.mac, "server": mode == "client", "queues": queues}
    lab.apply(workload.object)
    return workload


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=["--memory", "64"])
    lab.network("blue", 1, mtu=1400)
    lab.network("red", 2, mtu=1400)
    lab.workload("near", "a", "blue", kernel=True)
    lab.workload("raw", "a", "red")
    lab.up()
    add_guest(lab, "left", "a", "server", queues=2)
    lab.workload("left-red", "a", "red", vlan=("left", 100))
    lab.apply(lab["left-red"].object)
    add_guest(lab, "right", "b", "client")
    return lab


@pytest.fixture(scope="module")
def left(lab, start_guest):
    guest = start_guest("left", lab, [lab["left"].nic])
    guest.port = lab["left"]
    return guest


@pytest.fixture(scope="module")
def right(lab, start_guest):
    guest = start_guest("right", lab, [{**lab["right"].nic, "host_mtu": 1380}])
    guest.port = lab["right"]
    return guest


@pytest.fixture(scope="module")
def guests(left, right):
    """Both boot at the same time, and find out for themselves who they are."""
    for guest in (left, right):
        guest.boot()
        guest.find_addresses()
    return left, right


def state(lab, node, name):
    return lab.nodes[node].stats()["ports"][name]["state"]


def test_addresses(guests):
    """DHCP, router advertisements and DHCPv6; the MTU by DHCP, or by the virtual card where that knows it."""
    left, right = guests
    for guest in guests:
        assert guest.addresses() == guest.port.address
        assert guest.port.network.gateway["v4"] in guest.run("ip route show default")
        assert "via fe80::" in guest.run("ip -6 route show default")
    assert left.mtu() == 1400 and right.mtu() == 1380


def test_offloads(guests):
    """The driver leaves checksums and segmentation to its card."""
    features = guests[0].run("ethtool -k eth0")
    for name in ("tx-checksumming", "rx-checksumming", "tcp-segmentation-offload", "scatter-gather",
                 "generic-segmentation-offload", "tx-tcp6-segmentation"):
        assert f"{name}: on" in features, features


def test_ping(lab, guests, family):
    left, right = guests
    assert left.ping(right.port.address[family]) and right.ping(left.port.address[family])
    assert left.ping(left.port.network.gateway[family])
    assert lab["near"].ping(lab["left"], family) and lab["near"].ping(lab["right"], family)


@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
def test_bulk_across(lab, guests, family, reverse):
    """Between two guests on two nodes."""
    left, right = guests
    right.serve(right.port.address[family])
    report = left.iperf(right.port.address[family], *(["-R"] if reverse else []))
    assert report["end"]["sum_received"]["bytes"] > 1 << 20
    assert lab.nodes["a"].flows(source=left.port.address[family], destinationPort=5201)


@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
def test_bulk_on_one_node(lab, guests, family, reverse):
    """Between a guest and a kernel on a tap."""
    near = lab["near"]
    listening = near.popen("iperf3", "-s", "-1", "-B", near.address[family])
    eventually(lambda: "5201" in near.popen("ss", "-Hltn").communicate(timeout=10)[0])
    report = guests[0].iperf(near.address[family], *(["-R"] if reverse else []))
    listening.communicate(timeout=30)
    assert report["end"]["sum_received"]["bytes"] > 1 << 20


def disturbed(guest, server, address, family, *changes):
    """Changes something at a guest while it transfers; the transfer goes on afterwards."""
    listening = server.popen("iperf3", "-s", "-1", "-J", "-i", "0.2", "-B", address)
    eventually(lambda: "5201" in server.popen("ss", "-Hltn").communicate(timeout=10)[0])
    process = guest.background(f"iperf3 -c {address} -t 30 -P 2")
    for change in changes:
        guest.run(change)
    guest.run("sleep 1")
    guest.run(f"kill {process}; while kill -0 {process} 2> /dev/null; do usleep 10000; done")
    report = json.loads(listening.communicate(timeout=30)[0])
    moved = [part["sum"]["bytes"] for part in report["intervals"]]
    assert sum(moved[-4:]) > 100000, f"nothing moves any more: {moved}"


def test_queues_change_while_traffic_runs(lab, guests, family):
    guest = guests[0]
    assert "Combined:\t2" in guest.run("ethtool -l eth0")
    disturbed(guest, lab["near"], lab["near"].address[family], family,
              *[f"ethtool -L eth0 combined {count}; sleep 0.3" for count in (2, 1, 2)])
    guest.run("ethtool -L eth0 combined 1")


def test_offloads_change_while_traffic_runs(lab, guests, family):
    toggles = ["tx off", "tx on", "tso off", "gso off", "gso on", "gro off", "gro on", "sg off", "sg on", "tso on"]
    disturbed(guests[0], lab["near"], lab["near"].address[family], family,
              *[f"ethtool -K eth0 {toggle} || true" for toggle in toggles])


def test_vlan(lab, guests, family):
    """The guest's own VLAN interface is a port of another network, here and on the other node."""
    guest, sub, raw = guests[0], lab["left-red"], lab["raw"]
    guest.run("ip link show eth0.100 2> /dev/null || ip link add link eth0 name eth0.100 type vlan id 100")
    guest.run(f"ip addr flush dev eth0.100; ip link set eth0.100 address {sub.mac}")
    if family == "v4":
        guest.find_addresses("eth0.100")
        assert guest.addresses("eth0.100") == sub.address
        assert guest.mtu("eth0.100") == 1400
        guest.run("dhcpcd -6 -x eth0.100")
        # The default routes are the parent's again.
        guest.run("ip route del default dev eth0.100; kill $(cat /run/udhcpc.eth0.100)")
    guest.run(f"ip addr replace {sub.address['v4']}/24 dev eth0.100; "
              f"ip addr replace {sub.address['v6']}/64 dev eth0.100 nodad")
    assert guest.ping(sub.network.gateway[family])
    frame = raw.frame(sub, UDP(sport=fresh_port(), dport=9), family)
    raw.send(frame)
    assert raw.receive().src == sub.mac, "no answer that the port is closed"
    assert int(lab.nodes["a"].stats()["ports"]["left-red"]["rxPackets"]) > 0


def test_reset(lab, guests):
    """The guest's system starts anew while its device is in use."""
    guest = guests[0]
    guest.background(f"ping -i 0.01 {lab['near'].address['v4']}")
    guest.reset()
    guest.find_addresses()
    assert guest.addresses() == guest.port.address
    for family in ("v4", "v6"):
        assert lab["near"].ping(lab["left"], family) and guest.ping(lab["right"].address[family])


def test_driver_comes_and_goes(lab, guests):
    guest = guests[0]
    for _ in range(2):
        guest.run("killall udhcpc; dhcpcd -6 -x eth0; rmmod virtio_net")
        eventually(lambda: state(lab, "a", "left") == "down")
        guest.run("insmod /modules/virtio_net.ko")
        guest.configure(guest.port)
        assert lab["near"].ping(lab["left"], "v4") and lab["near"].ping(lab["left"], "v6")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_sluice_starts_anew(lab, guests, end):
    """Either side makes the socket; the guests are not told, keep their addresses, and renew them."""
    left, right = guests
    left.find_addresses()
    for node in lab.nodes.values():
        getattr(node, end)()
    assert not left.ping(right.port.address["v4"], timeout=1)
    for node in lab.nodes.values():
        node.start()
    eventually(lambda: state(lab, "a", "left") == state(lab, "b", "right") == "up")
    lab["near"].configure()
    for family in ("v4", "v6"):
        # QEMU has told its guest that the link was down, and tells it now that it is up.
        eventually(lambda: left.ping(right.port.address[family], timeout=1))
        assert lab["near"].ping(lab["left"], family)
    right.serve(right.port.address["v4"])
    assert left.iperf(right.port.address["v4"], seconds=1)["end"]["sum_received"]["bytes"] > 1 << 20
    left.run("rm /run/dhcp.eth0; kill -USR1 $(pidof udhcpc)")
    eventually(lambda: left.succeeds("grep -q 10.1.0.1 /run/dhcp.eth0"))
    for guest in guests:
        assert guest.addresses() == guest.port.address


VARIANTS = [{"packed": "on"}, {"mrg_rxbuf": "off"}, {"event_idx": "off"}, {"indirect_desc": "off"},
            {"packed": "on", "mrg_rxbuf": "off", "event_idx": "off", "queues": 2},
            {"disable-modern": "on", "disable-legacy": "off"}, {"csum": "off", "gso": "off", "guest_csum": "off"},
            {"guest_tso4": "off", "guest_tso6": "off", "host_tso4": "off"}, {"host_ufo": "on", "guest_ufo": "on"}, {"rx_queue_size": 1024, "tx_queue_size": 256}]


@pytest.fixture(scope="module")
def many(lab, start_guest):
    """A guest with a card of each kind."""
    nics = []
    for number, variant in enumerate(VARIANTS):
        workload = add_guest(lab, f"nic{number}", "a", "server", queues=variant.get("queues", 1))
        nics.append({**workload.nic, **variant})
    guest = start_guest("many", lab, nics).boot()
    names = guest.run("cd /sys/class/net; grep . */address; cd /")
    guest.interfaces = {line.split(":", 1)[1]: line.split("/")[0] for line in names.split()}
    return guest


@pytest.mark.parametrize("number", range(len(VARIANTS)),
                         ids=[",".join(f"{key}={value}" for key, value in variant.items()) for variant in VARIANTS])
def test_kinds_of_rings(lab, many, number):
    """Rings and features as they are negotiated: pings and transfers of both families, both ways."""
    port, near = lab[f"nic{number}"], lab["near"]
    interface = many.interfaces[port.mac]
    many.configure(port, interface)
    for family in ("v4", "v6"):
        eventually(lambda: near.ping(port, family, timeout=1))
        listening = near.popen("iperf3", "-s", "-1", "-B", near.address[family])
        eventually(lambda: "5201" in near.popen("ss", "-Hltn").communicate(timeout=10)[0])
        report = many.iperf(near.address[family], "-B", port.address[family], *(["-R"] if family == "v6" else []),
                            seconds=1)
        listening.communicate(timeout=30)
        assert report["end"]["sum_received"]["bytes"] > 100000
    many.run(f"ip addr flush dev {interface}; ip link set {interface} down")
