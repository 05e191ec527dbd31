"""An upgrade with devices that only one process can have: the one closes them, the other opens them."""

import pytest

import netns
from handover import one_that_dies
from node import eventually
from transfer import Stream


@pytest.fixture(scope="module")
def lab(make_lab):
    """`plain` is behind a device of DPDK's, `xdp` behind one that AF_XDP takes; `far` is on the other node."""
    lab = make_lab(["a", "b"], "v4", options=("--workers", "0,1"))
    lab.network("blue", 1, mtu=1400)
    lab.group("clients", {"direction": "egress"})
    lab.group("servers", {"direction": "ingress", "protocol": "tcp", "ports": "80"})
    lab.workload("client", "a", "blue", kernel=True, securityGroups=["clients"])
    for name, device in (("plain", {"devargs": "net_af_packet0,iface=veth0"}), ("xdp", {"netdev": {"name": "macvlan1"}})):
        made = lab.workload(name, "a", "blue", kernel=True, device=device, securityGroups=["servers"])
        there = f"veth{int(name == 'xdp')}"
        netns.ip(lab.nodes["a"].netns, f"link add {there} mtu 1400 type veth peer name eth0 mtu 1400 address {made.mac} "
                 f"netns {made.netns}", f"link set {there} up")
        netns.ip(made.netns, "link set eth0 up")
        # What is not finished stays so on these ways.
        netns.run("ip", "netns", "exec", made.netns, "ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
    netns.ip(lab.nodes["a"].netns, "link add link veth1 name macvlan1 type macvlan mode passthru", "link set macvlan1 up")
    netns.run("ip", "netns", "exec", lab.nodes["b"].netns, "ethtool", "-K", "up0", "tx", "off", "tso", "off", "gso", "off")
    lab.workload("far", "b", "blue", kernel=True, securityGroups=["servers"])
    lab.up()
    lab.ports_up("plain", "xdp")
    return lab


def uplink(lab, **uplink):
    node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", "a"))
    node["uplink"] = uplink
    lab.apply(node)
    eventually(lambda: lab.nodes["a"].stats()["ports"]["uplink"]["state"] == "up")


@pytest.mark.parametrize("server", ["plain", "xdp", "far"])
def test_connection(lab, server, tmp_path):
    """One that is idle, whose answering side speaks first, and a transfer. The first upgrade fails: devices come back."""
    node = lab.nodes["a"]
    if server == "xdp":
        assert not node.events("port uses AF_PACKET", port="xdp"), node.text()
    if server == "far":
        uplink(lab, devargs="net_af_packet1,iface=up0")
    client, accepted = lab["client"].connection(lab[server], 80)
    stream = Stream(lab, lab[server], "v4")
    result = node.run("upgrade", "--binary", one_that_dies(tmp_path / "dies"))
    assert (result.returncode, result.stderr) == (1, "sluice: this process goes on: the other process has ended\n")
    for _ in range(2):
        accepted.sendall(b"again")
        assert client.recv(100) == b"again"
        stream.goes_on()
        node.json("upgrade")
        accepted.sendall(b"after")
        assert client.recv(100) == b"after"
    stream.goes_on()
    stream.end()
    client.close()
    accepted.close()
