"""keepalived as it is: an address of each family moves between two workloads, and a third one's traffic follows."""

import contextlib

import pytest

import netns
from node import eventually

VIP = {"v4": "10.1.0.100", "v6": "fd00:1::100"}
CONFIGURATION = """
global_defs {
    vrrp_version 3
}
vrrp_instance four {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    virtual_ipaddress {
        10.1.0.100/24
    }
}
vrrp_instance six {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    virtual_ipaddress {
        fd00:1::100/64
    }
}
"""


@pytest.fixture(params=["one node", "two nodes"])
def lab(one_lab, request):
    two = request.param == "two nodes"
    lab = one_lab(**({"nodes": ("a", "b"), "underlay": "v4"} if two else {}))
    lab.network("blue", 1)
    lab.network("red", 2)
    # VRRP and what the workloads serve; nothing else.
    lab.group("pair", {"direction": "ingress", "protocol": "112", "remote": {"group": "pair"}},
              {"direction": "ingress", "protocol": "icmp"}, {"direction": "egress"})
    shared = [f"{VIP['v4']}/32", f"{VIP['v6']}/128"]
    lab.workload("high", "a", "blue", kernel=True, securityGroups=["pair"], allowedAddresses=shared)
    lab.workload("low", "b" if two else "a", "blue", kernel=True, securityGroups=["pair"], allowedAddresses=shared)
    lab.workload("near", "a", "blue", kernel=True)
    lab.workload("far", "b" if two else "a", "red", kernel=True)
    lab.up()
    # A router: it sets the router flag in what it says of its addresses.
    with netns.inside(lab["low"].netns), open("/proc/sys/net/ipv6/conf/all/forwarding", "w", encoding="utf-8") as file:
        file.write("1")
    return lab


@contextlib.contextmanager
def keepalived(workload, priority):
    directory = workload.lab.directory
    path = directory / f"{workload.name}.conf"
    path.write_text(CONFIGURATION.replace("PRIORITY", str(priority)), encoding="utf-8")
    process = workload.popen("keepalived", "--dont-fork", "--vrrp", "--log-console", "--log-detail",
                             "--use-file", str(path), "--pid", str(directory / f"{workload.name}.pid"),
                             "--vrrp_pid", str(directory / f"{workload.name}-vrrp.pid"))
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def holds(workload):
    """Which of the addresses the workload's own system has."""
    text = netns.run("ip", "-n", workload.netns, "-o", "addr", "show", "dev", workload.interface)
    return {family for family, address in VIP.items() if f" {address}/" in text}


def test_an_address_moves(lab):
    high, low = lab["high"], lab["low"]
    clients = [lab["near"], lab["far"]]

    def answered():
        return all(client.ping(VIP[family], family, timeout=1) for client in clients for family in VIP)

    with keepalived(low, 100):
        eventually(lambda: holds(low) == set(VIP))
        eventually(answered)
        # Connections (echoes with one identifier) that go on all the while.
        streams = [client.popen("ping", "-n", "-i", "0.2", VIP[family]) for client in clients for family in VIP]
        with keepalived(high, 200):
            eventually(lambda: holds(high) == set(VIP) and not holds(low))
            eventually(answered)
            seen = [advance(stream) for stream in streams]
            # Gone without a word.
            netns.ip(high.netns, f"link set {high.interface} down")
            eventually(lambda: holds(low) == set(VIP))
            eventually(answered)
            assert all(advance(stream) > before for stream, before in zip(streams, seen))
        for stream in streams:
            stream.kill()
            stream.communicate()
    drops = {found for node in lab.nodes.values() for found in node.drops()}
    # A router that has just lost the address tries to forward what still comes for it.
    assert not [(port, reason) for port, reason in drops - {("low", "source-address")}
                if reason in ("arp-spoofed", "nd-spoofed", "source-address", "source-mac", "tunnel-source")]


def advance(stream):
    """The next answer's number."""
    while "icmp_seq=" not in (line := stream.stdout.readline()) or "time=" not in line:
        assert line, "ping has ended"
    return int(line.partition("icmp_seq=")[2].split()[0])
