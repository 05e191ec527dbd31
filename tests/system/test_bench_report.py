"""What the benchmarks make of their samples: medians, ratios, verdicts. No figures are measured here."""

import importlib
import pathlib
import subprocess
import sys
import types

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(name="bench")
def modules_of_bench(monkeypatch):
    """Its modules find each other by their folder, and some have the names of modules here."""
    monkeypatch.syspath_prepend(str(BENCH))
    for path in [*BENCH.glob("*.py"), *BENCH.glob("*/__init__.py")]:
        monkeypatch.delitem(sys.modules, path.stem if path.stem != "__init__" else path.parent.name, raising=False)
    names = ("report", "scenario", "service", "summary")
    yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name, module in list(sys.modules.items()):
        if str(BENCH) in str(getattr(module, "__file__", None)):
            del sys.modules[name]


def samples(device, connections, rates, cycles, busy=100, quiet=True):
    return [{"case": {"device": device, "connections": connections}, "packetsPerSecond": rate, "cyclesPerPacket": cycles,
             "busyPercent": busy, "lossPercent": 0, "quiet": quiet} for rate in rates]


def entries_of(bench, *groups):
    taken = [sample for group in groups for sample in group]
    cases = []
    for sample in taken:
        if sample["case"] not in cases:
            cases.append(sample["case"])
    return bench.report.summarize(taken, cases)


def test_only_quiet_samples_count(bench):
    entries = entries_of(bench, samples("sluice", 1, [5e6, 6e6, 7e6], 400), samples("sluice", 1, [1e6], 900, quiet=False))
    assert entries[0]["packetsPerSecond"] == {"median": 6e6, "min": 5e6, "max": 7e6}
    assert entries[0]["quietSamples"] == 3 and entries[0]["samples"] == 4 and not entries[0]["disturbed"]


def test_a_quiet_device_is_not_compared_with_a_disturbed_one(bench):
    entries = entries_of(bench, samples("sluice", 1, [6e6] * 4, 400),
                         samples("ovs", 1, [1e6, 2e6, 3e6], 900, quiet=False) + samples("ovs", 1, [4e6], 900),
                         samples("ovs", 1000, [1e6] * 4, 900))
    assert [entry["disturbed"] for entry in entries] == [True, True, False]
    assert entries[1]["packetsPerSecond"]["median"] == 2.5e6
    assert "disturbed" in bench.report.advantage(*entries[:2])[1]


def test_rates_decide_where_both_were_busy(bench):
    entries = entries_of(bench, samples("sluice", 1, [6e6] * 3, 400), samples("ovs", 1, [2e6] * 3, 1000))
    ratio, how = bench.report.advantage(*entries)
    assert ratio == 3 and "2.50 by cycles" in how


def test_cycles_decide_where_the_load_was_the_limit(bench):
    entries = entries_of(bench, samples("sluice", 1, [6e6] * 3, 250, busy=60), samples("ovs", 1, [2e6] * 3, 1000))
    ratio, how = bench.report.advantage(*entries)
    assert ratio == 4 and "3.00 by rates" in how


def test_a_target_is_met_or_missed(bench):
    stream = bench.scenario.SCENARIOS["stream"]
    for rate, met in ((9.1e6, True), (8.9e6, False)):
        entries = entries_of(bench, samples("sluice", 1, [rate] * 3, 250), samples("testpmd", 1, [10e6] * 3, 250))
        (row,) = stream.rows(entries)
        assert row.met is met and row.verdict() == ("met" if met else "missed")


@pytest.mark.parametrize("rate, other, met", [
    (1.2e6, 0.45e6, True), (1.1e6, 0.45e6, False),
    # So little is not what Open vSwitch can do.
    (1.2e6, 0.1e6, False), (2.1e6, 0.1e6, True)])
def test_a_doubtful_ratio_is_not_enough(bench, rate, other, met):
    taken = [{"case": {"device": device}, "answeredPerSecond": value, "cyclesPerConnection": 2.5e9 / value,
              "busyPercent": 100, "live": 1000000} for device, value in (("sluice", rate), ("ovs", other))]
    (row,) = bench.scenario.SCENARIOS["new"].rows(
        bench.report.summarize(taken, [{"device": "sluice"}, {"device": "ovs"}]))
    assert row.met is met
    assert ("can do more" in row.note) == (other < 0.4e6)


@pytest.mark.parametrize("p50, quiet, met", [(1.0, True, True), (2.0, True, False), (1.0, False, True), (2.0, False, None)])
def test_what_is_late_beside_others_is_no_verdict(bench, p50, quiet, met):
    taken = [{"case": {"device": device, "percent": 10}, "p50": value, "p99": 5.0, "wanted": 1e6, "packetsPerSecond": 1e6,
              "quiet": quiet} for device, value in (("sluice", p50), ("testpmd", 1.0))]
    (row,) = bench.scenario.SCENARIOS["latency"].rows(bench.report.summarize(taken, [sample["case"] for sample in taken]))
    assert row.met is met and ("disturbed" in row.note) is not quiet


def change_entries(bench, **found):
    sample = {"case": {"device": "sluice"}, "lostInAll": 0, "queueFullInAll": 0, "lostBefore": 0, "judged": 200000, "packetsPerSecond": 4e6,
              "wanted": 4e6, "longestMs": 0.5, **found}
    return bench.report.summarize([sample], [sample["case"]])


@pytest.mark.parametrize("found, verdict", [
    ({}, "met"), ({"lostInAll": 5}, "missed"), ({"lostInAll": 5, "queueFullInAll": 5}, "not measurable here"),
    ({"lostInAll": 5, "queueFullInAll": 4}, "missed"),
    ({"packetsPerSecond": 3e6}, "not measurable here")])
def test_a_change_is_judged_at_half_load(bench, found, verdict):
    (row,) = bench.scenario.SCENARIOS["change"].rows(change_entries(bench, **found))
    assert row.verdict() == verdict and "all 200000 directions were judged anew" in row.note


def test_what_was_not_measured_has_no_verdict(bench):
    stream = bench.scenario.SCENARIOS["stream"]
    assert stream.rows(entries_of(bench, samples("sluice", 100000, [5e6] * 3, 400))) == []
    assert bench.report.Row("a", "b", "c").verdict() == "not measurable here"


def test_every_scenario_can_be_told_of(bench):
    for name, module in bench.scenario.SCENARIOS.items():
        assert module.NAME == name and module.TITLE
        assert all(callable(getattr(module, part)) for part in ("cases", "measure_case", "table", "rows"))


def test_the_summary_is_a_document(bench):
    row = {**vars(bench.report.Row("one | two", "2 x", "3 x", True, "by cycles")), "verdict": "met", "repeat": "run"}
    text = bench.summary.text({
        "date": "2026-01-02T03:04:05+00:00", "quick": False, "versions": {"sluice": "1"},
        "machine": {"cpu": "a CPU", "cpus": 2, "virtual": True, "tscMHz": 2500, "caches": {"L2": "1M"}, "memoryGiB": 8,
                    "system": "Debian", "kernel": "6", "compiler": "12", "dpdk": "22"},
        "scenarios": {"stream": {"title": "a title", "rounds": 3, "hugePages": True, "rows": [row], "failures": ["x: y"],
                                 "table": [("device", "Mpps"), ("Sluice", "1.0")]}}})
    assert text.startswith("## 2026-01-02\n")
    assert "| one \\| two | 2 x | 3 x | met (1) | `run` |" in text and "1. by cycles" in text
    assert "| Sluice | 1.0 |" in text and "Not measured: x: y." in text


def serviced(events):
    """Sluice alone, whose figures are (lost, gap) of one round each."""
    return {"devices": {"sluice": {"version": "1", "maximum": 2e5, "packetsPerSecond": 1e5, "connections": 1000, "events": {
        event: [{"lost": lost, "gapMs": gap}] for event, (lost, gap) in events.items()}}}}


@pytest.mark.parametrize("nothing, planned, verdict", [
    ((0, 0.3), (0, 0.8), "met"), ((0, 0.3), (0, 1.2), "missed"), ((0, 0.3), (1, 0.8), "missed"),
    # So much the machine does by itself.
    ((0, 3.0), (0, 3.5), "not measurable here"), ((9, 0.3), (1, 0.8), "not measurable here")])
def test_a_gap_is_judged_beside_what_the_machine_does(bench, nothing, planned, verdict):
    result = serviced({"nothing": nothing, "planned": planned})
    (row,) = bench.service.targets(result)
    assert row["verdict"] == verdict
    lines = bench.service.table(result)
    assert lines[2][2:] == (str(planned[0]), f"{planned[1]} ({planned[1]})")
    assert lines[3][2:] == ("-", "-"), "it was not measured"


@pytest.mark.parametrize("arguments, said", [
    (["--only", "nothing"], "nothing: not one of"), (["--connections", "0"], "not numbers from 1"),
    (["--devices", "vpp"], "vpp: not one of"), (["--rounds", "x"], "invalid")])
def test_wrong_options_end_with_one_line(arguments, said):
    done = subprocess.run([sys.executable, BENCH / "run.py", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]


def test_a_summary_needs_results(tmp_path):
    done = subprocess.run([sys.executable, BENCH / "summary.py", "--input", tmp_path / "none.json"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run bench/run.py first" in done.stderr
