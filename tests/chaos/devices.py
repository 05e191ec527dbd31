"""Events at uplinks: cables are pulled, interfaces set down or deleted, devices drained. What is done comes back later."""

import netns
import world as worlds
from uplinks import cable


def _choice(run):
    """A device of a node, and for how many further events it is away."""
    return run.rng.choice("ab"), run.rng.choice(worlds.DEVICES), run.rng.randrange(4)


def _away(run, what, undo):
    """The interface's end here is touched where its name is the device's, the switch's end where it is DEVICE-NODE."""
    node, device, events = _choice(run)
    other = worlds.DEVICES[1 - worlds.DEVICES.index(device)]
    # One of them stays: both at once is an event of its own.
    if (node, device) in run.faults or (node, other) in run.faults:
        return run.say(f"{node}: {device} or the other device is away already")
    run.say(f"{node}: {device} {what[0]}, for {events} events")
    what[1](run.world, node, device)
    return run.fault((node, device), f"{node}: {device} returns", events, lambda: undo(run.world, node, device))


def _ip(where, text):
    def work(world, node, device):
        namespace = world.switch if where == "switch" else world.nodes[node].netns
        netns.ip(namespace, text.format(device=f"{device}-{node}" if where == "switch" else device))
    return work


def pull(run):
    return _away(run, ("loses its link", _ip("switch", "link set {device} down")), _ip("switch", "link set {device} up"))


def set_down(run):
    return _away(run, ("is set down", _ip("node", "link set {device} down")), _ip("node", "link set {device} up"))


def delete(run):
    return _away(run, ("is deleted", _ip("node", "link del {device}")), lambda world, node, device: cable(world, device, node))


def drain(run):
    def work(world, node, device):
        result = world.nodes[node].run("drain", "uplink", device)
        if result.returncode and "no other device of the uplink works" not in result.stderr:
            run.problem(f"{node}: drain uplink {device}: {result.stderr.strip()}")

    return _away(run, ("is drained", work), lambda world, node, device: world.nodes[node].ok("undrain", "uplink", device))


def flap(run):
    node, device, _ = _choice(run)
    times = run.rng.randrange(2, 6)
    if (node, device) in run.faults:
        return run.say(f"{node}: {device} is away already")
    run.say(f"{node}: {device} flaps {times} times")
    for _ in range(times):
        _ip("switch", "link set {device} down")(run.world, node, device)
        run.sleep(run.rng.uniform(0, 0.2))
        _ip("switch", "link set {device} up")(run.world, node, device)
        run.sleep(run.rng.uniform(0, 0.2))


def both(run):
    """For a moment nothing works."""
    node, _, _ = _choice(run)
    seconds = run.rng.uniform(0.1, 1.5)
    if any((node, device) in run.faults for device in worlds.DEVICES):
        return run.say(f"{node}: a device is away already")
    run.say(f"{node}: no device has a link, for {seconds:.1f} s")
    for state in ("down", "up"):
        for device in worlds.DEVICES:
            _ip("switch", "link set {device} " + state)(run.world, node, device)
        run.sleep(seconds)


EVENTS = [pull, set_down, delete, drain, flap, both]
