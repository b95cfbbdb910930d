"""How fresh EMQX's counters are, in words, and what to do where that is not fresh enough.

EMQX moves the counters of a client every ``mqtt.idle_timeout`` (15 s by default): asking more often
shows the same numbers again, and a session that is shorter ends before its numbers were ever shown.
"""

import math
from collections.abc import Iterable

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.fleet import ASSUMED_REFRESH_SECONDS, Client, State

_REMEDY = (
    "a shorter mqtt.idle_timeout of EMQX shows more, and so do events; see"
    " docs/sleepy-devices.md and docs/events.md"
)


def in_words(seconds: float | None) -> str:
    """Return one sentence on how often counters move; ``None`` is for a key that cannot tell."""
    if seconds is None:
        return (
            "This key cannot read mqtt.idle_timeout; counters are taken to move every"
            f" {ASSUMED_REFRESH_SECONDS:g} s."
        )
    if math.isinf(seconds):
        return "Counters move only when a client connects: mqtt.idle_timeout is infinity."
    return f"Counters move every {seconds:g} s (mqtt.idle_timeout)."


def advice(seconds: float | None, config: Config, clients: Iterable[Client] = ()) -> list[str]:
    """Return what to think of, one sentence each, given how often counters move.

    Args:
        seconds: ``mqtt.idle_timeout``, or ``None`` when it is not known.
        config: how often EMQX is asked.
        clients: those whose connections are known.
    """
    refresh = ASSUMED_REFRESH_SECONDS if seconds is None else seconds
    if math.isinf(refresh):
        return [f"What a client sends after it has connected is never shown: {_REMEDY}."]
    found = []
    key, interval = "prometheus.ttl_seconds", config.prometheus.ttl_seconds
    if config.polling.interval_seconds is not None:
        key, interval = "polling.interval_seconds", config.polling.interval_seconds
    if interval < refresh:
        found.append(
            f"{key} is {interval:g}, so several polls in a row find the same counters; presence"
            " gains by it, rates need a window of two refreshes at least."
        )
    lasted = [one for one in map(_last_session, clients) if one is not None]
    short = sum(one < refresh for one in lasted)
    if short:
        found.append(
            f"Of {len(lasted)} clients that are gone, {short} had a last connection shorter than"
            f" {refresh:g} s, so some of what they sent was never shown: {_REMEDY}."
        )
    return found


def _last_session(client: Client) -> float | None:
    """Return how many seconds the last connection of a client that is gone lasted, if known.

    EMQX tells its end only while it holds the session; to go by when polls have last seen the
    client would make every connection look short that ended between two of them.
    """
    row = client.memory.row
    if client.state not in (State.DISCONNECTED, State.ABSENT) or row is None or row.connected:
        return None
    if row.connected_at is None or row.disconnected_at is None:
        return None
    lasted = (row.disconnected_at - row.connected_at).total_seconds()
    return lasted if lasted >= 0 else None
