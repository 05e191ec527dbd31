"""An uplink of several devices: the best one that works sends, all receive, and connections notice nothing."""

import json
import threading

import pytest

import netns
import outside
from node import eventually
from packets import ARP, Ether, Wire, fresh_port, told
from test_metrics import text
from uplinks import cable, carries, mac, states

DEVICES = ("up0", "up1")


@pytest.fixture(scope="module", params=[("v4", ("--metrics", "127.0.0.1:9177")), ("v6", ("--workers", "0,1"))],
                ids=["underlay v4", "underlay v6, two workers"])
def lab(make_lab, request):
    """Node a has two cables to the switch, node b one."""
    underlay, options = request.param
    lab = make_lab(nodes=("a", "b"), underlay=underlay, options=options)
    netns.ip(lab.nodes["a"].netns, "link del up0")
    for device in DEVICES:
        cable(lab, device)
    node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", "a"))
    node["uplink"] = {"devices": [{"netdev": device} for device in DEVICES]}
    lab.network("blue", 1)
    lab.objects.append(outside.network("a"))
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "b", "blue", kernel=True)
    lab.workload("raw", "a", "blue")
    lab.workload("far", "b", "blue")
    lab.up()
    carries(lab, "up0")
    assert lab["one"].ping(lab["two"])
    lab.mac = mac(lab, "up0")
    return lab


@pytest.fixture(autouse=True)
def whole(lab):
    """Each test begins with up0 in use and up1 beside it."""
    for device in DEVICES:
        if f" {device}@" not in netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link"):
            cable(lab, device)
        netns.ip(lab.nodes["a"].netns, f"link set {device} up")
        netns.ip(lab.switch, f"link set {device}-a up")
        eventually(lambda device=device: states(lab)[device] not in ("down", "missing"))
        lab.nodes["a"].ok("undrain", "uplink", device)
    eventually(lambda: states(lab) == {"up0": "carries", "up1": "standby"}, what="not as before the test")


class Stream:
    """Numbered datagrams, one way, and a TCP connection whose bytes are checked: what happens meanwhile is the body's."""

    def __init__(self, lab, sender, receiver):
        self.lab, self.sender, self.receiver = lab, lab[sender], lab[receiver]
        self.sent, self.got, self.problems = 0, set(), []
        self.stopped = threading.Event()

    def __enter__(self):
        port = fresh_port()
        self.sink = self.receiver.server(port, kind=2)
        self.source = self.sender.open_socket(kind=2)
        self.source.connect((self.receiver.address["v4"], port))
        self.sink.settimeout(0.2)
        self.client, self.accepted = self.sender.connection(self.receiver, fresh_port(), "v4")
        self.threads = [threading.Thread(target=self.guard, args=(work,))
                        for work in (self.send, self.receive, self.write, self.read)]
        for thread in self.threads:
            thread.start()
        self.progress()
        return self

    def guard(self, work):
        try:
            work()
        except Exception as problem:  # told by the test's own thread
            self.problems.append(repr(problem))

    def send(self):
        while not self.stopped.wait(0.001):
            self.source.send(self.sent.to_bytes(4, "big"))
            self.sent += 1

    def receive(self):
        while True:
            try:
                self.got.add(int.from_bytes(self.sink.recv(64), "big"))
            except TimeoutError:
                if self.stopped.is_set():
                    return

    def write(self):
        count = 0
        while not self.stopped.wait(0.001):
            self.client.sendall(bytes([count % 251]) * 1000)
            count += 1
        self.client.shutdown(1)

    def read(self):
        total = 0
        while data := self.accepted.recv(65536):
            for offset, byte in enumerate(data, total):
                assert byte == offset // 1000 % 251
            total += len(data)
            self.tcp = total
        self.total = total

    def progress(self):
        """Some more of both has come through."""
        datagrams, self.tcp = len(self.got), 0
        eventually(lambda: len(self.got) > datagrams + 50 and self.tcp > 0 or self.problems)
        assert not self.problems

    def lost(self):
        return self.sent - len(self.got)

    def __exit__(self, *failure):
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
        for made in (self.sink, self.source, self.client, self.accepted):
            made.close()
        assert failure[0] or not self.problems


def uplink(lab):
    return lab.nodes["a"].stats()["ports"]["uplink"]


BOTH = pytest.mark.parametrize("sender, receiver", [("one", "two"), ("two", "one")], ids=["out", "in"])


@BOTH
def test_link_of_the_sender_goes_and_returns(lab, sender, receiver):
    """The cable is pulled at the switch: nothing tells node a but its link."""
    with Stream(lab, sender, receiver) as stream:
        netns.ip(lab.switch, "link set up0-a down")
        carries(lab, "up1")
        assert states(lab)["up0"] == "down"
        stream.progress()
        netns.ip(lab.switch, "link set up0-a up")
        carries(lab, "up0")
        stream.progress()


@BOTH
def test_device_is_removed_and_returns(lab, sender, receiver):
    before = uplink(lab)
    with Stream(lab, sender, receiver) as stream:
        netns.ip(lab.nodes["a"].netns, "link del up0")
        carries(lab, "up1")
        eventually(lambda: states(lab)["up0"] == "missing")
        stream.progress()
        between = uplink(lab)
        cable(lab, "up0")
        carries(lab, "up0")
        stream.progress()
    after = uplink(lab)
    for counter in ("rxPackets", "txPackets", "rxBytes", "txBytes"):
        assert int(before[counter]) < int(between[counter]) < int(after[counter])


def test_one_that_fails_is_held(lab):
    """The interface is set down: the worker that sends there finds out. It is used at once if there is no other."""
    with Stream(lab, "one", "two") as stream:
        for _ in range(3):
            netns.ip(lab.nodes["a"].netns, "link set up0 down")
            carries(lab, "up1")
            netns.ip(lab.nodes["a"].netns, "link set up0 up")
        eventually(lambda: states(lab)["up0"] == "held")
        stream.progress()
        netns.ip(lab.nodes["a"].netns, "link set up1 down")
        carries(lab, "up0")
        stream.progress()


def test_all_receive(lab):
    """What the switch sends to a device that does not send, and what it takes for the node's MAC address is the same."""
    where = f"fdb replace {lab.mac} dev up1-a master static sticky"
    netns.run("bridge", "-n", lab.switch, *where.split())
    try:
        before = uplink(lab)
        assert lab["two"].ping(lab["one"])
        assert states(lab) == {"up0": "carries", "up1": "standby"}
        assert int(uplink(lab)["rxPackets"]) > int(before["rxPackets"])
    finally:
        netns.run("bridge", "-n", lab.switch, "fdb", "del", lab.mac, "dev", "up1-a", "master")


def announces(frame, address):
    if ARP in frame:
        return frame[ARP].psrc == frame[ARP].pdst == address
    return told(frame, address) and frame[Ether].dst == "33:33:00:00:00:01"


def test_mac_address_stays(lab):
    """Another device sends, with the same MAC address, and says so for all that is the node's: switches learn where it is."""
    wire = Wire(lab.switch, "up1-a")
    try:
        netns.ip(lab.switch, "link set up0-a down")
        missing = {lab.vtep["a"], *outside.own("a").values()}
        while missing:
            frame = wire.wait_for(lambda frame: frame.src == lab.mac and any(announces(frame, one) for one in missing))
            missing -= {one for one in missing if announces(frame, one)}
    finally:
        wire.close()


def test_none_works(lab):
    netns.ip(lab.switch, "link set up0-a down", "link set up1-a down")
    eventually(lambda: set(states(lab).values()) == {"down"})
    eventually(lambda: uplink(lab)["state"] == "down")
    netns.ip(lab.switch, "link set up1-a up")
    carries(lab, "up1")
    assert lab["one"].ping(lab["two"])


@BOTH
def test_planned_servicing_loses_nothing(lab, sender, receiver):
    node = lab.nodes["a"]
    with Stream(lab, sender, receiver) as stream:
        assert node.ok("drain", "uplink", "up0") == "up0 may be pulled: up1 carries the uplink's packets\n"
        assert states(lab) == {"up0": "drained", "up1": "carries"}
        netns.ip(node.netns, "link del up0")
        cable(lab, "up0")
        stream.progress()
        assert states(lab) == {"up0": "drained", "up1": "carries"}
        node.ok("undrain", "uplink", "up0")
        carries(lab, "up0")
        stream.progress()
    assert stream.lost() == 0


@BOTH
def test_an_upgrade_loses_nothing(lab, sender, receiver):
    """Another process has both devices; what was drained stays so."""
    node = lab.nodes["a"]
    with Stream(lab, sender, receiver) as stream:
        node.json("upgrade")
        assert states(lab) == {"up0": "carries", "up1": "standby"}
        stream.progress()
        node.ok("drain", "uplink", "up0")
        node.json("upgrade")
        assert states(lab) == {"up0": "drained", "up1": "carries"}
        stream.progress()
        node.ok("undrain", "uplink", "up0")
        carries(lab, "up0")
        stream.progress()
    assert stream.lost() == 0


def devices(lab, *names):
    """Gives the uplink another list."""
    node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", "a"))
    node["uplink"] = {"devices": [{"netdev": name} for name in names]}
    lab.apply(node)


@BOTH
def test_another_list_loses_nothing(lab, sender, receiver):
    """What is in both lists stays open; what carries is another device only where that is a better one now."""
    node = lab.nodes["a"]
    cable(lab, "up2")
    before, closed = len(node.events("device closed")), []
    reopened = len(node.events("port closed", port="uplink"))
    try:
        with Stream(lab, sender, receiver) as stream:
            for names, gone in ((["up0", "up2"], "up1"), (["up1", "up2"], "up0"), (["up2", "up1", "up0"], None),
                                (["up0", "up1"], "up2")):
                devices(lab, *names)
                assert states(lab) == {name: "carries" if name == names[0] else "standby" for name in names}
                stream.progress()
                closed += [gone] if gone else []
                eventually(lambda: [event["device"] for event in node.events("device closed")[before:]] == closed)
        assert stream.lost() == 0
        assert len(node.events("port closed", port="uplink")) == reopened
    finally:
        devices(lab, *DEVICES)
        netns.ip(node.netns, "link del up2")


def test_what_is_told_of_one_that_does_not_work(lab):
    node = lab.nodes["a"]
    netns.ip(lab.switch, "link set up1-a down")
    eventually(lambda: states(lab)["up1"] == "down")
    status = node.json("get", "node", "a")["status"]
    assert status["reason"] == "up1 is down" and status["devices"][1]["reason"] == "no link"
    assert "up1 is down" in node.ok("get", "nodes")
    findings = [one for one in json.loads(node.run("doctor", "-o", "json").stdout) if one["check"] == "uplink"]
    assert [(one["result"], one["text"]) for one in findings] == [("warning", "up1 does not work: no link")]
    if "--metrics" in node.options:
        told = text(node).splitlines()
        assert {'sluice_uplink_device_up{device="up0"} 1', 'sluice_uplink_device_up{device="up1"} 0',
                'sluice_uplink_device_carries{device="up0"} 1', 'sluice_uplink_device_carries{device="up1"} 0'} <= set(told)


def test_what_can_not_be_drained(lab):
    node = lab.nodes["a"]

    def refused(*arguments):
        result = node.run("drain", *arguments)
        return result.returncode, result.stderr.strip().splitlines()[0]

    assert refused("uplink", "up7") == (1, "sluice: the uplink has no device up7")
    assert refused("up0")[0] == 2
    netns.ip(lab.switch, "link set up1-a down")
    eventually(lambda: states(lab)["up1"] == "down")
    assert refused("uplink", "up0") == (1, "sluice: no other device of the uplink works")
    assert states(lab)["up0"] == "carries"
    result = lab.nodes["b"].run("drain", "uplink", "up0")
    assert result.stderr.splitlines()[0] == "sluice: the uplink of this node has no list of devices"
