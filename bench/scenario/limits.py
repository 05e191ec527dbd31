"""What iperf3 gets under QosPolicies: limits of a port, a rule and a group in each direction, and minimums on an uplink.

Kernel workloads on veths, as in ../bulk.py. Counted is what arrives, as it is limited: IP packets with their headers, on an
uplink frames with their outer headers.
"""

import json
import os
import time

import bulk
import report
from bulk import MTU, VTEP
from children import Failure, Stage

NAME = "limits"
TITLE = "iperf3 under rate limits, and with minimums on an uplink"
ROUNDS = 1
SECONDS = 4
RATES = {"20M": 20e6, "200M": 200e6, "1G": 1e9}
# Of a rule, a group, and an uplink, which two senders share.
RATE = "200M"
MINIMUMS = {"50M": 50e6, "150M": 150e6}
WITHIN = 0.02
# Headers in an IP packet of MTU bytes, and of the frame around it with its outer headers.
HEADERS = {"tcp": 20 + 32, "udp": 20 + 8}
FRAME = MTU + 14 + 50
# What a sender of datagrams sends, for what it may.
OFFERED = 1.3


def cases(bench):
    if "sluice" not in bench.options.devices:
        return []
    found = [("port", direction, rate) for rate in RATES for direction in ("egress", "ingress")]
    found += [(of, direction, RATE) for of in ("rule", "group") for direction in ("egress", "ingress")]
    found += [("uplink", minimum, RATE) for minimum in MINIMUMS]
    return [{"of": of, "what": what, "rate": rate, "protocol": protocol} for of, what, rate in found for protocol in HEADERS]


def _pair(number, node, policies):
    """A client on the first node, and a server on `node`."""
    made = []
    for end, name in enumerate((f"client{number}", f"server{number}")):
        rule = {"direction": "ingress" if end else "egress", **policies.get(("rule", end), {})}
        made += [{"kind": "SecurityGroup", "name": name, "rules": [rule], **policies.get(("group", end), {})},
                 {"kind": "Port", "name": name, "node": node if end else "a", "network": "blue",
                  "mac": f"52:54:00:00:{end:02x}:{number:02x}", "addresses": [_address(number, end)],
                  "securityGroups": [name], "device": {"netdev": {"name": f"to-{name}"}},
                  **policies.get(("port", end), {})}]
    return made


def _address(number, end):
    return f"10.1.{end}.{number + 10}"


def _cables(spaces, number, node):
    for end, name in enumerate((f"client{number}", f"server{number}")):
        spaces.cable(node if end else "a", f"to-{name}", name, "eth0", MTU)
        spaces.ip(name, f"link set eth0 address 52:54:00:00:{end:02x}:{number:02x}",
                  f"addr add {_address(number, end)}/16 dev eth0")


def _iperf3(spaces, stage, number, protocol, rate, seconds):
    """A server, and the client, which has begun."""
    server = stage.start(f"server{number}", spaces.command(f"server{number}", "iperf3", "--server", "--one-off",
                                                           "--forceflush"))
    server.wait_for(lambda output: "listening" in output, 10, "server")
    datagrams = ["--udp", "--length", str(MTU - HEADERS["udp"]), "--bitrate", f"{rate * OFFERED:.0f}"]
    return stage.start(f"client{number}", spaces.command(
        f"client{number}", "iperf3", "--client", _address(number, 1), "--time", str(seconds), "--omit", "1", "--json",
        *(datagrams if protocol == "udp" else [])))


def _packets(client, protocol, seconds):
    """Bits a second that arrived, as IP packets with their headers."""
    text = client.wait_end(seconds + 60)
    said = json.loads(text[text.index("{"):])
    if "sum_received" not in said["end"]:
        raise Failure(f"iperf3: {said.get('error', 'no result')}")
    return said["end"]["sum_received"]["bits_per_second"] * MTU / (MTU - HEADERS[protocol])


NETWORK = {"kind": "Network", "name": "blue", "vni": 5001, "mtu": MTU, "subnets": [{"cidr": "10.1.0.0/16"}]}


def _limited(case, seconds, logs):
    """A limit of the client in what it sends, or of the server in what it receives."""
    end = int(case["what"] == "ingress")
    with bulk.Namespaces("a", "client0", "server0") as spaces, Stage(logs) as stage:
        _cables(spaces, 0, "a")
        call = bulk.start_nodes(spaces, stage, "a", [
            {"kind": "Node", "name": "a"}, NETWORK,
            {"kind": "QosPolicy", "name": "limited", case["what"]: {"rate": case["rate"]}},
            *_pair(0, "a", {(case["of"], end): {"qosPolicy": "limited"}})])
        client = _iperf3(spaces, stage, 0, case["protocol"], RATES[case["rate"]], seconds)
        got = _packets(client, case["protocol"], seconds)
        status = json.loads(stage.run([*call, "get", "qospolicy", "limited", "-o", "json"]))["status"]["qosPolicy"]
        over = sum(int(status.get(case["what"], {}).get(key, 0)) for key in ("delayed", "dropped"))
        if not over:
            raise Failure("the limit was not reached")
        return {"achieved": got / RATES[case["rate"]]}


def _shared(case, seconds, logs):
    """Two on one uplink, which both want more than there is."""
    names = [f"{end}{number}" for number in range(len(MINIMUMS)) for end in ("client", "server")]
    with bulk.Namespaces("a", "b", *names) as spaces, Stage(logs) as stage:
        bulk.underlay(spaces)
        objects = [NETWORK, {"kind": "Node", "name": "a", "vtep": VTEP[0] + "/24",
                             "uplink": {"netdev": "up0", "rate": case["rate"]}},
                   {"kind": "Node", "name": "b", "vtep": VTEP[1] + "/24", "uplink": {"netdev": "up0"}}]
        for number, minimum in enumerate(MINIMUMS):
            _cables(spaces, number, "b")
            objects += [{"kind": "QosPolicy", "name": minimum, "minimum": minimum},
                        *_pair(number, "b", {("port", 0): {"qosPolicy": minimum}})]
        bulk.start_nodes(spaces, stage, "ab", objects)
        # Whose share is measured begins first: then the others send all the time that counts.
        order = sorted(range(len(MINIMUMS)), key=lambda number: list(MINIMUMS)[number] != case["what"])
        clients = [_iperf3(spaces, stage, number, case["protocol"], RATES[case["rate"]], seconds) for number in order]
        return {"achieved": _packets(clients[0], case["protocol"], seconds) * FRAME / MTU / MINIMUMS[case["what"]]}


def measure_case(bench, case):
    before = os.sched_getaffinity(0)
    # Nothing is pinned here.
    os.sched_setaffinity(0, range(os.cpu_count()))
    seconds = 1 if bench.quick else SECONDS
    try:
        return [(_shared if case["of"] == "uplink" else _limited)(case, seconds, bench.logs("sluice"))]
    finally:
        os.sched_setaffinity(0, before)


def table(entries):
    found = [("limit", "asked", "TCP", "UDP")]
    for entry in entries:
        if entry["protocol"] == "tcp":
            other = report.find(entries, **{**{key: entry[key] for key in ("of", "what", "rate")}, "protocol": "udp"})
            found.append((f"{entry['of']}, {entry['what']}", entry["rate"],
                          *(report.cell(report.median(each, "achieved"), "{:.1%}") for each in (entry, other))))
    return found


def rows(entries):
    found = []
    for title, chosen in (("iperf3 under a limit", [entry for entry in entries if entry["of"] != "uplink"]),
                          ("minimums on a shared uplink", [entry for entry in entries if entry["of"] == "uplink"])):
        if not chosen:
            continue
        parts = [report.median(entry, "achieved") for entry in chosen]
        worst = max(chosen, key=lambda entry: abs(report.median(entry, "achieved") - 1))
        found.append(report.Row(
            title, "within 2 % of it", f"{min(parts):.1%} to {max(parts):.1%} in {len(parts)} cases",
            all(abs(part - 1) <= WITHIN for part in parts),
            f"furthest: {worst['protocol'].upper()}, {worst['of']}, {worst['what']}, {worst['rate']}"))
    return found
