"""An agent in this process that pushes, and the words of its log."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config, OtlpConfig
from otel_emqx_monitor.simulator import Simulator
from tests.collector.collector import OTLP_GRPC, OTLP_HTTP
from tests.processes import Exposition, scrape, wait_until
from tests.real.agents import config_on

GRPC, HTTP = "grpc", "http/protobuf"

both_protocols = pytest.mark.parametrize("protocol", [GRPC, HTTP])

#: The listener of a Collector for each protocol.
LISTENER = {GRPC: OTLP_GRPC, HTTP: OTLP_HTTP}

#: One poll of EMQX is good for the whole test.
ONE_POLL = {"ttl_seconds": 86_400}


def pushing_config(
    simulator: Simulator,
    client_ids: Iterable[str],
    prometheus: dict[str, Any] | None = None,
    **otlp: Any,
) -> Config:
    """Return a configuration that watches ``client_ids``, with the section ``otlp``.

    Pushes come every 0.1 s unless ``otlp`` says otherwise.
    """
    section = OtlpConfig.model_validate({"interval_seconds": 0.1, **otlp})
    return config_on(simulator, client_ids, prometheus).model_copy(update={"otlp": section})


@contextmanager
def pushing(config: Config, *, serve: bool = True) -> Iterator[Agent]:
    """Run an agent that pushes for the length of the block."""
    agent = Agent(config, serve=serve, push=True)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def exports(agent: Agent, outcome: str) -> float:
    """Scrape how many requests had ``outcome`` so far."""
    return scrape(agent.url).by("otlp_exports_total", "outcome")[outcome]


def wait_for_exports(agent: Agent, outcome: str, more: int = 1) -> Exposition:
    """Wait until ``more`` requests than now had ``outcome``, scraping all the time."""
    before = exports(agent, outcome)
    wait_until(lambda: exports(agent, outcome) >= before + more)
    return scrape(agent.url)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what an agent that serves and pushes has logged after its two first lines."""
    serving, pushes, *others = (
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("otel_emqx_monitor")
    )
    assert serving.startswith("serving the metrics of ")
    assert pushes.startswith("pushing the metrics of ")
    return others
