"""Connections outlive the process: after SIGKILL the next one goes on with them.

No network picks up the middle of a stream here, and rules allow what opens connections, nothing else: an answer passes only
because its connection is known.
"""

import random
import socket

import pytest

import netns
from node import eventually
from transfer import Stream

ANY = ["0.0.0.0/0", "::/0"]


def recovered(node):
    """How many connections the process has taken over, and how many not."""
    [event] = node.events("connections recovered")
    return int(event["recovered"]), int(event["dropped"])


def restart(node, *options):
    node.kill()
    if options:
        node.options = [*node.options, *options]
    node.start()


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(options=("--workers", "0,1"))
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("clients", {"direction": "egress", "protocol": "tcp", "ports": "80"},
              {"direction": "egress", "protocol": "udp", "ports": "53"})
    lab.group("servers", {"direction": "ingress", "protocol": "tcp", "ports": "80"},
              {"direction": "ingress", "protocol": "udp", "ports": "53"})
    lab.workload("client", "a", "blue", kernel=True, veth=True, securityGroups=["clients"])
    lab.workload("near", "a", "blue", kernel=True, veth=True, securityGroups=["servers"])
    lab.workload("routed", "a", "red", kernel=True, veth=True, securityGroups=["servers"])
    return lab.up()


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


@pytest.mark.parametrize("server", ["near", "routed"])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_idle_connection(lab, node, family, server, end):
    """The side that was connected to speaks first, and what was counted goes on."""
    client, accepted = lab["client"].connection(lab[server], 80, family)
    client.sendall(b"before")
    assert accepted.recv(100) == b"before"
    port = client.getsockname()[1]
    [before] = node.flows(sourcePort=port)
    getattr(node, end)()
    node.start()
    [found] = node.flows(sourcePort=port)
    assert {key: found[key] for key in ("network", "protocol", "source", "destination", "destinationPort", "state", "rule")} \
        == {key: before[key] for key in ("network", "protocol", "source", "destination", "destinationPort", "state", "rule")}
    assert int(found["packets"]) >= int(before["packets"]) and int(found["age"]) >= int(before["age"])
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.sendall(b"answer")
    assert accepted.recv(100) == b"answer"
    assert int(node.flows(sourcePort=port)[0]["packets"]) > int(before["packets"])
    client.close()
    accepted.close()


def test_stream(lab, node, family):
    """A transfer in the midst of which the process is killed, twice, with other numbers of workers."""
    stream = Stream(lab, lab["routed"], family)
    for options in (("--workers", "0"), ("--workers", "0,1")):
        mark = stream.received
        eventually(lambda mark=mark: stream.received > mark + (1 << 20))
        restart(node, *options)
        mark = stream.received
        eventually(lambda mark=mark: stream.received > mark + (1 << 20))
    stream.end()


def test_datagrams(lab, node, family):
    """The answers to a question from before."""
    server, client = lab["routed"].server(53, family, socket.SOCK_DGRAM), lab["client"].open_socket(family, socket.SOCK_DGRAM)
    client.connect((lab["routed"].address[family], 53))
    client.send(b"question")
    _, asked = server.recvfrom(100)
    restart(node)
    for number in range(5):
        server.sendto(b"%d" % number, asked)
        assert client.recv(100) == b"%d" % number
    client.close()
    server.close()


def test_rules_hold(lab, node):
    """What is recovered is judged by the rules that are in force."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    restart(node)
    lab.rules("servers", {"direction": "ingress", "protocol": "udp", "ports": "53"})
    client.sendall(b"not any more")
    accepted.settimeout(0.2)
    with pytest.raises(TimeoutError):
        accepted.recv(100)
    assert node.drops()["near", "security-group-ingress"] > 0
    lab.rules("servers", {"direction": "ingress", "protocol": "tcp", "ports": "80"},
              {"direction": "ingress", "protocol": "udp", "ports": "53"})
    client.close()
    accepted.close()


def test_numbers_mean_the_same(lab, node):
    """Networks that come and go around it leave a connection its own."""
    client, accepted = lab["client"].connection(lab["routed"], 80)
    node.apply({"kind": "Network", "name": "aaa", "vni": 7001}, {"kind": "Network", "name": "zzz", "vni": 7002})
    node.delete("network", "aaa")
    restart(node)
    [found] = node.flows(sourcePort=client.getsockname()[1])
    assert found["network"] == "blue"
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    node.delete("network", "zzz")
    client.close()
    accepted.close()


def flip(path, count, seed):
    """Bits of the file, where it has any content."""
    random.seed(seed)
    data = bytearray(path.read_bytes())
    used = [at for at in range(4096, len(data), 64) if any(data[at:at + 64])]
    for _ in range(count):
        data[random.choice(used) + random.randrange(64)] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def test_damaged(lab, node):
    """Whatever is in the file: it starts, it forwards, and opens nothing that no rule allows."""
    flows = node.api.parent / "a.flows"
    for seed in range(4):
        sockets = [lab["client"].connection(lab["near"], 80) for _ in range(20)]
        node.kill()
        flip(flows, 60, seed)
        node.start()
        assert sum(recovered(node)) >= 10
        [one, other] = lab["client"].connection(lab["routed"], 80)
        other.sendall(b"passes")
        assert one.recv(100) == b"passes"
        with pytest.raises(TimeoutError):
            lab["near"].connect(lab["client"], 80, timeout=0.1)
        for made in [one, other, *sum(sockets, ())]:
            made.close()


@pytest.mark.parametrize("file, at, reason", [("a.flows", 8, "it has the layout of another version"), ("a.flows", 0, "it is no connection table"),
                                              ("a.flows", 32, "its header is damaged"), ("a.flows.names", 60, ".*")])
def test_not_believed(lab, node, file, at, reason):
    """Another version's, or a damaged one: connections are lost, said in one line, and new ones can be opened."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    node.kill()
    path = node.api.parent / file
    with open(path, "r+b") as there:
        there.seek(at)
        byte = there.read(1)[0]
        there.seek(at)
        there.write(bytes([byte ^ 4]))
    node.start()
    [lost] = node.events("connections of an earlier process are lost")
    assert reason in (lost["reason"], ".*") and str(node.api.parent / "a.flows") in lost["file"]
    assert not node.events("connections recovered")
    client.close()
    accepted.close()
    [one, other] = lab["client"].connection(lab["near"], 80)
    restart(node)
    other.sendall(b"after")
    assert one.recv(100) == b"after"
    one.close()
    other.close()


def test_nowhere_to_be_kept(lab, node):
    """On a disk there is no such file, and connections end with the process; nothing else is different."""
    options = node.options
    directory = netns.ON_DISK
    restart(node, "--flows", f"{directory}/sluice-test.flows")
    [event] = node.events("connections end with this process")
    assert f"{directory}/sluice-test.flows is not in memory" in event["reason"]
    restart(node, "--flows", "none")
    assert not node.events("connections end with this process")
    client, accepted = lab["client"].connection(lab["near"], 80)
    for made in (client, accepted):
        made.close()
    node.options = options
    restart(node)


def links(workload):
    return netns.run("ip", "-n", workload.netns, "-o", "link", "show", "type", "tun")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_taps_stay(one_lab, end):
    """An interface that Sluice made is there for its next process, with addresses and routes, and goes with its Port."""
    lab = one_lab()
    node = lab.nodes["a"]
    lab.network("blue", 1)
    for name in ("one", "two"):
        lab.workload(name, "a", "blue", kernel=True)
    lab.up()
    client, accepted = lab["one"].connection(lab["two"], 80, "v6")
    before = links(lab["one"])
    assert "alias sluice one" in before
    getattr(node, end)()
    assert links(lab["one"]).split()[1] == before.split()[1]
    node.start()
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    # What is not Sluice's is left alone.
    netns.ip(lab["two"].netns, "tuntap add eth1 mode tap")
    lab.change(lab["two"], device={"tap": {"name": "eth1", "netns": lab["two"].netns}})
    eventually(lambda: "exists already" in node.ok("get", "port", "two", "-o", "yaml"))
    assert "eth0" not in links(lab["two"]) and "eth1" in links(lab["two"])
    node.delete("port", "one")
    assert not links(lab["one"])
    client.close()
    accepted.close()


def test_neighbours_are_asked_for_again(one_lab):
    """Of what a workload's kernel asked while nobody listened it does not wait for the answer when somebody does."""
    lab = one_lab()
    node = lab.nodes["a"]
    lab.network("blue", 1)
    one = lab.workload("one", "a", "blue", kernel=True)
    lab.up()
    node.kill()
    # It has its other end again, and does not say so yet.
    netns.ip(one.netns, "link set eth0 mode dormant")
    node.start()
    with one.open_socket(kind=socket.SOCK_DGRAM) as asking:
        asking.sendto(b"to nobody", ("10.1.0.99", 9))
    assert "10.1.0.99" in netns.run("ip", "-n", one.netns, "neigh")
    netns.ip(one.netns, "link set eth0 mode default", "link set eth0 state up")
    eventually(lambda: "10.1.0.99" not in netns.run("ip", "-n", one.netns, "neigh"), 5)
