"""What iperf3 gets under a limit: no more than the rate, and not much less (how much, bench/scenario/limits.py tells)."""

import json

import pytest

from node import eventually

RATE = 20_000_000
SECONDS = 2
MTU = 1450
IP = {"v4": 20, "v6": 40}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab()
    lab.network("blue", 1)
    lab.objects.append({"kind": "QosPolicy", "name": "both", "ingress": {"rate": "20M"}, "egress": {"rate": "20M"}})
    lab.workload("limited", "a", "blue", kernel=True, qosPolicy="both")
    lab.workload("free", "a", "blue", kernel=True)
    return lab.up()


def iperf(lab, family, *options):
    limited, free = lab["limited"], lab["free"]
    server = free.popen("iperf3", "-s", "-1", "-B", free.address[family])
    eventually(lambda: "5201" in free.popen("ss", "-Hltn").communicate(timeout=10)[0])
    client = limited.popen("iperf3", "-J", "-c", free.address[family], "-t", str(SECONDS), *options)
    # A warning may come first.
    report = json.loads("{" + client.communicate(timeout=60)[0].partition("{")[2])
    server.communicate(timeout=60)
    return report["end"]


def is_rate(received, header, least=.3):
    """Bytes of payload, in packets with so many bytes of headers. The bucket is full at the beginning. Others may want the
    machine, too."""
    seconds = received["seconds"]
    got = received["bytes"] * 8 * MTU / (MTU - header)
    assert least * RATE * seconds <= got <= RATE * (seconds * 1.02 + 0.1)


@pytest.mark.parametrize("reverse", [(), ("-R",)], ids=["egress", "ingress"])
def test_tcp(lab, family, reverse):
    is_rate(iperf(lab, family, *reverse)["sum_received"], IP[family] + 32)


def test_tcp_both_ways(lab, family):
    """Each direction has the rate, with the acknowledgements of the other one."""
    end = iperf(lab, family, "--bidir")
    is_rate(end["sum_received"], IP[family] + 32)
    is_rate(end["sum_received_bidir_reverse"], IP[family] + 32)


def test_udp(lab, family):
    """Twice as much as may pass, in both directions at once."""
    before = lab.drops("rate-limit")
    header = IP[family] + 8
    end = iperf(lab, family, "--bidir", "-u", "-b", "40M", "-l", str(MTU - header))
    is_rate(end["sum_received"], header)
    is_rate(end["sum_received_bidir_reverse"], header)
    assert set(lab.drops("rate-limit") - before) == {("limited", "rate-limit")}
