"""Events for tests, at seconds after ``START``, and what they leave behind."""

from datetime import UTC, datetime, timedelta
from typing import Any

from otel_emqx_monitor.epochs import Tally
from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import REASONS, Memory

T0 = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC)
START = T0.timestamp()


def ms(seconds: float) -> int:
    return round((START + seconds) * 1000)


def instant(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def event(kind: Kind, at: float, client_id: str = "a", **more: Any) -> Event:
    return Event(kind=kind, client_id=client_id, at_ms=ms(at), **more)


def up(began: float, client_id: str = "a", **more: Any) -> Event:
    return event(Kind.CONNECTED, began, client_id, connected_ms=ms(began), **more)


def down(began: float, left: float, reason: str = "normal", client_id: str = "a") -> Event:
    return event(
        Kind.DISCONNECTED,
        left,
        client_id,
        connected_ms=ms(began),
        disconnected_ms=ms(left),
        reason=reason,
    )


def down_somehow(left: float, reason: str = "normal") -> Event:
    """Return the end of a connection that does not say when that one began."""
    return event(Kind.DISCONNECTED, left, disconnected_ms=ms(left), reason=reason)


def sent(at: float, qos: int = 1, message_id: str | None = None, client_id: str = "a") -> Event:
    """Return the event of a message from the client."""
    return event(
        Kind.PUBLISH,
        at,
        client_id,
        qos=qos,
        message_id=message_id or f"{at}",
        received_ms=ms(at),
    )


def dropped(at: float, reason: str = "queue_full", message_id: str | None = None) -> Event:
    """Return the event of a message for the client that was dropped."""
    more: dict[str, Any] = {"received_ms": ms(at - 5), "message_id": message_id or f"{at}"}
    return event(Kind.DELIVERY_DROPPED, at, qos=1, reason=reason, **more)


def tally(memory: Memory) -> Tally:
    assert memory.connection is not None
    return memory.connection


def left(memory: Memory) -> dict[str, int]:
    """Return how often the client has left, by reason."""
    return {
        reason: count
        for reason, count in zip(REASONS, memory.disconnections, strict=False)
        if count
    }
