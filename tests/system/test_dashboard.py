"""packaging/prometheus and packaging/grafana: rules that promtool accepts and that fire when they should, and queries
of metrics that exist."""

import json
import pathlib
import re
import subprocess

import pytest
import yaml

from test_metrics import text

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
RULES = PACKAGING / "prometheus/sluice.rules.yaml"
DASHBOARD = json.loads((PACKAGING / "grafana/sluice.json").read_text(encoding="utf-8"))
NAME = re.compile(r"\bsluice_[a-z_]+")


@pytest.fixture(scope="module")
def metrics(make_lab):
    """Names of what a node tells."""
    node = make_lab(options=["--metrics", "127.0.0.1:9177"]).nodes["a"]
    return {line.split()[2] for line in text(node).splitlines() if line.startswith("# TYPE")}


def promtool(*arguments):
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_rules_are_valid():
    promtool("check", "rules", RULES)


def test_rules_fire_when_they_should():
    promtool("test", "rules", PACKAGING / "prometheus/sluice.rules.test.yaml")


def test_every_rule_has_a_test():
    rules = {rule["alert"] for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
             for rule in group["rules"]}
    tests = yaml.safe_load((PACKAGING / "prometheus/sluice.rules.test.yaml").read_text(encoding="utf-8"))["tests"]
    assert rules == {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}


def test_rules_ask_for_what_there_is(metrics):
    assert set(NAME.findall(RULES.read_text(encoding="utf-8"))) <= metrics


def queries():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_queries_ask_for_what_there_is(metrics):
    asked = {name for query in queries() for name in NAME.findall(query)}
    variables = {name for variable in DASHBOARD["templating"]["list"] for name in NAME.findall(str(variable["query"]))}
    assert asked | variables <= metrics
    # And what there is is asked for.
    assert {name for name in metrics if name.startswith(("sluice_port_", "sluice_worker_", "sluice_connections"))} \
        <= asked | {"sluice_port_info", "sluice_worker_cpu", "sluice_worker_dropped_packets_total"}


def test_queries_are_promql(tmp_path):
    """As recording rules, with Grafana's variables filled in."""
    file = tmp_path / "queries.yaml"
    filled = [query.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$port", ".*")
              for query in queries()]
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": [
        {"record": f"panel:{number}", "expr": query} for number, query in enumerate(filled)]}]}), encoding="utf-8")
    promtool("check", "rules", file)


def test_panels_have_a_place_each():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len({panel["title"] for panel in panels})
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["type"] in ("timeseries", "stat")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
