"""Sets with errors: every error in a line of its own, in the order of the files, and nothing of the set applied."""

import json
import re

import pytest

from validation_cases import SOUND, WRONG

KINDS = ("nodes", "vrfs", "networks", "securitygroups", "ports")


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab().nodes["a"]
    node.ok("apply", "-f", "-", input=SOUND)
    return node


def everything(node):
    return [node.json("get", kind) for kind in KINDS]


def errors(node, text, *files, command="apply"):
    """What is wrong, by line; nothing is printed or changed."""
    given = [word for file in files for word in ("-f", file)] or ["-f", "-"]
    result = node.run(command, *given, input=text)
    assert (result.returncode, result.stdout) == (1, ""), result
    return [line.removeprefix("<stdin>:") for line in result.stderr.splitlines()]


def test_wrong_documents(node):
    before = everything(node)
    said = [(text, errors(node, text)) for text, _ in WRONG]
    assert said == WRONG
    assert everything(node) == before
    assert len(WRONG) >= 80


def test_nothing_of_a_bad_set_is_applied(node):
    """Good objects around each of the wrong documents, and after all the log knows of no change."""
    before, log = everything(node), node.text()
    good = "---\nkind: Vrf\nname: innocent\n---\n"
    for number, (text, lines) in enumerate(WRONG):
        # JSON, or a document that does not begin at its first line.
        if text[0] in "[{\ufeff":
            continue
        found = errors(node, good + text, command="diff" if number % 8 == 0 else "apply")
        assert [re.sub(r"(^|in line |<stdin>:)(\d+)", lambda at: at[1] + str(int(at[2]) - 4), line)
                for line in found] == lines
    assert everything(node) == before
    assert node.text() == log


def test_twice_in_two_files(node, tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.json"
    one.write_text("kind: Vrf\nname: x\n---\nkind: Network\nname: n\nvni: 7\n", encoding="utf-8")
    two.write_text('[\n{"kind": "Vrf", "name": "x"},\n{"kind": "Network",\n "name": "m",\n "vni": 7}]\n', encoding="utf-8")
    assert errors(node, None, one, two) == [f"{two}:2: Vrf/x: is given twice, first at {one}:1",
                                            f"{two}:5: Network/m: vni: Network/n has 7 already ({one}:6)"]


def test_errors_are_in_the_order_of_files_and_lines(node, tmp_path):
    """Those that the reader finds, and those that only the daemon can find."""
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("kind: Network\nname: n\nvrf: nowhere\n---\nkind: Vrf\nname: y\ncolour: red\n", encoding="utf-8")
    two.write_text("kind: Vrf\nnam: z\n---\nkind: SecurityGroup\nname: g\nrules:\n- protocol: tcp\n", encoding="utf-8")
    missing = "vrf: no Vrf 'nowhere'"
    # The Vrf of the second file has no name: it may be the one that is missing.
    assert errors(node, None, one, two) == [
        f"{one}:7: Vrf/y: colour: unknown field",
        f"{two}:1: Vrf: name: missing",
        f"{two}:2: Vrf: nam: unknown field, did you mean 'name'?",
        f"{two}:7: SecurityGroup/g: rules[0].direction: missing, it is ingress or egress"]
    two.write_text("kind: Vrf\nname: z\nspeed: 5\n", encoding="utf-8")
    assert errors(node, None, two, one) == [
        f"{two}:3: Vrf/z: speed: unknown field",
        f"{one}:3: Network/n: {missing}",
        f"{one}:7: Vrf/y: colour: unknown field"]


def test_whoever_changed_is_blamed(node):
    """Not an object that was there before, whatever the names and the order in which they came."""
    text = "kind: Port\nname: one\nnode: b\nnetwork: red\nmac: 52:54:00:00:00:03\ndevice: {tap: {name: t}}\n"
    assert errors(node, text) == ["5: Port/one: mac: Port/tagged has this address already"]


@pytest.mark.parametrize("kind", ["decoder", "daemon"])
def test_many_errors(node, kind):
    """The first ones in their order, and how many more there are."""
    wrong = "colour: red" if kind == "decoder" else "vrf: nowhere"
    lines = errors(node, "---\n".join(f"kind: Network\nname: n{i}\n{wrong}\n" for i in range(3000)))
    said = [int(line.split(":")[0]) for line in lines[:-1]]
    assert said == [3 + 4 * i for i in range(len(said))] and len(said) >= 100
    assert lines[-1] == f"sluice: and {3000 - len(said)} more problems"


def test_anchors_and_merge_keys(node):
    text = """
- &base
  kind: Network
  name: a1
  subnets: [{cidr: 10.9.0.0/24, dns: &dns [10.9.0.2]}]
- <<: *base
  name: a2
  mtu: 1300
- <<: [{mtu: 1200}, {mtu: 1100, vni: 77}]
  kind: Network
  name: a3
  subnets: [{cidr: 10.8.0.0/24, dns: *dns}]
"""
    assert node.ok("apply", "--dry-run", "-f", "-", input=text).count("created") == 3
    node.ok("apply", "-f", "-", input=text)
    values = {value["name"]: value for value in node.json("get", "networks")}
    assert (values["a2"]["mtu"], values["a2"]["subnets"]) == (1300, values["a1"]["subnets"])
    assert (values["a3"]["mtu"], values["a3"]["vni"], values["a3"]["subnets"][0]["dns"]) == (1200, 77, ["10.9.0.2"])
    for name in ("a1", "a2", "a3"):
        node.delete("network", name)


def test_aliases_that_grow(node):
    """Nine times as many with each line: refused before there are many."""
    levels = ["- &l0 [x]"] + [f"- &l{i} [{', '.join(9 * [f'*l{i - 1}'])}]" for i in range(1, 10)]
    lines = errors(node, "\n".join(levels))
    assert any("more than a million values" in line for line in lines) and len(lines) <= 10


def test_a_long_line(node):
    before = everything(node)
    value = 1048576 * "x"
    assert errors(node, f"kind: Vrf\nname: n\ncolour: {value}\n") == ["3: Vrf/n: colour: unknown field"]
    assert errors(node, f"kind: Vrf\nname: n\n{value}: red\n")[0].startswith("3: ")
    line = json.dumps([{"kind": "Vrf", "name": f"a-routing-domain-with-a-name-{i}"} for i in range(20000)])
    assert len(line) > 1048576
    assert node.ok("apply", "--dry-run", "-f", "-", input=line).count("created") == 20000
    assert everything(node) == before
