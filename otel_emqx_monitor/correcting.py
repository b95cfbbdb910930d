"""What polls find that events have not told, or have told wrongly.

Every poll corrects what events got wrong, except what was told while it was under way: that is for
the next one. An event that is a little late is no error of anybody, so begins and ends that a poll
finds wait for it before they count as corrections.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.epochs import Tally, closed, confirmed
from otel_emqx_monitor.fleet import Client, Correction, State

#: How long an event may take to come before a poll that is faster repairs anything, in seconds.
_GRACE_SECONDS = 2.0


class _Closed(NamedTuple):
    """An epoch that the poll of ``at`` (seconds since the epoch) found over, and no event had."""

    client_id: str
    began: datetime | None
    at: float


class Corrector:
    """Holds what polls find against what events have told. Not for two threads at once.

    ``counts`` are how often something had to be repaired, and ``corrected_at`` is when it last had
    to, in seconds since the epoch; ``None`` for never.

    Args:
        now: since when events are heard, in seconds since the epoch.
    """

    def __init__(self, now: float) -> None:
        self._hearing_since = now
        self._touched: dict[str, float] = {}  # when an event last told of whom, since the last poll
        self._opened: dict[tuple[str, datetime], float] = {}  # whose begins may still be told
        self._closed: list[_Closed] = []  # whose ends may
        self._first = True
        self.counts = dict.fromkeys(Correction, 0)
        self.corrected_at: float | None = None

    def told(self, client_id: str, now: float) -> None:
        """Take note that an event told at ``now`` (epoch seconds) how a client is."""
        self._touched[client_id] = now

    def begin_told(self, client_id: str, began: datetime) -> None:
        """Take note that an event told of the begin of a connection that a poll may have found."""
        self._opened.pop((client_id, began), None)

    def begin(self, poll: Poll, clients: Mapping[str, Client]) -> None:
        """Count what earlier polls found and no event has told of until ``poll``."""
        self._count_begins(poll)
        self._count_ends(poll, clients)

    def end(self) -> None:
        """Take note that a poll has been held against all that was told before it."""
        self._touched.clear()
        self._first = False

    def corrected(self, before: Client, found: Client, poll: Poll) -> Client:
        """Return what ``poll`` found, with the epochs over that it has not found.

        Args:
            before: the client as it was known.
            found: the same as the poll shows it.
            poll: what was told since it began holds until the next one.
        """
        tally = found.memory.connection
        if tally is None:
            return found
        began = poll.finished_at - poll.duration
        if self._touched.get(found.client_id, 0.0) >= began:
            state = State.CONNECTED if tally.is_open else State.DISCONNECTED
            return Client(found.watched, state, found.memory, found.polled)
        known = before.memory.connection
        if tally is known and found.state is State.CONNECTED and tally.is_calm:
            return found  # as nearly everybody is
        self.note_begin(found.client_id, 0 if known is None else known.epochs, tally, poll)
        if found.state is State.UNKNOWN:
            return found
        row = found.row
        left = closed(tally, but=row.connected_at if row is not None and row.connected else None)
        left = confirmed(left, began, poll.finished_at + _GRACE_SECONDS)
        if known is not None and not self._first:
            self._closed += [
                _Closed(found.client_id, one, poll.finished_at)
                for one in _closed_unheard(known, left)
            ]
        if left is tally:
            return found
        memory = msgspec.structs.replace(found.memory, connection=left)
        return Client(found.watched, found.state, memory, found.polled)

    def note_begin(self, client_id: str, epochs: int, tally: Tally, poll: Poll) -> None:
        """Count a connection that no event told of, or wait for the event if it began just now."""
        began = tally.spell.began
        if tally.epochs > epochs and began is not None:
            age = poll.finished_at - began.timestamp()
            if age <= _GRACE_SECONDS:
                self._opened[client_id, began] = poll.finished_at
            elif age < poll.finished_at - self._hearing_since:
                self._repair(Correction.OPENED, poll)

    def _count_begins(self, poll: Poll) -> None:
        """Count the begins that earlier polls found and that no event has told of in good time."""
        for one, at in list(self._opened.items()):
            if not 0 <= poll.finished_at - at < _GRACE_SECONDS:
                del self._opened[one]
                if one[1].timestamp() > self._hearing_since:
                    self._repair(Correction.OPENED, poll)

    def _count_ends(self, poll: Poll, clients: Mapping[str, Client]) -> None:
        """Count the ends that earlier polls found and that no event has told of in good time."""
        waiting = []
        for one in self._closed:
            if 0 <= poll.finished_at - one.at < _GRACE_SECONDS:
                waiting.append(one)
                continue
            client = clients.get(one.client_id)
            tally = None if client is None else client.memory.connection
            spell = None if tally is None or one.began is None else tally.find(one.began)
            if spell is None or spell.ended is None:
                self._repair(Correction.CLOSED, poll)
        self._closed = waiting

    def _repair(self, kind: Correction, poll: Poll) -> None:
        self.counts[kind] += 1
        self.corrected_at = poll.finished_at


def _closed_unheard(known: Tally, now: Tally) -> list[datetime | None]:
    """Return when those epochs of ``known`` began that are over now, though no event said so."""
    if now is known or not known.is_open:
        return []
    lasted = [one.began for one in (known.spell, *known.earlier) if one.open]
    over = [one for one in (now.spell, *now.earlier) if not one.open and one.ended is None]
    return [one.began for one in over if one.began in lasted]
