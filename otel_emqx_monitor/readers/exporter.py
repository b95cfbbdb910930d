"""The official OTLP exporters, built from the configuration, with failures that can be told apart.

Transport, TLS, compression, retries and the ``OTEL_EXPORTER_OTLP_*`` variables are theirs. They say
no more than success or failure, and tell the reason only their log; ours also say it to us, and
their log is silenced, so that refused and dropped points are counted apart and an outage is one
line.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.util.re import parse_env_headers

from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.snapshot import Outcome
from otel_emqx_monitor.text import printable

if TYPE_CHECKING:
    from otel_emqx_monitor.readers.exporter_grpc import GrpcExporter
    from otel_emqx_monitor.readers.exporter_http import HttpExporter

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
    400: f"perhaps the request is too large, {_TOO_LARGE}; if it is not, {_NOT_ACCEPTED}",
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


@dataclass(frozen=True)
class Result:
    """What became of one request; ``text`` says why it failed and what to do."""

    outcome: Outcome
    text: str = ""


@dataclass
class Failure:
    """Why the last request failed: the receiver's status (gRPC's name, HTTP's number) and words."""

    code: str | int = ""
    words: str = ""

    @property
    def reason(self) -> str:
        """The two as a person would say them."""
        between = " " if isinstance(self.code, int) else ": "
        parts = filter(None, (str(self.code), self.words))
        return between.join(parts) or "the exporter gave up without a reason"


@dataclass(frozen=True)
class Exporter:
    """Sends requests with an official exporter.

    Args:
        official: what sends them; one that takes encoded messages.
        failure: where ``official`` says why a request failed.
        endpoint: where to, for messages; ``None`` is what the environment or a default says.
        hidden: texts that must not be shown: the values of headers.
    """

    official: "GrpcExporter | HttpExporter"
    failure: Failure
    endpoint: str | None
    hidden: Sequence[str] = ()

    def export(self, request: bytes) -> Result:
        """Send one ``ExportMetricsServiceRequest``; bounded by the exporter's timeout.

        Raises nothing.
        """
        try:
            message = ExportMetricsServiceRequest.FromString(request)
            if self.official.send(message) is MetricExportResult.SUCCESS:
                return Result(Outcome.SUCCESS)
        except Exception as error:  # noqa: BLE001 (whatever an exporter does, the agent goes on)
            return Result(Outcome.DROPPED, self._text(repr(error), _UNREACHABLE))
        reason, code = self.failure.reason, self.failure.code
        if "larger than max" in reason:
            return Result(Outcome.REFUSED, self._text(reason, _TOO_LARGE))
        if code in _REFUSALS:
            return Result(Outcome.REFUSED, self._text(reason, _REFUSALS[code]))
        return Result(Outcome.DROPPED, self._text(reason, _UNREACHABLE))

    def shutdown(self) -> None:
        """Give up a retry under way and close the connections."""
        self.official.shutdown()

    def _text(self, reason: str, advice: str) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        words = printable(_without(self.hidden, reason), 400)
        return f"pushing to the Collector{where} failed: {words}; {advice}"


def make_exporter(config: OtlpConfig, environ: Mapping[str, str] = os.environ) -> Exporter:
    """Return the exporter for ``config``.

    Endpoint, headers and certificates that it leaves out are taken by the exporters from the
    standard variables; ``environ`` is only asked which headers to hide.

    Raises:
        ExporterError: a variable or a file cannot be used.
    """
    headers = {name: secret.get_secret_value() for name, secret in config.headers.items()}
    hidden = _hidden(headers, environ)
    failure = Failure()
    try:
        official = _official(config, headers, failure)
    except (ValueError, OSError, RuntimeError) as error:
        raise _unusable(error, hidden) from error
    except Exception as error:  # the exporters' own types derive from Exception itself
        if type(error).__module__.startswith("opentelemetry."):
            raise _unusable(error, hidden) from error
        raise
    # They log each failure, and some with what the receiver sent.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL + 1)
    return Exporter(official, failure, config.endpoint, hidden)


def _official(
    config: OtlpConfig, headers: Mapping[str, str], failure: Failure
) -> "GrpcExporter | HttpExporter":
    """Make the exporter of the protocol; gRPC is imported only where it is used."""
    if config.protocol == "http/protobuf":
        from otel_emqx_monitor.readers.exporter_http import make_http_exporter

        return make_http_exporter(config, headers, failure)
    from otel_emqx_monitor.readers.exporter_grpc import make_grpc_exporter

    return make_grpc_exporter(config, headers, failure)


def _hidden(headers: Mapping[str, str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of headers, and of ``Bearer token`` the token alone too; longest first."""
    values = [*headers.values()]
    for name in ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        values += parse_env_headers(environ.get(name, ""), liberal=True).values()
    parts = [part for value in values for part in value.split()[1:]]
    return tuple(sorted({*values, *parts} - {""}, key=len, reverse=True))


def _without(hidden: Sequence[str], text: str) -> str:
    for secret in hidden:
        text = text.replace(secret, "********")
    return text


def _unusable(error: Exception, hidden: Sequence[str]) -> ExporterError:
    return ExporterError(
        f"cannot push by OTLP: {printable(_without(hidden, str(error)), 300)}; check the section"
        " otlp of the configuration and the variables OTEL_EXPORTER_OTLP_*"
    )
