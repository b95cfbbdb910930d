"""From a configuration to snapshots: the parts that ask EMQX, remember and cache, put together."""

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import Config, named_files
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.errors import Closed
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.events.event import Event
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.hearing import Ear
from otel_emqx_monitor.instruments import EVENTS, OVERDUE, PUSH, STATE, counted_by, fields_for
from otel_emqx_monitor.merging import Heard, Merger
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.schedule import Schedule
from otel_emqx_monitor.selection import Selection, selection_of
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import NOTHING_RESTORED
from otel_emqx_monitor.tracker import Habits, Tracker

if TYPE_CHECKING:
    from starlette.routing import Route

    from otel_emqx_monitor.events.receivers import Receivers

#: How long the poll that a reload cuts off may take to end, in seconds.
_CUT_OFF_SECONDS = 5.0


class Watch:
    """Watches the clients of one broker; readers read ``cache``.

    Args:
        config: what to watch, and how.
        push: whether there are pushes, of which metrics tell.
        earlier: the watch that this one is to follow: they share the state file, and the receivers
            of events. To be followed by ``take_over``, or by ``abandon``.
        changed_files: files that the configuration names and that are not what they were.
    """

    def __init__(
        self,
        config: Config,
        *,
        push: bool = False,
        earlier: "Watch | None" = None,
        changed_files: Collection[Path] = (),
    ) -> None:
        flags = _flags(config, push=push)
        selection = selection_of(config)
        counted = counted_by(flags) if config.counters == "cumulative" else None
        self._config = config
        self._counted = counted
        self._client = make_client(config, flags, selection)
        same_events = (
            earlier is not None
            and earlier._config.events == config.events
            and not any(file in changed_files for file in named_files(config.events))
        )
        self._receivers: Receivers | None
        self._shared_receivers = earlier._receivers if earlier and same_events else None
        self._shared_store = earlier._store_at(config.state.path) if earlier else None
        self._store = self._shared_store or (
            Store(Path(config.state.path), counted) if config.state.path else None
        )
        opened = self._store if self._store is not self._shared_store else None
        restored = opened.open() if opened else NOTHING_RESTORED
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
            steady=time.monotonic,
        )
        ear = Ear(counted.connection if counted else ())
        self._merger = Merger(self._tracker, ear, restored.keys)
        self._working = threading.Lock()  # the tracker is for one thread at a time
        self._heir: Watch | None = None
        self._receivers = self._shared_receivers or (
            _receivers(config, self._hear) if config.events.on else None
        )
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
        self._schedule: Schedule | None = None
        if interval is not None:
            self._schedule = Schedule(
                self.cache.poll,
                interval,
                patience=config.polling.deadline_seconds,
                # Nobody should wait for what a reload has brought.
                spread=_at_once if earlier else random.uniform,
            )

    @property
    def routes(self) -> Sequence["Route"]:
        """What an HTTP server has to serve so that events come in."""
        return self._receivers.routes if self._receivers else ()

    @property
    def pulses(self) -> Sequence[Pulse]:
        """Those of the loops that turn here."""
        return [one.pulse for one in (self._schedule, self._receivers) if one is not None]

    def take_over(self, earlier: "Watch", drain_seconds: float) -> None:
        """Go on where ``earlier`` is now, and end it: once for good, so it must not fail.

        A poll of it that is under way is cut off, unless its rows have all come: then it counts.
        Events that have come to receivers that end are counted, for ``drain_seconds`` at most.
        """
        earlier._end_polls()
        if earlier._receivers is not None and self._shared_receivers is None:
            earlier.drain(drain_seconds)
        same_broker = _broker(earlier._config) == _broker(self._config)
        with earlier._working, self._working:
            fleet = self._tracker.take_over(earlier._tracker)
            self._merger.take_over(earlier._merger)
            if same_broker:
                self._client.follow(earlier._client)
            if self._store is not None:
                self._store.go_on_from(earlier._store, self._counted, fleet)
            self.cache.follow(earlier.cache, self._with_writes(fleet), same_broker=same_broker)
            earlier._heir = self
        if earlier._store is not None and earlier._store is not self._store:
            earlier._store.close()
        self._take_over_receivers(earlier)

    def _take_over_receivers(self, earlier: "Watch") -> None:
        if self._shared_receivers is not None:
            self._shared_receivers.hand_to(self._hear)
        elif self._receivers is not None and earlier._receivers is not None:
            self._receivers.go_on_from(earlier._receivers.view())

    def abandon(self) -> None:
        """Let go of what belongs to this watch alone; it has not taken over."""
        self._client.close()
        if self._store is not None and self._store is not self._shared_store:
            self._store.close()

    def _store_at(self, path: str | None) -> Store | None:
        """Return the state file if it is open, and that one."""
        mine = self._store
        return mine if mine and path is not None and mine.is_open_at(Path(path)) else None

    def _end_polls(self) -> None:
        if self._schedule is not None:
            self._schedule.stop()
        self._client.close()
        if self._schedule is not None:
            self._schedule.join(_CUT_OFF_SECONDS)
        self.cache.settle(_CUT_OFF_SECONDS)

    def start(self) -> None:
        """Begin to poll, if that is not left to readers, and to take events."""
        if self._receivers is not None and self._receivers is not self._shared_receivers:
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
            if self._heir is not None:
                raise Closed("another configuration has taken over")
            fleet = self._tracker.apply(poll)
            if self._store is not None:
                self._store.save(fleet)
            return self._with_writes(fleet)

    def _hear(self, events: Sequence[Event]) -> None:
        with self._working:
            heir = self._heir
            if heir is None:
                self._show(self._merger.hear(events))
        if heir is not None:
            heir._hear(events)

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


def _broker(config: Config) -> tuple[str, ...]:
    """What tells one broker from another: of another one the presence of clients is not known."""
    return config.emqx.api_url, config.emqx.alias, config.emqx.node or ""


def _at_once(_least: float, _most: float) -> float:
    return 0.0


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
