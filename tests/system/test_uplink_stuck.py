"""A device that takes nothing any more, while its link is up: nothing but sending tells."""

from node import eventually
from testpmd import Wire
from uplinks import states


def test_queue_that_stands_still(make_lab):
    """Both nodes prefer a wire between their vhost-user devices, which is stopped with a full queue."""
    lab = make_lab(nodes=("a", "b"), underlay="v4")
    paths = {name: str(lab.directory / f"up-{name}.sock") for name in lab.nodes}
    for name, path in paths.items():
        node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", name))
        node["uplink"] = {"devices": [{"vhostUser": {"path": path, "mode": "server"}}, {"netdev": "up0"}]}
    lab.network("blue", 1)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "b", "blue", kernel=True)
    lab.up()
    assert states(lab) == {paths["a"]: "down", "up0": "carries"}
    assert lab["one"].ping(lab["two"])
    wire = Wire(paths.values())
    try:
        eventually(lambda: all(states(lab, name)[paths[name]] == "carries" for name in lab.nodes))
        assert lab["one"].ping(lab["two"])
        wire.pause()
        flood = [sender.popen("ping", "-q", "-i", "0.001", receiver.address["v4"])
                 for sender, receiver in ((lab["one"], lab["two"]), (lab["two"], lab["one"]))]
        try:
            eventually(lambda: all(states(lab, name)["up0"] == "carries" for name in lab.nodes))
        finally:
            for process in flood:
                process.kill()
                process.wait()
        assert lab["one"].ping(lab["two"])
        assert lab.nodes["a"].events("device has failed", device=paths["a"], reason="it does not send")
    finally:
        wire.stop()
    eventually(lambda: states(lab) == {paths["a"]: "down", "up0": "carries"})
    assert lab["two"].ping(lab["one"])
