"""One measurement of a rate: a freshly started device with the load at its ends, seen in short slices."""

import contextlib
import dataclasses
import time

import load
import machine
import quiet
import setup
from children import Failure, Stage
from device import DEVICES

SLICE = 0.5
# At most so many times the wished duration is spent on waiting for slices that nobody disturbs.
PATIENCE = 2
# Slices in a row in which nothing may pass.
SILENT = 3


@contextlib.contextmanager
def running(bench, name, wanted, **options):
    """A device and its load: (stage, device, load). They end with the block."""
    with Stage(bench.logs(name)) as stage:
        wanted = dataclasses.replace(wanted, huge=bench.huge, sockets=[stage.path("v0"), stage.path("v1")])
        device = DEVICES[name].Device(stage, wanted)
        bench.versions[name] = device.version()
        yield stage, device, load.Load(stage, bench.load, wanted, **options)


class Watch:
    """Tells afterwards whether the CPUs were load's and device's own since it was made."""

    def __init__(self, bench, stage):
        self.speed = bench.speed
        self.before = self.speed.now()
        self.taken = quiet.Taken([child.process.pid for child in stage.children], [setup.LOAD_CPU, setup.DEVICE_CPU])

    def sample(self):
        """What run.py judges a sample by. It takes some of the load's time: to be called after the end."""
        taken = self.taken.percent()
        return {"takenPercent": taken, "speeds": [self.before, self.speed.now()]}


def _slice(device, source, stage, speed, before, interval):
    """A sample, or None if nothing passed."""
    device.reset()
    start = time.monotonic()
    taken = quiet.Taken([child.process.pid for child in stage.children], [setup.LOAD_CPU, setup.DEVICE_CPU])
    first = source.read()
    time.sleep(interval)
    last = source.read()
    sample = {"takenPercent": taken.percent()}
    spent = device.counters()
    cycles_all = (time.monotonic() - start) * machine.tsc_hz()
    sample["speeds"] = [before, speed.now()]

    seconds = last["seconds"] - first["seconds"]
    sent = load.sent(last) - load.sent(first)
    received = load.received(last) - load.received(first)
    if seconds <= 0 or sent <= 0 or received <= 0 or spent["packets"] <= 0:
        return None
    sample.update({
        "seconds": seconds, "sent": sent, "received": received, "packetsPerSecond": received / seconds,
        # What is on its way at both ends of the slice makes it a little wrong, to both sides.
        "lossPercent": max(0.0, 100 * (sent - received) / sent),
        "cyclesPerPacket": spent["busyCycles"] / spent["packets"],
        # Where the device doesn't tell its idle cycles, the clock does.
        "busyPercent": min(100.0, 100 * spent["busyCycles"] / cycles_all),
        "device": spent,
    })
    if "idleCycles" in spent:
        sample["busyPercent"] = 100 * spent["busyCycles"] / max(1, spent["busyCycles"] + spent["idleCycles"])
    if "opened" in last:
        for key in ("opened", "answered"):
            sample[key + "PerSecond"] = (last[key] - first[key]) / seconds
    return sample


def is_quiet(sample, speed):
    return sample["takenPercent"] <= quiet.TAKEN and speed.part(sample["speeds"]) >= quiet.SPEED


def slices(bench, stage, device, source, seconds, patience=PATIENCE):
    """Samples of a running device, `seconds` of quiet ones if they can be had in `patience` times as long."""
    samples, silent = [], 0
    before = bench.speed.now()
    interval = min(SLICE, seconds)
    for _number in range(max(1, round(patience * seconds / interval))):
        # After the probe the rings are full; let them come to rest.
        time.sleep(0.05)
        sample = _slice(device, source, stage, bench.speed, before, interval)
        stage.check()
        source.check()
        if not sample:
            # A table that grows may take so long (Open vSwitch's does); what is dead stays so.
            silent += 1
            if silent > SILENT:
                raise Failure("no packets pass any more")
            before = bench.speed.now()
            continue
        silent = 0
        samples.append(sample)
        before = sample["speeds"][1]
        if sum(is_quiet(sample, bench.speed) for sample in samples) * interval >= seconds:
            break
    if not samples:
        raise Failure("no packets pass any more")
    return samples


def rate(bench, name, wanted, seconds=None, **options):
    """Samples of the load's steady stream through a device."""
    with running(bench, name, wanted, **options) as (stage, device, source):
        source.warm_up(bench.warm_up)
        tracked = device.connections()
        if tracked is not None and tracked < source.connections:
            raise Failure(f"tracks {tracked} of {source.connections} connections")
        return slices(bench, stage, device, source, seconds or bench.seconds)
