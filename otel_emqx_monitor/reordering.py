"""Counts that were kept for some fields, put in the order of the fields that are counted now.

That changes with the flags of the configuration, at a restart as well as at a reload.
"""

from collections.abc import Sequence

import msgspec

from otel_emqx_monitor.epochs import Counts, Spell, Tally
from otel_emqx_monitor.fleet import Counted


class Reordering:
    """Puts tallies of the fields in ``before`` in the order of those in ``now``.

    A field that was not counted before is not known; one that is not counted now is dropped.
    """

    def __init__(self, before: Counted | None, now: Counted | None) -> None:
        nothing = Counted((), ())
        before, now = before or nothing, now or nothing
        self._connection = _places(before.connection, now.connection)
        self._session = _places(before.session, now.session)

    def connection(self, tally: Tally | None) -> Tally | None:
        """Return the tally of a connection."""
        return None if tally is None else _reordered(tally, self._connection)

    def session(self, tally: Tally | None) -> Tally | None:
        """Return the tally of a session, ``None`` when nothing is counted for sessions."""
        return _reordered(tally, self._session) if tally and self._session else None


def _places(before: Sequence[str], now: Sequence[str]) -> list[int | None]:
    return [before.index(field) if field in before else None for field in now]


def _reordered(tally: Tally, places: Sequence[int | None]) -> Tally:
    def reorder(counts: Counts) -> Counts:
        return tuple(None if place is None else counts[place] for place in places)

    def of_spell(spell: Spell) -> Spell:
        heard = reorder(spell.heard) if spell.heard else ()
        pending = spell.pending
        if pending is not None:
            pending = msgspec.structs.replace(pending, counts=reorder(pending.counts))
        counts = reorder(spell.counts)
        return msgspec.structs.replace(spell, counts=counts, heard=heard, pending=pending)

    return msgspec.structs.replace(
        tally,
        spell=of_spell(tally.spell),
        ended=None if tally.ended is None else reorder(tally.ended),
        earlier=tuple(map(of_spell, tally.earlier)),
    )
