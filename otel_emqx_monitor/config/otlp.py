"""The section ``otlp``, whose keys have to agree with each other."""

from types import MappingProxyType

from pydantic import Field, ValidationInfo, field_validator

from otel_emqx_monitor.config.addresses import endpoint_for
from otel_emqx_monitor.config.environment import FromEnvironment
from otel_emqx_monitor.config.section import Section
from otel_emqx_monitor.config.values import (
    Contradiction,
    Headers,
    OptionalCompression,
    OptionalEndpoint,
    OptionalNumber,
    OptionalProtocol,
    OptionalSwitch,
    Text,
    Whole,
    comes_with_certificate,
)


class OtlpConfig(Section):
    """How to push to an OpenTelemetry Collector.

    ``None`` is what nobody said: neither the file nor, where a key names variables of
    OpenTelemetry, one of those. The exporters and the reader have the defaults then.
    """

    protocol: OptionalProtocol = Field(
        default=None,
        description="How to push. When not set: `OTEL_EXPORTER_OTLP_METRICS_PROTOCOL`, "
        "`OTEL_EXPORTER_OTLP_PROTOCOL`, else `grpc`.",
    )
    endpoint: OptionalEndpoint = Field(
        default=None,
        description="Where the Collector listens: for `grpc` `http://host:4317`, "
        "`https://host:4317` or `host:4317` (with TLS unless `insecure`); for `http/protobuf` a "
        "URL as in `http://host:4318`, `/v1/metrics` is added if it is missing. When not set: "
        "`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`, else that port of "
        "localhost without TLS.",
    )
    headers: Headers = Field(
        default_factory=lambda: MappingProxyType({}),
        description="Headers of every request by name, as in `authorization: Bearer ${env:TOKEN}`; "
        "names are letters, digits, `-`, `_` and `.`, values printable ASCII. When empty: "
        "`OTEL_EXPORTER_OTLP_METRICS_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS`.",
    )
    interval_seconds: OptionalNumber = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Time from one push to the next. When not set: `OTEL_METRIC_EXPORT_INTERVAL` "
        "(milliseconds), else 60.",
    )
    timeout_seconds: OptionalNumber = Field(
        default=None,
        gt=0,
        le=3600,
        description="How long one request may take, repetitions included. When not set: "
        "`OTEL_EXPORTER_OTLP_METRICS_TIMEOUT`, `OTEL_EXPORTER_OTLP_TIMEOUT` (seconds), else 10.",
    )
    compression: OptionalCompression = Field(
        default=None,
        description="How to compress requests. When not set: "
        "`OTEL_EXPORTER_OTLP_METRICS_COMPRESSION`, `OTEL_EXPORTER_OTLP_COMPRESSION`, else `none`.",
    )
    insecure: OptionalSwitch = Field(
        default=None,
        description="Whether to push without TLS; needed only for an endpoint without `http://` or "
        "`https://`. When not set: as the endpoint says; where it does not, "
        "`OTEL_EXPORTER_OTLP_METRICS_INSECURE`, `OTEL_EXPORTER_OTLP_INSECURE`, else `false`.",
    )
    ca_file: Text | None = Field(
        default=None,
        description="File of CA certificates (PEM) to verify the Collector's certificate with. "
        "Relative to the folder of the configuration; `~` is the home folder. When not set: the "
        "exporters' variables, else the CAs that gRPC or Python trusts.",
    )
    client_certificate_file: Text | None = Field(
        default=None,
        description="File of the certificate (PEM) that the agent shows to the Collector; comes "
        "together with `client_key_file`.",
    )
    client_key_file: Text | None = Field(
        default=None,
        validate_default=True,
        description="File of that certificate's private key (PEM, not encrypted).",
    )
    max_points_per_request: Whole = Field(
        default=5000,
        ge=1,
        le=1_000_000,
        description="Data points in one request; more are sent in several. The default is far "
        "below the 4 MiB that a Collector takes by gRPC.",
    )

    @field_validator("endpoint")
    @classmethod
    def _fits_protocol(cls, endpoint: str | None, info: ValidationInfo) -> str | None:
        if endpoint is None or "protocol" not in info.data:
            return endpoint
        return endpoint_for(info.data["protocol"] or "grpc", endpoint)

    @field_validator("insecure")
    @classmethod
    def _fits_endpoint(cls, insecure: bool | None, info: ValidationInfo) -> bool | None:
        if insecure is True and _scheme(info) == "https":
            raise Contradiction(
                f"must be false or left out: {_endpoint_text(info)} begins with https://, "
                "which means TLS; http:// is without"
            )
        if insecure is False and _scheme(info) == "http":
            raise Contradiction(
                f"must be true or left out: {_endpoint_text(info)} begins with http://, "
                "which means no TLS; https:// is with it"
            )
        return insecure

    @field_validator("ca_file", "client_certificate_file", "client_key_file")
    @classmethod
    def _has_use(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and info.data.get("insecure"):
            raise Contradiction("is for TLS, which otlp.insecure turns off; leave one of them out")
        if path is not None and _scheme(info) == "http":
            raise Contradiction(
                f"is for TLS, and {_endpoint_text(info)} begins with http://; "
                "let otlp.endpoint begin with https://, or leave this out"
            )
        return path

    _comes_with_certificate = field_validator("client_key_file")(comes_with_certificate)

    @property
    def without_tls(self) -> bool | None:
        """Whether gRPC is to go without TLS; ``None`` is for the exporter's variables to decide."""
        if self.insecure is None and self.endpoint is not None and "://" in self.endpoint:
            return self.endpoint.startswith("http://")
        if self.insecure is None and (self.ca_file or self.client_key_file):
            return False
        return self.insecure


def _scheme(info: ValidationInfo) -> str:
    """Return ``http`` or ``https`` if the endpoint begins so, as far as it is known."""
    endpoint = ""
    if "endpoint" in info.data:  # it is not when it was refused
        endpoint = info.data["endpoint"] or _default_endpoint(info)
    scheme, found, _ = endpoint.partition("://")
    return scheme.lower() if found else ""


def _endpoint_text(info: ValidationInfo) -> str:
    if info.data["endpoint"] is not None:
        return "otlp.endpoint"
    default = _default_endpoint(info)
    if isinstance(default, FromEnvironment):
        return f"the endpoint in {default.source}"
    return "the default endpoint"


def _default_endpoint(info: ValidationInfo) -> str:
    """Return what ``load`` passes on from the environment; else nothing is known of it."""
    default: str = (info.context or {}).get("default_endpoint", "")
    return default
