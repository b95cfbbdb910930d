"""The official OTLP/gRPC exporter, given messages that are encoded already."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes beside our log otherwise
import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import MetricExportResult

from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.readers.exporter import Failure

_COMPRESSIONS = {
    None: None,
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
}


class GrpcExporter(OTLPMetricExporter):
    """Sends what it is given as it is; connection, retries and time are the base's."""

    def send(self, message: ExportMetricsServiceRequest) -> MetricExportResult:
        """Send one message, retrying as the base does."""
        return self._export(message)

    def _translate_data(self, data: Any) -> Any:
        return data

    def _count_data(self, data: Any) -> int:  # noqa: ARG002 (the base's)
        return 0  # only for the SDK's metrics of its own exporters; ours are counted elsewhere


class _Recorder:
    """Stands where the base has its metrics of itself: nothing else learns the error."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    @contextmanager
    def export_operation(self, _count: int) -> Iterator[SimpleNamespace]:
        """Be told of one export: the base sets ``error`` when it fails for good."""
        told = SimpleNamespace(error=None, error_attrs=None)
        yield told
        error = told.error
        self._failure.code = error.code().name if isinstance(error, grpc.RpcError) else ""
        self._failure.words = (error.details() or "") if isinstance(error, grpc.RpcError) else ""
        # A frame in its traceback has ``told``, and the message: a cycle for each failure.
        told.error = None


def make_grpc_exporter(
    config: OtlpConfig, headers: Mapping[str, str], failure: Failure
) -> GrpcExporter:
    """Return the exporter; ``OSError`` or ``ValueError`` when a setting cannot be used."""
    exporter = GrpcExporter(
        endpoint=config.endpoint,
        insecure=config.without_tls,
        credentials=_credentials(config),
        headers=dict(headers) or None,
        timeout=config.timeout_seconds,
        compression=_COMPRESSIONS[config.compression],
    )
    exporter._metrics = _Recorder(failure)  # type: ignore[assignment] # has all that is used
    return exporter


def _credentials(config: OtlpConfig) -> grpc.ChannelCredentials | None:
    files = (config.ca_file, config.client_key_file, config.client_certificate_file)
    if files == (None, None, None):
        return None
    return grpc.ssl_channel_credentials(
        *(None if name is None else Path(name).read_bytes() for name in files)
    )
