"""Events at daemons: killed and started again, ended, upgraded, stopped for a moment."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal

import netns
import world as worlds
from node import eventually


def all_processes(node):
    """With the number of their threads."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"unix:{node.api}" in path.read_text().split("\0"):
                found[int(path.parent.name)] = len(list((path.parent / "task").iterdir()))
    return found


def processes(node):
    """Those of the node that are not only waiting for another one, or just begin."""
    return [pid for pid, threads in all_processes(node).items() if threads > 1]


def process(node):
    """The one that is the node; the one before it may still be ending."""
    def only():
        found = processes(node)
        return found[0] if len(found) == 1 else None

    return eventually(only, what=f"{node.name} is not one process")


def gone(node):
    """After all of the node's processes were killed: who waits for them, or was to take their place, ends, too."""
    eventually(lambda: node.process.poll() is not None, what=f"{node.name}: who waits for it has not ended")
    eventually(lambda: not all_processes(node), what=f"{node.name}: a process goes on")
    node.process = None


def start(run, node):
    """As a supervisor does; the log of the earlier one is kept."""
    run.starts[node.name] += 1
    node.log.rename(node.log.with_suffix(f".log.{run.starts[node.name]}"))
    node.start()
    if lost := node.events("connections of an earlier process are lost"):
        run.problem(f"{node.name}: {lost}")
    for event in node.events("connections recovered"):
        run.say(f"{node.name}: {event['recovered']} connections recovered, {event['dropped']} dropped")


def has_ended(pid):
    """With all of its threads, so that it has let go of everything: long before that it has no command line any more."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        return state in "ZX" and len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())) == 1
    except OSError:
        return True


def kill_all(node):
    killed = processes(node)
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: all(has_ended(pid) for pid in killed))


def kill(run):
    node, pause = run.node(), run.rng.choice([0, run.rng.uniform(0, 1)])
    run.say(f"{node.name}: SIGKILL, and started again after {pause:.1f} s")
    kill_all(node)
    gone(node)
    run.sleep(pause)
    start(run, node)


def kill_twice(run):
    """The second time while it starts."""
    node, pause = run.node(), run.rng.uniform(0, 0.6)
    run.say(f"{node.name}: SIGKILL, and again {pause:.2f} s after its start")
    kill_all(node)
    gone(node)
    node.launch()
    run.sleep(pause)
    node.process.kill()
    node.process.wait()
    start(run, node)


def kill_both(run):
    run.say("both nodes: SIGKILL, and started again")
    for node in run.world.nodes.values():
        kill_all(node)
    for node in run.world.nodes.values():
        gone(node)
        start(run, node)


def end(run):
    node = run.node()
    run.say(f"{node.name}: SIGTERM, and started again")
    pid = process(node)
    os.kill(pid, signal.SIGTERM)
    status = eventually(lambda: node.process.poll() is not None and str(node.process.returncode),
                        what=f"{node.name} does not end on SIGTERM")
    if status != "0":
        run.problem(f"{node.name} ended with {status} on SIGTERM")
    gone(node)
    start(run, node)


def upgrade(run):
    node, times = run.node(), run.rng.choice([1, 1, 2])
    for _ in range(times):
        run.say(f"{node.name}: live upgrade")
        result = node.run("upgrade")
        if result.returncode:
            run.problem(f"{node.name}: upgrade: {result.stderr.strip()}")


def upgrade_and_kill(run):
    """The new one, when it has hardly begun."""
    node, pause = run.node(), run.rng.uniform(0, 0.3)
    run.say(f"{node.name}: live upgrade, and SIGKILL {pause:.2f} s later")
    result = node.run("upgrade")
    if result.returncode:
        run.problem(f"{node.name}: upgrade: {result.stderr.strip()}")
    run.sleep(pause)
    kill_all(node)
    gone(node)
    start(run, node)


def upgrade_between_devices(run):
    """An uplink's device goes in the midst of it, and returns."""
    node, device, pause = run.node(), run.rng.choice(worlds.DEVICES), run.rng.uniform(0, 0.3)
    if any((node.name, one) in run.faults for one in worlds.DEVICES):
        return run.say(f"{node.name}: a device is away already")
    run.say(f"{node.name}: live upgrade, and {device} loses its link {pause:.2f} s after its beginning")
    link = f"link set {device}-{node.name} "
    with concurrent.futures.ThreadPoolExecutor() as pool:
        upgraded = pool.submit(node.run, "upgrade")
        run.sleep(pause)
        netns.ip(run.world.switch, link + "down")
        result = upgraded.result()
    if result.returncode:
        run.problem(f"{node.name}: upgrade: {result.stderr.strip()}")
    run.sleep(pause)
    netns.ip(run.world.switch, link + "up")


def upgrade_both(run):
    run.say("both nodes: live upgrade at a time")
    nodes = list(run.world.nodes.values())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda node: node.run("upgrade"), nodes))
    for node, result in zip(nodes, results):
        if result.returncode:
            run.problem(f"{node.name}: upgrade: {result.stderr.strip()}")


def upgrade_fails(run):
    node = run.node()
    run.say(f"{node.name}: upgrade to a program that is none")
    result = node.run("upgrade", "--binary", "/bin/true")
    if result.returncode != 1 or "this process goes on" not in result.stderr:
        run.problem(f"{node.name}: upgrade to /bin/true: {result.returncode}, {result.stderr.strip()}")


def kill_during_upgrade(run):
    """All of the node's processes, somewhere on the way."""
    node, pause = run.node(), run.rng.uniform(0, 0.5)
    run.say(f"{node.name}: SIGKILL {pause:.2f} s after the beginning of an upgrade")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(node.run, "upgrade")
        run.sleep(pause)
        # One may just be starting the other.
        while processes(node):
            kill_all(node)
    gone(node)
    start(run, node)


def stand_still(run):
    node, seconds = run.node(), run.rng.uniform(0.05, 1.5)
    run.say(f"{node.name}: stands still for {seconds:.1f} s")
    pid = process(node)
    os.kill(pid, signal.SIGSTOP)
    run.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


EVENTS = [kill, kill, kill_twice, kill_both, end, upgrade, upgrade, upgrade_both, upgrade_fails, upgrade_and_kill,
          upgrade_between_devices, kill_during_upgrade, stand_still]
