"""What one event of a client adds to what is remembered of it.

An event opens or closes its own epoch and no other: the end of an old connection that comes late,
as it does in a takeover (``takenover``, ``discarded``), says nothing of the new one. A message
counts for the epoch in which it passed, which is told by its time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from otel_emqx_monitor.epochs import (
    MOST,
    Counts,
    Pending,
    Spell,
    Tally,
    highest_of,
    inserted,
    opened,
    replaced,
    settled,
    start_at,
)
from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import REASONS, Memory

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The drops of deliveries that rows count by reason; ``qos0_msg`` they only count in all.
_DELIVERY_DROPS = ("expired", "queue_full", "too_large")


class Ear:
    """Records events in memories.

    Args:
        fields: the fields of rows that are counted for each connection, in the order of their
            counts; events add to those that they tell of.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self._places = {field: place for place, field in enumerate(fields)}
        self._nothing: Counts = (None,) * len(fields)

    def presence(self, memory: Memory, event: Event, now: float) -> Memory:
        """Return ``memory`` with the begin or the end of a connection.

        An end without the begin of its connection ends the present one, if that began before.
        ``now`` is by the agent's clock, in seconds since the epoch; EMQX's is believed up to it.
        """
        ends = event.kind is Kind.DISCONNECTED
        left = instant(event.disconnected_ms or event.at_ms) if ends else None
        began = instant(event.connected_ms) if event.connected_ms is not None else None
        if began is None:
            present = memory.connection.spell if memory.connection else None
            if left is None or present is None or present.began is None or present.began > left:
                return memory
            began = present.began
        tally = self._told(memory.connection, began, left)
        if tally is memory.connection:
            return memory
        seen = min(now, (left or began).timestamp())
        return msgspec.structs.replace(
            memory,
            connection=tally,
            last_seen=seen if memory.last_seen is None else max(seen, memory.last_seen),
            disconnections=_counted(memory.disconnections, event.reason)
            if ends
            else memory.disconnections,
        )

    def _told(self, tally: Tally | None, began: datetime, left: datetime | None) -> Tally | None:
        """Return ``tally`` with an epoch that began then and, if it is over, when it ended.

        The same object when that is known already.
        """
        told = Spell(began, self._nothing, open=left is None, ended=left)
        if tally is None:
            return Tally(told, start_at(began.timestamp()))
        known = tally.find(began)
        if known is not None:
            if left is None or known.ended is not None:
                return tally
            over = msgspec.structs.replace(known, open=False, ended=left)
            return replaced(tally, known, settled(over))
        if tally.horizon is not None and began <= tally.horizon:
            return tally  # it may have been counted before it was forgotten
        if tally.spell.began is None or began > tally.spell.began:
            return opened(tally, told)
        return inserted(tally, told)

    def message(self, memory: Memory, event: Event, heard_at: float) -> Memory | None:
        """Return ``memory`` with one message more; ``None`` when its connection is not known.

        It counts at once when it is sure to be of that connection; else it is pending there until
        the connection's end is told, or the next poll. ``heard_at`` is when it came, by the agent's
        clock, in seconds since the epoch.
        """
        tally = memory.connection
        if tally is None:
            return None
        published = event.received_ms if event.kind is Kind.PUBLISH else None
        passed = instant(event.at_ms if published is None else published)
        spell = _spell_at(tally, passed, kept=event.kind is Kind.DELIVERY_DROPPED)
        if spell is None:
            return None
        places = [self._places[one] for one in _fields(event) if one in self._places]
        if not places:
            more = spell
        elif spell is not tally.spell or _lasted_until(spell, passed):
            more = self._one_more(spell, places)
        else:
            more = self._one_pending(spell, places, passed, heard_at)
        seen = min(heard_at, passed.timestamp())
        if event.kind is Kind.DELIVERY_DROPPED:  # the client may be away
            seen = memory.last_seen or 0.0
        return msgspec.structs.replace(
            memory,
            connection=replaced(tally, spell, more),
            last_seen=max(seen, memory.last_seen or 0.0) or None,
        )

    def _one_more(self, spell: Spell, places: Sequence[int]) -> Spell:
        heard = self._with_one(spell.heard, places)
        return msgspec.structs.replace(spell, heard=heard, counts=highest_of(spell.counts, heard))

    def _one_pending(
        self, spell: Spell, places: Sequence[int], passed: datetime, heard_at: float
    ) -> Spell:
        before = spell.pending
        if before is None:
            pending = Pending(self._with_one((), places), passed, passed, heard_at)
        else:
            pending = Pending(
                self._with_one(before.counts, places),
                min(before.first, passed),
                max(before.latest, passed),
                heard_at,
            )
        return msgspec.structs.replace(spell, pending=pending)

    def _with_one(self, counts: Counts, places: Sequence[int]) -> Counts:
        more = list(counts or self._nothing)
        for place in places:
            more[place] = (more[place] or 0) + 1
        return tuple(more)


def _spell_at(tally: Tally, moment: datetime, *, kept: bool) -> Spell | None:
    """Return the latest epoch that had begun at ``moment``, if it was not over by then.

    With ``kept`` it may be over: a kept session goes on counting what its queue drops. An epoch
    that is not remembered any more may have begun after it: then nothing can be said.
    """
    latest: Spell | None = None
    for one in (tally.spell, *tally.earlier):
        if one.began is None or one.began > moment:
            continue
        if latest is None or latest.began is None or one.began > latest.began:
            latest = one
    if latest is None or latest.began is None or _lasted_until(latest, moment):
        return latest
    if latest.ended is not None and not kept:
        return None
    forgotten_later = tally.horizon is not None and tally.horizon > latest.began
    return None if forgotten_later else latest


def _lasted_until(spell: Spell, moment: datetime) -> bool:
    return spell.ended is not None and spell.ended >= moment


def _fields(event: Event) -> Sequence[str]:
    """Return the fields of rows that count what the event tells."""
    reason = event.reason
    match event.kind:
        case Kind.PUBLISH:
            return "recv_msg", f"recv_msg.qos{event.qos}"
        case Kind.DELIVERED:
            return "send_msg", f"send_msg.qos{event.qos}"
        case Kind.MESSAGE_DROPPED if reason == "await_pubrel_timeout":
            return "recv_msg.dropped", "recv_msg.dropped.await_pubrel_timeout"
        case Kind.DELIVERY_DROPPED if reason in _DELIVERY_DROPS:
            return "send_msg.dropped", f"send_msg.dropped.{reason}"
        case Kind.DELIVERY_DROPPED if reason == "qos0_msg":
            return ("send_msg.dropped",)
    return ()


def _counted(before: tuple[int, ...], reason: str | None) -> tuple[int, ...]:
    counts = list(before or (0,) * len(REASONS))
    place = REASONS.index(reason if reason in REASONS else "other")
    counts[place] = min(counts[place] + 1, MOST)
    return tuple(counts)


def instant(milliseconds: int) -> datetime:
    """Return the instant of EMQX's milliseconds since the epoch, exactly."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
