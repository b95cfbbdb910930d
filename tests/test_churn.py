"""What comes and goes leaves nothing behind, and what is not used is not loaded."""

import gc
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.columns import Block, Column, Group, Labels
from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import Client, Fleet, Watched
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.meter import BulkMeterProvider
from otel_emqx_monitor.readers.exporter import Result
from otel_emqx_monitor.readers.exposition import OPENMETRICS, TEXT
from otel_emqx_monitor.readers.otlp import OtlpReader, Schedule, Target
from otel_emqx_monitor.readers.otlp_bytes import requests
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from otel_emqx_monitor.snapshot import Outcome, Snapshot
from tests.fleets import assess, connected, nothing_known, poll
from tests.peers import answering, http, peer
from tests.processes import PATIENCE_SECONDS, Serving, settings, wait_until, write_config

CLIENTS = 40
FLAGS = frozenset(name for name in PrometheusConfig.model_fields if name.startswith("enable_"))


class Churn:
    """A source with a poll in each round, in which all clients are others than before."""

    def __init__(self) -> None:
        self.clients = CLIENTS
        self._round = 0
        self.source = SnapshotCache(
            "broker",
            self._poll,
            lambda answered: assess(answered, self._watched()),
            nothing_known([]),
            Freshness(ttl=15, stale_after=1e9),
            flags=FLAGS,
            clock=lambda: self._round * 60.0,
        )

    def replace_everybody(self) -> Snapshot:
        self._round += 1
        return self.source.snapshot()

    @property
    def client_ids(self) -> list[str]:
        return [f"round-{self._round}-client-{number}" for number in range(self.clients)]

    def _watched(self) -> list[Watched]:
        return [Watched(one.upper(), one, "broker") for one in self.client_ids]

    def _poll(self) -> Poll:
        return poll(*(connected(one, recv_oct=self._round) for one in self.client_ids))


class Sender:
    """Keeps only the last push."""

    def __init__(self) -> None:
        self._last = b""
        self._came = threading.Condition()

    def export(self, request: bytes) -> Result:
        with self._came:
            self._last = request
            self._came.notify_all()
        return Result(Outcome.SUCCESS)

    def shutdown(self) -> None:
        """There is nothing to shut down."""

    def wait_for(self, client_id: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: client_id.encode() in self._last, timeout=10)


@contextmanager
def pushing(source: SnapshotCache) -> Iterator[Sender]:
    """Push ``source`` again and again, all of it in one request."""
    sender = Sender()
    reader = OtlpReader(Target(source, sender, Resource({}), Schedule(0.01, 10, max_points=10**9)))
    reader.start()
    try:
        yield sender
    finally:
        reader.stop(10)


def alive(*kinds: type) -> Counter[type]:
    """Count the objects that are of one of ``kinds`` exactly."""
    gc.collect()
    return Counter(type(one) for one in gc.get_objects() if type(one) in kinds)


def rounds_alive() -> set[str]:
    """Return the rounds of those clients that still have labels somewhere."""
    gc.collect()
    labels = [dict(one.items()) for one in gc.get_objects() if type(one) is Labels]
    ids = [str(one.get("client_id")) for one in labels]
    return {one.partition("-client-")[0] for one in ids if one.startswith("round-")}


def _are_alive(rounds: set[str]) -> bool:
    return rounds_alive() == rounds


def test_clients_that_are_gone_leave_nothing_behind_while_the_agent_goes_on() -> None:
    churn = Churn()
    reader = PrometheusReader(churn.source)
    churn.replace_everybody()
    counted = []
    with pushing(churn.source) as sender:
        for number in range(2, 7):
            snapshot = churn.replace_everybody()
            for output in (TEXT, OPENMETRICS):
                reader.render(snapshot, output, compress=True)
            sender.wait_for(churn.client_ids[-1])
            del snapshot
            # Those before are known until the end of the push that tells of their end.
            wait_until(partial(_are_alive, {f"round-{number}"}))
            counted.append(alive(Watched, Fleet))
    assert counted[0][Watched] >= CLIENTS
    assert counted == 5 * counted[:1]


def test_nothing_piles_up_in_what_renders_and_encodes() -> None:
    churn = Churn()
    reader, provider, resource = PrometheusReader(churn.source), BulkMeterProvider(), Resource({})
    register(provider.get_meter("lib"), churn.source)
    counted = []
    for _ in range(5):
        snapshot = churn.replace_everybody()
        for output in (TEXT, OPENMETRICS):
            reader.render(snapshot, output, compress=True)
        assert len(list(requests(provider.collect(), resource, 1e9, 100))) > 1
        del snapshot
        counted.append(alive(Watched, Client, Fleet, Snapshot, Labels, Group, Block, Column))
    assert counted[0][Column] > 5
    assert counted == 5 * counted[:1]


def test_clients_live_on_in_no_format_that_was_once_asked_for() -> None:
    churn = Churn()
    reader = PrometheusReader(churn.source)
    reader.render(churn.replace_everybody(), OPENMETRICS)
    for number in (2, 3):
        reader.render(churn.replace_everybody(), TEXT)
        assert rounds_alive() == {f"round-{number}"}


def test_the_last_clients_leave_nothing_behind_either() -> None:
    churn = Churn()
    reader = PrometheusReader(churn.source)
    reader.render(churn.replace_everybody(), TEXT, compress=True)
    assert rounds_alive() == {"round-1"}
    churn.clients = 0
    reader.render(churn.replace_everybody(), TEXT, compress=True)
    assert rounds_alive() == set()


#: Runs a command and prints, when it has ended, what of Python has been loaded.
PROGRAM = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, sep="\\n"))
from otel_emqx_monitor.cli import main
main()
"""


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@contextmanager
def broker() -> Iterator[str]:
    with Simulator(Broker(source=StaticFleet([{"clientid": "dev-a", "connected": True}]))) as one:
        yield one.url


def loaded_by_serving(command: str, config: str, *, until: Callable[[], object]) -> list[str]:
    """Return the modules that a command has loaded which has served a scrape, and ``until``."""
    with start(command, "--cfg", config, "--log-format", "json") as process:
        agent = Serving(process)
        assert agent.scrape().by("connected", "alias") == {"Room": 1, "Ghost": 0}
        wait_until(until)
        assert agent.stop() == 0
    assert "otel_emqx_monitor.agent" in agent.stdout
    return agent.stdout


def is_of_grpc(module: str) -> bool:
    return module == "grpc" or module.startswith("grpc.") or ".proto.grpc" in module


def test_version_loads_next_to_nothing() -> None:
    with start("--version") as process:
        told, complaints = process.communicate(timeout=PATIENCE_SECONDS)
    version, *modules = told.splitlines()
    assert (version.split(",")[0], complaints) == ("otel-emqx-monitor", "")
    assert "otel_emqx_monitor.cli" in modules
    heavy = {"grpc", "opentelemetry", "prometheus_client", "pydantic", "requests", "uvicorn"}
    assert heavy.isdisjoint(modules)


def test_who_only_serves_prometheus_does_not_load_grpc(tmp_path: Path) -> None:
    with broker() as api_url:
        config = settings(api_url) | {"otlp": {"protocol": "grpc"}}
        modules = loaded_by_serving(
            "prometheus", write_config(tmp_path, config), until=lambda: True
        )
    assert not list(filter(is_of_grpc, modules))


@pytest.mark.parametrize("protocol, loaded", [("http/protobuf", False), ("grpc", True)])
def test_grpc_is_loaded_by_who_pushes_with_it(tmp_path: Path, protocol: str, loaded: bool) -> None:
    with broker() as api_url, peer(answering(http("200 OK"))) as collector:
        endpoint = collector.url.removesuffix("/api/")
        otlp = {"protocol": protocol, "endpoint": endpoint, "timeout_seconds": 0.5}
        config = write_config(tmp_path, settings(api_url) | {"otlp": otlp})
        modules = loaded_by_serving("run", config, until=lambda: collector.connections)
    assert any(map(is_of_grpc, modules)) is loaded
