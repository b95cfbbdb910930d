"""Readings as OpenTelemetry's public ``MetricsData``, in bounded requests, for any exporter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_emqx_monitor.columns import Column
from otel_emqx_monitor.meter import Reading, Sort


@dataclass(frozen=True)
class Batch:
    """One request: the data, and how many points it has."""

    data: MetricsData
    points: int


def batches(
    readings: Iterable[Reading], resource: Resource, now: float, max_points: int
) -> Iterator[Batch]:
    """Yield the readings in requests of at most ``max_points`` points.

    A point's time is that of its column, else ``now`` (seconds since the epoch). Sums are
    cumulative, and a series' start time is its own; the start is never after the point, which a
    broker whose clock is ahead would otherwise cause.
    """
    slices: list[Reading] = []
    room = max_points
    for reading in readings:
        begin = 0
        while begin < len(reading.column):
            part = reading.column[begin : begin + room]
            slices.append(Reading(reading.scope, reading.instrument, part))
            begin += len(part)
            room -= len(part)
            if room == 0:
                yield _batch(slices, resource, now, max_points)
                slices, room = [], max_points
    if slices:
        yield _batch(slices, resource, now, max_points - room)


def _batch(readings: list[Reading], resource: Resource, now: float, points: int) -> Batch:
    by_scope: dict[int, list[Reading]] = {}
    for reading in readings:
        by_scope.setdefault(id(reading.scope), []).append(reading)
    scopes = [_scope_metrics(group, now) for group in by_scope.values()]
    return Batch(MetricsData([ResourceMetrics(resource, scopes, schema_url="")]), points)


def _scope_metrics(readings: list[Reading], now: float) -> ScopeMetrics:
    scope = readings[0].scope
    return ScopeMetrics(
        InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes),
        [_metric(reading, now) for reading in readings],
        schema_url=scope.schema_url or "",
    )


def _metric(reading: Reading, now: float) -> Metric:
    instrument = reading.instrument
    points = _points(reading.column, now)
    data: Gauge | Sum
    if instrument.sort is Sort.GAUGE:
        data = Gauge(points)
    else:
        cumulative = AggregationTemporality.CUMULATIVE
        data = Sum(points, cumulative, is_monotonic=instrument.sort is Sort.SUM)
    return Metric(instrument.name, instrument.description, instrument.unit, data)


def _points(column: Column, now: float) -> list[NumberDataPoint]:
    time = nanoseconds(now if column.time is None else column.time)
    return [
        NumberDataPoint(series.attributes, start_nanoseconds(series.start_time, time), time, value)
        for series, value in zip(column.series, column.values, strict=True)
    ]


def nanoseconds(seconds: float) -> int:
    """Return epoch seconds as epoch nanoseconds, exact to the microsecond."""
    return round(seconds * 1_000_000) * 1_000


def start_nanoseconds(start: float | None, time: int) -> int:
    """Return a series' start in epoch nanoseconds, at most ``time``; 0 stands for not known."""
    return 0 if start is None else min(nanoseconds(start), time)
