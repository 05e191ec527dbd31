"""Changes that revert by themselves unless they are confirmed."""

import re

import pytest

from changes import apply, forget_waiting, last_change, names, network, refused, revision, text, vrf
from node import eventually


@pytest.fixture
def node(one_lab):
    return one_lab().nodes["a"]


def test_reverts_by_itself(node):
    apply(node, vrf("t1"))
    said = apply(node, network("blue", vrf="t1"), options=["--confirm", "1s"])
    assert "revision 2 reverts by itself in 1 s unless it is confirmed: sluice confirm" in said
    eventually(lambda: names(node, "networks") == set())
    last = last_change(node)
    assert (last["action"], int(last["backTo"]), last["user"]) == ("revert", 1, "sluiced")
    assert node.json("history")["entries"][1]["confirmation"] == "reverted"
    assert node.events("object deleted", kind="Network", name="blue", revision="3", user="sluiced", action="revert", to="1")


def test_confirmed_change_stays(node):
    apply(node, vrf("t1"), options=["--confirm", "1h"])
    assert last_change(node)["confirmation"] == "waiting"
    assert re.search(r"CONFIRMATION .*\n.* waiting, reverts \S+Z ", node.ok("history"))
    # It stands alone until somebody has decided.
    assert refused(node, "apply", "-f", "-", input=text(vrf("t2"))) == \
        "nothing was changed: revision 1 waits to be confirmed, or rolled back to 0"
    assert "waits to be confirmed" in refused(node, "delete", "vrf", "t1")
    assert node.ok("apply", "-f", "-", "--dry-run", input=text(vrf("t2"))) == "Vrf/t2 created (dry run)\n"
    assert refused(node, "confirm", "7") == "revision 1 waits to be confirmed, not 7"
    assert node.ok("confirm") == "revision 1 confirmed\n"
    assert last_change(node)["confirmation"] == "confirmed"
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


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_time_is_over_while_nobody_runs(node, end):
    """It is decided before anything is in force."""
    apply(node, vrf("t1"))
    apply(node, network("blue", vrf="t1"), options=["--confirm", "1h"])
    getattr(node, end)()
    forget_waiting(node, 1000)
    node.start()
    assert names(node, "networks") == set() and names(node, "vrfs") == {"t1"}
    assert last_change(node)["action"] == "revert" and revision(node) == 3
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
