"""Writes the figures of a run into a page, between two marks."""

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.document import put
from benchmarks.results import cpu_model
from benchmarks.tables import table

from soaking.judging import Verdict

HEAD = ("what", "measured", "allowed", "")


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str, str]]:
    """Return the verdicts as rows of a table."""
    return [
        (one.what, one.measured.replace("|", "\\|"), one.allowed, "" if one.good else "FAILED")
        for one in verdicts
    ]


def write(path: Path, given: argparse.Namespace, verdicts: Sequence[Verdict]) -> None:
    """Rewrite the figures in the page at ``path``."""
    made = (
        f"`scripts/soak {given.minutes:g} --seed {given.seed}` on {datetime.now(UTC):%Y-%m-%d},"
        f" {os.cpu_count()} cores of {cpu_model()} that it shared with others,"
        f" {platform.python_implementation()} {platform.python_version()},"
        f" {'with a' if given.collector else 'without a'} Collector:"
    )
    section = f"{made}\n\n{table(HEAD, rows(verdicts))}\n"
    path.write_text(put(path.read_text(encoding="utf-8"), "soak", section), encoding="utf-8")
