"""Clients whose lives a seed decides, and what is true of them given the polls that saw them."""

import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

Row = Mapping[str, Any]

#: A series of a client: metric, client id, direction (empty where there is none); and its value.
Sums = Mapping[tuple[str, str, str], int]

#: The fields that are counted for each connection, and what they become.
_OF_CONNECTION = {
    "recv_msg": ("messages_processed", "rx"),
    "send_msg": ("messages_processed", "tx"),
    "recv_oct": ("bytes", "rx"),
    "send_oct": ("bytes", "tx"),
    "recv_pkt": ("packets", "rx"),
    "send_pkt": ("packets", "tx"),
}
_OF_SESSION = {"mqueue_dropped": ("mqueue_dropped", "")}

_SAMPLE = re.compile(
    r'^emqx_client_monitor_(\w+)_total{[^}]*client_id="([^"]+)"(?:,direction="(\w+)")?} (\S+)$',
    re.MULTILINE,
)


@dataclass
class _Life:
    """A client at this moment; the dates are those of EMQX's rows."""

    client_id: str
    connected: bool = False
    connected_at: datetime | None = None
    created_at: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict)


class World:
    """The clients of a broker, which move on with every step.

    In a step counters rise, some clients reconnect, leave their session behind, vanish or return.
    A new connection may be ahead of the last one's counts at once, or behind them.
    """

    def __init__(self, seed: int, clients: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same lives for the same seed
        self._lives = [_Life(f"client-{number:03}") for number in range(clients)]
        self._now = datetime.fromtimestamp(int(time.time()) - 100_000, UTC)

    def step(self) -> list[Row]:
        """Let a second go by and return the rows after it."""
        self._now += timedelta(seconds=1)
        for life in self._lives:
            self._move(life, self._random.random())
        return [_row(life, self._now) for life in self._lives if life.created_at is not None]

    def _move(self, life: _Life, chance: float) -> None:
        if life.created_at is None:  # it is not there
            if chance < 0.2:
                self._connect(life, new_session=True)
        elif not life.connected:
            if chance < 0.3:
                self._connect(life, new_session=False)
        elif chance < 0.02:
            self._connect(life, new_session=chance < 0.01)
        elif chance < 0.03:
            life.connected = False
        elif chance < 0.04:
            life.connected, life.created_at = False, None
        else:
            for name in (*_OF_CONNECTION, *_OF_SESSION):
                life.counts[name] += self._random.choice([0, 1, 7, 1000])

    def _connect(self, life: _Life, *, new_session: bool) -> None:
        life.connected, life.connected_at = True, self._now
        begun = [*_OF_CONNECTION]
        if new_session or life.created_at is None:
            life.created_at = self._now
            begun += _OF_SESSION
        for name in begun:
            life.counts[name] = self._random.choice([0, 5, 50_000])


def _row(life: _Life, now: datetime) -> Row:
    row: dict[str, Any] = {
        "clientid": life.client_id,
        "username": "user",
        "connected": life.connected,
        "connected_at": _instant(life.connected_at),
        "created_at": _instant(life.created_at),
        **life.counts,
    }
    if not life.connected:  # a session that is left behind loses its byte counts
        row |= {"disconnected_at": _instant(now), "recv_oct": None, "send_oct": None}
    return row


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")


class Truth:
    """What an agent has to know that has finished certain polls and no other."""

    def __init__(self, seen: Mapping[tuple[str, str, str, str], int] | None = None) -> None:
        # The highest count by metric, client id, direction and epoch; counts never fall within one.
        self._seen = dict(seen or {})

    def and_polls(self, polls: Iterable[Sequence[Row]]) -> "Truth":
        """Return what is true when more polls, with these rows, have been finished."""
        truth = Truth(self._seen)
        for row in chain.from_iterable(polls):
            truth._seen.update(_seen_in(row))
        return truth

    @property
    def sums(self) -> Sums:
        """The sums over all epochs that were seen."""
        sums: dict[tuple[str, str, str], int] = {}
        for (metric, client_id, direction, _), count in self._seen.items():
            series = metric, client_id, direction
            sums[series] = sums.get(series, 0) + count
        return sums


def _seen_in(row: Row) -> Iterator[tuple[tuple[str, str, str, str], int]]:
    for fields, epoch in ((_OF_CONNECTION, "connected_at"), (_OF_SESSION, "created_at")):
        for name, (metric, direction) in fields.items():
            if row[name] is not None:
                yield (metric, row["clientid"], direction, row[epoch]), row[name]
    yield ("connections", row["clientid"], "", row["connected_at"]), 1


def sums_in(exposition: str) -> Sums:
    """Return all counters of clients in an exposition."""
    found = _SAMPLE.findall(exposition)
    return {
        (metric, client_id, direction): int(float(value))
        for metric, client_id, direction, value in found
    }
