"""What an agent exports, read by both readers, which have to agree in every sample."""

from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from prometheus_client.parser import text_string_to_metric_families

from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.meter import BulkMeterProvider
from otel_emqx_monitor.metric import PREFIX
from otel_emqx_monitor.readers.exposition import TEXT
from otel_emqx_monitor.readers.otlp_bytes import requests
from otel_emqx_monitor.readers.prometheus import PrometheusReader

#: Few, so that a life is cut into several requests.
_POINTS_PER_REQUEST = 7

#: A metric's name in the exposition without our prefix, and its labels in their order.
Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Sample:
    """One sample; ``start`` and ``time`` are OTLP's, in nanoseconds since the epoch.

    ``start`` is 0 where there is none.
    """

    value: float
    start: int
    time: int


class Readers:
    """The two readers of one agent."""

    def __init__(self, cache: SnapshotCache) -> None:
        self._cache = cache
        self._prometheus = PrometheusReader(cache)
        self._provider = BulkMeterProvider()
        register(self._provider.get_meter("lives"), cache)

    def read(self, now: float) -> dict[Series, Sample]:
        """Return all samples of what is known now, which the two readers have to agree in."""
        snapshot = self._cache.current()
        text = b"".join(self._prometheus.render(snapshot, TEXT)).decode()
        with self._cache.pinned(snapshot):
            readings = self._provider.collect()
        pushed: dict[Series, Sample] = {}
        for request in requests(readings, Resource({}), now, _POINTS_PER_REQUEST):
            for series, sample in _decoded(request.body):
                assert series not in pushed, f"{series} was pushed twice"
                pushed[series] = sample
        assert {series: sample.value for series, sample in pushed.items()} == _parsed(text)
        return pushed


def _parsed(text: str) -> dict[Series, float]:
    """Return the samples of an exposition but for those of the process."""
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    ]
    parsed = {_series(sample.name, sample.labels): sample.value for sample in samples}
    assert len(parsed) == len(samples), "a series stands in the exposition twice"
    return parsed


def _decoded(body: bytes) -> Iterator[tuple[Series, Sample]]:
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from _points(metric)


def _points(metric: Metric) -> Iterator[tuple[Series, Sample]]:
    is_sum = metric.HasField("sum")
    name = metric.name + "_total" * is_sum
    for point in metric.sum.data_points if is_sum else metric.gauge.data_points:
        labels = {one.key: one.value.string_value for one in point.attributes}
        start, time = point.start_time_unix_nano, point.time_unix_nano
        assert bool(start) == is_sum, f"{name}: counters have a start, and nothing else has"
        assert start <= time, f"{name} starts after its time"
        yield _series(name, labels), Sample(_value(point), start, time)


def _value(point: NumberDataPoint) -> float:
    return float(point.as_int if point.HasField("as_int") else point.as_double)


def _series(name: str, labels: dict[str, str]) -> Series:
    return name.removeprefix(PREFIX), tuple(sorted(labels.items()))
