"""The audit: what is in force is held against the objects, and put right. Nothing in the product damages tables, so the
test writes into the process' memory."""

import struct

import pytest

import netns
from node import eventually
from test_metrics import ADDRESS, samples, value

INGRESS = {"direction": "ingress"}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=("a",), underlay="v4", options=["--metrics", ADDRESS])
    lab.network("blue", 1, dhcp={"domain": "example.org", "boot": {"server": "10.1.0.2", "file": "pxe"}})
    lab.network("red", 2, connectionTracking={"idleTimes": {"established": 100}})
    lab.network("lone", 3, vrf="")
    lab.add_node("b", "192.0.2.2/24", uplink={"netdev": "up0"})
    lab.add_node("far", "198.51.100.1/24", uplink={"netdev": "up0"})
    lab.group("web", {**INGRESS, "protocol": "tcp", "ports": "80-81"}, {**INGRESS, "remote": {"group": "web"}})
    shared = ["10.1.0.100/32", "fd00:1::100/128", "10.9.0.0/24"]
    lab.workload("one", "a", "blue", securityGroups=["web"], allowedAddresses=shared)
    lab.workload("two", "a", "blue", allowedAddresses=shared, boot={"server": "10.1.0.3", "file": "own"})
    lab.workload("tagged", "a", "red", vlan=("two", 7))
    lab.workload("gone", "a", "lone", device={"netdev": {"name": "none0"}})
    lab.workload("away", "b", "blue", device={"tap": {"name": "eth0"}}, securityGroups=["web"])
    lab.workload("guest", "a", "red", device={"vhostUser": {"path": str(lab.directory / "guest.sock"), "mode": "server",
                                                            "queues": 2}})
    for node in lab.nodes.values():
        node.apply(*lab.objects)
    return lab


@pytest.fixture
def node(lab):
    return lab.nodes["a"]


def audits(node):
    """Runs, and differences by area."""
    found = samples(node)
    return value(found, "sluice_audits_total"), {area: value(found, "sluice_audit_differences_total", area=area)
                                                 for area in ("tables", "devices", "offload", "connections")}


def nothing_differs(node):
    result = node.run("audit")
    assert result.returncode == 0 and result.stdout.startswith("all that is in force is as the objects"), result.stdout


def test_nothing_differs(lab, node):
    """After a start, after changes of all kinds, and while devices come and go."""
    nothing_differs(node)
    for fields in ({"addresses": ["10.1.0.77"]}, {"securityGroups": []}, {"allowedAddresses": []}):
        node.apply({**lab["one"].object, **fields})
        nothing_differs(node)
    node.apply({**lab.group("web"), "rules": [{"direction": "egress"}]})
    nothing_differs(node)
    node.delete("port", "tagged")
    node.delete("port", "away")
    nothing_differs(node)
    node.apply(*lab.objects)
    nothing_differs(node)
    netns.ip(node.netns, "link add none0 type veth peer name other0", "link set other0 up", "link set none0 up")
    eventually(lambda: node.json("get", "port", "gone")["status"]["state"] == "active")
    nothing_differs(node)
    netns.ip(node.netns, "link del none0")
    eventually(lambda: node.json("get", "port", "gone")["status"]["state"] == "failed")
    nothing_differs(node)
    runs, differences = audits(node)
    assert runs >= 9 and set(differences.values()) == {0}
    assert node.json("audit") == {"differences": [], "total": 0, "revision": node.json("stats")["revision"]}


def test_by_itself(node):
    before = audits(node)[0]
    node.stop()
    node.start()
    eventually(lambda: 0 < audits(node)[0] < before, deadline=60)
    assert set(audits(node)[1].values()) == {0}


def own_memory(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            words = line.split()
            start, end = (int(part, 16) for part in words[0].split("-"))
            named = len(words) > 5 and not words[5].startswith(("[heap]", "[anon"))
            if words[1] == "rw-p" and not named and end - start < 1 << 28:
                yield start, end


def damage_mtu(node, mac, vni, mtu):
    """Gives what workers know of the Port (struct endpoint) another MTU; how many times it was there."""
    head = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("02534c") + vni.to_bytes(3, "big") + struct.pack("<I", vni)
    count = 0
    with open(f"/proc/{node.process.pid}/mem", "r+b", buffering=0) as memory:
        for start, end in own_memory(node.process.pid):
            memory.seek(start)
            data = memory.read(end - start) or b""
            place = data.find(head)
            while place >= 0:
                # Number of the node, 0 for this one; of the port and the network; the MTU.
                place += len(head)
                if data[place:place + 2] == b"\0\0" and data[place + 6:place + 8] == struct.pack("<H", mtu):
                    memory.seek(start + place + 6)
                    memory.write(struct.pack("<H", 500))
                    count += 1
                place = data.find(head, place)
    return count


def test_damage_is_put_right(lab, node):
    one, tagged, blue = lab["one"], lab["tagged"], lab.networks["blue"].object
    packet = f"udp {tagged.address['v4']}:1 > {one.address['v4']}:2 size 1000"
    node.apply(lab.group("web", INGRESS))
    assert node.trace("tagged", packet) == "allow"
    assert damage_mtu(node, one.mac, blue["vni"], blue.get("mtu", 1450))
    assert node.trace("tagged", packet) == "drop too-big"

    result = node.run("audit")
    assert result.returncode == 1
    assert [line.split() for line in result.stdout.splitlines()] == [["AREA", "WHAT", "REPAIRED"],
                                                                    ["tables", "Port/one", "yes"]]
    assert node.trace("tagged", packet) == "allow"
    assert audits(node)[1] == {"tables": 1, "devices": 0, "offload": 0, "connections": 0}
    assert "warning audit difference repaired area=tables what=Port/one" in node.text()
    nothing_differs(node)


def test_words_that_are_wrong(node):
    assert node.run("audit", "now").returncode == 2
