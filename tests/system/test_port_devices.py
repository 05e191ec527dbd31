"""A Port of several devices: the best one that works sends, all receive."""

import time

import pytest

import netns
from changes import text
from node import eventually
from packets import UDP, Wire, fresh_port


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.network("blue", 1)
    lab.workload("one", "a", "blue")
    # Two cables to the workload, which the test itself is.
    many = lab.workload("many", "a", "blue", device={"devices": [{"netdev": "p0"}, {"netdev": "p1"}]})
    for number in (0, 1):
        cable(lab, number)
    for node in lab.nodes.values():
        node.apply(*lab.objects)
    lab["one"].listen()
    lab.wires = [Wire(many.netns, "x0"), Wire(many.netns, "x1")]
    eventually(lambda: states(lab) == {"p0": "carries", "p1": "standby"})
    yield lab
    for wire in lab.wires:
        wire.close()


def cable(lab, number):
    netns.ip(lab.nodes["a"].netns, f"link add p{number} type veth peer name x{number} netns {lab['many'].netns}",
             f"link set p{number} up")
    netns.ip(lab["many"].netns, f"link set x{number} up")


def again(lab, number):
    """What listened there has failed with the link."""
    lab.wires[number].close()
    lab.wires[number] = Wire(lab["many"].netns, f"x{number}")


def states(lab):
    devices = lab.nodes["a"].json("get", "port", "many")["status"].get("devices", [])
    return {device["name"]: device["state"].removeprefix("DEVICE_STATE_").lower() for device in devices}


def arrives(lab, number, seconds=.2):
    """A packet for the workload comes by this cable."""
    frame = lab["one"].frame(lab["many"], UDP(sport=fresh_port(), dport=7))
    mark = bytes(frame)[-14:]
    lab["one"].send(frame)
    end = time.monotonic() + seconds
    while received := lab.wires[number].receive(max(end - time.monotonic(), 0)):
        if mark in bytes(received):
            return True
    return False


def test_the_best_one_that_works_sends(lab):
    node = lab.nodes["a"]
    eventually(lambda: arrives(lab, 0))
    for wire in lab.wires:
        frame = lab["many"].frame(lab["one"], UDP(sport=fresh_port(), dport=7))
        wire.send(frame)
        lab["one"].wire.wait_for(lambda received, frame=frame: bytes(frame)[-14:] in bytes(received))
    netns.ip(lab["many"].netns, "link set x0 down")
    eventually(lambda: arrives(lab, 1))
    # That it does not send may be seen before its link is.
    eventually(lambda: node.json("get", "port", "many")["status"].get("reason") == "p0 is down")
    assert node.json("get", "port", "many")["status"]["link"] == "up"
    netns.ip(lab["many"].netns, "link set x0 up")
    again(lab, 0)
    eventually(lambda: arrives(lab, 0))
    eventually(lambda: states(lab) == {"p0": "carries", "p1": "standby"})


def test_one_is_removed_and_returns(lab):
    netns.ip(lab.nodes["a"].netns, "link del p0")
    eventually(lambda: arrives(lab, 1))
    cable(lab, 0)
    again(lab, 0)
    eventually(lambda: arrives(lab, 0))
    assert not lab.nodes["a"].events("port closed", port="many")


@pytest.mark.parametrize("device, said", [
    ({"devices": [{"netdev": "p0"}, {"netdev": "p0"}]}, "device.devices[1].netdev: is in the list already"),
    ({"devices": [{"netdev": "p0"}], "netdev": {"name": "p1"}},
     "device.devices: is a list instead of the one device that is named beside it"),
    ({"devices": [{"netdev": f"q{i}"} for i in range(9)]}, "device.devices: more than 8"),
    ({"devices": []}, "device: needs one of vhostUser, tap, netdev, pci, devargs, vlan, devices"),
    ({"devices": [{}]}, "device.devices[0]: needs one of netdev, pci, devargs"),
])
def test_what_is_no_list(lab, device, said):
    result = lab.nodes["a"].run("apply", "-f", "-", input=text({**lab["many"].object, "device": device}))
    assert result.returncode == 1 and said in result.stderr, result.stderr
