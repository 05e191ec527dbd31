"""What must hold whenever the events rest, and at the end. Each check returns what is wrong, in words."""

import random

import daemons
import world as worlds
from node import DEADLINE, SANITIZER, eventually
from uplinks import states


def within(condition, text, deadline=DEADLINE):
    try:
        eventually(condition, deadline)
    except AssertionError:
        return [text()] if callable(text) else [text]
    return []


def nothing_happened(run):
    """No connection was lost, nothing forbidden has passed."""
    return run.traffic.problems()


def devices_return(run):
    def all_work():
        return all(states(run.world, name).get(device) in ("carries", "standby", "held")
                   for name in run.world.nodes for device in worlds.DEVICES)

    return within(all_work, lambda: f"devices are {[states(run.world, name) for name in run.world.nodes]}")


def all_moves(run):
    mark = run.traffic.mark()
    return within(lambda: run.traffic.has_moved(mark), "a stream or datagrams do not go on")


def idle_connections_answer(run, share=4):
    """Some of them, each time others; the rest goes on being idle."""
    idles = [one for one in run.traffic.idles if not one.failed]
    chosen = random.Random(run.checkpoints).sample(idles, len(idles) // share)
    run.traffic.loop.ask(lambda: [one.ask() for one in chosen])
    return within(lambda: all(one.answered == one.asked for one in chosen),
                  lambda: "no answer from " + ", ".join(str(one) for one in chosen if one.answered != one.asked))


def all_idle_connections_answer(run):
    return idle_connections_answer(run, 1)


def short_connections_are_done(run):
    done = run.traffic.shorts_done
    return within(lambda: run.traffic.shorts_done >= done + 10, "no short connections come to their end")


def what_is_allowed_passes(run):
    """The rule that comes and goes."""
    came = run.traffic.servers.at_times
    return within(lambda: not run.sometimes or run.traffic.servers.at_times > came, "what is allowed by now does not pass")


def counters_add_up(run):
    run.traffic.pause_forgers(True)
    try:
        return run.probe.run(b"probe%d." % run.checkpoints)
    finally:
        run.traffic.pause_forgers(False)


def objects_are_in_force(run):
    """The daemons' own look at themselves."""
    problems = []
    for node in run.world.nodes.values():
        found = node.json("audit")
        if int(found.get("total", 0)):
            problems.append(f"{node.name}: {found}")
    return problems


def nothing_leaked(run):
    return [text for one in run.resources for text in one.grown()]


def daemons_are_well(run):
    problems = []
    for node in run.world.nodes.values():
        if node.process.poll() is not None:
            problems.append(f"{node.name} ended with {node.process.returncode}")
        if SANITIZER.search(node.text()):
            problems.append(f"{node.name}: {node.text()}")
        problems += [f"{node.name}: {event}" for event in node.events() if event["level"] == "error"]
    return problems


OFTEN = [devices_return, all_moves, idle_connections_answer, short_connections_are_done, what_is_allowed_passes,
         counters_add_up, objects_are_in_force, nothing_leaked, daemons_are_well, nothing_happened]


def connections_end(run):
    """After all traffic has ended the tables are empty, once nothing may be idle for long."""
    def left():
        return [flow for node in run.world.nodes.values() for flow in node.flows()]

    def count():
        return sum(int(node.stats()["connections"]["current"]) for node in run.world.nodes.values())

    run.world.hasten()
    return within(lambda: count() == 0, lambda: f"{count()} connections are left: {left()[:10]}", 120)


def daemons_end(run):
    problems = []
    for node in run.world.nodes.values():
        daemons.process(node)
        try:
            node.stop()
        except AssertionError as problem:
            problems.append(str(problem))
    return problems


AT_THE_END = [all_idle_connections_answer, *OFTEN]
AFTERWARDS = [connections_end, daemons_end]
