"""Open vSwitch with DPDK, with the same policy, tunnel and devices. What an agent beside it would do at once (flows put back
after a restart) is done at once.

The devices are interfaces of a kernel, to which its userspace datapath attaches by packet sockets: of those it learns by
netlink that they go or lose their link, where DPDK's own drivers for them would say nothing.
"""

import os
import re

import setup
from bulk import PREFIX
from children import Failure
from device import ovs
from servicing.world import GUEST_ADDRESS, GUEST_MAC, UPLINKS, end_at_once, wait

NAME = ovs.NAME
TITLE = ovs.TITLE
TUNNEL = True
NOTES = {"upgraded": "Open vSwitch is restarted as by its ovs-ctl, which keeps its flows, while nothing is forwarded; tracked "
                     "connections are lost"}
GUEST_PORT = 3


class Device(ovs.Device):
    def __init__(self, stage, world):
        # pylint: disable=super-init-not-called
        if not os.path.exists(ovs.SWITCHD):
            raise Failure(f"{ovs.SWITCHD}: not installed")
        self.world = world
        self.socket = stage.path("guest.sock")
        self.prepare(stage)
        self.inside = world.command("a")
        world.workload("p0")
        wanted = setup.Setup(tunnel=True, huge=False)
        self.start_database(wanted, setup.DEVICE_CPU)
        self.start_switch()
        self._vsctl(*self._bridge("br-phy"), "fail_mode=standalone",
                    "--", "add-bond", "br-phy", "bond0", *UPLINKS, "bond_mode=active-backup",
                    *self._bridge("br-int"), "fail_mode=secure", "--", "add-port", "br-int", "p0", "--", "set", "Interface",
                    "p0", "ofport_request=1", *self.tunnel_port())
        self._check_ports("p0", "vx", *UPLINKS)
        self.flows = [*ovs.policy(wanted), *self.guest_flows()]
        self.add_flows()
        self.address()
        self.restore()

    @staticmethod
    def guest_flows():
        """A further workload, to which the client may open connections."""
        yield f"table=1,priority=5,ct_state=+trk+new,udp,nw_dst={GUEST_ADDRESS},actions=ct(commit,zone=1),resubmit(,2)"
        yield f"table=2,dl_dst={GUEST_MAC},actions=output:{GUEST_PORT}"

    def close(self):
        pass

    def address(self):
        self.tunnel_address(self.far_mac())

    def far_mac(self):
        text = self.stage.run(["ip", "-n", PREFIX + "far", "-o", "link", "show", "up0"])
        return re.search(r"link/ether (\S+)", text).group(1)

    def carrying(self):
        found = re.search(r"^active member mac: .*\((\w+)\)", self._appctl("bond/show", "bond0"), re.MULTILINE)
        return found and found.group(1)

    def wait(self, device):
        wait(lambda: self.carrying() == device, f"{device} carries the bond")

    # The events.

    def planned(self):
        for device in ("up1", "up0"):
            self.move(device)
            self.wait(device)

    def removed(self):
        self.world.remove("up0")
        self.wait("up1")

    def unplugged(self):
        self.world.unplug("up0")
        self.wait("up1")

    def upgraded(self):
        """As `ovs-ctl restart` does: the flows are put back before it forwards."""
        self._appctl("exit")
        self.switch.wait_end(30)
        self._vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
        self.start_again()
        self._vsctl("--no-wait", "remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait")

    def killed(self):
        end_at_once(self.switch.process.pid)
        self.start_again()

    def start_again(self):
        """With the flows of before. Its tunnel address was on an interface that it makes."""
        self.start_switch()
        self.switch.wait_for(lambda _output: self.has_ports(), 30, "ports")
        self.add_flows()
        self.address()

    def has_ports(self):
        try:
            text = self.stage.run(["ovs-ofctl", "show", "unix:" + self.stage.path("br-int.mgmt")], env=self.env)
        except Failure:
            return False
        return "(vx)" in text and "(p0)" in text

    def restore(self):
        """The first device is there, and carries. Nobody prefers it: an agent that moves the bond could not do so otherwise."""
        self.world.restore("up0")
        wait(lambda: self.carrying() == "up0" or self.move("up0"), "up0 carries the bond")

    def move(self, device):
        """Fails as long as there is no such device."""
        try:
            self._appctl("bond/set-active-member", "bond0", device)
        except Failure:
            pass

    def to_guest(self):
        self._vsctl("--", *self._guest("br-int", "guest", self.socket, GUEST_PORT)[1:])
        return ("client", "eth0", setup.MAC[0], setup.ADDRESS[0]), self.socket
