"""sluice doctor: what it finds on a node that is well, and on nodes that are not."""

import pytest
import yaml

import netns
from node import sluice


def checks(node):
    """By check, the results."""
    found = {}
    for finding in node.doctor:
        found.setdefault(finding["check"], []).append(finding)
    return found


def doctor(node):
    result = node.run("doctor", "-o", "yaml")
    assert result.stderr == ""
    node.doctor = yaml.safe_load(result.stdout)
    problems = [finding for finding in node.doctor if finding["result"] == "problem"]
    assert result.returncode == (1 if problems else 0)
    # Whatever is not well comes with what to do.
    assert all(finding["advice"] for finding in node.doctor if finding["result"] != "ok")
    return checks(node)


def results(findings):
    return {finding["result"] for finding in findings}


@pytest.fixture(scope="module", params=["v4", "v6"])
def lab(make_lab, request):
    lab = make_lab(["a", "b"], underlay=request.param)
    lab.network("blue", 1, mtu=1400)
    lab.up()
    return lab


def test_a_node_that_is_well(lab):
    found = doctor(lab.nodes["a"])
    assert {"api", "objects", "store", "huge pages", "workers", "kernel: BPF", "kernel: AF_XDP", "clock", "ports",
            "underlay MTU", "underlay"} <= set(found)
    for check in ("api", "objects", "store", "ports", "underlay MTU", "underlay"):
        assert results(found[check]) == {"ok"}, found[check]
    assert "is writable" in found["store"][0]["text"]
    assert found["underlay"][0]["text"] == "1 of 1 next hops to other nodes answer"


def test_another_node_does_not_answer(lab):
    netns.ip(lab.switch, "link set to-b down")
    try:
        found = doctor(lab.nodes["a"])
        assert results(found["underlay"]) == {"problem"}
        assert f"Node/b at {lab.vtep['b']} does not answer" in found["underlay"][0]["text"]
    finally:
        netns.ip(lab.switch, "link set to-b up")


def test_a_network_does_not_fit_into_the_underlay(lab):
    node = lab.nodes["a"]
    node.apply({**lab.networks["blue"].object, "mtu": 1480})
    try:
        found = doctor(node)
        assert results(found["underlay MTU"]) == {"warning"}
        overhead = 50 if "." in lab.vtep["a"] else 70
        assert f"needs {1480 + overhead} in the tunnel; the uplink takes 1500" in found["underlay MTU"][0]["text"]
    finally:
        node.apply(lab.networks["blue"].object)


def test_a_device_that_is_not_there(lab):
    node = lab.nodes["a"]
    node.apply({"kind": "Port", "name": "lost", "node": "a", "network": "blue", "mac": "52:54:00:00:00:99",
                "device": {"netdev": {"name": "nowhere0"}}})
    try:
        found = doctor(node)
        assert any(finding["result"] == "problem" and finding["text"].startswith("lost: ")
                   for finding in found["ports"])
    finally:
        node.delete("port", "lost")


def test_a_store_that_is_gone(one_lab):
    lab = one_lab()
    node = lab.nodes["a"]
    node.apply({"kind": "Node", "name": "a"})
    assert results(doctor(node)["store"]) == {"ok"}
    node.state.unlink()
    assert results(doctor(node)["store"]) == {"problem"}


def test_no_such_node(one_lab):
    found = doctor(one_lab().nodes["a"])
    assert "there is no Node/a" in found["objects"][0]["text"] and results(found["objects"]) == {"warning"}


def test_nobody_answers(tmp_path):
    result = sluice("doctor", api=tmp_path / "none.sock")
    assert result.returncode == 1
    assert result.stdout.startswith("problem  api ") and "is sluiced running" in result.stdout


def test_the_table(lab):
    text = lab.nodes["a"].ok("doctor")
    assert all(line.split()[0] in ("ok", "warning", "problem", "->") or line.startswith(" " * 25)
               for line in text.splitlines())
