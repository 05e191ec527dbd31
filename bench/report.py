"""Results: medians with their spread, what they mean for the targets, as text and as JSON."""

import dataclasses
import json
import statistics

# Fewer undisturbed samples than this don't make a median.
QUIET_SAMPLES = 3
# A device that was busy for less than this part of its cycles could have done more.
BUSY_PERCENT = 95


@dataclasses.dataclass
class Row:
    """A target of the table. met: None where this machine can't tell; the note says why."""
    what: str
    target: str
    figure: str
    met: bool = None
    note: str = ""

    def verdict(self):
        return {True: "met", False: "missed", None: "not measurable here"}[self.met]


def spread(values):
    values = [value for value in values if value is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _case(sample):
    return tuple(sorted(sample["case"].items()))


def _apart_from_device(case):
    return tuple(item for item in case if item[0] != "device")


def summarize(samples, cases):
    """One entry for each case, in their order: the case, and the spread of each number of its quiet samples.

    Where one device has too few of them, all samples count, and for all devices in the same case: a quiet one must not
    be compared with a disturbed one. Such an entry is `disturbed`.
    """
    groups = {}
    for sample in samples:
        groups.setdefault(_case(sample), []).append(sample)
    quiet = {case: [sample for sample in group if sample.get("quiet", True)] for case, group in groups.items()}
    disturbed = {_apart_from_device(case) for case, group in quiet.items()
                 if len(group) < min(QUIET_SAMPLES, len(groups[case]))}
    entries = []
    for wanted in cases:
        case = tuple(sorted(wanted.items()))
        if case not in groups:
            continue
        group = groups[case]
        entry = {**wanted, "samples": len(group), "quietSamples": len(quiet[case]),
                 "disturbed": _apart_from_device(case) in disturbed}
        counted = group if entry["disturbed"] else quiet[case]
        for key in sorted({key for sample in counted for key in sample}):
            values = [sample.get(key) for sample in counted]
            if all(value is None or isinstance(value, (int, float)) and not isinstance(value, bool)
                   for value in values):
                entry[key] = spread(values)
        entries.append(entry)
    return entries


def find(entries, **case):
    """The entry of a case, or None."""
    for entry in entries:
        if all(entry.get(key) == value for key, value in case.items()):
            return entry
    return None


def median(entry, key):
    return entry[key]["median"] if entry and entry.get(key) else None


def advantage(entry, base):
    """How many times as many packets `entry` carries as `base`, and how that is known.

    By rates, if both had all that they could carry; else by the cycles that a packet takes.
    """
    if not entry or not base:
        return None, ""
    cycles = median(base, "cyclesPerPacket") / median(entry, "cyclesPerPacket")
    rates = median(entry, "packetsPerSecond") / median(base, "packetsPerSecond")
    if min(median(entry, "busyPercent"), median(base, "busyPercent")) < BUSY_PERCENT:
        return cycles, noted(f"by cycles, the load was the limit ({rates:.2f} by rates)", entry, base)
    return rates, noted(f"{cycles:.2f} by cycles", entry, base)


def noted(note, *entries):
    """The note, with that one of the entries is disturbed."""
    if not any(entry["disturbed"] for entry in entries):
        return note
    return f"{note}; ~ disturbed" if note else "~ disturbed"


def time_row(what, target, figure, met, note, *entries):
    """A Row about times: what is late while others took part of the CPUs is no verdict on the device."""
    late = any(entry["disturbed"] for entry in entries) and not met
    return Row(what, target, figure, None if late else met, noted(note, *entries))


def number(value):
    return f"{value:,}".replace(",", " ")


def cell(value, pattern="{}"):
    return "-" if value is None else pattern.format(value)


def range_text(value, scale, pattern):
    return "-" if not value else f"{pattern.format(value['min'] / scale)} - {pattern.format(value['max'] / scale)}"


def rate_table(entries, titles, key, title):
    """Devices side by side, by `key` of their cases."""
    rows = [("device", title, "Mpps", "min - max", "x OVS", "of ceiling", "cycles/packet", "busy", "loss", "quiet")]
    for entry in entries:
        same = {key: entry[key]}
        base = find(entries, device="ovs", **same)
        ceiling = find(entries, device="testpmd", **same)
        rate = median(entry, "packetsPerSecond")
        rows.append((
            titles[entry["device"]], number(entry[key]), f"{'~' if entry['disturbed'] else ''}{rate / 1e6:.2f}",
            range_text(entry["packetsPerSecond"], 1e6, "{:.2f}"),
            cell(base and rate / median(base, "packetsPerSecond"), "{:.2f}"),
            cell(ceiling and 100 * rate / median(ceiling, "packetsPerSecond"), "{:.0f} %"),
            cell(median(entry, "cyclesPerPacket"), "{:.0f}"), cell(median(entry, "busyPercent"), "{:.0f} %"),
            cell(median(entry, "lossPercent"), "{:.2f} %"), f"{entry['quietSamples']}/{entry['samples']}"))
    return rows


def text_table(rows):
    """Columns of text, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join([row[0].ljust(widths[0])] + [text.rjust(width) for text, width
                                                            in zip(row[1:], widths[1:])]).rstrip() for row in rows)


def target_table(rows):
    """What is asked for, and what was found."""
    table = [("what", "target", "measured", "verdict")] + [
        (row["what"], row["target"], row["figure"], row["verdict"]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for number_, row in enumerate(table):
        lines.append("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
        if number_ and rows[number_ - 1]["note"]:
            lines.append("    " + rows[number_ - 1]["note"])
    return "\n".join(lines)


def write_json(path, document):
    with open(path, "w") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
