"""One connection to an MQTT broker that subscribes and hands on what comes."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    error_string,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.events.sys_topics import FILTER
from otel_emqx_monitor.text import printable

#: How long the broker may take to let us in and to grant the subscription, in seconds.
_ANSWER_SECONDS = 10.0

#: How long one wait for packets takes at most, and with it the end of a session, in seconds.
_STEP = 0.5

#: More than any event needs: MQTT 5.0, section 3.1.2.11.4.
_LARGEST_PACKET = 1024 * 1024

#: MQTT 5.0, section 2.4; of MQTT 3.1.1's answers paho makes these too.
_UNSUPPORTED_VERSION, _CLIENT_ID_INVALID, _BAD_PASSWORD, _NOT_AUTHORIZED = 132, 133, 134, 135

_CREDENTIALS = "check events.mqtt.username and events.mqtt.password"

_ADVICE = {
    _CLIENT_ID_INVALID: "check events.mqtt.client_id",
    _BAD_PASSWORD: _CREDENTIALS,
    _NOT_AUTHORIZED: _CREDENTIALS,
}


@dataclass(frozen=True)
class MqttSettings:
    """Where and how to subscribe.

    Args:
        host: IPv4 or IPv6 address, or host name.
        port: TCP port.
        client_id: our own; two connections with the same one end each other for ever.
        tls: how to verify the broker and what to show it; ``None`` for no TLS.
        username: ``None`` for none.
        password: ``None`` for none; one without a username is not allowed by MQTT 3.1.1.
        topic_prefix: what stands before ``/brokers/``.
        keepalive: seconds of silence after which one side asks whether the other lives.
    """

    host: str
    port: int
    client_id: str
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    topic_prefix: str = "$SYS"
    keepalive: int = 30

    @property
    def where(self) -> str:
        """The broker, as messages call it."""
        return f"the MQTT broker at {printable(self.host, 100)} port {self.port}"

    @property
    def topic_filter(self) -> str:
        """What to subscribe to."""
        return f"{self.topic_prefix}/{FILTER}"


class Version(Enum):
    """The versions of MQTT that are tried, in this order."""

    MQTT_5 = MQTTProtocolVersion.MQTTv5
    MQTT_3_1_1 = MQTTProtocolVersion.MQTTv311


class SessionEnded(Exception):
    """The session cannot begin or go on; the message says why and what to do."""


class VersionRefused(SessionEnded):
    """The broker does not speak MQTT 5, but perhaps an older version."""


class Session:
    """Runs once.

    Args:
        settings: where and how to subscribe.
        version: which MQTT to speak.
        take: gets the payload and the topic of each message, the topic without its prefix.
        on_subscribed: called when the broker has granted the subscription.
    """

    def __init__(
        self,
        settings: MqttSettings,
        version: Version,
        take: Callable[[bytes, str], object],
        on_subscribed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._version = version
        self._take = take
        self._on_subscribed = on_subscribed
        self._subscribed = False
        self._failure: SessionEnded | None = None

    def run(self, stopped: threading.Event) -> None:
        """Subscribe and hand on messages until ``stopped`` is set, then say goodbye.

        Raises:
            SessionEnded: something else ended it.
        """
        # The client knows the session but not the other way round: without a cycle its sockets
        # close when this function ends, however it does.
        client = self._make_client()
        self._connect(client)
        deadline = Deadline(_ANSWER_SECONDS)
        try:
            while not stopped.is_set():
                self._step(client, deadline)
        finally:
            client.disconnect()

    def _make_client(self) -> Client:
        settings = self._settings
        old = self._version is Version.MQTT_3_1_1
        client = Client(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            clean_session=True if old else None,
            protocol=self._version.value,
            reconnect_on_failure=False,
        )
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
            client.tls_insecure_set(not settings.tls.check_hostname)
        client.on_connect = self._connected
        client.on_subscribe = self._answered
        client.on_message = self._received
        client.on_disconnect = self._disconnected
        return client

    def _connect(self, client: Client) -> None:
        settings = self._settings
        properties = None
        if self._version is Version.MQTT_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
            properties.MaximumPacketSize = _LARGEST_PACKET
        try:
            client.connect(settings.host, settings.port, settings.keepalive, properties=properties)
        except ssl.SSLError as error:
            text = getattr(error, "verify_message", "") or error.reason or str(error)
            raise SessionEnded(
                f"TLS with {settings.where} failed: {printable(text, 200)}; check the port, and"
                " that events.mqtt.ca_file signed the broker's certificate for this host"
            ) from error
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SessionEnded(
                f"cannot connect to {settings.where}: {printable(text, 200)}; check that it runs"
                " and that events.mqtt names its host and port"
            ) from error

    def _step(self, client: Client, deadline: Deadline) -> None:
        try:
            outcome = client.loop(_STEP)
        except Exception as error:  # paho lets anything out on bytes that are not MQTT
            what = type(error).__name__
            raise SessionEnded(f"{self._settings.where} does not speak MQTT ({what})") from error
        if self._failure is not None:
            raise self._failure
        if outcome != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise SessionEnded(self._lost(outcome))
        if not self._subscribed and deadline.expired:
            raise SessionEnded(
                f"{self._settings.where} did not answer within {_ANSWER_SECONDS:g} s; check that"
                " the port is one for MQTT, and not one for TLS or WebSocket if none is configured"
            )

    def _lost(self, outcome: MQTTErrorCode) -> str:
        if self._subscribed:
            return f"the connection to {self._settings.where} is lost: {error_string(outcome)}"
        return (
            f"{self._settings.where} ended the connection before it granted the subscription; check"
            " that the port is one for MQTT, with or without TLS as configured"
        )

    def _connected(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not code.is_failure:
            client.subscribe(self._settings.topic_filter, qos=0)
            return
        text = f"{self._settings.where} refused the connection: {code}"
        if code.value == _UNSUPPORTED_VERSION and self._version is Version.MQTT_5:
            self._failure = VersionRefused(text)
            return
        advice = _ADVICE.get(code.value)
        self._failure = SessionEnded(f"{text}; {advice}" if advice else text)

    def _answered(
        self,
        _client: Client,
        _userdata: object,
        _message_id: int,
        codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refusals = [code for code in codes if code.is_failure]
        if not codes:
            return  # no answer at all; a right one may still come
        if not refusals:
            self._subscribed = True
            self._on_subscribed()
            return
        settings = self._settings
        who = f"user {printable(settings.username, 100)}" if settings.username else "this client"
        self._failure = SessionEnded(
            f"{settings.where} refused the subscription of {printable(settings.topic_filter, 100)}:"
            f" {refusals[0]}; its ACL has to allow that to {who} (EMQX's default acl.conf allows"
            " $SYS/# to the user dashboard and from 127.0.0.1 only)"
        )

    def _received(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.retain:
            return  # EMQX does not retain events: this is old, and not from EMQX
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._take(bytes(message.payload), topic.removeprefix(f"{self._settings.topic_prefix}/"))

    def _disconnected(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and self._failure is None:
            self._failure = SessionEnded(
                f"{self._settings.where} ended the connection: {code}; if another program uses the"
                f" client id {printable(self._settings.client_id, 100)}, give each its own"
                " (events.mqtt.client_id)"
            )
