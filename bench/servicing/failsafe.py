"""DPDK's failsafe driver over two devices, and a program that forwards between it and the workload (failsafe.c): no policy, no
tunnel, no connections."""

import os

import machine
import program
import setup
from servicing.world import UPLINKS, end_at_once

NAME = "failsafe"
TITLE = "DPDK failsafe"
TUNNEL = False
NOTES = {
    "planned": "DPDK's failsafe driver can't be told to use another device, and its program has no upgrade",
    "unplugged": "failsafe looks at removal and not at links: it sends to the device without a cable until the cable "
                 "is back, some seconds later",
    "killed": "nothing is kept, and nothing is to be kept: failsafe's program forwards without policy, tunnel and connections"}
BUILD = os.path.join(machine.ROOT, "build", "bench")


class Device:
    def __init__(self, stage, world):
        self.stage, self.world = stage, world
        self.socket = stage.path("guest.sock")
        self.workload = "net_af_packet0,iface=p0"
        self.starts = 0
        world.workload("p0")
        self.start()

    def close(self):
        pass

    def start(self):
        self.starts += 1
        devices = [f"dev(net_af_packet{number},iface={name})" for number, name in enumerate(UPLINKS, 1)]
        self.daemon = self.stage.start(f"failsafe-{self.starts}", self.world.command(
            "a", program.build("failsafe", BUILD, "libdpdk"),
            *machine.eal_options(f"0@{setup.DEVICE_CPU}", "failsafe", False, 256), "--no-shconf", "--vdev", self.workload,
            "--vdev", ",".join([f"net_failsafe0,mac={setup.MAC[0]}", *devices]), "--", "up0=net_af_packet1"), 1200)
        self.daemon.wait_for(lambda output: "ready" in output.splitlines(), 30, "ready")

    def connections(self):
        return 0

    # The events.

    def removed(self):
        self.world.remove("up0")

    def unplugged(self):
        self.world.unplug("up0")

    def killed(self):
        end_at_once(self.daemon.process.pid)
        self.start()

    def restore(self):
        self.world.restore("up0")
        self.killed()

    def to_guest(self):
        """The workload has a vhost-user port in place of the other one."""
        end_at_once(self.daemon.process.pid)
        self.workload = f"net_vhost0,iface={self.socket},client=1"
        self.start()
        return ("far", "eth0", setup.MAC[1], setup.ADDRESS[1]), self.socket

    def version(self):
        return machine.package_version("librte-net-failsafe23")
