"""Puts events into what polls have found: they say at once, polls correct.

The begin and the end of connections are told at once. Messages wait some seconds until they are
counted, since events do not come in order: a message that overtakes the begin of its connection
would else be counted for the connection before. An event that comes twice is counted once.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import Client, State
from otel_emqx_monitor.hearing import Ear
from otel_emqx_monitor.tracker import Tracker

#: How long messages wait for what came before them, in seconds.
SETTLE_SECONDS = 3.0

#: How long they wait at most when nothing is known of their connection, in seconds.
_PATIENCE_SECONDS = 10.0

#: How long an event is remembered so that it is not counted twice, in seconds, and how many.
_DOUBLES_SECONDS, _MOST_DOUBLES = 60.0, 500_000

_PRESENCE = (Kind.CONNECTED, Kind.DISCONNECTED)

#: Kinds of events that tell of a message but count nothing: rows have no such count.
_UNCOUNTED = (Kind.ACKED,)


class Merger:
    """Hands events to a tracker. Not for two threads at once, nor while the tracker is polled.

    Args:
        tracker: what knows the clients.
        ear: what records events.
        clock: seconds since the epoch.
    """

    def __init__(self, tracker: Tracker, ear: Ear, clock: Callable[[], float] = time.time) -> None:
        self._tracker = tracker
        self._ear = ear
        self._clock = clock
        self._waiting: deque[tuple[float, Event]] = deque()  # since when each of them waits
        self._heard: dict[tuple[str, str, str], float] = {}  # in the order of their times

    def take_over(self, earlier: "Merger") -> None:
        """Take the messages that wait and the memory of what has come from ``earlier``."""
        self._waiting = earlier._waiting
        self._heard = earlier._heard

    def hear(self, events: Iterable[Event]) -> Sequence[Client]:
        """Take events in, and return the clients that changed by them or by those that waited."""
        now = self._clock()
        changed: dict[str, Client] = {}
        for event in events:
            if event.kind in _PRESENCE:
                self._note(self._presence(event, now), changed)
            elif event.kind not in _UNCOUNTED and self._is_new(event, now):
                self._waiting.append((now, event))
        self._count_those_due(now, changed)
        self._forget_doubles(now)
        return list(changed.values())

    def settle(self) -> Sequence[Client]:
        """Count all messages that wait, before the agent ends; return the clients that changed."""
        changed: dict[str, Client] = {}
        now = self._clock()
        for _, event in self._waiting:
            self._note(self._message(event, now), changed)
        self._waiting.clear()
        return list(changed.values())

    def _note(self, client: Client | None, changed: dict[str, Client]) -> None:
        if client is not None:
            changed[client.client_id] = client

    def _presence(self, event: Event, now: float) -> Client | None:
        client = self._tracker.find(event.client_id, event.username, now)
        if client is None:
            return None
        memory = self._ear.presence(client.memory, event, now)
        if memory is client.memory:
            return None
        is_open = memory.connection is not None and memory.connection.is_open
        state = State.CONNECTED if is_open else State.DISCONNECTED
        here = client.state in (State.CONNECTED, State.DISCONNECTED)
        told = Client(client.watched, state, memory, polled=client.polled and here)
        self._tracker.told(told, now)
        return told

    def _count_those_due(self, now: float, changed: dict[str, Client]) -> None:
        later: list[tuple[float, Event]] = []
        while self._waiting and now - self._waiting[0][0] >= SETTLE_SECONDS:
            since, event = self._waiting.popleft()
            client = self._message(event, now)
            if client is not None:
                changed[client.client_id] = client
            elif now - since < _PATIENCE_SECONDS:
                later.append((since, event))
        self._waiting.extendleft(reversed(later))

    def _message(self, event: Event, now: float) -> Client | None:
        client = self._tracker.find(event.client_id, event.username, now)
        if client is None:
            return None
        memory = self._ear.message(client.memory, event, now)
        if memory is None:
            return None
        told = Client(client.watched, client.state, memory, client.polled)
        self._tracker.told(told, None)
        return told

    def _is_new(self, event: Event, now: float) -> bool:
        """Whether this message event comes for the first time; without an id that is not known."""
        if event.message_id is None:
            return True
        key = (event.kind.value, event.message_id, event.client_id)
        if key in self._heard:
            return False
        self._heard[key] = now
        return True

    def _forget_doubles(self, now: float) -> None:
        old = []
        excess = len(self._heard) - _MOST_DOUBLES
        for number, (key, heard_at) in enumerate(self._heard.items()):
            if number >= excess and now - heard_at <= _DOUBLES_SECONDS:
                break
            old.append(key)
        for key in old:
            del self._heard[key]
