import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.events.event import Decoded, Event, Kind
from otel_emqx_monitor.events.rules import decode
from tests.odd_ids import ODD_IDS

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recordings" / "events_webhook.json").read_text(encoding="utf-8")
)

CONNECTED = {
    "event": "client.connected",
    "clientid": "dev-a",
    "timestamp": 1_000_001,
    "connected_at": 1_000_000,
}
PUBLISH = {"event": "message.publish", "clientid": "dev-a", "timestamp": 1_000_002, "qos": 1}

DEEP = 200_000


def decoded(value: Any) -> Decoded:
    return decode(json.dumps(value).encode())


def outcome(body: bytes) -> tuple[int, int, int]:
    """How many good, ignored and malformed events ``body`` holds."""
    result = decode(body)
    return len(result.events), result.ignored, result.malformed


def with_payload(json_text: bytes) -> int | None:
    """The length of the payload that a publish event with this JSON has."""
    [event] = decode(json.dumps(PUBLISH).encode()[:-1] + b', "payload": ' + json_text + b"}").events
    return event.payload_bytes


def test_every_recorded_post_is_one_event() -> None:
    events = [event for post in RECORDED for event in decoded(post["json"]).events]
    assert len(events) == len(RECORDED) == 26
    assert Counter(event.kind for event in events) == {
        Kind.CONNECTED: 7,
        Kind.DISCONNECTED: 9,
        Kind.PUBLISH: 3,
        Kind.DELIVERED: 3,
        Kind.ACKED: 2,
        Kind.MESSAGE_DROPPED: 1,
        Kind.DELIVERY_DROPPED: 1,
    }
    assert {event.reason for event in events if event.kind is Kind.DISCONNECTED} == {
        "normal",
        "takenover",
        "discarded",
        "kicked",
        "tcp_closed",
    }


def test_a_recorded_connection() -> None:
    assert decoded(RECORDED[0]["json"]).events == [
        Event(
            kind=Kind.CONNECTED,
            client_id="ev-sub",
            at_ms=1795371087153,
            username="sue",
            node="emqx@127.0.0.1",
            connected_ms=1795371087152,
        )
    ]


def test_a_recorded_disconnect() -> None:
    [event] = [
        event
        for post in RECORDED
        for event in decoded(post["json"]).events
        if event.reason == "kicked"
    ]
    assert (event.client_id, event.username) == ("ev-kicked", None)
    assert event.connected_ms == 1795371090230
    assert event.disconnected_ms == 1795371090233


def test_a_recorded_message() -> None:
    assert decoded(RECORDED[1]["json"]).events == [
        Event(
            kind=Kind.DELIVERED,
            client_id="ev-sub",
            at_ms=1795371087458,
            username="sue",
            node="emqx@127.0.0.1",
            qos=0,
            message_id="000660E167E86EDDF445000142A70002",
            payload_bytes=5,
            received_ms=1795371087458,
        )
    ]


def test_posts_can_be_batched_and_the_order_stays() -> None:
    result = decoded([post["json"] for post in RECORDED])
    assert result.events == [event for post in RECORDED for event in decoded(post["json"]).events]


def test_good_events_count_beside_others() -> None:
    result = decoded([CONNECTED, 7, {"event": "client.connack"}, {"event": 5}, None, [], PUBLISH])
    assert [event.kind for event in result.events] == [Kind.CONNECTED, Kind.PUBLISH]
    assert (result.ignored, result.malformed) == (1, 4)


def test_an_empty_array_holds_nothing() -> None:
    assert outcome(b" [ ] ") == (0, 0, 0)


@pytest.mark.parametrize("name", ["client.connack", "session.subscribed", "$bridges/x", ""])
def test_unknown_events_are_ignored_whatever_they_look_like(name: str) -> None:
    whole = decoded({**CONNECTED, "event": name})
    assert (whole.events, whole.ignored, whole.malformed) == ([], 1, 0)
    odd = decoded({"event": name, "clientid": [], "timestamp": "soon"})
    assert (odd.events, odd.ignored, odd.malformed) == ([], 1, 0)


@pytest.mark.parametrize("client_id", ODD_IDS)
def test_client_ids_are_any_text(client_id: str) -> None:
    [event] = decoded({**CONNECTED, "clientid": client_id}).events
    assert event.client_id == client_id


def test_no_username_is_none_and_an_empty_one_is_not() -> None:
    names = ["undefined", None, "", "sue"]
    result = decoded([{**CONNECTED, "username": name} for name in names])
    assert [event.username for event in result.events] == [None, None, "", "sue"]


def test_undefined_is_nothing_in_every_field_but_the_client_id() -> None:
    # What a hand-written rule over several events selects where one lacks a field.
    names = ("username", "node", "connected_at", "disconnected_at", "reason", "qos", "id")
    numbers = ("publish_received_at", "payload_bytes", "payload")
    nothing = dict.fromkeys([*names, *numbers], "undefined")
    left = {"event": "client.disconnected", "clientid": "undefined", "timestamp": 5}
    [event] = decoded({**nothing, **left}).events
    assert event == Event(kind=Kind.DISCONNECTED, client_id="undefined", at_ms=5)
    [came] = decoded({**nothing, **CONNECTED}).events
    assert (came.connected_ms, came.qos) == (1_000_000, None)
    assert outcome(json.dumps({**nothing, **PUBLISH, "qos": "undefined"}).encode()) == (0, 0, 1)


def test_a_disconnect_of_an_emqx_that_does_not_tell_the_connection_is_taken() -> None:
    [event] = decoded({"event": "client.disconnected", "clientid": "a", "timestamp": 5}).events
    assert (event.connected_ms, event.reason) == (None, None)


@pytest.mark.parametrize(
    "json_text, length",
    [
        (b'"12345"', 5),
        (b'""', 0),
        ('"größe"'.encode(), 7),
        (rb'"gr\u00f6\u00dfe"', 7),
        (rb'"\ud83c\udf21\n\"x\\"', 8),
        (b"null", None),
        (b'{"a": 1}', None),
        (b'"text", "payload_bytes": 99', 99),
    ],
)
def test_the_length_of_a_payload(json_text: bytes, length: int | None) -> None:
    assert with_payload(json_text) == length


@pytest.mark.parametrize(
    "wrong",
    [
        {"clientid": None},
        {"clientid": ""},
        {"clientid": 5},
        {"clientid": "x" * 65_536},
        {"clientid": "a\0b"},
        {"timestamp": None},
        {"timestamp": -1},
        {"timestamp": 1.5},
        {"timestamp": "1"},
        {"timestamp": 9_223_372_036_855},
        {"timestamp": 10**400},
        {"connected_at": None},
        {"connected_at": "now"},
        {"username": 5},
        {"node": "n" * 256},
        {"qos": 3},
        {"event": None},
        {"event": ["client.connected"]},
    ],
)
def test_wrong_values_are_malformed(wrong: dict[str, Any]) -> None:
    result = decoded({**CONNECTED, **wrong})
    assert (result.events, result.ignored, result.malformed) == ([], 0, 1)


@pytest.mark.parametrize("name", ["event", "clientid", "timestamp", "connected_at"])
def test_missing_values_are_malformed(name: str) -> None:
    result = decoded({key: value for key, value in CONNECTED.items() if key != name})
    assert (result.events, result.ignored, result.malformed) == ([], 0, 1)


def test_a_message_needs_its_qos() -> None:
    result = decoded({key: value for key, value in PUBLISH.items() if key != "qos"})
    assert (result.events, result.malformed) == ([], 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"7",
        b'"text"',
        b"{",
        b"[",
        b"[1,",
        b"{}",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf" + json.dumps(CONNECTED).encode(),
        json.dumps(CONNECTED).encode() + b"\x00",
        json.dumps(CONNECTED).encode() + json.dumps(CONNECTED).encode(),
        json.dumps({**CONNECTED, "clientid": "\ud800"}).encode(),
        json.dumps(CONNECTED).replace("dev-a", "\xff").encode("latin-1"),
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        json.dumps(CONNECTED).encode()[:-1] + b', "x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        json.dumps(PUBLISH).encode()[:-1] + b', "payload": "\\ud800"}',
        b"NaN",
        b"Infinity",
        b"event=client.connected&clientid=a",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_hostile_bodies_are_one_malformed_event(body: bytes) -> None:
    assert outcome(body) == (0, 0, 1)


def test_huge_numbers_where_nobody_looks_do_no_harm() -> None:
    body = json.dumps(CONNECTED).encode()[:-1] + b', "x": ' + b"9" * 100_000 + b', "y": 1e99999}'
    assert outcome(body) == (1, 0, 0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        name: VALUES | good
        for name, good in {
            "event": st.sampled_from(["client.connected", "message.publish", "other"]),
            "clientid": st.text(min_size=1),
            "timestamp": st.integers(0, 10**13),
            "connected_at": st.integers(0, 10**13),
            "qos": st.integers(0, 2),
            "payload": st.text(),
            "username": st.text(),
        }.items()
    },
)


@given(st.lists(EVENTS | VALUES))
def test_each_item_of_an_array_is_counted_once(items: list[Any]) -> None:
    try:
        body = json.dumps(items, allow_nan=False).encode()
    except ValueError:
        return
    assert sum(outcome(body)) == len(items)


@given(st.binary())
def test_any_bytes_are_decoded_without_an_error(body: bytes) -> None:
    assert len(decode(body).events) == 0
