"""A node of a lab, a where none is named, with several cables to the switch."""

import netns
from node import eventually


def cable(lab, device, node="a"):
    netns.ip(lab.nodes[node].netns, f"link add {device} type veth peer name {device}-{node} netns {lab.switch}",
             f"link set {device} up")
    netns.ip(lab.switch, f"link set {device}-{node} master br0", f"link set {device}-{node} up")


def mac(lab, device):
    return netns.run("ip", "-n", lab.nodes["a"].netns, "-o", "link", "show", device).split("link/ether ")[1].split()[0]


def states(lab, node="a"):
    devices = lab.nodes[node].json("get", "node", node)["status"].get("devices", [])
    return {device["name"]: device["state"].removeprefix("DEVICE_STATE_").lower() for device in devices}


def carries(lab, device):
    eventually(lambda: states(lab).get(device) == "carries", what=f"{device}: {states(lab)}")
