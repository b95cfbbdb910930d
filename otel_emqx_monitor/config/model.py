"""The configuration as typed, immutable values; docs/configuration.md is made from this file."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from otel_emqx_monitor.config.clients import (
    EVERYBODY,
    ExcludedClient,
    MonitoredClient,
    named,
    repeats,
)
from otel_emqx_monitor.config.events import EventsConfig, MqttConfig, WebhookConfig
from otel_emqx_monitor.config.otlp import OtlpConfig
from otel_emqx_monitor.config.section import Section
from otel_emqx_monitor.config.values import (
    Address,
    ApiKey,
    ApiSecret,
    ApiUrl,
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
    "EventsConfig",
    "ExcludedClient",
    "MonitoredClient",
    "MqttConfig",
    "OtlpConfig",
    "PollingConfig",
    "PrometheusConfig",
    "StateConfig",
    "WebhookConfig",
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
        description="Name of this broker, the label `broker`; unique among all brokers that one "
        "Prometheus knows. Agents beside the nodes of one cluster share it."
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


class PrometheusConfig(Section):
    """What to export to Prometheus, and where."""

    port: Whole = Field(
        default=9671, ge=0, le=65_535, description="TCP port to listen on; 0 takes any free one."
    )
    address: Address = Field(
        default="0.0.0.0",  # noqa: S104 - a scrape comes from another host; the original's default
        description="Address to listen on: IPv4, IPv6 (with or without brackets) or a host name.",
    )
    web_config_file: Text | None = Field(
        default=None,
        description="File with TLS and passwords for the HTTP server, in the format that exporters "
        "of Prometheus take as `--web.config.file`. Relative to the folder of the configuration; "
        "`~` is the home folder. When not set: plain HTTP for everybody.",
    )
    max_connections: Whole = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="How many connections to the HTTP server may be open at once; further ones are "
        "closed.",
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

    enable_last_seen: bool = Field(
        default=False, description="When the client was last seen, and when it last disconnected."
    )
    enable_connection_counters: bool = Field(default=False, description="Connections seen.")
    enable_queue_metrics: bool = Field(
        default=False,
        description="Length of the message queue, messages dropped from it, QoS 2 messages that "
        "await their PUBREL.",
    )
    enable_keepalive: bool = Field(default=False, description="The keepalive interval.")
    enable_client_info: bool = Field(
        default=False,
        description="A series of value 1 that says node, protocol version, username, clean start "
        "and session expiry in its labels.",
    )

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
    """When to ask EMQX, when its data are too old, and how long one poll may take."""

    interval_seconds: OptionalNumber = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Time from one poll to the next, whether anybody reads or not. When not set: "
        "a poll is made when somebody reads and the last one is older than "
        "`prometheus.ttl_seconds`.",
    )
    stale_after_seconds: OptionalNumber = Field(
        default=None,
        gt=0,
        description="Age after which the last good data are no longer exported, counted from the "
        "end of that poll; at least `prometheus.ttl_seconds` and `polling.interval_seconds`. When "
        "not set: 3 times the longer of these, at least 60.",
    )
    deadline_seconds: Number = Field(
        default=60.0, gt=0, le=3600, description="How long one poll of all clients may take."
    )


class StateConfig(Section):
    """What is remembered when the agent restarts."""

    path: Text | None = Field(
        default=None,
        description="File to keep what is known of clients that are gone, and cumulative counters; "
        "its folder has to exist. Relative to the folder of the configuration; `~` is the home "
        "folder. When not set: in memory only.",
    )


class Config(Section):
    """A whole configuration."""

    emqx: EmqxConfig = Field(description="How to reach EMQX's REST API.")
    monitored_clients: tuple[MonitoredClient, ...] = Field(
        default=(),
        description="The clients to watch, in the order of their table: each entry has exactly one "
        "of `client_id`, `client_id_glob`, `client_id_regex` or `username`. `all` is short for one "
        'entry with `client_id_glob: "*"`. An entry with `client_id` wins over all others and '
        "over `exclude`; of the others the first that matches wins.",
    )
    exclude: tuple[ExcludedClient, ...] = Field(
        default=(),
        description="Clients not to watch though a pattern of `monitored_clients` matches them.",
    )
    max_clients: Whole = Field(
        default=100_000,
        ge=1,
        le=1_000_000,
        description="How many clients the patterns of `monitored_clients` may match, beside those "
        "named by `client_id`. Of more the ones with the first client ids are watched, by the "
        "order of their bytes.",
    )
    prometheus: PrometheusConfig = Field(
        default=PrometheusConfig(), description="What to export to Prometheus, and where."
    )
    polling: PollingConfig = Field(
        default=PollingConfig(),
        description="When to poll, how old data may become, and how long a poll may take.",
    )
    counters: Literal["live", "cumulative"] = Field(
        default="live",
        description="What counters say. `live`: what EMQX has of the client's present connection. "
        "`cumulative`: the sum over its connections for as long as it is remembered, also while "
        "it is gone.",
    )
    forget_after_seconds: Number = Field(
        default=604_800.0,
        gt=0,
        description="How long a client is remembered that is gone; 604800 are seven days.",
    )
    state: StateConfig = Field(
        default=StateConfig(), description="What is remembered when the agent restarts."
    )
    events: EventsConfig = Field(
        default=EventsConfig(),
        description="What EMQX tells by itself as it happens, and how that comes in.",
    )
    otlp: OtlpConfig | None = Field(
        default=None,
        description="How to push to an OpenTelemetry Collector. Missing or empty: not at all; "
        "`otlp: {}`: as OpenTelemetry's standard variables say.",
    )

    @field_validator("monitored_clients", mode="before")
    @classmethod
    def _everybody(cls, clients: object) -> object:
        if not isinstance(clients, str):
            return clients
        if clients.strip().lower() == "all":
            return EVERYBODY
        raise ValueError("must be a list (lines that begin with '- ') or the word all")

    @field_validator("polling")
    @classmethod
    def _outlives_polls(cls, polling: PollingConfig, info: ValidationInfo) -> PollingConfig:
        stale, interval = polling.stale_after_seconds, polling.interval_seconds
        lasting = {"polling.interval_seconds": interval or 0.0}
        if (prometheus := info.data.get("prometheus")) is not None:
            lasting["prometheus.ttl_seconds"] = prometheus.ttl_seconds
        longest = max(lasting, key=lambda key: lasting[key])
        if stale is not None and stale < lasting[longest]:
            error = Contradiction(
                f"must be at least {longest}, which is {lasting[longest]:.15g}: "
                "data would end before they are asked for again, and come and go"
            )
            detail = InitErrorDetails(
                type="value_error", loc=("stale_after_seconds",), input=stale, ctx={"error": error}
            )
            raise ValidationError.from_exception_data("PollingConfig", [detail])
        return polling

    @model_validator(mode="after")
    def _without_repeats(self) -> Self:
        for index, key, first in repeats(named(self.monitored_clients)):
            raise ValueError(f"monitored_clients[{index}].{key} repeats that of [{first}]")
        return self

    @property
    def whom(self) -> str:
        """Who is monitored, for a sentence: ``2 monitored clients and 1 pattern of clients``."""
        patterns = sum(entry.client_id is None for entry in self.monitored_clients)
        count = len(self.monitored_clients) - patterns
        parts = []
        if count or not patterns:
            parts.append(f"{count} monitored client{'' if count == 1 else 's'}")
        if patterns:
            parts.append(f"{patterns} pattern{'' if patterns == 1 else 's'} of clients")
        return " and ".join(parts)

    @property
    def stale_after_seconds(self) -> float:
        """Age in seconds after which the last good data are stale."""
        if self.polling.stale_after_seconds is not None:
            return self.polling.stale_after_seconds
        interval = self.polling.interval_seconds or 0.0
        return max(60.0, 3 * max(self.prometheus.ttl_seconds, interval))


#: The model of each section; that of a list is the model of its items. Other keys at the top are
#: single values.
SECTIONS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType(
    {
        "emqx": EmqxConfig,
        "monitored_clients": MonitoredClient,
        "exclude": ExcludedClient,
        "prometheus": PrometheusConfig,
        "polling": PollingConfig,
        "state": StateConfig,
        "events": EventsConfig,
        "otlp": OtlpConfig,
    }
)
