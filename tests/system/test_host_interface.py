"""An uplink that DPDK takes from the kernel: the host keeps its network through an interface that Sluice makes."""

import pytest

import netns
import pings
from node import eventually, sluice


@pytest.fixture(scope="module")
def lab(make_lab):
    """Node a drives its cable by a DPDK device; node b's kernel is the host's peer, with an address of its own."""
    lab = make_lab(nodes=("a", "b"), underlay="v4")
    node = next(o for o in lab.objects if o["name"] == "a")
    node["uplink"] = {"devargs": "net_af_packet0,iface=up0", "hostInterface": "host0"}
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "b", "blue", kernel=True)
    lab.up()
    host = lab.nodes["a"].netns
    eventually(lambda: "host0" in netns.run("ip", "-n", host, "-o", "link"))
    # The kernel's own stack on that cable must not answer in Sluice's place.
    netns.ip(host, "addr flush dev up0", "link set host0 up", "addr add 192.0.2.101/24 dev host0",
             "addr add 2001:db8::101/64 dev host0 nodad")
    netns.ip(lab.nodes["b"].netns, "addr add 192.0.2.102/24 dev up0", "addr add 2001:db8::102/64 dev up0 nodad")
    return lab


def test_tunnel_works_beside_the_host(lab, family):
    assert lab["one"].ping(lab["two"], family)
    assert lab["two"].ping(lab["one"], family)


@pytest.mark.parametrize("address", ["192.0.2.102", "2001:db8::102"])
def test_host_reaches_its_peers(lab, address):
    pings.all_answered(lab.nodes["a"].netns, address)


@pytest.mark.parametrize("address", ["192.0.2.101", "2001:db8::101"])
def test_peers_reach_the_host(lab, address):
    pings.all_answered(lab.nodes["b"].netns, address)


def test_host_has_the_device_s_mac_address(lab):
    links = netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link")
    macs = {line.split(": ")[1].split("@")[0]: line.split("link/ether ")[1].split()[0]
            for line in links.splitlines() if "link/ether" in line}
    assert macs["host0"] == macs["up0"]


def test_tunnel_packets_are_not_the_host_s(lab):
    before = lab.nodes["a"].stats()["ports"]["uplink-host"]["txPackets"]
    pings.all_answered(lab["two"].netns, lab["one"].address["v4"], count=20, interval=0.02)
    assert lab.nodes["a"].stats()["ports"]["uplink-host"]["txPackets"] - before < 10


def test_of_no_use_with_netdev(lab):
    wrong = '{kind: Node, name: b, vtep: 192.0.2.2/24, uplink: {netdev: up0, hostInterface: host0}}'
    result = sluice("apply", "-f", "-", api=lab.nodes["b"].api, input=wrong)
    assert result.returncode == 1
    assert result.stderr.startswith("<stdin>:1: Node/b: uplink.hostInterface: ")


def test_goes_with_the_uplink(lab):
    """Last: without hostInterface the interface is gone."""
    node = next(o for o in lab.objects if o["name"] == "a")
    del node["uplink"]["hostInterface"]
    lab.nodes["a"].apply(node)
    assert "host0" not in netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link")
    assert lab["one"].ping(lab["two"])
