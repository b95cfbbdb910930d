"""Clusters with a clock that stands until a test moves it."""

from dataclasses import dataclass, field
from typing import Any

from otel_emqx_monitor.simulator import Cluster, StaticFleet

ONE, TWO, THREE = "emqx@127.0.0.1", "emqx2@127.0.0.1", "emqx3@127.0.0.1"


@dataclass
class Clock:
    """Seconds since the epoch; they pass only by ``+=`` on ``now``."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Held:
    """A cluster with what a test needs to change it."""

    fleets: dict[str, StaticFleet]
    clock: Clock = field(default_factory=Clock)
    times: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.fleets, clock=self.clock, **self.times)


def cluster_of(nodes: dict[str, str], **times: float) -> Held:
    """Return a cluster whose nodes hold a client for each letter of their texts."""
    rows = {
        name: StaticFleet({"clientid": letter, "connected": True} for letter in letters)
        for name, letters in nodes.items()
    }
    return Held(rows, times=times)
