"""The daemon's log: a line a change and an event, as text or as JSON, and whatever names hold, no other lines."""

import json
import os
import pathlib
import re
import shutil

import pytest

import netns
from node import Node, eventually, log_event

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def start():
    """Starts a node by itself; all end with the test."""
    namespace, directory = netns.make("log"), netns.directory()
    nodes = []

    def make(*options, prefix=()):
        node = Node("a", namespace, directory, options, prefix)
        nodes.append(node)
        node.start()
        return node

    yield make
    for node in nodes:
        if node.process:
            node.stop()
    netns.remove(namespace)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["text", "json"])
def node(start, request):
    return start("--log-format", request.param)


def vrf(name):
    return {"kind": "Vrf", "name": name}


def network(name, **fields):
    return {"kind": "Network", "name": name, "vni": 1, **fields}


def port(name, **fields):
    return {"kind": "Port", "name": name, "node": "a", "network": "blue", "mac": "52:54:00:00:00:01",
            "device": {"tap": {"name": "tap0"}}, **fields}


CALL = {"user": "root", "from": "unix"}


def test_a_change(node):
    """Who changed what, and in which fields."""
    node.apply({"kind": "Node", "name": "a"}, vrf("t1"), network("blue"))
    node.ok("apply", "-f", "-", "--comment", 'why "not"', input=json.dumps(network("blue", vrf="t1", mtu=1400)))
    node.delete("network", "blue")
    [created] = node.events("object created", kind="Network", name="blue")
    assert created.items() >= {"revision": "1", "action": "apply", **CALL}.items() and "fields" not in created
    [changed] = node.events("object changed")
    assert changed.items() >= {"kind": "Network", "name": "blue", "fields": "vrf,mtu", "revision": "2", "action": "apply",
                               "comment": 'why "not"', **CALL}.items()
    [deleted] = node.events("object deleted")
    assert deleted.items() >= {"kind": "Network", "name": "blue", "revision": "3", "action": "delete", **CALL}.items()


def test_what_changes_nothing_says_nothing(node):
    node.apply(vrf("t1"))
    before = node.text()
    node.apply(vrf("t1"))
    node.ok("apply", "-f", "-", "--dry-run", input=json.dumps(vrf("t2")))
    node.run("apply", "-f", "-", input=json.dumps(network("blue", vrf="none")))
    assert node.text() == before


def test_rollback_and_confirmation(node):
    node.apply(vrf("t1"))
    node.ok("apply", "-f", "-", "--confirm", "60s", input=json.dumps(vrf("t2")))
    node.ok("confirm")
    node.ok("rollback", "0")
    assert node.events("object created", name="t2", revision="2", confirmSeconds="60")
    assert node.events("revision confirmed", revision="2", **CALL)
    for name in ("t1", "t2"):
        assert node.events("object deleted", name=name, revision="3", action="rollback")


def test_many_objects(node):
    """A line a kind, where lines for all would be more than anybody reads."""
    node.apply(*[vrf(f"t{number}") for number in range(100)])
    assert len(node.events("object created", revision="1")) == 100
    node.apply(network("blue"), *[vrf(f"u{number}") for number in range(100)])
    assert not node.events("object created", revision="2")
    assert [(event["kind"], event["created"], event["changed"], event["deleted"])
            for event in node.events("objects changed", revision="2", action="apply", **CALL)] == \
        [("Vrf", "100", "0", "0"), ("Network", "1", "0", "0")]


def test_ports(node):
    node.apply({"kind": "Node", "name": "a"}, network("blue"), port("one"),
               port("two", mac="52:54:00:00:00:02", device={"netdev": {"name": "later0"}}))
    assert node.events("port opened", port="one", device="tap0", level="info")
    [failed] = node.events("port cannot be opened; it is tried again", port="two", device="later0", level="warning")
    assert "later0: there is no such interface" in failed["reason"]
    netns.ip(node.netns, "link add later0 type veth peer name other0")
    eventually(lambda: node.events("port opened", port="two"))
    netns.ip(node.netns, "link del later0")
    eventually(lambda: node.events("port closed", port="two", device="later0", reason="the device has gone"))
    node.delete("port", "one")
    assert node.events("port closed", port="one", device="tap0", reason="no longer wanted")


def test_every_line_has_the_form(node):
    node.apply({"kind": "Node", "name": "a"}, network("blue"), port("one"))
    node.apply(port("one", mac="52:54:00:00:00:07"))
    node.stop()
    lines = node.lines()
    if lines[0].startswith("{"):
        events = [json.loads(line) for line in lines]
    else:
        lines.remove("ready")
        events = [log_event(line) for line in lines]
    assert all(events), lines
    for event in events:
        assert list(event)[:3] == ["time", "level", "message"] and TIME.fullmatch(event["time"])
    assert [event["message"] for event in events[-2:]] == ["stopping", "stopped"]
    assert events[-2]["signal"] == "SIGTERM"


# Control characters are refused before (tests/unit/base_log_test.c has them).
HOSTILE = ['x" info port opened port=evil', 'x\\" port=evil', "x port=evil", '"},{"message":"evil',
           "x\u202elive=trop\u2028"]


def test_hostile_names(node):
    """What a name holds stays in its value."""
    node.apply({"kind": "Node", "name": "a"}, network("blue"))
    for number, name in enumerate(HOSTILE):
        path = f"{node.api.parent}/{name}"
        node.apply(port("one", device={"vhostUser": {"path": path, "mode": "server"}}))
        assert [event["device"] for event in node.events("port opened", port="one")][number:] == [path]
    assert not node.events(port="evil") and not node.events("evil")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\u2028]", node.text())
    # Of the last line only a part may be there yet.
    whole = node.text().rpartition("\n")[0].splitlines()
    assert [line for line in whole if line != "ready" and not log_event(line)] == []


def test_what_dpdk_says(node):
    node.apply({"kind": "Node", "name": "a"}, network("blue"), port("one", device={"devargs": "nothing0"}))
    assert node.events("from DPDK", component="EAL", level="error")
    assert "nothing0" in node.events("from DPDK")[0]["text"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_journal(start, form, tmp_path):
    """It knows the time, and is told the level in its own way; a file that only inherits the variable is not."""
    node = start("--log-format", form)
    node.stop()
    log = node.log.stat()
    node.prefix = ["env", f"JOURNAL_STREAM={log.st_dev}:{log.st_ino}"]
    node.start()
    node.apply(network("blue"))
    lines = [line for line in node.lines() if line != "ready"]
    assert all(re.match(r"<[3-7]>", line) for line in lines), lines
    [created] = [line for line in lines if "object created" in line]
    if form == "text":
        assert created.startswith("<6>info object created kind=Network name=blue revision=1 ")
    else:
        assert TIME.fullmatch(json.loads(created.removeprefix("<6>"))["time"])
    node.stop()
    node.prefix = ["env", f"JOURNAL_STREAM={log.st_dev}:{log.st_ino + 1}"]
    node.start()
    assert not any(line.startswith("<") for line in node.lines())


def test_cannot_start(start, tmp_path):
    node = start("--log-format", "json")
    other = Node("a", node.netns, node.api.parent, ["--log-format", "json"])
    other.log = tmp_path / "log"
    other.launch()
    assert other.process.wait(60) == 1
    other.process = None
    last = json.loads(other.lines()[-1])
    assert (last["level"], last["message"]) == ("error", "cannot start") and "a.flows" in last["reason"]


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer takes more address space than is left here")
def test_no_memory_for_buffers(start):
    """EAL writes to standard error past its own log; nothing of that stands between the lines."""
    node = start("--log-format", "json", "--memory", "2048", "--connections", "16384")
    node.stop()
    node.prefix = ["env", "SLUICE_ORDINARY_PAGES=1", "prlimit", f"--as={10**9}"]
    node.launch()
    assert node.process.wait(60) == 1
    node.process = None
    events = [json.loads(line) for line in node.lines()]
    assert [event["text"] for event in events if event["message"] == "from DPDK"][-1] == "Cannot init memory"
    assert events[-1]["message"] == "cannot start"


def test_configuration_file(start, tmp_path):
    file = tmp_path / "sluiced.yaml"
    file.write_text("log-format: json\n", encoding="utf-8")
    assert all(line.startswith("{") for line in start("--config", file).lines())


def test_wrong_format(start, tmp_path):
    node = Node("a", netns.make("wrong"), tmp_path, ["--log-format", "xml"])
    try:
        node.launch()
        assert node.process.wait(60) == 2
        node.process = None
        assert node.text() == "sluiced: --log-format: 'xml' is neither text nor json\n"
    finally:
        netns.remove(node.netns)


def test_every_message_is_documented():
    root = pathlib.Path(__file__).resolve().parents[2]
    documented = (root / "docs" / "reference" / "log.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (root / "src").rglob("*.[ch]"))
    messages = set(re.findall(r'log_(?:error|warning|info|debug)\(\s*"([^"]+)"', sources))
    assert len(messages) > 30
    assert [message for message in sorted(messages) if f"`{message}`" not in documented] == []
