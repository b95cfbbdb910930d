"""An agent with everything on, on a simulated cluster, and a Prometheus that gets it both ways.

The agent is scraped as the job ``scraped``. It pushes to a Collector too, and what that offers is
scraped as README and ``collector-config`` say, so that the job is the agent's ``service.name``.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.events.setup import Wanted, set_up
from otel_emqx_monitor.simulator import Broker, Cluster, Simulator
from tests.collector.collector import CONFIGS, OTLP_GRPC, PROMETHEUS, running_collector
from tests.real.agents import ALL_FLAGS
from tests.real.prometheus import Prometheus, prometheus

SCRAPED, PUSHED = "scraped", "otel-emqx-monitor"
BROKER = "plant-1"
_TOKEN = "made-up-token"


@dataclass(frozen=True)
class Stage:
    """Everything that runs."""

    simulator: Simulator
    server: Prometheus

    @property
    def broker(self) -> Broker:
        return self.simulator.broker


@contextmanager
def stage(
    cluster: Cluster, clients: Sequence[dict[str, Any]], folder: Path, *, pace: float, stale: float
) -> Iterator[Stage]:
    """Run it all for the length of the block.

    Args:
        cluster: whose API is asked.
        clients: ``monitored_clients``.
        folder: for files.
        pace: seconds between two polls, two scrapes, two pushes.
        stale: seconds after which the agent holds what it has not heard of for unknown or gone.
    """
    expiration = {"METRIC_EXPIRATION": f"{3 * pace:g}s"}  # as its configuration recommends
    with (
        Simulator(Broker(source=cluster)) as simulator,
        running_collector(CONFIGS / "agent-to-prometheus.yaml", expiration) as collector,
    ):
        settings = {
            "emqx": _emqx(simulator),
            "monitored_clients": clients,
            "prometheus": {"address": "127.0.0.1", "port": 0, "ttl_seconds": pace, **ALL_FLAGS},
            "polling": {"interval_seconds": pace, "stale_after_seconds": stale},
            "state": {"path": str(folder / "state")},
            "events": {"webhook": {"token": _TOKEN}},
            "otlp": {"endpoint": f"http://{collector.listen[OTLP_GRPC]}", "interval_seconds": pace},
        }
        config = Config.model_validate(settings)
        agent = Agent(config, push=True)
        agent.start()
        try:
            set_up(config.emqx, Wanted(agent.url, _TOKEN), echo=lambda _: None)
            scrapes = _scrapes(agent.url, collector.listen[PROMETHEUS], pace)
            with prometheus(scrapes, folder) as server:
                yield Stage(simulator, server)
        finally:
            agent.stop()


def _emqx(simulator: Simulator) -> dict[str, object]:
    return {
        "api_url": simulator.url,
        "api_key": simulator.broker.key,
        "api_secret": simulator.broker.secret,
        "alias": BROKER,
        "timeout_seconds": 1,
        "attempts": 1,
    }


def _scrapes(agent_url: str, collector: str, pace: float) -> str:
    """Return Prometheus's configuration; JSON is YAML too."""

    def job(name: str, target: str, **settings: object) -> dict[str, object]:
        return {"job_name": name, "static_configs": [{"targets": [target]}], **settings}

    jobs = [
        job(SCRAPED, urlsplit(agent_url).netloc),
        job("otel-collector", collector, honor_labels=True),
    ]
    every = {"scrape_interval": f"{pace:g}s", "scrape_timeout": f"{pace:g}s"}
    return json.dumps({"global": every, "scrape_configs": jobs})
