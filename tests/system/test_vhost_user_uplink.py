"""Uplinks that are vhost-user ports: two nodes, and a program that is the wire between them."""

import pytest

from node import eventually
from testpmd import Wire

UNDERLAYS = {"v4": "192.0.2.{}/24", "v6": "2001:db8::{}/64"}


@pytest.fixture(scope="module", params=UNDERLAYS)
def lab(make_lab, request):
    lab = make_lab(nodes=("a", "b"))
    lab.objects.clear()
    for number, name in enumerate(lab.nodes, 1):
        lab.add_node(name, UNDERLAYS[request.param].format(number), uplink={"vhostUser": {
            "path": str(lab.directory / f"up-{name}.sock"), "mode": "server"}})
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "b", "blue", kernel=True)
    return lab.up()


def states(lab):
    return {node.stats()["ports"]["uplink"]["state"] for node in lab.nodes.values()}


def large_ping(sender, receiver, family):
    process = sender.ping_process(receiver.address[family], 1, 2, "-s", "1400")
    process.communicate(timeout=60)
    return process.returncode == 0


def test_wire(lab):
    """Pings go through, also of the largest size; the wire breaks, and is there again."""
    assert states(lab) == {"down"}
    for _ in range(2):
        wire = Wire([lab.directory / f"up-{name}.sock" for name in lab.nodes])
        try:
            eventually(lambda: states(lab) == {"up"})
            for sender, receiver in (("one", "two"), ("two", "one")):
                for family in ("v4", "v6"):
                    eventually(lambda s=sender, r=receiver, f=family: large_ping(lab[s], lab[r], f))
        finally:
            wire.stop()
        eventually(lambda: states(lab) == {"down"})
