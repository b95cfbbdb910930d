"""The simulated broker over HTTP and two agents that watch it at once, on one clock.

One agent exports counters live, the other sums them up. The clock is put in where the program takes
the time from the system; sockets, timeouts and the deadlines of requests run in real time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from otel_emqx_monitor.config import Config, PrometheusConfig
from otel_emqx_monitor.simulator import Answer, Broker, Cluster, Simulator, StaticFleet
from otel_emqx_monitor.simulator.cluster import node_names
from otel_emqx_monitor.watching import Watch
from tests.lives.exported import Readers, Sample, Series
from tests.lives.moments import Clock
from tests.lives.table import MODES, NODES, Rows
from tests.processes import settings

_STARTING = Answer(503, (("content-type", "application/json"),), b'{"code": "SERVICE_UNAVAILABLE"}')
_COUNTERS = {"live": "live", "sum": "cumulative"}


class Watching:
    """One agent as far as this is about it: what watches the broker, and the two readers."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._watch = Watch(config)
        self._readers = Readers(self._watch.cache)

    def poll(self) -> None:
        """Poll as the agent's own schedule does."""
        self._watch.cache.poll()

    def read(self) -> dict[Series, Sample]:
        """Return what both readers export."""
        return self._readers.read(self._clock.now)

    def stop(self) -> None:
        """End as the agent does."""
        self._watch.stop()


class Stage:
    """A broker of some nodes, and an agent for each mode.

    What can befall them: ``API fails`` (status 503) and ``API answers``; ``agent restarts``; and
    ``freeze``, ``thaw``, ``kill`` and ``start`` with the name of a node, and ``heal``.
    """

    def __init__(self, config: Mapping[str, Config], simulator: Simulator, clock: Clock) -> None:
        self.clock = clock
        self._config = config
        self._simulator = simulator
        self.agents = {mode: Watching(config[mode], clock) for mode in MODES}

    @property
    def is_answering(self) -> bool:
        """Whether the API answers."""
        return self._simulator.before_answer is None

    def put(self, rows: Rows) -> None:
        """Let every node hold those of ``rows`` that name it; the first holds the others."""
        cluster = self._simulator.broker.cluster
        for name in cluster.names:
            source = cluster.source(name)
            assert isinstance(source, StaticFleet)
            source.replace(row for row in rows if row.get("node", cluster.names[0]) == name)

    def befall(self, what: str) -> None:
        """Let something befall the broker or the agents."""
        match what.split():
            case ["API", "fails"]:
                self._simulator.before_answer = lambda _target: _STARTING
            case ["API", "answers"]:
                self._simulator.before_answer = None
            case ["agent", "restarts"]:
                self.stop()
                self.agents = {mode: Watching(self._config[mode], self.clock) for mode in MODES}
            case [("freeze" | "thaw" | "kill" | "start") as action, node]:
                getattr(self._simulator.broker.cluster, action)(NODES[node])
            case ["heal"]:
                self._simulator.broker.cluster.heal()
            case _:
                raise AssertionError(f"nobody knows how to {what}")

    def poll(self) -> None:
        """Let both agents poll, at once: a node that hangs takes their time only once."""
        with ThreadPoolExecutor(len(self.agents)) as threads:
            for _ in threads.map(Watching.poll, self.agents.values()):
                pass

    def stop(self) -> None:
        """Stop the agents."""
        for agent in self.agents.values():
            agent.stop()


@contextmanager
def stage(
    clock: Clock,
    entries: Sequence[Mapping[str, Any]],
    flags: Collection[str],
    *,
    nodes: int = 1,
    patience: Mapping[str, Any] | None = None,
    state: Path | None = None,
    **more: Any,
) -> Iterator[Stage]:
    """Set up a broker and its agents for the length of the block.

    Args:
        clock: the clock of all of them.
        entries: the agents' ``monitored_clients``.
        flags: the ``enable_*`` flags that are on.
        nodes: how many nodes the broker has.
        patience: of the section ``emqx`` of the agents: how long and how often to ask.
        state: the folder where agents keep their memory, ``None`` for memory only.
        more: other keys of the agents' configuration.
    """
    fleets = {name: StaticFleet() for name in node_names(nodes)}
    cluster = Cluster(fleets, clock=clock, detect_after=140.65)
    with ExitStack() as ending, Simulator(Broker(source=cluster)) as simulator:
        config = {
            mode: _config(simulator.url, flags, patience)
            | {"monitored_clients": entries, "counters": _COUNTERS[mode]}
            | ({"state": {"path": str(state / f"{mode}.db")}} if state else {})
            | more
            for mode in MODES
        }
        ready = Stage(
            {mode: Config.model_validate(one) for mode, one in config.items()}, simulator, clock
        )
        ending.callback(ready.stop)
        yield ready


def _config(url: str, flags: Collection[str], patience: Mapping[str, Any] | None) -> dict[str, Any]:
    names = [name for name in PrometheusConfig.model_fields if name.startswith("enable_")]
    enabled = {name: name in flags for name in names}
    return settings(url, emqx=patience, polling={"interval_seconds": 15}, prometheus=enabled)
