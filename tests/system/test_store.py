"""The state on disk: of an older version, killed, on a disk that is full or cannot be written."""

import re
import signal
import sqlite3
import subprocess

import pytest

from changes import apply, forget_waiting, last_change, names, network, refused, revision, text, vrf
from node import BUILD, eventually


@pytest.fixture
def node(one_lab):
    return one_lab().nodes["a"]


def columns(path):
    database = sqlite3.connect(path)
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    database.close()
    return {row[0] for row in rows}


def test_store_of_the_first_version(node):
    """What an older Sluice has left is taken over, and is the first state to go back to."""
    apply(node, vrf("t1"), network("blue", vrf="t1"))
    apply(node, vrf("t2"))
    node.stop()
    with sqlite3.connect(node.state) as database:
        database.executescript("DROP TABLE history; DROP TABLE history_objects; DROP TABLE waiting;"
                               "PRAGMA user_version = 1")
    database.close()
    assert columns(node.state) == {"state", "objects"}
    node.start()
    assert names(node, "vrfs") == {"t1", "t2"}
    assert node.json("history") == {"entries": [], "revision": 2, "oldest": 2}
    apply(node, network("green", vrf="t2"))
    node.ok("rollback", "2")
    assert names(node, "networks") == {"blue"}
    assert refused(node, "rollback", "1") == "no revision 1 to go back to: the history has 2 to 4"


def test_killed_in_the_middle_of_changes(node):
    """Whenever it ends, the state is that before or that after a change, and history knows which."""
    apply(node, vrf("t1"))
    for round_number in range(8):
        client = subprocess.Popen(
            ["sh", "-c", 'for i in 1 2 3 4 5 6 7 8 9; do "$0" --api "unix:$1" apply -f - < "$2" && '
                         '"$0" --api "unix:$1" delete -f "$2"; done', str(BUILD / "sluice"), str(node.api),
             str(many(node))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start = revision(node)
        eventually(lambda: int(node.json("history", "--limit", "1")["revision"]) > start + round_number % 3)
        node.kill()
        client.send_signal(signal.SIGTERM)
        client.wait()
        node.start()
        last = last_change(node)
        count = len(names(node, "networks"))
        assert count in (0, 300)
        assert (count == 300) == (last["action"] == "apply" and last["created"] == 300)
        assert revision(node) == int(last["revision"])
        if count:
            node.ok("delete", "-f", many(node))


def many(node):
    path = node.state.parent / "many.yaml"
    if not path.exists():
        path.write_text(text(*[network(f"n{i}", vrf="t1") for i in range(300)]))
    return path


@pytest.fixture
def small_disk(one_lab, tmp_path):
    """A node whose store lies on a disk of its own, of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    lab = one_lab()
    node = lab.nodes["a"]
    node.stop()
    node.state = disk / "a.db"
    node.start()
    try:
        yield node
        lab.down()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_disk_is_full(small_disk):
    node = small_disk
    apply(node, vrf("t1"))
    before = node.json("get", "vrfs")
    reason = refused(node, "apply", "-f", "-", input=text(*[vrf(f"v{i:060}") for i in range(4000)]))
    assert re.fullmatch(f"nothing was changed: {node.state}: cannot .* the store: no space is left on its disk", reason)
    assert node.json("get", "vrfs") == before and revision(node) == 1
    # Small ones still go, and it is whole.
    apply(node, vrf("t2"))
    node.kill()
    node.start()
    assert names(node, "vrfs") == {"t1", "t2"}


def test_disk_is_read_only(small_disk):
    node = small_disk
    apply(node, vrf("t1"))
    disk = node.state.parent
    node.stop()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    # What is there can be had, and nothing else.
    node.start()
    assert names(node, "vrfs") == {"t1"}
    reason = refused(node, "apply", "-f", "-", input=text(vrf("t2")))
    assert reason.endswith("the file, its directory or its disk is read-only")
    assert names(node, "vrfs") == {"t1"} and revision(node) == 1
    node.stop()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    node.start()
    apply(node, vrf("t2"))
    assert names(node, "vrfs") == {"t1", "t2"}


def test_time_is_over_and_the_disk_is_full(small_disk):
    """It is tried again until there is room for what has to be remembered of it."""
    node = small_disk
    apply(node, *[vrf(f"v{i:060}") for i in range(300)])
    node.ok("delete", "vrf", *names(node, "vrfs"), "--confirm", "3s")
    filler = node.state.parent / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    eventually(lambda: "revision cannot be reverted; it is tried again" in node.text())
    assert "no space is left on its disk" in node.text()
    assert names(node, "vrfs") == set() and revision(node) == 2
    filler.unlink()
    eventually(lambda: len(names(node, "vrfs")) == 300)
    assert last_change(node)["action"] == "revert" and revision(node) == 3


def test_time_is_over_and_the_disk_is_read_only(small_disk):
    """What nobody has confirmed does not come into force again, and the way back is not lost."""
    node = small_disk
    apply(node, vrf("t1"))
    apply(node, vrf("t2"), options=["--confirm", "1h"])
    disk = node.state.parent
    node.stop()
    forget_waiting(node, 1000)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    node.launch()
    assert node.process.wait(60) == 1
    node.process = None
    last = node.lines()[-1]
    assert "the file, its directory or its disk is read-only" in last and "ready" not in node.lines()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    node.start()
    assert names(node, "vrfs") == {"t1"} and revision(node) == 3
