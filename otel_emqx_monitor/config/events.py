"""The section ``events``: what EMQX tells by itself as it happens, and how that comes in."""

from pydantic import Field, ValidationInfo, field_validator

from otel_emqx_monitor.config.section import Section
from otel_emqx_monitor.config.values import (
    Address,
    ApiSecret,
    Contradiction,
    Number,
    OptionalName,
    OptionalWhole,
    Text,
    Token,
    TopicPrefix,
    Whole,
    comes_with_certificate,
)

_PORT, _PORT_WITH_TLS = 1883, 8883


class WebhookConfig(Section):
    """``POST /events`` on the agent's HTTP server, for a rule of EMQX with an HTTP action."""

    token: Token = Field(
        description="Bearer token that every post has to carry. Give this or `token_file`."
    )
    token_file: Text | None = Field(
        default=None,
        description="File that holds the token alone, read as `emqx.api_key_file` is.",
    )
    max_body_bytes: Whole = Field(
        default=1_048_576,
        ge=1024,
        le=67_108_864,
        description="The largest post that is taken; larger ones are answered with 413.",
    )
    max_per_second: Number = Field(
        default=10_000.0,
        gt=0,
        le=1_000_000,
        description="How many posts are taken in a second, over time; more are answered with 429, "
        "after which EMQX tries again.",
    )


class MqttConfig(Section):
    """A subscription to what EMQX publishes about clients that connect and disconnect."""

    host: Address = Field(description="Address of the MQTT broker: IPv4, IPv6 or a host name.")
    port: OptionalWhole = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Its TCP port for MQTT. When not set: 1883, with `tls` 8883.",
    )
    tls: bool = Field(default=False, description="Whether to connect by TLS.")
    verify: bool = Field(
        default=True,
        description="Whether to verify the broker's certificate; `false` is insecure.",
    )
    ca_file: Text | None = Field(
        default=None,
        description="File of CA certificates (PEM) to verify it with. Relative to the folder of "
        "the configuration; `~` is the home folder. When not set: those that the system trusts.",
    )
    client_certificate_file: Text | None = Field(
        default=None,
        description="File of the certificate (PEM) that the agent shows to the broker; comes "
        "together with `client_key_file`.",
    )
    client_key_file: Text | None = Field(
        default=None,
        validate_default=True,
        description="File of that certificate's private key (PEM, not encrypted).",
    )
    username: OptionalName = Field(
        default=None, description="MQTT username; EMQX's ACL has to let it subscribe."
    )
    password: ApiSecret | None = Field(
        default=None, description="Its password. Give this or `password_file`, or neither."
    )
    password_file: Text | None = Field(
        default=None,
        description="File that holds the password alone, read as `emqx.api_key_file` is.",
    )
    topic_prefix: TopicPrefix = Field(
        default="$SYS",
        description="What the topics begin with: `<topic_prefix>/brokers/+/clients/#` is "
        "subscribed to.",
    )
    client_id: OptionalName = Field(
        default=None,
        description="MQTT client id of the agent; two agents with the same one end each other's "
        "connections. When not set: another one at each start.",
    )
    keepalive_seconds: Whole = Field(
        default=30,
        ge=5,
        le=65_535,
        description="After how much silence to find out whether the broker still answers.",
    )

    @field_validator("ca_file", "client_certificate_file", "client_key_file")
    @classmethod
    def _has_use(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and info.data.get("tls") is False:
            raise Contradiction("is for TLS; set tls: true, or leave this out")
        return path

    _comes_with_certificate = field_validator("client_key_file")(comes_with_certificate)

    @field_validator("password")
    @classmethod
    def _belongs_to_somebody(cls, password: ApiSecret | None, info: ValidationInfo) -> object:
        # MQTT 3.1.1, section 3.1.2.9: without a username there must be no password.
        if password is not None and info.data.get("username", "") is None:
            raise Contradiction("has no use without username; give both or none")
        return password

    @property
    def effective_port(self) -> int:
        """The port, as given or by whether TLS is used."""
        return self.port or (_PORT_WITH_TLS if self.tls else _PORT)


class EventsConfig(Section):
    """Which ways in are open; one that is missing or empty is closed."""

    webhook: WebhookConfig | None = Field(
        default=None,
        description="Takes what a rule of EMQX posts to `/events` on the port of `prometheus`. "
        "Missing or empty: not at all.",
    )
    mqtt: MqttConfig | None = Field(
        default=None,
        description="Subscribes to EMQX's messages about clients that connect and disconnect. "
        "Missing or empty: not at all.",
    )

    @property
    def on(self) -> bool:
        """Whether any way in is open."""
        return self.webhook is not None or self.mqtt is not None
