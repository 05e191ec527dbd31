"""Open vSwitch with DPDK: what a user would otherwise run, with the policy that Sluice gets.

It has its own database, sockets and network namespace; the Open vSwitch of the machine is not touched. Nothing is
tuned beyond the number of forwarding cores; for new connections also how many may be tracked, and the cache of exact
matches is left out, which new connections only thrash. It keeps its own times (30 seconds and more) after which connections
end: none does while it is measured. Ending them is work under a mutex that forwarding takes for each new one, by a thread
that would have a CPU of its own elsewhere, and has none beside load and forwarding.
"""

import os
import re

import machine
import setup
from children import Failure

NAME = "ovs"
TITLE = "Open vSwitch with DPDK"
SWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
# It tracks so many unless it is told otherwise.
CONNECTIONS = 3000000


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


def policy(wanted):
    """Anti-spoofing, then connection tracking, then the rules for new connections, then delivery by MAC address."""
    mac, address = setup.MAC, setup.ADDRESS
    source = [f"in_port=p{i},dl_src={mac[i]},ip,nw_src={address[i]}" for i in range(2)]
    out = [f"output:p{i}" for i in range(2)]
    if wanted.tunnel:
        source[1] = f"in_port=vx,tun_id={setup.VNI},dl_src={mac[1]},ip,nw_src={address[1]}"
        out[1] = f"set_field:{setup.VNI}->tun_id,output:vx"
    flows = []
    for i in range(2):
        flows += [f"table=0,priority=10,{source[i]},actions=ct(zone=1,table=1)",
                  f"table=2,dl_dst={mac[i]},actions={out[i]}"]
    flows += [
        "table=1,priority=10,ct_state=+trk+est,actions=resubmit(,2)",
        "table=1,priority=10,ct_state=+trk+rel,actions=resubmit(,2)",
    ]
    for ports in _port_masks(*setup.SERVER_PORTS):
        flows.append(f"table=1,priority=5,ct_state=+trk+new,udp,nw_src={address[0]},nw_dst={address[1]},"
                     f"tp_dst={ports},actions=ct(commit,zone=1),resubmit(,2)")
    return flows


def _deliver(port, source, destination):
    """As a router does."""
    return f"mod_dl_src:{source},mod_dl_dst:{destination},dec_ttl,output:{port}"


def _translating_policy(wanted):
    """The same with addresses that ct() translates, between two subnets."""
    mac, client, gateway = setup.MAC, setup.ADDRESS[0], setup.gateway_mac(setup.VNI)
    balance = wanted.function == "balance"
    server = setup.MEMBER if balance else setup.OUTSIDE
    called = setup.VIRTUAL if balance else setup.OUTSIDE
    new = f"nat(dst={server})" if balance else f"nat(src={setup.POOL_RANGE})"
    flows = [
        f"table=0,priority=10,in_port=p0,dl_src={mac[0]},ip,nw_src={client},actions=ct(zone=1,nat,table=1)",
        f"table=0,priority=10,in_port=p1,dl_src={mac[1]},ip,nw_src={server},actions=ct(zone=1,nat,table=1)",
        "table=1,priority=10,ct_state=+trk+est,actions=resubmit(,2)",
        "table=1,priority=10,ct_state=+trk+rel,actions=resubmit(,2)",
        # Until there is an answer it stays new, and is translated all the same.
        f"table=1,priority=10,ct_state=+trk+new,ip,in_port=p0,{'nw_dst' if balance else 'nw_src'}="
        f"{setup.MEMBER if balance else setup.POOL},ct_nw_src={client},ct_nw_dst={called},actions=resubmit(,2)",
        f"table=2,ip,nw_dst={client},actions={_deliver('p0', gateway, mac[0])}",
        f"table=2,ip,nw_dst={server},actions={_deliver('p1', gateway, mac[1])}",
    ]
    for ports in _port_masks(*setup.SERVER_PORTS):
        flows.append(f"table=1,priority=5,ct_state=+trk+new,udp,in_port=p0,nw_src={client},nw_dst={called},"
                     f"tp_dst={ports},actions=ct(commit,zone=1,{new},table=2)")
    return flows


class Device:
    """The switch with one forwarding thread. counters() counts since reset()."""

    def __init__(self, stage, wanted):
        if not os.path.exists(SWITCHD):
            raise Failure(f"{SWITCHD}: not installed")
        self.prepare(stage)
        self.start_database(wanted, setup.LOAD_CPU)
        self.start_switch()
        if wanted.tunnel:
            self._configure_tunnel(wanted.sockets)
        else:
            self._configure_local(wanted.sockets)
        self._track(wanted)
        self.flows = _translating_policy(wanted) if wanted.function else policy(wanted)
        self.add_flows()

    def prepare(self, stage):
        self.stage = stage
        self.database = "unix:" + stage.path("db.sock")
        self.control = stage.path("ctl")
        self.env = {name: stage.directory for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")}
        # Bridges bring interfaces of their own, which belong into a namespace that goes with the process.
        self.inside = ["unshare", "--net"]
        self.starts = 0

    def add_flows(self):
        with open(self.stage.path("flows"), "w") as file:
            file.write("\n".join(self.flows) + "\n")
        self.stage.run(["ovs-ofctl", "add-flows", "unix:" + self.stage.path("br-int.mgmt"), self.stage.path("flows")],
                       env=self.env)

    def start_database(self, wanted, control_cpu):
        """With the switch's settings; what does not forward runs on that CPU."""
        stage = self.stage
        stage.run(["ovsdb-tool", "create", stage.path("conf.db"), SCHEMA], env=self.env)
        database = stage.start("ovsdb-server", [
            "ovsdb-server", stage.path("conf.db"), "--remote=p" + self.database, "--no-chdir",
            "--unixctl=" + stage.path("dbctl")], env=self.env)
        database.wait_for(lambda _output: os.path.exists(stage.path("db.sock")), 10, "socket")
        # Without --legacy-mem, which --no-huge implies, the switch would add --in-memory, and refuse the two together.
        memory = "--in-memory --single-file-segments" if wanted.huge else "--no-huge --legacy-mem -m 2048"
        self._vsctl("--no-wait", "init")
        self._vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                    f"other_config:pmd-cpu-mask={1 << wanted.cpu:#x}",
                    f"other_config:dpdk-lcore-mask={1 << control_cpu:#x}",
                    f'other_config:dpdk-extra="--no-pci --no-telemetry --file-prefix ovs {memory}"')

    def start_switch(self):
        self.starts += 1
        self.switch = self.stage.start(f"ovs-vswitchd-{self.starts}", [
            *self.inside, SWITCHD, self.database, "--no-chdir", "--unixctl=" + self.control], 1200, env=self.env)
        self.switch.wait_for(lambda output: "DPDK Enabled - initialized" in output, 30, "DPDK")

    @staticmethod
    def _bridge(name):
        return ["--", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"]

    @staticmethod
    def _guest(bridge, name, path, number):
        return ["--", "add-port", bridge, name, "--", "set", "Interface", name, "type=dpdkvhostuserclient",
                f"options:vhost-server-path={path}", f"ofport_request={number}"]

    def _check_ports(self, *names):
        for name in names:
            error = self._vsctl("get", "Interface", name, "error").strip()
            if error != "[]":
                raise Failure(f"ovs-vswitchd: port {name}: {error}")

    def _configure_local(self, sockets):
        self._vsctl(*self._bridge("br-int"), "fail_mode=secure",
                    *self._guest("br-int", "p0", sockets[0], 1), *self._guest("br-int", "p1", sockets[1], 2))
        self._check_ports("p0", "p1")

    def _configure_tunnel(self, sockets):
        """As with OpenStack and OVN: br-int has the policy and the tunnel, br-phy the underlay's address and device."""
        self._vsctl(*self._bridge("br-phy"), "fail_mode=standalone",
                    *self._guest("br-phy", "p1", sockets[1], 1),
                    *self._bridge("br-int"), "fail_mode=secure", *self._guest("br-int", "p0", sockets[0], 1),
                    *self.tunnel_port())
        self._check_ports("p0", "p1", "vx")
        self.tunnel_address(setup.UNDERLAY_MAC)

    @staticmethod
    def tunnel_port():
        return ["--", "add-port", "br-int", "vx", "--", "set", "Interface", "vx", "type=vxlan", "ofport_request=2",
                f"options:local_ip={setup.VTEP[0]}", f"options:remote_ip={setup.VTEP[1]}", "options:key=flow"]

    def tunnel_address(self, remote_mac):
        """Of br-phy; and the other node's MAC address."""
        inside = ["nsenter", f"--net=/proc/{self.switch.process.pid}/ns/net", "ip"]
        self.stage.run([*inside, "addr", "replace", f"{setup.VTEP[0]}/24", "dev", "br-phy"])
        self.stage.run([*inside, "link", "set", "br-phy", "up"])
        # It looks at the kernel's routes now and then, and would ask by ARP when the first packet comes.
        self.switch.wait_for(lambda _output: "br-phy" in self._appctl("ovs/route/show"), 10, "route")
        self._appctl("tnl/neigh/set", "br-phy", setup.VTEP[1], remote_mac)

    def _track(self, wanted):
        if wanted.connections > CONNECTIONS:
            self._appctl("dpctl/ct-set-maxconns", str(wanted.connections))
        if wanted.idle_seconds:
            self._vsctl("set", "Open_vSwitch", ".", "other_config:emc-insert-inv-prob=0")

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
                           ("idleCycles", "idle cycles"), ("emcHits", "emc hits"),
                           ("recirculated", "packet recirculations")):
            found = re.search(rf"pmd thread.*?{label}: (\d+)", text, re.DOTALL)
            if not found:
                raise Failure(f"ovs-appctl: no {label!r} in pmd-stats-show")
            values[key] = int(found.group(1))
        return values

    def connections(self):
        return int(self._appctl("dpctl/ct-get-nconns"))

    def version(self):
        return machine.package_version("openvswitch-switch-dpdk")
