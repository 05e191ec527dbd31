"""Another sluiced takes the place of the one that runs; workloads notice nothing."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

import netns
from handover import HANGS, one_that_dies
from node import BUILD, eventually
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


def threads(pid):
    """On which CPUs those of each name may run."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        cpus = re.search(r"Cpus_allowed_list:\s*(\S+)", (task / "status").read_text())[1]
        found.setdefault((task / "comm").read_text().strip(), set()).add(cpus)
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
    # It has its store again.
    assert node.json("history")["entries"]


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
    script = one_that_dies(tmp_path / "dies")
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


def test_workers_anywhere_stay_so(one_lab, tmp_path):
    """Who goes on after a failed upgrade is not held where it happened to run."""
    lab = one_lab(["a"])
    lab.network("blue", 1)
    lab.workload("client", "a", "blue", kernel=True)
    lab.up()
    node = lab.nodes["a"]

    before = threads(node.process.pid)["sluice-worker"]
    # It says each second where it runs.
    eventually(lambda: any(int(worker["cpu"]) >= 0 for worker in node.json("stats")["workers"]))
    refused(node, one_that_dies(tmp_path / "dies"), "this process goes on: the other process has ended")
    assert len(before) == 1 and threads(node.process.pid)["sluice-worker"] == before


def test_control_leaves_the_workers_cpus(one_lab, tmp_path):
    """It works there as long as no worker does, in the one that hands over and in the one that takes over."""
    lab = one_lab(["a"], options=("--workers", "0"))
    lab.network("blue", 1)
    lab.workload("client", "a", "blue", kernel=True)
    lab.up()
    node = lab.nodes["a"]
    anywhere = set().union(*threads(os.getpid()).values())

    def others(pid):
        """Those that are no workers."""
        return set().union(*[cpus for name, cpus in threads(pid).items() if name != "sluice-worker"])

    assert others(node.process.pid) == anywhere
    refused(node, one_that_dies(tmp_path / "dies"), "this process goes on: the other process has ended")
    node.json("upgrade")
    for pid in (node.process.pid, *processes(node)):
        assert others(pid) == anywhere


def test_the_new_one_says_why_not(lab, node, tmp_path):
    """It starts, finds that it can't do it, and the user reads its reason."""
    script = tmp_path / "none"
    # The last of an option counts.
    script.write_text(f'#!/bin/sh\nexec {BUILD}/sluiced "$@" --flows none\n', encoding="utf-8")
    script.chmod(0o755)
    reason = "this process goes on: connections would end: --flows is not where they are"
    refused(node, script, reason)
    script.write_text(f'#!/bin/sh\nexec {BUILD}/sluiced "$@" --flows {lab.directory}/other.flows\n', encoding="utf-8")
    refused(node, script, reason)
    # Nor are another node's any good.
    os.link(lab.directory / "b.flows", lab.directory / "other.flows")
    os.link(lab.directory / "b.flows.names", lab.directory / "other.flows.names")
    refused(node, script, reason)


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


def test_who_waits_is_killed(lab, node):
    """A supervisor knows of the first process only, and starts the next one while the last is still ending."""
    client, accepted = lab["client"].connection(lab["near"], 80)
    node.json("upgrade")
    eventually(lambda: len(processes(node)) == 1 and node.process.pid not in processes(node))
    node.kill()
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


def begun(node, script, *options):
    """An upgrade by a program that does not get on, and its call."""
    count = len(node.events("upgrade begins"))
    call = subprocess.Popen([BUILD / "sluice", "--api", f"unix:{node.api}", "upgrade", "--binary", script, *options],
                            stderr=subprocess.PIPE, text=True)
    eventually(lambda: len(node.events("upgrade begins")) > count)
    return call


def test_two_at_once(lab, node, tmp_path):
    """The second one is refused, and so are changes; packets go on, and the first one's end ends it."""
    waiting, script = tmp_path / "waiting", tmp_path / "waits"
    waiting.touch()
    script.write_text(f"#!/bin/sh\nwhile [ -e {waiting} ]; do sleep .05; done\n", encoding="utf-8")
    script.chmod(0o755)
    client, accepted = lab["client"].connection(lab["near"], 80)
    first = begun(node, script)
    result = node.run("upgrade")
    assert (result.returncode, result.stderr) == (1, "sluice: an upgrade is under way\n")
    result = node.run("apply", "-f", "-", input='{"kind": "Network", "name": "later", "vni": 77}')
    assert result.returncode == 1 and "upgrade" in result.stderr
    accepted.sendall(b"meanwhile")
    assert client.recv(100) == b"meanwhile"
    waiting.unlink()
    assert first.communicate(timeout=60)[1] == "sluice: this process goes on: the other process has ended\n"
    node.json("upgrade")
    client.close()
    accepted.close()


def test_the_store_is_the_other_ones(lab, node, tmp_path):
    """As long as it gets ready there is no history to read; all else is told, and afterwards that, too."""
    script, heard = tmp_path / "hangs", tmp_path / "heard"
    script.write_text(HANGS.format(heard=heard), encoding="utf-8")
    script.chmod(0o755)
    before = node.json("history")["entries"]
    call = begun(node, script, "--limit", "3s")
    eventually(heard.exists)
    result = node.run("history")
    assert (result.returncode, result.stderr) == (
        1, "sluice: the store can't be used: it is opened again after an upgrade\n")
    assert node.json("get", "ports") and node.stats()["ports"]
    assert call.communicate(timeout=60)[1] == "sluice: this process goes on: it does not get ready\n"
    assert node.json("history")["entries"] == before


def test_does_not_get_ready(lab, node, tmp_path):
    """It hangs: after a while the one that runs ends it, and goes on."""
    script, pid = tmp_path / "hangs", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 1000\n", encoding="utf-8")
    script.chmod(0o755)
    call = begun(node, script, "--limit", "1s")
    assert call.communicate(timeout=60)[1] == "sluice: this process goes on: it does not get ready\n"
    assert pid.read_text() and not pathlib.Path(f"/proc/{pid.read_text().strip()}").exists()
    node.apply({"kind": "Network", "name": "later", "vni": 77})
    node.delete("network", "later")
    result = node.run("upgrade", "--limit", "soon")
    assert result.returncode == 2 and "--limit takes a time" in result.stderr
    result = node.run("upgrade", "--limit", "2h")
    assert (result.returncode, result.stderr) == (1, "sluice: a limit of 7200 seconds is more than an hour (3600 s)\n")


def test_no_room_for_another_table(one_lab, tmp_path):
    """What keeps connections is full: they would end with the new one, so this one goes on."""
    disk = tmp_path / "memory"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], check=True)
    try:
        lab = one_lab(options=("--flows", disk / "a.flows"))
        lab.network("blue", 1)
        lab.workload("one", "a", "blue", kernel=True)
        lab.workload("two", "a", "blue", kernel=True)
        lab.up()
        node = lab.nodes["a"]
        client, accepted = lab["one"].connection(lab["two"], 80)
        full = disk / "full"
        left = shutil.disk_usage(disk).free - (64 << 10)
        full.write_bytes(bytes(left))
        result = node.run("upgrade")
        assert result.returncode == 1
        assert re.fullmatch("sluice: this process goes on: connections would end with it: no room for .*\n", result.stderr)
        accepted.sendall(b"after")
        assert client.recv(100) == b"after"
        full.unlink()
        node.json("upgrade")
        accepted.sendall(b"again")
        assert client.recv(100) == b"again"
        client.close()
        accepted.close()
        lab.down()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
