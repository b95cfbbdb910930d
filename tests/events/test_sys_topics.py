import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.events.sys_topics import decode
from tests.odd_ids import ODD_IDS

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recordings" / "events_sys_topics.json").read_text("utf-8")
)

PAYLOAD = {"clientid": "dev-a", "ts": 1_000_001, "connected_at": 1_000_000}


def outcome(body: bytes, topic: str) -> tuple[int, int, int]:
    """How many good, ignored and malformed events a message is."""
    result = decode(body, topic)
    return len(result.events), result.ignored, result.malformed


def test_every_recorded_message_is_one_event() -> None:
    for message in RECORDED:
        topic = message["topic"].removeprefix("$SYS/")
        [event] = decode(json.dumps(message["json"]).encode(), topic).events
        assert event.kind == topic.rpartition("/")[2]
        assert event.client_id == topic.split("/")[3]
        assert event.node == "emqx@127.0.0.1"


def test_a_recorded_disconnect() -> None:
    [message] = [one for one in RECORDED if one["json"].get("reason") == "takenover"]
    assert decode(
        json.dumps(message["json"]).encode(),
        "brokers/emqx@127.0.0.1/clients/ev-taken/disconnected",
    ).events == [
        Event(
            kind=Kind.DISCONNECTED,
            client_id="ev-taken",
            at_ms=1795371088221,
            node="emqx@127.0.0.1",
            connected_ms=1795371088015,
            disconnected_ms=1795371088221,
            reason="takenover",
        )
    ]


@pytest.mark.parametrize(
    "client_id", [*ODD_IDS, "a/b", "/", "x/clients/y/disconnected", "connected", "brokers/n"]
)
def test_the_client_id_is_that_of_the_payload(client_id: str) -> None:
    body = json.dumps({**PAYLOAD, "clientid": client_id}).encode()
    [event] = decode(body, f"brokers/emqx@n/clients/{client_id}/connected").events
    assert (event.client_id, event.node) == (client_id, "emqx@n")
    assert event.kind is Kind.CONNECTED


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "brokers",
        "brokers/n/uptime",
        "brokers/n/clients",
        "brokers/n/clients/dev-a/subscribed",
        "brokers/n/gateway/coap/clients/dev-a/connected",
        "clients/dev-a/connected",
    ],
)
def test_other_topics_are_ignored(topic: str) -> None:
    assert outcome(json.dumps(PAYLOAD).encode(), topic) == (0, 1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clientid": None},
        {"clientid": ""},
        {"clientid": "a\0"},
        {"ts": None},
        {"ts": "now"},
        {"ts": -1},
        {"connected_at": None},
        {"connected_at": 10**30},
        {"username": []},
    ],
)
def test_wrong_values_are_malformed(wrong: dict[str, Any]) -> None:
    body = json.dumps({**PAYLOAD, **wrong}).encode()
    assert outcome(body, "brokers/n/clients/dev-a/connected") == (0, 0, 1)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"\xff", b"{" * 200_000, b'{"a":' * 200_000 + b"1"]
)
def test_hostile_payloads_are_malformed(body: bytes) -> None:
    assert outcome(body, "brokers/n/clients/dev-a/connected") == (0, 0, 1)


@given(st.binary(), st.text())
def test_any_message_is_decoded_without_an_error(body: bytes, topic: str) -> None:
    assert sum(outcome(body, topic)) == 1
    assert sum(outcome(body, f"brokers/{topic}/clients/{topic}/connected")) == 1
