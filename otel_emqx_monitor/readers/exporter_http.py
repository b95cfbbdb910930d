"""The official OTLP/HTTP exporter, given messages that are encoded already."""

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import MetricExportResult

from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.readers.exporter import Recorder


class HttpExporter(OTLPMetricExporter):
    """Sends what it is given as it is; connection, retries and time are the base's."""

    def send(self, message: ExportMetricsServiceRequest) -> MetricExportResult:
        """Send one message, retrying as the base does."""
        return self._export_batch(message)


def make_http_exporter(
    config: OtlpConfig, headers: Mapping[str, str], recorder: Recorder
) -> HttpExporter:
    """Return the exporter; ``OSError`` or ``ValueError`` when a setting cannot be used."""
    exporter = HttpExporter(
        endpoint=config.endpoint,
        certificate_file=config.ca_file,
        client_key_file=config.client_key_file,
        client_certificate_file=config.client_certificate_file,
        headers=dict(headers) or None,
        timeout=config.timeout_seconds,
        compression=None if config.compression is None else Compression(config.compression),
    )
    exporter._metrics = recorder  # type: ignore[assignment] # it has what the exporter uses
    return exporter
