"""The status of objects is what the data plane has of them, and is said only when it is so."""

import json

import pytest
import yaml

import netns
from node import eventually


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=("a",), underlay="v4")
    lab.network("blue", 1)
    lab.group("web", {"direction": "ingress"})
    lab.add_node("b", "192.0.2.2/24", uplink={"netdev": "up0"})
    lab.add_node("far", "198.51.100.1/24", uplink={"netdev": "up0"})
    lab.workload("tap", "a", "blue")
    lab.workload("elsewhere", "b", "blue", device={"tap": {"name": "eth0"}})
    lab.workload("later", "a", "blue", device={"netdev": {"name": "later0"}})
    lab.workload("tagged", "a", "blue", vlan=("later", 7))
    lab.workload("guest", "a", "blue", device={"vhostUser": {"path": str(lab.directory / "guest.sock"), "mode": "server"}})
    for node in lab.nodes.values():
        node.apply(*lab.objects)
    return lab


def status(lab, kind, name):
    return lab.nodes["a"].json("get", kind, name)["status"]


@pytest.mark.parametrize("kind, name", [("vrf", "t1"), ("network", "blue"), ("securityGroup", "web"), ("node", "b"),
                                        ("port", "elsewhere")])
def test_what_needs_no_device_here(lab, kind, name):
    assert status(lab, kind, name) == {"state": "active"}


def test_device_that_is_open(lab):
    assert status(lab, "port", "tap") == {"state": "active", "link": "up"}
    assert status(lab, "node", "a") == {"state": "active", "link": "up"}


def test_nobody_at_the_other_end(lab):
    """That is no failure of the object."""
    assert status(lab, "port", "guest") == {"state": "active", "link": "down"}


def test_no_way_to_a_node(lab):
    assert status(lab, "node", "far") == {"state": "failed", "reason": "the underlay has no way to its tunnel address"}


def test_device_comes_and_goes(lab):
    """Failed for the reason that the log has, with what depends on it; active as soon as it is open."""
    def failed(name):
        now = status(lab, "port", name)
        return now["state"] == "failed" and "later0" in now["reason"]

    assert failed("later") and failed("tagged")
    namespace = lab.nodes["a"].netns
    netns.ip(namespace, "link add later0 type veth peer name other0", "link set other0 up", "link set later0 up")
    active = {"state": "active", "link": "up"}
    eventually(lambda: status(lab, "port", "later") == status(lab, "port", "tagged") == active)
    netns.ip(namespace, "link del later0")
    eventually(lambda: failed("later") and failed("tagged"))


def test_table_and_forms(lab):
    node = lab.nodes["a"]
    lines = {line.split()[0]: line for line in node.ok("get", "ports").splitlines()}
    assert lines["NAME"].split()[-1] == "STATUS"
    assert lines["tap"].endswith("active, up")
    assert lines["guest"].endswith("active, down")
    documents = list(yaml.safe_load_all(node.ok("get", "ports", "-o", "yaml")))
    assert {document["name"]: document["status"]["state"] for document in documents}["tap"] == "active"
    assert all(document["status"]["state"] for document in json.loads(node.ok("get", "nodes", "-o", "json")))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_is_shown_can_be_applied(lab, form):
    """The status is passed over; it is no field, and never said of an object by a user."""
    node = lab.nodes["a"]
    text = node.ok("get", "ports", "-o", form)
    assert "unchanged" in node.ok("apply", "-f", "-", input=text)
    result = node.run("apply", "-f", "-", input="kind: Vrf\nname: t1\nstatu: {}\n")
    assert result.returncode == 1 and "statu: unknown field" in result.stderr
