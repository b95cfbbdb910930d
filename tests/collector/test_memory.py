"""Hundreds of pushes to a Collector that is not there leave nothing behind."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.pushing import GRPC, HTTP, ONE_POLL
from tests.peers import unused_port
from tests.processes import Exposition, Serving, serving, settings, wait_until, write_config

CLIENTS = {f"Client {number}": f"client-{number}" for number in range(1_000)}

#: One point for each client, that scrapes and pushes are fast.
ONLY_PRESENCE = {
    name: False for name in PrometheusConfig.model_fields if name.startswith("enable_")
}

WARM, END = 40, 240

#: One push that stays would be 1 MB, so that the memory would be some times as much at the end.
GROWTH = 1.3


def config_file(folder: Path, simulator: Simulator, protocol: str) -> str:
    """Write a configuration by which pushes follow each other without a break, each tried once."""
    folder.mkdir()
    otlp = {
        "protocol": protocol,
        "endpoint": f"http://127.0.0.1:{unused_port()}",
        "interval_seconds": 0.001,
        "timeout_seconds": 0.5,
    }
    prometheus = {**ONLY_PRESENCE, **ONE_POLL}
    config = settings(simulator.url, clients=CLIENTS, prometheus=prometheus)
    return write_config(folder, {**config, "otlp": otlp})


def memory_after(agent: Serving, pushes: int) -> float:
    """Return the agent's resident memory, in bytes, as soon as it has failed to push so often."""

    def failed() -> Exposition | None:
        time.sleep(0.3)  # a scrape takes as long as some pushes do, and holds them up
        scraped = agent.scrape()
        exports = scraped.by("otlp_exports_total", "outcome")
        return scraped if exports["dropped"] >= pushes else None

    scraped = wait_until(failed)
    assert len(scraped.of_clients) == len(CLIENTS)
    names = {sample.name: sample.value for sample in scraped.samples}
    return names["process_resident_memory_bytes"]


@pytest.mark.skipif(sys.platform != "linux", reason="a scrape tells of the memory on Linux only")
def test_memory_stays_flat_while_nobody_takes_what_is_pushed(tmp_path: Path) -> None:
    rows = [{"clientid": one, "connected": True} for one in CLIENTS.values()]
    with Simulator(Broker(source=StaticFleet(rows))) as simulator, ExitStack() as stack:
        agents = {
            protocol: stack.enter_context(
                serving("run", "--cfg", config_file(tmp_path / folder, simulator, protocol))
            )
            for protocol, folder in ((GRPC, "grpc"), (HTTP, "http"))
        }
        warm = {protocol: memory_after(agent, WARM) for protocol, agent in agents.items()}
        end = {protocol: memory_after(agent, END) for protocol, agent in agents.items()}
        assert [agent.stop() for agent in agents.values()] == [0, 0]
    for protocol, agent in agents.items():
        assert end[protocol] < GROWTH * warm[protocol]
        _serves, _pushes, failure, stopping = agent.messages
        assert failure.startswith("pushing to the Collector at ")
        assert stopping == "stopping"
