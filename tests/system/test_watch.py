"""Watch: objects and their status, and what becomes of them; by an official gRPC client and the command line."""

import contextlib
import json
import os
import subprocess

import grpc
import pytest

import netns
from node import BUILD, eventually, sluice
from test_grpc_client import M, Client, network

PRESENT, CREATED, CHANGED, DELETED, STATUS, BOOKMARK = range(1, 7)
ACTIVE, FAILED = 2, 3


@pytest.fixture
def lab(one_lab):
    lab = one_lab(nodes=("a",))
    lab.network("blue", 1)
    lab.workload("web", "a", "blue")
    lab.nodes["a"].apply(*lab.objects)
    return lab


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


@pytest.fixture
def client(node):
    with Client(node.api) as client:
        yield client


def short(event):
    kind = event.object.WhichOneof("kind")
    return event.type, getattr(event.object, kind).name if kind else "", event.revision


class Watch:
    """A call; each further question waits for what comes next."""

    def __init__(self, client, **fields):
        call = client.channel.unary_stream("/sluice.v1.Sluice/Watch",
                                           request_serializer=M["WatchRequest"].SerializeToString,
                                           response_deserializer=M["WatchEvent"].FromString)
        self.call = call(M["WatchRequest"](**fields), timeout=60)

    def event(self):
        return next(self.call)

    def next(self):
        return short(self.event())

    def until_bookmark(self):
        found = []
        while not found or found[-1].type != BOOKMARK:
            found.append(self.event())
        return found

    def bookmark(self):
        """Only that comes next."""
        kind, name, revision = self.next()
        assert (kind, name) == (BOOKMARK, "")
        return revision

    def error(self):
        with pytest.raises(grpc.RpcError) as error:
            for _ in self.call:
                pass
        return error.value


def vrf(name):
    return M["Object"](vrf=M["Vrf"](name=name))


def test_list_then_events(client):
    watch = Watch(client)
    first = watch.until_bookmark()
    assert [(event.type, event.object.WhichOneof("kind")) for event in first[:-1]] == \
        [(PRESENT, "node"), (PRESENT, "vrf"), (PRESENT, "network"), (PRESENT, "port")]
    assert all(event.status.state == ACTIVE for event in first[:-1])
    assert first[-2].status.link == "up"
    revision = first[-1].revision
    assert {event.revision for event in first} == {revision}

    client.call("Apply", objects=[vrf("v1"), network("n1", "v1")])
    assert [watch.next() for _ in range(3)] == \
        [(CREATED, "v1", revision + 1), (CREATED, "n1", revision + 1), (BOOKMARK, "", revision + 1)]
    client.call("Apply", objects=[vrf("v1"), network("n1", "v1", mtu=1300)])
    event = watch.event()
    assert short(event) == (CHANGED, "n1", revision + 2)
    assert event.object.network.mtu == 1300 and event.status.state == ACTIVE
    assert watch.bookmark() == revision + 2
    client.call("Delete", kind="network", name="n1")
    event = watch.event()
    assert short(event) == (DELETED, "n1", revision + 3)
    assert not event.HasField("status")


def test_what_changes_nothing_is_not_told(client):
    watch = Watch(client, kind="vrf")
    revision = watch.until_bookmark()[-1].revision
    client.call("Apply", objects=[vrf("t1")])
    client.call("Apply", objects=[vrf("v2")])
    assert watch.next() == (CREATED, "v2", revision + 1)


def test_rollback(client):
    """Objects come back as they were; those that are the same are no news."""
    client.call("Apply", objects=[network("n1")])
    watch = Watch(client)
    revision = watch.until_bookmark()[-1].revision
    client.call("Apply", objects=[vrf("v1"), network("n1", mtu=1300)])
    rollback = client.channel.unary_unary("/sluice.v1.Sluice/Rollback",
                                          request_serializer=M["RollbackRequest"].SerializeToString,
                                          response_deserializer=M["ApplyResponse"].FromString)
    rollback(M["RollbackRequest"](to=revision), timeout=60)
    events = watch.until_bookmark() + watch.until_bookmark()
    assert [short(event) for event in events] == [
        (CREATED, "v1", revision + 1), (CHANGED, "n1", revision + 1), (BOOKMARK, "", revision + 1),
        (CHANGED, "n1", revision + 2), (DELETED, "v1", revision + 2), (BOOKMARK, "", revision + 2)]


def test_only_what_is_wanted(client):
    """Bookmarks come for other objects too, so that the call can go on from there."""
    by_kind, by_name = Watch(client, kind="Vrfs"), Watch(client, kind="vrf", name="later")
    revision = by_kind.until_bookmark()[-1].revision
    assert by_name.bookmark() == revision
    client.call("Apply", objects=[network("n1")])
    assert by_kind.bookmark() == by_name.bookmark() == revision + 1
    client.call("Apply", objects=[vrf("other"), vrf("later")])
    assert by_kind.next() == (CREATED, "other", revision + 2)
    assert by_kind.next() == (CREATED, "later", revision + 2)
    assert by_name.next() == (CREATED, "later", revision + 2)


def test_status(lab, node, client):
    watch = Watch(client, kind="port", name="late")
    revision = watch.until_bookmark()[-1].revision
    lab.workload("late", "a", "blue", device={"netdev": {"name": "late0"}})
    node.apply(*lab.objects)
    event = watch.event()
    assert short(event) == (CREATED, "late", revision + 1)
    assert event.status.state == FAILED and "late0" in event.status.reason
    assert watch.bookmark() == revision + 1

    netns.ip(node.netns, "link add late0 type veth peer name far0", "link set far0 up", "link set late0 up")
    while event.status.state != ACTIVE or event.status.link != "up":
        event = watch.event()
        assert short(event) == (STATUS, "late", revision + 1)
    netns.ip(node.netns, "link del late0")
    while event.status.state != FAILED:
        event = watch.event()
        assert short(event) == (STATUS, "late", revision + 1)
    assert event.object.port.network == "blue"


def test_go_on_behind_a_revision(node, client):
    """What was changed meanwhile, then the status of what may have another one, then a bookmark."""
    revision = Watch(client).until_bookmark()[-1].revision
    client.call("Apply", objects=[vrf("v1")])
    client.call("Apply", objects=[network("n1", "v1")])
    client.call("Delete", kind="network", name="n1")
    watch = Watch(client, revision=revision)
    assert [short(event) for event in watch.until_bookmark()] == [
        (CREATED, "v1", revision + 1), (CREATED, "n1", revision + 2), (DELETED, "n1", revision + 3),
        (STATUS, node.name, revision + 3), (STATUS, "web", revision + 3), (BOOKMARK, "", revision + 3)]
    client.call("Apply", objects=[vrf("v2")])
    assert watch.next() == (CREATED, "v2", revision + 4)
    watch = Watch(client, kind="vrf", revision=revision + 3)
    assert [short(event) for event in watch.until_bookmark()] == [(CREATED, "v2", revision + 4), (BOOKMARK, "", revision + 4)]


def test_revision_that_is_not_kept(node, client):
    revision = Watch(client).until_bookmark()[-1].revision
    error = Watch(client, revision=revision + 1).error()
    assert error.code() == grpc.StatusCode.OUT_OF_RANGE
    client.call("Apply", objects=[vrf("v1")])
    node.stop()
    node.start()
    # Not over the connection that the other channel had to the node before.
    with Client(node.api, **{"grpc.use_local_subchannel_pool": 1}) as again:
        error = Watch(again, revision=revision).error()
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE and "watch anew" in error.details()
        watch = Watch(again, kind="vrf", revision=revision + 1)
        assert watch.bookmark() == revision + 1


def test_slow_reader(client):
    """Nothing is kept for a reader but the log, and who is behind that is told so."""
    watch = Watch(client, kind="securityGroup")
    watch.bookmark()
    rules = [M["Rule"](direction=1, protocol="tcp", ports=str(port)) for port in range(1, 8000)]
    group = M["Object"](security_group=M["SecurityGroup"](name="large", rules=rules))
    for number in range(60):
        group.security_group.rules[0].ports = str(9000 + number)
        client.call("Apply", timeout=60, objects=[group])
    assert watch.event().type == CREATED
    error = watch.error()
    assert error.code() == grpc.StatusCode.OUT_OF_RANGE


def test_requests_that_are_wrong(client):
    for fields, text in (({"kind": "prot"}, "did you mean 'Port'?"), ({"name": "a"}, "a name needs a kind")):
        error = Watch(client, **fields).error()
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and text in error.details()


def test_many_callers(client):
    watches = [Watch(client, kind="vrf") for _ in range(32)]
    # A connection of its own.
    with Client(client.socket, **{"grpc.use_local_subchannel_pool": 1}) as other:
        watches += [Watch(other, kind="vrf") for _ in range(32)]
        for watch in watches:
            watch.until_bookmark()
        assert Watch(client).error().code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        client.call("Apply", objects=[vrf("v1")])
        assert {watch.next()[:2] for watch in watches} == {(CREATED, "v1")}
    eventually(lambda: Watch(client).call.initial_metadata() is not None)


@contextlib.contextmanager
def watching(node, *words):
    """`sluice get --watch`; calling the result gives what it has printed so far."""
    process = subprocess.Popen([BUILD / "sluice", "--api", f"unix:{node.api}", "get", *words, "--watch"],
                               stdout=subprocess.PIPE)
    os.set_blocking(process.stdout.fileno(), False)
    text = ""

    def printed():
        nonlocal text
        text += (process.stdout.read() or b"").decode()
        return text

    try:
        yield printed
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_table(node, client):
    with watching(node, "ports") as printed:
        eventually(lambda: "web" in printed())
        lines = printed().splitlines()
        assert lines[0].split()[:2] == ["EVENT", "NAME"] and lines[0].split()[-1] == "STATUS"
        assert lines[1].split()[:2] == ["present", "web"] and lines[1].endswith("active, up")
        assert lines[0].index("NODE") == lines[1].index(" a ") + 1
        client.call("Delete", kind="port", name="web")
        eventually(lambda: len(printed().splitlines()) == 3)
        assert printed().splitlines()[2].split()[:2] == ["deleted", "web"]


def test_table_of_nothing_yet(node, client):
    with watching(node, "securitygroups") as printed:
        eventually(lambda: "STATUS" in printed())
        client.call("Apply", objects=[M["Object"](security_group=M["SecurityGroup"](name="g"))])
        eventually(lambda: [line.split()[:2] for line in printed().splitlines()[1:]] == [["created", "g"]])


def documents(text):
    found, decoder = [], json.JSONDecoder()
    with contextlib.suppress(json.JSONDecodeError):
        while text.strip():
            value, end = decoder.raw_decode(text.lstrip())
            found.append(value)
            text = text.lstrip()[end:]
    return found


def test_json(node, client):
    with watching(node, "vrf", "-o", "json") as printed:
        eventually(lambda: [event["event"] for event in documents(printed())] == ["present", "bookmark"])
        client.call("Apply", objects=[vrf("v1")])
        eventually(lambda: len(documents(printed())) == 4)
        event = documents(printed())[2]
        assert event["event"] == "created"
        assert event["object"] == {"kind": "Vrf", "name": "v1", "status": {"state": "active"}}
        revision = event["revision"] - 1
    with watching(node, "vrf", "--revision", str(revision), "-o", "json") as printed:
        eventually(lambda: [event["event"] for event in documents(printed())] == ["created", "bookmark"])


def test_words_that_are_wrong(node):
    result = node.run("get", "ports", "--revision", "3")
    assert result.returncode == 2 and "--revision goes with --watch" in result.stderr
    result = node.run("get", "ports", "-w", "--revision", "x")
    assert result.returncode == 2
    result = node.run("get", "ports", "-w", "--revision", "99999")
    assert result.returncode == 1 and "99999 is not among those that are kept" in result.stderr
    assert sluice("get", "-w").returncode == 2
