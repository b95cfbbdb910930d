"""Readings as OpenTelemetry's public ``MetricsData``: for readers and exporters of the SDK's kind.

The agent itself does not go this way, which builds an object for each point; it is for those who
attach a reader of their own, and what the bulk encodings are compared with in tests.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_emqx_monitor.columns import Point, nanoseconds
from otel_emqx_monitor.meter import BulkMeterProvider, Reading, Sort


@dataclass(frozen=True)
class Batch:
    """One request: the data, and how many points it has."""

    data: MetricsData
    points: int


@dataclass(frozen=True)
class Slice:
    """Some of the points of a reading."""

    reading: Reading
    points: list[Point]


def batches(
    readings: Iterable[Reading], resource: Resource, now: float, max_points: int
) -> Iterator[Batch]:
    """Yield the readings in requests of at most ``max_points`` points.

    A point's time is that of its column, else ``now`` (seconds since the epoch). Sums are
    cumulative, and a series' start time is its own; the start is never after the point, which a
    broker whose clock is ahead would otherwise cause.
    """
    slices: list[Slice] = []
    room = max_points
    for reading in readings:
        points = reading.column.points()
        while part := list(islice(points, room)):
            slices.append(Slice(reading, part))
            room -= len(part)
            if room == 0:
                yield _batch(slices, resource, now, max_points)
                slices, room = [], max_points
    if slices:
        yield _batch(slices, resource, now, max_points - room)


def attach(reader: MetricReader, provider: BulkMeterProvider, resource: Resource) -> None:
    """Have a ``MetricReader`` of the SDK's kind read the instruments of ``provider``.

    The SDK connects its readers by the same call; there is no public one.
    """

    def collect(_reader: MetricReader, timeout_millis: float = 10_000) -> MetricsData:
        readings = provider.collect(timeout_millis)
        points = max(1, sum(len(reading.column) for reading in readings))
        everything = [one.data for one in batches(readings, resource, time.time(), points)]
        return everything[0] if everything else MetricsData([])

    reader._set_collect_callback(collect)


def _batch(slices: list[Slice], resource: Resource, now: float, points: int) -> Batch:
    by_scope: dict[int, list[Slice]] = {}
    for part in slices:
        by_scope.setdefault(id(part.reading.scope), []).append(part)
    scopes = [_scope_metrics(group, now) for group in by_scope.values()]
    return Batch(MetricsData([ResourceMetrics(resource, scopes, schema_url="")]), points)


def _scope_metrics(slices: list[Slice], now: float) -> ScopeMetrics:
    scope = slices[0].reading.scope
    return ScopeMetrics(
        InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes),
        [_metric(part, now) for part in slices],
        schema_url=scope.schema_url or "",
    )


def _metric(part: Slice, now: float) -> Metric:
    instrument = part.reading.instrument
    moment = part.reading.column.time
    at = nanoseconds(now if moment is None else moment)
    points = [
        NumberDataPoint(point.attributes, start_nanoseconds(point.start, at), at, point.value)
        for point in part.points
    ]
    data: Gauge | Sum
    if instrument.sort is Sort.GAUGE:
        data = Gauge(points)
    else:
        cumulative = AggregationTemporality.CUMULATIVE
        data = Sum(points, cumulative, is_monotonic=instrument.sort is Sort.SUM)
    return Metric(instrument.name, instrument.description, instrument.unit, data)


def start_nanoseconds(start: int | None, at: int) -> int:
    """Return when a series began, at most ``at``; 0 stands for not known."""
    return 0 if start is None else max(0, min(start, at))
