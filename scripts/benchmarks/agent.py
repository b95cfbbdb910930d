"""The cases of this program's own paths."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from benchmarks import rows
from benchmarks.fleet import BROKER, BenchFleet, flags, snapshot
from benchmarks.measuring import Job, Measured, main, measure, settled_bytes
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.answers import Answer
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.dialect import dialect_of
from otel_emqx_monitor.emqx.reading import Question, Reader
from otel_emqx_monitor.instruments import fields_for, register
from otel_emqx_monitor.meter import BulkMeterProvider
from otel_emqx_monitor.readers.exposition import TEXT
from otel_emqx_monitor.readers.otlp import resource_of
from otel_emqx_monitor.readers.otlp_bytes import Request, ending_requests, requests
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.readers.shown import Shown, ended, shown_by
from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET
from otel_emqx_monitor.snapshot import Snapshot

T = TypeVar("T")

#: The default of ``otlp.max_points_per_request``.
_MAX_POINTS = 5_000


def samples(parts: Sequence[bytes]) -> int:
    """Return how many samples of clients an exposition has."""
    return sum(part.count(b',client_id="') for part in parts)


def scrape(job: Job) -> Measured:
    """A new snapshot to the bytes of an exposition."""
    fleet = BenchFleet(job)
    reader = PrometheusReader(fleet.cache())
    return measure(job, fleet.snapshot_of, lambda new: reader.render(new, TEXT), samples)


def scrape_gzip(job: Job) -> Measured:
    """A new snapshot to the bytes of a compressed exposition, which is what Prometheus asks for."""
    fleet = BenchFleet(job)
    reader = PrometheusReader(fleet.cache())

    def render(new: Snapshot) -> list[bytes]:
        return reader.render(new, TEXT, compress=True)

    def amount(_: list[bytes]) -> int:
        return samples(reader.render(fleet.snapshot(), TEXT))

    return measure(job, fleet.snapshot_of, render, amount)


def scrape_again(job: Job) -> Measured:
    """A second compressed scrape of the same snapshot."""
    fleet = BenchFleet(job)
    reader = PrometheusReader(fleet.cache())

    def first(turn: int) -> Snapshot:
        new = fleet.snapshot_of(turn)
        reader.render(new, TEXT, compress=True)
        return new

    return measure(job, first, lambda same: reader.render(same, TEXT, compress=True), len)


def otlp(job: Job) -> Measured:
    """A new snapshot to the bytes of all requests to a Collector."""
    return _otlp(job, lambda request: request)


def otlp_sent(job: Job) -> Measured:
    """The same, and what the official exporters do with it: messages made of bytes, and back."""

    def through_exporter(request: Request) -> Request:
        message = ExportMetricsServiceRequest.FromString(request.body)
        return Request(message.SerializeToString(), request.points)

    return _otlp(job, through_exporter)


def _otlp(job: Job, send: Callable[[Request], Request]) -> Measured:
    fleet = BenchFleet(job)
    provider = BulkMeterProvider()
    register(provider.get_meter(BROKER), fleet)
    resource = resource_of(BROKER)

    shown: list[Shown] = []

    def encode(_: Snapshot) -> list[Request]:
        readings, now = provider.collect(), time.time()
        before, shown[:] = list(shown), shown_by(readings, resource)
        over = ending_requests(ended(before, shown), now, _MAX_POINTS)
        made = chain(requests(readings, resource, now, _MAX_POINTS), over)
        return [send(request) for request in made]

    return measure(job, fleet.snapshot_of, encode, lambda made: sum(one.points for one in made))


def observations(job: Job) -> Measured:
    """What columns cost when they are read one by one, as a foreign SDK does."""
    fleet = BenchFleet(job)
    provider = BulkMeterProvider()
    register(provider.get_meter(BROKER), fleet)

    def observe(_: Snapshot) -> int:
        return sum(1 for reading in provider.collect() for _ in reading.column)

    return measure(job, fleet.snapshot_of, observe, int)


class _Canned:
    """Stands for the HTTP session: answers every question with the same body."""

    def __init__(self, body: bytes) -> None:
        self._answer = Answer(200, "application/json", body, "/clients")

    def get(
        self,
        _target: str,
        decode: Callable[[Answer], T],
        _deadline: Deadline,
        _attempts: int | None,
    ) -> T:
        return decode(self._answer)


def page_body(job: Job) -> bytes:
    """Return EMQX's answer with all clients in one page, and just the fields that are needed."""
    needed = fields_for(flags(everything=job.all_flags))
    found = [rows.row(number, 0) for number in range(job.clients)]
    data = [{name: row[name] for name in row if name in needed} for row in found]
    meta = {"page": 1, "limit": 10_000, "count": job.clients, "hasnext": False}
    return json.dumps({"data": data, "meta": meta}).encode()


def decode(job: Job) -> Measured:
    """The body of a page to the rows of a poll: decoded, filtered, one for each client."""
    ids = [rows.client_id(number) for number in range(job.clients)]
    question = Question(0, fields_for(flags(everything=job.all_flags)), ids)
    http = _Canned(page_body(job))  # all but the network is real
    reader = Reader(question, http, Deadline(600), dialect_of(["5.8.9"]), job.clients)  # type: ignore[arg-type]
    return measure(job, lambda turn: turn, lambda _: reader.read(), lambda found: len(found.rows))


def poll(job: Job) -> Measured:
    """A whole poll of everybody, asked for over a socket; the broker is another process."""
    client = _client(job.url, None, job)
    return measure(job, lambda turn: turn, lambda _: client.poll(), lambda made: len(made.rows))


def _client(url: str, watched: list[str] | None, job: Job) -> EmqxClient:
    emqx = {"api_url": url, "api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET, "alias": BROKER}
    config = Config.model_validate({"emqx": {**emqx, "timeout_seconds": 60}})
    needed = fields_for(flags(everything=job.all_flags))
    return EmqxClient(config.emqx, needed, watched, deadline_seconds=600)


def churn(job: Job) -> Measured:
    """Rounds in which every client is replaced; ``job.runs`` times ten of them.

    Both readers do their work in each; the memory is read after 10 rounds and at the end.
    """
    fleet = BenchFleet(Job(0, job.all_flags, 0, ""))
    reader = PrometheusReader(fleet.cache())
    provider = BulkMeterProvider()
    register(provider.get_meter(BROKER), fleet)
    resource = resource_of(BROKER)
    figures = {"rounds": 10.0 * job.runs}
    for turn in range(10 * job.runs):
        numbers = range(turn * job.clients, (turn + 1) * job.clients)
        fleet.current = snapshot(fleet.poll_of(numbers, turn), None)
        reader.render(fleet.current, TEXT, compress=True)
        for _ in requests(provider.collect(), resource, time.time(), _MAX_POINTS):
            pass
        if turn == 9:
            figures["after 10 rounds"] = settled_bytes()
    figures["at the end"] = settled_bytes()
    return Measured(runs=[0.0], amount=job.clients, figures=figures)


if __name__ == "__main__":
    main(
        {
            "scrape": scrape,
            "scrape-gzip": scrape_gzip,
            "scrape-again": scrape_again,
            "otlp": otlp,
            "otlp-sent": otlp_sent,
            "observations": observations,
            "decode": decode,
            "poll": poll,
            "churn": churn,
        }
    )
