"""What one event of a client adds to what is remembered of it.

An event opens or closes its own epoch and no other: the end of an old connection that comes late,
as it does in a takeover (``takenover``, ``discarded``), says nothing of the new one. A message
counts for the epoch in which it passed, which is told by its time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from otel_emqx_monitor.epochs import (
    Counts,
    Spell,
    Tally,
    highest_of,
    inserted,
    opened,
    replaced,
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
        left = _instant(event.disconnected_ms or event.at_ms) if ends else None
        began = _instant(event.connected_ms) if event.connected_ms is not None else None
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
            return replaced(tally, known, over)
        if tally.horizon is not None and began <= tally.horizon:
            return tally  # it may have been counted before it was forgotten
        if tally.spell.began is None or began > tally.spell.began:
            return opened(tally, told)
        return inserted(tally, told)

    def message(self, memory: Memory, event: Event, now: float) -> Memory | None:
        """Return ``memory`` with one message more; ``None`` when its connection is not known."""
        tally = memory.connection
        if tally is None:
            return None
        passed = _instant(event.at_ms if event.received_ms is None else event.received_ms)
        if event.kind is not Kind.PUBLISH:
            passed = _instant(event.at_ms)
        spell = _spell_at(tally, passed, kept=event.kind is Kind.DELIVERY_DROPPED)
        if spell is None:
            return None
        places = [self._places[one] for one in _fields(event) if one in self._places]
        seen = min(now, passed.timestamp())
        if event.kind is Kind.DELIVERY_DROPPED:  # the client may be away
            seen = memory.last_seen or 0.0
        return msgspec.structs.replace(
            memory,
            connection=replaced(tally, spell, self._one_more(spell, places)),
            last_seen=max(seen, memory.last_seen or 0.0) or None,
        )

    def _one_more(self, spell: Spell, places: Sequence[int]) -> Spell:
        if not places:
            return spell
        heard = list(spell.heard or self._nothing)
        for place in places:
            heard[place] = (heard[place] or 0) + 1
        counts = tuple(heard)
        return msgspec.structs.replace(spell, heard=counts, counts=highest_of(spell.counts, counts))


def _spell_at(tally: Tally, moment: datetime, *, kept: bool) -> Spell | None:
    """Return the latest epoch that had begun at ``moment``, if it was not over by then.

    With ``kept`` it may be over: a kept session goes on counting what its queue drops.
    """
    latest: Spell | None = None
    for one in (tally.spell, *tally.earlier):
        if one.began is None or one.began > moment:
            continue
        if latest is None or latest.began is None or one.began > latest.began:
            latest = one
    if latest is None or (not kept and latest.ended is not None and latest.ended < moment):
        return None
    return latest


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
    counts[REASONS.index(reason if reason in REASONS else "other")] += 1
    return tuple(counts)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
