import math
from datetime import timedelta
from typing import Any

import pytest

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Client, Memory, State, Watched
from otel_emqx_monitor.freshness import advice, in_words
from tests.fleets import AT

REMEDY = (
    "a shorter mqtt.idle_timeout of EMQX shows more, and so do events; see"
    " docs/sleepy-devices.md and docs/events.md."
)


def config(ttl: float = 15, interval: float | None = None) -> Config:
    emqx = {"api_url": "http://emqx/", "api_key": "k", "api_secret": "s", "alias": "lab"}
    polling: dict[str, Any] = {} if interval is None else {"interval_seconds": interval}
    return Config.model_validate(
        {"emqx": emqx, "prometheus": {"ttl_seconds": ttl}, "polling": polling}
    )


def client(state: State = State.DISCONNECTED, lasted: float | None = 3.0, **fields: Any) -> Client:
    """Return a client whose last connection lasted so many seconds, by EMQX's own words."""
    left = None if lasted is None else AT + timedelta(seconds=lasted)
    told = {"connected": False, "connected_at": AT, "disconnected_at": left, **fields}
    memory = Memory(1.0, last_seen=AT.timestamp(), row=Row(clientid="a", **told))
    return Client(Watched("A", "a"), state, memory)


@pytest.mark.parametrize(
    "seconds, words",
    [
        (15.0, "Counters move every 15 s (mqtt.idle_timeout)."),
        (0.5, "Counters move every 0.5 s (mqtt.idle_timeout)."),
        (
            math.inf,
            "Counters move only when a client connects: mqtt.idle_timeout is infinity.",
        ),
        (
            None,
            "This key cannot read mqtt.idle_timeout; counters are taken to move every 15 s.",
        ),
    ],
)
def test_how_often_counters_move_is_told_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize("seconds", [15.0, 1.0, None])
def test_there_is_no_advice_when_polls_are_no_faster_than_counters(seconds: float | None) -> None:
    assert advice(seconds, config()) == []
    assert advice(seconds, config(ttl=0, interval=15)) == []


@pytest.mark.parametrize(
    "polls, key",
    [
        (config(ttl=5), "prometheus.ttl_seconds"),
        (config(interval=5), "polling.interval_seconds"),
    ],
)
@pytest.mark.parametrize("seconds", [15.0, None])
def test_polls_that_are_faster_than_counters_are_told(
    polls: Config, key: str, seconds: float | None
) -> None:
    assert advice(seconds, polls) == [
        (
            f"{key} is 5, so several polls in a row find the same counters; presence gains by it,"
            " rates need a window of two refreshes at least."
        )
    ]


def test_connections_shorter_than_a_refresh_are_counted_among_those_whose_length_is_known() -> None:
    gone = [
        client(),
        client(State.ABSENT),
        client(lasted=15),
        client(lasted=600),
        client(lasted=None),  # EMQX has not told when it ended
        client(connected_at=None),
        client(lasted=-1),  # clocks differ
        client(State.CONNECTED, connected=True),
        client(State.ABSENT, connected=True),  # it vanished, nobody knows when
        client(State.UNKNOWN),
        Client(Watched("B", "b"), State.ABSENT, Memory(1.0)),
    ]
    assert advice(15.0, config(), gone) == [
        (
            "Of 4 clients that are gone, 2 had a last connection shorter than 15 s, so some of what"
            f" they sent was never shown: {REMEDY}"
        )
    ]
    assert advice(2.0, config(), gone) == []


def test_counters_that_never_move_again_are_told_whatever_the_polls() -> None:
    assert advice(math.inf, config(ttl=1), [client()]) == [
        f"What a client sends after it has connected is never shown: {REMEDY}"
    ]
