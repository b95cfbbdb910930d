"""One agent between a broker and its readers, and how the lab looks at it."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import requests

from otel_emqx_monitor.simulator import Broker, Cluster, Simulator, StaticFleet
from tests.faults.brokers import FaultyBroker, faulty_broker
from tests.faults.lab.book import Book, told_by
from tests.faults.lab.devices import ELSEWHERE, Devices
from tests.faults.lab.fault import Fault
from tests.faults.lab.readers import Readers
from tests.processes import (
    Exposition,
    Serving,
    scrape,
    settings,
    starting,
    write_config,
)

#: Seconds between two polls, and how old data become; a poll takes some 10 ms.
INTERVAL_SECONDS = 0.2
STALE_SECONDS = 1.5

#: Longer than any fault takes to show or to be over, pauses after failed polls included.
PATIENCE_SECONDS = 20.0

#: How long the agent waits for EMQX and for the Collector: a machine may be busy. Faults that are
#: about waiting have less.
_PATIENT = {"timeout_seconds": 5.0}

#: How often the lab looks, in seconds.
_LOOK_SECONDS = 0.05

#: How long a look takes at most, in seconds.
_ANSWER_SECONDS = 2.0
_HURRY = {"X-Prometheus-Scrape-Timeout-Seconds": "1"}

#: Each how manieth look is one at the Collector too.
_COLLECTOR_EVERY = 4

#: The nodes of the cluster that a fault may want.
NODES = "emqx@127.0.0.1", "emqx2@127.0.0.1"


class Stage:
    """Everything that one fault is about; made by ``stage``.

    ``broker`` is what can be made to fail; a fault that wants a cluster has ``cluster`` instead.
    ``seen`` is the last exposition, ``None`` when the scrape failed; ``ups`` and ``known`` have
    what expositions said since the fault began, each change once. ``notes`` is for the fault's own.
    """

    def __init__(self, fault: Fault, readers: Readers, folder: Path, kept: ExitStack) -> None:
        self.fault = fault
        self.readers = readers
        self.folder = folder
        self.kept = kept
        self.state = folder / "state"
        self.state.mkdir()
        self.notes: dict[str, Any] = {}
        self.seen: Exposition | None = None
        self.ups: list[int | None] = []
        self.known: list[frozenset[str] | None] = []
        self.good_polls: list[float] = []
        self.book = Book("a scrape")
        self.collected = Book("the Collector")
        self._looks = 0
        self.lives: list[Serving] = []
        self.api_url = self._make_broker()

    def _make_broker(self) -> str:
        if not self.fault.cluster:
            self.broker: FaultyBroker = self.kept.enter_context(faulty_broker())
            self.devices = Devices(self.broker.fleet)
            return self.broker.url
        first, second = StaticFleet(), StaticFleet()
        self.cluster = Cluster(dict(zip(NODES, (first, second), strict=True)))
        self.devices = Devices(first, second)
        simulator = self.kept.enter_context(Simulator(Broker(source=self.cluster)))
        return simulator.url

    # The agent.

    @property
    def agent(self) -> Serving:
        """The agent, or the last one of its lives."""
        return self.lives[-1]

    def start_agent(self) -> None:
        """Start the agent, with the state that it left behind."""
        environ = self.fault.environ(self) if self.fault.environ else None
        inside = self.fault.inside(self) if self.fault.inside else ()
        command = "run", "--cfg", self.write_config()
        started = starting(*command, environ=environ, inside=inside)
        self.lives.append(self.kept.enter_context(started))
        assert self.agent.url

    def kill_agent(self) -> None:
        """Kill the agent, as the kernel does that wants memory."""
        self.agent.stop(signal.SIGKILL)

    def write_config(self, **sections: Mapping[str, Any]) -> str:
        """Write the agent's configuration, with ``sections`` beside those that the fault has."""
        config = settings(
            self.api_url,
            emqx={"alias": self.fault.name, **_PATIENT},
            clients={one: one for one in self.devices.ids},
            prometheus={
                "port": self.readers.port,
                "enable_connection_counters": True,
                "enable_queue_metrics": True,
                "ttl_seconds": INTERVAL_SECONDS,
            },
            polling={"interval_seconds": INTERVAL_SECONDS, "stale_after_seconds": STALE_SECONDS},
        )
        config |= {"counters": "cumulative", "state": {"path": str(self.state / "state.db")}}
        config["otlp"] = {
            "endpoint": self.readers.endpoint,
            "protocol": "grpc",
            "interval_seconds": INTERVAL_SECONDS,
            **_PATIENT,
        }
        for name, section in chain(self.fault.settings.items(), sections.items()):
            config[name] = {**config.get(name, {}), **section}
        config["monitored_clients"] += [{"client_id_glob": one} for one in self.fault.globs]
        return write_config(self.folder, config)

    # What can be seen of it.

    def look(self) -> Exposition | None:
        """Scrape the agent, note what it says, and return it; ``None`` when there is no answer."""
        self._looks += 1
        if self._looks % _COLLECTOR_EVERY == 0:
            self.look_at_the_collector()
        try:
            self.seen = scrape(self.agent.url, _HURRY, _ANSWER_SECONDS)
        except requests.RequestException:
            self.seen = None
        if self.seen is None:
            self._note(None, None)
            return None
        told = told_by(self.seen.samples, self.fault.name, self.devices.ids)
        self.book.note(told)
        up = self.up
        self._note(None if up is None else int(up), frozenset(told.connected))
        since = self.seen.by("last_success_timestamp_seconds", "broker").get(self.fault.name)
        if since is not None and since not in self.good_polls:
            self.good_polls.append(since)
        return self.seen

    def look_at_the_collector(self) -> None:
        """Note what the Collector shows of the clients, if it answers."""
        samples = self.readers.collected()
        self.collected.note(told_by(samples, self.fault.name, self.devices.ids))

    def _note(self, up: int | None, known: frozenset[str] | None) -> None:
        if self.ups[-1:] != [up]:
            self.ups.append(up)
        if self.known[-1:] != [known]:
            self.known.append(known)

    def forget(self) -> None:
        """Begin to note what expositions say from here on."""
        self.ups, self.known, self.good_polls = [], [], self.good_polls[-1:]

    @property
    def up(self) -> float | None:
        """What the last exposition says of EMQX."""
        return self.seen.by("up", "broker").get(self.fault.name) if self.seen else None

    def seconds_since(self, note: str) -> float:
        """Return how long ago it was that ``notes`` was given this moment, by ``monotonic``."""
        then: float = self.notes[note]
        return time.monotonic() - then

    @property
    def failed_polls(self) -> float:
        """How many polls had failed by the last exposition."""
        return sum(self.seen.by("poll_errors_total", "reason").values()) if self.seen else 0.0

    @property
    def pushes(self) -> int:
        """How many pushes were over by the last exposition, whatever became of them."""
        return int(sum(self.seen.by("otlp_exports_total", "outcome").values())) if self.seen else 0

    @property
    def is_right(self) -> bool:
        """Whether the last exposition says what is true: ``up``, who is there, and all sums."""
        if self.seen is None or self.up != 1:
            return False
        told = told_by(self.seen.samples, self.fault.name, self.devices.ids)
        counters = {series: value for series, value in told.counters.items() if value}
        there = {one: said[-1] for one, said in self.devices.presence.items()}
        return counters == self.devices.sums and told.connected == there

    def until(self, condition: Callable[[], object], what: str, *, tick: bool = False) -> None:
        """Look again and again until ``condition`` holds; with ``tick`` devices go on meanwhile."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < give_up, f"waited in vain until {what}\n{self.story()}"
            time.sleep(_LOOK_SECONDS)
            if tick:
                self.devices.tick()
            self.look()

    def story(self) -> str:
        """Return what can be told when something is wrong."""
        lines = [line for life in self.lives for line in life.stderr[-20:]]
        wrong = [] if self.is_right else self.book.lacking(self.devices)
        said = {one: self.book.said.get(one) for one in self.devices.ids}
        return "\n".join(
            [f"up {self.ups}, known {self.known}", f"said {said}", *wrong, "its log:", *lines]
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log of all lives of the agent; no traceback is in it."""
        assert all(life.messages is not None for life in self.lives)
        return [event for life in self.lives for event in life.events]

    @property
    def elsewhere(self) -> frozenset[str]:
        """The clients of the cluster's second node."""
        return frozenset({ELSEWHERE})


@contextmanager
def stage(fault: Fault, readers: Readers, folder: Path) -> Iterator[Stage]:
    """Make the stage for one fault; the agent does not run yet."""
    with ExitStack() as kept:
        try:
            yield Stage(fault, readers, folder, kept)
        finally:
            kept.close()
            shutil.rmtree(folder / "state", ignore_errors=True)
