"""Health checks: members that don't answer get nothing, on whatever node they are; by TCP, HTTP and ICMP."""

import http.server
import socket
import threading

import pytest

import netns
from node import eventually
from packets import UDP, fresh_port
from web import ADDRESS, ask

VIP = {"v4": "10.1.0.200", "v6": "fd00:1::200"}
QUICK = {"intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 1}


@pytest.fixture(scope="module")
def base(make_lab):
    """Members one on node a, far on node b; a client on each."""
    lab = make_lab(nodes=("a", "b"), underlay="v4", options=("--workers", "0,1", "--metrics", ADDRESS))
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("far", "b", "blue", kernel=True)
    lab.workload("red-a", "a", "red")
    lab.workload("red-b", "b", "red")
    return lab.up()


@pytest.fixture
def lab(base):
    yield base
    for node in base.nodes.values():
        node.delete("loadbalancer", "lb")


def balancer(lab, *members, **check):
    lab.apply({"kind": "LoadBalancer", "name": "lb", "vrf": "t1", "addresses": list(VIP.values()),
               "ports": [{"port": 9, "protocol": "udp"}], "members": [{"port": member} for member in members],
               "healthCheck": {**QUICK, **check}})


def goes_to(lab, family, *allowed):
    """All nodes' clients come to these members, or to none."""
    for client in (lab["red-a"], lab["red-b"]):
        source, vip = client.address[family], VIP[family]
        if family == "v6":
            source, vip = f"[{source}]", f"[{vip}]"

        def right(client=client, source=source, vip=vip):
            texts = [client.node.run("trace", "--port", client.name, f"udp {source}:{port} > {vip}:9").stdout
                     for port in range(1, 13 if len(allowed) > 1 else 3)]
            if not allowed:
                return all("drop no-member" in text for text in texts)
            return {name for text in texts for name in ("one", "far") if f"to member {name}," in text} == set(allowed)

        eventually(right)


@pytest.mark.parametrize("member", ["one", "far"])
def test_tcp(lab, family, member):
    """Who listens is healthy, wherever it is, and every node knows."""
    balancer(lab, member, protocol="tcp", port=7000)
    goes_to(lab, family)
    with lab[member].server(7000, family):
        goes_to(lab, family, member)
    goes_to(lab, family)


def test_the_healthy_one_gets_all(lab, family):
    balancer(lab, "one", "far", protocol="tcp", port=7000)
    with lab["one"].server(7000, family):
        goes_to(lab, family, "one")
        with lab["far"].server(7000, family):
            goes_to(lab, family, "one", "far")


def serve(workload, family, port):
    """An HTTP server whose answer's status is `server.status`, and that keeps the paths it was asked for."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.paths.add(self.path)
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(b"x" * 100)

        def log_message(self, *arguments):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET if family == "v4" else socket.AF_INET6

    with netns.inside(workload.netns):
        server = Server((workload.address[family], port), Handler)
    server.paths = set()
    server.status = 200
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def test_http(lab, family):
    balancer(lab, "one", protocol="http", port=8000, path="/healthy?all=1")
    goes_to(lab, family)
    server = serve(lab["one"], family, 8000)
    try:
        goes_to(lab, family, "one")
        assert server.paths == {"/healthy?all=1"}
        server.status = 500
        goes_to(lab, family)
        server.status = 302
        goes_to(lab, family, "one")
    finally:
        server.shutdown()
        server.server_close()


def test_icmp(lab, family):
    balancer(lab, "far", protocol="icmp")
    goes_to(lab, family, "far")
    key = "ipv4/icmp_echo_ignore_all" if family == "v4" else "ipv6/icmp/echo_ignore_all"
    with netns.inside(lab["far"].netns), open(f"/proc/sys/net/{key}", "w", encoding="utf-8") as file:
        file.write("1")
    goes_to(lab, family)
    with netns.inside(lab["far"].netns), open(f"/proc/sys/net/{key}", "w", encoding="utf-8") as file:
        file.write("0")
    goes_to(lab, family, "far")


def test_datagrams_get_another_member(lab, family):
    """Nobody ends a connection of UDP, so it moves when its member is unhealthy."""
    balancer(lab, "one", "far", protocol="tcp", port=7000)
    client = lab["red-a"]
    with lab["one"].server(7000, family):
        goes_to(lab, family, "one")
        frame = client.frame(client, UDP(sport=fresh_port(), dport=9), family, dst=VIP[family],
                             dst_mac=client.gateway_mac(family))
        port = frame[UDP].sport

        def opened(at):
            # On a slow machine an answer may be late, and the member unhealthy for a moment.
            client.send(frame)
            return [flow for flow in client.node.flows() if flow["sourcePort"] == port and flow["destinationAt"] == at]

        eventually(lambda: opened("one"))
    with lab["far"].server(7000, family):
        goes_to(lab, family, "far")
        lab.dropped(client, frame, "translation-gone")
        eventually(lambda: opened("uplink/b"))


def test_told(lab, family):
    """Status and metrics of every node have it, and the log of the one that asks."""
    balancer(lab, "far", protocol="tcp", port=7000)
    address = lab["far"].address[family]

    def is_up(node, up):
        line = f'sluice_load_balancer_member_up{{load_balancer="lb",member="far",address="{address}"}} {up}'
        return line in ask(node, "/metrics")[1].decode()

    def lines(message):
        return lab.nodes["b"].events(message, loadBalancer="lb", member="far", address=address)

    before = len(lines("member is healthy again"))
    eventually(lambda: all(is_up(node, 0) for node in lab.nodes.values()))
    for node in lab.nodes.values():
        states = {member["address"]: member["state"] for member in node.json("get", "loadbalancer", "lb")["status"]["members"]}
        assert states[address] == "unhealthy"
    eventually(lambda: lines("member is unhealthy"))
    with lab["far"].server(7000, family):
        eventually(lambda: all(is_up(node, 1) for node in lab.nodes.values()))
        eventually(lambda: len(lines("member is healthy again")) == before + 1)
    assert not lab.nodes["a"].events("member is unhealthy", member="far")
