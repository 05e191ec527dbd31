"""What earlier versions say to the process that takes their place, kept as data: today's reads it."""

import json
import pathlib
import socket

import pytest

import handover
from handover import MAC, datagram, segment
from node import eventually
from packets import TCP, UDP, VXLAN, Wire

KEPT = sorted((pathlib.Path(__file__).resolve().parents[1] / "handover").glob("*.json"))


@pytest.fixture(params=KEPT, ids=[path.stem for path in KEPT])
def kept(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture
def world():
    made = handover.World()
    yield made
    made.close()


def goes_on(world, kept):
    """The node has all that the other one had, and forwards."""
    node = world.node
    eventually(node.is_ready)
    assert handover.flows_of(node) == kept["flows"] and handover.counters_of(node) == kept["counters"]
    assert {port["name"] for port in node.json("get", "ports")} == set(MAC)
    world.open_wires()
    # No policy allows what does not belong to a connection.
    answer = segment("server", "client", 80, 40000, "A", 5007, 1009, b"more")
    world.wires["server"].send(answer)
    assert world.wires["client"].receive()[TCP].payload == answer[TCP].payload
    # Nobody is there who would say where the other node is.
    wire = Wire(world.wire, "to-a")
    world.wires["client"].send(datagram("client", "far", 50003, 53))
    out = wire.receive()
    assert VXLAN in out and out[VXLAN][UDP].dport == 53
    wire.close()


def test_is_taken_over(world, kept):
    successor = handover.Successor(world, kept)
    successor.prepare()
    assert successor.say_all() == len(kept["flows"])
    goes_on(world, kept)


def test_of_a_later_version(world, kept):
    """It says more than is known here: fields everywhere, and frames of another kind."""
    successor = handover.Successor(world, kept)
    successor.prepare(handover.of_later_version)
    successor.say(handover.put_field(99, b"something new"))
    assert successor.say_all(handover.of_later_version) == len(kept["flows"])
    goes_on(world, kept)


def test_of_another_format(world, kept):
    """It can't be understood, and nothing of it is touched."""
    successor = handover.Successor(world, kept)
    table = world.flows.read_bytes()
    successor.heard("hello")
    successor.say(handover.put_field(1, handover.put_field(1, 2) + handover.put_field(2, b"9.0") + handover.put_field(3, b"a")))
    assert successor.failed() == "it hands over in format 2"
    [event] = world.node.events("cannot start")
    assert event["reason"] == "taking over: it hands over in format 2"
    assert world.flows.read_bytes() == table and not world.flows.with_name("a.flows.new").exists()


def test_connections_of_another_layout(world, kept):
    """They can't be had: the one that has them keeps them."""
    successor = handover.Successor(world, kept, layout=1)
    table = world.flows.read_bytes()
    successor.prepare()
    assert successor.failed() == "connections would end: it has the layout of another version"
    assert world.flows.read_bytes() == table


@pytest.mark.parametrize("said", ["nothing", "some of it"])
def test_ends_before_it_has_said_all(world, kept, said):
    """It may go on without this one: nothing of its table has changed."""
    successor = handover.Successor(world, kept)
    table = world.flows.read_bytes()
    successor.prepare()
    successor.heard("prepared")
    if said == "some of it":
        for _, data in successor.frames("port"):
            successor.say(data)
    successor.channel.shutdown(socket.SHUT_WR)
    assert successor.failed() == "taking over: the other process has ended"
    assert world.flows.read_bytes() == table
