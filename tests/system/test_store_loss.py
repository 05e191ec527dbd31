"""The store is lost or can't be used: connections go on, what can't be stored is refused, and nothing is half done."""

import json
import shutil
import sqlite3
import subprocess

import pytest

from changes import apply, last_change, names, refused, revision, text, vrf
from node import eventually
from web import ADDRESS, ask


class Place:
    """A node whose store lies on a disk of its own, and a connection that is open all the time."""

    def __init__(self, lab, disk):
        self.node, self.disk, self.directory = lab.nodes["a"], disk, disk / "state"
        self.db, self.copy = self.directory / "a.db", self.directory / "a.db.copy"
        self.node.stop()
        self.node.state = self.db
        self.node.start()
        lab.network("blue", 1)
        lab.group("clients", {"direction": "egress"})
        lab.group("servers", {"direction": "ingress", "protocol": "tcp", "ports": "80"})
        lab.workload("client", "a", "blue", kernel=True, veth=True, securityGroups=["clients"])
        lab.workload("server", "a", "blue", kernel=True, veth=True, securityGroups=["servers"])
        lab.up()
        self.ends = lab["client"].connection(lab["server"], 80)

    def forwards(self):
        """Only the connection lets this pass."""
        client, accepted = self.ends
        accepted.sendall(b"from the server")
        assert client.recv(100) == b"from the server"

    def copied(self, name):
        """The copy has this object."""
        eventually(lambda: self.copy.exists() and name.encode() in self.copy.read_bytes())

    def status(self):
        return self.node.json("get", "node", "a")["status"].get("reason", "")

    def metrics(self):
        """Is it usable, and is there a damaged one?"""
        lines = ask(self.node, "/metrics")[1].decode().splitlines()
        return [int(line.split()[1]) for name in ("usable", "set_aside")
                for line in lines if line.startswith(f"sluice_store_{name} ")]

    def refuses(self, reason, count=1):
        there = names(self.node, "vrfs")
        said = refused(self.node, "apply", "-f", "-", input=text(*[vrf(f"refused-{i:050}") for i in range(count)]))
        assert said.startswith("nothing was changed: ") and reason in said, said
        assert names(self.node, "vrfs") == there
        assert self.status().startswith("changes can't be stored: ") and self.metrics()[0] == 0
        self.forwards()

    def takes(self, name):
        """As soon as it can be used."""
        eventually(lambda: self.node.run("apply", "-f", "-", input=text(vrf(name))).returncode == 0)
        assert name in names(self.node, "vrfs") and self.metrics()[0] == 1
        self.forwards()

    def restart(self):
        """What is there afterwards is what was there before."""
        before = names(self.node, "vrfs"), revision(self.node)
        self.node.kill()
        self.node.start()
        assert (names(self.node, "vrfs"), revision(self.node)) == before
        self.forwards()

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.disk], check=True)


@pytest.fixture
def place(one_lab, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    lab = one_lab(options=["--metrics", ADDRESS])
    try:
        made = Place(lab, disk)
        yield made
        for end in made.ends:
            end.close()
        lab.down()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_disk_is_full(place):
    """As long as it is."""
    filler = place.disk / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    place.refuses("no space is left on its disk", 300)
    place.restart()
    filler.unlink()
    place.takes("new")
    assert place.status() == ""
    place.restart()


@pytest.mark.parametrize("behind", [False, True], ids=["", "the copy is older"])
def test_another_has_it_at_the_start(place, behind):
    """The copy is in force until the store can be had, and then what the store has."""
    node = place.node
    apply(node, vrf("early"))
    place.copied("early")
    if behind:
        older = place.copy.read_bytes()
        apply(node, vrf("late"))
        place.copied("late")
    node.kill()
    if behind:
        place.copy.write_bytes(older)
    other = sqlite3.connect(place.db, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    node.start()
    [said] = node.events("the store cannot be used; its copy is in force until it can")
    assert "another process uses it" in said["reason"]
    assert names(node, "vrfs") == {"t1", "early"}
    place.refuses("the store can't be used: ")
    for command in (["history"], ["rollback", "1"]):
        assert "the store can't be used: " in refused(node, *command)
    other.execute("ROLLBACK")
    other.close()
    place.takes("new")
    assert names(node, "vrfs") == {"t1", "early", "new"} | ({"late"} if behind else set())
    assert [entry["action"] for entry in node.json("history")["entries"]] == ["apply"] * (4 if behind else 3)
    place.restart()


@pytest.mark.parametrize("what", ["file", "directory"])
def test_removed(place, what):
    """It is made anew of what is in force."""
    if what == "file":
        place.db.unlink()
    else:
        shutil.rmtree(place.directory)
    place.takes("new")
    [said] = place.node.events("the store was lost; what is in force is stored anew")
    assert str(place.db) in said["reason"]
    assert [entry["action"] for entry in place.node.json("history")["entries"]] == ["apply", "recover"]
    place.restart()


def test_replaced(place):
    """What somebody has put there is left alone."""
    other = place.directory / "other"
    shutil.copy(place.db, other)
    before = other.read_bytes()
    other.rename(place.db)
    place.refuses("another file is in its place")
    assert place.db.read_bytes() == before


def damage(path):
    """All pages but the first one, in place."""
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def test_damaged_while_it_runs(place):
    """It is set aside, and the next change is in another one; that is said until somebody has moved the file."""
    node = place.node
    apply(node, *[{"kind": "SecurityGroup", "name": f"g{i}", "rules": [
        {"direction": "ingress", "protocol": "tcp", "ports": str(port)} for port in range(1, 60)]} for i in range(1000)])
    damage(place.db)
    node.apply({"kind": "SecurityGroup", "name": "g500"})
    [said] = node.events("the store was lost; what is in force is stored anew")
    [aside] = place.directory.glob("a.db.damaged-*Z")
    assert said["file"] == str(aside)
    place.forwards()
    assert last_change(node)["action"] == "apply" and len(names(node, "securitygroups")) == 1002
    for _ in range(2):
        assert place.status() == f"a damaged store was set aside: {aside}" and place.metrics() == [1, 1]
        [found] = [found for found in json.loads(node.run("doctor", "-o", "json").stdout) if found["check"] == "store" and found["result"] == "warning"]
        assert str(aside) in found["text"]
        place.restart()
    aside.unlink()
    assert place.status() == "" and place.metrics() == [1, 0]


def test_damaged_and_no_way_to_mend_it(place):
    """The copy is in force, and stored as soon as that is possible."""
    node = place.node
    apply(node, vrf("early"))
    place.copied("early")
    node.kill()
    damage(place.db)
    place.remount("ro")
    node.start()
    assert names(node, "vrfs") == {"t1", "early"}
    place.refuses("")
    place.remount("rw")
    place.takes("new")
    assert len(list(place.directory.glob("a.db.damaged-*Z"))) == 1
    assert names(node, "vrfs") == {"t1", "early", "new"}
    place.restart()
