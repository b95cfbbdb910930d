"""Clients of a soak: residents that come, send, are taken over and go; visitors that come once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from otel_emqx_monitor.simulator import Login, Script

_REASONS = ("normal", "tcp_closed", "keepalive_timeout", "kicked")

#: Seconds between two messages of a resident, of its stays, and of its pauses. A pause is shorter
#: than the agent's forget_after_seconds, so that sums over all of a life can be held against it.
_BETWEEN_MESSAGES, _STAY, _PAUSE = (2.0, 8.0), (15.0, 90.0), (0.5, 20.0)

#: How many visitors come in a second, and how long each stays.
_VISITS_PER_SECOND, _VISIT = 2.0, (0.05, 12.0)

#: How a node begins its life again: everybody comes back within so many seconds.
_COMES_BACK = 4.0

#: Not told by any event: the ends of connections of a node that dies.
UNTOLD = "untold"

Outages = Sequence[tuple[float, float]]


@dataclass(order=True)
class _Life:
    """A client that is not done yet: what it does next, and when; epoch seconds."""

    at: float
    number: int
    steps: Iterator[float] = field(compare=False)


class Lives:
    """Writes what the clients of one node do into its script, as time goes on.

    Args:
        script: where it is written.
        seed: another seed, other lives.
        end: when nothing more happens, in seconds since the epoch.
        outages: when the node is dead: from when until when, in the same seconds.
    """

    def __init__(self, script: Script, seed: int, end: float, outages: Outages = ()) -> None:
        self._script = script
        self._random = Random(seed)  # noqa: S311 - has to be repeatable, guards nothing
        self._end = end
        self._outages = outages
        self._lives: list[_Life] = []
        self._count = 0

    def write(self, until: float) -> None:
        """Write all that happens before ``until``, seconds since the epoch."""
        while self._lives and self._lives[0].at < min(until, self._end):
            life = heappop(self._lives)
            at = next(life.steps, None)
            if at is not None:
                heappush(self._lives, _Life(at, life.number, life.steps))

    def residents(self, names: Sequence[str], begin: float) -> None:
        """Let clients live from about ``begin`` on."""
        for number, name in enumerate(names):
            at = begin + self._random.uniform(0.0, 2.0)
            self._add(at, self._resident(at, name, keeps=number % 2 == 1))

    def visitors(self, begin: float, name: Callable[[float], str]) -> None:
        """Let others come once and not again; ``name`` gives the begin of an id for a time."""
        self._add(begin, self._visits(begin, name))

    def crowd(self, begin: float, end: float, size: int) -> None:
        """Let ``size`` clients come at once that come last by their ids, and stay until ``end``."""
        self._add(begin, self._crowd(begin, end, size))

    def _add(self, at: float, steps: Iterator[float]) -> None:
        self._count += 1
        heappush(self._lives, _Life(at, self._count, steps))

    def _resident(self, at: float, name: str, *, keeps: bool) -> Iterator[float]:
        """Write a resident's steps one by one; yield when the next one is."""
        random, script = self._random, self._script
        login = Login(
            client_id=name, clean_start=not keeps, expiry_interval=60 if keeps else 0, username=name
        )
        while True:
            at = self._running_at(at)
            script.connect(at, login)
            leaves, dies = at + random.uniform(*_STAY), self._dies_after(at)
            over = min(leaves, dies)
            while (turn := at + random.uniform(*_BETWEEN_MESSAGES)) < over - 0.01:
                yield turn
                message = script.publish(turn, name, f"up/{name}", qos=random.randrange(3))
                if random.random() < 0.25:
                    script.deliver(turn + 0.002, name, message)
                at = turn + 0.005
            yield over
            if dies <= leaves:
                script.disconnect(dies, name, UNTOLD, told=False)
                at = dies + 0.01
            elif random.random() < 0.3:
                at = leaves  # taken over, or discarded
            else:
                script.disconnect(leaves, name, random.choice(_REASONS))
                at = leaves + random.uniform(*_PAUSE)
            at = self._running_at(at)
            yield at

    def _visits(self, at: float, name: Callable[[float], str]) -> Iterator[float]:
        random, script = self._random, self._script
        while True:
            client_id = self._named(name(at))
            stays = min(random.uniform(*_VISIT), max(_VISIT[0], self._end - at))
            script.short_session(at, client_id, seconds=stays, reason=random.choice(_REASONS))
            at += random.expovariate(_VISITS_PER_SECOND)
            yield at

    def _crowd(self, begin: float, end: float, size: int) -> Iterator[float]:
        for number in range(size):
            client_id = self._named("zz-")
            self._script.connect(begin + number * 0.002, client_id)
            self._script.disconnect(end + number * 0.002, client_id)
        yield end

    def _named(self, begin: str) -> str:
        return f"{begin}{self._random.getrandbits(64):016x}"

    def _running_at(self, at: float) -> float:
        """Return ``at``, or when everybody comes back if the node is dead then."""
        for begin, end in self._outages:
            if begin <= at < end:
                return end + self._random.uniform(0.1, _COMES_BACK)
        return at

    def _dies_after(self, at: float) -> float:
        return min((begin for begin, _ in self._outages if begin > at), default=float("inf"))
