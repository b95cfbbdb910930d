"""What the documents show to be copied works: queries, commands, configurations, Python."""

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_emqx_monitor.cli import main
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.config.reference import reference
from otel_emqx_monitor.instruments import METRICS
from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator
from tests.documents import DOCS, ROOT, blocks
from tests.processes import settings, write_config

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def in_pages(language: str) -> list[Any]:
    """Return the blocks of one language in all pages, as parameters of a test."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page, language), 1)
    ]


def queries(block: str) -> list[str]:
    """Split a block into expressions: one begins with each line that is not indented."""
    lines = [re.sub(r"\s+#.*$", "", line) for line in block.splitlines()]
    found: list[str] = []
    for line in filter(None, lines):
        if found and line.startswith((" ", ")")):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


@pytest.mark.parametrize("block", in_pages("promql"))
def test_queries_ask_for_metrics_that_exist(block: str) -> None:
    known = {metric.exposition_name for metric in METRICS}
    asked = re.findall(r"\bemqx_client_monitor_\w+", block)
    assert [name for name in asked if name not in known] == []


@pytest.mark.real("promtool")
def test_prometheus_can_read_all_queries(tmp_path: Path) -> None:
    found = [
        query for page in PAGES for block in blocks(page, "promql") for query in queries(block)
    ]
    rules = [{"record": f"docs:query_{n}", "expr": query} for n, query in enumerate(found)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": rules}]}))

    checked = subprocess.run(
        ["promtool", "check", "rules", file],  # noqa: S607 (wherever it is)
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"{len(found)} rules found" in checked.stdout


def commands() -> Iterator[str]:
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            yield from (line.strip() for line in lines if "otel-emqx-monitor " in line)


OURS = sorted({line for line in commands() if line.startswith("otel-emqx-monitor ")})


def test_there_are_commands() -> None:
    assert len(OURS) > 5


@pytest.mark.parametrize("line", OURS)
def test_commands_are_understood(line: str) -> None:
    _program, name, *arguments = shlex.split(line, comments=True)
    main.commands[name].make_context(name, arguments)  # parses; runs nothing


def keys(value: Any, above: str = "") -> Iterator[str]:
    """Yield the path of each key, as the reference writes them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{above}.{name}" if above else name
            yield path
            if path != "otlp.headers":  # whose keys are anybody's
                yield from keys(inner, path)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{above}[]")


@pytest.mark.parametrize("block", in_pages("yaml"))
def test_configurations_have_only_known_keys(block: str) -> None:
    document = yaml.safe_load(block)
    if not set(document) <= set(Config.model_fields):
        assert "scrape_configs" in document  # Prometheus' own
        return
    known = {key.key for key in reference()}
    known |= {key.rpartition(".")[0] for key in known} | set(Config.model_fields)
    assert [key for key in keys(document) if key not in known] == []


def test_the_instruments_live_on_any_meter_as_the_document_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks(DOCS / "embedding.md", "python")
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("my-application")
    monkeypatch.chdir(tmp_path)
    with Simulator(Broker(source=ProceduralFleet(3, 1, time.time() - 3600))) as broker:
        written = write_config(tmp_path, {**settings(broker.url), "monitored_clients": "all"})
        Path(written).replace("config.yaml")
        exec(compile(code, "embedding.md", "exec"), {"meter": meter})  # noqa: S102 (our own page)
        data = reader.get_metrics_data()

    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    assert "emqx_client_monitor_connected" in {metric.name for metric in scope.metrics}
