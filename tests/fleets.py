"""Snapshots and polls for tests, made of as little as the test at hand needs."""

from datetime import UTC, datetime
from typing import Any

from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.emqx.rows import Poll, Row, newest_by_id
from otel_emqx_monitor.presence import assess
from otel_emqx_monitor.snapshot import Fleet, Health, Snapshot, Watched

AT = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC)
CALM = Health(up=True, last_success=1_000.0, poll_duration=0.25, errors=dict.fromkeys(Reason, 0))


def connected(client_id: str, **fields: Any) -> Row:
    return Row(clientid=client_id, connected=True, connected_at=AT, created_at=AT, **fields)


def poll(*rows: Row, finished_at: float = 1_000.0, duration: float = 0.25) -> Poll:
    return Poll(newest_by_id(rows), finished_at, duration)


def fleet(*rows: Row, watched: list[str] | None = None) -> Fleet:
    """Return the fleet of one poll; clients are watched under an alias in capitals."""
    ids = watched if watched is not None else [row.clientid for row in rows]
    return assess(
        poll(*rows), [Watched(client_id.upper(), client_id, "broker") for client_id in ids]
    )


def snapshot(*rows: Row, watched: list[str] | None = None, health: Health = CALM) -> Snapshot:
    return Snapshot("broker", fleet(*rows, watched=watched), health, started_at=500.0)


class FixedSource:
    """A source whose snapshot a test sets."""

    def __init__(self, current: Snapshot, flags: frozenset[str] = frozenset()) -> None:
        self.current = current
        self.flags = flags

    def snapshot(self) -> Snapshot:
        return self.current
