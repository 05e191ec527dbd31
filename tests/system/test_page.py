"""What the page is made of: what is served to whom, and the JSON, which says what the command line says."""

import json
import subprocess
import urllib.parse

import pytest

from lab import UNDERLAYS
from node import BUILD, eventually
from packets import TCP, fresh_port
from test_scale import group, network, port
from web import ADDRESS, ask


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(underlay="v4", options=["--metrics", ADDRESS, "--page", "on"])
    lab.network("blue", 1)
    lab.group("web", {"direction": "ingress", "protocol": "tcp", "ports": "80"}, {"direction": "egress"})
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue", securityGroups=["web"])
    lab.objects.append({"kind": "Port", "name": "broken", "node": "a", "network": "blue", "mac": "52:54:00:00:0b:01",
                        "addresses": ["10.1.0.77"], "device": {"netdev": {"name": "none"}}})
    return lab.up()


def api(node, path, status=200, **parameters):
    answer, body = ask(node, f"/api/{path}?{urllib.parse.urlencode(parameters)}")
    assert answer.status == status, body
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    return json.loads(body)


def error(node, path, status=400, **parameters):
    return api(node, path, status, **parameters)["error"]


# Who is served what.

def test_off_unless_wanted(one_lab):
    node = one_lab(options=["--metrics", ADDRESS]).nodes["a"]
    for path in ("/", "/page/main.js", "/api/overview"):
        assert ask(node, path)[0].status == 404, path
    assert ask(node, "/healthz")[0].status == 200


@pytest.mark.parametrize("options", [["--page"], ["--page", "on"], ["--page=on"]])
def test_on_loopback_by_default(one_lab, options):
    lab = one_lab(options=options)
    node = lab.nodes["a"]
    assert ask(node, "/")[0].status == 200
    listening = subprocess.run(["ip", "netns", "exec", node.netns, "ss", "-Hltn"], capture_output=True, text=True,
                               check=True).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [ADDRESS]


def test_configuration_file(one_lab, tmp_path):
    (tmp_path / "config").write_text(f"metrics: {ADDRESS}\npage: on\n", encoding="ascii")
    node = one_lab(options=["--config", str(tmp_path / "config")]).nodes["a"]
    assert ask(node, "/")[0].status == 200


def test_neither_on_nor_off():
    result = subprocess.run([BUILD / "sluiced", "--node", "x", "--page", "maybe"], capture_output=True, text=True,
                            check=False, timeout=60)
    assert (result.returncode, result.stderr) == (2, "sluiced: --page: 'maybe' is neither on nor off\n")


def test_files(lab):
    node = lab.nodes["a"]
    for path, kind in (("/", "text/html"), ("/page/page.css", "text/css"), ("/page/main.js", "text/javascript"),
                       ("/page/icon.svg", "image/svg+xml")):
        answer, body = ask(node, path)
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind), path
        assert body and answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        # Nothing from outside.
        assert b"https:" not in body and body.count(b"http://") == body.count(b"http://www.w3.org/2000/svg")


@pytest.mark.parametrize("path", ["/page/", "/page/none.js", "/page/../page/main.js", "/page/%2e%2e/main.js", "//", "/api/",
                                  "/api/none", "/api/overview/", "/index.html"])
def test_nothing_else(lab, path):
    assert ask(lab.nodes["a"], path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(lab, method):
    for path in ("/", "/api/objects?kind=Port"):
        assert ask(lab.nodes["a"], path, method)[0].status == 405


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:9177", "localhost.attacker.example", ""])
def test_names_of_strangers(lab, host):
    """A name server of theirs may point them here (DNS rebinding)."""
    for path in ("/", "/page/main.js", "/api/overview"):
        answer, body = ask(lab.nodes["a"], path, Host=host)
        assert answer.status == 421 and b"left" not in body, path
    assert ask(lab.nodes["a"], "/metrics", Host=host)[0].status == 200


@pytest.mark.parametrize("host", ["localhost:9177", "127.0.0.1:9177", "localhost:8080", "[::1]:9177"])
def test_names_of_ours(lab, host):
    assert ask(lab.nodes["a"], "/api/overview", Host=host)[0].status == 200


def test_other_pages_get_nothing(lab):
    node = lab.nodes["a"]
    for site in ("cross-site", "same-site"):
        answer, body = ask(node, "/api/overview", **{"Sec-Fetch-Site": site})
        assert answer.status == 403 and b"stats" not in body
    for site in ("same-origin", "none"):
        assert ask(node, "/api/overview", **{"Sec-Fetch-Site": site})[0].status == 200


# What is told.

def test_overview_is_what_stats_says(lab):
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]
    lab.passes(left, left.frame(right, TCP(sport=fresh_port(), dport=80, flags="S")), right)
    lab.dropped(left, left.frame(right, TCP(sport=fresh_port(), dport=81, flags="S")), "security-group-ingress", right)

    def agrees():
        before, seen, after = node.stats(), api(node, "overview"), node.stats()
        if before["ports"] != after["ports"]:
            return False
        drops = {}
        for (_, reason), packets in node.drops(after).items():
            drops[reason] = drops.get(reason, 0) + packets
        ports = [values for name, values in after["ports"].items() if name != "uplink"]
        return (seen["drops"] == drops
                and all(seen["ports"][key] == sum(values[key] for values in ports)
                        for key in ("rxPackets", "rxBytes", "txPackets", "txBytes"))
                and seen["stats"]["layers"] == after["layers"] and seen["revision"] == after["revision"])

    # The counters are read at most once a second.
    eventually(agrees)
    seen = api(node, "overview")
    assert (seen["node"], seen["ports"]["failed"], seen["uplink"]["state"]) == ("a", 1, "up")
    assert [(trouble["port"], "no such interface" in trouble["problem"]) for trouble in seen["troubles"]] == [("broken", True)]
    assert seen["objects"]["Port"] == 3
    assert seen["stats"]["connections"]["max"] == 4096


def test_ports_are_what_stats_says(lab):
    node = lab.nodes["a"]

    def agrees():
        told = {item["name"]: item for item in api(node, "ports")["ports"]}
        stats = node.stats()["ports"]
        return sorted(told) == sorted(stats) and all(
            {key: item["stats"].get(key) for key in stats[name]} == stats[name] for name, item in told.items())

    eventually(agrees)
    (item,) = api(node, "ports", name="left")["ports"]
    assert (item["mac"], item["network"], item["node"], item["state"]) == (lab["left"].mac, "blue", "a", "up")
    assert item["addresses"] == list(lab["left"].address.values())


@pytest.mark.parametrize("parameters, names", [
    ({"search": "EF"}, ["left"]), ({"search": "10.1.0.77"}, ["broken"]), ({"search": "52:54:00:00:0b:01"}, ["broken"]),
    ({"network": "blue"}, ["broken", "left", "right"]), ({"network": "bl"}, []), ({"state": "failed"}, ["broken"]),
    ({"limit": "2"}, ["broken", "left"]), ({"limit": "2", "offset": "3"}, ["uplink"]), ({"offset": "4000000000"}, []),
    ({"limit": "0"}, []), ({"name": "righ"}, [])])
def test_ports_are_found(lab, parameters, names):
    assert [item["name"] for item in api(lab.nodes["a"], "ports", **parameters)["ports"]] == names


def test_busiest_first(lab):
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]

    def first():
        left.send(left.frame(right, TCP(sport=fresh_port(), dport=80, flags="S")))
        answer = api(node, "ports", sort="received")
        return answer["ports"][0]["name"] == "left" and answer["ports"][0]["rates"]["rxBytes"] > 0

    eventually(first)


@pytest.mark.parametrize("path, parameters, why", [
    ("ports", {"limit": "501"}, "limit: 501 is more than 500"), ("ports", {"limit": "-1"}, "limit: '-1' is no number"),
    ("ports", {"offset": "1e3"}, "offset: '1e3' is no number"), ("ports", {"offset": "99999999999"}, "is no number"),
    ("ports", {"sort": "size"}, "sort: 'size' is none of"), ("ports", {"state": "odd"}, "state: 'odd' is none of"),
    ("ports", {"where": "there"}, "where: 'there' is neither all nor here"),
    ("objects", {}, "unknown kind ''"), ("objects", {"kind": "<b>"}, "unknown kind '<b>'"),
    ("connections", {"source": "x"}, "source: 'x' is no address or prefix"),
    ("connections", {"state": "establish"}, "did you mean 'established'?"),
    ("connections", {"offloaded": "yes"}, "offloaded: 'yes' is neither true nor false"),
    ("trace", {"port": "left", "packet": "tcp"}, "tcp"), ("history", {"limit": "51"}, "limit: 51 is more than 50")])
def test_what_is_wrong(lab, path, parameters, why):
    assert why in error(lab.nodes["a"], path, **parameters)


@pytest.mark.parametrize("path, parameters", [
    ("objects", {"kind": "Port", "name": "none"}), ("connections", {"port": "none"}), ("connections", {"rule": "none"}),
    ("trace", {"port": "none", "packet": "udp 10.1.0.1:1 > 10.1.0.2:2"})])
def test_what_is_not_there(lab, path, parameters):
    assert "'none'" in error(lab.nodes["a"], path, 404, **parameters)


def test_objects_are_those_of_get(lab):
    node = lab.nodes["a"]
    for kind in ("Node", "Vrf", "Network", "SecurityGroup", "Port"):
        assert api(node, "objects", kind=kind)["objects"] == node.json("get", kind)
    (item,) = api(node, "networks")["networks"]
    assert item["object"] == node.json("get", "network")[0]
    assert (item["up"], item["down"], item["failed"], item["elsewhere"]) == (2, 0, 1, 0)


def test_connections_are_those_of_flows(lab):
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]
    number = fresh_port()
    lab.passes(left, left.frame(right, TCP(sport=number, dport=80, flags="S")), right)

    def timeless(flows):
        return [{key: value for key, value in flow.items() if key not in ("age", "idle", "event")} for flow in flows]

    for parameters, options in (({}, []), ({"port": "left"}, ["--port", "left"]), ({"sourcePort": number},
                                ["--source-port", number]), ({"rule": "web[0]"}, ["--rule", "web[0]"]),
                                ({"state": "syn-sent"}, ["--state", "syn-sent"]), ({"offloaded": "true"}, ["--offloaded"])):
        told = api(node, "connections", **parameters)
        assert told["next"] == 0
        assert timeless(told["connections"]) == timeless(node.json("flows", *options)), parameters


def test_connections_in_parts(lab):
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]
    numbers = {fresh_port() for _ in range(5)}
    for number in numbers:
        lab.passes(left, left.frame(right, TCP(sport=number, dport=80, flags="S")), right)
    found, position = [], 1
    while position:
        told = api(node, "connections", port="left", protocol="tcp", position=position, limit=2)
        assert len(told["connections"]) <= 2 and (told["next"] == 0 or told["next"] > position)
        found += told["connections"]
        position = told["next"]
    assert numbers <= {flow["sourcePort"] for flow in found}
    assert len({flow["sourcePort"] for flow in found}) == len(found)


@pytest.mark.parametrize("destination_port", [80, 81])
def test_trace_is_that_of_the_command_line(lab, family, destination_port):
    node, left, right = lab.nodes["a"], lab["left"], lab["right"]
    form = "[%s]:%d" if family == "v6" else "%s:%d"
    packet = f"tcp {form % (left.address[family], 999)} > {form % (right.address[family], destination_port)} ttl 9"
    before = node.drops()
    assert api(node, "trace", port="left", packet=packet)["trace"] == node.json("trace", "--port", "left", packet)
    assert node.drops() == before


def test_reasons(lab):
    reasons = api(lab.nodes["a"], "reasons")
    assert len(reasons) > 40 and reasons["no-route"].endswith(".") and "none" not in reasons


def test_history(lab):
    node = lab.nodes["a"]
    entries = api(node, "history", limit=1)["history"]["entries"]
    assert [(entry["revision"], entry["user"]) for entry in entries] == [(node.stats()["revision"], "root")]


def test_many(one_lab):
    """Lists are cut by the node, and found in as a whole."""
    lab = one_lab(underlay="v4", options=["--metrics", ADDRESS, "--page"])
    node = lab.nodes["a"]
    prefix = UNDERLAYS["v4"].rsplit(".", 1)[0]
    lab.add_node("b", f"{prefix}.2/24", uplink={"netdev": "up0"})
    lab.objects.append({"kind": "Vrf", "name": "many"})
    lab.objects += [network(number) for number in range(30)] + [group(number) for number in range(50)]
    lab.objects += [port(number) for number in range(1200)]
    lab.up()
    answer = api(node, "ports", where="all", limit=500)
    assert answer["total"] == 1201 and len(answer["ports"]) == 500
    names = [item["name"] for offset in (0, 500, 1000)
             for item in api(node, "ports", where="all", limit=500, offset=offset)["ports"]]
    assert names == sorted({f"far{number}" for number in range(1200)} | {"uplink"})
    assert api(node, "ports", where="all", search="far1199")["total"] == 1
    assert api(node, "ports")["total"] == 1
    networks = api(node, "networks", limit=500)["networks"]
    assert [item["elsewhere"] for item in networks] == [40] * 30
    # Deleted while somebody looks.
    node.apply({**port(0), "addresses": ["10.100.0.200"]})
    assert api(node, "ports", where="all", search="10.100.0.200")["ports"][0]["name"] == "far0"
    node.delete("port", "far0")
    assert api(node, "ports", where="all", limit=1)["total"] == 1200


def test_hostile_requests(lab):
    """Whatever is asked, an answer in JSON comes, and the node goes on."""
    node = lab.nodes["a"]
    hostile = ["%00", "%ff%fe", "%22%3e%3cscript%3e", "'" * 300, "9" * 300, "%0d%0aSet-Cookie:%20x", "%5c%22", "-1", "0x10",
               "%e2%80%a8", "4294967296", "a" * 4000]
    names = {"ports": ["search", "network", "state", "where", "sort", "name", "limit", "offset"],
             "networks": ["search", "name", "limit"], "objects": ["kind", "name", "search"],
             "connections": ["port", "network", "protocol", "source", "sourcePort", "state", "rule", "offloaded", "address",
                             "position", "follow", "limit"], "trace": ["port", "packet"], "history": ["limit"]}
    for path, parameters in names.items():
        for parameter in parameters:
            for value in hostile:
                kind = "&kind=Port" if path == "objects" and parameter != "kind" else ""
                answer, body = ask(node, f"/api/{path}?{parameter}={value}{kind}")
                assert answer.status in (200, 400, 404), (path, parameter, value, body)
                assert isinstance(json.loads(body), dict)
                assert "Set-Cookie" not in answer.headers
