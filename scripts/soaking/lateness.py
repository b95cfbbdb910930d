"""How late polls are, as an agent tells that polls at a steady pace."""

from collections.abc import Sequence
from typing import NamedTuple


class Poll(NamedTuple):
    """A poll that succeeded.

    ``began`` is when, in seconds since the soak did, ``reloads`` after how many of these, and
    ``calm`` whether nothing befell anybody.
    """

    began: float
    reloads: int
    calm: bool


class Late(NamedTuple):
    """How late the poll at ``at`` was, in seconds, and how many before it were left out.

    After a fault none is missed: pauses grow while polls fail.
    """

    at: float
    seconds: float
    missed: int
    calm: bool


def lateness(polls: Sequence[Poll], interval: float) -> list[Late]:
    """Return how late each poll was against the grid on which they are due, every ``interval``.

    When the grid began nobody tells, and each reload may begin another one. One poll in ten was
    earlier than what counts as on time: the clock may be set, and a poll that is late by more than
    half an interval looks like an early one.
    """
    grids: dict[int, list[Poll]] = {}
    for poll in polls:
        grids.setdefault(poll.reloads, []).append(poll)
    return [late for same in grids.values() for late in _on_grid(same, interval)]


def _on_grid(polls: Sequence[Poll], interval: float) -> list[Late]:
    first = polls[0].began
    slots = [round((one.began - first) / interval) for one in polls]
    off = [one.began - first - slot * interval for one, slot in zip(polls, slots, strict=True)]
    on_time = sorted(off)[len(off) // 10]
    missed = [0] + [
        max(0, slot - before - 1) if calm else 0
        for before, slot, calm in zip(slots, slots[1:], (one.calm for one in polls), strict=False)
    ]
    return [
        Late(one.began, max(0.0, late - on_time), lost, one.calm)
        for one, late, lost in zip(polls, off, missed, strict=True)
    ]
