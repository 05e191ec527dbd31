"""Where what is serviced stands: node a has two cables to a switch; the other end of its tunnel is a kernel at a third.

A workload is in the namespace `client`, another one in `far`. Neither has an address there: their frames are the
benchmark's own, and no kernel answers to them.
"""

import os
import signal
import time

import machine
import setup
from bulk import Namespaces
from children import Failure

SPACES = ("a", "wire", "far", "client")
UPLINKS = ("up0", "up1")
MTU = 1450
# A workload beside the client, on a vhost-user port.
GUEST_MAC, GUEST_ADDRESS = "52:54:00:00:00:03", "10.1.0.13"


class World(Namespaces):
    def __init__(self, tunnel=True):
        super().__init__(*SPACES)
        self.tunnel = tunnel

    def __enter__(self):
        super().__enter__()
        self.ip("wire", "link add br0 type bridge mcast_snooping 0", "link set br0 up")
        for device in UPLINKS:
            self.uplink(device)
        self.cable("far", "up0", "wire", "far-up0", 1500)
        self.ip("wire", "link set far-up0 master br0")
        if self.tunnel:
            self.ip("far", f"addr add {setup.VTEP[1]}/24 dev up0",
                    f"link add eth0 mtu {MTU} address {setup.MAC[1]} type vxlan id {setup.VNI} local {setup.VTEP[1]} "
                    f"remote {setup.VTEP[0]} dstport 4789 noudpcsum", "link set eth0 up")
        else:
            self.ip("far", "link set up0 down", f"link set up0 address {setup.MAC[1]} name eth0", "link set eth0 up")
        return self

    def uplink(self, device):
        self.cable("a", device, "wire", f"a-{device}", 1500)
        self.ip("wire", f"link set a-{device} master br0")

    def workload(self, device):
        """A cable from node a to the client."""
        self.cable("a", device, "client", "eth0", MTU)
        self.ip("client", f"link set eth0 address {setup.MAC[0]}")

    # What happens to a device.

    def remove(self, device):
        self.ip("a", f"link del {device}")

    def unplug(self, device):
        self.ip("wire", f"link set a-{device} down")

    def restore(self, device):
        """As it was before one of these."""
        try:
            self.ip("wire", f"link set a-{device} up")
        except Failure:
            self.uplink(device)


def ended(pid):
    """None of its threads is left, the first of which may seem to have ended before."""
    state = machine.read_file(f"/proc/{pid}/stat")
    try:
        return not state or ") Z" in state and len(os.listdir(f"/proc/{pid}/task")) == 1
    except FileNotFoundError:
        return True


def end_at_once(pid):
    """SIGKILL; until the process is gone with all that it held."""
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while not ended(pid):
        if time.monotonic() > end:
            raise Failure(f"process {pid} does not end")
        time.sleep(0.001)


def wait(condition, what, seconds=30):
    """Until it holds, and then a little for what is still on its way."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    time.sleep(0.3)
