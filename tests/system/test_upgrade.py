"""Another sluiced takes the place of the one that runs; workloads notice nothing."""

import os
import pathlib
import shutil
import signal
import socket
import threading
import time
import urllib.request

import pytest

import netns
from node import eventually
from transfer import Stream

SERVICES = {"direction": "ingress", "protocol": "tcp", "ports": "80"}, {"direction": "ingress", "protocol": "udp", "ports": "53"}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(["a", "b"], "v4", options=("--workers", "0,1", "--metrics", "127.0.0.1:9100"))
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("clients", {"direction": "egress", "protocol": "tcp", "ports": "80"},
              {"direction": "egress", "protocol": "udp", "ports": "53"})
    lab.group("servers", *SERVICES)
    lab.workload("client", "a", "blue", kernel=True, veth=True, securityGroups=["clients"])
    lab.workload("near", "a", "blue", kernel=True, veth=True, securityGroups=["servers"])
    lab.workload("routed", "a", "red", kernel=True, securityGroups=["servers"])
    lab.workload("far", "b", "blue", kernel=True, veth=True, securityGroups=["servers"])
    lab.workload("caller", "b", "red", kernel=True, securityGroups=["clients"])
    return lab.up()


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


def processes(node):
    """Those of the node that are not only waiting."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"unix:{node.api}" in path.read_text().split("\0") and len(list((path.parent / "task").iterdir())) > 1:
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("server", ["near", "routed", "far"])
def test_idle_connection(lab, node, family, server):
    """The side that was connected to speaks first, and what was counted goes on."""
    client, accepted = lab["client"].connection(lab[server], 80, family)
    client.sendall(b"before")
    assert accepted.recv(100) == b"before"
    port = client.getsockname()[1]
    [before], stats = node.flows(sourcePort=port), node.stats()
    answer = node.json("upgrade")
    assert int(answer["connections"]) >= 1 and [int(answer["pid"])] == eventually(lambda: len(processes(node)) == 1 and processes(node))
    [found] = node.flows(sourcePort=port)
    assert {key: found[key] for key in ("network", "state", "rule")} == {key: before[key] for key in ("network", "state", "rule")}
    assert int(found["packets"]) >= int(before["packets"]) and int(found["age"]) >= int(before["age"])
    for name, counted in node.stats()["ports"].items():
        assert int(counted["rxPackets"]) >= int(stats["ports"][name]["rxPackets"])
        assert int(counted["txBytes"]) >= int(stats["ports"][name]["txBytes"])
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.sendall(b"answer")
    assert accepted.recv(100) == b"answer"
    client.close()
    accepted.close()


@pytest.mark.parametrize("server", ["near", "far"])
def test_stream(lab, node, server):
    """Transfers in the midst of which it happens, twice."""
    streams = [Stream(lab, lab[server], family) for family in ("v4", "v6")]
    for _ in range(2):
        for stream in streams:
            stream.goes_on()
        node.json("upgrade")
        for stream in streams:
            stream.goes_on()
    for stream in streams:
        stream.end()


@pytest.mark.parametrize("source, to", [("client", "routed"), ("client", "far"), ("caller", "near")])
def test_no_datagram_is_lost(lab, node, family, source, to):
    """Some thousand a second, each with its number: all arrive, once."""
    server, client = lab[to].server(53, family, socket.SOCK_DGRAM), lab[source].open_socket(family, socket.SOCK_DGRAM)
    client.connect((lab[to].address[family], 53))
    seen, done = [], threading.Event()

    def receive():
        server.settimeout(0.2)
        while True:
            try:
                seen.append(int(server.recv(100)))
            except TimeoutError:
                if done.is_set():
                    return

    thread = threading.Thread(target=receive)
    thread.start()
    upgrade = threading.Thread(target=node.json, args=["upgrade"])
    sent = 0
    while sent < 1000 or upgrade.is_alive() or sent < 3000:
        client.send(b"%d" % sent)
        sent += 1
        time.sleep(.0003)
        if sent == 500:
            upgrade.start()
    upgrade.join()
    done.set()
    thread.join()
    # Two workers may have judged anew what came in one burst and the next.
    assert sorted(seen) == list(range(sent)), node.drops()
    client.close()
    server.close()


def test_connections_come_and_go(lab, node):
    """While one process takes over what the other still changes: each packet is counted once, with its connection."""
    client, stop, failures = lab["client"], threading.Event(), []
    server = lab["far"].server(53, "v4", socket.SOCK_DGRAM)
    senders = [client.open_socket("v4", socket.SOCK_DGRAM) for _ in range(20)]
    sent = dict.fromkeys(senders, 0)
    for sender in senders:
        sender.connect((lab["far"].address["v4"], 53))
    # The next hop is known.
    for end in client.connection(lab["far"], 80):
        end.close()

    def send():
        while not stop.is_set():
            for sender in senders:
                sender.send(b"x")
                sent[sender] += 1
                time.sleep(.0005)

    def open_and_close():
        try:
            while not stop.is_set():
                opened, accepted = client.connection(lab["near"], 80)
                opened.sendall(b"x")
                assert accepted.recv(100) == b"x"
                opened.close()
                accepted.close()
        except (OSError, AssertionError) as failure:
            failures.append(failure)

    kept = [client.connection(lab["routed"], 80) for _ in range(10)]
    work = [threading.Thread(target=one) for one in (send, open_and_close)]
    for thread in work:
        thread.start()
    for _ in range(3):
        node.json("upgrade")
    stop.set()
    for thread in work:
        thread.join()
    assert not failures

    def counted():
        return {int(flow["sourcePort"]): int(flow["packets"]) for flow in node.flows(destinationPort=53, network="blue")}

    wanted = {sender.getsockname()[1]: count for sender, count in sent.items()}
    eventually(lambda: wanted.items() <= counted().items(), what=f"{wanted}, not {counted()}: {node.drops()}")
    for opened, accepted in kept:
        accepted.sendall(b"after")
        assert opened.recv(100) == b"after"
        assert node.flows(sourcePort=opened.getsockname()[1], state="established")
    # What the table counts is what is in it.
    eventually(lambda: int(node.stats()["connections"]["current"]) == len(node.flows()))
    for one in (*senders, server, *(end for pair in kept for end in pair)):
        one.close()


def test_what_is_learned_goes_along(lab, node):
    """The next hop's MAC address is known: nobody asks for it, and no packet waits."""
    client, accepted = lab["client"].connection(lab["far"], 80)
    node.json("upgrade")
    assert not node.stats()["ports"]["uplink"].get("drops")
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.close()
    accepted.close()


def test_sockets_that_listen(lab, node):
    """The API and the metrics answer all the time."""
    stop, failures = threading.Event(), []

    def ask():
        while not stop.is_set():
            result = node.run("version")
            if result.returncode != 0:
                failures.append(result.stderr)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(2):
        node.json("upgrade")
    stop.set()
    thread.join()
    assert not failures
    assert node.api.exists()
    with netns.inside(node.netns), urllib.request.urlopen("http://127.0.0.1:9100/metrics") as answer:
        assert b"sluice_" in answer.read()


def refused(node, binary, line):
    # The one whose place was taken last may still be ending.
    before = eventually(lambda: len(processes(node)) == 1 and processes(node))
    result = node.run("upgrade", "--binary", binary)
    assert (result.returncode, result.stderr) == (1, f"sluice: {line}\n")
    assert processes(node) == before


def test_failures(lab, node, tmp_path):
    """Whatever is the matter with the other one: this one goes on, with all connections."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    strangers = tmp_path / "sluiced"
    shutil.copy("/bin/true", strangers)
    strangers.chmod(0o777)
    refused(node, strangers, f"{strangers} is no program that only root can write")
    refused(node, "/nonexistent/sluiced", "/nonexistent/sluiced: No such file or directory")
    refused(node, "/bin/true", "this process goes on: the other process has ended")
    # One that says something before it ends.
    script = tmp_path / "talks"
    script.write_text("#!/usr/bin/python3\nimport socket\nsocket.socket(fileno=3).send(b'nonsense')\n", encoding="utf-8")
    script.chmod(0o755)
    refused(node, script, "this process goes on: the other process says what can't be read")
    assert node.run("upgrade", "--binary", "sluiced").returncode == 2
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.close()
    accepted.close()


def test_dies_while_it_takes_over(lab, node, tmp_path):
    """It gets all, and ends before it forwards: the old one goes on where it was."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    script = tmp_path / "dies"
    script.write_text(f"""#!/usr/bin/python3
import os, socket, sys
channel = socket.socket(fileno=3)
def varint(number): return bytes([number])
hello = b"\\x08\\x01\\x12\\x03bad\\x1a\\x01a"
channel.send(b"\\x0a" + varint(len(hello)) + hello)
for _ in range(2):
    socket.recv_fds(channel, 65536, 16)
channel.send(b"\\x1a\\x00")
while True:
    frame, fds, _, _ = socket.recv_fds(channel, 65536, 64)
    if frame[:1] == b"\\x4a":
        break
os._exit(1)
""", encoding="utf-8")
    script.chmod(0o755)
    for _ in range(2):
        refused(node, script, "this process goes on: the other process has ended")
        accepted.sendall(b"after")
        assert client.recv(100) == b"after"
    node.apply({"kind": "Network", "name": "later", "vni": 77})
    node.delete("network", "later")
    node.json("upgrade")
    accepted.sendall(b"again")
    assert client.recv(100) == b"again"
    client.close()
    accepted.close()


def test_changes_wait_for_nobody(lab, node):
    """Before and after it the objects can be changed, and rules hold."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    revision = int(node.json("history")["entries"][0]["revision"])
    node.json("upgrade")
    lab.rules("servers", SERVICES[1])
    assert int(node.json("history")["entries"][0]["revision"]) == revision + 1
    client.sendall(b"not any more")
    accepted.settimeout(0.2)
    with pytest.raises(TimeoutError):
        accepted.recv(100)
    lab.rules("servers", *SERVICES)
    client.close()
    accepted.close()


def test_after_it_a_kill(lab, node):
    """What was taken over outlives a killed process, too."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    node.json("upgrade")
    [process] = eventually(lambda: len(processes(node)) == 1 and processes(node))
    os.kill(process, signal.SIGKILL)
    eventually(lambda: node.process.poll() is not None)
    node.process = None
    node.start()
    accepted.sendall(b"after")
    assert client.recv(100) == b"after"
    client.close()
    accepted.close()


def test_only_one_at_a_time(lab, node):
    lab.apply({"kind": "Network", "name": "later", "vni": 77})
    node.ok("apply", "-f", "-", "--confirm", "60", input='{"kind": "Network", "name": "later", "vni": 78}')
    result = node.run("upgrade")
    assert result.returncode == 1 and "waits to be confirmed" in result.stderr
    node.ok("confirm")
    node.delete("network", "later")
