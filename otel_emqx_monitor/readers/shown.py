"""Which series a Collector was told of, and which of them have ended since.

A scrape shows what there is; whoever is pushed to keeps the last value of a series until it is told
of the end, or has not heard of it for minutes. Clients keep their ``Labels`` from poll to poll, so
that finding no end is a comparison of pointers, once for all series of the same clients.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.columns import Labels
from otel_emqx_monitor.meter import Instrument, Reading, Scope
from otel_emqx_monitor.readers.otlp_fields import attribute_bytes

#: In how many pushes the same end is told at most, when the Collector takes others but not this.
MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """Series of one instrument that have the labels ``extra``, and ``members`` one by one.

    ``time`` is that of their points, in seconds since the epoch, ``None`` that of the push.
    ``tries`` is how many pushes have told of their end in vain.
    """

    resource: Resource
    scope: Scope
    instrument: Instrument
    extra: Labels
    members: Sequence[Labels]
    time: float | None
    tries: int = 0


def shown_by(readings: Iterable[Reading], resource: Resource) -> list[Shown]:
    """Return the series of a push; they keep nothing alive but labels and lists of them."""
    return [
        Shown(
            resource,
            reading.scope,
            replace(reading.instrument, callbacks=()),  # which lead to whole fleets
            block.extra,
            block.group.members,
            reading.column.time,
        )
        for reading in readings
        for block in reading.column.blocks
    ]


def ended(before: Iterable[Shown], now: Sequence[Shown]) -> list[Shown]:
    """Return the series of ``before`` that are not in ``now``, which are all of one push.

    Their ``time`` is when they ended: that of the poll that tells of the instrument's other series,
    if it is later than their last point; a second point of the same time would be refused by a
    Prometheus, and one that is later than the poll could hide the next value.
    """
    living = _living(now)
    found: dict[tuple[int, int], Sequence[Labels]] = {}  # many blocks have the same members
    over = []
    for one in before:
        same = bool(now) and (one.resource is now[0].resource or one.resource == now[0].resource)
        members, time = living.get(_key(one), _NOTHING) if same else _NOTHING
        pair = id(one.members), id(members)
        if pair not in found:
            found[pair] = _missing(one.members, members)
        if found[pair]:
            later = time is not None and one.time is not None and time > one.time
            over.append(replace(one, members=found[pair], time=time if later else None))
    return over


def told_in_vain(over: Iterable[Shown]) -> list[Shown]:
    """Return what to tell again of series whose end a Collector was told of and did not take."""
    return [replace(one, tries=one.tries + 1) for one in over if one.tries + 1 < MOST_TRIES]


_Key = tuple[object, ...]
_Living = tuple[Sequence[Labels], float | None]

_NOTHING: _Living = ((), None)


def _key(one: Shown) -> _Key:
    scope, instrument = one.scope, one.instrument
    extra = attribute_bytes(one.extra)
    return scope.name, scope.version, scope.schema_url, instrument.name, instrument.sort, extra


def _living(now: Iterable[Shown]) -> Mapping[_Key, _Living]:
    living: dict[_Key, _Living] = {}
    for one in now:
        key = _key(one)
        members, _ = living.get(key, _NOTHING)
        living[key] = ([*members, *one.members] if members else one.members), one.time
    return living


def _missing(before: Sequence[Labels], now: Sequence[Labels]) -> Sequence[Labels]:
    """Return the labels of ``before`` that ``now`` has neither the same nor alike.

    Alike are those of the same bytes, which a push makes of all labels anyway: an instrument always
    has its labels in the same order.
    """
    if before == now:  # in C, pointer by pointer as long as they are the same
        return ()
    known, had = set(now), set(before)  # by identity
    candidates = [labels for labels in before if labels not in known]
    if not candidates:
        return ()
    alike = {attribute_bytes(labels) for labels in now if labels not in had}
    return [labels for labels in candidates if attribute_bytes(labels) not in alike]
