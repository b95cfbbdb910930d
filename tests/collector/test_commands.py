"""The commands that push, as processes of their own, with one poll of EMQX for all readers."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.collector import CONFIGS, PROMETHEUS, running_collector
from tests.collector.pushing import GRPC, HTTP, LISTENER, ONE_POLL, both_protocols
from tests.collector.receivers import TAKEN, Answer, Receiver, receiver
from tests.processes import (
    PATIENCE_SECONDS,
    Exposition,
    Serving,
    scrape,
    serving,
    settings,
    wait_until,
    write_config,
)

ROOM = {"clientid": "dev-a", "connected": True, "recv_msg": 7, "send_msg": 3}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Broker(source=StaticFleet([ROOM]))) as running:
        yield running


def config_file(folder: Path, simulator: Simulator, **otlp: Any) -> str:
    """Write a configuration that watches one client, asks once and pushes twenty times a second."""
    config = settings(simulator.url, clients={"Room": "dev-a"}, prometheus=ONE_POLL)
    return write_config(folder, {**config, "otlp": {"interval_seconds": 0.05, **otlp}})


def asked(simulator: Simulator) -> int:
    """Return how often clients were asked for."""
    return simulator.requests["list"] + simulator.requests["lookup"]


@contextmanager
def push_only(config: str) -> Iterator[Serving]:
    """Run the command ``otlp``, which serves nothing, until the end of the block."""
    command = [sys.executable, "-m", "otel_emqx_monitor", "otlp", "--cfg", config]
    with subprocess.Popen(
        [*command, "--log-format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        agent = Serving(process)
        try:
            yield agent
        finally:
            agent.stop(signal.SIGKILL)


@contextmanager
def hanging(protocol: str) -> Iterator[Receiver]:
    """Run a receiver that reads each request and answers none before the end of the block."""
    end = threading.Event()

    def answer(_headers: Mapping[str, str]) -> Answer:
        end.wait(2 * PATIENCE_SECONDS)
        return TAKEN

    with receiver(protocol) as running:
        running.answer = answer
        try:
            yield running
        finally:
            end.set()


@both_protocols
def test_run_asks_emqx_once_for_all_pushes_and_scrapes(
    protocol: str, simulator: Simulator, tmp_path: Path
) -> None:
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        endpoint = collector.url(LISTENER[protocol])
        config = config_file(tmp_path, simulator, protocol=protocol, endpoint=endpoint)
        with serving("run", "--cfg", config) as agent:
            wait_until(lambda: pushes_told(agent.scrape()) >= 5)
            pushed = wait_until(lambda: with_clients(scrape(collector.url(PROMETHEUS))))
            assert agent.stop() == 0
    assert pushed.by("messages_processed_total", "direction") == {"rx": 7, "tx": 3}
    assert asked(simulator) == 1
    assert [event["level"] for event in agent.events if event["level"] != "info"] == []


def pushes_told(exposition: Exposition) -> float:
    return exposition.by("otlp_exports_total", "outcome")["success"]


def with_clients(exposition: Exposition) -> Exposition | None:
    return exposition if exposition.of_clients else None


@both_protocols
def test_otlp_pushes_and_serves_nothing(
    protocol: str, simulator: Simulator, tmp_path: Path
) -> None:
    with receiver(protocol) as collector:
        endpoint = collector.endpoint
        config = config_file(tmp_path, simulator, protocol=protocol, endpoint=endpoint)
        with push_only(config) as agent:
            wait_until(lambda: len(collector.requests) >= 3)
            assert agent.stop() == 0
    assert agent.messages == [
        "pushing the metrics of 1 monitored client of emqx every 0.05 s",
        "stopping",
    ]
    assert agent.stdout == []
    assert asked(simulator) == 1


def test_prometheus_does_not_push_even_with_a_section_otlp(
    simulator: Simulator, tmp_path: Path
) -> None:
    with receiver(HTTP) as collector:
        endpoint = collector.endpoint
        config = config_file(tmp_path, simulator, protocol=HTTP, endpoint=endpoint)
        with serving("prometheus", "--cfg", config) as agent:
            assert agent.scrape().by("otlp_exports_total", "outcome") == {}
            assert agent.stop() == 0
    assert collector.requests == []


@both_protocols
def test_at_sigterm_it_pushes_once_more_although_nobody_answers(
    protocol: str, simulator: Simulator, tmp_path: Path
) -> None:
    with hanging(protocol) as collector:
        config = config_file(
            tmp_path,
            simulator,
            protocol=protocol,
            endpoint=collector.endpoint,
            interval_seconds=3600,
            timeout_seconds=0.2,
        )
        with serving("run", "--cfg", config) as agent:
            wait_until(lambda: agent.scrape().by("otlp_exports_total", "outcome")["dropped"])
            assert len(collector.requests) == 1
            assert agent.stop() == 0
            assert len(collector.requests) == 2
    _serves, _pushes, failure, stopping = agent.messages
    assert failure.startswith(f"pushing to the Collector at {collector.endpoint}")
    assert stopping == "stopping"


def test_sigterm_ends_it_while_a_push_hangs(simulator: Simulator, tmp_path: Path) -> None:
    """Both protocols at once, as the agents wait for their Collectors as long as they may."""

    def end(protocol: str) -> int:
        folder = tmp_path / protocol.replace("/", "-")
        folder.mkdir()
        with hanging(protocol) as collector:
            config = config_file(
                folder,
                simulator,
                protocol=protocol,
                endpoint=collector.endpoint,
                timeout_seconds=4 * PATIENCE_SECONDS,
            )
            with push_only(config) as agent:
                wait_until(lambda: collector.requests)
                exit_code = agent.stop()
            assert len(collector.requests) == 1
        assert "stopping" in agent.messages
        return exit_code

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(end, [GRPC, HTTP])) == [0, 0]
