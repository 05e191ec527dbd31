"""Unmodified programs through Nats, to servers behind a router outside: IPv4, IPv6, and NAT64 by the well-known and a chosen prefix."""

import ipaddress
import json
import os
import signal
import subprocess

import pytest

import netns
from hops import traceroute
from node import DEADLINE, eventually
from outside import Router, at, network, route

SERVER = {"v4": "198.51.100.18", "v6": "2001:db8:9:1::2"}
ROUTER = {"v4": "198.51.100.17", "v6": "2001:db8:9:1::1"}
LENGTH = {"v4": 28, "v6": 64}
POOL = {"v4": at("v4", 64), "v6": at("v6", 64)}
CHOSEN = "2001:db8:64:4600::/56"
SIZE = 3_000_000

WEB = """
daemon off; master_process off; pid {path}.pid; error_log {path}.error;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {path}.t1; proxy_temp_path {path}.t2; fastcgi_temp_path {path}.t3;
    uwsgi_temp_path {path}.t4; scgi_temp_path {path}.t5;
    server {{ listen 80; listen [::]:80; root {files}; location /from {{ return 200 $remote_addr; }} }}
}}
"""


def chosen(address):
    """As RFC 6052 section 2.2 writes it behind a prefix of 56 bits: one byte, one that is zero, and three."""
    made = bytearray(ipaddress.ip_network(CHOSEN).network_address.packed)
    v4 = ipaddress.ip_address(address).packed
    made[7], made[9:12] = v4[0], v4[1:]
    return str(ipaddress.ip_address(bytes(made)))


# Who asks, by which family, and what an IPv4 address outside, or one of IPv6, is for them.
WAYS = {
    "v4": ("one", "v4", lambda host: host["v4"]),
    "v6": ("one", "v6", lambda host: host["v6"]),
    "nat64": ("one", "v6", lambda host: str(ipaddress.ip_address("64:ff9b::" + host["v4"]))),
    "chosen": ("two", "v6", lambda host: chosen(host["v4"])),
}


class Way:
    def __init__(self, lab, name):
        self.client, self.family, self.of = lab[WAYS[name][0]], *WAYS[name][1:]
        self.server = self.of(SERVER)
        self.host = f"[{self.server}]" if ":" in self.server else self.server
        self.seen = {"v4": POOL["v4"], "v6": POOL["v6"], "nat64": POOL["v4"], "chosen": at("v4", 65)}[name]

    def run(self, *command):
        made = self.client.popen(*command)
        text = made.communicate(timeout=60)[0]
        assert made.returncode == 0, text
        return text


@pytest.fixture(params=WAYS)
def way(lab, request):
    return Way(lab, request.param)


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=("a",), underlay="v4")
    lab.outside = Router(lab)
    lab.far = lab._namespace("far")
    netns.ip(lab.outside.netns, f"link add far type veth peer name eth0 netns {lab.far}", "link set far up",
             *[f"addr add {ROUTER[f]}/{LENGTH[f]} dev far" + (" nodad" if f == "v6" else "") for f in SERVER])
    netns.ip(lab.far, "link set eth0 up", "link set lo up",
             *[f"addr add {SERVER[f]}/{LENGTH[f]} dev eth0" + (" nodad" if f == "v6" else "") for f in SERVER],
             *[f"route add default via {ROUTER[f]}" for f in SERVER])
    for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        with netns.inside(lab.outside.netns), open(f"/proc/sys/net/{key}", "w", encoding="utf-8") as file:
            file.write("1")
    lab.network("blue", 1)
    lab.network("red", 2, vrf="t2")
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "red", kernel=True)
    lab.objects += [network("a"), route(), route(name="out2", vrf="t2"),
                    {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet", "nat64": {},
                     "pools": [{"node": "a", "addresses": list(POOL.values())}]},
                    {"kind": "Nat", "name": "nat2", "vrf": "t2", "network": "internet", "nat64": {"prefix": CHOSEN},
                     "pools": [{"node": "a", "addresses": [at("v4", 65)]}]}]
    lab.up()
    servers = serve(lab)
    yield lab
    for server in servers:
        server.send_signal(signal.SIGTERM)
    for server in servers:
        server.wait(timeout=30)


def serve(lab):
    """A web server, one for names, and one for iperf3."""
    files = lab.directory / "files"
    files.mkdir()
    (files / "large").write_bytes(os.urandom(SIZE))
    path = lab.directory / "web"
    path.write_text(WEB.format(path=path, files=files), encoding="utf-8")
    records = [option for name in SERVER.values() for option in ("--host-record", f"server.example,{name}")]
    started = []
    for command in (["nginx", "-e", f"{path}.error", "-c", str(path)],
                    ["dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
                     "--txt-record", "long.example" + 12 * ("," + 200 * "x"), "--edns-packet-max", "4096", *records],
                    ["iperf3", "-s"]):
        with netns.inside(lab.far):
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for port in ("80", "53", "5201"):
        eventually(lambda port=port: f":{port} " in netns.run("ip", "netns", "exec", lab.far, "ss", "-Hltn"))
    return started


def test_curl(lab, way):
    """A large file, and who the server thinks that asked."""
    where = lab.directory / "got"
    way.run("curl", "-sSfg", "--max-time", str(DEADLINE), "-o", str(where), f"http://{way.host}/large")
    assert where.read_bytes() == (lab.directory / "files" / "large").read_bytes()
    assert way.run("curl", "-sSfg", "--max-time", str(DEADLINE), f"http://{way.host}/from") == way.seen


def test_dig(way):
    """By UDP, what is too long for that by TCP, and by UDP in fragments."""
    short = ["dig", f"@{way.server}", "+short", "+tries=3", "+time=5"]
    assert way.run(*short, "server.example").split() == [SERVER["v4"]]
    assert way.run(*short, "server.example", "AAAA").split() == [SERVER["v6"]]
    for size in ("1232", "4096"):
        assert way.run(*short, f"+bufsize={size}", "+ignore" if size == "4096" else "+noignore", "long.example",
                       "TXT").count("x") == 12 * 200


def iperf3(way, *options):
    """What it reports at the end. The server may still be busy with the one before."""
    def end():
        shown = json.loads(way.run("iperf3", "-J", "-c", way.server, *options))
        return "error" not in shown and shown["end"]

    return eventually(end)


def test_iperf3(way):
    """TCP both ways, and UDP."""
    for options in ((), ("-R",)):
        # What is on its way at the end is not counted.
        assert iperf3(way, "-n", "20M", *options)["sum_received"]["bytes"] > 15_000_000
    end = iperf3(way, "-u", "-b", "20M", "-n", "1M", "-l", "1200")
    # A busy machine loses some.
    assert end["sum"]["packets"] > 800 and end["sum"]["lost_packets"] < 400, end


@pytest.mark.parametrize("how", [(), ("-T", "-p", "80"), ("-I",)], ids=["udp", "tcp", "icmp"])
def test_traceroute(way, how):
    """The gateway, the router behind it, and the server, under the addresses that they have inside."""
    router = at(way.family, 1)
    if way.family == "v6" and way.of(SERVER) != SERVER["v6"]:
        router = way.of({"v4": at("v4", 1)})
    found = traceroute(way.client, "-q", "1", "-N", "1", *how, way.server)
    assert [line.split()[1] for line in found] == [way.client.network.gateway[way.family], router, way.server]


def test_tracepath(lab, way):
    """It finds the size that the way has, behind the Nat: a link outside is narrower."""
    netns.ip(lab.outside.netns, "link set far mtu 1300")
    netns.ip(lab.far, "link set eth0 mtu 1300")
    try:
        shown = way.run("tracepath", "-n", "-m", "5", way.server)
    finally:
        netns.ip(lab.outside.netns, "link set far mtu 1500")
        netns.ip(lab.far, "link set eth0 mtu 1500")
    assert f"pmtu {1320 if way.family == 'v6' and way.server != SERVER['v6'] else 1300}" in shown
    assert f"{way.server} " in shown and "reached" in shown
