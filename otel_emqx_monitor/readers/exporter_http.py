"""The official OTLP/HTTP exporter, given messages that are encoded already."""

from collections.abc import Callable, Mapping
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import MetricExportResult

from otel_emqx_monitor.causes import let_go
from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.readers.exporter import Failure


class HttpExporter(OTLPMetricExporter):
    """Sends what it is given as it is; connection, retries and time are the base's."""

    failure: Failure

    def send(self, message: ExportMetricsServiceRequest) -> MetricExportResult:
        """Send one message, retrying as the base does.

        The base takes a redirect for success, and does not follow it: a proxy that sends those
        without a login to another page would swallow everything.
        """
        result = self._client.export(message.SerializeToString())
        if result.success and (result.status_code or 0) < 300:
            return MetricExportResult.SUCCESS
        words = result.reason or result.error or ""
        self.failure.code, self.failure.words = result.status_code or "", str(words)
        return MetricExportResult.FAILURE


class _Session(requests.Session):
    """Verifies with the file it is given: requests lets ``REQUESTS_CA_BUNDLE`` win over that."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)


def make_http_exporter(
    config: OtlpConfig, headers: Mapping[str, str], failure: Failure
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
        session=_Session() if config.ca_file else None,
    )
    exporter.failure = failure
    transport = exporter._client._transport
    transport.request = _letting_go(transport.request)  # type: ignore[method-assign] # of this one alone
    return exporter


def _letting_go(request: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``request`` with errors that do not hold what was to be sent.

    Whoever calls it has the result in a frame that the error would lead to.
    """

    def send(*args: Any, **kwargs: Any) -> Any:
        result = request(*args, **kwargs)
        if result.error is not None:
            let_go(result.error)
        return result

    return send
