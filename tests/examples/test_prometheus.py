"""The shipped rules ask only for what exists, and promtool's tests make each alert speak and hold
its tongue."""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from otel_emqx_monitor.emqx.rows import NodeState
from otel_emqx_monitor.events.event import Kind
from otel_emqx_monitor.events.inbox import FAILED, IGNORED, LOST, MALFORMED
from otel_emqx_monitor.fleet import State
from otel_emqx_monitor.instruments import METRICS
from otel_emqx_monitor.metric import PREFIX, Metric
from otel_emqx_monitor.snapshot import Outcome
from tests.examples.rules import (
    EXAMPLES,
    RULE_FILES,
    TEST_FILES,
    Rule,
    Selector,
    expectations,
    load,
    load_tests,
    selectors,
    series,
)
from tests.examples.tools import NEWEST, check_schemas, objects_in

RULES = load()
ALERTS = [rule for rule in RULES if rule.alerts]
RECORDED = {rule.name: rule for rule in RULES if not rule.alerts}
TABLE = {metric.exposition_name: metric for metric in METRICS}

#: What Prometheus itself says of each scrape; the last one with a feature flag.
OF_PROMETHEUS = {"up", "scrape_samples_post_metric_relabeling", "scrape_sample_limit"}

#: Labels that scrapes add: ``pod`` comes with an agent beside each node in Kubernetes.
OF_SCRAPES = {"job", "instance", "pod"}

#: Alerts about one of the two ways; they rest on ``up``, which only a scrape makes.
ONE_WAY = {"EmqxMonitorAgentDown": {"scraped"}, "EmqxMonitorCollectorDown": {"pushed"}}

by_name = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
each_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)


def call(*command: str | Path) -> tuple[int, str]:
    ended = subprocess.run(
        command,
        cwd=EXAMPLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return ended.returncode, ended.stdout


@pytest.mark.real("promtool")
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    exit_code, said = call("promtool", "check", "rules", *RULE_FILES)
    assert exit_code == 0, said


@pytest.mark.real("promtool")
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-otlp.yml"])
def test_promtool_finds_nothing_wrong_with(name: str) -> None:
    exit_code, said = call("promtool", "check", "config", name)
    assert exit_code == 0, said
    assert f"{len(RULE_FILES)} rule files found" in said


@pytest.mark.real("amtool")
def test_amtool_finds_nothing_wrong_with_the_alertmanager_s() -> None:
    exit_code, said = call("amtool", "check-config", "alertmanager.yml")
    assert exit_code == 0, said


@pytest.mark.real("promtool")
@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_promtool_s_tests_pass(file: Path) -> None:
    exit_code, said = call("promtool", "test", "rules", file)
    assert exit_code == 0, said


@by_name
def test_every_metric_exists(rule: Rule) -> None:
    known = TABLE.keys() | RECORDED.keys() | OF_PROMETHEUS
    assert {one.metric for one in rule.selectors} <= known


@by_name
def test_every_label_and_value_that_is_asked_for_exists(rule: Rule) -> None:
    for selector in rule.selectors:
        for label, value in selector.matchers:
            assert label in labels_of(selector.metric)
            assert set(value.split("|")) <= values_of(selector.metric, label) | {"any"}


def labels_of(metric: str) -> set[str]:
    """The labels that a metric may have; those of a rule are not more than its sources have."""
    if metric in TABLE:
        return {*TABLE[metric].labels, "broker"} | OF_SCRAPES
    if metric in RECORDED:
        return set().union(*(labels_of(one.metric) for one in RECORDED[metric].selectors))
    return {"job", "instance"}


def values_of(metric: str, label: str) -> set[str]:
    """The values that a label can have, where that is a list."""
    match metric.removeprefix(PREFIX), label:
        case "clients", "state":
            return set(State)
        case "nodes", "state":
            return set(NodeState)
        case "otlp_exports_total", "outcome":
            return set(Outcome)
        case "events_total", "event":
            return {*Kind, IGNORED, MALFORMED, LOST, FAILED}
        case (("up" | "scrape_samples_post_metric_relabeling"), "job"):
            return {".*otel-emqx-monitor.*", "otel-collector"}
    return set()


@pytest.mark.parametrize("rule", RECORDED.values(), ids=RECORDED)
def test_a_recorded_name_is_level_metric_operation(rule: Rule) -> None:
    level, metric, operation = rule.name.split(":")
    assert operation in {"sum", "count", "avg", "min", "max", "rate5m", "blind"}
    name = f"{metric}_total" if operation == "rate5m" else metric
    left = level.removeprefix("named_").removeprefix("client") or "broker"
    assert set(left.split("_")) <= {*TABLE[name].labels, "broker"}


@each_alert
def test_an_alert_says_how_bad_it_is_what_happened_where_and_what_to_do(rule: Rule) -> None:
    assert rule.labels.keys() == {"severity"}
    assert rule.labels["severity"] in {"critical", "warning"}
    assert rule.waits
    assert rule.annotations.keys() == {"summary", "description", "runbook_url"}
    for text in (rule.annotations["summary"], rule.annotations["description"]):
        assert re.search(r"\$labels\.(broker|instance|alias)", text)
    page = f"docs/troubleshooting.md#alert-{rule.name.lower()}"
    assert rule.annotations["runbook_url"] == page


@each_alert
def test_an_alert_says_which_setting_its_metrics_need(rule: Rule) -> None:
    needed = {metric.flag for metric in metrics_of(rule.selectors) if metric.flag}
    assert [flag for flag in needed if flag not in rule.comment] == []


def metrics_of(asked: Iterable[Selector]) -> Iterator[Metric]:
    """The metrics of the table that ``asked`` rests on, also by way of recording rules."""
    for selector in asked:
        if selector.metric in TABLE:
            yield TABLE[selector.metric]
        elif selector.metric in RECORDED:
            yield from metrics_of(RECORDED[selector.metric].selectors)


def test_every_rule_has_its_own_name() -> None:
    names = [rule.name for rule in RULES]
    assert sorted(names) == sorted(set(names))


@each_alert
def test_an_alert_is_tested_to_fire_for_both_ways_and_to_be_silent(rule: Rule) -> None:
    expected = [one.firing for one in expectations() if one.alert == rule.name]
    assert () in expected
    ways = {way(labels) for firing in expected for labels in firing}
    assert ways == ONE_WAY.get(rule.name, {"scraped", "pushed"})
    severities = {labels["severity"] for firing in expected for labels in firing}
    assert severities == {rule.labels["severity"]}


def way(labels: Mapping[str, str]) -> str:
    """The way by which the series of a test come that the alert is about."""
    if "broker" in labels:
        return labels["broker"]
    return "pushed" if labels["job"] == "otel-collector" else "scraped"


def test_tests_expect_only_alerts_that_exist() -> None:
    assert {one.alert for one in expectations()} == {rule.name for rule in ALERTS}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_rule_is_tested(name: str) -> None:
    asked = {
        selector.metric
        for test in load_tests()
        for one in test["promql_expr_test"]
        for selector in selectors(one["expr"])
    }
    through = {one.metric for rule in RULES if rule.name in asked for one in rule.selectors}
    assert name in asked | through


def test_series_of_the_tests_have_the_labels_of_the_table() -> None:
    for test in load_tests():
        for one in test["input_series"]:
            metric, labels = series(one["series"])
            assert {"job"} <= labels.keys() <= labels_of(metric), one
            assert ("instance" in labels) is (metric not in RECORDED), one
            if metric in TABLE and not metric.endswith(("_client_info", "_build_info")):
                assert labels.keys() >= {*TABLE[metric].labels, "broker"}, one


def test_the_readme_s_table_has_every_alert() -> None:
    readme = EXAMPLES / "README.md"
    begin, end = "<!-- alerts: begin -->\n", "<!-- alerts: end -->"
    before, rest = readme.read_text(encoding="utf-8").split(begin)
    written, after = rest.split(end)
    expected = alert_table() + "\n"
    if os.environ.get("UPDATE_DOCS") == "1":
        readme.write_text(before + begin + expected + end + after, encoding="utf-8")
        written = expected
    assert written == expected


def alert_table() -> str:
    rows = ["| alert | severity | after | needs |", "| --- | --- | --- | --- |"]
    for rule in ALERTS:
        flags = sorted({one.flag for one in metrics_of(rule.selectors) if one.flag})
        needs = ", ".join(f"`{flag}`" for flag in flags)
        rows.append(f"| `{rule.name}` | {rule.labels['severity']} | {rule.waits} | {needs} |")
    return "\n".join(rows)


def test_the_first_page_counts_the_alerts() -> None:
    page = (EXAMPLES.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"has {len(ALERTS)}, with recording rules" in page


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert [link for link in links if not (EXAMPLES / link).exists()] == []


def test_the_operator_s_object_has_all_rules_and_its_schema_takes_it() -> None:
    [script] = re.findall(r"```sh\n(\{\n.*?)```", (EXAMPLES / "README.md").read_text(), re.DOTALL)
    assert "| kubectl apply -f -" in script
    exit_code, text = call("sh", "-euc", script.replace("kubectl apply -f -", "cat"))
    assert exit_code == 0, text
    [rules] = objects_in(text)
    check_schemas([rules], NEWEST)
    written = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    assert rules["spec"]["groups"] == written


def test_every_alert_has_its_entry_in_the_runbook() -> None:
    pages = {rule.annotations["runbook_url"].split("#")[0] for rule in ALERTS}
    (path,) = (EXAMPLES.parents[1] / page for page in pages)
    if not path.exists():
        pytest.skip(f"{path.name} is not written yet")
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    anchors |= set(re.findall(r'id="([^"]+)"', text))
    assert {rule.annotations["runbook_url"].split("#")[1] for rule in ALERTS} <= anchors
