"""What EMQX tells of something that happens: the columns for rules, the message under ``$SYS``.

The columns are those recorded on EMQX 5.8.9, field by field (``tests/recordings``). Times in them
are milliseconds since the epoch; a name that a client does not have is the text ``undefined``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

UNDEFINED = "undefined"
_ADDRESS = "127.0.0.1"
_LISTENER_PORT = 1883


class Emission(NamedTuple):
    """One event: when it is told, where rules find it (``FROM``), and its columns."""

    at_ms: int
    source: str
    columns: Mapping[str, object]


class Message(NamedTuple):
    """A message that a client publishes; the same in all events about it."""

    id: str
    client_id: str
    topic: str
    qos: int
    payload: str
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class Login:
    """How a client connects; ``expiry_interval`` (s) above 0 keeps its session while it is away."""

    client_id: str
    username: str | None = None
    clean_start: bool = True
    expiry_interval: int = 0
    keepalive: int = 60
    proto_ver: int = 5

    @property
    def name(self) -> str:
        """The username as events have it."""
        return UNDEFINED if self.username is None else self.username


class Connection(NamedTuple):
    """One connection of a client: what all events about it have in common."""

    login: Login
    node: str
    port: int
    connected_ms: int

    @property
    def _columns(self) -> dict[str, object]:
        return {
            "clientid": self.login.client_id,
            "username": self.login.name,
            "peername": f"{_ADDRESS}:{self.port}",
            "node": self.node,
        }

    @property
    def _protocol(self) -> dict[str, object]:
        return {
            "proto_name": "MQTT",
            "proto_ver": self.login.proto_ver,
            "connected_at": self.connected_ms,
        }

    def connected(self) -> Emission:
        """Return the event of its begin."""
        login = self.login
        props: dict[str, object] = {"User-Property": {}}
        if login.expiry_interval:
            props["Session-Expiry-Interval"] = login.expiry_interval
        columns = {
            **self._columns,
            **self._protocol,
            "event": "client.connected",
            "receive_maximum": 32,
            "conn_props": props,
            "expiry_interval": login.expiry_interval,
            "client_attrs": {},
            "mountpoint": UNDEFINED,
            "is_bridge": False,
            "clean_start": login.clean_start,
            "keepalive": login.keepalive,
            "sockname": f"{_ADDRESS}:{_LISTENER_PORT}",
            "timestamp": self.connected_ms,
        }
        return Emission(self.connected_ms, "$events/client_connected", columns)

    def disconnected(self, at_ms: int, reason: str) -> Emission:
        """Return the event of its end."""
        columns = {
            **self._columns,
            **self._protocol,
            "event": "client.disconnected",
            "disconnected_at": at_ms,
            "disconn_props": {"User-Property": {}},
            "client_attrs": {},
            "sockname": f"{_ADDRESS}:{_LISTENER_PORT}",
            "reason": reason,
            "timestamp": at_ms,
        }
        return Emission(at_ms, "$events/client_disconnected", columns)

    def published(self, message: Message) -> Emission:
        """Return the event of a message that came from the client."""
        columns = {**self._about(message), "event": "message.publish", "client_attrs": {}}
        return Emission(message.at_ms, message.topic, {**columns, "timestamp": message.at_ms})

    def message_dropped(self, at_ms: int, message: Message, reason: str) -> Emission:
        """Return the event of a message from the client that went to nobody."""
        columns = {**self._about(message), "event": "message.dropped", "reason": reason}
        return Emission(at_ms, "$events/message_dropped", {**columns, "timestamp": at_ms})

    def delivered(self, at_ms: int, message: Message, sender: str) -> Emission:
        """Return the event of a message to the client; ``sender`` is its publisher's username."""
        columns = {**self._about(message), **_from(message, sender), "event": "message.delivered"}
        return Emission(at_ms, "$events/message_delivered", {**columns, "timestamp": at_ms})

    def acked(self, at_ms: int, message: Message, sender: str) -> Emission:
        """Return the event of the client's acknowledgement of a message."""
        columns = {
            **self._about(message),
            **_from(message, sender),
            "event": "message.acked",
            "puback_props": {"User-Property": {}},
        }
        return Emission(at_ms, "$events/message_acked", {**columns, "timestamp": at_ms})

    def delivery_dropped(self, at_ms: int, message: Message, sender: str, reason: str) -> Emission:
        """Return the event of a message that did not go out to the client."""
        columns = {
            **self._about(message),
            **_from(message, sender),
            "event": "delivery.dropped",
            "reason": reason,
        }
        return Emission(at_ms, "$events/delivery_dropped", {**columns, "timestamp": at_ms})

    def _about(self, message: Message) -> dict[str, object]:
        return {
            **self._columns,
            "peerhost": _ADDRESS,
            "id": message.id,
            "topic": message.topic,
            "qos": message.qos,
            "payload": message.payload,
            "pub_props": {"User-Property": {}},
            "flags": {"retain": False, "dup": False},
            "publish_received_at": message.at_ms,
        }


def _from(message: Message, sender: str) -> dict[str, object]:
    return {"from_clientid": message.client_id, "from_username": sender}


class SysMessage(NamedTuple):
    """A message that EMQX publishes under ``$SYS``, with QoS 0, not retained."""

    topic: str
    payload: bytes


_SYS_COLUMNS = ("clientid", "username", "proto_name", "proto_ver", "connected_at")


def sys_message(emission: Emission) -> SysMessage | None:
    """Return the presence message for an event, ``None`` for events of other kinds."""
    columns = emission.columns
    payload = {name: columns.get(name) for name in _SYS_COLUMNS}
    payload |= {
        "ipaddress": _ADDRESS,
        "sockport": _LISTENER_PORT,
        "protocol": "mqtt",
        "ts": columns["timestamp"],
    }
    match columns["event"]:
        case "client.connected":
            word = "connected"
            expiry = columns["expiry_interval"]
            assert isinstance(expiry, int)  # noqa: S101 - for mypy; ``connected`` puts it there
            payload |= {"keepalive": columns["keepalive"], "clean_start": columns["clean_start"]}
            payload["expiry_interval"] = expiry * 1000  # here in milliseconds
        case "client.disconnected":
            word = "disconnected"
            payload |= {name: columns[name] for name in ("reason", "disconnected_at")}
        case _:
            return None
    topic = f"$SYS/brokers/{columns['node']}/clients/{columns['clientid']}/{word}"
    return SysMessage(topic, msgspec.json.encode(payload))
