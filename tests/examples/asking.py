"""What Grafana asks Prometheus on behalf of a dashboard's JSON, without a Grafana.

Values are put into queries as Grafana's documentation of variables has it, and as its library
``@grafana/scenes`` does it: ``${name:regex}`` escapes each value for a regular expression and joins
several with ``|`` in brackets; the value for "All" goes in as it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.real.prometheus import Prometheus

Json = dict[str, Any]

#: What was chosen: several values, or a text; "All" is the list ``["$__all"]``.
Choices = Mapping[str, Sequence[str]]

ALL = ("$__all",)

_META = re.compile(r"[\\^$*+?.()|[\]{}/]")
_REFERENCE = re.compile(r"\$\{(\w+):regex\}|\$(__range|__rate_interval)\b")
_QUERY_RESULT = re.compile(r"query_result\((.*)\)", re.DOTALL)
_LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)", re.DOTALL)


@dataclass(frozen=True)
class Question:
    """One query of a dashboard.

    ``over_time`` is whether it is asked for a range; ``every`` is its shortest step, in seconds.
    """

    dashboard: str
    panel: str
    kind: str
    ref: str
    expr: str
    over_time: bool
    every: int = 0

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}, {self.ref}"


@dataclass(frozen=True)
class Span:
    """The time shown: when it ends (epoch seconds), how long it is, and what one step is, in s."""

    end: float
    seconds: int
    step: float
    rate_interval: int = 120


def questions(dashboard: Json) -> Iterator[Question]:
    """Yield the queries of all panels and annotations, in their order."""
    name = dashboard["uid"].removeprefix("otel-emqx-monitor-")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Question(
                name,
                panel["title"],
                panel["type"],
                target["refId"],
                target["expr"],
                over_time=target["range"],
                every=int(panel.get("interval", "0s").removesuffix("s")),
            )
    for one in dashboard["annotations"]["list"]:
        yield Question(name, one["name"], "annotation", "annotation", one["expr"], over_time=True)


def variables(dashboard: Json) -> dict[str, Json]:
    """Return the variables of a dashboard by their names, without that of the data source."""
    listed = dashboard["templating"]["list"]
    return {one["name"]: one for one in listed if one["type"] != "datasource"}


def untouched(dashboard: Json) -> dict[str, Sequence[str]]:
    """Return what is chosen before anybody has chosen: all of the lists that have "All"."""
    return {
        name: ALL if one.get("includeAll") else ("",)
        for name, one in variables(dashboard).items()
        if one.get("includeAll") or one["type"] == "textbox"
    }


def interpolated(text: str, dashboard: Json, choices: Choices, span: Span) -> str:
    """Return a query with everything put in that Grafana puts in; a stranger in it is an error."""
    known = variables(dashboard)

    def value_of(reference: re.Match[str]) -> str:
        name, of_time = reference.groups()
        if of_time:
            return f"{span.seconds if of_time == '__range' else span.rate_interval}s"
        chosen = choices[name]
        if chosen == ALL:
            return str(known[name]["allValue"])
        escaped = [_META.sub(r"\\\g<0>", one) for one in chosen]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    assert "$" not in _REFERENCE.sub("", text), text
    return _REFERENCE.sub(value_of, text)


def options(
    server: Prometheus, dashboard: Json, name: str, choices: Choices, span: Span
) -> list[str]:
    """Return what the list of a variable offers."""
    variable = variables(dashboard)[name]
    query = interpolated(variable["query"]["query"], dashboard, choices, span)
    if match := _QUERY_RESULT.fullmatch(query):
        found = server.ask("query", query=match[1], time=str(span.end))["result"]
        lines = [_line(one) for one in found]
        return [wanted[1] for line in lines if (wanted := re.search(variable["regex"][1:-1], line))]
    match = _LABEL_VALUES.fullmatch(query)
    assert match, query
    offered: list[str] = server.ask(f"label/{match[2]}/values", **{"match[]": match[1]})
    return offered


def _line(one: Json) -> str:
    """Return the text that Grafana makes of a series for ``query_result``, labels unescaped."""
    labels = ",".join(f'{name}="{value}"' for name, value in one["metric"].items())
    return f"{{{labels}}} {one['value'][1]} {round(one['value'][0] * 1000)}"


def resolved(server: Prometheus, dashboard: Json, choices: Choices, span: Span) -> Choices:
    """Return ``choices`` with the values put in of lists whose "All" is all of their values."""
    made = {
        name: options(server, dashboard, name, choices, span)
        for name, one in variables(dashboard).items()
        if one.get("includeAll") and "allValue" not in one
    }
    return {**choices, **made}


def answer(
    server: Prometheus, dashboard: Json, question: Question, choices: Choices, span: Span
) -> Any:
    """Return the series that Prometheus answers a query with."""
    choices = resolved(server, dashboard, choices, span)
    expr = interpolated(question.expr, dashboard, choices, span)
    if not question.over_time:
        return server.ask("query", query=expr, time=str(span.end))["result"]
    start, step = span.end - span.seconds, max(span.step, question.every)
    return server.ask(
        "query_range", query=expr, start=str(start), end=str(span.end), step=str(step)
    )["result"]
