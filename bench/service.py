#!/usr/bin/python3
"""What servicing a node costs its connections: packets lost, and how long nothing arrives. See README.md."""

import argparse
import datetime
import os
import signal
import statistics
import sys
import time

import machine
import program
import report
import setup
import stream
import summary
from children import Failure, Stage
from servicing import failsafe, ovs, sluice
from servicing.world import GUEST_ADDRESS, GUEST_MAC, World

BUILD = os.path.join(machine.ROOT, "build", "bench")
DEVICES = {module.NAME: module for module in (sluice, ovs, failsafe)}
BEGIN, END = "<!-- make bench-service: begin -->", "<!-- make bench-service: end -->"
# To a workload that starts again, datagrams a second.
GUEST_RATE = 10000
# Reports without what is sent, of half a second.
PATIENCE = 10
# An event, how a device does it, what may be lost (all that may be is None), and the milliseconds that are asked.
EVENTS = (("nothing happens", "nothing", "-", None, None),
          ("planned move to the other device, and back", "planned", "0", 0, 1),
          ("device removed without warning", "removed", "what was in its queues", None, 10),
          ("its cable pulled", "unplugged", "what was in its queues", None, 10),
          ("live upgrade", "upgraded", "0 to what rings hold", None, 20),
          ("SIGKILL, and started again", "killed", "as the gap", None, 500),
          ("workload's process started again", "reconnected", "its own", None, 50))


class Guest:
    """A vhost-user workload, whose process is ended and started."""

    def __init__(self, stage, device):
        self.stage = stage
        self.source, self.socket = device.to_guest()
        self.child = self.stream = None
        self.starts = 0

    def start(self):
        """Milliseconds from when its socket was there to its first packet."""
        self.starts += 1
        self.child = self.stage.start(f"guest-{self.starts}", [*program.make("guest"), self.socket])
        if not self.stream:
            name, interface, mac, address = self.source
            self.stream = stream.Stream(self.stage, [stream.end(mac, address, name, interface),
                                                     stream.end(GUEST_MAC, GUEST_ADDRESS)])
            self.stream.rate(GUEST_RATE)
        return self.child.wait_for(lambda output: output.startswith("{") and float(output.split()[1].rstrip("}")), 30,
                                   "packet")

    def stop(self):
        self.child.process.kill()
        self.child.process.wait()


def reconnected(options, stage, device):
    """Each time the workload is away for a little, and other workloads are quiet."""
    guest = Guest(stage, device)
    guest.start()
    samples = []
    for _ in range(options.rounds):
        guest.stop()
        time.sleep(0.3)
        samples.append({"lost": None, "gapMs": guest.start()})
    guest.stop()
    guest.stream.stop()
    return samples


def sample(streams, device, name):
    """Until what is sent arrives again, or it is clear that it will not."""
    streams.take()
    if name == "nothing":
        time.sleep(1)
    else:
        getattr(device, name)()
    found = {"lost": 0, "gapMs": 0}
    for _ in range(PATIENCE):
        time.sleep(0.3)
        ways = streams.take()
        found["lost"] += sum(way["lost"] for way in ways)
        found["gapMs"] = max(found["gapMs"], *(way["gapMs"] for way in ways))
        if all(way["received"] > 0.95 * way["sent"] for way in ways):
            break
    return found


def measure(options, module, logs):
    with Stage(logs) as stage, World(module.TUNNEL) as world:
        device = module.Device(stage, world)
        try:
            streams = stream.Stream(stage, [stream.end(setup.MAC[0], setup.ADDRESS[0], "client"),
                                            stream.end(setup.MAC[1], setup.ADDRESS[1], "far")], options.connections)
            maximum = streams.maximum()
            rate = maximum / 4
            streams.rate(rate)
            time.sleep(options.connections / rate + 0.5)
            result = {"version": device.version(), "maximum": maximum, "packetsPerSecond": 2 * rate,
                      "connections": device.connections(), "events": {}}
            for number in range(options.rounds):
                for text, name, *_ in EVENTS:
                    if name not in options.events or name != "nothing" and not hasattr(device, name):
                        continue
                    result["events"].setdefault(name, []).append(sample(streams, device, name))
                    device.restore()
                    print(f"{module.TITLE}, round {number + 1}: {text}: {result['events'][name][-1]}", file=sys.stderr,
                          flush=True)
            streams.rate(0)
            if "reconnected" in options.events:
                result["events"]["reconnected"] = reconnected(options, stage, device)
            result["switchedMs"] = getattr(device, "switched", [])
            return result
        finally:
            device.close()


def gap(samples):
    return f"{statistics.median(one['gapMs'] for one in samples):.1f} ({max(one['gapMs'] for one in samples):.1f})"


def lost(samples):
    counts = [one["lost"] for one in samples]
    return "-" if None in counts else " ".join(map(str, counts))


def notes(result):
    """What is to be known of single figures, by number; of which device and event each is."""
    return {(name, event): number for number, (name, event) in enumerate(
        ((name, event) for name in result["devices"] for event in DEVICES[name].NOTES), 1)}


def table(result):
    """Rows of cells: of each device what was lost, each time, and the longest gap, its median and the longest."""
    found, numbers = list(result["devices"]), notes(result)
    rows = [("event", "asked", *(cell for name in found for cell in (f"{DEVICES[name].TITLE}: lost", "gap, ms")))]
    for text, event, may_lose, _, gap_ms in EVENTS:
        asked = "-" if gap_ms is None else f"{may_lose}, under {gap_ms}"
        cells = []
        for name in found:
            samples = result["devices"][name]["events"].get(event)
            cells += [lost(samples), gap(samples)] if samples else ["-", "-"]
            if (name, event) in numbers:
                cells[-1] += f" [{numbers[name, event]}]"
        rows.append((text, asked, *cells))
    return rows


def targets(result):
    """What is asked of Sluice; no verdict where the machine alone does as much."""
    found = []
    events = result["devices"].get("sluice", {"events": {}})["events"]
    quiet = statistics.median([one["gapMs"] for one in events.get("nothing", [])] or [0])
    disturbed = sum(one["lost"] for one in events.get("nothing", []))
    for text, event, may_lose, most, gap_ms in EVENTS:
        samples = events.get(event)
        if gap_ms is None or not samples:
            continue
        late = statistics.median(one["gapMs"] for one in samples) >= gap_ms
        many = most is not None and statistics.median(one["lost"] for one in samples) > most
        met, note = not (late or many), ""
        if late and quiet >= gap_ms or many and disturbed:
            met, note = None, f"with nothing happening {quiet:.1f} ms and {disturbed} lost: this machine pauses by itself"
        found.append(report.Row(text, f"{may_lose}, under {gap_ms} ms", f"{lost(samples)}, {gap(samples)} ms", met, note))
    return [{**vars(row), "verdict": row.verdict()} for row in found]


def about(result):
    """At which rates, and the notes."""
    lines = []
    for name, device in result["devices"].items():
        rate, most = (report.number(round(device[key] / 1000) * 1000) for key in ("packetsPerSecond", "maximum"))
        connections = f", {report.number(device['connections'])} connections" if device["connections"] else ""
        lines.append(f"{DEVICES[name].TITLE} {device['version']}: {rate} packets a second of at most {most}{connections}.")
    return lines + [f"[{number}] {DEVICES[name].NOTES[event]}." for (name, event), number in notes(result).items()]


def document(result):
    rows = [("asked of Sluice", "target", "lost; longest gap, median (longest)", "")]
    rows += [(row["what"], row["target"], row["figure"], row["verdict"]) for row in targets(result)]
    lines = about(result)
    devices = len(result["devices"])
    parts = [f"`bench/service.py`, {result['date'][:10]}, {result['rounds']} rounds.", summary.about(result["machine"]),
             *sorted({row["note"][0].upper() + row["note"][1:] + "." for row in targets(result) if row["note"]}),
             summary.table(rows, len(rows[0])), *lines[:devices], summary.table(table(result), 2), *lines[devices:]]
    parts += [f"Not measured: {failure}." for failure in result["failures"]]
    return "\n\n".join(parts) + "\n"


def one_of(known):
    def names(text):
        for value in text.split(","):
            if value not in known:
                raise argparse.ArgumentTypeError(f"{value}: not one of {', '.join(known)}")
        return text.split(",")
    return names


def arguments():
    events = [name for _, name, *_ in EVENTS]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of each event (3)")
    parser.add_argument("--connections", type=int, default=100000, metavar="N", help="of the streams (100000)")
    parser.add_argument("--devices", type=one_of(DEVICES), default=list(DEVICES), metavar="NAME,...",
                        help="these alone: " + ",".join(DEVICES))
    parser.add_argument("--events", type=one_of(events), default=events, metavar="NAME,...",
                        help="these alone: " + ",".join(events))
    parser.add_argument("--output", default=os.path.join(BUILD, "service.json"), metavar="FILE",
                        help="where the JSON goes (build/bench/service.json)")
    parser.add_argument("--write", action="store_true", help="the table goes into docs/performance.md")
    return parser.parse_args()


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces")
    os.makedirs(BUILD, exist_ok=True)
    os.sched_setaffinity(0, {setup.LOAD_CPU})
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "machine": machine.describe(), "rounds": options.rounds, "devices": {}, "failures": []}
    for name in options.devices:
        try:
            result["devices"][name] = measure(options, DEVICES[name], os.path.join(BUILD, "logs", f"service-{name}"))
        except Failure as failure:
            result["failures"].append(f"{DEVICES[name].TITLE}: {failure}")
    report.write_json(options.output, result)
    print("\n".join([report.text_table(table(result)), *about(result)]) + "\n\n" + report.target_table(targets(result)))
    if options.write:
        summary.write(BEGIN, END, document(result))
    for failure in result["failures"]:
        print("not measured: " + failure)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
