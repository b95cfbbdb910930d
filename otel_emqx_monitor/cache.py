"""One poll at a time, shared by all readers.

* On demand a snapshot is fresh for ``ttl`` seconds from the start of its poll. The first to ask
  after that starts the next poll; whoever asks meanwhile waits for the same one.
* On a schedule of its own (``Freshness.scheduled``) somebody else calls ``poll``, readers start
  none and wait for none.
* A failed poll is remembered too: EMQX is asked again after ``ttl``, then at growing intervals, so
  that neither scrapes nor pushes hammer a broken broker.
* While polls fail the last good data stays, until it is ``stale_after`` seconds old. From then on
  every client is unknown.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otel_emqx_monitor import background
from otel_emqx_monitor.causes import let_go
from otel_emqx_monitor.emqx.errors import Closed, EmqxError, Reason
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.outage import Outage
from otel_emqx_monitor.snapshot import Health, Pushes, Reload, Snapshot

if TYPE_CHECKING:
    from otel_emqx_monitor.events.receivers import EventsView

log = logging.getLogger(__name__)

#: How long a callback of a foreign SDK waits for a poll; its own collect has a timeout of 10 s.
CALLBACK_WAIT_SECONDS = 5.0

_LONGEST_BACKOFF_SECONDS = 30.0

#: What readers are told of an exception that nobody foresaw: it may hold anything.
_BUG = "the poll failed in a way that is a bug of this program; its log says more"

#: A reader that comes every ``ttl`` seconds comes some milliseconds early at times: the last part
#: of the ``ttl``, as a share of it, counts as over, else it would get the same poll twice.
_EARLY_SHARE = 0.05


@dataclass(frozen=True)
class Freshness:
    """``ttl``: seconds that a poll is good for. ``stale_after``: seconds until it is worthless.

    ``scheduled``: whether polls are made on a schedule, and not when a reader asks.
    """

    ttl: float
    stale_after: float
    scheduled: bool = False


class SnapshotCache:
    """Answers with the current snapshot and polls when it is due; safe for many threads.

    Args:
        broker: the alias of the broker.
        poll: asks EMQX; raises ``EmqxError`` when that fails.
        assess: makes the fleet of a poll.
        initial: the fleet before the first poll, in which every client is unknown.
        freshness: how long polls are good for.
        flags: the ``enable_*`` flags that are on.
        events: tells how events come in, if they do.
        clock: monotonic seconds.
        started_at: when the agent began to count, in seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 (the parts that the agent wires together)
        self,
        broker: str,
        poll: Callable[[], Poll],
        assess: Callable[[Poll], Fleet],
        initial: Fleet,
        freshness: Freshness,
        *,
        flags: frozenset[str] = frozenset(),
        events: "Callable[[], EventsView] | None" = None,
        clock: Callable[[], float] = time.monotonic,
        started_at: float | None = None,
    ) -> None:
        self.flags = flags
        self._events = events
        self._poll = poll
        self._assess = assess
        self._freshness = freshness
        self._clock = clock
        self._lock = threading.Lock()
        self._running: Future[None] | None = None
        self._heard: Fleet | None = None
        self._next_poll = float("-inf")
        self._good_since: float | None = None
        self._outage = Outage(log, "EMQX answers again", "failed polls")
        self._snapshot = Snapshot(
            broker,
            initial,
            Health(
                up=None,
                last_success=None,
                poll_duration=None,
                errors=dict.fromkeys(Reason, 0),
            ),
            time.time() if started_at is None else started_at,
        )
        self._pinned: ContextVar[Snapshot | None] = ContextVar("pinned", default=None)

    def refresh(self) -> "Future[None] | None":
        """Start a poll if one is due; return the one under way, or ``None`` when none is needed.

        The future never holds an exception. On a schedule none is ever needed.
        """
        if self._freshness.scheduled:
            return None
        with self._lock:
            if self._running is None and self._clock() >= self._next_poll:
                began = self._clock()
                self._running = background.start("poll", lambda: self._run(began))
            return self._running

    def poll(self) -> int:
        """Poll now, in this thread; return how many polls have failed in a row since the last good.

        For a schedule, whose thread is the only one that may call it.
        """
        self._run(self._clock())
        return self._outage.failures

    def current(self) -> Snapshot:
        """Return what is known now, without asking EMQX."""
        with self._lock:
            stale = (
                self._good_since is not None
                and self._clock() - self._good_since > self._freshness.stale_after
            )
            if stale:
                self._good_since = None
                self._snapshot = replace(self._snapshot, fleet=self._snapshot.fleet.forgotten())
            if self._events is not None:
                return replace(self._snapshot, events=self._events())
            return self._snapshot

    def publish(self, fleet: Fleet) -> None:
        """Make ``fleet`` current: what events have told since the last poll.

        While no poll is recent enough it is not shown: events alone do not tell how all are.
        """
        with self._lock:
            self._heard = fleet
            if self._good_since is not None:
                newest = max(fleet, self._snapshot.fleet, key=lambda one: one.revision)
                self._snapshot = replace(self._snapshot, fleet=newest)

    def snapshot(self) -> Snapshot:
        """Return the pinned snapshot, or the current one after waiting for a poll that is due."""
        pinned = self._pinned.get()
        if pinned is not None:
            return pinned
        self.await_poll(CALLBACK_WAIT_SECONDS)
        return self.current()

    def await_poll(self, seconds: float) -> None:
        """Wait for a poll that is due or under way, ``seconds`` at most; it goes on behind that."""
        poll = self.refresh()
        if poll is not None:
            with suppress(TimeoutError):
                poll.result(timeout=seconds)

    def note_pushes(self, pushes: Pushes) -> None:
        """Make ``pushes`` part of this and all later snapshots."""
        with self._lock:
            self._snapshot = replace(self._snapshot, pushes=pushes)

    def note_reload(self, reload: Reload) -> None:
        """Make ``reload`` part of this and all later snapshots."""
        with self._lock:
            self._snapshot = replace(self._snapshot, reload=reload)

    def follow(self, earlier: "SnapshotCache", fleet: Fleet, *, same_broker: bool) -> None:
        """Go on with what ``earlier``, of another configuration, has counted and known.

        Args:
            earlier: what makes no polls any more.
            fleet: what is known of the clients now.
            same_broker: whether it is still known of them; of another broker only sums go on.
        """
        with earlier._lock:
            before, good_since = earlier._snapshot, earlier._good_since
            outage = earlier._outage
        with self._lock:
            health = before.health
            if same_broker:
                self._good_since, self._outage = good_since, outage
            else:
                health = replace(health, up=None, last_success=None, poll_duration=None)
            if self._good_since is None:
                fleet = fleet.forgotten()
            self._snapshot = replace(
                before, broker=self._snapshot.broker, fleet=fleet, health=health
            )

    def settle(self, seconds: float) -> None:
        """Wait for the end of a poll that was cut off, ``seconds`` at most."""
        with self._lock:
            running = self._running
        if running is not None:
            with suppress(TimeoutError):
                running.result(timeout=seconds)

    @contextmanager
    def pinned(self, snapshot: Snapshot) -> Iterator[None]:
        """Make ``snapshot()`` return this one in the current thread: one collect, one snapshot."""
        token = self._pinned.set(snapshot)
        try:
            yield
        finally:
            self._pinned.reset(token)

    def _run(self, began: float) -> None:
        try:
            poll = self._poll()
            fleet = self._assess(poll)
        except Closed:
            with self._lock:
                self._next_poll = float("inf")
                self._running = None
        except EmqxError as error:
            self._failed(began, error.reason, str(error))
            let_go(error)
        except Exception as error:
            log.exception("the poll failed in a way that is a bug of this program")
            self._failed(began, Reason.INTERNAL, repr(error), shown=_BUG)
            let_go(error)
        else:
            self._succeeded(began, poll, fleet)

    def _succeeded(self, began: float, poll: Poll, fleet: Fleet) -> None:
        with self._lock:
            self._good_since = self._clock()
            health = replace(
                self._snapshot.health,
                up=True,
                last_success=poll.finished_at,
                poll_duration=poll.duration,
            )
            # An event may have been told while this was on its way here.
            newest = max(fleet, self._heard or fleet, key=lambda one: one.revision)
            self._heard = None
            self._snapshot = replace(self._snapshot, fleet=newest, health=health)
            self._next_poll = began + self._freshness.ttl * (1 - _EARLY_SHARE)
            self._outage.end(self._clock())
            self._running = None

    def _failed(self, began: float, reason: Reason, text: str, shown: str | None = None) -> None:
        with self._lock:
            now = self._clock()
            errors = dict(self._snapshot.health.errors)
            errors[reason] += 1
            health = replace(
                self._snapshot.health,
                up=False,
                poll_duration=now - began,
                errors=errors,
                last_failure=time.time(),
                last_error=shown or text,
            )
            self._snapshot = replace(self._snapshot, health=health)
            self._outage.go_on(now, text)
            self._next_poll = now + self._backoff()
            self._running = None

    def _backoff(self) -> float:
        first = max(self._freshness.ttl, 1.0)
        longest = max(first, _LONGEST_BACKOFF_SECONDS)
        return min(longest, first * 2.0 ** min(self._outage.failures - 1, 10))
