"""What somebody was told of the clients, scrape by scrape, and what of it was wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client.samples import Sample

from otel_emqx_monitor.metric import PREFIX
from tests.faults.lab.devices import Devices, Series


class Told(NamedTuple):
    """The counters of clients and who is connected, in one scrape."""

    counters: Mapping[Series, float]
    connected: Mapping[str, bool]


def told_by(samples: Iterable[Sample], broker: str, ids: Iterable[str]) -> Told:
    """Pick out what is told of the clients ``ids`` of ``broker``; of the same series the highest.

    A Collector shows the series of an agent that was killed for a while beside those of the next.
    """
    known = frozenset(ids)
    counters: dict[Series, float] = {}
    connected: dict[str, bool] = {}
    for name, labels, value, *_ in samples:
        client_id = labels.get("client_id", "")
        if client_id not in known or labels["broker"] != broker or not name.startswith(PREFIX):
            continue
        metric = name.removeprefix(PREFIX)
        if metric == "connected":
            connected[client_id] = bool(value)
        elif metric.endswith("_total"):
            series = metric.removesuffix("_total"), client_id, labels.get("direction", "")
            counters[series] = max(value, counters.get(series, 0.0))
    return Told(counters, connected)


@dataclass
class Book:
    """Keeps the highest value of each counter, and what was said of each client's presence."""

    reader: str
    highest: dict[Series, float] = field(default_factory=dict)
    said: dict[str, list[bool]] = field(default_factory=dict)
    fallen: list[str] = field(default_factory=list)

    def note(self, told: Told) -> None:
        """Note what a scrape told. A series may end and come back, but not lower than it was."""
        for series, value in told.counters.items():
            before = self.highest.get(series, 0.0)
            if value < before:
                self.fallen.append(f"{self.reader}: {series} fell from {before:g} to {value:g}")
            self.highest[series] = max(value, before)
        for client_id, connected in told.connected.items():
            said = self.said.setdefault(client_id, [])
            if said[-1:] != [connected]:
                said.append(connected)

    def agrees(self, devices: Devices) -> bool:
        """Whether all sums have come to what is true."""
        return {one: value for one, value in self.highest.items() if value} == devices.sums

    def wrongs(self, devices: Devices) -> list[str]:
        """Return, for people, each counter that fell and each client of whom an untruth was told.

        What was said of a client has to be a part of what was true, in the same order: whoever
        stayed was never said to be away, and nobody comes and goes more often than they did.
        """
        return self.fallen + [
            f"{self.reader}: {client_id} was said to be {_words(said)}, and was"
            f" {_words(devices.presence[client_id])}"
            for client_id, said in self.said.items()
            if not _is_part(said, devices.presence[client_id])
        ]

    def lacking(self, devices: Devices) -> list[str]:
        """Return, for people, the sums that are not what is true."""
        sums, nothing = devices.sums, 0.0
        return [
            f"{self.reader}: {one} is {self.highest.get(one, nothing):g},"
            f" the truth is {sums.get(one, nothing):g}"
            for one in sorted(sums.keys() | self.highest.keys())
            if self.highest.get(one, nothing) != sums.get(one, nothing)
        ]


def _is_part(said: list[bool], true: list[bool]) -> bool:
    left = iter(true)
    return all(one in left for one in said)


def _words(said: list[bool]) -> str:
    return ", then ".join("connected" if one else "away" for one in said)
