import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


def test_the_benchmark_runs_and_writes_its_table_and_chart(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("before\n<!-- benchmark: begin -->\nold\n<!-- benchmark: end -->\nafter\n")
    bench = run("--sizes", "50", "--only", "scrape,otlp,memory", "--docs", str(tmp_path))
    assert bench.returncode == 0, bench.stderr
    found = dict(re.findall(r"^(?:met|MISSED) +(.*): (.*) \(target", bench.stdout, re.MULTILINE))
    for figure in (
        "new snapshot → exposition, against the official path",
        "… against the bare render limit",
        "snapshot → OTLP bytes, against official collect + `encode_metrics`",
        "peak RSS, 50 clients, default flags, both readers on",
    ):
        assert re.match(r"\d", found[figure])
    written = document.read_text()
    assert written.startswith("before\n<!-- benchmark: begin -->\nMeasured on 20")
    assert written.endswith("\n<!-- benchmark: end -->\nafter\n")
    for path in ("official SDK path", "this agent", "bare render limit"):
        assert re.search(rf"^\| {path} \| default \| .* µs · \d+ MB \|$", written, re.MULTILINE)
    assert ">this agent</text>" in (tmp_path / "images" / "bench.svg").read_text()


def test_two_thousand_events_a_second_are_taken_without_a_loss_while_scrapes_are_served(
    tmp_path: Path,
) -> None:
    saved = tmp_path / "results.json"
    bench = run("--sizes", "50", "--only", "events", "--save", str(saved))
    assert bench.returncode == 0, bench.stderr
    [case] = json.loads(saved.read_text())["measured"]
    [measured] = case["measured"]
    figures = measured["figures"]
    assert measured["failure"] == ""
    assert [figures[name] for name in ("posted", "lost", "not counted")] == [10_000, 0, 0]
    assert figures["scrapes"] > 0
