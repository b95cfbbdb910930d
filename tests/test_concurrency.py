"""Scrapes and pushes while polls come and go under them: each is of one poll, and of one alone."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.rows import Poll, Row, attribute
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.instruments import enabled
from otel_emqx_monitor.metric import PREFIX
from otel_emqx_monitor.readers.exporter import Result
from otel_emqx_monitor.readers.otlp import OtlpReader, Schedule, Target
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import MetricsServer
from otel_emqx_monitor.snapshot import Outcome
from tests.fleets import assess, nothing_known
from tests.processes import wait_until

CLIENTS, SCRAPERS, SCRAPES = 60, 8, 12

#: In all a client has: whether it is connected, and a series for each of 24 counts.
SERIES = CLIENTS * 25

WATCHED = [Watched(f"alias {number}", f"id-{number}", "broker") for number in range(CLIENTS)]
#: The flags of what stands in rows; what is remembered of a client is no number of a poll.
FLAGS = frozenset(name for name in PrometheusConfig.model_fields if name.startswith("enable_")) - {
    "enable_last_seen",
    "enable_connection_counters",
    "enable_client_info",
}
COUNTS = [attribute(field) for metric in enabled(FLAGS) for field in sorted(metric.fields)]
COUNTS = [name for name in COUNTS if name not in {"connected", "connected_at", "created_at"}]

#: Where the number of a poll stands in an exposition besides.
POLLED_AT = re.compile(rf"^{PREFIX}last_success_timestamp_seconds\{{.*\}} (\S+)$", re.MULTILINE)
OF_CLIENT = re.compile(rf"^{PREFIX}(\w+)\{{.*client_id=.*\}} (\S+)$", re.MULTILINE)

HEADERS = [
    {"Accept": accept, "Accept-Encoding": encoding}
    for accept in ("text/plain", "application/openmetrics-text")
    for encoding in ("", "gzip")
]


def numbered_polls() -> SnapshotCache:
    """Return a source that polls whenever it is asked.

    Each poll has a number: it is what every count of every client is, whether clients are connected
    (odd) or not, and when the poll ended.
    """
    numbers = count(1)

    def poll() -> Poll:
        number = next(numbers)
        row: dict[str, Any] = {"connected": number % 2 == 1, **dict.fromkeys(COUNTS, number)}
        rows = {one.client_id: Row(clientid=one.client_id, **row) for one in WATCHED}
        return Poll(rows, finished_at=float(number), duration=0.0)

    return SnapshotCache(
        "broker",
        poll,
        lambda answered: assess(answered, WATCHED),
        nothing_known(WATCHED),
        Freshness(ttl=0, stale_after=60),
        flags=FLAGS,
    )


def number_in(text: str) -> float:
    """Return the number of the poll that an exposition is of; it has to be one, and complete."""
    [polled_at] = map(float, POLLED_AT.findall(text))
    samples = OF_CLIENT.findall(text)
    assert len(samples) == SERIES
    assert {value for name, value in samples if name != "connected"} == {f"{polled_at:.0f}"}
    assert {value for name, value in samples if name == "connected"} == {f"{polled_at % 2:.0f}"}
    return polled_at


class Pushed:
    """Takes what is pushed, and keeps complete pushes by the bodies of their requests."""

    def __init__(self) -> None:
        self.pushes: list[list[bytes]] = []
        self._begun: list[bytes] = []

    def export(self, request: bytes) -> Result:
        self._begun.append(request)
        if b"build_info" in request:  # the last of all metrics
            self.pushes.append(self._begun)
            self._begun = []
        return Result(Outcome.SUCCESS)

    def shutdown(self) -> None:
        """There is nothing to shut down."""


def number_pushed(push: list[bytes]) -> float:
    """Return the number of the poll that a push is of; it has to be one, and complete."""
    values: list[tuple[str, float]] = []
    polled_at: list[float] = []
    times: set[int] = set()
    for body in push:
        [resource] = ExportMetricsServiceRequest.FromString(body).resource_metrics
        for metric in resource.scope_metrics[0].metrics:
            name = metric.name.removeprefix(PREFIX)
            for point in (metric.gauge if metric.HasField("gauge") else metric.sum).data_points:
                if any(one.key == "client_id" for one in point.attributes):
                    values.append((name, point.as_int))
                    times.add(point.time_unix_nano)
                elif name == "last_success_timestamp_seconds":
                    polled_at.append(point.as_double)
    [number] = polled_at
    assert len(values) == SERIES
    assert {value for name, value in values if name != "connected"} == {number}
    assert {value for name, value in values if name == "connected"} == {number % 2}
    assert times == {number * 1_000_000_000}
    return number


@contextmanager
def serving(source: SnapshotCache) -> Iterator[str]:
    """Serve ``source``, and yield the URL of its metrics."""
    server = MetricsServer(source, PrometheusReader(source), "127.0.0.1", 0)
    server.start()
    try:
        yield f"{server.url}metrics"
    finally:
        server.stop()


@contextmanager
def pushing(source: SnapshotCache) -> Iterator[Pushed]:
    """Push ``source`` without a pause, in requests that end in the midst of metrics."""
    sender = Pushed()
    schedule = Schedule(interval=0.001, timeout=10, max_points=100)
    reader = OtlpReader(Target(source, sender, Resource({}), schedule))
    reader.start()
    try:
        yield sender
    finally:
        reader.stop(10)


def test_every_scrape_and_every_push_is_of_one_poll() -> None:
    source = numbered_polls()
    together = threading.Barrier(SCRAPERS)

    def scrape(scraper: int) -> list[str]:
        with requests.Session() as session:
            session.headers.update(HEADERS[scraper % len(HEADERS)])
            together.wait(10)
            return [session.get(url, timeout=30).text for _ in range(SCRAPES)]

    with serving(source) as url, pushing(source) as pushed, ThreadPoolExecutor(SCRAPERS) as pool:
        scraped = list(pool.map(scrape, range(SCRAPERS)))
        wait_until(lambda: len(pushed.pushes) > SCRAPES)

    numbers = [[number_in(text) for text in texts] for texts in scraped]
    numbers_pushed = [number_pushed(push) for push in pushed.pushes]
    for seen in [*numbers, numbers_pushed]:
        assert seen == sorted(seen), "nobody is told what is older than what they know"
        assert len(set(seen)) > SCRAPES / 2, "the polls have to change for this test to say a thing"


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_a_scrape_that_makes_a_poll_brings_that_poll(headers: dict[str, str]) -> None:
    with serving(numbered_polls()) as url:
        texts = [requests.get(url, headers=headers, timeout=30).text for _ in range(3)]
    assert [number_in(text) for text in texts] == [1, 2, 3]
