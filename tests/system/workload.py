"""A workload: a namespace with the virtual NIC that a Port object gives it."""

import ipaddress
import socket
import subprocess

import netns
import vlan as vlans
from machine import Machine
from node import DEADLINE
from packets import Ether, Wire, ip_header, told, token, who_has

FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}
DEFAULTS = {"v4": "0.0.0.0/0", "v6": "::/0"}


class Workload:
    """With `kernel` the namespace's own network stack uses the port; without, only the frames of the test do.

    With `automatic` it is for programs in it to find out its addresses. With `veth` a veth instead of a tap leads to
    it, whose other end, to-NAME, is the node's; with `machine` it is behind a tap of the node's, as a virtual machine. `vlan`, as ("trunk", 100), makes it a
    sub-interface of another workload: a VLAN interface on that one's, in a namespace of its own.
    """

    def __init__(self, lab, name, node, network, number, host=None, kernel=False, automatic=False, vlan=None,
                 veth=False, machine=False, **fields):
        self.lab = lab
        self.name = name
        self.node = lab.nodes.get(node)
        self.network = network
        self.kernel = kernel or automatic
        self.automatic = automatic
        self.interface = "eth0"
        self.mac = "52:54:00:00:%02x:%02x" % (number >> 8, number & 255)
        self.host = host or 10 + number
        self.address = {}
        for family in network.prefix:
            self.address[family] = str(ipaddress.ip_network(network.prefix[family])[self.host])
        self.netns = netns.make(name, silent=not self.kernel)
        self.object = {"kind": "Port", "name": name, "node": node, "network": network.name, "mac": self.mac,
                       "addresses": list(self.address.values()),
                       "device": {"tap": {"name": self.interface, "netns": self.netns}}, **fields}
        self.machine = None
        if veth:
            self.make_veth(f"to-{name}")
        if machine:
            self.object["device"] = {"netdev": {"name": f"to-{name}"}}
            self.machine = Machine(self, f"to-{name}")
        self.vlan = vlan
        if vlan:
            self.object["device"] = {"vlan": {"port": vlan[0], "id": vlan[1]}}
        self.wire = None
        self._gateway_macs = {}

    def __str__(self):
        return self.name

    # As its owner configures it.

    def configure(self):
        """Addresses and routes as the network's objects say, once the interface is there."""
        if self.vlan:
            self.make_vlan()
        commands = []
        for family, address in self.address.items():
            prefix = ipaddress.ip_network(self.network.prefix[family])
            commands.append(f"addr replace {address}/{prefix.prefixlen} dev {self.interface}"
                            + (" nodad" if family == "v6" else ""))
            if gateway := self.network.gateway.get(family):
                commands.append(f"route replace {DEFAULTS[family]} via {gateway}")
        netns.ip(self.netns, *commands)

    def make_vlan(self):
        parent = self.lab[self.vlan[0]]
        vlans.make(parent.netns, parent.interface, self.vlan[1], self.netns, self.interface, self.mac,
                  self.network.object.get("mtu", 1450))

    def make_veth(self, there):
        self.object["device"] = {"netdev": {"name": there}}
        mtu = self.network.object.get("mtu", 1450)
        netns.ip(self.node.netns, f"link add {there} mtu {mtu} type veth peer name {self.interface} mtu {mtu} "
                 f"address {self.mac} netns {self.netns}", f"link set {there} up")
        netns.ip(self.netns, f"link set {self.interface} up")

    def listen(self):
        if not self.wire:
            self.wire = Wire(self.netns, self.interface)

    def close(self):
        if self.wire:
            self.wire.close()
            self.wire = None
        if self.machine:
            self.machine.close()
            self.machine = None

    # Programs that use the kernel's stack.

    def popen(self, *command, **options):
        with netns.inside(self.netns):
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)

    def ping_process(self, address, count=1, timeout=DEADLINE, *options):
        return self.popen("ping", "-n", "-q", "-c", str(count), "-W", str(timeout), *options, address)

    def ping(self, to, family="v4", **options):
        """True if each packet was answered. `to` is a workload or an address."""
        process = self.ping_process(getattr(to, "address", {}).get(family, to), **options)
        process.communicate(timeout=60)
        return process.returncode == 0

    def open_socket(self, family="v4", kind=socket.SOCK_STREAM, timeout=DEADLINE):
        with netns.inside(self.netns):
            made = socket.socket(FAMILIES[family], kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(timeout)
        return made

    def server(self, port, family="v4", kind=socket.SOCK_STREAM):
        made = self.open_socket(family, kind)
        made.bind((self.address[family], port))
        if kind == socket.SOCK_STREAM:
            made.listen()
        return made

    def connect(self, to, port, family="v4", timeout=DEADLINE):
        made = self.open_socket(family, timeout=timeout)
        made.connect((to.address[family], port))
        return made

    def connection(self, to, port, family="v4"):
        """A TCP connection to a port on which nobody else listens: both ends."""
        with to.server(port, family) as listening:
            client = self.connect(to, port, family)
            accepted, _ = listening.accept()
        accepted.settimeout(client.gettimeout())
        return client, accepted

    # Frames of the test's own making.

    def gateway_mac(self, family="v4"):
        """Learned as any system does."""
        if family not in self._gateway_macs:
            gateway = self.network.gateway[family]
            self.send(who_has(gateway, self.mac, self.address[family]))
            self._gateway_macs[family] = told(self.wire.wait_for(lambda frame: told(frame, gateway)), gateway)
        return self._gateway_macs[family]

    def frame(self, to, layer, family="v4", *, src=None, dst=None, src_mac=None, dst_mac=None, payload=None, **header):
        """A frame to another workload, as this one's system would send it, but for what is said otherwise."""
        if not dst_mac:
            dst_mac = to.mac if to.network is self.network else self.gateway_mac(family)
        network = ip_header(src or self.address[family], dst or to.address[family], **header)
        return Ether(src=src_mac or self.mac, dst=dst_mac) / network / layer / (token() if payload is None else payload)

    def send(self, frame):
        self.wire.send(frame)

    def receive(self, timeout=DEADLINE):
        return self.wire.receive(timeout)
