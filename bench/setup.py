"""What a device under test has to be ready for: the same for all of them, whatever each makes of it."""

import dataclasses

# The two workloads; in a tunnel the second is behind the node with the address VTEP[1].
MAC = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
ADDRESS = ["10.1.0.11", "10.1.0.12"]
VTEP = ["192.0.2.1", "192.0.2.2"]
# Where the first workload has many addresses: it may use all of this prefix.
CLIENTS, CLIENTS_PREFIX = "10.2.0.0", "10.2.0.0/16"
# Of the other node.
UNDERLAY_MAC = "52:54:00:00:02:02"
VNI = 5001
# The ports that are open at the second workload: the load's server ports begin with 5000, each takes 64000 connections.
SERVER_PORTS = (4096, 8191)
LOAD_CPU = 0
DEVICE_CPU = 1


@dataclasses.dataclass
class Setup:
    # At the stage: the sockets of the load's two ports, which the device connects to.
    sockets: list = None
    # Live connections at a time.
    connections: int = 1000
    # The second port is an underlay, and what is sent there goes by VXLAN.
    tunnel: bool = False
    # Rules of the second workload's group. One of them allows the load's connections; no other one matches.
    rules: int = 1
    # Seconds without a packet after which a UDP connection ends; None: whatever the device has. Many are to come, where
    # this is given; Open vSwitch keeps its own times.
    idle_seconds: int = None
    # Connections come from many addresses of the first workload's (CLIENTS_PREFIX). Sluice alone is set up for it.
    many_clients: bool = False
    # The forwarding thread polls without a pause, or sleeps when there is nothing to do.
    spin: bool = True
    cpu: int = DEVICE_CPU
    huge: bool = True
