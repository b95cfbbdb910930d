"""From a configuration to snapshots: the parts that ask EMQX, remember and cache, put together."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.events.event import Event
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.hearing import Ear
from otel_emqx_monitor.instruments import EVENTS, OVERDUE, PUSH, STATE, counted_by, fields_for
from otel_emqx_monitor.merging import Heard, Merger
from otel_emqx_monitor.schedule import Schedule
from otel_emqx_monitor.selection import Selection, selection_of
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import NOTHING_RESTORED
from otel_emqx_monitor.tracker import Habits, Tracker

if TYPE_CHECKING:
    from starlette.routing import Route

    from otel_emqx_monitor.events.receivers import Receivers


class Watch:
    """Watches the clients of one broker; readers read ``cache``.

    Args:
        config: what to watch, and how.
        push: whether there are pushes, of which metrics tell.
    """

    def __init__(self, config: Config, *, push: bool = False) -> None:
        flags = _flags(config, push=push)
        selection = selection_of(config)
        counted = counted_by(flags) if config.counters == "cumulative" else None
        self._client = make_client(config, flags, selection)
        self._store = Store(Path(config.state.path), counted) if config.state.path else None
        restored = self._store.open() if self._store else NOTHING_RESTORED
        self._tracker = Tracker(
            selection,
            Habits(
                counted,
                hears=config.events.on,
                info="enable_client_info" in flags,
                stale_after=config.stale_after_seconds,
                forget_after=config.forget_after_seconds,
            ),
            time.time(),
            restored,
        )
        ear = Ear(counted.connection if counted else ())
        self._merger = Merger(self._tracker, ear, restored.keys)
        self._working = threading.Lock()  # the tracker is for one thread at a time
        self._receivers = _receivers(config, self._hear) if config.events.on else None
        interval = config.polling.interval_seconds
        self.cache = SnapshotCache(
            config.emqx.alias,
            self._client.poll,
            self._assess,
            self._with_writes(self._tracker.initial),
            Freshness(
                config.prometheus.ttl_seconds,
                config.stale_after_seconds,
                scheduled=interval is not None,
            ),
            flags=flags,
            events=self._receivers.view if self._receivers else None,
        )
        self._schedule = None if interval is None else Schedule(self.cache.poll, interval)

    @property
    def routes(self) -> Sequence["Route"]:
        """What an HTTP server has to serve so that events come in."""
        return self._receivers.routes if self._receivers else ()

    def start(self) -> None:
        """Begin to poll, if that is not left to readers, and to take events."""
        if self._receivers is not None:
            self._receivers.start()
        if self._schedule is not None:
            self._schedule.start()

    def drain(self, seconds: float) -> None:
        """Take no more events, and count all that have come, within ``seconds``."""
        if self._receivers is not None:
            self._receivers.stop(seconds)
            with self._working:
                self._show(self._merger.settle())

    def stop(self) -> None:
        """Cut off a poll that is under way and make no further one."""
        if self._schedule is not None:
            self._schedule.stop()
        self._client.close()
        if self._store is not None:
            self._store.close()

    def _assess(self, poll: Poll) -> Fleet:
        """Return what ``poll`` shows, when it has been written: what readers see is never lost."""
        with self._working:
            fleet = self._tracker.apply(poll)
            if self._store is not None:
                self._store.save(fleet)
            return self._with_writes(fleet)

    def _hear(self, events: Sequence[Event]) -> None:
        with self._working:
            self._show(self._merger.hear(events))

    def _show(self, heard: Heard) -> None:
        """Let readers see what events have changed, when it has been written."""
        if not heard.clients and not heard.forget:
            return
        if self._store is not None:
            clients = list(heard.clients.values())
            self._store.save_some(clients, heard.keys, forget=heard.forget)
        fleet = self._tracker.heard(time.time()) if heard.clients else None
        if fleet is not None:
            self.cache.publish(self._with_writes(fleet))

    def _with_writes(self, fleet: Fleet) -> Fleet:
        if self._store is None:
            return fleet
        return replace(
            fleet, write_errors=self._store.write_errors, written_at=self._store.written_at
        )


def _receivers(config: Config, apply: Callable[[Sequence[Event]], None]) -> "Receivers":
    from otel_emqx_monitor.events.receivers import Receivers

    return Receivers(config.events, apply)


def make_client(config: Config, flags: frozenset[str], selection: Selection) -> EmqxClient:
    """Return what asks EMQX for the fields that ``flags`` need of the clients in ``selection``."""
    return EmqxClient(
        config.emqx,
        fields_for(flags),
        selection.ids,
        wants=selection.wants,
        deadline_seconds=config.polling.deadline_seconds,
    )


def _flags(config: Config, *, push: bool) -> frozenset[str]:
    expected = any(one.expected_every_seconds is not None for one in config.monitored_clients)
    chosen = (
        (PUSH, push),
        (EVENTS, config.events.on),
        (OVERDUE, expected),
        (STATE, config.state.path is not None),
    )
    return config.prometheus.flags.union(flag for flag, on in chosen if on)
