import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*options: str) -> str:
    """Run the benchmark in its short form, and return what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--sizes", "50", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def figures_of(folder: Path, only: str) -> dict[str, str]:
    """Return the figures of a run that writes its document into ``folder``."""
    said = run("--only", only, "--docs", str(folder))
    return dict(re.findall(r"^(?:met|MISSED) +(.*): (.*) \(target", said, re.MULTILINE))


def test_the_benchmark_runs_and_writes_its_table_and_chart(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("before\n<!-- benchmark: begin -->\nold\n<!-- benchmark: end -->\nafter\n")
    found = figures_of(tmp_path, "scrape,otlp,memory,decode")
    for figure in (
        "new snapshot → exposition, against the official path",
        "… against the bare render limit",
        "snapshot → OTLP bytes, against official collect + `encode_metrics`",
        "peak RSS, 50 clients, default flags, both readers on",
        "decoding a page of 50 rows, against msgspec alone",
    ):
        assert re.match(r"\d", found[figure])
    written = document.read_text()
    assert written.startswith("before\n<!-- benchmark: begin -->\nMeasured on 20")
    assert written.endswith("\n<!-- benchmark: end -->\nafter\n")
    for path in ("official SDK path", "this agent", "bare render limit"):
        assert re.search(rf"^\| {path} \| default \| .* µs · \d+ MB \|$", written, re.MULTILINE)
    assert ">this agent</text>" in (tmp_path / "images" / "bench.svg").read_text()


def test_what_remembering_costs_can_be_measured_alone(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    other = "<!-- benchmark: begin -->\nold\n<!-- benchmark: end -->\n"
    document.write_text(f"{other}<!-- remembering: begin -->\n<!-- remembering: end -->\n")
    found = figures_of(tmp_path, "remembering")
    for figure in (
        "a poll's write, against the poll itself (asking, decoding, tracking)",
        "… while nobody comes or goes",
        "a whole poll, summed up and written, against a live one",
        "RSS after 12 polls, against after 10",
    ):
        assert re.match(r"\d", found[figure])
    written = document.read_text()
    assert written.startswith(other)
    assert re.search(r"^\| writing, CPU \| .* ms \| .* ms \| .* ms \|$", written, re.MULTILINE)


def test_two_thousand_events_a_second_are_taken_without_a_loss_while_scrapes_are_served(
    tmp_path: Path,
) -> None:
    saved = tmp_path / "results.json"
    run("--only", "events", "--save", str(saved))
    [case] = json.loads(saved.read_text())["measured"]
    [measured] = case["measured"]
    figures = measured["figures"]
    assert measured["failure"] == ""
    assert [figures[name] for name in ("posted", "lost", "not counted")] == [10_000, 0, 0]
    assert figures["scrapes"] > 0
