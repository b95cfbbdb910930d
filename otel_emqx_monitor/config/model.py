"""The configuration as typed, immutable values; the README's reference is made from this file."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from otel_emqx_monitor.config.otlp import OtlpConfig
from otel_emqx_monitor.config.section import Section
from otel_emqx_monitor.config.values import (
    Address,
    ApiKey,
    ApiSecret,
    ApiUrl,
    ClientId,
    Contradiction,
    Number,
    OptionalNumber,
    OptionalText,
    Text,
    Verification,
    Whole,
)

__all__ = [
    "SECTIONS",
    "Config",
    "EmqxConfig",
    "MonitoredClient",
    "OtlpConfig",
    "PollingConfig",
    "PrometheusConfig",
    "repeats",
]


class EmqxConfig(Section):
    """How to reach EMQX's REST API."""

    api_key: ApiKey = Field(description="API key of EMQX. Give this or `api_key_file`.")
    api_secret: ApiSecret = Field(
        description="Secret of the API key. Give this or `api_secret_file`."
    )
    api_key_file: Text | None = Field(
        default=None,
        description="File that holds the API key alone, UTF-8; one line break at its end is "
        "ignored. Relative to the folder of the configuration; `~` is the home folder.",
    )
    api_secret_file: Text | None = Field(
        default=None, description="File that holds the secret, read in the same way."
    )
    api_url: ApiUrl = Field(
        description="URL of EMQX's REST API, as in `http://emqx:18083/api/`. It may end with "
        "`/api/v5` or `/api`, or come without them; a slash at the end does not matter."
    )
    ssl: Verification = Field(
        default=True,
        description="How to verify EMQX's certificate: `true` with the certificates that Python "
        "trusts, `false` not at all (insecure), or the path of a CA bundle (PEM), relative to the "
        "folder of the configuration.",
    )
    alias: Text = Field(
        description="Name of this broker, the label `broker`; unique among all agents that one "
        "Prometheus scrapes."
    )
    node: OptionalText = Field(
        default=None,
        description="Name of the one node of the cluster whose clients are asked for, as in "
        "`emqx@10.0.0.1`, for an agent beside each node. When not set: the clients of all nodes.",
    )
    timeout_seconds: Number = Field(
        default=5.0, gt=0, le=3600, description="How long to wait for one answer of EMQX."
    )
    attempts: Whole = Field(
        default=3, ge=1, le=100, description="How often to try one request before the poll fails."
    )


class MonitoredClient(Section):
    """One MQTT client to watch."""

    alias: Text = Field(description="Name of the client, the label `alias`; unique.")
    client_id: ClientId = Field(
        description="Its MQTT client id: any text of 1 to 65535 bytes of UTF-8; unique. "
        "One that looks like a number needs quotes."
    )


class PrometheusConfig(Section):
    """What to export to Prometheus, and where."""

    port: Whole = Field(
        default=9671, ge=0, le=65_535, description="TCP port to listen on; 0 takes any free one."
    )
    address: Address = Field(
        default="0.0.0.0",  # noqa: S104 - a scrape comes from another host; the original's default
        description="Address to listen on: IPv4, IPv6 (with or without brackets) or a host name.",
    )
    ttl_seconds: Number = Field(
        default=15.0,
        ge=0,
        le=86_400,
        description="How long the data of one poll of EMQX serve all scrapes.",
    )
    enable_processed_counters: bool = Field(default=True, description="Messages received and sent.")
    enable_qos_split: bool = Field(
        default=False,
        description="The same split by QoS; has effect only with `enable_processed_counters`.",
    )
    enable_dropped_counters: bool = Field(default=False, description="Messages dropped.")
    enable_reason_split: bool = Field(
        default=False,
        description="The same split by reason; has effect only with `enable_dropped_counters`.",
    )
    enable_bytes_metrics: bool = Field(default=True, description="Bytes received and sent.")
    enable_packet_metrics: bool = Field(default=True, description="MQTT packets received and sent.")
    enable_dates: bool = Field(
        default=False, description="When the session was created and when the client connected."
    )
    enable_inflight_metrics: bool = Field(default=True, description="Messages in flight.")
    enable_subscription_count: bool = Field(default=True, description="Number of subscriptions.")

    #: As in the original, a split comes only together with its total.
    NEEDS: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "enable_qos_split": "enable_processed_counters",
            "enable_reason_split": "enable_dropped_counters",
        }
    )

    @property
    def flags(self) -> frozenset[str]:
        """The ``enable_*`` flags that have effect; a split without its total has none."""
        on = {
            name
            for name in type(self).model_fields
            if name.startswith("enable_") and getattr(self, name)
        }
        return frozenset(name for name in on if self.NEEDS.get(name, name) in on)


class PollingConfig(Section):
    """When data of EMQX are too old, and how long one poll may take."""

    stale_after_seconds: OptionalNumber = Field(
        default=None,
        gt=0,
        description="Age after which the last good data are no longer exported, counted from the "
        "end of that poll; at least `prometheus.ttl_seconds`. When not set: 3 times that, at least "
        "60.",
    )
    deadline_seconds: Number = Field(
        default=60.0, gt=0, le=3600, description="How long one poll of all clients may take."
    )


class Config(Section):
    """A whole configuration."""

    emqx: EmqxConfig = Field(description="How to reach EMQX's REST API.")
    monitored_clients: tuple[MonitoredClient, ...] = Field(
        default=(), description="The clients to watch, in the order of their table."
    )
    prometheus: PrometheusConfig = Field(
        default=PrometheusConfig(), description="What to export to Prometheus, and where."
    )
    polling: PollingConfig = Field(
        default=PollingConfig(),
        description="How old data may become, and how long a poll may take.",
    )
    otlp: OtlpConfig | None = Field(
        default=None,
        description="How to push to an OpenTelemetry Collector. Missing or empty: not at all; "
        "`otlp: {}`: as OpenTelemetry's standard variables say.",
    )

    @field_validator("polling")
    @classmethod
    def _outlives_ttl(cls, polling: PollingConfig, info: ValidationInfo) -> PollingConfig:
        prometheus, stale = info.data.get("prometheus"), polling.stale_after_seconds
        if prometheus is not None and stale is not None and stale < prometheus.ttl_seconds:
            error = Contradiction(
                f"must be at least prometheus.ttl_seconds, which is {prometheus.ttl_seconds:.15g}: "
                "data would end before they are asked for again, and come and go"
            )
            detail = InitErrorDetails(
                type="value_error", loc=("stale_after_seconds",), input=stale, ctx={"error": error}
            )
            raise ValidationError.from_exception_data("PollingConfig", [detail])
        return polling

    @model_validator(mode="after")
    def _without_repeats(self) -> Self:
        named = ((client.alias, client.client_id) for client in self.monitored_clients)
        for index, key, first in repeats(named):
            raise ValueError(f"monitored_clients[{index}].{key} repeats that of [{first}]")
        return self

    @property
    def stale_after_seconds(self) -> float:
        """Age in seconds after which the last good data are stale."""
        if self.polling.stale_after_seconds is not None:
            return self.polling.stale_after_seconds
        return max(60.0, 3 * self.prometheus.ttl_seconds)


#: The model of each section; that of a list is the model of its items.
SECTIONS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType(
    {
        "emqx": EmqxConfig,
        "monitored_clients": MonitoredClient,
        "prometheus": PrometheusConfig,
        "polling": PollingConfig,
        "otlp": OtlpConfig,
    }
)


def repeats(named: Iterable[tuple[object, object]]) -> Iterator[tuple[int, str, int]]:
    """Find aliases and client ids that come more than once.

    Args:
        named: Alias and client id of each client; what is not text is passed over.

    Yields:
        The position of a repetition, ``alias`` or ``client_id``, and the position of the first.
    """
    seen: dict[tuple[str, str], int] = {}
    for index, pair in enumerate(named):
        for key, value in zip(("alias", "client_id"), pair, strict=True):
            if isinstance(value, str):
                first = seen.setdefault((key, value), index)
                if first != index:
                    yield index, key, first
