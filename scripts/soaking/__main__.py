"""Soaks an agent: nothing may grow through minutes of churn and faults. ``scripts/soak --help``."""

import argparse
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.tables import table

from soaking import chart, page
from soaking.account import Run, verdicts
from soaking.judging import Verdict
from soaking.running import Soak


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.partition(" ``")[0])
    parser.add_argument("minutes", type=float, help="how long; a third of it is for warming up")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other lives and faults")
    parser.add_argument(
        "--clients", type=int, default=200, help="those who stay, 200 by default; others visit"
    )
    parser.add_argument(
        "--interval", type=float, default=3.0, help="seconds between polls, 3 by default"
    )
    parser.add_argument("--figure", type=Path, help="write the figure into this file (SVG)")
    parser.add_argument(
        "--page", type=Path, help="rewrite the figures between its marks (Markdown)"
    )
    parser.add_argument("--save", type=Path, help="write all that was measured into a JSON file")
    parser.add_argument("--load", type=Path, help="run nothing, take such a file")
    parser.add_argument("--collector", help=argparse.SUPPRESS)
    # A stand-in for the program that leaks, so that tests see the soak find it.
    parser.add_argument("--agent", default="otel_emqx_monitor", help=argparse.SUPPRESS)
    return parser.parse_args()


def soaked(given: argparse.Namespace) -> Run:
    """Return what an earlier run has found out, or run now."""
    if given.load:
        return Run.from_json(json.loads(given.load.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        return Soak(given, Path(folder), running).run(lambda line: _say(f"soak: {line}"))


def main() -> None:
    """Soak, tell, draw, and end with 1 when something was not as it should be."""
    given = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all children end too
    run = soaked(given)
    found = list(verdicts(run))
    sys.stdout.write(table(page.HEAD, page.rows(found)) + "\n")
    if given.save:
        given.save.write_text(json.dumps(run.to_json()), encoding="utf-8")
    if given.figure:
        given.figure.write_text(chart.draw(run), encoding="utf-8")
    if given.page:
        page.write(given.page, given, found)
    failures = [one for one in found if not one.good]
    if failures:
        sys.exit("\n".join(map(_complaint, failures)))


def _complaint(verdict: Verdict) -> str:
    return f"soak: {verdict.what}: {verdict.measured} (allowed: {verdict.allowed})"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
