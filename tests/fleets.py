"""Snapshots and polls for tests, made of as little as the test at hand needs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.emqx.rows import Poll, Row, newest_by_id
from otel_emqx_monitor.fleet import Fleet, Watched
from otel_emqx_monitor.selection import Selection
from otel_emqx_monitor.snapshot import Health, Snapshot
from otel_emqx_monitor.statefile import NOTHING_RESTORED, Restored
from otel_emqx_monitor.tracker import Habits, Tracker

LIVE = Habits()
AT = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC)
CALM = Health(up=True, last_success=1_000.0, poll_duration=0.25, errors=dict.fromkeys(Reason, 0))


def connected(client_id: str, **fields: Any) -> Row:
    return Row(clientid=client_id, connected=True, connected_at=AT, created_at=AT, **fields)


def poll(*rows: Row, finished_at: float = 1_000.0, duration: float = 0.25) -> Poll:
    return Poll(newest_by_id(rows), finished_at, duration)


def fleet(*rows: Row, watched: list[str] | None = None) -> Fleet:
    """Return the fleet of one poll; clients are watched under an alias in capitals."""
    ids = watched if watched is not None else [row.clientid for row in rows]
    return assess(poll(*rows), [Watched(one.upper(), one, "broker") for one in ids])


def assess(answered: Poll, watched: Sequence[Watched]) -> Fleet:
    """Return what one poll alone says of the clients in ``watched``."""
    return tracker(*watched).apply(answered)


def nothing_known(watched: Sequence[Watched]) -> Fleet:
    """Return the fleet before the first poll."""
    return tracker(*watched).initial


def tracker(
    *watched: Watched, habits: Habits = LIVE, restored: Restored = NOTHING_RESTORED
) -> Tracker:
    """Return a tracker of clients that have a name of their own, which began at second 900."""
    return Tracker(naming(*watched), habits, now=900.0, restored=restored)


def naming(*watched: Watched) -> Selection:
    """Return the selection of an exact entry for each client."""
    return Selection(watched, rules=[], excluded=[], broker="broker", max_clients=0)


def snapshot(*rows: Row, watched: list[str] | None = None, health: Health = CALM) -> Snapshot:
    return Snapshot("broker", fleet(*rows, watched=watched), health, started_at=500.0)


class FixedSource:
    """A source whose snapshot a test sets."""

    def __init__(self, current: Snapshot, flags: frozenset[str] = frozenset()) -> None:
        self.current = current
        self.flags = flags

    def snapshot(self) -> Snapshot:
        return self.current
