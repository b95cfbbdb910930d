"""Scripted lives: what the table shows of them, what they tell, and the truth."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_emqx_monitor.simulator import (
    Broker,
    Login,
    Script,
    ScriptError,
    SysTopics,
    Truth,
    Webhook,
)
from tests.simulator.asking import body, ids
from tests.simulator.clusters import Clock
from tests.simulator.recordings import rows
from tests.simulator.scripts import START, busy_minute, configure, receiver

RECORDINGS = Path(__file__).parent.parent / "recordings"
MS = 0.001
KEPT = Login(client_id="dev", clean_start=False, expiry_interval=60)
TIMES = ("timestamp", "ts", "connected_at", "disconnected_at", "publish_received_at")


@pytest.fixture
def script() -> Script:
    return Script()


def row(script: Script, at: float, client_id: str = "dev") -> dict[str, Any] | None:
    table = script.table(at)
    keys = table.find([client_id])
    return dict(table.row(keys[0], None)) if keys else None


def seen(script: Script, at: float, *fields: str) -> list[Any]:
    there = row(script, at)
    assert there is not None
    return [there.get(field) for field in fields]


def recorded_minute(script: Script) -> None:
    """Write what the clients did whose events were recorded."""
    at = 1_795_371_000.0
    script.connect(at + 87.152, Login(client_id="ev-sub", username="sue"))
    script.connect(at + 87.456, "ev-pub")
    for qos, published, acked in ((0, 87.458, None), (1, 87.499, 87.502), (2, 87.503, 87.506)):
        message = script.publish(at + published, "ev-pub", "up/a", qos=qos, payload="12345")
        script.deliver(at + published, "ev-sub", message)
        if acked:
            script.ack(at + acked, "ev-sub", message)
    lost = script.publish(at + 87.506, "ev-pub", "nobody/home")
    script.drop_message(at + 87.506, lost)
    script.disconnect(at + 88.008, "ev-pub")
    kept = Login(client_id="ev-taken", clean_start=False, expiry_interval=60)
    script.connect(at + 88.015, kept)
    script.connect(at + 88.222, kept)
    script.connect(at + 89.225, "ev-taken")
    script.disconnect(at + 90.227, "ev-taken")
    script.connect(at + 90.230, "ev-kicked")
    script.disconnect(at + 90.233, "ev-kicked", "kicked")
    script.connect(at + 91.238, "ev-cut")
    script.disconnect(at + 92.241, "ev-cut", "tcp_closed")
    script.connect(at + 93.042, Login(client_id="ev-over", clean_start=False, expiry_interval=60))
    script.disconnect(at + 93.344, "ev-over")
    script.connect(at + 93.345, "ev-pub2")
    late = script.publish(at + 93.356, "ev-pub2", "up/over", qos=1, payload="z")
    script.drop_delivery(at + 94.543, "ev-over", late)
    script.disconnect(at + 96.362, "ev-sub")
    script.disconnect(at + 96.362, "ev-pub2")


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two events have the same fields and values; ports and ids are the broker's own."""
    if one.keys() != other.keys():
        return False
    for name, value in one.items():
        there = other[name]
        if name in TIMES:
            same = abs(value - there) <= 3
        elif name in ("peername", "id"):
            same = len(str(value).split(":")) == len(str(there).split(":"))
        else:
            same = value == there and type(value) is type(there)
        if not same:
            return False
    return True


def test_posts_are_those_recorded_field_by_field(script: Script) -> None:
    recorded_minute(script)
    broker = Broker(source=script)
    with receiver() as agent, Webhook(script, broker.integration) as webhook:
        configure(broker, agent.url)
        webhook.run_to(script.end)
    left = list(agent.events)
    recorded = json.loads((RECORDINGS / "events_webhook.json").read_text())
    for one in recorded:
        [*found] = [event for event in left if alike(event, one["json"])]
        assert found, one["json"]
        left.remove(found[0])
    path, headers = agent.posts[0]
    assert path == recorded[0]["path"]
    same = ("authorization", "content-type")
    assert [headers[name] for name in same] == [recorded[0]["headers"][name] for name in same]
    assert headers.keys() - {"accept-encoding"} == recorded[0]["headers"].keys()


def test_messages_under_sys_are_those_recorded_field_by_field(script: Script) -> None:
    recorded_minute(script)
    published: list[tuple[str, dict[str, Any]]] = []
    topics = SysTopics(script, lambda topic, text: published.append((topic, json.loads(text))))
    count = topics.run_to(script.end)
    recorded = json.loads((RECORDINGS / "events_sys_topics.json").read_text())
    assert count == len(published)
    for one in recorded:
        found = [m for m in published if m[0] == one["topic"] and alike(m[1], one["json"])]
        assert found, one
        published.remove(found[0])
    assert published == []


def test_row_has_the_fields_and_types_of_a_recorded_one(script: Script) -> None:
    script.connect(START, "dev")
    script.publish(START + 1, "dev", "up/a")
    ours = row(script, START + 20)
    assert ours is not None
    recorded = rows("17_single_connected")[0]
    assert ours.keys() == recorded.keys() - {"node"}
    kinds = {name: type(value) for name, value in ours.items() if value is not None}
    assert kinds == {name: type(recorded[name]) for name in kinds if recorded[name] is not None} | {
        name: kinds[name] for name in kinds if recorded[name] is None
    }


def test_counters_show_at_a_refresh_and_not_before(script: Script) -> None:
    script.connect(START, "dev")
    script.publish(START + 1, "dev", "up/a", qos=1)
    script.publish(START + 16, "dev", "up/a", qos=2)
    fields = ("recv_msg", "recv_msg.qos1", "recv_msg.qos2", "recv_pkt")
    assert seen(script, START, *fields) == [0, 0, 0, 1]
    assert seen(script, START + 15 - MS, *fields) == [0, 0, 0, 1]
    assert seen(script, START + 15, *fields) == [1, 1, 0, 2]
    assert seen(script, START + 30 - MS, *fields) == [1, 1, 0, 2]
    assert seen(script, START + 30, *fields) == [2, 1, 1, 4]
    assert seen(script, START + 300, *fields) == [2, 1, 1, 4]


def test_refresh_can_be_set_as_in_the_broker() -> None:
    script = Script(refresh_seconds=1)
    script.connect(START, "dev")
    script.publish(START + 0.5, "dev", "up/a")
    assert seen(script, START + 1 - MS, "recv_msg") == [0]
    assert seen(script, START + 1, "recv_msg") == [1]


def test_session_that_ends_takes_its_row_and_last_counters_along(script: Script) -> None:
    script.connect(START, "dev")
    script.publish(START + 20, "dev", "up/a")
    script.disconnect(START + 21, "dev")
    assert seen(script, START + 21 - MS, "recv_msg") == [0]
    assert row(script, START + 21) is None
    assert script.truth()["dev"].received == {0: 1}


def test_kept_session_stays_until_it_expires(script: Script) -> None:
    script.connect(START, KEPT)
    script.publish(START + 1, "dev", "up/a")
    script.disconnect(START + 2, "dev")
    fields = ("connected", "recv_msg", "recv_oct", "disconnected_at")
    away = [False, 0, 15, "2026-09-21T14:13:22.000+00:00"]
    assert seen(script, START + 2, *fields) == away
    assert seen(script, START + 19 - MS, *fields) == away
    assert seen(script, START + 19, *fields) == [False, 1, None, away[3]]
    assert row(script, START + 62 - MS) is not None
    assert row(script, START + 62) is None


def test_session_goes_on_over_a_reconnect_and_its_counters_begin_again(script: Script) -> None:
    script.connect(START, KEPT)
    message = script.publish(START + 1, "dev", "up/a")
    script.disconnect(START + 2, "dev")
    script.drop_delivery(START + 3, "dev", message)
    script.connect(START + 20, KEPT)
    fields = ("created_at", "connected_at", "recv_msg", "mqueue_dropped", "send_msg.dropped")
    began = "2026-09-21T14:13:20.000+00:00"
    assert seen(script, START + 3, *fields) == [began, began, 0, 1, 1]
    assert seen(script, START + 20, *fields) == [began, "2026-09-21T14:13:40.000+00:00", 0, 1, 0]


@pytest.mark.parametrize("clean_start, reason", [(True, "discarded"), (False, "takenover")])
def test_second_connection_ends_the_first_one(
    script: Script, *, clean_start: bool, reason: str
) -> None:
    script.connect(START, KEPT)
    follower = script.follow()
    second = Login(client_id="dev", clean_start=clean_start, expiry_interval=60)
    script.connect(START + 5, second)
    told = [(one.columns["event"], one.columns.get("reason")) for one in follower.take(START + 9)]
    assert told == [
        ("client.connected", None),
        ("client.disconnected", reason),
        ("client.connected", None),
    ]
    assert len(script.table(START + 9).keys()) == 1
    truth = script.truth()["dev"]
    assert (truth.connections, truth.disconnections) == (2, {reason: 1})


def test_kick_ends_a_session_that_would_be_kept(script: Script) -> None:
    script.connect(START, KEPT)
    script.disconnect(START + 1, "dev", "kicked")
    assert row(script, START + 1) is None


def test_connection_that_dies_hard_tells_nobody(script: Script) -> None:
    follower = script.follow()
    script.connect(START, KEPT)
    script.disconnect(START + 1, "dev", "killed", told=False)
    assert len(follower.take(START + 2)) == 1
    assert row(script, START + 2) is None
    truth = script.truth()["dev"]
    assert (truth.disconnections, truth.untold) == ({"killed": 1}, 1)


def test_truth_counts_both_ways_by_qos_and_drops_by_reason(script: Script) -> None:
    busy_minute(script, clients=12)
    script.advance(script.end)
    total = script.total()
    assert total == Truth(
        connections=13,
        disconnections=Counter(normal=4, tcp_closed=3, keepalive_timeout=3, kicked=3),
        received=Counter({0: 4 + 12, 1: 4, 2: 4}),
        sent=Counter({0: 4, 1: 4, 2: 4}),
        acked=8,
        messages_dropped=Counter(no_subscribers=12),
        deliveries_dropped=Counter(queue_full=2),
    )
    assert script.truth()["sub"].sent.total() == 12
    final = row(script, script.end + 20, "sub")
    assert final is not None
    names = ("send_msg.qos0", "send_msg.qos1", "send_msg.qos2", "send_msg.dropped.queue_full")
    assert [final[name] for name in names] == [4, 4, 4, 2]


def test_events_tell_the_whole_truth(script: Script) -> None:
    follower = script.follow()
    busy_minute(script)
    told = follower.take(script.end)
    by_event = Counter(one.columns["event"] for one in told)
    total = script.total()
    assert by_event == {
        "client.connected": total.connections,
        "client.disconnected": total.disconnections.total(),
        "message.publish": total.received.total(),
        "message.delivered": total.sent.total(),
        "message.acked": total.acked,
        "message.dropped": total.messages_dropped.total(),
        "delivery.dropped": total.deliveries_dropped.total(),
    }
    reasons = Counter(
        one.columns["reason"] for one in told if one.columns["event"] == "client.disconnected"
    )
    assert reasons == total.disconnections
    assert [one.at_ms for one in told] == sorted(one.at_ms for one in told)


def test_broker_shows_the_script_by_its_clock(script: Script) -> None:
    clock = Clock(START)
    broker = Broker(source=script, clock=clock)
    script.connect(START + 1, "b")
    script.connect(START + 1, "ä")
    script.connect(START + 2, "a")
    assert ids(broker) == []
    clock.now = START + 2
    assert ids(broker) == ["ä", "b", "a"]
    assert body(broker, "/api/v5/clients/a")["node"] == "emqx@127.0.0.1"


def test_thousands_of_short_sessions_leave_nothing_in_the_table(script: Script) -> None:
    for number in range(3000):
        script.short_session(START + number * 0.002, f"c{number % 700}")
    assert len(script.table(START + 1).keys()) == 25
    script.advance(script.end)
    assert len(script.table(script.end).keys()) == 0
    assert script.total().received == {1: 9000}
    assert script.total().connections == 3000


@pytest.mark.parametrize(
    "write, words",
    [
        (lambda script: script.publish(START, "dev", "up/a"), "dev has no session"),
        (lambda script: script.disconnect(START, "dev"), "dev has no session"),
        (
            lambda script: [script.connect(START, "dev"), script.connect(START, "dev")],
            "dev connects twice in the same millisecond",
        ),
        (
            lambda script: [
                script.connect(START, KEPT),
                script.disconnect(START + 0.1, "dev"),
                script.publish(START + 0.2, "dev", "up/a"),
            ],
            "dev is not connected",
        ),
        (
            lambda script: [
                script.connect(START, "dev"),
                script.ack(START, "dev", script.publish(START, "dev", "up/a")),
            ],
            "acknowledges a message of QoS 0",
        ),
    ],
)
def test_what_a_client_cannot_do_is_an_error(script: Script, write: Any, words: str) -> None:
    write(script)
    with pytest.raises(ScriptError, match=words):
        script.advance(START + 1)


def test_steps_of_the_past_are_an_error(script: Script) -> None:
    script.advance(START + 1)
    script.connect(START, "dev")
    with pytest.raises(ScriptError, match="was written when"):
        script.advance(START + 2)
