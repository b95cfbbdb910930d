"""One event of EMQX, wherever it came from."""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What happened."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    PUBLISH = "publish"  # a client's message came to the broker
    DELIVERED = "delivered"  # a message went out to a client
    ACKED = "acked"  # a client acknowledged a message of QoS 1 or 2
    MESSAGE_DROPPED = "message_dropped"  # a client's message went to nobody
    DELIVERY_DROPPED = "delivery_dropped"  # a message for a client was dropped


class Source(StrEnum):
    """The ways in."""

    WEBHOOK = "webhook"
    MQTT = "mqtt"


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event. All times are EMQX's, in milliseconds since the epoch.

    ``connected_ms`` is never ``None`` when ``kind`` is connected; with disconnected it is ``None``
    where EMQX does not send it. ``qos`` is never ``None`` for the five kinds about messages.

    Args:
        kind: what happened.
        client_id: whom it happened to: who published, or who was to receive.
        username: ``None`` for a client without one, which EMQX's events call ``undefined``.
        node: the node of the cluster that says so.
        at_ms: when EMQX made the event.
        connected_ms: when the connection that this is about began; with the client id its epoch.
        disconnected_ms: when it ended.
        reason: why it ended, or why a message was dropped, in EMQX's words.
        qos: 0 to 2.
        message_id: EMQX's id of a message, the same in all events about it.
        payload_bytes: length of the payload as the event tells it; see ``rules``.
        received_ms: when EMQX received the message from who published it.
    """

    kind: Kind
    client_id: str
    at_ms: int
    username: str | None = None
    node: str | None = None
    connected_ms: int | None = None
    disconnected_ms: int | None = None
    reason: str | None = None
    qos: int | None = None
    message_id: str | None = None
    payload_bytes: int | None = None
    received_ms: int | None = None


@dataclass(slots=True)
class Decoded:
    """What one body holds: ``events`` in their order, and how many others.

    ``ignored``: events of kinds that this program does not know. ``malformed``: what is no event.
    """

    events: list[Event] = field(default_factory=list)
    ignored: int = 0
    malformed: int = 0


def told(text: str | None) -> str | None:
    """Return what ``text`` tells; EMQX writes ``undefined`` where it has nothing to tell."""
    return None if text == "undefined" else text
