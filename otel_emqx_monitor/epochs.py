"""Sums of counters that begin again at 0: what has been counted over all epochs of a client.

EMQX's counters belong to a connection process and its queue's to a session, so each has an epoch:
the instant at which it began, ``connected_at`` or ``created_at``. A value is never compared with
one of another epoch: after a reconnect the new count may already be the higher one.

During a takeover EMQX has two rows for one client, and now this one and now that one is found. So
some epochs before the present one are remembered too: their rows coming back are no new connection.
"""

from datetime import datetime
from operator import add, ge

import msgspec

from otel_emqx_monitor.columns import nanoseconds

#: Counts in the order of the fields that are counted; ``None`` where EMQX never told.
Counts = tuple[int | None, ...]

#: The greatest signed number of 64 bits.
_MOST = 2**63 - 1

#: How many epochs before the present one are remembered.
_REMEMBERED = 3


class Tally(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The counts of one client's present epoch, and what the epochs before it came to.

    ``epoch`` is when the present one began, ``None`` where EMQX did not say. ``counts`` are the
    highest that were seen in it; ``ended`` are the sums of all epochs before, ``None`` for none.
    ``earlier`` are the latest of those, the last one first, each with its counts. ``epochs`` is how
    many were seen, and ``start`` when the sum began: the begin of its first epoch, in nanoseconds
    since the epoch by EMQX's clock.
    """

    epoch: datetime | None
    counts: Counts
    start: int
    epochs: int = 1
    ended: Counts | None = None
    earlier: tuple[tuple[datetime | None, Counts], ...] = ()

    @property
    def totals(self) -> Counts:
        """The sums over all epochs; ``None`` for a field that no epoch told."""
        return self.counts if self.ended is None else _sum(self.ended, self.counts)


def begin(epoch: datetime | None, counts: Counts, now: float) -> Tally:
    """Return the tally of a client that is seen for the first time.

    ``now`` (seconds since the epoch) is when the sum began if EMQX does not say when its epoch did.
    """
    start = now if epoch is None else epoch.timestamp()
    return Tally(epoch, counts, max(0, nanoseconds(start)))


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
    if epoch is None or epoch == tally.epoch:
        return _next(tally, epoch, counts) if anew else _grown(tally, counts)
    if tally.epoch is None:
        return msgspec.structs.replace(_grown(tally, counts), epoch=epoch)
    for place, (then, _) in enumerate(tally.earlier):
        if then == epoch:
            return _earlier_grown(tally, place, counts)
    if connected or epoch > tally.epoch:
        return _next(tally, epoch, counts)
    return tally


def _next(tally: Tally, epoch: datetime | None, counts: Counts) -> Tally:
    earlier = ((tally.epoch, tally.counts), *tally.earlier[: _REMEMBERED - 1])
    return Tally(epoch, counts, tally.start, tally.epochs + 1, tally.totals, earlier)


def _grown(tally: Tally, counts: Counts) -> Tally:
    highest = _highest(tally.counts, counts)
    if highest is tally.counts:
        return tally
    return Tally(tally.epoch, highest, tally.start, tally.epochs, tally.ended, tally.earlier)


def _earlier_grown(tally: Tally, place: int, counts: Counts) -> Tally:
    """Return ``tally`` with more of an epoch that is over: its row has been found once more."""
    epoch, known = tally.earlier[place]
    highest = _highest(known, counts)
    if highest is known or tally.ended is None:
        return tally
    gained = tuple(
        None if now is None else now - (then or 0) for then, now in zip(known, highest, strict=True)
    )
    earlier = (*tally.earlier[:place], (epoch, highest), *tally.earlier[place + 1 :])
    return msgspec.structs.replace(tally, ended=_sum(tally.ended, gained), earlier=earlier)


def _highest(old: Counts, new: Counts) -> Counts:
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
        if max(total, default=0) <= _MOST:
            return total
    except TypeError:
        pass
    return tuple(
        b if a is None else a if b is None else min(a + b, _MOST)
        for a, b in zip(one, other, strict=True)
    )
