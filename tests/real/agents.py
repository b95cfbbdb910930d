"""An agent in this process on a simulated broker, both with real sockets."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config, PrometheusConfig
from otel_emqx_monitor.simulator import ClientSource, Simulator

ALL_FLAGS = {name: True for name in PrometheusConfig.model_fields if name.startswith("enable_")}


def config_on(
    simulator: Simulator,
    client_ids: Iterable[str],
    prometheus: dict[str, Any] | None = None,
    polling: dict[str, Any] | None = None,
) -> Config:
    """Return a configuration that watches ``client_ids`` under the aliases ``#0``, ``#1``, …"""
    settings: dict[str, Any] = {
        "emqx": {
            "api_url": simulator.url,
            "api_key": simulator.broker.key,
            "api_secret": simulator.broker.secret,
            "alias": "simulated",
        },
        "monitored_clients": [
            {"alias": f"#{number}", "client_id": one} for number, one in enumerate(client_ids)
        ],
        "prometheus": {"address": "127.0.0.1", "port": 0, **(prometheus or {})},
        "polling": polling or {},
    }
    return Config.model_validate(settings)


@contextmanager
def running(config: Config) -> Iterator[Agent]:
    """Run an agent for the length of the block."""
    agent = Agent(config)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def truth(source: ClientSource, now: float) -> dict[str, dict[str, Any]]:
    """Return the rows of a simulated broker at ``now``, whole, by client id, without asking it."""
    table = source.table(now)
    rows = (dict(table.row(key, None)) for key in table.keys())  # noqa: SIM118 - not a mapping
    return {str(row["clientid"]): row for row in rows}
