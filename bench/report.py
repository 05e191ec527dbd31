"""Results: medians with their spread, as a table and as JSON."""

import json
import statistics

# Fewer undisturbed samples than this don't make a median.
QUIET_SAMPLES = 3
COLUMNS = ("device", "connections", "Mpps", "min - max", "x OVS", "of ceiling", "cycles/packet", "busy", "loss", "quiet")


def _spread(samples, key):
    values = [sample[key] for sample in samples if sample[key] is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarize(samples):
    """One entry for each device and number of connections, from its quiet samples.

    Where a device has too few of them, all samples count, and for all devices at that number of connections: a quiet
    one must not be compared with a disturbed one. Such an entry is `disturbed`.
    """
    groups = {}
    for sample in samples:
        groups.setdefault((sample["name"], sample["connections"]), []).append(sample)
    quiet = {key: [sample for sample in group if sample["quiet"]] for key, group in groups.items()}
    disturbed = {connections for (_name, connections), group in quiet.items() if len(group) < QUIET_SAMPLES}
    entries = []
    for (name, connections), group in groups.items():
        entry = {"device": name, "connections": connections, "samples": len(group),
                 "quietSamples": len(quiet[name, connections]), "disturbed": connections in disturbed}
        counted = group if entry["disturbed"] else quiet[name, connections]
        for key in ("packetsPerSecond", "cyclesPerPacket", "busyPercent", "lossPercent"):
            entry[key] = _spread(counted, key)
        entries.append(entry)
    rates = {(entry["device"], entry["connections"]): entry["packetsPerSecond"]["median"] for entry in entries}
    for entry in entries:
        for key, other in (("ratioToOvs", "ovs"), ("ratioToCeiling", "testpmd")):
            base = rates.get((other, entry["connections"]))
            entry[key] = entry["packetsPerSecond"]["median"] / base if base else None
    return sorted(entries, key=lambda entry: entry["connections"])


def _cell(value, pattern):
    return "-" if value is None else pattern.format(value)


def _median(entry, key):
    return entry[key] and entry[key]["median"]


def table(entries, titles):
    rows = [COLUMNS]
    for entry in entries:
        rate, ceiling = entry["packetsPerSecond"], entry["ratioToCeiling"]
        rows.append((
            titles[entry["device"]],
            f"{entry['connections']:,}".replace(",", " "),
            f"{'~' if entry['disturbed'] else ''}{rate['median'] / 1e6:.2f}",
            f"{rate['min'] / 1e6:.2f} - {rate['max'] / 1e6:.2f}",
            _cell(entry["ratioToOvs"], "{:.2f}"),
            _cell(ceiling and 100 * ceiling, "{:.0f} %"),
            _cell(_median(entry, "cyclesPerPacket"), "{:.0f}"),
            _cell(_median(entry, "busyPercent"), "{:.0f} %"),
            _cell(_median(entry, "lossPercent"), "{:.2f} %"),
            f"{entry['quietSamples']}/{entry['samples']}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width
                                                            in zip(row[1:], widths[1:])]) for row in rows)


def write_json(path, document):
    with open(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
