"""The official OTLP exporters, built from the configuration, with failures that can be told apart.

Transport, TLS, compression, retries and the ``OTEL_EXPORTER_OTLP_*`` variables are theirs. They say
no more than success or failure, and write the reason into their log; it is read there, for the
metrics to count refused and dropped points apart and for one line when an outage begins.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.util.re import parse_env_headers

from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.snapshot import Outcome
from otel_emqx_monitor.text import printable

if TYPE_CHECKING:
    import grpc

_EXPORTER_LOG = "opentelemetry.exporter.otlp"

#: Its filter hides what is logged twice within 20 s, and with it the reason of a second refusal.
_FILTERED_LOG = "opentelemetry.exporter.otlp.proto.grpc.exporter"

_TOO_LARGE = (
    "the Collector's receiver limit is 4 MiB for gRPC (max_recv_msg_size_mib) and 20 MiB for HTTP"
    " (max_request_body_size) unless it was raised; lower otlp.max_points_per_request or raise it"
)
_NOT_ALLOWED = "the Collector wants other credentials; check otlp.headers"
_NO_RECEIVER = (
    "no OTLP metrics receiver answers there; check otlp.endpoint and otlp.protocol"
    " (a Collector takes grpc on port 4317, http/protobuf on 4318)"
)
_NOT_ACCEPTED = "the Collector's own log says what it does not accept"
_UNREACHABLE = "check that the Collector runs, and otlp.endpoint, otlp.insecure and otlp.ca_file"

#: By gRPC's status code or HTTP's: what only a person can change. All else may pass by itself.
_REFUSALS: Mapping[str | int, str] = {
    "UNAUTHENTICATED": _NOT_ALLOWED,
    "PERMISSION_DENIED": _NOT_ALLOWED,
    "UNIMPLEMENTED": _NO_RECEIVER,
    "INVALID_ARGUMENT": _NOT_ACCEPTED,
    "FAILED_PRECONDITION": _NOT_ACCEPTED,
    400: f"{_NOT_ACCEPTED}; or the request is too large: {_TOO_LARGE}",
    401: _NOT_ALLOWED,
    403: _NOT_ALLOWED,
    404: _NO_RECEIVER,
    405: _NO_RECEIVER,
    413: _TOO_LARGE,
    415: _NO_RECEIVER,
}


class ExporterError(Exception):
    """The exporter cannot be made; the message says which setting is wrong."""

    exit_code = 2


class _Notes(logging.Handler):
    """Keeps what an exporter logs; an export is one request, so it is little."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@dataclass(frozen=True)
class Result:
    """What became of one request; ``text`` says why it failed and what to do."""

    outcome: Outcome
    text: str = ""


@dataclass
class Exporter:
    """Sends requests with an official exporter.

    Args:
        official: what sends them.
        endpoint: where to, for messages; ``None`` is what the environment or a default says.
        hidden: texts that must not be shown: the values of headers.
    """

    official: MetricExporter
    endpoint: str | None
    hidden: Sequence[str] = ()
    _notes: _Notes = field(default_factory=_Notes, init=False)

    def __post_init__(self) -> None:
        exporters = logging.getLogger(_EXPORTER_LOG)
        exporters.propagate = False
        exporters.handlers[:] = [self._notes]
        logging.getLogger(_FILTERED_LOG).filters.clear()

    def export(self, data: MetricsData) -> Result:
        """Send one request; bounded by the exporter's timeout, raises nothing."""
        self._notes.records.clear()
        try:
            if self.official.export(data) is MetricExportResult.SUCCESS:
                return Result(Outcome.SUCCESS)
        except Exception as error:  # noqa: BLE001 (whatever an exporter does, the agent goes on)
            return Result(Outcome.DROPPED, self._text(repr(error), _UNREACHABLE))
        return self._explain(self._notes.records)

    def shutdown(self) -> None:
        """Give up a retry under way and close the connections."""
        self.official.shutdown()

    def _explain(self, records: Sequence[logging.LogRecord]) -> Result:
        reason = "; ".join(dict.fromkeys(record.getMessage() for record in records[-2:]))
        codes = {code for record in records for code in _codes(record)}
        if "larger than max" in reason:
            return Result(Outcome.REFUSED, self._text(reason, _TOO_LARGE))
        for code in codes:
            if code in _REFUSALS:
                return Result(Outcome.REFUSED, self._text(reason, _REFUSALS[code]))
        return Result(Outcome.DROPPED, self._text(reason, _UNREACHABLE))

    def _text(self, reason: str, advice: str) -> str:
        for hidden in self.hidden:
            reason = reason.replace(hidden, "********")
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"pushing to the Collector{where} failed: {printable(reason, 400)}; {advice}"


def _codes(record: logging.LogRecord) -> list[str | int]:
    """Return the status codes among a record's arguments: HTTP's numbers, gRPC's names."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    numbers: list[str | int] = [one for one in arguments if isinstance(one, int)]
    return numbers + [one.name for one in arguments if hasattr(one, "name")]


def make_exporter(config: OtlpConfig, environ: Mapping[str, str] = os.environ) -> Exporter:
    """Return the exporter for ``config``.

    Endpoint, headers and certificates that it leaves out are taken by the exporters from the
    standard variables; ``environ`` is only asked which headers to hide.

    Raises:
        ExporterError: a variable or a file cannot be used.
    """
    hidden = [secret.get_secret_value() for secret in config.headers.values()]
    for name in ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        hidden += parse_env_headers(environ.get(name, ""), liberal=True).values()
    make = _http_exporter if config.protocol == "http/protobuf" else _grpc_exporter
    try:
        official = make(config)
    except (ValueError, OSError, RuntimeError) as error:
        raise _unusable(error, hidden) from error
    except Exception as error:  # the exporters' own types derive from Exception itself
        if type(error).__module__.startswith("opentelemetry."):
            raise _unusable(error, hidden) from error
        raise
    return Exporter(official, config.endpoint, tuple(filter(None, hidden)))


def _unusable(error: Exception, hidden: Sequence[str]) -> ExporterError:
    text = str(error)
    for secret in hidden:
        text = text.replace(secret, "********")
    return ExporterError(
        f"cannot push by OTLP: {printable(text, 300)}; check the section otlp of the configuration"
        " and the variables OTEL_EXPORTER_OTLP_*"
    )


def _grpc_exporter(config: OtlpConfig) -> MetricExporter:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    compressions = {None: None, "none": Compression.NoCompression, "gzip": Compression.Gzip}
    return OTLPMetricExporter(
        endpoint=config.endpoint,
        insecure=config.without_tls,
        credentials=_credentials(config),
        headers=_headers(config) or None,
        timeout=config.timeout_seconds,
        compression=compressions[config.compression],
    )


def _http_exporter(config: OtlpConfig) -> MetricExporter:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(
        endpoint=config.endpoint,
        certificate_file=config.ca_file,
        client_key_file=config.client_key_file,
        client_certificate_file=config.client_certificate_file,
        headers=_headers(config) or None,
        timeout=config.timeout_seconds,
        compression=None if config.compression is None else Compression(config.compression),
    )


def _headers(config: OtlpConfig) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in config.headers.items()}


def _credentials(config: OtlpConfig) -> "grpc.ChannelCredentials | None":
    import grpc

    files = (config.ca_file, config.client_key_file, config.client_certificate_file)
    if files == (None, None, None):
        return None
    return grpc.ssl_channel_credentials(
        *(None if name is None else Path(name).read_bytes() for name in files)
    )
