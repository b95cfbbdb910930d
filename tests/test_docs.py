"""The documents say what the code does; `UPDATE_DOCS=1` rewrites the parts made from code."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from otel_emqx_monitor.cli import EXIT_CODES, main
from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.config.reference import reference
from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.emqx.rows import NodeState, Row
from otel_emqx_monitor.events.event import Source
from otel_emqx_monitor.events.inbox import FAILED, IGNORED, KINDS, LOST, MALFORMED
from otel_emqx_monitor.events.webhook import ANSWERS, Refusal
from otel_emqx_monitor.fleet import REASONS, Correction, State
from otel_emqx_monitor.instruments import METRICS, OVERDUE
from otel_emqx_monitor.snapshot import Outcome
from tests.documents import DOCS, PAGES, ROOT, anchors, prose
from tests.fleets import AT, snapshot


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )


def exit_codes() -> str:
    return table(["code", "meaning"], ([str(code), text] for code, text in EXIT_CODES.items()))


def metrics() -> str:
    rows = []
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        flag = f"`{metric.flag}`" if metric.flag else "always"
        rows.append([f"`{metric.exposition_name}`", metric.kind.value, labels, flag, metric.help])
    return table(["metric", "type", "labels beside `broker`", "on with", "help"], rows)


def configuration() -> str:
    rows = ([f"`{key.key}`", key.type, f"`{key.default}`", key.description] for key in reference())
    return table(["key", "type", "default", "meaning"], rows)


#: What a label of the agent's own metrics can say, by metric and label.
LABEL_VALUES: Mapping[tuple[str, str], Iterable[str]] = {
    ("disconnections", "reason"): REASONS,
    ("poll_errors", "reason"): Reason,
    ("clients", "state"): State,
    ("nodes", "state"): NodeState,
    ("events", "source"): Source,
    ("events", "event"): (*KINDS[Source.WEBHOOK], IGNORED, MALFORMED, LOST, FAILED),
    ("events_refused", "reason"): Refusal,
    ("corrections", "kind"): Correction,
    ("otlp_exports", "outcome"): Outcome,
}


def label_values() -> str:
    names = {metric.name: metric.exposition_name for metric in METRICS}
    rows = (
        [f"`{label}`", f"`{names[name]}`", ", ".join(f"`{value}`" for value in values)]
        for (name, label), values in LABEL_VALUES.items()
    )
    return table(["label", "on", "values"], rows)


def refusals() -> str:
    """The statuses of ``/events``; what to do is that which EMQX does."""
    meanings = {
        Refusal.TOKEN: "no bearer token, or a wrong one: run `setup-events` again",
        Refusal.SLOW: "the body did not come in time",
        Refusal.TOO_LARGE: "larger than `events.webhook.max_body_bytes`",
        Refusal.TOO_MANY: "more than `events.webhook.max_per_second`; EMQX tries again",
        Refusal.FULL: "too many wait to be worked on; EMQX tries again",
        Refusal.CUT_OFF: "the connection ended before the body did",
    }
    rows = (
        [str(ANSWERS[one].value) if one in ANSWERS else "none", f"`{one}`", meanings[one]]
        for one in Refusal
    )
    return table(["status", "reason", "why"], rows)


def series() -> str:
    """How many series one connected client has, by what turns them on."""
    numbers: dict[str, Any] = {
        name: 1
        for name in Row.__struct_fields__
        if name.endswith(("_cnt", "_len", "_oct", "_pkt", "dropped", "expired", "full", "large"))
        or "msg" in name
        or name in {"keepalive", "expiry_interval", "proto_ver"}
    }
    row = Row(clientid="c", connected=True, connected_at=AT, created_at=AT, **numbers)
    now = snapshot(row)
    counts: dict[str | None, int] = {}
    for metric in METRICS:
        if "client_id" in metric.labels:
            found = sum(1 for _ in metric.observe(now).points())
            counts[metric.flag] = counts.get(metric.flag, 0) + found
    # What a connected client of a bare snapshot lacks: nobody expects it, and nothing is kept.
    counts[OVERDUE], counts["enable_client_info"] = 1, 1
    default = PrometheusConfig().flags
    rows = [
        [f"`{flag}`" if flag else "always", str(count), "on" if flag in {None, *default} else ""]
        for flag, count in counts.items()
    ]
    total = sum(count for flag, count in counts.items() if flag in {None, *default})
    rows.append(["by default", str(total), ""])
    rows.append(["all of them", str(sum(counts.values())), ""])
    return table(["turned on by", "series", "default"], rows)


@pytest.mark.parametrize(
    "page, name, expected",
    [
        ("commands", "exit codes", exit_codes()),
        ("metrics", "metrics", metrics()),
        ("metrics", "label values", label_values()),
        ("configuration", "configuration", configuration()),
        ("sizing", "series", series()),
        ("troubleshooting", "refusals", refusals()),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_the_tables_of_the_documents_are_those_of_the_code(
    page: str, name: str, expected: str
) -> None:
    file = DOCS / f"{page}.md"
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = file.read_text().split(begin)
    written, after = rest.split(end)
    if os.environ.get("UPDATE_DOCS") == "1":
        file.write_text(before + begin + expected + "\n" + end + after)
        written = expected + "\n"
    assert written.splitlines() == expected.splitlines()


def test_each_label_has_its_values_explained() -> None:
    of_agent = {
        (metric.name, label)
        for metric in METRICS
        for label in metric.labels
        if "client_id" not in metric.labels or metric.name == "disconnections"
        if label not in {"alias", "client_id", "node", "version", "python_version"}
    }
    alike = {("events_lag_seconds", "source"), ("events_up", "source"), ("otlp_points", "outcome")}
    assert of_agent - alike == set(LABEL_VALUES)


def test_the_commands_are_those_of_the_program() -> None:
    section = (DOCS / "commands.md").read_text().split("## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == sorted(
        main.commands,
        key=[
            *("prometheus", "otlp", "run", "check", "validate"),
            *("setup-events", "healthcheck", "simulate", "demo"),
        ].index,
    )


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=]", line)[0] for line in project["dependencies"]]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split("<!-- dependencies: begin -->")[1].split("<!-- dependencies: end -->")[0]
    assert re.findall(r"^\| ([\w-]+) \|", section, re.MULTILINE)[1:] == names


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    assert [line for line in lines if not re.fullmatch(r"[\w-]+>=[\w.]+,<[\w.]+", line)] == []


def test_architecture_names_every_module() -> None:
    text = (DOCS / "architecture.md").read_text()
    package = ROOT / "otel_emqx_monitor"
    folders = {one.name for one in package.iterdir() if (one / "__init__.py").exists()}
    modules = {one.name for one in package.glob("*.py")}
    minor = {"__init__.py", "__main__.py", "version.py", "text.py", "logs.py", "demo.py"}
    minor |= {"deadline.py", "background.py", "outage.py", "listening.py", "spans.py"}
    minor |= {"signals.py"}
    names = {f"{folder}/" for folder in folders} | modules - minor
    assert sorted(name for name in names if name not in text) == []


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`(?!\])", "", prose(page))
    return re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_links_stay_inside_of_the_repository() -> None:
    outside = [
        (page.name, link)
        for page in PAGES
        for link in links(page)
        if not (page.parent / link.partition("#")[0]).resolve().is_relative_to(ROOT)
    ]
    assert outside == []


def test_each_document_can_be_reached_from_the_index() -> None:
    reached, ahead = set(), [DOCS / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        ahead += [
            target
            for link in links(page)
            if (target := (page.parent / link.partition("#")[0]).resolve()).is_file()
        ]
    assert [page.name for page in DOCS.rglob("*.md") if page not in reached] == []
    assert ROOT / "README.md" in reached


def test_documents_that_messages_name_exist() -> None:
    sources = (ROOT / "otel_emqx_monitor").rglob("*.py")
    named = {
        name for file in sources for name in re.findall(r"docs/[\w./-]+\.md", file.read_text())
    }
    named.discard("docs/web-configuration.md")  # the exporter-toolkit's
    assert named >= {"docs/sleepy-devices.md", "docs/events.md"}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
