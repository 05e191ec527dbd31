"""Wrong limits of connections, and every line that `apply` says about each."""

import pytest

from test_validation import errors

SOUND = """
{kind: Node, name: a, limits: {connections: 100}}
---
{kind: Network, name: blue}
"""

PORT = "kind: Port\nname: n\nnode: a\nnetwork: blue\nmac: 52:54:00:00:00:02\ndevice: {tap: {name: t}}\n"
NODE = "kind: Node\nname: n\n"


def port(text):
    return PORT + "limits: {" + text + "}\n"


def node(text):
    return NODE + "limits: {" + text + "}\n"


WRONG = [
    (port("connections: 0"), ["7: Port/n: limits.connections: 0 is not 1 to 1073741824"]),
    (port("connections: 1073741825"), ["7: Port/n: limits.connections: 1073741825 is not 1 to 1073741824"]),
    (port("connections: -1"), ["7: Port/n: limits.connections: -1 is out of range"]),
    (port("connections: many"), ["7: Port/n: limits.connections: must be a whole number, not 'many'"]),
    (port("halfOpen: 0"), ["7: Port/n: limits.halfOpen: 0 is not 1 to 1073741824"]),
    (port("halfOpen: 4294967295"), ["7: Port/n: limits.halfOpen: 4294967295 is not 1 to 1073741824"]),
    (port("connections: 10, halfOpen: 11"), ["7: Port/n: limits.halfOpen: 11 is more than connections, 10"]),
    (port("connectionRate: 0"), ["7: Port/n: limits.connectionRate: 0 is not 1 to 10000000"]),
    (port("connectionRate: 10000001"), ["7: Port/n: limits.connectionRate: 10000001 is not 1 to 10000000"]),
    (port("connectionRate: 10/s"), ["7: Port/n: limits.connectionRate: must be a whole number, not '10/s'"]),
    (port("connectionBurst: 10"), ["7: Port/n: limits.connectionBurst: is of no use without connectionRate"]),
    (port("connectionRate: 10, connectionBurst: 0"), ["7: Port/n: limits.connectionBurst: 0 is not 1 to 10000000"]),
    (port("connectionRate: 10, connectionBurst: 10000001"),
     ["7: Port/n: limits.connectionBurst: 10000001 is not 1 to 10000000"]),
    (port("conections: 10"), ["7: Port/n: limits.conections: unknown field, did you mean 'connections'?"]),
    (PORT + "limits: 10\n", ["7: Port/n: limits: must be a mapping"]),
    (node("halfOpen: 0, connectionBurst: 3"), ["3: Node/n: limits.halfOpen: 0 is not 1 to 1073741824",
                                               "3: Node/n: limits.connectionBurst: is of no use without connectionRate"]),
    (node("connections: 3, halfOpen: 4"), ["3: Node/n: limits.halfOpen: 4 is more than connections, 3"]),
]

RIGHT = [
    port("connections: 1, halfOpen: 1, connectionRate: 1, connectionBurst: 1"),
    port("connections: 1073741824, halfOpen: 1073741824, connectionRate: 10000000, connectionBurst: 10000000"),
    # More than the Node's is fine.
    port("halfOpen: 101"),
    port(""),
    node("connectionRate: 10"),
]


@pytest.fixture(scope="module")
def sound(make_lab):
    node = make_lab().nodes["a"]
    node.ok("apply", "-f", "-", input=SOUND)
    return node


def test_wrong_limits(sound):
    assert [(text, errors(sound, text)) for text, _ in WRONG] == WRONG


def test_right_limits(sound):
    for text in RIGHT:
        sound.ok("apply", "--dry-run", "-f", "-", input=text)
