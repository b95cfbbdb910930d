"""The rows as this program's snapshots: the same watched clients in each, with new values."""

import time
from collections.abc import Iterable

import msgspec

from benchmarks import rows
from benchmarks.measuring import Job
from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.emqx.rows import Poll, Row
from otel_emqx_monitor.fleet import Fleet, Watched
from otel_emqx_monitor.instruments import fields_for
from otel_emqx_monitor.selection import Selection
from otel_emqx_monitor.snapshot import Health, Snapshot
from otel_emqx_monitor.tracker import Habits, Tracker

BROKER = "bench"

#: When the first poll ended, in seconds since the epoch: after all instants in the rows.
_BEGAN = 1_795_000_000.0

_INTERVAL_SECONDS = 15

_NO_ERRORS = dict.fromkeys(Reason, 0)


def flags(*, everything: bool) -> frozenset[str]:
    """Return the flags that are on by default, or all that there are."""
    names = [name for name in PrometheusConfig.model_fields if name.startswith("enable_")]
    return PrometheusConfig.model_validate(dict.fromkeys(names, True) if everything else {}).flags


class BenchFleet:
    """The watched clients, and what polls have found of them; a ``Source`` of its last snapshot."""

    def __init__(self, job: Job) -> None:
        self.flags = flags(everything=job.all_flags)
        self.watched = [
            Watched(rows.alias(number), rows.client_id(number), BROKER)
            for number in range(job.clients)
        ]
        self._fields = fields_for(self.flags)
        selection = Selection(self.watched, [], [], BROKER, max_clients=0)
        self._tracker = Tracker(selection, Habits(), _BEGAN)
        self.current: Snapshot | None = None

    def poll(self, turn: int) -> Poll:
        """Return what poll ``turn`` said: the fields that the flags need, as EMQX is asked for."""
        return self.poll_of(range(len(self.watched)), turn)

    def poll_of(self, numbers: Iterable[int], turn: int) -> Poll:
        """Return what poll ``turn`` said of the clients with these numbers."""
        made = (self._row(number, turn) for number in numbers)
        at = _BEGAN + turn * _INTERVAL_SECONDS
        return Poll({row.clientid: row for row in made}, finished_at=at, duration=0.5)

    def snapshot_of(self, turn: int) -> Snapshot:
        """Return a new snapshot, which is the current one from then on."""
        self.current = snapshot(self._tracker.apply(self.poll(turn)))
        return self.current

    def snapshot(self) -> Snapshot:
        """Return the current snapshot."""
        return self.current or self.snapshot_of(0)

    def cache(self) -> SnapshotCache:
        """Return a cache for readers that are given their snapshots; it never polls."""
        return SnapshotCache(
            BROKER,
            lambda: self.poll(0),
            self._tracker.apply,
            self._tracker.initial,
            Freshness(ttl=60, stale_after=180),
            flags=self.flags,
            started_at=_BEGAN,
        )

    def _row(self, number: int, turn: int) -> Row:
        found = rows.row(number, turn)
        return msgspec.convert({name: found[name] for name in self._fields if name in found}, Row)


def snapshot(fleet: Fleet) -> Snapshot:
    """Return the snapshot that follows from a good poll."""
    health = Health(up=True, last_success=fleet.polled_at, poll_duration=0.5, errors=_NO_ERRORS)
    return Snapshot(BROKER, fleet, health, started_at=time.time())
