from functools import partial

import pytest

from otel_emqx_monitor.cache import SnapshotCache


class Clock:
    """The clock by which polls are due and data become stale; it moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put agents that are made in the test on a clock of its own; answers take real time."""
    clock = Clock()
    monkeypatch.setattr(
        "otel_emqx_monitor.watching.SnapshotCache", partial(SnapshotCache, clock=clock)
    )
    return clock
