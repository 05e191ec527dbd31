"""Sluice: two workloads in one Network; one may open connections, the other is open on a few ports."""

import json
import os
import re
import subprocess

import machine
import setup
from children import Failure

NAME = "sluice"
TITLE = "Sluice"


def program(name):
    return os.path.join(machine.ROOT, "build", name)


def other_rules(count, first=0):
    """Rules that no packet of the load matches: single addresses and prefixes, ranges of ports."""
    for number in range(first, first + count):
        remote = f"172.{16 + number // 65536 % 16}.{number // 256 % 256}.{number % 256}"
        length = (32, 32, 28, 24)[number % 4]
        if length < 32:
            remote = f"172.{16 + number // 65536 % 16}.{number // 256 % 256}.{number % 256 & -(1 << 32 - length) & 255}"
        low = 1 + number * 7 % 60000
        yield {"direction": "ingress", "protocol": ("udp", "tcp")[number % 2], "ports": f"{low}-{low + number % 50}",
               "remote": {"cidr": f"{remote}/{length}"}}


def server_group(rules):
    """The second workload's group; the rule that matters is in the middle."""
    ports = "-".join(map(str, setup.SERVER_PORTS))
    others = list(other_rules(rules - 1))
    middle = len(others) // 2
    return {"kind": "SecurityGroup", "name": "server", "rules": [
        *others[:middle],
        {"direction": "ingress", "protocol": "udp", "ports": ports, "remote": {"group": "client"}},
        *others[middle:]]}


def uplink(path):
    """A vhost-user uplink. A sluiced that has none of its own takes DPDK's driver."""
    done = subprocess.run([program("sluice"), "explain", "node.uplink"], capture_output=True, text=True, check=False)
    if "vhostUser" in done.stdout:
        return {"vhostUser": {"path": path, "mode": "client"}}
    return {"devargs": f"net_vhost9,iface={path},client=1"}


def network(wanted, name="blue", vni=setup.VNI, subnet="10.1.0"):
    made = {"kind": "Network", "name": name, "vni": vni,
            "subnets": [{"cidr": f"{subnet}.0/24", "gateway": f"{subnet}.1"}]}
    if wanted.function:
        made["vrf"] = "tenant"
    if wanted.idle_seconds:
        made["connectionTracking"] = {"idleTimes": {"unreplied": wanted.idle_seconds, "replied": wanted.idle_seconds}}
    return made


def balancers():
    """The second workload's network, and what leads to it."""
    first, last = setup.SERVER_FIRST, setup.SERVER_FIRST + setup.BALANCERS * setup.BALANCER_PORTS
    for start in range(first, last, setup.BALANCER_PORTS):
        ports = range(start, start + setup.BALANCER_PORTS)
        yield {"kind": "LoadBalancer", "name": f"from-{start}", "vrf": "tenant", "addresses": [setup.VIRTUAL],
               "ports": [{"protocol": "udp", "port": port} for port in ports], "members": [{"port": "b"}]}


def outside(wanted):
    """The external network, and the way there."""
    yield {"kind": "Network", "name": "outside", "subnets": [{"cidr": setup.OUTSIDE_PREFIX, "gateway": setup.OUTSIDE}],
           "external": {"addresses": [{"node": "bench", "address": setup.OUTSIDE_OWN}]}}
    yield {"kind": "Route", "name": "out", "vrf": "tenant", "destinations": ["0.0.0.0/0"],
           "nextHops": [{"external": {"network": "outside"}}]}
    # One workload has more than others are meant to: as many ports as there are.
    yield {"kind": "Nat", "name": "out", "vrf": "tenant", "network": "outside", "maxBlocks": 1024,
           "portBlock": 512 if wanted.one_address else 8192,
           "pools": [{"node": "bench", "addresses": [setup.ONE_ADDRESS if wanted.one_address else setup.POOL]}]}


def port(wanted, i, name, group):
    made = {"kind": "Port", "name": name, "node": "far" if wanted.tunnel and i == 1 else "bench", "network": "blue",
            "mac": setup.MAC[i], "addresses": [setup.ADDRESS[i]], "securityGroups": [group],
            "device": {"vhostUser": {"path": wanted.sockets[i], "mode": "client"}}}
    if i == 0 and wanted.many_clients:
        made["allowedAddresses"] = [setup.CLIENTS_PREFIX]
    if i == 0 and wanted.limits:
        made["qosPolicy"] = "limits"
    if i == 1 and wanted.function == "balance":
        made |= {"network": "green", "addresses": [setup.MEMBER]}
    return made


def objects(wanted):
    # All connections are one port's.
    node = {"kind": "Node", "name": "bench", "limits": {"connections": 1 << 30, "halfOpen": 1 << 30}}
    made = [node, network(wanted), {"kind": "SecurityGroup", "name": "client", "rules": [{"direction": "egress"}]},
            server_group(wanted.rules)]
    if wanted.tunnel:
        made.append({"kind": "Node", "name": "far", "vtep": setup.VTEP[1] + "/24", "uplink": {"netdev": "up0"}})
    if wanted.tunnel or wanted.function == "nat":
        node |= {"vtep": setup.VTEP[0] + "/24", "uplink": uplink(wanted.sockets[1])}
    if wanted.function:
        made.append({"kind": "Vrf", "name": "tenant"})
    if wanted.function == "balance":
        made += [network(wanted, "green", setup.MEMBER_VNI, "10.4.0"), *balancers()]
    if wanted.limits:
        made.append({"kind": "QosPolicy", "name": "limits", "ingress": {"rate": "400G"}, "egress": {"rate": "400G"},
                     "dscp": 10})
    made.append(port(wanted, 0, "a", "client"))
    if wanted.function == "nat":
        made += outside(wanted)
    else:
        made.append(port(wanted, 1, "b", "server"))
    return made


class Device:
    """sluiced with one worker. counters() counts since reset()."""

    def __init__(self, stage, wanted):
        for name in ("sluiced", "sluice"):
            if not os.path.exists(program(name)):
                raise Failure(f"build/{name}: not built; run make first")
        self.stage = stage
        self.api = "unix:" + stage.path("api.sock")
        self.daemon = stage.start("sluiced", [
            program("sluiced"), "--node", "bench", "--api", self.api, "--state", stage.path("state.db"),
            "--workers", str(wanted.cpu), "--idle", "spin" if wanted.spin else "sleep",
            "--connections", str(max(1 << 20, wanted.connections))])
        self.pid = self.daemon.process.pid
        self.daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")
        self.apply("objects.yaml", objects(wanted))

    def apply(self, name, values):
        """Puts objects in force."""
        path = self.stage.path(name)
        with open(path, "w") as file:
            file.write("\n---\n".join(map(json.dumps, values)) + "\n")
        self.call("apply", "-f", path)

    def call(self, *arguments):
        return self.stage.run([program("sluice"), "--api", self.api, *arguments], 60)

    def stats(self):
        text = self.call("stats", "-o", "json")
        try:
            return json.loads(text)
        except ValueError:
            raise Failure("sluice stats: not JSON") from None

    def _read(self):
        workers = self.stats().get("workers", [])
        # 64-bit numbers may be written as strings.
        return {key: sum(int(worker.get(key, 0)) for worker in workers) for key in ("packets", "busyCycles", "cycles")}

    def reset(self):
        self.before = self._read()

    def counters(self):
        """Packets received, and the cycles that went into them."""
        now = self._read()
        spent = {key: now[key] - self.before[key] for key in now}
        spent["idleCycles"] = spent.pop("cycles") - spent["busyCycles"]
        return spent

    def connections(self):
        return int(self.stats().get("connections", {}).get("current", 0))

    def drops(self):
        """Packets dropped since the start, by reason."""
        found = {}
        for worker in self.stats().get("workers", []):
            for reason, count in worker.get("drops", {}).items():
                found[reason] = found.get(reason, 0) + int(count)
        return found

    def judged(self):
        """Packets that went through the layers since the start: first ones, and those of connections judged anew."""
        return max((int(layer.get("passed", 0)) for layer in self.stats().get("layers", [])), default=0)

    def table_bytes(self):
        """Memory of the connection table that is in use: the mapping of its file."""
        size, counted = 0, False
        with open(f"/proc/{self.pid}/smaps") as file:
            for line in file:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    counted = "memfd:" in line and "flow" in line
                # Huge pages are not in Rss.
                elif counted and line.startswith(("Rss:", "Shared_Hugetlb:", "Private_Hugetlb:")):
                    size += int(line.split()[1]) * 1024
        return size

    def pool(self):
        """What the Nat's pool has in use, and has refused."""
        status = json.loads(self.call("get", "nat", "out", "-o", "json"))["status"]
        return status["pools"][0]

    def version(self):
        return self.call("version").split()[1]
