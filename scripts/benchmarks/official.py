"""The cases of the official path: the same instruments on OpenTelemetry's SDK."""

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter, ObservableGauge
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from prometheus_client import REGISTRY, generate_latest

from benchmarks.fleet import BROKER, BenchFleet
from benchmarks.measuring import Job, Measured, main, measure
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.readers.otlp import resource_of
from otel_emqx_monitor.snapshot import Snapshot

#: By default a stream holds 2,000 series, and all clients beyond that are one.
_NO_LIMIT: dict[type, int] = {ObservableCounter: 2**31, ObservableGauge: 2**31}

#: The default of OTEL_METRIC_EXPORT_TIMEOUT: how long a periodic reader lets a collect take.
_COLLECT_MILLIS = 30_000


def scrape(job: Job) -> Measured:
    """A new snapshot to the bytes of an exposition."""
    fleet = BenchFleet(job)
    reader = PrometheusMetricReader(scope_info_enabled=False, cardinality_limits=_NO_LIMIT)
    register(MeterProvider([reader]).get_meter(BROKER), fleet)

    def render(_: Snapshot) -> bytes:
        return generate_latest(REGISTRY)

    return measure(job, fleet.snapshot_of, render, lambda made: made.count(b',client_id="'))


class _EncodingReader(MetricReader):
    """Encodes what it is given into one request; keeps the bytes."""

    def __init__(self) -> None:
        super().__init__(cardinality_limits=_NO_LIMIT)
        self.body = b""

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 (encoding takes as long as it takes)
        **_: object,
    ) -> None:
        self.body = encode_metrics(metrics_data).SerializeToString()

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Nothing has to end."""


def otlp(job: Job) -> Measured:
    """A new snapshot to the bytes of a request to a Collector."""
    fleet = BenchFleet(job)
    reader = _EncodingReader()
    register(MeterProvider([reader], resource_of(BROKER)).get_meter(BROKER), fleet)

    def encode(_: Snapshot) -> bytes:
        reader.collect(timeout_millis=_COLLECT_MILLIS)
        return reader.body

    return measure(job, fleet.snapshot_of, encode, _points)


def _points(body: bytes) -> int:
    return sum(
        len(metric.gauge.data_points) + len(metric.sum.data_points)
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


if __name__ == "__main__":
    main({"scrape": scrape, "otlp": otlp})
