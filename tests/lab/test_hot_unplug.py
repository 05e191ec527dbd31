"""PCI cards are pulled and put back under sluiced, which runs in a guest: both its uplinks and the workload's port are
cards that it drives by itself. The workload and the other node are outside, and their connections go on."""

import contextlib
import json
import re

import pytest

import netns
from node import eventually
from node_guest import GuestNode, NodeGuest, tap
from test_uplink_devices import Stream, uplink
from uplinks import carries, states

MODELS = ("e1000e", "vmxnet3", "virtio-net-pci")
FIRST, SECOND, PORT = range(3)
ADDRESS = [NodeGuest.address(slot) for slot in range(3)]


def mac(slot):
    return f"52:54:00:01:00:{slot:02x}"


def put(lab, slot, model):
    lab.guest.plug(slot, model, mac(slot))
    lab.guest.bind(slot)


@contextlib.contextmanager
def server(make_lab, image, **options):
    """Node b with a workload as ever; node a is the guest, with two cables to the switch and one to its workload."""
    lab = make_lab(nodes=("b",), underlay="v4")
    netns.ip(lab.switch, "link add br0 type bridge mcast_snooping 0", "link set br0 up", "link set to-b master br0")
    lab.network("blue", 1)
    one = lab.workload("one", "a", "blue", kernel=True, device={"pci": ADDRESS[PORT]})
    lab.workload("two", "b", "blue", kernel=True)
    lab.add_node("a", "192.0.2.2/24", uplink={"devices": [{"pci": ADDRESS[FIRST]}, {"pci": ADDRESS[SECOND]}]})
    cables = [tap(lab.switch, "up0-a"), tap(lab.switch, "up1-a"), tap(one.netns, one.interface)]
    netns.ip(lab.switch, "link set up0-a master br0", "link set up1-a master br0")
    netns.ip(one.netns, f"link set {one.interface} address {one.mac} mtu 1450")
    lab.guest = NodeGuest("server", lab.directory, image, cables, **options)
    try:
        lab.guest.boot()
        for slot in range(3):
            put(lab, slot, "virtio-net-pci")
        lab.nodes["a"] = one.node = GuestNode("a", lab.guest)
        lab.nodes["a"].start()
        yield lab.up()
        lab.nodes["a"].stop()
    finally:
        lab.nodes.pop("a", None)
        lab.guest.stop()


@pytest.fixture(scope="module")
def lab(make_lab, node_image):
    with server(make_lab, node_image) as lab:
        yield lab


def in_use(lab, model):
    """This card is the first one, and carries all."""
    lab.nodes["a"].ok("drain", "uplink", ADDRESS[FIRST])
    lab.guest.pull(FIRST)
    put(lab, FIRST, model)
    lab.nodes["a"].ok("undrain", "uplink", ADDRESS[FIRST])
    carries(lab, ADDRESS[FIRST])


@pytest.mark.parametrize("model", MODELS)
def test_card_is_pulled_and_returns(lab, model):
    node = lab.nodes["a"]
    in_use(lab, model)
    before = uplink(lab)
    with Stream(lab, "one", "two") as stream:
        lab.guest.pull(FIRST)
        carries(lab, ADDRESS[SECOND])
        stream.progress()
        between = uplink(lab)
        status = node.json("get", "node", "a")["status"]
        assert status["reason"] == f"{ADDRESS[FIRST]} is missing"
        assert "there is no such device" in status["devices"][0]["reason"]
        findings = json.loads(node.run("doctor", "-o", "json").stdout)
        assert any(one["check"] == "uplink" and ADDRESS[FIRST] in one["text"] for one in findings)
        # By VFIO or by UIO, the driver is there.
        assert [one["result"] for one in findings if one["check"] == "kernel: vfio"] == ["ok"]
        lab.guest.plug(FIRST, model, mac(FIRST))
        eventually(lambda: "bound to no driver" in node.json("get", "node", "a")["status"]["devices"][0]["reason"])
        lab.guest.bind(FIRST)
        carries(lab, ADDRESS[FIRST])
        stream.progress()
    after = uplink(lab)
    for counter in ("rxPackets", "txPackets", "rxBytes", "txBytes"):
        assert int(before[counter]) < int(between[counter]) < int(after[counter])


@pytest.mark.parametrize("model", MODELS)
def test_planned_servicing_loses_nothing(lab, model):
    in_use(lab, model)
    node = lab.nodes["a"]
    with Stream(lab, "one", "two") as stream:
        said = node.ok("drain", "uplink", ADDRESS[FIRST])
        assert said == f"{ADDRESS[FIRST]} may be pulled: {ADDRESS[SECOND]} carries the uplink's packets\n"
        lab.guest.pull(FIRST)
        stream.progress()
        put(lab, FIRST, model)
        node.ok("undrain", "uplink", ADDRESS[FIRST])
        carries(lab, ADDRESS[FIRST])
        stream.progress()
    assert stream.lost() == 0


@pytest.mark.parametrize("model", MODELS)
def test_port_s_card_is_pulled_and_returns(lab, model):
    """The workload's connection goes on when its port is back."""
    def state():
        return lab.nodes["a"].stats()["ports"]["one"]["state"]

    with Stream(lab, "two", "one") as stream:
        lab.guest.pull(PORT)
        eventually(lambda: state() != "up")
        put(lab, PORT, model)
        eventually(lambda: state() == "up")
        stream.progress()


@pytest.mark.parametrize("model", MODELS)
def test_link_goes_and_returns(lab, model):
    in_use(lab, model)
    with Stream(lab, "two", "one") as stream:
        lab.guest.link(FIRST, False)
        carries(lab, ADDRESS[SECOND])
        assert states(lab)[ADDRESS[FIRST]] == "down"
        stream.progress()
        lab.guest.link(FIRST, True)
        carries(lab, ADDRESS[FIRST])
        stream.progress()


@pytest.mark.parametrize("model", MODELS)
def test_packets_wake_an_idle_worker(lab, model):
    """Or it looks for them often; each second it looks in any case, so most would take longer than this."""
    in_use(lab, model)
    process = lab["two"].popen("ping", "-n", "-c", "9", "-i", "0.3", lab["one"].address["v4"])
    times = sorted(float(one) for one in re.findall(r"time=(\S+) ms", process.communicate(timeout=60)[0]))
    assert len(times) == 9 and times[4] < 400, times


def test_another_process_has_the_cards(lab):
    """One process at a time can: there is a gap, and connections are continued after it."""
    node = lab.nodes["a"]
    with Stream(lab, "one", "two") as stream:
        node.upgrade()
        stream.progress()
        assert states(lab) == {ADDRESS[FIRST]: "carries", ADDRESS[SECOND]: "standby"}
        node.kill()
        node.start()
        stream.progress()
