"""The bounded queue between those who receive events and the one who applies them.

Receivers hand in bodies as they came and go on at once; one thread decodes them and applies the
events in batches, in the order in which the bodies came.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.events import rules, sys_topics
from otel_emqx_monitor.events.event import Decoded, Event, Kind, Source
from otel_emqx_monitor.outage import Outage
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.text import printable

log = logging.getLogger(__name__)

#: What is counted beside the kinds of events. ``ignored`` and ``malformed`` are events, ``lost``
#: are bodies that nobody will send again, ``failed`` are events that a bug kept from being applied.
IGNORED, MALFORMED, LOST, FAILED = "ignored", "malformed", "lost", "failed"

_PRESENCE = (Kind.CONNECTED, Kind.DISCONNECTED)

#: The kinds that each way in can bring.
KINDS: Final[Mapping[Source, Collection[Kind]]] = MappingProxyType(
    {Source.WEBHOOK: tuple(Kind), Source.MQTT: _PRESENCE}
)

#: One batch: so many bodies, or somewhat more than so many bytes.
_BATCH_BODIES, _BATCH_BYTES = 1000, 256 * 1024

#: After this long without anything an empty batch is applied, in seconds.
_IDLE_SECONDS = 0.5

_LONGEST_ERROR = 200

#: How long a lag is remembered, in seconds: at least this, at most twice this.
LAG_WINDOW = 30.0


@dataclass(frozen=True)
class Limits:
    """How much may wait: ``bodies`` and ``size`` in bytes; a body more is refused."""

    bodies: int = 50_000
    size: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class InboxView:
    """What the inbox has counted until now.

    Args:
        counts: events by source, and by kind or one of ``IGNORED``, ``MALFORMED``, ``LOST``,
            ``FAILED``; an event is in one of them. All that can occur are there, from 0 on.
        lag: by source, the longest time in seconds from an event (by EMQX's clock) to its being
            applied (by ours), among those of the last 30 to 60 s; no figure without events. It is
            off by what the two clocks differ, and so can be negative.
        last_delivery: by source, when it last handed in anything, in seconds since the epoch.
        waiting: bodies that are not decoded yet.
    """

    counts: Mapping[tuple[Source, str], int]
    lag: Mapping[Source, float]
    last_delivery: Mapping[Source, float]
    waiting: int


class _Body(NamedTuple):
    source: Source
    content: bytes
    topic: str


class Inbox:
    """Takes bodies from any thread and applies their events in one of its own.

    Args:
        apply: gets each batch, and an empty one when nothing has come for half a second; always
            called in the inbox's thread.
        sources: the ways in that are configured.
        limits: how much may wait.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        apply: Callable[[Sequence[Event]], None],
        sources: Iterable[Source] = Source,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._apply = apply
        self._limits = limits
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[_Body] = deque()
        self._size = 0
        self._closed = False
        self._counts: Counter[tuple[Source, str]] = Counter(
            {
                (source, what): 0
                for source in sources
                for what in (*KINDS[source], IGNORED, MALFORMED, LOST, FAILED)
            }
        )
        self._lags = {source: _Lag() for source in Source}
        self._last_delivery: dict[Source, float] = {}
        self._outage = Outage(log, "events are applied again", "batches that failed")
        self.pulse = Pulse("applies events")
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to apply what comes in."""
        self._thread.start()

    def hand_to(self, apply: Callable[[Sequence[Event]], None]) -> None:
        """Give the batches to ``apply`` from now on; one that is under way may go the old way."""
        self._apply = apply

    def go_on_from(self, earlier: InboxView) -> None:
        """Count on from what another inbox, which is closed, has counted for the same sources."""
        with self._changed:
            for key in self._counts.keys() & earlier.counts.keys():
                self._counts[key] += earlier.counts[key]
            self._last_delivery = {**earlier.last_delivery, **self._last_delivery}

    def offer(self, source: Source, content: bytes, topic: str = "") -> bool:
        """Take one body and return at once; ``False`` when there is no room for it.

        A message of MQTT that is refused is counted as lost. A post is not: EMQX sends it again
        after an answer of 503, and counts itself what it gives up.

        Args:
            source: who hands it in.
            content: a post, or the payload of a message.
            topic: that of the message, without its prefix (``$SYS/``).
        """
        with self._changed:
            full = (
                len(self._waiting) >= self._limits.bodies
                or self._size + len(content) > self._limits.size
            )
            if full or self._closed:
                if source is Source.MQTT:
                    self._counts[source, LOST] += 1
                return False
            self._waiting.append(_Body(source, content, topic))
            self._size += len(content)
            self._last_delivery[source] = self._clock()
            self._changed.notify()
            return True

    def view(self) -> InboxView:
        """Return what has been counted, as it is now."""
        with self._changed:
            now = self._clock()
            lags = {source: lag.longest(now) for source, lag in self._lags.items()}
            return InboxView(
                MappingProxyType(dict(self._counts)),
                MappingProxyType({one: lag for one, lag in lags.items() if lag is not None}),
                MappingProxyType(dict(self._last_delivery)),
                len(self._waiting),
            )

    def stop(self, seconds: float) -> None:
        """Refuse what comes from now on and apply what waits, for ``seconds`` at most.

        What is not applied by then is counted as lost.
        """
        deadline = Deadline(seconds)
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout=deadline.remaining)
        with self._changed:
            for body in self._waiting:
                self._counts[body.source, LOST] += 1
            if self._waiting:
                log.warning("%d posts and messages with events are lost", len(self._waiting))
            self._waiting.clear()
            self._size = 0

    def _run(self) -> None:
        while True:
            self.pulse.turn(_IDLE_SECONDS)
            bodies = self._next_batch()
            if not bodies and self._closed:
                self.pulse.end()
                return
            self._work(bodies)

    def _next_batch(self) -> list[_Body]:
        """Wait for bodies and take some of them; none when none came, or when it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, _IDLE_SECONDS)
            batch: list[_Body] = []
            size = 0
            while self._waiting and len(batch) < _BATCH_BODIES and size < _BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].content)
            self._size -= size
            return batch

    def _work(self, bodies: Sequence[_Body]) -> None:
        decoded: list[tuple[Source, Decoded]] = []
        applied = False
        try:
            decoded.extend((body.source, _decode(body)) for body in bodies)
            self._apply([event for _, one in decoded for event in one.events])
            applied = True
        except Exception as error:
            if not self._outage.failures:
                log.exception("events cannot be applied because of a bug of this program")
            what = printable(repr(error), _LONGEST_ERROR)
            self._outage.go_on(time.monotonic(), f"applying events failed: {what}")
        else:
            self._outage.end(time.monotonic())
        with self._changed:
            for source, one in decoded:
                self._count(source, one, applied=applied)

    def _count(self, source: Source, decoded: Decoded, *, applied: bool) -> None:
        self._counts[source, IGNORED] += decoded.ignored
        self._counts[source, MALFORMED] += decoded.malformed
        for event in decoded.events:
            self._counts[source, event.kind if applied else FAILED] += 1
        if decoded.events:
            now = self._clock()
            oldest = min(event.at_ms for event in decoded.events)
            self._lags[source].note(now, now - oldest / 1000)


def _decode(body: _Body) -> Decoded:
    if body.source is Source.WEBHOOK:
        return rules.decode(body.content)
    return sys_topics.decode(body.content, body.topic)


class _Lag:
    """The longest lag of the current window and of the one before."""

    def __init__(self) -> None:
        self._window = 0
        self._current: float | None = None
        self._before: float | None = None

    def note(self, now: float, lag: float) -> None:
        self._turn(now)
        self._current = lag if self._current is None else max(self._current, lag)

    def longest(self, now: float) -> float | None:
        self._turn(now)
        known = [lag for lag in (self._current, self._before) if lag is not None]
        return max(known, default=None)

    def _turn(self, now: float) -> None:
        window = int(now // LAG_WINDOW)
        if window != self._window:
            self._before = self._current if window == self._window + 1 else None
            self._current = None
            self._window = window
