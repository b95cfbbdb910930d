"""Puts events into what polls have found: they say at once, polls correct.

The begin and the end of connections are told at once. Messages wait some seconds until they are
counted, since events do not come in order: a message that overtakes the begin of its connection
would else be counted for the connection before. An event that comes twice is counted once.

How long something waits is measured by a clock that never jumps. The time of day only says when
clients were last seen, and what came before which poll.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import Client, State
from otel_emqx_monitor.hearing import Ear, instant
from otel_emqx_monitor.tracker import Tracker

#: How long messages wait for what came before them, in seconds.
SETTLE_SECONDS = 3.0

#: How long they wait at most when nothing is known of their connection, in seconds.
PATIENCE_SECONDS = 10.0

#: How many messages wait at most; with more of them the oldest are counted at once.
MOST_WAITING = 200_000

#: How long a message is remembered so that it is not counted twice, in seconds: at least this, at
#: most twice this, if there are not too many. EMQX tries a post again for 45 s by default.
DOUBLES_SECONDS = 60.0
MOST_DOUBLES = 250_000

_PRESENCE = (Kind.CONNECTED, Kind.DISCONNECTED)

#: Kinds of events that tell of a message but count nothing: rows have no such count.
_UNCOUNTED = (Kind.ACKED,)


@dataclass
class Heard:
    """What events have changed: clients, by their ids, and the keys of messages counted anew.

    The keys belong into the same file as the clients: after a restart a message that comes a second
    time must not count again. With ``forget`` those that were kept before are of no use any more.
    """

    clients: dict[str, Client] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    forget: bool = False


class _Waiting(NamedTuple):
    """A message that came at ``since`` (monotonic seconds), at ``at`` by the time of day."""

    since: float
    at: float
    event: Event
    key: int | None


class Merger:
    """Hands events to a tracker. Not for two threads at once, nor while the tracker is polled.

    Args:
        tracker: what knows the clients.
        ear: what records events.
        keys: those of the messages that an earlier run of the agent counted last.
        clock: seconds since the epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        tracker: Tracker,
        ear: Ear,
        keys: Iterable[int] = (),
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = tracker
        self._ear = ear
        self._clock = clock
        self._monotonic = monotonic
        self._waiting: deque[_Waiting] = deque()  # each queue in the order of its times
        self._unplaced: deque[_Waiting] = deque()
        self._keys, self._keys_before = set(keys), set[int]()
        self._turned = monotonic()

    def take_over(self, earlier: "Merger") -> None:
        """Take the messages that wait and the memory of what has come from ``earlier``."""
        self._waiting, self._unplaced = earlier._waiting, earlier._unplaced
        self._keys, self._keys_before = earlier._keys, earlier._keys_before
        self._turned = earlier._turned

    def hear(self, events: Iterable[Event]) -> Heard:
        """Take events in, and return what they change, and those that waited."""
        now, heard = self._monotonic(), Heard()
        self._turn(now, heard)
        at = self._clock()
        for event in events:
            if event.kind in _PRESENCE:
                self._presence(event, at, heard)
            elif event.kind not in _UNCOUNTED:
                self._wait(event, now, at)
        while self._waiting and (
            now - self._waiting[0].since >= SETTLE_SECONDS or len(self._waiting) > MOST_WAITING
        ):
            message = self._waiting.popleft()
            if not self._count(message, heard):
                self._unplaced.append(message)
        while self._unplaced and (
            now - self._unplaced[0].since >= PATIENCE_SECONDS or len(self._unplaced) > MOST_WAITING
        ):
            self._count(self._unplaced.popleft(), heard)
        return heard

    def settle(self) -> Heard:
        """Count all messages that wait, before the agent ends; return what that changes."""
        heard = Heard()
        for queue in (self._unplaced, self._waiting):
            for message in queue:
                self._count(message, heard)
            queue.clear()
        return heard

    def _presence(self, event: Event, at: float, heard: Heard) -> None:
        client = self._tracker.find(event.client_id, event.username, at)
        if client is None:
            return
        if event.kind is Kind.CONNECTED and event.connected_ms is not None:
            self._tracker.begin_told(event.client_id, instant(event.connected_ms))
        memory = self._ear.presence(client.memory, event, at)
        if memory is client.memory:
            return
        is_open = memory.connection is not None and memory.connection.is_open
        state = State.CONNECTED if is_open else State.DISCONNECTED
        here = client.state in (State.CONNECTED, State.DISCONNECTED)
        told = Client(client.watched, state, memory, polled=client.polled and here)
        self._tracker.told(told, at)
        heard.clients[told.client_id] = told

    def _wait(self, event: Event, now: float, at: float) -> None:
        """Let a message of somebody who is watched wait, if it comes for the first time."""
        if self._tracker.find(event.client_id, event.username, at) is None:
            return
        key = _key(event)
        if key is not None:
            if key in self._keys or key in self._keys_before:
                return
            self._keys.add(key)
        self._waiting.append(_Waiting(now, at, event, key))

    def _count(self, message: _Waiting, heard: Heard) -> bool:
        """Count a message and return ``True``, if its connection is known."""
        event = message.event
        client = self._tracker.find(event.client_id, event.username, message.at)
        if client is None:
            return True  # it has lost its place meanwhile
        memory = self._ear.message(client.memory, event, message.at)
        if memory is None:
            return False
        told = Client(client.watched, client.state, memory, client.polled)
        self._tracker.told(told, None)
        heard.clients[told.client_id] = told
        if message.key is not None:
            heard.keys.append(message.key)
        return True

    def _turn(self, now: float, heard: Heard) -> None:
        """Forget the keys of long ago: a whole set at once, which costs nothing for each."""
        if now - self._turned >= DOUBLES_SECONDS or len(self._keys) >= MOST_DOUBLES:
            self._keys, self._keys_before = set(), self._keys
            self._turned = now
            heard.forget = True


def _key(event: Event) -> int | None:
    """Return what tells this event from all others; ``None`` for one without a message's id.

    The same message is delivered to many, and to one of them again after a reconnect: that is
    another event, at another time. 64 bits of a hash that is the same in every run, as SQLite has
    them for a key, keep 120,000 a minute apart for some thousand years.
    """
    if event.message_id is None:
        return None
    text = f"{event.kind.value}\0{event.at_ms}\0{event.message_id}\0{event.client_id}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
