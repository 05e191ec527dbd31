"""More connections of one workload through one external address than that has ports: to many destinations."""

import ipaddress
import struct

import pytest

from node import eventually
from outside import Router, at, network, own, route
from packets import UDP, Ether, Wire, ip_header

POOL = {"v4": at("v4", 64), "v6": at("v6", 64)}
CONNECTIONS = 100_000
# Of the workload: nearly all that it has.
PORTS = range(2000, 62000)
# Coprime with these, so that no pair comes twice.
DESTINATIONS = 9973
FIRST = {"v4": ipaddress.ip_address("198.18.0.0"), "v6": ipaddress.ip_address("2001:db8:77::")}


@pytest.fixture(scope="module")
def lab(make_lab):
    # A workload may have half of the table.
    lab = make_lab(nodes=("a",), underlay="v4", options=("--connections", str(4 * CONNECTIONS)))
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.workload("many", "a", "blue")
    lab.objects += [network("a"), route(), {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet",
                                            "pools": [{"node": "a", "addresses": list(POOL.values())}]}]
    return lab.up()


def frames(many, family):
    """A datagram of each connection, as bytes."""
    frame = bytearray(bytes(many.frame(many, UDP(sport=1, dport=9, chksum=0), family, dst=str(FIRST[family]),
                                       dst_mac=many.gateway_mac(family), payload=b"many")))
    to, ports = (30, 34) if family == "v4" else (38, 54)
    frame[24:26] = b"\0\0" if family == "v4" else frame[24:26]
    for number in range(CONNECTIONS):
        destination = (FIRST[family] + number % DESTINATIONS).packed
        frame[to:to + len(destination)] = destination
        struct.pack_into("!H", frame, ports, PORTS[number % len(PORTS)])
        if family == "v4":
            struct.pack_into("!H", frame, 24, 0)
            total = sum(struct.unpack_from("!10H", frame, 14))
            struct.pack_into("!H", frame, 24, 0xffff - ((total & 0xffff) + (total >> 16)))
        yield bytes(frame)


def test_more_than_ports(lab):
    """None is refused, and a reply to the last one finds its way."""
    many, family = lab["many"], "v4"
    sent = list(frames(many, family))

    def all_there():
        # What finds no room at the tap is lost; those that are there go on as they are.
        for frame in sent:
            many.wire.socket.send(frame)
        return lab.nodes["a"].stats()["connections"]["current"] >= CONNECTIONS

    many.wire.socket.setblocking(True)
    eventually(all_there)
    many.wire.socket.setblocking(False)
    pool = lab.nodes["a"].json("get", "nat", "nat")["status"]["pools"][0]
    assert pool["family"] == "ipv4" and pool["addresses"] == 1 and "refused" not in pool
    heard = Wire(lab.outside.netns, lab.outside.interface)
    many.wire.socket.send(sent[-1])
    there = heard.wait_for(lambda frame: UDP in frame)
    destination = str(FIRST[family] + (CONNECTIONS - 1) % DESTINATIONS)
    assert (there["IP"].src, there["IP"].dst) == (POOL[family], destination)
    many.wire.drain()
    heard.send(Ether(dst=there.src, src=there.dst) / ip_header(destination, POOL[family]) /
               UDP(sport=9, dport=there[UDP].sport) / b"reply")
    reply = many.wire.wait_for(lambda frame: UDP in frame)
    assert (reply["IP"].dst, reply[UDP].dport) == (many.address[family], PORTS[(CONNECTIONS - 1) % len(PORTS)])
    heard.close()
