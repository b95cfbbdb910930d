"""The documents say what the code does; `UPDATE_DOCS=1` rewrites the parts made from code."""

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import pytest

from otel_emqx_monitor.cli import EXIT_CODES, main
from otel_emqx_monitor.config.reference import reference
from otel_emqx_monitor.instruments import METRICS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


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


@pytest.mark.parametrize(
    "name, expected",
    [
        ("exit codes", exit_codes()),
        ("metrics", metrics()),
        ("configuration", configuration()),
    ],
)
def test_the_readme_s_tables_are_those_of_the_code(name: str, expected: str) -> None:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = README.read_text().split(begin)
    written, after = rest.split(end)
    if os.environ.get("UPDATE_DOCS") == "1":
        README.write_text(before + begin + expected + "\n" + end + after)
        written = expected + "\n"
    assert written.splitlines() == expected.splitlines()


def test_the_readme_has_every_command() -> None:
    section = README.read_text().split("## Commands")[1].split("###")[0]
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


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / document).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
