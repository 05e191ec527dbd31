"""Sluice: one worker, which sleeps when there is nothing to do; everything else as by default."""

import glob
import json
import os

import machine
import setup
from bulk import PREFIX
from servicing.world import GUEST_ADDRESS, GUEST_MAC, UPLINKS, end_at_once, wait

NAME = "sluice"
TITLE = "Sluice"
TUNNEL = True
NOTES = {}
MEMORY = "/dev/shm"


def objects(socket):
    limits = {"connections": 1 << 30, "halfOpen": 1 << 30}
    yield {"kind": "Node", "name": "a", "vtep": setup.VTEP[0] + "/24", "limits": limits,
           "uplink": {"devices": [{"netdev": device} for device in UPLINKS]}}
    yield {"kind": "Node", "name": "far", "vtep": setup.VTEP[1] + "/24", "uplink": {"netdev": "up0"}}
    yield {"kind": "Network", "name": "blue", "vni": setup.VNI, "subnets": [{"cidr": "10.1.0.0/24"}]}
    yield {"kind": "SecurityGroup", "name": "client", "rules": [{"direction": "egress"}]}
    yield {"kind": "SecurityGroup", "name": "server", "rules": [
        {"direction": "ingress", "protocol": "udp", "ports": "-".join(map(str, setup.SERVER_PORTS)),
         "remote": {"group": "client"}}]}
    for name, node, mac, address, group, device in (
            ("client", "a", setup.MAC[0], setup.ADDRESS[0], "client", {"tap": {"name": "eth0", "netns": PREFIX + "client"}}),
            ("guest", "a", GUEST_MAC, GUEST_ADDRESS, "server", {"vhostUser": {"path": socket, "mode": "client"}}),
            ("server", "far", setup.MAC[1], setup.ADDRESS[1], "server", {"tap": {"name": "eth0"}})):
        yield {"kind": "Port", "name": name, "node": node, "network": "blue", "mac": mac, "addresses": [address],
               "securityGroups": [group], "device": device}


class Device:
    def __init__(self, stage, world):
        self.stage, self.world = stage, world
        self.api = "unix:" + stage.path("a.sock")
        self.flows = os.path.join(MEMORY, os.path.basename(stage.directory) + ".flows")
        self.starts = 0
        self.socket = stage.path("guest.sock")
        self.switched = []  # milliseconds that upgrades took, as the daemon says
        self.start()
        path = stage.path("objects.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n---\n".join(map(json.dumps, objects(self.socket))))
        self.call("apply", "-f", path)
        world.ip("client", "link set eth0 up")
        self.wait("up0")

    def close(self):
        """The connection table outlives the process."""
        for path in glob.glob(self.flows + "*"):
            os.unlink(path)

    def start(self):
        self.starts += 1
        daemon = self.stage.start(f"sluiced-{self.starts}", self.world.command(
            "a", self.program("sluiced"), "--node", "a", "--api", self.api, "--state", self.stage.path("a.db"),
            "--workers", str(setup.DEVICE_CPU), "--connections", "524288", "--memory", "64", "--flows", self.flows), 1200)
        daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")
        self.pid = daemon.process.pid

    @staticmethod
    def program(name):
        return os.path.join(machine.ROOT, "build", name)

    def call(self, *arguments):
        return self.stage.run([self.program("sluice"), "--api", self.api, *arguments], 60)

    def connections(self):
        return int(json.loads(self.call("stats", "-o", "json"))["connections"]["current"])

    def carrying(self):
        status = json.loads(self.call("get", "node", "a", "-o", "json"))["status"]
        return [device["name"] for device in status["devices"] if device["state"] == "carries"]

    def wait(self, device):
        wait(lambda: device in self.carrying(), f"{device} carries the uplink")

    # The events.

    def planned(self):
        self.call("drain", "uplink", "up0")
        self.wait("up1")
        self.call("undrain", "uplink", "up0")
        self.wait("up0")

    def removed(self):
        self.world.remove("up0")
        self.wait("up1")

    def unplugged(self):
        self.world.unplug("up0")
        self.wait("up1")

    def upgraded(self):
        answer = json.loads(self.call("upgrade", "-o", "json"))
        self.pid = int(answer["pid"])
        self.switched.append(int(answer["gapMicroseconds"]) / 1000)

    def killed(self):
        """And started again at once, as a supervisor would."""
        end_at_once(self.pid)
        self.start()
        self.wait("up0")

    def restore(self):
        if "up0" not in self.carrying():
            self.world.restore("up0")
            self.wait("up0")

    def to_guest(self):
        """Where streams to the vhost-user workload begin, and its socket."""
        return ("client", "eth0", setup.MAC[0], setup.ADDRESS[0]), self.socket

    def version(self):
        return self.call("version").split()[1]
