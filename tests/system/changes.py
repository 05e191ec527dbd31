"""Changes of a node's objects by the command line, and what its history says of them."""

import sqlite3

import yaml


def vrf(name):
    return {"kind": "Vrf", "name": name}


def network(name, **fields):
    return {"kind": "Network", "name": name, **fields}


def text(*objects):
    return yaml.safe_dump_all(objects)


def apply(node, *objects, options=()):
    return node.ok("apply", "-f", "-", *options, input=text(*objects))


def refused(node, *arguments, **options):
    """The one line that says why."""
    result = node.run(*arguments, **options)
    assert (result.returncode, result.stdout) == (1, ""), result
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("sluice: ")
    return result.stderr[len("sluice: "):-1]


def names(node, kind):
    return {value["name"] for value in node.json("get", kind)}


def revision(node):
    return int(node.json("history", "--limit", "1")["revision"])


def last_change(node):
    return node.json("history", "--limit", "1")["entries"][0]


def forget_waiting(node, deadline, seconds=None):
    """Moves the end of the wait, as if time had passed while nobody ran."""
    with sqlite3.connect(node.state) as database:
        database.execute("UPDATE waiting SET deadline = ?", (deadline,))
        if seconds:
            database.execute("UPDATE waiting SET seconds = ?", (seconds,))
    database.close()
