"""sluice edit: the editor is a program of the test, which does what a user would."""

import os
import re
import stat

import pytest
import yaml

from node import BUILD, sluice

OBJECTS = [{"kind": "Node", "name": "a"}, {"kind": "Vrf", "name": "t1"},
           {"kind": "Network", "name": "blue", "vrf": "t1", "mtu": 1400},
           {"kind": "Network", "name": "green", "vrf": "t1", "mtu": 1400}]


@pytest.fixture(scope="module")
def node(make_lab):
    return make_lab().nodes["a"]


@pytest.fixture(autouse=True)
def objects(node):
    node.apply(*OBJECTS)


@pytest.fixture
def edit(node, tmp_path):
    """Runs the command with an editor that is a script; `steps` are its doings, one a call. $1 is the file."""

    def run(*arguments, steps=(), **options):
        (tmp_path / "seen").mkdir(exist_ok=True)
        editor = tmp_path / "editor"
        editor.write_text("#!/bin/sh\nn=$(ls {0}/seen | wc -l)\ncp \"$1\" {0}/seen/$n\nexport API\ncase $n in\n".format(tmp_path)
                          + "".join(f"{number}) {step} ;;\n" for number, step in enumerate(steps)) + "*) : ;;\nesac\n",
                          encoding="utf-8")
        editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "files").mkdir(exist_ok=True)
        result = sluice("edit", *arguments, api=node.api, env={
            "PATH": os.environ["PATH"], "EDITOR": str(editor), "TMPDIR": str(tmp_path / "files"), "API": str(node.api),
            **options})
        run.seen = [path.read_text() for path in sorted((tmp_path / "seen").iterdir())]
        run.left = list((tmp_path / "files").iterdir())
        return result

    return run


def mtu(node, name):
    return node.json("get", "network", name)["mtu"]


def revision(node):
    """Changes have revisions; the log names them."""
    return len(node.events("object changed"))


def test_a_change_is_applied(node, edit):
    result = edit("network", "blue", steps=["sed -i s/1400/1300/ $1"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "Network/blue changed\n", "")
    assert (mtu(node, "blue"), mtu(node, "green")) == (1300, 1400)
    assert yaml.safe_load(edit.seen[0]) == OBJECTS[2]
    assert edit.seen[0].startswith("# ") and not edit.left


def test_all_of_a_kind(node, edit):
    result = edit("networks", steps=["sed -i s/1400/1310/ $1"])
    assert result.stdout == "Network/blue changed\nNetwork/green changed\n"
    assert (mtu(node, "blue"), mtu(node, "green")) == (1310, 1310)
    assert len(list(yaml.safe_load_all(edit.seen[0]))) == 2


@pytest.mark.parametrize("step", [":", "echo >> $1", "> $1", "sed -i '/^[^#]/d' $1", "sed -i 's/mtu: 1400/mtu:   1400/' $1"])
def test_nothing_changed(node, edit, step):
    before = revision(node)
    result = edit("network", "blue", steps=[step])
    assert (result.returncode, result.stdout, result.stderr) == (0, "nothing changed\n", "")
    assert len(edit.seen) == 1 and not edit.left and revision(node) == before


@pytest.mark.parametrize("step, message", [
    ("sed -i s/1400/14000/ $1", r"Network/blue: mtu: 14000 is not"),
    ("sed -i s/vrf/vfr/ $1", "vfr: unknown field, did you mean 'vrf'?"),
    ("sed -i s/t1/t2/ $1", "Network/blue: vrf: no Vrf 't2'"),
    ("echo '  {' >> $1", ".yaml:"),
    ("sed -i 's/name: blue/name: red/' $1", "Network/red: was not shown"),
])
def test_a_mistake_opens_the_editor_again(node, edit, step, message):
    """With the error at the top, and what was written below."""
    right = "printf 'kind: Network\\nname: blue\\nvrf: t1\\nmtu: 1320\\n' > $1"
    result = edit("network", "blue", steps=[step, right])
    assert (result.returncode, result.stdout, result.stderr) == (0, "Network/blue changed\n", "")
    assert len(edit.seen) == 2 and mtu(node, "blue") == 1320
    assert edit.seen[1].startswith("#! ") and message in edit.seen[1].splitlines()[0]


def test_errors_do_not_pile_up(edit):
    result = edit("network", "blue", steps=["sed -i s/1400/14000/ $1", "sed -i s/14000/14001/ $1"])
    assert result.returncode == 1
    assert "14000" not in edit.seen[2] and edit.seen[2].count("#! ") == 1


def test_giving_up_keeps_what_was_written(node, edit):
    result = edit("network", "blue", steps=["sed -i s/1400/14000/ $1"])
    assert (result.returncode, result.stdout) == (1, "")
    path = result.stderr.split()[-1]
    assert "nothing was changed" in result.stderr and "mtu: 14000" in open(path, encoding="utf-8").read()
    assert mtu(node, "blue") == 1400


def others(node, text):
    return f"printf '{text}' | {BUILD}/sluice --api unix:{node.api} apply -f - > /dev/null"


def test_somebody_changes_something_else_meanwhile(node, edit):
    result = edit("network", "blue", steps=[
        others(node, "kind: Network\\nname: green\\nvrf: t1\\nmtu: 1350\\n") + "; sed -i s/1400/1300/ $1"])
    assert (result.returncode, result.stdout) == (0, "Network/blue changed\n")
    assert (mtu(node, "blue"), mtu(node, "green")) == (1300, 1350)


def test_somebody_changes_the_same_meanwhile(node, edit):
    """Nobody's change is lost unseen."""
    result = edit("network", "blue", steps=[
        others(node, "kind: Network\\nname: blue\\nvrf: t1\\nmtu: 1350\\n") + "; sed -i s/1400/1300/ $1", ":"])
    assert result.returncode == 1 and mtu(node, "blue") == 1350
    assert "Network/blue was changed meanwhile" in edit.seen[1] and "#! mtu: 1350" in edit.seen[1]
    assert "\nmtu: 1300" in edit.seen[1]


def test_somebody_deletes_it_meanwhile(node, edit):
    result = edit("network", "blue", steps=[f"{BUILD}/sluice --api unix:{node.api} delete network blue; sed -i s/1400/1300/ $1"])
    assert result.returncode == 1 and "no Network 'blue'" in result.stderr
    assert "mtu: 1300" in open(result.stderr.split()[-1], encoding="utf-8").read()


def test_comment_and_confirmation(node, edit):
    result = edit("network", "blue", "--confirm", "1h", "--comment", "smaller", steps=["sed -i s/1400/1300/ $1"])
    assert re.fullmatch(r"Network/blue changed\nrevision \d+ reverts by itself in 3600 s .*\n", result.stdout)
    entry = node.json("history", "--limit", "1")["entries"][0]
    assert (entry["comment"], entry["confirmation"]) == ("smaller", "waiting")
    # Another one now has to wait, and what was written is kept.
    result = edit("network", "green", steps=["", "sed -i s/1400/1300/ $1"])
    assert result.returncode == 1 and "waits to be confirmed" in result.stderr
    assert "mtu: 1300" in open(result.stderr.split()[-1], encoding="utf-8").read()
    assert node.json("confirm", entry["revision"]) == {"revision": entry["revision"]}
    assert mtu(node, "blue") == 1300 and mtu(node, "green") == 1400
    result = edit("network", "blue", "--confirm", "soon")
    assert result.returncode == 2


def test_the_editor_fails(node, edit):
    result = edit("network", "blue", EDITOR="false")
    assert result.returncode == 1 and "false did not end well" in result.stderr
    result = edit("network", "blue", EDITOR="/nonexistent/editor")
    assert result.returncode == 1 and mtu(node, "blue") == 1400


def test_the_editor_may_have_arguments(node, edit):
    assert edit("network", "blue", VISUAL="sed -i s/1400/1390/").stdout == "Network/blue changed\n"
    assert mtu(node, "blue") == 1390


@pytest.mark.parametrize("arguments, status, message", [
    ((), 2, "edit takes KIND"), (("network", "blue", "x"), 2, "edit takes KIND"),
    (("netwrok",), 1, "did you mean 'Network'?"), (("network", "red"), 1, "red"), (("ports",), 1, "there is no Port"),
])
def test_what_can_not_be_edited(edit, arguments, status, message):
    result = edit(*arguments)
    assert (result.returncode, result.stdout) == (status, "") and message in result.stderr
    assert not edit.seen
