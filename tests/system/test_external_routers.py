"""Several routers outside: connections are spread over them, leave one that does not answer, and come back to it."""

import socket

import pytest

import netns
from node import DEADLINE, eventually
from outside import FAR, Router, at, network, route
from web import ADDRESS, ask


@pytest.fixture(scope="module")
def lab(make_lab):
    """Both routers serve both families; each has the far host."""
    lab = make_lab(nodes=("a",), underlay="v4", options=["--metrics", ADDRESS])
    lab.routers = [Router(lab, 1), Router(lab, 2)]
    blue = lab.network("blue", 1)
    for subnet in blue.object["subnets"]:
        subnet["external"] = ["internet"]
        for router in lab.routers:
            router.routes(subnet["cidr"], "a")
    lab.objects += [network("a"), route(at("v4", 1), at("v4", 2))]
    lab.workload("one", "a", "blue", kernel=True)
    return lab.up()


def receiver(router, family):
    made = router.open_socket(family, socket.SOCK_DGRAM)
    made.bind((FAR[family], 9))
    made.setblocking(False)
    return made


def ports_at(sockets):
    """Source ports of what has arrived, by router."""
    found = []
    for made in sockets:
        found.append(set())
        while True:
            try:
                found[-1].add(made.recvfrom(2048)[1][1])
            except BlockingIOError:
                break
    return found


def spread(lab, sockets, family, ports):
    """By which routers packets from these ports go out, when all have."""
    ports_at(sockets)
    for port in ports:
        with lab["one"].open_socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((lab["one"].address[family], port))
            sender.sendto(b"x", (FAR[family], 9))
    seen = [set() for _ in sockets]

    def all_there():
        for have, more in zip(seen, ports_at(sockets)):
            have |= more
        return set(ports) <= set().union(*seen)

    eventually(all_there)
    return seen


def is_up(lab, number):
    _, body = ask(lab.nodes["a"], "/metrics")
    return f'sluice_next_hop_up{{network="internet",router="{at("v4", number)}"}} 1' in body.decode()


def test_spread_and_moved(lab, family):
    """The ports of one router move when it is gone, no others do, and they come back."""
    sockets = [receiver(router, family) for router in lab.routers]
    ports = range(3000, 3060)
    eventually(lambda: is_up(lab, 1) and is_up(lab, 2))
    first = spread(lab, sockets, family, ports)
    assert min(len(part) for part in first) > 10 and not first[0] & first[1]
    # Live connections stay.
    assert spread(lab, sockets, family, ports) == first
    switch = lab.switch
    netns.ip(switch, "link set to-out2 down")
    eventually(lambda: not is_up(lab, 2))
    assert spread(lab, sockets, family, ports) == [set(ports), set()]
    assert "203.0.113.2 does not answer" in status(lab, "route", "out")
    assert "203.0.113.2 does not answer" in status(lab, "network", "internet")
    netns.ip(switch, "link set to-out2 up")
    eventually(lambda: is_up(lab, 2))
    assert spread(lab, sockets, family, ports) == first
    assert status(lab, "route", "out") == status(lab, "network", "internet") == ""
    for made in sockets:
        made.close()


def status(lab, kind, name):
    return lab.nodes["a"].json("get", kind, name).get("status", {}).get("reason", "")


def test_no_router_answers(lab, family):
    """Who sends is told."""
    netns.ip(lab.switch, "link set to-out1 down", "link set to-out2 down")
    eventually(lambda: not is_up(lab, 1) and not is_up(lab, 2))
    text = lab["one"].popen("ping", "-n", "-c", "1", "-W", str(DEADLINE), FAR[family]).communicate()[0]
    assert f"From {lab['one'].network.gateway[family]}" in text and "nreachable" in text
    netns.ip(lab.switch, "link set to-out1 up", "link set to-out2 up")
    eventually(lambda: is_up(lab, 1) and is_up(lab, 2))
