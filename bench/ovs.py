"""Open vSwitch with DPDK: what a user would otherwise run, with the policy that Sluice gets.

It has its own database, sockets and network namespace; the Open vSwitch of the machine is not touched. Nothing is
tuned beyond the number of forwarding cores.
"""

import os
import re

import load
import machine
from children import Failure

NAME = "ovs"
TITLE = "Open vSwitch with DPDK"
SWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def _port_masks(first, last):
    """The range as OpenFlow's port/mask pairs."""
    pairs = []
    while first <= last:
        size = (first & -first) or 0x10000
        while first + size - 1 > last:
            size //= 2
        pairs.append(f"{first:#x}/{0x10000 - size:#x}")
        first += size
    return pairs


def _policy():
    """Anti-spoofing, then connection tracking, then the rules for new connections, then delivery by MAC address."""
    flows = []
    for i in range(2):
        flows += [
            f"table=0,priority=10,in_port=p{i},dl_src={load.MAC[i]},ip,nw_src={load.ADDRESS[i]},"
            "actions=ct(zone=1,table=1)",
            f"table=2,dl_dst={load.MAC[i]},actions=output:p{i}",
        ]
    flows += [
        "table=1,priority=10,ct_state=+trk+est,actions=resubmit(,2)",
        "table=1,priority=10,ct_state=+trk+rel,actions=resubmit(,2)",
    ]
    for ports in _port_masks(*load.SERVER_PORTS):
        flows.append(
            f"table=1,priority=5,ct_state=+trk+new,udp,nw_src={load.ADDRESS[0]},nw_dst={load.ADDRESS[1]},"
            f"tp_dst={ports},actions=ct(commit,zone=1),resubmit(,2)")
    return flows


class Device:
    """The switch with one forwarding thread on `cpu`. counters() counts since reset()."""

    def __init__(self, stage, sockets, connections, cpu, huge):
        if not os.path.exists(SWITCHD):
            raise Failure(f"{SWITCHD}: not installed")
        self.stage = stage
        self.database = "unix:" + stage.path("db.sock")
        self.control = stage.path("ctl")
        self.env = {name: stage.directory for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")}
        self._start(cpu, huge)
        self._configure(sockets)

    def _start(self, cpu, huge):
        stage = self.stage
        stage.run(["ovsdb-tool", "create", stage.path("conf.db"), SCHEMA], env=self.env)
        database = stage.start("ovsdb-server", [
            "ovsdb-server", stage.path("conf.db"), "--remote=p" + self.database, "--no-chdir",
            "--unixctl=" + stage.path("dbctl")], env=self.env)
        database.wait_for(lambda _output: os.path.exists(stage.path("db.sock")), 10, "socket")
        # Without --legacy-mem, which --no-huge implies, the switch would add --in-memory, and refuse the two together.
        memory = "--in-memory --single-file-segments" if huge else "--no-huge --legacy-mem -m 2048"
        self._vsctl("--no-wait", "init")
        self._vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                    f"other_config:pmd-cpu-mask={1 << cpu:#x}", f"other_config:dpdk-lcore-mask={1 << load.CPU:#x}",
                    f'other_config:dpdk-extra="--no-pci --no-telemetry --file-prefix ovs {memory}"')
        # The bridge brings an interface of its own, which belongs into a namespace that goes with the process.
        self.switch = stage.start("ovs-vswitchd", [
            "unshare", "--net", SWITCHD, self.database, "--no-chdir", "--unixctl=" + self.control], env=self.env)
        self.switch.wait_for(lambda output: "DPDK Enabled - initialized" in output, 30, "DPDK")

    def _configure(self, sockets):
        command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure"]
        for i, path in enumerate(sockets):
            command += ["--", "add-port", "br0", f"p{i}", "--", "set", "Interface", f"p{i}",
                        "type=dpdkvhostuserclient", f"options:vhost-server-path={path}", f"ofport_request={i + 1}"]
        self._vsctl(*command)
        for i in range(2):
            error = self._vsctl("get", "Interface", f"p{i}", "error").strip()
            if error != "[]":
                raise Failure(f"ovs-vswitchd: port p{i}: {error}")
        with open(self.stage.path("flows"), "w") as file:
            file.write("\n".join(_policy()) + "\n")
        self.stage.run(["ovs-ofctl", "add-flows", "unix:" + self.stage.path("br0.mgmt"), self.stage.path("flows")],
                       env=self.env)

    def _vsctl(self, *arguments):
        return self.stage.run(["ovs-vsctl", "--timeout=60", "--db=" + self.database, *arguments], env=self.env)

    def _appctl(self, *arguments):
        return self.stage.run(["ovs-appctl", "--timeout=20", "-t", self.control, *arguments], env=self.env)

    def reset(self):
        self.before = self._read()

    def counters(self):
        """Packets received, and the cycles that went into them."""
        now = self._read()
        return {key: now[key] - self.before[key] for key in now}

    def _read(self):
        text = self._appctl("dpif-netdev/pmd-stats-show")
        values = {}
        for key, label in (("packets", "packets received"), ("busyCycles", "processing cycles"),
                           ("idleCycles", "idle cycles"), ("emcHits", "emc hits")):
            found = re.search(rf"pmd thread.*?{label}: (\d+)", text, re.DOTALL)
            if not found:
                raise Failure(f"ovs-appctl: no {label!r} in pmd-stats-show")
            values[key] = int(found.group(1))
        return values

    def connections(self):
        return int(self._appctl("dpctl/ct-get-nconns"))

    def version(self):
        return machine.package_version("openvswitch-switch-dpdk")
