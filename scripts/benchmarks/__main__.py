"""Runs the benchmark: ``scripts/bench --help``."""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from sqlite3 import sqlite_version
from typing import TextIO

from benchmarks import chart, document, remembered
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.results import Case, Results, cpu_model
from benchmarks.running import Runner
from benchmarks.targets import findings

_SIZES, _QUICK = [1_000, 10_000, 100_000], [50, 100]

_LIBRARIES = (
    "msgspec",
    "opentelemetry-sdk",
    "opentelemetry-exporter-prometheus",
    "opentelemetry-exporter-otlp-proto-common",
    "prometheus-client",
    "protobuf",
)


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.partition(":")[0])
    parser.add_argument(
        "--sizes",
        type=lambda text: sorted({int(size.replace("_", "")) for size in text.split(",")}),
        help="numbers of clients, as in 1000,10000,100000 (the default)",
    )
    parser.add_argument(
        "--runs", type=int, help="processes for each case, 3 by default; each measures three times"
    )
    parser.add_argument(
        "--quick", action="store_true", help="50 and 100 clients, once: to see that it works"
    )
    parser.add_argument(
        "--only",
        type=lambda text: frozenset(text.split(",")),
        help="what to measure, or whose cases, as in scrape,otlp or remembering; then nothing is"
        " written unless --docs is given",
    )
    parser.add_argument(
        "--docs",
        type=Path,
        help="folder of benchmarks.md and images/bench.svg, which are rewritten; the default is"
        " docs, but with --quick nothing is written",
    )
    parser.add_argument("--save", type=Path, help="write all that was measured into a JSON file")
    parser.add_argument("--load", type=Path, help="measure nothing, take such a file")
    parser.add_argument(
        "--original",
        help="Python of an environment with emqx-client-monitor (scripts/bench has it)",
    )
    return parser.parse_args()


def surroundings(runner: Runner) -> str:
    """Return what the figures depend on, in a sentence."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    original = runner.measure(Case("original", "versions", 1))
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores of {cpu_model()}"
        f" ({platform.system()}, {platform.machine()}) with {platform.python_implementation()}"
        f" {platform.python_version()}, SQLite {sqlite_version}, {libraries}; the original:"
        f" {original.note or original.failure}."
    )


def measured(given: argparse.Namespace) -> Results:
    """Return what an earlier run has found out, or run all cases now."""
    if given.load:
        return Results.from_json(json.loads(given.load.read_text()))
    runner = Runner(given.original, quick=given.quick)
    results = Results(given.sizes or (_QUICK if given.quick else _SIZES), surroundings(runner))
    times = given.runs or (1 if given.quick else 3)
    cases = [
        case
        for case in Plan(results.sizes).cases()
        if not given.only or given.only & {case.who, case.what}
    ]
    runner.run(results, cases, times, lambda line: _say(line, sys.stderr))
    return results


def write(folder: Path, plan: Plan, results: Results) -> None:
    """Rewrite the parts of the document in ``folder`` that were measured, and the chart."""
    path = folder / "benchmarks.md"
    text = path.read_text()
    about_memory = set(results.measured).intersection(plan.remembering.values())
    if about_memory:
        text = document.put(text, "remembering", remembered.section(plan, results))
    if len(results.measured) > len(about_memory):
        text = document.put(text, "benchmark", document.section(plan, results))
        images = folder / "images"
        images.mkdir(exist_ok=True)
        (images / "bench.svg").write_text(chart.draw(plan, results))
    path.write_text(text)


def main() -> None:
    """Measure, tell, and write it down."""
    given = options()
    results = measured(given)
    plan = Plan(results.sizes)
    for one in (*findings(plan, results), *remembered.findings(plan, results)):
        _say(f"{one.verdict:12}  {one.figure}: {one.measured or '?'} (target: {one.target})")
    if given.save:
        given.save.write_text(json.dumps(results.to_json(), indent=1))
    folder = given.docs or (None if given.quick or given.only else ROOT / "docs")
    if folder:
        write(folder, plan, results)


def _say(line: str, stream: TextIO = sys.stdout) -> None:
    stream.write(f"{line}\n")
    stream.flush()


if __name__ == "__main__":
    main()
