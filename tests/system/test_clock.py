"""The clock of the day is set forward and back by days: nothing that sluiced waits for depends on it."""

import datetime
import pathlib
import socket
import struct
import subprocess

import pytest

from changes import apply, last_change, names, vrf
from node import eventually

DAY = 86400


class Clock:
    """That of one process."""

    def __init__(self, directory):
        self.file, library = directory / "shift", directory / "shift.so"
        self.set(0)
        source = pathlib.Path(__file__).with_name("clock_shift.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        self.prefix = ("env", f"LD_PRELOAD={library}", f"CLOCK_SHIFT={self.file}")

    def set(self, days):
        # In place: it is mapped.
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("<q", days * DAY))


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def lab(make_lab, clock):
    lab = make_lab(prefix=clock.prefix)
    lab.network("blue", 1)
    lab.group("clients", {"direction": "egress"}, {"direction": "ingress", "protocol": "tcp", "ports": "7000"})
    lab.group("servers", {"direction": "ingress", "protocol": "tcp", "ports": "80"},
              {"direction": "ingress", "protocol": "udp", "ports": "53"})
    lab.workload("client", "a", "blue", kernel=True, veth=True, securityGroups=["clients"])
    lab.workload("server", "a", "blue", kernel=True, veth=True, securityGroups=["servers"])
    lab.objects.append({"kind": "LoadBalancer", "name": "lb", "vrf": "t1", "addresses": ["10.1.0.200"],
                        "ports": [{"port": 9, "protocol": "udp"}], "members": [{"port": "client"}],
                        "healthCheck": {"intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 1, "port": 7000}})
    return lab.up()


@pytest.fixture(autouse=True)
def whole(clock, lab):
    yield
    clock.set(0)
    del lab


def today(node):
    """By the clock that its log has."""
    apply(node, vrf("now"))
    said = node.events("object created", kind="Vrf", name="now")[-1]
    node.delete("vrf", "now")
    return datetime.date.fromisoformat(said["time"][:10])


def member(node):
    return node.json("get", "loadbalancer", "lb")["status"]["members"][0]["state"]


@pytest.mark.parametrize("days", [10, -10])
def test_connections_and_members(lab, clock, days):
    """What is idle stays, and its age is as it was; who answers is up, and who does not is down, as soon as ever."""
    node = lab.nodes["a"]
    client, accepted = lab["client"].connection(lab["server"], 80)
    asked, server = lab["client"].open_socket(kind=socket.SOCK_DGRAM), lab["server"].server(53, kind=socket.SOCK_DGRAM)
    asked.connect((lab["server"].address["v4"], 53))
    asked.send(b"question")
    _, whom = server.recvfrom(100)
    listening = lab["client"].server(7000)
    eventually(lambda: member(node) == "up")
    real = today(node)
    clock.set(days)
    assert abs((today(node) - real).days - days) <= 1
    for flow in node.flows(sourcePort=client.getsockname()[1]) + node.flows(sourcePort=asked.getsockname()[1]):
        assert 0 <= int(flow["age"]) < 3600
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    server.sendto(b"answer", whom)
    assert asked.recv(100) == b"answer"
    assert member(node) == "up"
    listening.close()
    eventually(lambda: member(node) != "up")
    with lab["client"].server(7000):
        eventually(lambda: member(node) == "up")
    for made in (client, accepted, asked, server):
        made.close()


def test_a_change_that_waits(lab, clock):
    """It waits for as long as it was given."""
    node = lab.nodes["a"]
    apply(node, vrf("long"), options=["--confirm", "1h"])
    clock.set(10)
    # Timers have had their turn.
    before = node.stats()["process"]["uptimeSeconds"]
    eventually(lambda: node.stats()["process"]["uptimeSeconds"] > before + 1)
    assert "long" in names(node, "vrfs")
    node.ok("confirm")
    apply(node, vrf("short"), options=["--confirm", "1s"])
    clock.set(-10)
    eventually(lambda: "short" not in names(node, "vrfs"))
    assert last_change(node)["action"] == "revert"
    node.delete("vrf", "long")
