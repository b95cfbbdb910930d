"""The queries of the documents, asked of a real Prometheus that scrapes an agent."""

import re
import socket
from pathlib import Path

import pytest

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator
from tests.documents import blocks
from tests.real.agents import ALL_FLAGS, config_on, running
from tests.real.prometheus import prometheus, scraping
from tests.test_docs_code import PAGES, queries

START = 1_790_000_000.0

#: What a few seconds of a fleet without events and without a yesterday cannot tell.
NO_DATA_HERE = ("disconnections_total", "offset ")

#: What an alert compares its value with, at the end of a query.
_COMPARISON = re.compile(r"\s*(==|>) [\d* ]+$")


@pytest.mark.real("prometheus")
def test_queries_run_and_what_they_compare_is_there(tmp_path: Path) -> None:
    found = [
        query for page in PAGES for block in blocks(page, "promql") for query in queries(block)
    ]
    fleet = ProceduralFleet(50, 1, START - 3600)
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        with (
            Simulator(Broker(source=fleet, clock=lambda: START)) as simulator,
            running(expecting(config_on(simulator, fleet.client_ids, {"port": port, **ALL_FLAGS}))),
            prometheus(scraping({"otel-emqx-monitor": f"127.0.0.1:{port}"}), tmp_path) as server,
        ):
            server.wait_for("rate(emqx_client_monitor_bytes_total[5m])", bool)

            empty = [
                query
                for query in found
                if not server.query(query) and not server.query(_COMPARISON.sub("", query))
                if not any(part in query for part in NO_DATA_HERE)
            ]

    assert len(found) > 20
    assert empty == []


def expecting(config: Config) -> Config:
    """Return ``config`` with all clients expected once an hour."""
    clients = [
        one.model_copy(update={"expected_every_seconds": 3600.0})
        for one in config.monitored_clients
    ]
    return config.model_copy(update={"monitored_clients": tuple(clients)})
