"""Ports of all kinds: made, removed and made again while others work."""

import os
import pathlib
import subprocess

import pytest

import netns
import pings
from node import eventually
from packets import UDP, Wire, fresh_port


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "blue", kernel=True)
    lab.workload("raw", "a", "blue")
    return lab.up()


def state(lab, name):
    return lab.nodes["a"].stats()["ports"].get(name, {}).get("state")


def wait_up(lab, name):
    eventually(lambda: state(lab, name) == "up", what=f"{name} is not up")


@pytest.fixture
def added(lab):
    """Adds a workload to the running lab; it goes with the test."""
    names = []

    def add(name, device=None, **fields):
        workload = lab.workload(name, "a", "blue", **fields)
        if device:
            workload.object["device"] = device
        names.append(name)
        lab.apply(workload.object)
        return workload

    yield add
    for name in names:
        workload = lab.workloads.pop(name)
        workload.close()
        lab.objects.remove(workload.object)
        if any(port["name"] == name for port in lab.nodes["a"].json("get", "ports")):
            lab.nodes["a"].delete("port", name)


def test_others_lose_nothing(lab, added, family):
    """Ports come, change and go; a stream of pings between two others has no gap."""
    rounds = 0
    while rounds < 3:
        stream = lab["one"].popen(*pings.command(lab["two"].address[family], 150, 0.01))
        while stream.poll() is None:
            workload = added(f"guest-{family}-{rounds}", kernel=True)
            workload.configure()
            assert workload.ping(lab["one"], family)
            lab.change(workload, securityGroups=[])
            lab.nodes["a"].delete("port", workload.name)
            rounds += 1
        output = stream.communicate()[0]
        assert not pings.missing(output, 150), output


def test_a_port_that_went_is_gone(lab, added, family):
    """No interface, no answers for its addresses, no statistics; and with the object it all comes back."""
    guest = added("guest", kernel=True)
    guest.configure()
    assert lab["one"].ping(guest, family)
    lab.nodes["a"].delete("port", "guest")
    assert guest.interface not in netns.run("ip", "-n", guest.netns, "-o", "link")
    assert state(lab, "guest") is None
    assert not lab["one"].ping(guest, family, timeout=1)
    lab.apply(guest.object)
    guest.configure()
    assert lab["one"].ping(guest, family)
    assert int(lab.nodes["a"].stats()["ports"]["guest"]["rxPackets"]) < 20


@pytest.fixture
def late_worker(lab):
    """A worker that sleeps, and that the others of its CPU let wait for its turn when it is woken."""
    [thread] = [int(task.name) for task in pathlib.Path(f"/proc/{lab.nodes['a'].process.pid}/task").iterdir()
                if (task / "comm").read_text() == "sluice-worker\n"]
    cpus = os.sched_getaffinity(thread)
    cpu = min(cpus)
    os.sched_setaffinity(thread, {cpu})
    os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    with subprocess.Popen(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"]) as hog:
        yield
        hog.kill()
    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(thread, cpus)


def test_a_device_is_closed_by_nobody_else(lab, added, late_worker):
    """A worker that still waits for a packet of it would have to take the interface down, and could do nothing else."""
    for number in range(10):
        guest = added(f"short-{number}")
        lab.nodes["a"].delete("port", guest.name)
        assert guest.interface not in netns.run("ip", "-n", guest.netns, "-o", "link")


def test_tap_is_made_where_it_should_be(lab, added):
    """In the named namespace, up, with the Port's MAC address and the network's MTU."""
    guest = added("guest")
    text = netns.run("ip", "-n", guest.netns, "-o", "link", "show", guest.interface)
    assert guest.mac in text and "mtu 1450" in text and ",UP" in text
    assert guest.interface not in netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link")


def test_tap_whose_namespace_comes_later(lab, added):
    """It says what it waits for, and takes it when it is there."""
    late = f"{netns.PREFIX}late"
    guest = added("guest", device={"tap": {"name": "eth0", "netns": late}})
    assert late in state(lab, "guest")
    try:
        netns.run("ip", "netns", "add", late)
        wait_up(lab, "guest")
        assert guest.mac in netns.run("ip", "-n", late, "-o", "link", "show", "eth0")
    finally:
        lab.nodes["a"].delete("port", "guest")
        netns.remove(late)


def veth(lab, workload, name="veth0"):
    """A veth from the node's namespace to the workload's eth0."""
    netns.ip(lab.nodes["a"].netns, f"link add {name} type veth peer name eth0 netns {workload.netns}",
             f"link set {name} up")
    netns.ip(workload.netns, f"link set eth0 address {workload.mac}", "link set eth0 mtu 1450", "link set eth0 up")


def test_netdev_that_appears_later(lab, added, family):
    """A veth, with a kernel behind it that leaves checksums to its interface."""
    guest = added("guest", kernel=True, device={"netdev": {"name": "veth0"}})
    assert "veth0" in state(lab, "guest") and "up" not in state(lab, "guest").split()
    assert lab.nodes["a"].events("port cannot be opened; it is tried again", port="guest", device="veth0")
    veth(lab, guest)
    wait_up(lab, "guest")
    guest.configure()
    assert lab["one"].ping(guest, family)
    client, accepted = lab["one"].connection(guest, 80, family)
    accepted.sendall(b"x" * 100000)
    got = 0
    while got < 100000:
        got += len(client.recv(65536))
    for made in (client, accepted):
        made.close()
    netns.ip(lab.nodes["a"].netns, "link del veth0")
    eventually(lambda: state(lab, "guest") != "up")
    assert lab["one"].ping(lab["two"], family)


def test_netdev_that_goes_and_comes_again(lab, added):
    guest = added("guest", kernel=True, device={"netdev": {"name": "veth1"}})
    for _ in range(2):
        veth(lab, guest, "veth1")
        wait_up(lab, "guest")
        guest.configure()
        assert lab["one"].ping(guest)
        netns.ip(lab.nodes["a"].netns, "link del veth1")
        eventually(lambda: state(lab, "guest") != "up")


def test_devargs(lab, added, family):
    """A DPDK virtual device: its kernel side is in the node's namespace."""
    name = f"dtap{family}"
    guest = added("guest", device={"devargs": f"net_tap{family[1]},iface={name}"})
    wait_up(lab, "guest")
    netns.ip(lab.nodes["a"].netns, f"link set {name} address {guest.mac}", f"link set {name} up")
    guest.wire = Wire(lab.nodes["a"].netns, name)
    raw = lab["raw"]
    lab.passes(guest, guest.frame(raw, UDP(sport=fresh_port(), dport=53), family), raw)
    lab.passes(raw, raw.frame(guest, UDP(sport=fresh_port(), dport=53), family), guest)


def test_device_is_changed(lab, added):
    """The same Port with another interface name: the old one goes, the new one works."""
    guest = added("guest", kernel=True)
    guest.configure()
    assert guest.ping(lab["one"])
    guest.object["device"]["tap"]["name"] = "eth1"
    lab.apply(guest.object)
    guest.interface = "eth1"
    assert "eth0" not in netns.run("ip", "-n", guest.netns, "-o", "link")
    guest.configure()
    assert guest.ping(lab["one"])
