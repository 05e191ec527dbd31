"""An uplink of devices that DPDK drives, one of them beside the kernel's own: what they finish by themselves differs."""

import pytest

import netns
import pings
from node import eventually
from packets import Wire, fresh_port
from uplinks import cable, carries, mac, states


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=("a", "b"), underlay="v4")
    netns.ip(lab.nodes["a"].netns, "link del up0")
    for device in ("up0", "up1"):
        cable(lab, device)
        netns.ip(lab.nodes["a"].netns, f"addr flush dev {device}")
    # A veth hands over unfinished checksums and whole sends, which the device of DPDK's does not understand.
    netns.run("ip", "netns", "exec", lab.nodes["b"].netns, "ethtool", "-K", "up0", "tx", "off", "tso", "off", "gso", "off")
    netns.ip(lab.nodes["b"].netns, "addr add 192.0.2.102/24 dev up0", "addr add 2001:db8::102/64 dev up0 nodad")
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "b", "blue", kernel=True)
    return lab.up()


def devices(lab, *members, **fields):
    node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", "a"))
    node["uplink"] = {"devices": list(members), **fields}
    lab.apply(node)


def transfers(lab):
    """Whole sends of TCP, which one device takes as they are and the other one does not."""
    client, accepted = lab["one"].connection(lab["two"], fresh_port(), "v4")
    with client, accepted:
        for _ in range(20):
            client.sendall(b"x" * 60_000)
            got = 0
            while got < 60_000:
                got += len(accepted.recv(1 << 16))
    return True


def test_kernel_s_and_dpdk_s(lab):
    devices(lab, {"netdev": "up0"}, {"devargs": "net_af_packet1,iface=up1"})
    carries(lab, "up0")
    assert transfers(lab)
    netns.ip(lab.switch, "link set up0-a down")
    carries(lab, "net_af_packet1,iface=up1")
    assert transfers(lab)
    netns.ip(lab.switch, "link set up0-a up")
    carries(lab, "up0")
    assert lab.nodes["a"].ok("drain", "uplink", "net_af_packet1").startswith("net_af_packet1 may be pulled: up0 ")
    lab.nodes["a"].ok("undrain", "uplink", "net_af_packet1")
    assert states(lab)["net_af_packet1,iface=up1"] == "standby"


def test_host_s_share_goes_along(lab):
    """The host's own interface is one station, and does not hear itself by the other device."""
    devices(lab, *({"devargs": f"net_af_packet{n},iface=up{n}"} for n in range(2)), hostInterface="host0")
    host = lab.nodes["a"].netns
    eventually(lambda: "host0" in netns.run("ip", "-n", host, "-o", "link"))
    wire = Wire(host, "host0")
    try:
        netns.ip(host, "link set host0 up", "addr add 192.0.2.101/24 dev host0", "addr add 2001:db8::101/64 dev host0")
        eventually(lambda: "tentative" not in netns.run("ip", "-n", host, "-6", "addr", "show", "dev", "host0"))
        assert "dadfailed" not in netns.run("ip", "-n", host, "-6", "addr", "show", "dev", "host0")
        for address in ("192.0.2.102", "2001:db8::102"):
            pings.all_answered(host, address)
        netns.ip(lab.nodes["a"].netns, "link del up0")
        carries(lab, "net_af_packet1,iface=up1")
        for address in ("192.0.2.102", "2001:db8::102"):
            pings.all_answered(host, address)
        own = mac(lab, "host0")
        assert [frame.summary() for frame in wire.drain() if frame.src == own] == []
    finally:
        wire.close()
