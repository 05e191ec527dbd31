"""The package in a Debian of its own: installed, enabled, confined, watched, upgraded and taken off again."""

import pathlib
import re
import signal

import pytest

from machine import Machine, eventually, package

# A node with every sort of device that a kernel has by itself: an uplink, taps, veths, a vhost-user socket.
OBJECTS = """
kind: Node
name: machine-1
vtep: 192.0.2.1/24
uplink: {netdev: up0}
---
kind: Network
name: blue
vni: 5001
subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1}]
---
kind: Port
name: tap-1
node: machine-1
network: blue
mac: "52:54:00:00:00:01"
addresses: [10.1.0.11]
device: {tap: {name: eth0, netns: w1}}
---
kind: Port
name: veth-2
node: machine-1
network: blue
mac: "52:54:00:00:00:02"
addresses: [10.1.0.12]
device: {netdev: {name: veth2}}
---
kind: Port
name: veth-3
node: machine-1
network: blue
mac: "52:54:00:00:00:03"
addresses: [10.1.0.13]
device: {netdev: {name: veth3}}
---
kind: Port
name: vm-4
node: machine-1
network: blue
mac: "52:54:00:00:00:04"
addresses: [10.1.0.14]
device: {vhostUser: {path: /run/sluice/vm-4.sock, mode: server, permissions: "0660", group: daemon}}
"""
WORKLOADS = """
ip link add up0 type veth peer name far0
ip link set up0 up; ip link set far0 up
for number in 1 2 3; do ip netns add w$number; ip -n w$number link set lo up; done
for number in 2 3; do
	ip link add veth$number type veth peer name eth0 netns w$number address 52:54:00:00:00:0$number
	ip link set veth$number up
	ip -n w$number address add 10.1.0.1$number/24 dev eth0
	ip -n w$number link set eth0 up
done
"""


@pytest.fixture(scope="module")
def machine():
    machine = Machine()
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def node(machine):
    """The machine with workloads, whose namespaces are younger than the daemon."""
    machine.active()
    machine.shell(WORKLOADS)
    machine.apply(OBJECTS)
    active(machine)
    machine.shell("""ip -n w1 address add 10.1.0.11/24 dev eth0; ip -n w1 link set eth0 address 52:54:00:00:00:01 up""")
    return machine


def active(machine):
    """Every object is what it should be."""
    def all_active():
        statuses = [machine.sluice("get", kind) for kind in ("nodes", "ports")]
        return "failed" not in str(statuses).lower() and len(statuses[1]) == 4
    try:
        eventually(all_active, "devices are open", 20)
    except AssertionError:
        raise AssertionError(machine.ok("sluice", "get", "ports") + machine.log()) from None


def pings(machine, source, destination):
    machine.ok("ip", "netns", "exec", source, "ping", "-c", 1, "-W", 5, destination)


def test_starts_by_itself(machine):
    """Installed is enabled: the daemon runs after the boot, under the host's name; nothing else failed."""
    machine.active()
    assert machine.ok("systemctl", "is-enabled", "sluiced").strip() == "enabled"
    assert machine.unit("StatusText") == "node machine-1"
    assert machine.sluice("version")["node"] == "machine-1"
    assert machine.ok("systemctl", "--failed", "--plain", "--no-legend") == ""
    assert "ready" in machine.log().splitlines()


def test_what_is_in_it(machine):
    """Manual pages, completion, configuration; the daemon needs no library of DPDK's."""
    files = machine.ok("dpkg", "-L", "sluice").split()
    for file in ("man1/sluice.1.gz", "man5/sluice-objects.5.gz", "man8/sluiced.8.gz"):
        assert f"/usr/share/man/{file}" in files
    assert machine.ok("dpkg", "--verify", "sluice") == ""
    libraries = machine.ok("ldd", "/usr/sbin/sluiced")
    assert "librte" not in libraries and "not found" not in libraries
    assert "_sluice" in machine.shell("source /usr/share/bash-completion/completions/sluice; complete -p sluice")
    assert machine.ok("dpkg-query", "-W", "-f", "${Conffiles}", "sluice").split()[0] == "/etc/sluice/sluiced.yaml"
    assert "/usr/share/doc/sluice/copyright.dpdk.gz" in files


def test_unit_is_understood(machine):
    """systemd has nothing to remark about the unit."""
    result = machine.run("systemd-analyze", "verify", "--man=no", "sluiced.service")
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_confined_node_works(node):
    """Taps in namespaces, veths, an uplink, a vhost-user socket with its group; packets between them, and a capture."""
    pings(node, "w1", "10.1.0.12")
    pings(node, "w2", "10.1.0.13")
    assert node.ok("stat", "-c", "%A %G", "/run/sluice/vm-4.sock").split() == ["srw-rw----", "daemon"]
    count = node.shell("""
        (while ip netns exec w2 ping -c 1 -W 1 10.1.0.11; do :; done) > /dev/null & pinging=$!
        sluice capture --port veth-2 --count 2 'icmp' | grep -c ICMP
        kill $pinging""")
    assert int(count) == 2
    for complaint in ("not permitted", "ermission denied", "Read-only"):
        assert complaint not in node.log()


def test_confinement(machine):
    """No further rights: system calls are filtered, programs can't gain any, files are not to be changed."""
    machine.active()
    main = machine.unit("MainPID")
    status = dict(line.split(":\t", 1) for line in machine.ok("cat", f"/proc/{main}/status").splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    capabilities = int(status["CapBnd"], 16)
    assert capabilities & 1 << 12, "CAP_NET_ADMIN"
    for name, number in (("module", 16), ("ptrace", 19), ("reboot", 22), ("time", 25), ("setuid", 7)):
        assert not capabilities & 1 << number, name
    for place in ("/etc/sluice/sluiced.yaml", "/usr/bin/sluice", "/root", "/proc/sys/kernel/printk"):
        result = machine.run("nsenter", "-t", main, "-m", "touch", place)
        assert "Read-only file system" in result.stderr, place
    exposure = machine.ok("systemd-analyze", "security", "--no-pager", "sluiced.service").splitlines()[-1]
    assert float(re.search(r"sluiced.service: ([0-9.]+)", exposure).group(1)) < 5, exposure


def test_state_outlives_a_restart(node):
    node.ok("systemctl", "restart", "sluiced")
    active(node)
    pings(node, "w2", "10.1.0.13")


def test_reload(node):
    """Another process goes on, watched as the first one was, with what is installed and configured now."""
    node.drop_in("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    node.ok("systemctl", "restart", "sluiced")
    active(node)
    pings(node, "w2", "10.1.0.13")
    for _ in range(2):
        before = node.unit("MainPID")
        lost = node.shell("""
            ip netns exec w2 ping -q -c 60 -i 0.02 10.1.0.13 > /run/pings & pinging=$!
            systemctl reload sluiced; wait $pinging; cat /run/pings""")
        assert " 0% packet loss" in lost, lost + node.log()
        eventually(lambda before=before: node.unit("MainPID") not in (before, "0"), "the other process is the service's")
        assert node.unit("ActiveState") == "active" and node.unit("NRestarts") == "0"
    main = node.unit("MainPID")
    assert node.ok("cat", f"/proc/{main}/comm").strip() == "sluiced"
    # Longer than the watchdog waits.
    node.shell("sleep 3")
    assert node.unit("MainPID") == main and "Watchdog timeout" not in node.log()
    active(node)


def test_crash(node):
    """A daemon that is killed is there again, with all that was applied."""
    before = node.unit("MainPID")
    node.ok("systemctl", "kill", "-s", "SIGKILL", "--kill-who=main", "sluiced")
    eventually(lambda: node.unit("MainPID") not in (before, "0"), "a new process")
    node.active()
    active(node)
    pings(node, "w2", "10.1.0.13")


def test_watchdog(node):
    """A daemon that stands still is ended and started again; one that is well is not."""
    node.drop_in("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    node.ok("systemctl", "restart", "sluiced")
    before = node.unit("MainPID")
    node.ok("systemctl", "kill", f"--signal={int(signal.SIGSTOP)}", "--kill-who=main", "sluiced")
    eventually(lambda: node.unit("MainPID") not in (before, "0"), "a new process")
    assert "Watchdog timeout" in node.log()
    node.active()
    active(node)


def test_wrong_configuration(machine):
    """It fails with file and line, and is not tried again and again."""
    machine.shell("cp -p /etc/sluice/sluiced.yaml /root/; echo 'colour: red' >> /etc/sluice/sluiced.yaml")
    assert machine.run("systemctl", "restart", "sluiced").returncode != 0
    assert machine.unit("ActiveState") == "failed"
    assert machine.unit("NRestarts") == "0"
    assert re.search(r"/etc/sluice/sluiced.yaml:\d+: unknown key 'colour'", machine.log())
    machine.shell("cp -p /root/sluiced.yaml /etc/sluice/; systemctl restart sluiced")
    machine.active()


def test_upgrade(node):
    """An upgrade leaves the running daemon, its connections and the administrator's configuration alone."""
    node.shell("echo 'connections: 4096' >> /etc/sluice/sluiced.yaml; systemctl restart sluiced")
    before = node.active() and node.unit("MainPID")
    node.ok("dpkg", "-i", node.deb)
    assert node.unit("MainPID") == before
    assert "connections: 4096" in node.ok("cat", "/etc/sluice/sluiced.yaml")
    pings(node, "w2", "10.1.0.13")


def test_removed(node):
    """Removed, it has ended and what was applied is still there; purged, nothing is."""
    node.ok("dpkg", "--remove", "sluice")
    assert node.unit("ActiveState") == "inactive"
    assert "machine-1.db" in node.ok("ls", "/var/lib/sluice")
    node.ok("dpkg", "-i", node.deb)
    node.active()
    active(node)
    node.ok("dpkg", "--purge", "sluice")
    left = node.shell("ls -d /etc/sluice /var/lib/sluice /run/sluice /usr/sbin/sluice* /usr/bin/sluice 2> /dev/null || true")
    assert left == ""


def test_debug_symbols():
    """They are a package of their own, for whoever reads a core dump."""
    assert list(pathlib.Path(package()).parent.glob("sluice-dbgsym_*.deb"))
