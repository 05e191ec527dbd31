"""What a device under test has to be ready for: the same for all of them, whatever each makes of it."""

import dataclasses

# The two workloads; in a tunnel the second is behind the node with the address VTEP[1].
MAC = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
ADDRESS = ["10.1.0.11", "10.1.0.12"]
VTEP = ["192.0.2.1", "192.0.2.2"]
# Where the first workload has many addresses: it may use all of this prefix.
CLIENTS, CLIENTS_PREFIX = "10.2.0.0", "10.2.0.0/16"
# The second workload as the member of a LoadBalancer: its address, in another network, and the virtual one. A
# LoadBalancer has at most so many ports, so there are several.
MEMBER, VIRTUAL, BALANCERS, BALANCER_PORTS = "10.4.0.12", "10.3.0.1", 8, 64
# What is outside the cloud: the server, which is the router there, the device, and what clients are translated to.
OUTSIDE, OUTSIDE_PREFIX, OUTSIDE_OWN, POOL = "198.18.0.254", "198.18.0.0/16", "198.18.0.253", "198.18.0.0/28"
POOL_RANGE = "198.18.0.0-198.18.0.15"
ONE_ADDRESS = "198.18.0.16"
# Of the other node.
UNDERLAY_MAC = "52:54:00:00:02:02"
VNI, MEMBER_VNI = 5001, 5004
# The ports that are open at the second workload. The load's begin with this one, each takes 64000 connections.
SERVER_PORTS = (4096, 8191)
SERVER_FIRST = 5000
LOAD_CPU = 0
DEVICE_CPU = 1


def gateway_mac(vni):
    """Of a network's gateway, as Sluice has it."""
    return f"02:53:4c:{vni >> 16:02x}:{vni >> 8 & 255:02x}:{vni & 255:02x}"


# The load's options where there is one of these: addresses as the client has them, and as the server sees them.
LOAD = {
    "balance": {"address": f"{ADDRESS[0]},{VIRTUAL}", "seen": f"{ADDRESS[0]},{MEMBER}", "checksum": True,
                "next_hop": f"{gateway_mac(VNI)},{gateway_mac(MEMBER_VNI)}"},
    "nat": {"address": f"{ADDRESS[0]},{OUTSIDE}", "outside": True, "checksum": True,
            "next_hop": f"{gateway_mac(VNI)},{MAC[0]}"},
}


@dataclasses.dataclass
class Setup:
    # At the stage: the sockets of the load's two ports, which the device connects to.
    sockets: list = None
    # Live connections at a time.
    connections: int = 1000
    # The second port is an underlay, and what is sent there goes by VXLAN.
    tunnel: bool = False
    # What is between the workloads beside the policy: a "balance"r, or a "nat", of which the second one is outside.
    function: str = None
    # The first workload has rate limits, which are not reached, and what it sends is marked. Sluice alone is set up for it.
    limits: bool = False
    # Rules of the second workload's group. One of them allows the load's connections; no other one matches.
    rules: int = 1
    # Seconds without a packet after which a UDP connection ends; None: whatever the device has. Many are to come, where
    # this is given; Open vSwitch keeps its own times.
    idle_seconds: int = None
    # Connections come from many addresses of the first workload's (CLIENTS_PREFIX). Sluice alone is set up for it.
    many_clients: bool = False
    # With a "nat": to one external address, with small blocks of ports. Sluice alone is set up for it.
    one_address: bool = False
    # The forwarding thread polls without a pause, or sleeps when there is nothing to do.
    spin: bool = True
    cpu: int = DEVICE_CPU
    huge: bool = True
