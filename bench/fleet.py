"""A fleet's objects: 100 nodes, 500 networks in 50 Vrfs, 2 000 security groups, 10 000 ports with two addresses each."""

import json

NODES, VRFS, NETWORKS, GROUPS, PORTS = 100, 50, 500, 2000, 10000


def node(number):
    return {"kind": "Node", "name": f"node-{number}", "vtep": f"10.255.{number // 250}.{number % 250 + 1}/16",
            "uplink": {"netdev": "up0"}}


def network(number):
    return {"kind": "Network", "name": f"network-{number}", "vni": 10000 + number, "vrf": f"vrf-{number % VRFS}",
            "subnets": [{"cidr": f"10.{number // 250}.{number % 250}.0/24", "gateway": f"10.{number // 250}.{number % 250}.1",
                         "dns": [f"10.{number // 250}.{number % 250}.2"]},
                        {"cidr": f"fd00:{number:x}::/64", "gateway": f"fd00:{number:x}::1"}]}


def group(number, port=443):
    return {"kind": "SecurityGroup", "name": f"group-{number}", "rules": [
        {"direction": "ingress", "protocol": "tcp", "ports": "80-81"},
        {"direction": "ingress", "protocol": "tcp", "ports": str(port), "remote": {"cidr": "10.0.0.0/8"}},
        {"direction": "ingress", "protocol": "icmp", "remote": {"group": f"group-{number}"}},
        {"direction": "egress"}]}


def port(number, host=None):
    """Ports go round the nodes, so each network's are on many; `host` gives it another address."""
    where, host = number % NETWORKS, number // NETWORKS + 10 if host is None else host
    return {"kind": "Port", "name": f"port-{number}", "node": f"node-{number // 7 % NODES}", "network": f"network-{where}",
            "mac": f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
            "addresses": [f"10.{where // 250}.{where % 250}.{host}", f"fd00:{where:x}::{host:x}"],
            "securityGroups": [f"group-{number % GROUPS}", f"group-{(number + 1) % GROUPS}"],
            "device": {"tap": {"name": f"tap{number}"}}}


def objects():
    return ([node(number) for number in range(NODES)]
            + [{"kind": "Vrf", "name": f"vrf-{number}"} for number in range(VRFS)]
            + [network(number) for number in range(NETWORKS)] + [group(number) for number in range(GROUPS)]
            + [port(number) for number in range(PORTS)])


def _lines(value, indent):
    """Block style, as people and their programs write it."""
    for key, entry in value.items():
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            yield f"{indent}{key}:"
            for item in entry:
                yield f"{indent}- {json.dumps(item)}"
        elif isinstance(entry, dict):
            yield f"{indent}{key}:"
            yield from _lines(entry, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(entry)}"


def yaml(values):
    return "\n---\n".join("\n".join(_lines(value, "")) for value in values) + "\n"


def write(path, values):
    with open(path, "w") as file:
        file.write(yaml(values))
