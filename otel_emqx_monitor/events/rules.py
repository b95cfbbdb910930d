"""Decodes what a rule of EMQX posts: the output of its SQL, one event or an array of them.

Every event needs ``event``, ``clientid`` and ``timestamp``; connected also ``connected_at``, and
those about messages ``qos``. Whatever else this program uses may be missing, or be the text
``undefined``: that is what a rule selects where an event does not have a field (EMQX 5.8.9).

The length of a payload is that of its text in UTF-8, which is right for payloads that are text.
EMQX has to change others to put them into JSON: a rule that selects ``payload_bytes`` says better.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from otel_emqx_monitor.events.event import Decoded, Event, Kind, told
from otel_emqx_monitor.events.wire import UNUSABLE, Length, Millis, Name, Qos, Username, Word

#: The names of events in the output of a rule; a rule on a topic says ``message.publish``.
EVENTS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "client.connected": Kind.CONNECTED,
        "client.disconnected": Kind.DISCONNECTED,
        "message.publish": Kind.PUBLISH,
        "message.delivered": Kind.DELIVERED,
        "message.acked": Kind.ACKED,
        "message.dropped": Kind.MESSAGE_DROPPED,
        "delivery.dropped": Kind.DELIVERY_DROPPED,
    }
)


_Undefined = Literal["undefined"]


class _Output(msgspec.Struct, frozen=True, gc=False):
    """What a rule selects, under EMQX's names."""

    event: str
    clientid: Name
    timestamp: Millis
    username: Username | None = None
    node: Word | None = None
    connected_at: Millis | _Undefined | None = None
    disconnected_at: Millis | _Undefined | None = None
    reason: Word | None = None
    qos: Qos | _Undefined | None = None
    id: Word | None = None
    publish_received_at: Millis | _Undefined | None = None
    payload_bytes: Length | _Undefined | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


class _Named(msgspec.Struct, frozen=True, gc=False):
    event: str


_output = msgspec.json.Decoder(_Output)
_named = msgspec.json.Decoder(_Named)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


def decode(body: bytes) -> Decoded:
    """Return the events of one post; raises nothing, whatever ``body`` is.

    In an array good events count even if others are malformed; what is not JSON as a whole counts
    as one malformed event.
    """
    decoded = Decoded()
    if body.lstrip()[:1] != b"[":
        _add(decoded, body)
        return decoded
    try:
        items = _array.decode(body)
    except UNUSABLE:
        decoded.malformed += 1
        return decoded
    for item in items:
        _add(decoded, item)
    return decoded


def _add(decoded: Decoded, item: bytes | msgspec.Raw) -> None:
    try:
        event = _event(_output.decode(item))
    except UNUSABLE:
        if _is_of_unknown_kind(item):
            decoded.ignored += 1
        else:
            decoded.malformed += 1
        return
    if event is None:
        decoded.ignored += 1
    else:
        decoded.events.append(event)


def _is_of_unknown_kind(item: bytes | msgspec.Raw) -> bool:
    """Whether this is an event that is not meant for us; it may look like anything then."""
    try:
        return _named.decode(item).event not in EVENTS
    except UNUSABLE:
        return False


def _event(output: _Output) -> Event | None:
    kind = EVENTS.get(output.event)
    if kind is None:
        return None
    connected_ms, qos = _number(output.connected_at), _number(output.qos)
    needed = connected_ms if kind is Kind.CONNECTED else qos
    if needed is None and kind is not Kind.DISCONNECTED:
        raise msgspec.ValidationError("what the kind of event needs is missing")
    return Event(
        kind=kind,
        client_id=output.clientid,
        at_ms=output.timestamp,
        username=told(output.username),
        node=told(output.node),
        connected_ms=connected_ms,
        disconnected_ms=_number(output.disconnected_at),
        reason=told(output.reason),
        qos=qos,
        message_id=told(output.id),
        payload_bytes=_payload_bytes(output),
        received_ms=_number(output.publish_received_at),
    )


def _number(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None


def _payload_bytes(output: _Output) -> int | None:
    """Return the length of the payload, ``None`` where the rule has sent none or no text."""
    length = _number(output.payload_bytes)
    if length is not None:
        return length
    json = bytes(output.payload)
    if not json.startswith(b'"') or json == b'"undefined"':
        return None
    if b"\\" not in json:
        return len(json) - 2
    return len(_text.decode(json).encode())
