"""Several routers outside: connections are spread over them, leave one that does not answer, and come back to it."""

import socket

import pytest

import netns
from node import DEADLINE, eventually
from outside import FAR, Router, at, network, route
from test_grpc_client import Client
from test_watch import Watch
from web import ADDRESS, ask


NUMBERS = range(1, 5)


@pytest.fixture(scope="module")
def lab(make_lab):
    """All routers serve both families; each has the far host."""
    lab = make_lab(nodes=("a",), underlay="v4", options=["--metrics", ADDRESS])
    lab.routers = [Router(lab, number) for number in NUMBERS]
    blue = lab.network("blue", 1)
    for subnet in blue.object["subnets"]:
        subnet["external"] = ["internet"]
        for router in lab.routers:
            router.routes(subnet["cidr"], "a")
    lab.objects += [network("a"), route(*[at("v4", number) for number in NUMBERS])]
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


def all_up(lab):
    return all(is_up(lab, number) for number in NUMBERS)


def links(lab, state, *numbers):
    netns.ip(lab.switch, *[f"link set to-out{number} {state}" for number in numbers])


def test_spread_and_moved(lab, family):
    """The ports of one router move to all others when it is gone, no others do, and they come back. Who watches is told."""
    sockets = [receiver(router, family) for router in lab.routers]
    ports = range(3000, 3100)
    eventually(lambda: all_up(lab))
    first = spread(lab, sockets, family, ports)
    assert min(len(part) for part in first) > 10 and sum(len(part) for part in first) == len(ports)
    # Live connections stay.
    assert spread(lab, sockets, family, ports) == first
    with Client(lab.nodes["a"].api) as client:
        watch = Watch(client, kind="Route")
        watch.until_bookmark()
        links(lab, "down", 2)
        eventually(lambda: not is_up(lab, 2))
        told = watch.event()
        assert (told.object.route.name, told.status.reason) == ("out", "203.0.113.2 does not answer")
        left = spread(lab, sockets, family, ports)
        assert not left[1]
        for before, after in zip(first, left):
            assert before <= after or before == first[1]
        assert all(part & first[1] for number, part in enumerate(left) if number != 1)
        assert "203.0.113.2 does not answer" in status(lab, "route", "out")
        assert "203.0.113.2 does not answer" in status(lab, "network", "internet")
        links(lab, "up", 2)
        eventually(lambda: is_up(lab, 2))
        assert watch.event().status.reason == ""
        watch.call.cancel()
    assert spread(lab, sockets, family, ports) == first
    assert status(lab, "route", "out") == status(lab, "network", "internet") == ""
    for made in sockets:
        made.close()


def status(lab, kind, name):
    return lab.nodes["a"].json("get", kind, name).get("status", {}).get("reason", "")


def test_no_router_answers(lab, family):
    """Who sends is told."""
    links(lab, "down", *NUMBERS)
    eventually(lambda: not any(is_up(lab, number) for number in NUMBERS))
    text = lab["one"].popen("ping", "-n", "-c", "1", "-W", str(DEADLINE), FAR[family]).communicate()[0]
    assert f"From {lab['one'].network.gateway[family]}" in text and "nreachable" in text
    links(lab, "up", *NUMBERS)
    eventually(lambda: all_up(lab))
