"""A file system in memory that others fill while a node keeps its connections there."""

import socket
import subprocess

import pytest

from node import eventually


@pytest.fixture
def lab(one_lab, tmp_path):
    """Its connection table lies on a tmpfs of its own."""
    memory = tmp_path / "memory"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", memory], check=True)
    lab = one_lab(options=("--connections", "131072", "--flows", memory / "flows"))
    lab.memory = memory
    lab.network("blue", 1)
    lab.group("clients", {"direction": "egress"})
    lab.group("servers", {"direction": "ingress", "protocol": "tcp", "ports": "80"},
              {"direction": "ingress", "protocol": "udp"}, {"direction": "ingress", "protocol": "icmp"})
    lab.workload("client", "a", "blue", kernel=True, veth=True, securityGroups=["clients"])
    lab.workload("server", "a", "blue", kernel=True, veth=True, securityGroups=["servers"])
    try:
        yield lab.up()
        lab.down()
    finally:
        subprocess.run(["umount", "-l", memory], check=True)


def fill(memory):
    with open(memory / "filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))


def open_many(lab, count):
    """So many connections live at once."""
    client, to = lab["client"].open_socket("v4", socket.SOCK_DGRAM), lab["server"].address["v4"]
    current = lambda: int(lab.nodes["a"].stats()["connections"]["current"])  # noqa: E731

    def opened():
        for port in range(1000, 1000 + count):
            client.sendto(b"x", (to, port))
        return current() >= count

    eventually(opened, what=f"{current()} connections")
    client.close()


def test_others_fill_it(lab):
    """Connections open and go on; those that found no room, and no others, end with the process."""
    node = lab.nodes["a"]
    client, accepted = lab["client"].connection(lab["server"], 80)
    fill(lab.memory)
    open_many(lab, 30000)
    [said] = eventually(lambda: node.events("some connections would end with this process"))
    assert said["file"] == str(lab.memory / "flows")
    assert lab["client"].ping(lab["server"])
    accepted.sendall(b"before")
    assert client.recv(100) == b"before"
    # What the numbers in the table mean finds no room either, until there is some again.
    node.apply({"kind": "Vrf", "name": "another"}, {"kind": "Network", "name": "another", "vni": 77, "vrf": "another"})
    assert node.events("connections would end with this process")
    (lab.memory / "filler").unlink()
    eventually((lab.memory / "flows.names").exists)
    node.kill()
    node.start()
    [event] = node.events("connections recovered")
    assert 5000 < int(event["recovered"]) < 30000
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.close()
    accepted.close()
