"""Changes as one can trust them: what they would mean, who made them, the way back, and the way back by itself."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import threading

import pytest
import yaml

from node import BUILD, eventually

NODE = {"kind": "Node", "name": "a"}


def vrf(name):
    return {"kind": "Vrf", "name": name}


def network(name, **fields):
    return {"kind": "Network", "name": name, **fields}


def text(*objects):
    return yaml.safe_dump_all(objects)


@pytest.fixture
def node(one_lab):
    return one_lab().nodes["a"]


@pytest.fixture(scope="module")
def steady(make_lab):
    """For tests that leave nothing behind but history."""
    return make_lab().nodes["a"]


def apply(node, *objects, options=()):
    return node.ok("apply", "-f", "-", *options, input=text(*objects))


def refused(node, *arguments, **options):
    """The one line that says why."""
    result = node.run(*arguments, **options)
    assert (result.returncode, result.stdout) == (1, ""), result
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("sluice: ")
    return result.stderr[len("sluice: "):-1]


def names(node, kind):
    return {value["name"] for value in node.json("get", kind)}


def revision(node):
    return int(node.json("history", "--limit", "1")["revision"])


# History and rollback


def test_history_says_who_when_what(node):
    apply(node, vrf("t1"), vrf("t2"), options=["--comment", "the first"])
    apply(node, network("blue", vrf="t1"))
    apply(node, network("blue", vrf="t2"))
    node.ok("delete", "network", "blue")
    history = node.json("history")
    assert (int(history["revision"]), int(history["oldest"])) == (4, 0)
    entries = history["entries"]
    assert [int(e["revision"]) for e in entries] == [4, 3, 2, 1]
    assert [e["action"] for e in entries] == ["delete", "apply", "apply", "apply"]
    assert {e["user"] for e in entries} == {"root"}
    assert [(e["created"], e["changed"], e["deleted"]) for e in entries] == [(0, 0, 1), (0, 1, 0), (1, 0, 0), (2, 0, 0)]
    assert entries[-1]["comment"] == "the first"
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["time"]) for e in entries)
    assert [int(e["revision"]) for e in node.json("history", "--limit", "2")["entries"]] == [4, 3]
    assert [e["summary"] for e in entries] == \
        ["Network/blue deleted", "Network/blue changed", "Network/blue created", "Vrf/t1 created, Vrf/t2 created"]
    lines = node.ok("history").splitlines()
    assert lines[0].split() == ["REVISION", "TIME", "USER", "ACTION", "WHAT", "COMMENT"]
    assert re.fullmatch(r" +1 +\S+Z +root +apply +Vrf/t1 created, Vrf/t2 created +the first *", lines[4])
    wide = node.ok("history", "-o", "wide").splitlines()
    assert wide[0].split()[4:8] == ["CREATED", "CHANGED", "DELETED", "CONFIRMATION"]
    assert wide[4].split()[4:8] == ["2", "0", "0", "-"]
    assert yaml.safe_load(node.ok("history", "-o", "yaml")) == history


def test_history_of_another_user(node, tmp_path):
    """The kernel's word of who is at the other end of the socket, not the client's."""
    os.chmod(node.api, 0o666)
    os.chmod(node.api.parent, 0o755)
    file = tmp_path / "x.yaml"
    file.write_text(text(vrf("t1")))
    result = node.run("apply", "-f", "-", input=text(vrf("t1")), user=65534, group=65534, extra_groups=[])
    assert result.returncode == 0, result.stderr
    assert node.json("history")["entries"][0]["user"] == "nobody"
    assert node.events("object created", name="t1", user="nobody", revision="1")


def test_history_of_one_change_is_a_diff(node):
    apply(node, vrf("t1"), vrf("t2"))
    apply(node, network("blue", vrf="t1", vni=5001))
    apply(node, network("blue", vrf="t2", vni=5001), vrf("t3"))
    node.ok("delete", "vrf", "t3")
    shown = node.ok("history", "3").splitlines()
    assert shown[0].startswith("revision 3, ") and shown[0].endswith(" by root: apply")
    assert "Network/blue was changed" in shown and "Vrf/t3 was created" in shown
    assert "- vrf: t1" in shown and "+ vrf: t2" in shown and "  vni: 5001" in shown
    assert "+ name: t3" in shown
    assert "- name: t3" in node.ok("history", "4").splitlines()
    assert refused(node, "history", "9") == "the history has no change 9: it has 1 to 4"


def test_history_of_one_change_as_json(node):
    """Objects have the form of documents: they can be applied again."""
    apply(node, vrf("t1"), network("blue", vrf="t1", vni=5001))
    apply(node, network("blue", vrf="t1", vni=5002), *[vrf(f"v{i}") for i in range(5)])
    entry = node.json("history", "2")["entries"][0]
    assert entry["summary"] == "Network/blue changed, Vrf/v0 created and 4 more"
    change = entry["changes"][0]
    assert (change["kind"], change["name"], change["action"]) == ("Network", "blue", "changed")
    assert change["before"] == network("blue", vrf="t1", vni=5001)
    assert change["after"] == network("blue", vrf="t1", vni=5002)
    created = entry["changes"][1]
    assert "before" not in created and created["after"] == vrf("v0")
    assert yaml.safe_load(node.ok("history", "2", "-o", "yaml"))["entries"][0] == entry
    apply(node, change["before"])
    assert node.json("get", "network", "blue")["vni"] == 5001


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_results_for_programs(steady, form):
    """What is said in words is there in fields, too."""
    def answer(*arguments, **options):
        return yaml.safe_load(steady.ok(*arguments, "-o", form, **options))

    def actions(changes):
        return [(c["kind"], c["name"], c["action"]) for c in changes]

    now = revision(steady)
    wanted = text(vrf("p1"), network("pn", vrf="p1"))
    found = answer("diff", "-f", "-", input=wanted)
    assert actions(found["changes"]) == [("Vrf", "p1", "created"), ("Network", "pn", "created")]
    assert found["changes"][1]["after"] == network("pn", vrf="p1") and "before" not in found["changes"][1]
    assert found["impact"]["connections"] == found["impact"]["ending"] == 0 and found["revision"] == now
    found = answer("apply", "-f", "-", input=wanted)
    assert actions(found["changes"]) == [("Vrf", "p1", "created"), ("Network", "pn", "created")]
    assert found["revision"] == now + 1 and "impact" not in found and "after" not in found["changes"][0]
    found = answer("diff", "-f", "-", input=text(vrf("p1"), network("pn", vrf="p1", mtu=1400)))
    assert [c["action"] for c in found["changes"]] == ["unchanged", "changed"]
    assert found["changes"][1]["before"] == network("pn", vrf="p1")
    assert found["changes"][1]["after"] == network("pn", vrf="p1", mtu=1400)
    assert set(found["changes"][0]) == {"kind", "name", "action"}
    found = answer("diff", str(now))
    assert actions(found["changes"]) == [("Vrf", "p1", "deleted"), ("Network", "pn", "deleted")]
    assert found["changes"][0]["before"] == vrf("p1") and "after" not in found["changes"][0]
    found = answer("delete", "network", "pn", "--dry-run")
    assert actions(found["changes"]) == [("Network", "pn", "deleted")] and found["impact"]["ending"] == 0
    found = answer("delete", "network", "pn")
    assert actions(found["changes"]) == [("Network", "pn", "deleted")] and found["revision"] == now + 2
    found = answer("rollback", str(now + 1), "--confirm", "1h")
    assert actions(found["changes"]) == [("Network", "pn", "created")] and found["revision"] == now + 3
    assert answer("confirm") == {"revision": now + 3}
    found = answer("rollback", str(now))
    assert actions(found["changes"]) == [("Vrf", "p1", "deleted"), ("Network", "pn", "deleted")]


def test_diff_with_a_revision(node):
    """What a rollback would do, line by line."""
    apply(node, vrf("t1"), network("blue", vrf="t1"))
    apply(node, vrf("t2"), network("blue", vrf="t2"))
    shown = node.ok("diff", "1").splitlines()
    assert "Vrf/t2 would be deleted" in shown and "Network/blue would be changed" in shown
    assert "- vrf: t2" in shown and "+ vrf: t1" in shown
    coloured = node.ok("diff", "1", "--color", "always").splitlines()
    assert "\x1b[31m- vrf: t2\x1b[0m" in coloured and "  name: blue" in coloured
    assert node.ok("diff", "2") == "" and revision(node) == 2
    assert refused(node, "diff", "3") == "no revision 3 to go back to: the history has 0 to 2"


def test_rollback(node):
    apply(node, vrf("t1"), network("blue", vrf="t1"))
    apply(node, vrf("t2"), network("blue", vrf="t2"))
    node.ok("delete", "vrf", "t1")
    before = node.json("get", "networks")
    assert node.ok("rollback", "1", "--dry-run") == \
        "Vrf/t1 created (dry run)\nVrf/t2 deleted (dry run)\nNetwork/blue changed (dry run)\n"
    assert node.json("get", "networks") == before and revision(node) == 3
    node.ok("rollback", "1", "--comment", "was better")
    assert names(node, "vrfs") == {"t1"} and node.json("get", "network", "blue")["vrf"] == "t1"
    entry = node.json("history", "--limit", "1")["entries"][0]
    assert (entry["action"], int(entry["backTo"]), int(entry["revision"])) == ("rollback", 1, 4)
    # The way back has one, too; and before the first change there was nothing.
    node.ok("rollback", "3")
    assert names(node, "vrfs") == {"t2"} and node.json("get", "network", "blue")["vrf"] == "t2"
    node.ok("rollback", "0")
    assert names(node, "vrfs") == names(node, "networks") == set()
    assert node.ok("rollback", "0") == "nothing to change\n" and revision(node) == 6
    assert refused(node, "rollback", "7") == "no revision 7 to go back to: the history has 0 to 6"
    node.kill()
    node.start()
    assert names(node, "vrfs") == set() and revision(node) == 6
    node.ok("rollback", "1")
    assert names(node, "vrfs") == {"t1"}


# Revisions


def test_only_if_the_state_is_this_one(steady):
    apply(steady, vrf("only"))
    now = revision(steady)
    reason = refused(steady, "apply", "-f", "-", "--revision", now - 1, input=text(vrf("other")))
    assert reason == f"nothing was changed: the state is revision {now}, not {now - 1}"
    assert "nothing was changed" in refused(steady, "delete", "vrf", "only", "--revision", now + 1)
    assert "nothing was changed" in refused(steady, "rollback", "0", "--revision", now + 1)
    assert "nothing was changed" in refused(steady, "apply", "-f", "-", "--revision", 0, input=text(vrf("other")))
    assert revision(steady) == now and "other" not in names(steady, "vrfs")
    apply(steady, vrf("other"), options=["--revision", str(now)])
    steady.ok("delete", "vrf", "other", "only", "--revision", now + 1)
    assert revision(steady) == now + 2


def test_of_many_at_a_time_one_wins(steady):
    """Read, change, write if nobody else has: no change is lost."""
    now = revision(steady)
    results = []

    def change(number):
        results.append(steady.run("apply", "-f", "-", "--revision", now, input=text(vrf(f"race{number}"))).returncode)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 1, 1, 1, 1]
    made = {name for name in names(steady, "vrfs") if name.startswith("race")}
    assert len(made) == 1 and revision(steady) == now + 1
    steady.ok("delete", "vrf", *made)


# Prune and delete


def test_prune(node):
    apply(node, vrf("t1"), vrf("t2"), network("blue", vrf="t2"))
    wanted = text(vrf("t1"), network("green", vrf="t1"))
    shown = node.ok("diff", "-f", "-", "--prune", input=wanted).splitlines()
    assert "Vrf/t2 would be deleted" in shown and "- name: blue" in shown and "+ name: green" in shown
    assert node.ok("apply", "-f", "-", "--prune", "--dry-run", input=wanted) == \
        "Network/green created (dry run)\nVrf/t2 deleted (dry run)\nNetwork/blue deleted (dry run)\n1 unchanged\n"
    assert names(node, "vrfs") == {"t1", "t2"}
    # What is needed by what stays can't go.
    bad = node.run("apply", "-f", "-", "--prune", input=text(network("blue", vrf="t2")))
    assert bad.returncode == 1 and "Network/blue: vrf: no Vrf 't2'" in bad.stderr
    node.ok("apply", "-f", "-", "--prune", input=wanted)
    assert names(node, "vrfs") == {"t1"} and names(node, "networks") == {"green"}
    assert revision(node) == 2


def test_delete_of_several(steady):
    apply(steady, vrf("d1"), vrf("d2"), network("n1", vrf="d1"), network("n2", vrf="d2"))
    assert steady.ok("delete", "network", "n1", "n2", "n1", "--dry-run") == \
        "Network/n1 deleted (dry run)\nNetwork/n2 deleted (dry run)\n"
    # All or none.
    assert refused(steady, "delete", "network", "n1", "n9") == "no Network 'n9'"
    result = steady.run("delete", "vrf", "d1", "d2")
    assert result.returncode == 1 and "they are in use and all stay" in result.stderr
    assert "Network/n2: vrf: no Vrf 'd2'" in result.stderr
    assert {"d1", "d2"} <= names(steady, "vrfs") and {"n1", "n2"} <= names(steady, "networks")
    # A file of objects that refer to each other, in any order.
    assert steady.ok("delete", "-f", "-", input=text(vrf("d1"), network("n1", mtu=1300), network("n2"), vrf("d2"))) == \
        "Vrf/d1 deleted\nNetwork/n1 deleted\nNetwork/n2 deleted\nVrf/d2 deleted\n"
    assert not {"d1", "d2"} & names(steady, "vrfs")


@pytest.mark.parametrize("comment", ["two\nlines", "bell\a", "\x9b2J", "x" * 501],
                         ids=["lines", "control", "c1", "long"])
def test_comment_is_one_line(steady, comment):
    now = revision(steady)
    assert refused(steady, "apply", "-f", "-", "--comment", comment, input=text(vrf("c"))) == \
        "the comment must be one line of at most 500 bytes"
    assert revision(steady) == now


@pytest.mark.parametrize("arguments", [
    ["apply", "-f", "-", "--confirm", "soon"], ["apply", "-f", "-", "--confirm", "0s"],
    ["apply", "-f", "-", "--confirm", "25h"], ["apply", "-f", "-", "--revision", "-1"], ["rollback"],
    ["rollback", "one"], ["rollback", "1", "2"], ["confirm", "x"], ["history", "x"], ["history", "0"],
    ["history", "--limit", "0"], ["delete", "-f", "-", "vrf"], ["diff"], ["diff", "x"], ["diff", "1", "--prune"],
    ["diff", "-f", "-", "1"], ["history", "-o", "xml"], ["diff", "1", "-o", "wide"]], ids=" ".join)
def test_wrong_usage(steady, arguments):
    result = steady.run(*arguments, input=text(vrf("usage")))
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"sluice: .+\(see sluice .*--help\)\n", result.stderr)
    assert "usage" not in names(steady, "vrfs")


# Confirmation


def confirmation(node):
    return node.json("history", "--limit", "1")["entries"][0]


def test_reverts_by_itself(node):
    apply(node, vrf("t1"))
    said = apply(node, network("blue", vrf="t1"), options=["--confirm", "1s"])
    assert "revision 2 reverts by itself in 1 s unless it is confirmed: sluice confirm" in said
    eventually(lambda: names(node, "networks") == set())
    last = confirmation(node)
    assert (last["action"], int(last["backTo"]), last["user"]) == ("revert", 1, "sluiced")
    assert node.json("history")["entries"][1]["confirmation"] == "reverted"
    assert node.events("object deleted", kind="Network", name="blue", revision="3", user="sluiced", action="revert", to="1")


def test_confirmed_change_stays(node):
    apply(node, vrf("t1"), options=["--confirm", "1h"])
    assert confirmation(node)["confirmation"] == "waiting"
    assert re.search(r"CONFIRMATION .*\n.* waiting, reverts \S+Z ", node.ok("history"))
    # It stands alone until somebody has decided.
    assert refused(node, "apply", "-f", "-", input=text(vrf("t2"))) == \
        "nothing was changed: revision 1 waits to be confirmed, or rolled back to 0"
    assert "waits to be confirmed" in refused(node, "delete", "vrf", "t1")
    assert node.ok("apply", "-f", "-", "--dry-run", input=text(vrf("t2"))) == "Vrf/t2 created (dry run)\n"
    assert refused(node, "confirm", "7") == "revision 1 waits to be confirmed, not 7"
    assert node.ok("confirm") == "revision 1 confirmed\n"
    assert confirmation(node)["confirmation"] == "confirmed"
    assert refused(node, "confirm") == "no change waits to be confirmed"
    apply(node, vrf("t2"))
    assert names(node, "vrfs") == {"t1", "t2"}


def test_rolled_back_instead_of_confirmed(node):
    apply(node, vrf("t1"), options=["--confirm", "1h"])
    node.ok("rollback", "0")
    assert names(node, "vrfs") == set()
    assert node.json("history")["entries"][1]["confirmation"] == "reverted"
    apply(node, vrf("t2"))


def test_delete_to_be_confirmed(node):
    apply(node, vrf("t1"), vrf("t2"))
    assert node.ok("delete", "vrf", "t1", "--confirm", "1h").splitlines() == \
        ["Vrf/t1 deleted", "revision 2 reverts by itself in 3600 s unless it is confirmed: sluice confirm"]
    node.ok("rollback", "1")
    assert names(node, "vrfs") == {"t1", "t2"}
    node.ok("delete", "vrf", "t1", "--confirm", "1s")
    eventually(lambda: names(node, "vrfs") == {"t1", "t2"})


def test_rollback_to_be_confirmed(node):
    apply(node, vrf("t1"))
    apply(node, vrf("t2"))
    node.ok("rollback", "1", "--confirm", "1s")
    eventually(lambda: names(node, "vrfs") == {"t1", "t2"})


def forget_waiting(node, deadline, seconds=None):
    """Moves the end of the wait, as if time had passed while nobody ran."""
    with sqlite3.connect(node.state) as database:
        database.execute("UPDATE waiting SET deadline = ?", (deadline,))
        if seconds:
            database.execute("UPDATE waiting SET seconds = ?", (seconds,))
    database.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_time_is_over_while_nobody_runs(node, end):
    """It is decided before anything is in force."""
    apply(node, vrf("t1"))
    apply(node, network("blue", vrf="t1"), options=["--confirm", "1h"])
    getattr(node, end)()
    forget_waiting(node, 1000)
    node.start()
    assert names(node, "networks") == set() and names(node, "vrfs") == {"t1"}
    assert confirmation(node)["action"] == "revert" and revision(node) == 3
    lines = node.lines()
    assert next(i for i, l in enumerate(lines) if "revision=3 " in l and "user=sluiced" in l) < lines.index("ready")
    # Once.
    node.kill()
    node.start()
    assert revision(node) == 3


def test_goes_on_to_wait_after_a_restart(node):
    apply(node, vrf("t1"), options=["--confirm", "1h"])
    node.kill()
    node.start()
    assert names(node, "vrfs") == {"t1"}
    assert "waits to be confirmed" in refused(node, "apply", "-f", "-", input=text(vrf("t2")))
    node.ok("confirm")
    node.kill()
    forget_waiting(node, 1000)
    node.start()
    assert names(node, "vrfs") == {"t1"}


def test_clock_that_was_set_back_gives_no_more_time(node):
    apply(node, vrf("t1"), options=["--confirm", "1h"])
    node.kill()
    forget_waiting(node, 4102444800000, seconds=1)
    node.start()
    eventually(lambda: names(node, "vrfs") == set())


# The store


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
        last = confirmation(node)
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
    assert confirmation(node)["action"] == "revert" and revision(node) == 3


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
    assert node.process.wait(10) == 1
    node.process = None
    last = node.lines()[-1]
    assert "the file, its directory or its disk is read-only" in last and "ready" not in node.lines()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    node.start()
    assert names(node, "vrfs") == {"t1"} and revision(node) == 3


# Live connections


RULES = [{"direction": "ingress", "protocol": "tcp", "ports": "80"},
         {"direction": "ingress", "protocol": "tcp", "ports": "81"}, {"direction": "egress"}]


@pytest.fixture
def live(one_lab):
    lab = one_lab()
    lab.network("blue", 1)
    lab.network("green", 2)
    lab.group("web", *RULES)
    lab.workload("one", "a", "blue", kernel=True, securityGroups=["web"])
    lab.workload("two", "a", "blue", kernel=True, securityGroups=["web"])
    lab.workload("far", "a", "green", kernel=True, securityGroups=["web"])
    return lab.up()


@pytest.fixture
def connections(live, family):
    """To two ports of a neighbour, and one routed."""
    opened = [connect(live, to, port, family) for to, port in (("two", 80), ("two", 81), ("far", 80))]
    yield [client for _, client, _ in opened]
    for one in (one for three in opened for one in three):
        one.close()


def connect(lab, to, port, family):
    """From `one`; a word each way. Listener, and both ends."""
    listening = lab[to].server(port, family)
    client = lab["one"].connect(lab[to], port, family)
    accepted, _ = listening.accept()
    client.sendall(b"x")
    assert accepted.recv(1) == b"x"
    accepted.sendall(b"y")
    assert client.recv(1) == b"y"
    return listening, client, accepted


def impact(node, *objects, arguments=("apply", "-f", "-", "--dry-run")):
    answer = json.loads(node.ok(*arguments, "-o", "json", input=text(*objects) if objects else None))
    return answer["impact"]


def named(found, connections, ends):
    """Of these connections: those of other tests may be there, too."""
    ports = [connection.getsockname()[1] for connection in connections]
    return sorted((f["source"], f["destination"], f["destinationPort"], f["reason"] if ends else f["ruleThen"])
                  for f in found["first"] if f["ends"] == ends and f["sourcePort"] in ports
                  and f["protocol"] == "tcp")


def test_connections_that_would_end(live, family, connections):
    node = live.nodes["a"]
    group = {"kind": "SecurityGroup", "name": "web", "rules": [RULES[0], {**RULES[1], "ports": "82"}, RULES[2]]}
    found = impact(node, group)
    one, two = live["one"].address[family], live["two"].address[family]
    assert named(found, connections, True) == [(one, two, 81, "security-group-ingress")]
    assert named(found, connections, False) == []
    assert not found["incomplete"] and int(found["unclear"]) == 0
    for command in (["apply", "-f", "-", "--dry-run"], ["diff", "-f", "-"]):
        shown = node.ok(*command, input=text(group))
        assert re.search(r"^\d+ of \d+ live connections would end:$", shown, re.M)
        assert re.search(r"^  tcp .*:81 in blue: security-group-ingress$", shown, re.M)
    # And it is so.
    live.apply(group)
    try:
        connections[1].sendall(b"y")
        ports = [connection.getsockname()[1] for connection in connections]
        eventually(lambda: not node.flows(protocol="tcp", source=one, sourcePort=ports[1]))
        assert node.flows(protocol="tcp", source=one, destination=two, sourcePort=ports[0])
    finally:
        live.rules("web", *RULES)


def test_connections_that_would_be_judged_otherwise(live, family, connections):
    """By another rule: they go on."""
    group = {"kind": "SecurityGroup", "name": "web", "rules": [RULES[1], RULES[0], RULES[2]]}
    found = impact(live.nodes["a"], group)
    one, two, far = (live[name].address[family] for name in ("one", "two", "far"))
    assert named(found, connections, True) == []
    assert named(found, connections, False) == sorted(
        [(one, two, 80, "web[2], web[1]"), (one, two, 81, "web[2], web[0]"), (one, far, 80, "web[2], web[1]")])
    shown = live.nodes["a"].ok("apply", "-f", "-", "--dry-run", input=text(group))
    assert re.search(r"live connections would be judged otherwise and go on:\n  tcp .*: web\[2\], web\[[01]\], then web",
                     shown)


def test_nothing_would_end(live, family, connections):
    node = live.nodes["a"]
    found = impact(node, vrf("unrelated"))
    assert int(found["connections"]) >= 3 and int(found["ending"]) == int(found["changing"]) == 0
    assert re.search(r"^of \d+ live connections none would end or be judged otherwise$",
                     node.ok("apply", "-f", "-", "--dry-run", input=text(vrf("unrelated"))), re.M)
    assert node.ok("apply", "-f", "-", "--dry-run", input=text(live["one"].object)) == "1 unchanged\n"


def test_port_that_goes(live, family, connections):
    node = live.nodes["a"]
    found = impact(node, arguments=["delete", "port", "far", "--dry-run"])
    one, far = live["one"].address[family], live["far"].address[family]
    assert named(found, connections, True) == [(one, far, 80, "no-host")]
    found = impact(node, arguments=["delete", "port", "one", "--dry-run"])
    assert len(named(found, connections, True)) == 3


def test_way_that_goes(live, family, connections):
    """Only the routed connection needs the Vrf."""
    green = {k: v for k, v in live.networks["green"].object.items() if k != "vrf"}
    found = impact(live.nodes["a"], green)
    assert [c[:3] for c in named(found, connections, True)] == \
        [(live["one"].address[family], live["far"].address[family], 80)]


def test_would_be_of_a_rollback(live, family, connections):
    node = live.nodes["a"]
    live.apply(vrf("newer"))
    now = revision(node)
    live.rules("web", RULES[2], *RULES[:2])
    try:
        found = impact(node, arguments=["rollback", str(now), "--dry-run"])
    finally:
        live.rules("web", *RULES)
    assert len(named(found, connections, False)) == 3 and int(found["ending"]) == 0


def test_through_the_tunnel(one_lab, family):
    """Each node says what becomes of its own half."""
    lab = one_lab(nodes=("a", "b"), underlay="v4")
    lab.network("blue", 1)
    lab.network("green", 2)
    lab.group("web", *RULES)
    lab.workload("one", "a", "blue", kernel=True, securityGroups=["web"])
    lab.workload("two", "b", "blue", kernel=True, securityGroups=["web"])
    lab.workload("far", "b", "green", kernel=True, securityGroups=["web"])
    lab.up()
    held = [connect(lab, to, port, family) for to, port in (("two", 81), ("far", 80))]
    connections = [client for _, client, _ in held]
    one, two, far = (lab[name].address[family] for name in ("one", "two", "far"))
    group = {"kind": "SecurityGroup", "name": "web", "rules": [RULES[0], RULES[2]]}
    # The sender's half is not filtered by the other side's rules.
    assert named(impact(lab.nodes["a"], group), connections, True) == []
    assert named(impact(lab.nodes["b"], group), connections, True) == [(one, two, 81, "security-group-ingress")]
    for name in "ab":
        found = impact(lab.nodes[name], arguments=["delete", "port", "far", "--dry-run"])
        assert [c[:3] for c in named(found, connections, True)] == [(one, far, 80)]
        assert int(found["unclear"]) == 0
    for end in (end for three in held for end in three):
        end.close()
