"""What Prometheus gets: names, types and units that promtool accepts, and numbers that are those of `sluice stats`."""

import contextlib
import http.client
import re
import socket
import subprocess

import pytest

import netns
from node import BUILD, eventually, log_event
from packets import TCP, UDP, fresh_port
from web import ADDRESS, ask

SAMPLE = re.compile(r'^(sluice_[a-z_]+)(?:\{(.*)\})? (-?[0-9.]+)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(options=["--metrics", ADDRESS])
    lab.network("blue", 1)
    lab.group("web", {"direction": "ingress", "protocol": "tcp", "ports": "80"}, {"direction": "egress"})
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue", securityGroups=["web"])
    return lab.up()


def text(node):
    answer, body = ask(node, "/metrics")
    body = body.decode()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return body


def samples(node):
    """{(name, sorted labels): value}; each once."""
    found = {}
    for line in text(node).splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, line
        key = match[1], tuple(sorted(LABEL.findall(match[2] or "")))
        assert key not in found
        found[key] = float(match[3])
    return found


def value(found, name, **labels):
    return found.get((name, tuple(sorted(labels.items()))))


def test_promtool_is_content(lab):
    result = subprocess.run(["promtool", "check", "metrics"], input=text(lab.nodes["a"]), capture_output=True, text=True,
                            check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_every_metric_says_what_it_is(lab):
    lines = text(lab.nodes["a"]).splitlines()
    helped = [line.split()[2] for line in lines if line.startswith("# HELP")]
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    used = {SAMPLE.match(line)[1] for line in lines if not line.startswith("#")}
    assert helped == typed and len(set(helped)) == len(helped)
    assert used <= set(helped)


def test_numbers_are_those_of_stats(lab):
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]
    lab.passes(left, left.frame(right, TCP(sport=fresh_port(), dport=80, flags="S")), right)
    lab.dropped(left, left.frame(right, UDP(sport=fresh_port(), dport=80)), "security-group-ingress", at="right")

    def together():
        """Of both, with nothing between them: Sluice itself may say something at any time."""
        before, found, after = node.stats(), samples(node), node.stats()
        return before["ports"] == after["ports"] and (after, found)

    stats, found = eventually(together)
    for name, port in stats["ports"].items():
        assert value(found, "sluice_port_up", port=name) == (port["state"] == "up")
        for ours, theirs in (("receive_packets", "rxPackets"), ("receive_bytes", "rxBytes"),
                             ("transmit_packets", "txPackets"), ("transmit_bytes", "txBytes")):
            assert value(found, f"sluice_port_{ours}_total", port=name) == int(port[theirs])
        for reason, count in port["drops"].items():
            assert value(found, "sluice_port_dropped_packets_total", port=name, reason=reason) == int(count)
    assert value(found, "sluice_port_info", port="left", network="blue") == 1
    assert value(found, "sluice_connections") == int(stats["connections"]["current"]) > 0
    buffers = stats["packetBuffers"]
    assert value(found, "sluice_packet_buffers_max") == int(buffers["max"]) > int(buffers["inUse"])
    assert value(found, "sluice_packet_buffers_in_use") is not None
    assert value(found, "sluice_connections_max") == int(stats["connections"]["max"]) == 4096
    assert value(found, "sluice_worker_connections_opened_total", worker="0") > 0
    assert value(found, "sluice_worker_dropped_packets_total", worker="0", reason="security-group-ingress") >= 1
    assert value(found, "sluice_worker_dropped_packets_total", worker="0", reason="hairpin") == 0
    assert value(found, "sluice_revision") == int(stats["revision"]) > 0
    assert value(found, "sluice_info", node="a", version="0.1.0") == 1


def test_time_and_memory_are_the_kernels(lab):
    node = lab.nodes["a"]
    found = samples(node)
    status = dict(line.split(":", 1) for line in open(f"/proc/{node.process.pid}/status", encoding="utf-8"))
    resident = int(status["VmRSS"].split()[0]) * 1024
    assert abs(value(found, "sluice_process_resident_memory_bytes") - resident) < resident / 4
    assert value(found, "sluice_process_threads") == int(status["Threads"])
    assert value(found, "sluice_process_cpu_seconds_total") >= value(found, "sluice_control_cpu_seconds_total") > 0
    worker = value(found, "sluice_worker_seconds_total", worker="0")
    assert worker >= value(found, "sluice_worker_busy_seconds_total", worker="0") > 0
    assert value(found, "sluice_process_open_fds") > 10


def layers(node):
    return {layer["layer"]: {key: int(number) for key, number in layer.items() if key != "layer"}
            for layer in node.stats()["layers"]}


def test_layers_count_first_packets_only(lab):
    """The one that drops counts it; none is asked about later packets."""
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]
    port = fresh_port()
    before = layers(node)
    order = ["port-security", "tunnel-source", "l2", "l3", "security-group", "tunnel"]
    assert [name for name in before if name in order] == order
    for _ in range(3):
        lab.passes(left, left.frame(right, TCP(sport=port, dport=80, flags="S")), right)
    after = layers(node)
    assert {name: after[name]["passed"] - before[name]["passed"] for name in after} == dict.fromkeys(after, 1)
    lab.dropped(left, left.frame(right, UDP(sport=port, dport=80)), "security-group-ingress", at="right")
    last = layers(node)
    assert last["security-group"]["dropped"] == after["security-group"]["dropped"] + 1
    assert last["tunnel"] == after["tunnel"]
    found = samples(node)
    assert value(found, "sluice_layer_verdicts_total", layer="security-group", verdict="drop") == \
        last["security-group"]["dropped"]
    node.trace("left", f"udp {left.address['v4']}:1 > {right.address['v4']}:80")
    assert layers(node) == last, "a trace counted"


def test_workers_do_not_forget_ended_ports(lab):
    """Sums by worker never go backwards, although the port's own counters go with it."""
    node, left = lab.nodes["a"], lab["left"]
    gone = lab.workload("gone", "a", "blue", securityGroups=["web"])
    node.apply(gone.object)
    gone.listen()
    lab.dropped(left, left.frame(gone, UDP(sport=fresh_port(), dport=9)), "security-group-ingress", at="gone")
    before = samples(node)
    node.delete("port", "gone")
    after = samples(node)
    assert value(after, "sluice_port_up", port="gone") is None
    for (name, labels), number in before.items():
        if name.endswith("_total") and ("port", "gone") not in labels:
            assert after[name, labels] >= number, (name, labels)




def test_health(lab):
    answer, body = ask(lab.nodes["a"], "/healthz")
    assert (answer.status, body) == (200, b"ok\n")


def test_head_has_no_body(lab):
    answer, body = ask(lab.nodes["a"], "/metrics", method="HEAD")
    assert (answer.status, body) == (200, b"")


@pytest.mark.parametrize("method, path, status", [("GET", "/", 404), ("GET", "/metrics/..", 404), ("POST", "/metrics", 405),
                                                  ("DELETE", "/healthz", 405), ("GET", "/metrics?x=1", 200)])
def test_nothing_else_is_there(lab, method, path, status):
    assert ask(lab.nodes["a"], path, method=method)[0].status == status


def test_a_long_header_is_refused(lab):
    assert ask(lab.nodes["a"], "/metrics", X="x" * 30000)[0].status in (413, 414, 431)
    assert ask(lab.nodes["a"], "/healthz")[0].status == 200


def test_many_silent_connections_are_few(lab):
    """Who connects and says nothing has one of 16 places for some seconds, and then others get it."""
    with contextlib.ExitStack() as held:
        with netns.inside(lab.nodes["a"].netns):
            for _ in range(20):
                held.enter_context(socket.create_connection(("127.0.0.1", 9177), timeout=60))
        lab.nodes["a"].ok("version")
        eventually(lambda: healthy(lab.nodes["a"]))


def healthy(node):
    try:
        return ask(node, "/healthz")[0].status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize("address, why", [("nonsense", "is not HOST:PORT"), ("127.0.0.1:http", "is no number"),
                                          ("127.0.0.1:70000", "is no number"), ("::1:80", "is not HOST:PORT")])
def test_an_address_that_is_none(address, why):
    result = subprocess.run([BUILD / "sluiced", "--node", "x", "--metrics", address], capture_output=True, text=True,
                            check=False, timeout=60)
    assert result.returncode == 2
    assert why in result.stderr and len(result.stderr.splitlines()) == 1


def test_an_address_in_use(lab, tmp_path):
    with netns.inside(lab.nodes["a"].netns):
        result = subprocess.run([BUILD / "sluiced", "--node", "x", "--memory", "32", "--connections", "64", "--metrics",
                                 ADDRESS, "--state", tmp_path / "x.db", "--api", f"unix:{tmp_path}/x.sock"],
                                capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert log_event(result.stderr.splitlines()[-1])["reason"] == f"metrics: {ADDRESS}: Address already in use"


def test_ipv6_and_all_addresses(one_lab):
    node = one_lab(options=["--metrics", ":9178"]).nodes["a"]
    for family, host in (("v4", "127.0.0.1"), ("v6", "::1")):
        with netns.inside(node.netns):
            connection = http.client.HTTPConnection(host, 9178, timeout=60)
            connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200, family
        connection.close()
