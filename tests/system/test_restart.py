"""What survives the end of the process, and what it says when it can't start."""

import re
import shutil
import signal
import subprocess

import pytest

import netns
from node import BUILD, NO_HUGE_PAGES, Node, eventually, log_event


@pytest.fixture
def lab(one_lab):
    lab = one_lab(nodes=("a", "b"), underlay="v4")
    lab.network("blue", 1)
    lab.group("all", {"direction": "ingress"}, {"direction": "egress"})
    lab.workload("one", "a", "blue", kernel=True, securityGroups=["all"])
    lab.workload("two", "b", "blue", kernel=True)
    return lab.up()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_objects_and_traffic_are_back(lab, end):
    """After SIGTERM and after SIGKILL; the objects are there with the word `ready`."""
    node = lab.nodes["a"]
    assert lab["one"].ping(lab["two"], "v4") and lab["one"].ping(lab["two"], "v6")
    kinds = ("nodes", "vrfs", "networks", "securitygroups", "ports")
    before = [node.json("get", kind) for kind in kinds]
    getattr(node, end)()
    assert not lab["two"].ping(lab["one"], "v4", timeout=1)
    node.start()
    assert [node.json("get", kind) for kind in kinds] == before
    assert node.stats()["ports"]["one"]["state"] == "up"
    # The tap is a new one.
    lab["one"].configure()
    assert lab["one"].ping(lab["two"], "v4") and lab["two"].ping(lab["one"], "v6")


@pytest.mark.parametrize("pick_up", [True, False], ids=["pick-up", "no pick-up"])
def test_tcp_across_a_restart(lab, family, pick_up):
    """A connection that is not kept goes on where its network picks up the middle of streams, and only there."""
    blue = lab.networks["blue"].object
    blue["connectionTracking"] = {"midStreamPickup": pick_up}
    lab.apply(blue)
    listening = lab["two"].server(80, family)
    client = lab["one"].connect(lab["two"], 80, family)
    accepted, _ = listening.accept()
    client.sendall(b"before")
    assert accepted.recv(100) == b"before"
    lab.nodes["a"].kill()
    lab.nodes["a"].options += ["--flows", "none"]
    lab.nodes["a"].start()
    lab["one"].configure()
    client.sendall(b"after")
    if pick_up:
        assert accepted.recv(100) == b"after"
        accepted.sendall(b"answer")
        assert client.recv(100) == b"answer"
    else:
        eventually(lambda: lab.nodes["a"].drops().get(("one", "no-connection"), 0) > 0)
        accepted.settimeout(0.3)
        with pytest.raises(TimeoutError):
            accepted.recv(100)
        # A new one can be opened at once.
        lab["one"].connect(lab["two"], 80, family).close()
    for made in (client, accepted, listening):
        made.close()


def test_without_huge_pages(one_lab, family):
    """Ordinary pages serve where there are no others."""
    # As much memory as there is by default: buffers take more of it in ordinary pages.
    lab = one_lab(prefix=NO_HUGE_PAGES, options=["--memory", "128"])
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "blue", kernel=True)
    lab.up()
    assert lab["one"].ping(lab["two"], family)


def test_revision_goes_on(lab):
    node = lab.nodes["a"]
    node.apply({"kind": "Vrf", "name": "t7"})
    [last] = node.events("object created", kind="Vrf", name="t7")
    node.stop()
    node.start()
    node.apply({"kind": "Vrf", "name": "t8"})
    [now] = node.events("object created", kind="Vrf", name="t8")
    assert int(now["revision"]) == int(last["revision"]) + 1


def test_deleted_stays_deleted(lab):
    node = lab.nodes["b"]
    node.delete("port", "one")
    node.kill()
    node.start()
    assert [port["name"] for port in node.json("get", "ports")] == ["two"]


@pytest.fixture
def alone():
    """A node that is not started."""
    namespace, directory = netns.make("alone"), netns.directory()
    node = Node("alone", namespace, directory)
    yield node
    if node.process:
        node.stop()
    netns.remove(namespace)
    shutil.rmtree(directory, ignore_errors=True)


def ends(node):
    """Runs until it ends of itself; exit status, and what it said."""
    node.launch()
    status = node.process.wait(60)
    node.process = None
    return status, node.lines()


def why(lines):
    """The reason that the last line gives."""
    event = log_event(lines[-1])
    assert (event["level"], event["message"]) == ("error", "cannot start")
    return event["reason"]


def test_state_file_that_is_none(alone):
    """One clear line with the file's name, exit status 1; and the file is left for somebody to look at."""
    alone.state.write_bytes(b"This is no database. " * 500)
    before = alone.state.read_bytes()
    status, lines = ends(alone)
    assert status == 1
    assert str(alone.state) in why(lines)
    assert "ready" not in lines
    assert alone.state.read_bytes() == before
    alone.state.unlink()
    alone.start()


def damage(path):
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 64):
        data[at:at + 16] = b"\xff" * 16
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["damaged", "none", "empty copy"])
def test_store_that_is_damaged(alone, how):
    """It is set aside, and the node goes on with its copy; without one it does not start, and nothing is changed."""
    alone.start()
    alone.apply(*[{"kind": "Vrf", "name": f"t{i}"} for i in range(200)])
    eventually(lambda: (alone.state.parent / "alone.db.copy").exists() and alone.stop() is None)
    if how == "none":
        alone.state.write_bytes(b"This is no database. " * 500)
    else:
        damage(alone.state)
    before = alone.state.read_bytes()
    if how == "empty copy":
        (alone.state.parent / "alone.db.copy").write_bytes(b"")
        status, lines = ends(alone)
        assert status == 1 and str(alone.state) in why(lines)
        assert alone.state.read_bytes() == before
        return
    alone.start()
    [said] = alone.events("the store is damaged; it was set aside, and its copy is in force")
    [aside] = alone.state.parent.glob("alone.db.damaged-*")
    assert said["file"] == str(aside) and aside.read_bytes() == before and said["revision"] == "2"
    assert len(alone.json("get", "vrfs")) == 200
    assert alone.json("history")["entries"][0]["action"] == "recover"
    # It is a store like any other.
    alone.apply({"kind": "Vrf", "name": "new"})
    alone.kill()
    alone.start()
    assert len(alone.json("get", "vrfs")) == 201


def test_state_where_it_cannot_be(alone):
    (alone.state.parent / "file").touch()
    alone.state = alone.state.parent / "file" / "node.db"
    status, lines = ends(alone)
    assert status == 1
    assert str(alone.state) in why(lines)


def test_api_that_another_has(alone):
    """A second daemon does not take the socket away; a socket that nobody has is taken over."""
    alone.start()
    second = Node("second", alone.netns, alone.api.parent)
    second.api = alone.api
    status, lines = ends(second)
    assert status == 1
    assert str(alone.api) in why(lines)
    assert alone.json("version")["node"] == "alone"
    alone.kill()
    assert alone.api.exists()
    alone.start()
    assert alone.json("version")["node"] == "alone"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly(alone, number):
    """Exit status 0, and the socket is gone."""
    alone.start()
    alone.process.send_signal(number)
    assert alone.process.wait(60) == 0
    alone.process = None
    eventually(lambda: not alone.api.exists(), 1)


def sluiced(*arguments):
    result = subprocess.run([BUILD / "sluiced", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                            check=False)
    return result.returncode, result.stdout, result.stderr


USAGE = [[], ["--node"], ["--node", "a b"], ["--node", ""], ["--nonsense"], ["--node", "a", "word"],
         ["--node", "a", "--api", "/tmp/x"], ["--node", "a", "--api", "unix:"], ["--node", "a", "--workers", "x"],
         ["--node", "a", "--workers", "0-"], ["--node", "a", "--workers", "1-0"], ["--node", "a", "--workers", "0,0"],
         ["--node", "a", "--workers", "9999"], ["--node", "a", "--workers", ""], ["--node", "a", "--idle", "doze"],
         ["--node", "a", "--connections", "0"], ["--node", "a", "--connections", "many"],
         ["--node", "a", "--connections", "-1"], ["--node", "a", "--memory", "1"], ["--node", "a", "--memory", "1e3"],
         ["--node", "a", "--config", "/nonexistent/file"], ["--node", "a", "--flows", ""]]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage(arguments):
    status, out, err = sluiced(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("sluiced: ") and len(err.splitlines()) == 1
    for word in arguments[-2:]:
        if word.startswith("--") and word not in ("--node", "--config"):
            assert word in err


CONFIGS = {
    "unknown key": ("node: a\ncolour: red\n", "2: unknown key 'colour'"),
    "bad value": ("node: a\n\nconnections: many\n", "3: connections: 'many' is no number.*"),
    "a list for a value": ("node: a\nworkers: [0, 1]\n", "2: expected KEY: VALUE"),
    "a list": ("- node\n", "1: expected KEY: VALUE.*"),
    "no YAML": ("node: a\napi: {x\n", r"\d+: .+"),
    "bad workers": ("workers: 0-\nnode: a\n", "1: workers: .+"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_wrong_config_file(tmp_path, name):
    """Exit status 2 and one line with file and line."""
    text, expected = CONFIGS[name]
    file = tmp_path / "sluiced.yaml"
    file.write_text(text, encoding="utf-8")
    status, out, err = sluiced("--config", file)
    assert (status, out) == (2, "")
    assert re.fullmatch(f"sluiced: {re.escape(str(file))}:{expected}\n", err), err


def test_config_file(alone):
    """The same keys as on the command line, which goes before it."""
    file = alone.state.parent / "sluiced.yaml"
    file.write_text("node: other\nconnections: 77\nmemory: 32\nidle: sleep\n", encoding="utf-8")
    alone.options = ["--config", file]
    alone.start()
    assert int(alone.stats()["connections"]["max"]) == 77
    assert alone.json("version")["node"] == "alone"


def test_help_and_version():
    status, out, err = sluiced("--help")
    assert (status, err) == (0, "")
    for option in ("node", "api", "state", "workers", "idle", "connections", "memory", "config"):
        assert f"--{option} " in out
    status, out, err = sluiced("--version")
    assert (status, err) == (0, "") and out.startswith("sluiced ")
