"""Events at the objects: rules, Ports, members, limits come and go; none of it is a live connection's business."""

import world as worlds
from node import eventually


def at_times(run):
    """The rule SOMETIMES comes or goes. What is sent says which, so nothing is sent while that is not certain."""
    traffic, allow = run.traffic, not run.sometimes
    run.say(f"UDP port {worlds.AT_TIMES} is {'allowed' if allow else 'forbidden'}")
    for one in traffic.at_times:
        one.allowed = True if run.sometimes else None
    if allow:
        run.fence()
    run.world.rules("servers", *worlds.ALWAYS, *([worlds.SOMETIMES] if allow else []))
    run.sometimes = allow
    for one in traffic.at_times:
        one.allowed = allow


def unrelated(run):
    """All connections are judged anew."""
    port, count = run.rng.randrange(1, 60000), run.rng.choice([1, 1, 3000])
    run.say(f"a group of {count} rules that nobody is in")
    run.world.apply({"kind": "SecurityGroup", "name": "unused", "rules": [
        worlds.rule("tcp", port, remote={"cidr": f"10.9.{n >> 8}.{n & 255}/32"}) for n in range(count)]})


def members(run):
    third = run.rng.choice([{}, {"drain": True}, {"gone": True}])
    run.say(f"the LoadBalancer's third member: {', '.join(third) or 'takes connections'}")
    if third.get("gone"):
        # As one does it, so that nobody is in the midst of a question.
        run.world.apply(run.world.balancer(drain=True))
        asked = [short for short in list(run.traffic.shorts) if short.way == "balanced"]
        eventually(lambda: not run.traffic.shorts.intersection(asked), what="short connections do not end")
    run.world.apply(run.world.balancer(**third))


def ports(run):
    """Ports that nobody uses come and go."""
    node, count, events = run.rng.choice("ab"), run.rng.choice([1, 2, 8]), run.rng.randrange(4)
    if "ports" in run.faults:
        return run.say("there are further Ports already")
    run.say(f"{count} Ports come to {node}, for {events} events")
    names = [f"extra{number}" for number in range(count)]
    run.world.apply(*[{
        "kind": "Port", "name": name, "node": node, "network": "blue", "mac": f"52:54:00:00:fd:{number:02x}",
        "addresses": [f"10.1.0.{100 + number}", f"fd00:1::{100 + number:x}"], "securityGroups": ["strangers"],
        "device": {"vhostUser": {"path": str(run.world.directory / f"{name}.sock"), "mode": "server"}}}
        for number, name in enumerate(names)])

    def leave():
        for one in run.world.nodes.values():
            for name in names:
                one.delete("port", name)

    return run.fault("ports", f"{count} Ports go", events, leave)


def networks(run):
    number = run.rng.randrange(100, 120)
    name = f"network{number}"
    known = {one["name"] for one in run.world.nodes["a"].json("get", "networks")}
    run.say(f"{name} {'goes' if name in known else 'comes'}")
    if name in known:
        for node in run.world.nodes.values():
            node.delete("network", name)
    else:
        run.world.apply({"kind": "Network", "name": name, "vni": 7000 + number, "vrf": "t1",
                         "subnets": [{"cidr": f"10.{number}.0.0/24", "gateway": f"10.{number}.0.1"}]})


def limit(run):
    """A Port may send and receive so much, for a while: what is more waits, and its connections go on."""
    workload, rate, events = run.world[run.rng.choice(worlds.SERVERS)], run.rng.choice(("20M", "40M")), run.rng.randrange(4)
    if workload in run.faults:
        return run.say(f"{workload} is limited already")
    run.say(f"{workload} may receive and send {rate}, for {events} events")
    run.world.apply({"kind": "QosPolicy", "name": "limit", "ingress": {"rate": rate}, "egress": {"rate": rate}},
                    {**workload.object, "qosPolicy": "limit"})
    return run.fault(workload, f"{workload} may receive and send what it likes", events,
                     lambda: run.world.apply(workload.object))


def nonsense(run):
    """What can't be taken changes nothing."""
    node = run.node()
    run.say(f"{node.name}: objects that can't be")
    result = node.run("apply", "-f", "-", input='{"kind": "Port", "name": "near", "node": "a", "network": "nowhere"}')
    if result.returncode != 1 or "nowhere" not in result.stderr:
        run.problem(f"{node.name}: nonsense was taken: {result.returncode}, {result.stderr.strip()}")


EVENTS = [at_times, at_times, unrelated, members, members, ports, networks, limit, nonsense]
