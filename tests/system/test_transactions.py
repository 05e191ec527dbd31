"""Changes as one can trust them: who made them, the way back, only if nobody else was first."""

import os
import re
import threading

import pytest
import yaml

from changes import apply, names, network, refused, revision, text, vrf


@pytest.fixture
def node(one_lab):
    return one_lab().nodes["a"]


@pytest.fixture(scope="module")
def steady(make_lab):
    """For tests that leave nothing behind but history."""
    return make_lab().nodes["a"]


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
