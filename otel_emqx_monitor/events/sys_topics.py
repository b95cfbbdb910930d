"""Decodes the messages that EMQX publishes under ``$SYS`` when clients come and go.

A topic, without its prefix, is ``brokers/<node>/clients/<client id>/connected`` or
``…/disconnected``. A client id may hold slashes, even ``/clients/``, so it is read from the
payload; the node cannot, because Erlang's names of nodes have none.
"""

from typing import Final

import msgspec

from otel_emqx_monitor.events.event import Decoded, Event, Kind, told
from otel_emqx_monitor.events.wire import UNUSABLE, Millis, Name, Username, Word

#: What to subscribe to below the prefix; ``+`` for the client id would miss ids with slashes.
FILTER: Final = "brokers/+/clients/#"

_KINDS = {"connected": Kind.CONNECTED, "disconnected": Kind.DISCONNECTED}


class _Presence(msgspec.Struct, frozen=True, gc=False):
    """The payload, under EMQX's names."""

    clientid: Name
    ts: Millis
    username: Username | None = None
    connected_at: Millis | None = None
    disconnected_at: Millis | None = None
    reason: Word | None = None


_presence = msgspec.json.Decoder(_Presence)


def decode(body: bytes, topic: str) -> Decoded:
    """Return the event of one message; raises nothing, whatever ``body`` and ``topic`` are.

    Other topics below ``clients`` (EMQX can also tell of subscriptions) are ignored.
    """
    decoded = Decoded()
    node, clients, rest = topic.removeprefix("brokers/").partition("/clients/")
    kind = _KINDS.get(rest.rpartition("/")[2])
    if not clients or kind is None or "/" in node:
        decoded.ignored += 1
        return decoded
    try:
        decoded.events.append(_event(kind, node, _presence.decode(body)))
    except UNUSABLE:
        decoded.malformed += 1
    return decoded


def _event(kind: Kind, node: str, presence: _Presence) -> Event:
    if kind is Kind.CONNECTED and presence.connected_at is None:
        raise msgspec.ValidationError("connected_at is missing")
    return Event(
        kind=kind,
        client_id=presence.clientid,
        at_ms=presence.ts,
        username=told(presence.username),
        node=node,
        connected_ms=presence.connected_at,
        disconnected_ms=presence.disconnected_at,
        reason=presence.reason,
    )
