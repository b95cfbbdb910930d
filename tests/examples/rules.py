"""The shipped rule files and their tests, and what PromQL in them asks for."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples" / "prometheus"
RULE_FILES = sorted((EXAMPLES / "rules").glob("*.yaml"))
TEST_FILES = sorted((EXAMPLES / "tests").glob("*.yaml"))

#: A query in the text of an annotation: ``{{ range printf "..." $labels.broker | query }}``.
_TEMPLATE_QUERY = re.compile(r'printf "([^"]+)"[^|}]*\| query')


@dataclass(frozen=True)
class Selector:
    """What one part of a query asks for: a metric, and its matchers as pairs of label and value."""

    metric: str
    matchers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Rule:
    """One rule; ``comment`` is what stands above it in its file."""

    name: str
    expr: str
    comment: str
    alerts: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    waits: str | None

    @property
    def queries(self) -> list[str]:
        """Its expression, and the queries that its annotations make."""
        texts = self.annotations.values()
        found = (query for text in texts for query in _TEMPLATE_QUERY.findall(text))
        return [self.expr, *(query.replace("%q", '"any"') for query in found)]

    @property
    def selectors(self) -> list[Selector]:
        """All that these queries ask for."""
        return [selector for query in self.queries for selector in selectors(query)]


@functools.cache
def load() -> list[Rule]:
    """Return all shipped rules, in the order of the files."""
    return [rule for file in RULE_FILES for rule in _rules(file)]


def _rules(file: Path) -> Iterator[Rule]:
    text = file.read_text(encoding="utf-8")
    for group in yaml.safe_load(text)["groups"]:
        for rule in group["rules"]:
            name = rule.get("alert") or rule["record"]
            yield Rule(
                name=name,
                expr=rule["expr"],
                comment=_comment_above(text, name),
                alerts="alert" in rule,
                labels=rule.get("labels", {}),
                annotations=rule.get("annotations", {}),
                waits=rule.get("for"),
            )


def _comment_above(text: str, name: str) -> str:
    """Return the comment above a rule; rules that need the same may share one."""
    lines = text.splitlines()
    at = next(n for n, line in enumerate(lines) if line.split(": ")[1:] == [name])
    comment: list[str] = []
    for line in reversed(lines[:at]):
        if line.strip().startswith("#"):
            comment.append(line.strip("# "))
        elif comment or "- alert:" in line or not line.strip():
            break
    return " ".join(reversed(comment))


def selectors(query: str) -> list[Selector]:
    """Return what ``query`` asks for; raises ``ValueError`` when it is not PromQL."""
    found: list[Selector] = []

    def visit(expr: promql_parser.Expr) -> None:
        if isinstance(expr, promql_parser.VectorSelector):
            matchers = tuple((one.name, one.value) for one in expr.matchers.matchers)
            found.append(Selector(expr.name or "", matchers))

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


@dataclass(frozen=True)
class Expectation:
    """An alert in a test, and the label sets of it that shall fire; none for one that is silent."""

    alert: str
    firing: tuple[Mapping[str, str], ...]


@functools.cache
def load_tests() -> list[dict[str, Any]]:
    """Return the single tests of all files that ``promtool test rules`` runs."""
    return [
        test
        for file in TEST_FILES
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
    ]


@functools.cache
def expectations() -> list[Expectation]:
    """Return what the tests expect of the alerts that fire."""
    found = []
    for test in load_tests():
        for asked in test["promql_expr_test"]:
            (selector,) = selectors(asked["expr"])
            matchers = dict(selector.matchers)
            if selector.metric == "ALERTS" and asked["expr"].startswith("ALERTS"):
                firing = tuple(series(one["labels"])[1] for one in asked.get("exp_samples", []))
                assert matchers.keys() == {"alertname", "alertstate"}
                found.append(Expectation(matchers["alertname"], firing))
    return found


def series(text: str) -> tuple[str, Mapping[str, str]]:
    """Return the metric and the labels of a series as tests write it."""
    (selector,) = selectors(text)
    return selector.metric, dict(selector.matchers)
