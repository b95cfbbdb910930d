"""Many scrapers at once; ``scripts/bench`` has 500 of them on 10,000 clients, and their times."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from otel_emqx_monitor.meter import Reading
from otel_emqx_monitor.readers import exposition, prometheus
from otel_emqx_monitor.server import Access
from tests.web.serving import serving

ROOT = Path(__file__).parents[1]


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_all_of_a_crowd_are_served_from_one_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: Counter[tuple[str, str]] = Counter()
    family = exposition.family

    def counting(reading: Reading, output: exposition.Format) -> bytes:
        if reading.column.time is not None:  # what a poll said
            rendered[reading.instrument.name, output.content_type] += 1
        return family(reading, output)

    monkeypatch.setattr(prometheus, "family", counting)
    with serving(Access(), clients=5_000) as server:
        before = resident_bytes()
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.scrapers", server.url + "metrics", "100"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "scripts"},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
        grown = resident_bytes() - before
    found = json.loads(ended.stdout)
    assert (found["served"], found["clients"], found["failures"]) == (100, [5_000], [])
    assert set(rendered.values()) == {1}
    assert len({content_type for _, content_type in rendered}) == 2
    assert grown < 100 * 2**20, "a hundred copies of all the exposition would be more"
