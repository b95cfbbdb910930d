"""How fresh EMQX's counters are, in words, and what to do where that is not fresh enough.

EMQX moves the counters of a client every ``mqtt.idle_timeout`` (15 s by default): asking more often
shows the same numbers again, and a session that is shorter ends before its numbers were ever shown.
"""

from collections.abc import Iterable

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.fleet import ASSUMED_REFRESH_SECONDS, Client, State

_REMEDY = (
    "events, or a shorter mqtt.idle_timeout of EMQX, show more; see Sleepy devices in the README"
)


def in_words(seconds: float | None) -> str:
    """Return one sentence on how often counters move; ``None`` is for a key that cannot tell."""
    if seconds is None:
        return (
            "This key cannot read mqtt.idle_timeout; counters are taken to move every"
            f" {ASSUMED_REFRESH_SECONDS:g} s."
        )
    if seconds == float("inf"):
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
    found = []
    interval = config.polling.interval_seconds or config.prometheus.ttl_seconds
    if interval < refresh:
        key = "prometheus.ttl_seconds"
        if config.polling.interval_seconds is not None:
            key = "polling.interval_seconds"
        found.append(
            f"{key} is {interval:g}, so several polls in a row find the same counters; presence"
            " gains by it, rates need a window of two refreshes at least."
        )
    gone = [one for one in map(_last_session, clients) if one is not None]
    short = sum(lasted < refresh for lasted in gone)
    if short:
        found.append(
            f"The last connection of {short} of {len(gone)} clients that are gone was shorter than"
            f" that, so some of what they sent was never shown: {_REMEDY}."
        )
    return found


def _last_session(client: Client) -> float | None:
    """Return how many seconds the last connection of a client that is gone lasted at least."""
    memory = client.memory
    if client.state not in (State.DISCONNECTED, State.ABSENT) or memory.row is None:
        return None
    if memory.row.connected_at is None or memory.last_seen is None:
        return None
    return max(0.0, memory.last_seen - memory.row.connected_at.timestamp())
