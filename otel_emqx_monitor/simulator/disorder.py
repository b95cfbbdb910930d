"""What can go wrong between a broker and whoever gets its events: loss, doubles, delay, disorder.

Everything follows from a seed and from the order in which events come in, so a test that fails can
be run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from otel_emqx_monitor.simulator.emission import Emission


@dataclass(frozen=True, kw_only=True)
class Disorder:
    """How events reach their receiver; without arguments all at once, in order.

    Args:
        seed: another seed, other accidents.
        lose: the part of all events that never arrives, 0 to 1.
        double: the part of the others that arrives twice.
        delay_seconds: how late each one is at least.
        reorder_seconds: how much later still at most; each copy draws for itself.
        dead: from when until when, in seconds since the epoch, events are lost altogether.
    """

    seed: int = 0
    lose: float = 0.0
    double: float = 0.0
    delay_seconds: float = 0.0
    reorder_seconds: float = 0.0
    dead: Sequence[tuple[float, float]] = ()


class Disordered:
    """A stream of events on its way, with the accidents of ``disorder``.

    ``lost`` and ``doubled`` count those that were; ``lost`` includes what a dead source lost.
    """

    def __init__(self, disorder: Disorder) -> None:
        self.lost = 0
        self.doubled = 0
        self._disorder = disorder
        self._random = Random(disorder.seed)  # noqa: S311 - has to be repeatable, guards nothing
        self._numbers = count()
        self._under_way: list[tuple[float, int, Emission]] = []

    @property
    def waiting(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def put(self, emission: Emission) -> None:
        """Take one in; those of one millisecond in the order they are to arrive in."""
        disorder = self._disorder
        seconds = emission.at_ms / 1000
        # All draws are made for each event, so that one kind of accident does not change another.
        lost = self._random.random() < disorder.lose
        double = self._random.random() < disorder.double
        lateness = [self._random.random() * disorder.reorder_seconds for _ in range(2)]
        if lost or any(begin <= seconds < end for begin, end in disorder.dead):
            self.lost += 1
            return
        self.doubled += double
        for late in lateness[: 1 + double]:
            arrival = seconds + disorder.delay_seconds + late
            heappush(self._under_way, (arrival, next(self._numbers), emission))

    def due(self, now: float) -> list[Emission]:
        """Return what has arrived until ``now``, in the order of arrival, each once."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            arrived.append(heappop(self._under_way)[2])
        return arrived
