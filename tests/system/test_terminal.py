"""What a terminal gets, and a pipe doesn't: tables of its width, colours."""

import json
import re

import pytest

from node import BUILD
from terminal import on_terminal

LONG = [f"10.1.0.{number}" for number in range(10, 40)]


@pytest.fixture(scope="module")
def node(make_lab):
    node = make_lab().nodes["a"]
    node.apply({"kind": "Node", "name": "a"}, {"kind": "Node", "name": "b"}, {"kind": "Vrf", "name": "t1"},
               {"kind": "Network", "name": "blue", "vrf": "t1", "subnets": [{"cidr": "10.1.0.0/24"}]},
               {"kind": "Port", "name": "a-port-with-many-addresses", "node": "b", "network": "blue",
                "mac": "52:54:00:00:00:01", "addresses": LONG, "device": {"tap": {"name": "t1"}}})
    return node


def shown(node, *arguments, **options):
    return on_terminal([BUILD / "sluice", "--api", f"unix:{node.api}", *arguments], **options)


def plain(text):
    return re.sub(r"\033\[[0-9;]*m", "", text)


@pytest.mark.parametrize("columns", [96, 110, 132])
def test_a_table_fits(node, columns):
    """Nothing of it is lost: long values go on below."""
    text = plain(shown(node, "get", "ports", columns=columns))
    assert len(text.splitlines()) > 2
    assert all(len(line) <= columns for line in text.splitlines()), text
    assert "a-port-with-many-addresses" in text
    # The place of a column is that of its heading.
    heading, *lines = text.splitlines()
    begin, end = heading.index("ADDRESSES"), heading.index("DEVICE")
    assert "".join(line[begin:end].strip() for line in lines).replace(" ", "") == ",".join(LONG)
    # What fits is not broken, nor is an address.
    assert "52:54:00:00:00:01" in text
    assert all(address in text for address in LONG)


def test_columns_from_the_environment(node):
    text = plain(shown(node, "get", "ports", columns=200, env={"COLUMNS": "90"}))
    assert 80 < max(len(line) for line in text.splitlines()) <= 90


def test_nothing_is_cut_without_a_terminal(node):
    """Whatever COLUMNS says."""
    lines = node.ok("get", "ports", env={"COLUMNS": "40"}).splitlines()
    assert len(lines) == 2 and ", ".join(LONG) in lines[1]


def test_colours_on_a_terminal(node):
    assert "\033[" in shown(node, "get", "ports")
    assert "\033[" in shown(node, "--help")


@pytest.mark.parametrize("arguments, env", [
    (["--color", "never"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"}),
])
def test_no_colours(node, arguments, env):
    for command in (["get", "ports"], ["--help"]):
        assert "\033[" not in shown(node, *arguments, *command, env=env)


def test_an_empty_no_color_means_nothing(node):
    assert "\033[" in shown(node, "get", "ports", env={"NO_COLOR": ""})


def test_data_has_no_colours(node):
    assert json.loads(shown(node, "get", "ports", "-o", "json"))[0]["addresses"] == LONG
