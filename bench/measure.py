"""One measurement: a freshly started device with the load at its ends, seen in short slices."""

import os
import time

import load
import quiet
from children import Failure, Stage

DEVICE_CPU = 1
SLICE = 0.5
# At most so many times the wished duration is spent on waiting for slices that nobody disturbs.
PATIENCE = 3


def _slice(device, source, stage, speed, before):
    device.reset()
    taken = quiet.Taken([child.process.pid for child in stage.children], [load.CPU, DEVICE_CPU])
    first = source.counters()
    time.sleep(SLICE)
    last = source.counters()
    sample = {"takenPercent": taken.percent()}
    spent = device.counters()
    sample["speeds"] = [before, speed.now()]

    seconds = last[0] - first[0]
    sent = sum(last[1]) - sum(first[1])
    received = sum(last[2]) - sum(first[2])
    if seconds <= 0 or sent <= 0 or received <= 0 or spent["packets"] <= 0:
        raise Failure("no packets pass any more")
    sample.update({
        "seconds": seconds, "sent": sent, "received": received, "packetsPerSecond": received / seconds,
        # What is on its way at both ends of the slice makes it a little wrong, to both sides.
        "lossPercent": max(0.0, 100 * (sent - received) / sent),
        "cyclesPerPacket": spent["busyCycles"] / spent["packets"],
        "busyPercent": None, "device": spent,
    })
    if "idleCycles" in spent:
        sample["busyPercent"] = 100 * spent["busyCycles"] / max(1, spent["busyCycles"] + spent["idleCycles"])
    return sample


def is_quiet(sample, speed):
    return sample["takenPercent"] <= quiet.TAKEN and speed.part(sample["speeds"]) >= quiet.SPEED


def measure(module, connections, seconds, warm_up, program, huge, speed, logs):
    """Returns the device's version and the samples, `seconds` of quiet ones if they can be had."""
    samples = []
    with Stage(os.path.join(logs, f"{module.NAME}-{connections}")) as stage:
        sockets = [stage.path("v0"), stage.path("v1")]
        device = module.Device(stage, sockets, connections, DEVICE_CPU, huge)
        source = load.Load(stage, program, sockets, connections, huge)
        source.warm_up(warm_up)
        tracked = device.connections()
        if tracked is not None and tracked < connections:
            raise Failure(f"tracks {tracked} of {connections} connections")

        before = speed.now()
        for _number in range(max(1, round(PATIENCE * seconds / SLICE))):
            # After the probe the rings are full; let them come to rest.
            time.sleep(0.05)
            sample = _slice(device, source, stage, speed, before)
            samples.append(sample)
            before = sample["speeds"][1]
            stage.check()
            source.check()
            if sum(is_quiet(sample, speed) for sample in samples) * SLICE >= seconds:
                break
        return device.version(), samples
