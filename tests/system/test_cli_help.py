"""A newcomer finds everything from --help: commands, topics, the fields of objects. Nothing here needs a daemon."""

import json
import pathlib
import re
import subprocess

import pytest
import yaml

from node import BUILD, sluice

ROOT = pathlib.Path(__file__).resolve().parents[2]


def printed(*arguments, **options):
    result = sluice(*arguments, **options)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


def listed(heading):
    """The words of a list in the help."""
    part = re.search(rf"^{heading}.*:\n((?:  .*\n)+)", printed("--help"), re.M).group(1)
    return re.findall(r"^  (\S+)  ", part, re.M)


COMMANDS = listed("Commands")
TOPICS = listed("Topics")


def test_there_are_commands_and_topics():
    assert {"apply", "get", "explain", "trace"} <= set(COMMANDS)
    assert {"objects", "selectors", "output"} <= set(TOPICS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_teaches(command):
    """Usage, what it does, options, examples that begin as one would type them."""
    text = printed("help", command)
    assert text == printed(command, "--help") == printed(command, "-h")
    assert text.startswith(f"Usage: sluice {command}")
    assert re.search(rf"^Examples:\n(  .*\n)*  (\S+=\S+ )?(.*\| )?sluice (--api \S+ )?{command}", text, re.M)
    assert "--api ADDRESS" in text
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic(topic):
    assert len(printed("help", topic)) > 200


def test_an_unknown_topic_is_a_usage_error():
    result = sluice("help", "objetcs")
    assert (result.returncode, result.stdout) == (2, "") and "objetcs" in result.stderr


def test_the_objects_of_the_help_are_valid(api):
    """What the topic shows can be applied."""
    text = printed("help", "objects")
    objects = "\n".join(line[2:] for line in text.splitlines() if line.startswith("  ") and "web-1: network" not in line)
    assert len(list(yaml.safe_load_all(objects))) == 3
    assert sluice("apply", "--dry-run", "-f", "-", api=api, input="kind: Node\nname: a\n---\n" + objects).stderr == ""


def test_explain_lists_the_kinds():
    text = printed("explain")
    assert re.search(r"^Network +An L2 segment", text, re.M)
    assert {kind["kind"] for kind in json.loads(printed("explain", "-o", "json"))} >= {"Node", "Port", "Vrf"}


def test_explain_a_kind():
    text = printed("explain", "ports")
    assert "A workload's virtual NIC." in text
    assert re.search(r"^  mac  <text>\n      Unicast MAC address", text, re.M)
    assert re.search(r"^  securityGroups  <list of text>$", text, re.M)


@pytest.mark.parametrize("path, expected", [
    ("port.device.vhostUser.path", "Path of the Unix socket"),
    ("Network.subnets[0].cidr", "Prefix without host bits"),
    ("securitygroup.rules.direction", "<ingress | egress>"),
    ("network.encapsulation", "RFC 7348"),
    ("port.device", "one of:"),
])
def test_explain_a_field(path, expected):
    assert expected in printed("explain", path)


def test_explain_as_data():
    fields = {field["path"]: field for field in json.loads(printed("explain", "port", "-o", "json"))}
    assert fields["Port.device.tap.name"]["type"] == "text"
    assert "15 characters" in fields["Port.device.tap.name"]["description"]
    assert yaml.safe_load(printed("explain", "port", "-o", "yaml")) == list(fields.values())


def test_explain_recursively():
    assert re.search(r"^  subnets  <list of Subnet>\n    cidr  <text>$", printed("explain", "network", "-R"), re.M)


@pytest.mark.parametrize("path, message", [
    ("netwrok", "unknown kind 'netwrok', did you mean 'Network'?"),
    ("network.subnts", "Network has no field 'subnts', did you mean 'subnets'?"),
    ("network.name.x", "Network.name has no fields"),
    ("network.", "Network has no field '' (see sluice explain Network)"),
])
def test_explain_what_is_not_there(path, message):
    result = sluice("explain", path)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"sluice: {message}\n")


def test_colours_only_where_they_are_asked_for():
    """Standard output is no terminal here."""
    assert "\033" not in printed("--help")
    assert "\033[1m" in printed("--color", "always", "--help")
    assert "\033[1m" in printed("explain", "port", "--color=always")
    assert sluice("--color", "sometimes", "--help").returncode == 2


def test_the_daemons_help():
    result = subprocess.run([BUILD / "sluiced", "--help"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "") and result.stdout.startswith("Usage: sluiced --node NAME")
    assert re.search(r"^  --workers CPUS +a polling thread", result.stdout, re.M)
    # Each is known to the parser too, and asks for its value; but --page alone is on.
    for name in set(re.findall(r"^  --(\S+) \S", result.stdout, re.M)) - {"page"}:
        missing = subprocess.run([BUILD / "sluiced", f"--{name}"], capture_output=True, text=True, check=False)
        assert (missing.returncode, missing.stderr) == (2, f"sluiced: --{name} needs a value; see --help\n")


@pytest.mark.parametrize("page, words", [
    ("sluice.1", ["apply", "get", "--output", "SLUICE_API", "exit status"]),
    ("sluiced.8", ["--node", "--workers", "ready"]),
    ("sluice-objects.5", ["Network", "vhostUser", "Unicast MAC address"]),
])
def test_manual_pages(page, words):
    """They are formatted without a complaint, and hold what the help holds."""
    result = subprocess.run(["man", "--warnings", "-l", ROOT / "docs/man" / page], capture_output=True, text=True,
                            check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
    assert (result.returncode, result.stderr) == (0, "")
    assert all(word.lower() in result.stdout.lower() for word in words)
