"""Two workers: ports are spread over them, and connections between ports of different workers are one all the same."""

import itertools
import json

import pytest

import pings
from node import eventually
from packets import UDP, fresh_port


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(options=["--workers", "0,1"])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.group("web", {"direction": "ingress", "protocol": "tcp", "ports": "5201"},
              {"direction": "ingress", "protocol": "icmp"}, {"direction": "egress"})
    for name, network in (("one", "blue"), ("two", "blue"), ("three", "red"), ("four", "red")):
        lab.workload(name, "a", network, kernel=True, securityGroups=["web"])
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue")
    return lab.up()


@pytest.fixture(autouse=True)
def open_policy(lab):
    lab.rules("web", {"direction": "ingress", "protocol": "tcp", "ports": "5201"},
              {"direction": "ingress", "protocol": "icmp"}, {"direction": "egress"})


def test_both_workers_have_ports(lab):
    before = [int(worker["packets"]) for worker in lab.nodes["a"].stats()["workers"]]
    assert len(before) == 2
    for source in ("one", "two"):
        assert lab[source].ping("10.1.0.1")
    after = eventually(lambda: (now := [int(worker["packets"]) for worker in lab.nodes["a"].stats()["workers"]])
                       and all(a > b for a, b in zip(now, before)) and now)
    assert len(after) == 2


def test_pings_between_all(lab, family):
    kernels = [lab[name] for name in ("one", "two", "three", "four")]
    running = [(source, to, source.popen(*pings.command(to.address[family], 3, 0.05)))
               for source, to in itertools.permutations(kernels, 2)]
    for source, to, process in running:
        text = process.communicate(timeout=60)[0]
        assert not pings.missing(text, 3), f"from {source} to {to}: {text}"


@pytest.mark.parametrize("server, client", [("one", "two"), ("three", "two"), ("four", "two")])
def test_iperf(lab, family, server, client):
    """One second each way; packets are counted for the connection that they are of."""
    listening = lab[server].popen("iperf3", "-s", "-1", "-J", "-B", lab[server].address[family])
    eventually(lambda: "5201" in lab_listeners(lab[server]))
    sending = lab[client].popen("iperf3", "-J", "-t", "1", "-P", "2", "-c", lab[server].address[family],
                                *(["-R"] if family == "v6" else []))
    report = json.loads(sending.communicate(timeout=60)[0])
    listening.communicate(timeout=60)
    assert "error" not in report
    assert report["end"]["sum_received"]["bytes"] > 1000000
    flows = lab.nodes["a"].flows(source=lab[client].address[family], destination=lab[server].address[family],
                                 destinationPort=5201)
    assert len(flows) >= 3
    assert sum(int(flow["bytes"]) for flow in flows) > report["end"]["sum_received"]["bytes"]
    assert {flow["rule"] for flow in flows} == {"web[2], web[0]"}
    assert not {reason for _, reason in lab.drops()} & {"no-buffer", "tcp-flags"}


def lab_listeners(workload):
    return workload.popen("ss", "-Hltn").communicate(timeout=60)[0]


def test_policy_change(lab, family):
    """Wherever the connection lives, its next packet is judged anew."""
    pairs = []
    for server in ("one", "three", "four"):
        pairs.append((server, *lab["two"].connection(lab[server], 5201, family)))
    lab.rules("web", {"direction": "egress"})
    before = lab.drops()
    for server, client, accepted in pairs:
        client.sendall(b"late")
        eventually(lambda: lab.drops().get((server, "security-group-ingress"), 0)
                   > before.get((server, "security-group-ingress"), 0))
        accepted.settimeout(0.2)
        with pytest.raises(TimeoutError):
            accepted.recv(10)
        assert not lab.nodes["a"].flows(sourcePort=client.getsockname()[1], destination=lab[server].address[family])
    for _, *sockets in pairs:
        for made in sockets:
            made.close()


def test_flows_are_right(lab, family):
    """Many connections, whose owners are both workers: each is there once, with its packets."""
    left, right = lab["left"], lab["right"]
    ports = [fresh_port() for _ in range(40)]
    for port in ports:
        lab.passes(left, left.frame(right, UDP(sport=port, dport=53), family), right)
        lab.passes(right, right.frame(left, UDP(sport=53, dport=port), family), left)
    flows = {flow["sourcePort"]: flow for flow in lab.nodes["a"].flows("left")}
    for port in ports:
        assert (flows[port]["state"], int(flows[port]["packets"])) == ("replied", 2)


def test_drops_are_counted_once(lab, family):
    lab.dropped(lab["left"], lab["left"].frame(lab["right"], UDP(sport=1, dport=2), family, src_mac=lab["right"].mac),
                "source-mac")
