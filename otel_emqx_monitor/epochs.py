"""Sums of counters that begin again at 0: what has been counted over all epochs of a client.

EMQX's counters belong to a connection process and its queue's to a session, so each has an epoch:
the instant at which it began, ``connected_at`` or ``created_at``. A value is never compared with
one of another epoch: after a reconnect the new count may already be the higher one.

Rows and events do not come in order. During a takeover EMQX has two rows for one client, and now
this one and now that one is found; the event of an old connection's end can come after that of the
next one's begin. So some epochs before the present one are remembered too, each with its counts.
"""

from datetime import datetime, timedelta
from operator import add, ge

import msgspec

from otel_emqx_monitor.columns import nanoseconds
from otel_emqx_monitor.emqx.rows import Count

#: Counts in the order of the fields that are counted; ``None`` where EMQX never told.
Counts = tuple[Count | None, ...]

#: The greatest signed number of 64 bits.
MOST = 2**63 - 1

#: Epochs before the present one that are remembered: this many, and all that began within the last
#: seconds before the latest, up to a limit. EMQX tries for 45 s by default to tell of something.
_REMEMBERED, MOST_REMEMBERED = 3, 64
_RECENT = timedelta(seconds=60)


class Pending(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What events told of an epoch that may be another one's, of which no event told.

    ``first`` and ``latest`` are when the first and the latest of it passed, by EMQX's clock;
    ``heard_at`` is when the latest came, by the agent's, in seconds since the epoch.
    """

    counts: Counts
    first: datetime
    latest: datetime
    heard_at: float


class Spell(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One epoch as far as it is known.

    ``began`` is ``None`` where EMQX did not say. ``counts`` are the highest that were found in it,
    by polls or by counting events; ``heard`` are those of events alone, empty without any.
    ``open`` is whether it lasts. ``ended`` is when an event said that it ended. ``pending`` is what
    does not count yet; only the present epoch has it.
    """

    began: datetime | None
    counts: Counts
    heard: Counts = ()
    open: bool = True
    ended: datetime | None = None
    pending: Pending | None = None


class Tally(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The counts of one client's present epoch, and what its other epochs came to.

    ``spell`` is the present epoch and ``earlier`` are others that are remembered, the latest first.
    ``ended`` are the sums of all but the present one, ``None`` for none. ``epochs`` is how many
    were found, and ``start`` when the sum began: the begin of its first epoch, in nanoseconds since
    the epoch by EMQX's clock. ``horizon`` is the latest begin of those that are not remembered.
    """

    spell: Spell
    start: Count
    epochs: Count = 1
    ended: Counts | None = None
    earlier: tuple[Spell, ...] = ()
    horizon: datetime | None = None

    @property
    def totals(self) -> Counts:
        """The sums over all epochs; ``None`` for a field that no epoch told."""
        return self.spell.counts if self.ended is None else _sum(self.ended, self.spell.counts)

    @property
    def is_open(self) -> bool:
        """Whether any epoch lasts."""
        return self.spell.open or any(one.open for one in self.earlier)

    @property
    def is_calm(self) -> bool:
        """Whether there is one epoch, which lasts, and nothing that is pending."""
        return self.spell.open and not self.earlier and self.spell.pending is None

    def find(self, began: datetime) -> Spell | None:
        """Return the epoch that began then, if it is remembered."""
        if self.spell.began == began:
            return self.spell
        return next((one for one in self.earlier if one.began == began), None)


def begin(epoch: datetime | None, counts: Counts, now: float, *, connected: bool = True) -> Tally:
    """Return the tally of a client that is seen for the first time.

    ``now`` (seconds since the epoch) is when the sum began if EMQX does not say when its epoch did.
    """
    start = now if epoch is None else epoch.timestamp()
    return Tally(Spell(epoch, counts, open=connected), start_at(start))


def start_at(seconds: float) -> int:
    """Return a ``Tally``'s start for epoch seconds: none lies before 1970 or beyond 64 bits."""
    return min(max(0, nanoseconds(seconds)), MOST)


def advance(
    tally: Tally, epoch: datetime | None, counts: Counts, *, connected: bool, anew: bool = False
) -> Tally:
    """Return ``tally`` with what one more row says; the same object when it says nothing new.

    A row of another epoch begins a new one if it is a later one, or of a client that is
    ``connected``: nodes' clocks differ, so a client that moves can begin earlier than it ended.
    Other rows tell an old story: an offline durable session may have lost its last ``connected_at``
    (EMQX 5.6).

    Args:
        tally: what was known before.
        epoch: when the row's counters began.
        counts: the row's counters, of the same fields in the same order.
        connected: whether the row is of a client that is connected.
        anew: whether a new epoch begins even if ``epoch`` is the present one.
    """
    spell = tally.spell
    if epoch is None or epoch == spell.began:
        if anew:
            return opened(tally, Spell(epoch, counts, open=connected))
        return _with_spell(tally, _grown(spell, spell.began, counts, connected))
    if spell.began is None:
        return _with_spell(tally, _grown(spell, epoch, counts, connected))
    for earlier in tally.earlier:
        if earlier.began == epoch:
            return replaced(tally, earlier, _grown(earlier, epoch, counts, connected))
    if connected or epoch > spell.began:
        return opened(tally, Spell(epoch, counts, open=connected))
    return tally


def opened(tally: Tally, spell: Spell) -> Tally:
    """Return ``tally`` with a further epoch, which is the present one from then on."""
    before, spell = _parted(tally.spell, spell)
    others, horizon = _worth_remembering(spell, (before, *tally.earlier), tally.horizon)
    ended = before.counts if tally.ended is None else _sum(tally.ended, before.counts)
    return Tally(spell, tally.start, min(tally.epochs + 1, MOST), ended, others, horizon)


def inserted(tally: Tally, spell: Spell) -> Tally:
    """Return ``tally`` with a further epoch that came before the present one."""
    earlier = sorted((spell, *tally.earlier), key=_by_begin, reverse=True)
    others, horizon = _worth_remembering(tally.spell, tuple(earlier), tally.horizon)
    ended = spell.counts if tally.ended is None else _sum(tally.ended, spell.counts)
    return Tally(tally.spell, tally.start, min(tally.epochs + 1, MOST), ended, others, horizon)


def replaced(tally: Tally, old: Spell, new: Spell) -> Tally:
    """Return ``tally`` with more known of one of its epochs."""
    if new is old:
        return tally
    if old is tally.spell:
        return _with_spell(tally, new)
    gained = tuple(
        None if now is None else now - (then or 0)
        for then, now in zip(old.counts, new.counts, strict=True)
    )
    ended = gained if tally.ended is None else _sum(tally.ended, gained)
    earlier = tuple(new if one is old else one for one in tally.earlier)
    return msgspec.structs.replace(tally, ended=ended, earlier=earlier)


def settled(spell: Spell) -> Spell:
    """Return ``spell`` with what is pending counted, if it was all there before an event ended it.

    A client has one connection at a time, so all of that was this one's.
    """
    pending = spell.pending
    if pending is None or spell.ended is None or pending.latest > spell.ended:
        return spell
    return _counted(spell, pending)


def confirmed(tally: Tally, since: float, until: float) -> Tally:
    """Return ``tally`` with what is pending counted, but for what was heard in between.

    To be called when a poll that ran from ``since`` to ``until`` (seconds since the epoch, by the
    agent's clock) has not found a later epoch: nothing that passed before was another one's, or
    that other one has come and gone without anybody seeing it.
    """
    pending = tally.spell.pending
    if pending is None or since <= pending.heard_at <= until:
        return tally
    return _with_spell(tally, _counted(tally.spell, pending))


def _counted(spell: Spell, pending: Pending) -> Spell:
    heard = _sum(spell.heard, pending.counts) if spell.heard else pending.counts
    counts = highest_of(spell.counts, heard)
    return msgspec.structs.replace(spell, heard=heard, counts=counts, pending=None)


def _parted(before: Spell, after: Spell) -> tuple[Spell, Spell]:
    """Return two epochs, each with its share of what was pending when the later one was found.

    Where it cannot be told apart it counts for neither: the later one's may be in its row, and to
    count that twice is worse than to miss it.
    """
    pending = before.pending
    if pending is None:
        return before, after
    if after.began is None or after.began > pending.latest:
        return _counted(before, pending), after
    before = msgspec.structs.replace(before, pending=None)
    if after.began <= pending.first:
        after = settled(msgspec.structs.replace(after, pending=pending))
    return before, after


def _by_begin(spell: Spell) -> float:
    return 0.0 if spell.began is None else spell.began.timestamp()


def closed(tally: Tally, but: datetime | None = None) -> Tally:
    """Return ``tally`` with all epochs over, but the one that began then.

    The same object when they are: what has not changed need not be written.
    """
    spell = _over(tally.spell, but)
    if spell is tally.spell and not any(one.open for one in tally.earlier):
        return tally
    earlier = tuple(_over(one, but) for one in tally.earlier)
    return msgspec.structs.replace(tally, spell=spell, earlier=earlier)


def _over(spell: Spell, but: datetime | None) -> Spell:
    if not spell.open or (but is not None and spell.began == but):
        return spell
    return msgspec.structs.replace(spell, open=False)


def _with_spell(tally: Tally, spell: Spell) -> Tally:
    if spell is tally.spell:
        return tally
    return Tally(spell, tally.start, tally.epochs, tally.ended, tally.earlier, tally.horizon)


def _grown(spell: Spell, began: datetime | None, counts: Counts, connected: bool) -> Spell:
    """Return what a row adds to its epoch; one that an event ended does not begin again."""
    highest = highest_of(spell.counts, counts)
    lasts = connected and spell.ended is None
    if highest is spell.counts and lasts == spell.open and began == spell.began:
        return spell
    return Spell(began, highest, spell.heard, lasts, spell.ended, spell.pending)


def _worth_remembering(
    latest: Spell, others: tuple[Spell, ...], horizon: datetime | None
) -> tuple[tuple[Spell, ...], datetime | None]:
    """Return those of ``others`` that are remembered, and the horizon beyond them."""
    if len(others) <= _REMEMBERED:
        return others, horizon
    kept = others[:_REMEMBERED]
    for one in others[_REMEMBERED:]:
        if _is_recent(one, latest) and len(kept) < MOST_REMEMBERED:
            kept = (*kept, one)
        elif one.began is not None and (horizon is None or one.began > horizon):
            horizon = one.began
    return kept, horizon


def _is_recent(spell: Spell, latest: Spell) -> bool:
    if spell.began is None or latest.began is None:
        return False
    # Only a difference always exists: an instant less some seconds may lie before the year 1.
    return latest.began - spell.began <= _RECENT


def highest_of(old: Counts, new: Counts) -> Counts:
    """Return the higher count of each pair; ``old`` itself when nothing has grown.

    Within an epoch a count only falls when a field is missing (the byte counts of a disconnected
    session) or when the row is an older one.
    """
    if old == new:
        return old
    try:
        if all(map(ge, new, old)):  # type: ignore[arg-type] # None raises, which is rare
            return new
    except TypeError:
        pass
    highest = tuple(
        then if now is None or (then is not None and then > now) else now
        for then, now in zip(old, new, strict=True)
    )
    return old if highest == old else highest


def _sum(one: Counts, other: Counts) -> Counts:
    """Add up; a sum stops at the greatest number that OTLP carries."""
    try:
        total = tuple(map(add, one, other))  # None raises, which is rare
        if max(total, default=0) <= MOST:
            return total
    except TypeError:
        pass
    return tuple(
        b if a is None else a if b is None else min(a + b, MOST)
        for a, b in zip(one, other, strict=True)
    )
