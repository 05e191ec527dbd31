"""Sluice: two workloads in one Network; one may open connections, the other is open on a few ports."""

import json
import os

import load
import machine
from children import Failure

NAME = "sluice"
TITLE = "Sluice"

OBJECTS = """
kind: Node
name: bench
---
kind: Network
name: blue
subnets:
  - {{cidr: 10.1.0.0/24, gateway: 10.1.0.1}}
---
kind: SecurityGroup
name: client
rules:
  - {{direction: egress}}
---
kind: SecurityGroup
name: server
rules:
  - {{direction: ingress, protocol: udp, ports: {ports}, remote: {{group: client}}}}
---
kind: Port
name: a
node: bench
network: blue
mac: "{mac[0]}"
addresses: [{address[0]}]
securityGroups: [client]
device: {{vhostUser: {{path: {sockets[0]}, mode: client}}}}
---
kind: Port
name: b
node: bench
network: blue
mac: "{mac[1]}"
addresses: [{address[1]}]
securityGroups: [server]
device: {{vhostUser: {{path: {sockets[1]}, mode: client}}}}
"""


def _program(name):
    return os.path.join(machine.ROOT, "build", name)


class Device:
    """sluiced with one worker on `cpu`. counters() counts since reset()."""

    def __init__(self, stage, sockets, connections, cpu, huge):
        for name in ("sluiced", "sluice"):
            if not os.path.exists(_program(name)):
                raise Failure(f"build/{name}: not built; run make first")
        self.stage = stage
        self.api = "unix:" + stage.path("api.sock")
        self.daemon = stage.start("sluiced", [
            _program("sluiced"), "--node", "bench", "--api", self.api, "--state", stage.path("state.db"),
            "--workers", str(cpu), "--idle", "spin", "--connections", str(max(1 << 20, 2 * connections))])
        self.daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")
        objects = stage.path("objects.yaml")
        with open(objects, "w") as file:
            file.write(OBJECTS.format(mac=load.MAC, address=load.ADDRESS, sockets=sockets,
                                      ports="-".join(map(str, load.SERVER_PORTS))))
        self._call("apply", "-f", objects)

    def _call(self, *arguments):
        return self.stage.run([_program("sluice"), "--api", self.api, *arguments])

    def _stats(self):
        text = self._call("stats", "-o", "json")
        try:
            return json.loads(text)
        except ValueError:
            raise Failure("sluice stats: not JSON") from None

    def _read(self):
        workers = self._stats().get("workers", [])
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
        return int(self._stats().get("connections", {}).get("current", 0))

    def version(self):
        return self._call("version").strip()
