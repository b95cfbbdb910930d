"""Runs each case in a process of its own and keeps what it says."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from statistics import median

from benchmarks.measuring import Measured
from benchmarks.processes import ENVIRON, ROOT, SCRIPTS, simulator
from benchmarks.results import Case, Results

#: Seconds after which a case has taken too long, and after which one process of it is enough.
_TOO_LONG, _LONG = 900.0, 60.0

#: 200 polls of 100,000 clients take six minutes on a quiet machine, and on others what they take.
_TOO_LONG_FOR = {"cumulative": 3_600.0}

#: How often a process measures, in full and when it has to be quick; for some cases it is how many
#: polls, or tens of rounds, or scrapers, or seconds. These are not repeated.
_COUNTS = {"churn": (30, 2), "memory": (10, 2), "memory-both": (10, 2), "grpc": (1, 1)}
_COUNTS |= {"cumulative": (200, 12), "live": (20, 4), "steady": (20, 4), "events": (60, 5)}
_COUNTS |= {"crowd": (500, 50)}
_OTHERS = (3, 1)


class Runner:
    """Runs cases.

    Args:
        original: the Python of an environment that has the original tool, or ``None``.
        quick: as little as shows that a case runs.
    """

    def __init__(self, original: str | None, *, quick: bool) -> None:
        self._original = original
        self._quick = quick

    def run(
        self, results: Results, cases: Iterable[Case], times: int, say: Callable[[str], object]
    ) -> None:
        """Run all cases one after the other, ``times`` times over, and add what they find out."""
        cases = list(cases)
        done: set[Case] = set()
        for turn in range(times):
            for case in cases:
                if case in done:
                    continue
                began = time.monotonic()
                measured = self.measure(case)
                results.measured.setdefault(case, []).append(measured)
                if measured.failure or time.monotonic() - began > _LONG or case.what in _COUNTS:
                    done.add(case)
                say(f"{turn + 1}/{times} {case}: {_summary(measured)}")

    def measure(self, case: Case) -> Measured:
        """Run one case once."""
        needs_broker = case.what == "poll"
        with simulator(case.clients) if needs_broker else nullcontext("") as url:
            options = [case.what, "--clients", str(case.clients), "--url", url]
            options += ["--runs", str(self._runs(case))]
            if case.all_flags:
                options.append("--all-flags")
            return self._process(case.who, options, _TOO_LONG_FOR.get(case.what, _TOO_LONG))

    def _runs(self, case: Case) -> int:
        full, quick = _COUNTS.get(case.what, _OTHERS)
        return quick if self._quick else full

    def _process(self, who: str, options: list[str], limit: float) -> Measured:
        python, folder = sys.executable, ROOT
        if who == "original":
            if self._original is None:
                return Measured(failure="no environment for it was named")
            python, folder = self._original, SCRIPTS  # from where this program is not found
        # This process has to stay small: what it has is counted as the peak of those it starts.
        try:
            ended = subprocess.run(  # noqa: S603 (this project's own)
                [python, "-m", f"benchmarks.{who}", *options],
                env=ENVIRON,
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Measured(failure=f"not done after {limit / 60:g} minutes")
        if ended.returncode != 0:
            return Measured(failure=_last_line(ended.stderr) or f"exit code {ended.returncode}")
        return Measured(**json.loads(_last_line(ended.stdout)))


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _summary(measured: Measured) -> str:
    if measured.failure:
        return measured.failure
    seconds = median(measured.runs)
    return f"{seconds * 1e3:.1f} ms of CPU, {measured.peak_rss / 1e6:.0f} MB"
