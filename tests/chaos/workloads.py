"""Events at workloads: interfaces that go and return under live connections, Ports that do, guests that crash or stand still."""

import time

import netns
import outside
import world as worlds
from node import eventually
from packets import UDP, Raw
from testpmd import Guest

FLOATING = {"v4": outside.at("v4", 80), "v6": outside.at("v6", 80)}


def interface(run):
    """A container's veth goes with its addresses and routes; its connections wait, and find them again."""
    workload, seconds = run.world[run.rng.choice(("near", "caller"))], run.rng.choice([0, run.rng.uniform(0, 2)])
    run.say(f"{workload.node.name}: the interface of {workload} goes, and returns after {seconds:.1f} s")
    run.traffic.interfaces_gone[workload.name] += 1
    netns.ip(workload.node.netns, f"link del to-{workload}")
    run.sleep(seconds)
    workload.make_veth(f"to-{workload}")
    workload.configure()


def _reaches(run, source, target):
    """Another one, in both families; whether it does is for the end of the event."""
    for family in worlds.FAMILIES:
        eventually(lambda family=family: source.ping(target, family, timeout=1),
                   what=f"{source} does not reach {target} by {family}")


def visitor(run):
    """Its Port is deleted and made again: so are its interface, and its connections."""
    workload, seconds = run.world["visitor"], run.rng.choice([0, run.rng.uniform(0, 2)])
    run.say(f"{workload.node.name}: the Port of {workload} is deleted, and made again after {seconds:.1f} s")
    for node in run.world.nodes.values():
        node.delete("port", workload.name)
    run.sleep(seconds)
    run.world.apply(workload.object)
    eventually(lambda: workload.node.stats()["ports"][workload.name]["state"] == "up")
    workload.configure()
    _reaches(run, workload, run.world["far"])


def floating(run):
    """A FloatingIp comes, is used, and goes."""
    workload = run.world["visitor"]
    run.say(f"{workload} has floating addresses for a moment")
    run.world.apply(*[{"kind": "FloatingIp", "name": f"floating-{family}", "network": "internet", "address": address,
                       "port": workload.name, "internalAddress": workload.address[family]}
                      for family, address in FLOATING.items()])
    for address in FLOATING.values():
        eventually(lambda address=address: _answers(run, address), what=f"{address} does not answer")
    for node in run.world.nodes.values():
        for family in FLOATING:
            node.delete("floatingip", f"floating-{family}")


def _answers(run, address):
    with netns.inside(run.world.outside.netns):
        result = netns.subprocess.run(["ping", "-n", "-c", "1", "-W", "1", address], capture_output=True, check=False)
    return result.returncode == 0


def guest(run):
    """A guest comes, and goes on looking after its rings only now and then; some events later it works, and crashes."""
    name, events = run.rng.choice(("guest-a", "guest-b")), run.rng.randrange(4)
    workload = run.world[name]
    if name in run.faults:
        return run.say(f"{name} is there already")
    run.say(f"{workload.node.name}: {name} comes, for {events} events")
    made = Guest(run.world.directory / f"{name}.sock", server=True)
    try:
        _echoes(run, made, workload)
    except AssertionError:
        made.stop()
        raise
    made.pause()
    starts = run.starts[workload.node.name]

    def leave():
        made.go_on()
        try:
            # DPDK's front-end may end itself where a back-end has gone while it stood still. An upgrade it does not notice.
            if run.starts[workload.node.name] == starts:
                _echoes(run, made, workload)
        finally:
            made.stop()
            (run.world.directory / f"{name}.sock").unlink(missing_ok=True)

    return run.fault(name, f"{workload.node.name}: {name} goes on, and crashes", events, leave)


def flood(run):
    """More than a guest that stands still takes: nobody else's packets are lost."""
    name, count = run.rng.choice(("guest-a", "guest-b")), run.rng.choice([500, 3000])
    workload = run.world[name]
    if name not in run.faults:
        return run.say(f"{workload.node.name}: {name} is not there")
    run.say(f"{workload.node.name}: {count} frames to {name}, which takes none")
    sender = run.world[f"raw-{workload.node.name}"]
    frame = bytes(sender.frame(workload, UDP(sport=7, dport=9), payload=Raw(bytes(1000))))
    for _ in range(count):
        try:
            sender.send(frame)
        except OSError:
            time.sleep(0.001)
    run.fence()


def _echoes(run, made, workload):
    """In both families; the first ones may be lost."""
    sender = run.world[f"raw-{workload.node.name}"]
    for family in worlds.FAMILIES:
        frame = bytes(sender.frame(workload, UDP(sport=7, dport=7), family, payload=Raw(b"echo, echo")))

        def attempt(frame=frame):
            sender.wire.drain()
            sender.send(frame)
            end = time.monotonic() + 0.2
            while (left := end - time.monotonic()) > 0 and (answer := sender.receive(left)):
                if answer.src == workload.mac and b"echo, echo" in bytes(answer):
                    return True
            return made.process.poll() is not None

        eventually(attempt, what=f"{workload} does not answer by {family}: {made.text()[-2000:]}")
        assert made.process.poll() is None, made.text()


EVENTS = [interface, visitor, floating, guest, guest, flood]
