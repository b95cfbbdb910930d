"""What each event of a client adds to what is remembered of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from otel_emqx_monitor.epochs import Tally, confirmed
from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import Memory
from otel_emqx_monitor.hearing import Ear
from tests.heard import START, down, down_somehow, dropped, event, left, sent, tally, up

FIELDS = (
    *("recv_msg", "recv_msg.qos0", "recv_msg.qos1", "recv_oct"),
    *("send_msg", "send_msg.qos2", "recv_msg.dropped", "recv_msg.dropped.await_pubrel_timeout"),
    *("send_msg.dropped", "send_msg.dropped.expired", "send_msg.dropped.queue_full"),
)
NOW = START + 1000
NEW = Memory(START)


def hear(*events: Event, memory: Memory = NEW) -> Memory:
    """Return the memory of who was told of by ``events``; messages that find no place are lost."""
    ear = Ear(FIELDS)
    for one in events:
        if one.kind in (Kind.CONNECTED, Kind.DISCONNECTED):
            memory = ear.presence(memory, one, NOW)
        else:
            memory = ear.message(memory, one, NOW) or memory
    return memory


def counted(memory: Memory) -> dict[str, int]:
    """Return what counts, without what is pending."""
    counts = zip(FIELDS, tally(memory).totals, strict=True)
    return {field: count for field, count in counts if count is not None}


def spells(known: Tally) -> Sequence[tuple[float, bool, float | None]]:
    """Return begin, openness and end of all epochs, in seconds after the start."""
    return [
        (
            one.began.timestamp() - START if one.began else -1,
            one.open,
            None if one.ended is None else one.ended.timestamp() - START,
        )
        for one in (known.spell, *known.earlier)
    ]


#: What was told, in this order; whether it is connected then; how many connections; who left why.
PRESENCE: dict[str, tuple[list[Event], bool, int, dict[str, int]]] = {
    "a begin": ([up(1)], True, 1, {}),
    "a begin twice": ([up(1), up(1)], True, 1, {}),
    "begin and end": ([up(1), down(1, 2)], False, 1, {"normal": 1}),
    "an end twice": ([up(1), down(1, 2), down(1, 2)], False, 1, {"normal": 1}),
    "an end before its begin": ([down(1, 2), up(1)], False, 1, {"normal": 1}),
    "an end whose begin is lost": ([down(1, 2)], False, 1, {"normal": 1}),
    "a begin after the end of another": ([up(1), down(1, 2), up(3)], True, 2, {"normal": 1}),
    "takeover in order": ([up(1), down(1, 2, "takenover"), up(2)], True, 2, {"takenover": 1}),
    "takeover, the old end late": (
        [up(1), up(2), down(1, 2.1, "takenover")],
        True,
        2,
        {"takenover": 1},
    ),
    "discarded, the old end late": (
        [up(1), up(2), down(1, 2.1, "discarded")],
        True,
        2,
        {"discarded": 1},
    ),
    "the old end late, its begin lost": (
        [up(2), down(1, 2, "takenover")],
        True,
        2,
        {"takenover": 1},
    ),
    "the old begin late, after the new one's": ([up(2), up(1), down(1, 2)], True, 2, {"normal": 1}),
    "all backwards": (
        [down(3, 4), up(3), down(1, 2, "kicked"), up(1)],
        False,
        2,
        {"normal": 1, "kicked": 1},
    ),
    "an end that says no begin": ([up(1), down_somehow(2)], False, 1, {"normal": 1}),
    "the same of a connection before": ([up(3), down_somehow(2)], True, 1, {}),
    "unknown reasons": ([down(1, 2, "einval"), down(3, 4, "no such")], False, 2, {"other": 2}),
    "no reason": ([up(1), event(Kind.DISCONNECTED, 2)], False, 1, {"other": 1}),
}


@pytest.mark.parametrize("case", PRESENCE)
def test_an_event_opens_and_closes_its_own_connection_only(case: str) -> None:
    events, is_open, connections, reasons = PRESENCE[case]
    memory = hear(*events)
    known = tally(memory)
    assert (known.is_open, known.epochs, left(memory)) == (is_open, connections, reasons)


def test_an_end_without_any_begin_is_nothing_when_nobody_is_known() -> None:
    assert hear(down_somehow(2)) == Memory(START)


def test_what_changes_nothing_returns_the_same_memory() -> None:
    memory = hear(up(1), down(1, 2))
    for one in (up(1), down(1, 2), down(1, 3, "kicked")):
        assert hear(one, memory=memory) is memory


def test_what_is_forgotten_is_not_counted_again() -> None:
    lives: list[Event] = []
    for number in range(10):
        lives += [up(100 * number), sent(100 * number + 1), down(100 * number, 100 * number + 2)]
    memory = hear(*lives)
    known = tally(memory)
    assert (known.epochs, len(known.earlier), known.horizon is not None) == (10, 3, True)
    assert hear(up(0), down(0, 2), memory=memory) is memory
    assert hear(sent(1, message_id="late"), memory=memory) is memory
    assert counted(memory)["recv_msg"] == 10


def test_a_message_of_a_forgotten_connection_does_not_count_for_the_one_before() -> None:
    # Of those in the first second the latest was forgotten; one before it has no end.
    memory = hear(up(0), *[up(1 + number / 100) for number in range(70)])
    known = tally(memory)
    kept = [began for began, _, _ in spells(known)]
    assert known.horizon is not None
    assert min(kept) > known.horizon.timestamp() - START
    assert hear(sent(0.5), memory=memory) is memory


MESSAGES: dict[str, tuple[list[Event], dict[str, int]]] = {
    "within": ([up(1), down(1, 9), sent(2)], {"recv_msg": 1, "recv_msg.qos1": 1}),
    "in the millisecond of the begin": (
        [up(1), down(1, 9), sent(1, 0)],
        {"recv_msg": 1, "recv_msg.qos0": 1},
    ),
    "in the millisecond of the end": (
        [up(1), down(1, 9), sent(9)],
        {"recv_msg": 1, "recv_msg.qos1": 1},
    ),
    "before its begin is told": ([sent(2), up(1), down(1, 9)], {}),
    "after the end": ([up(1), down(1, 9), sent(10)], {}),
    "between two": ([up(1), down(1, 2), up(4), down(4, 5), sent(3)], {}),
    "of the first, told after the second": (
        [up(1), down(1, 2), up(4), down(4, 5), sent(1.5)],
        {"recv_msg": 1, "recv_msg.qos1": 1},
    ),
    "of one whose end is lost, and another is known": (
        [up(1), up(4), sent(2)],
        {"recv_msg": 1, "recv_msg.qos1": 1},
    ),
    "delivered": (
        [up(1), down(1, 9), event(Kind.DELIVERED, 2, qos=2, received_ms=0)],
        {"send_msg": 1, "send_msg.qos2": 1},
    ),
    "of a QoS that is not counted": (
        [up(1), down(1, 9), event(Kind.DELIVERED, 2, qos=0)],
        {"send_msg": 1},
    ),
    "dropped after the end, by a session that was kept": (
        [up(1), down(1, 2), dropped(5), up(7)],
        {"send_msg.dropped": 1, "send_msg.dropped.queue_full": 1},
    ),
    "dropped of QoS 0, which has no reason in rows": (
        [up(1), down(1, 9), dropped(5, "qos0_msg")],
        {"send_msg.dropped": 1},
    ),
    "dropped for a reason that rows do not count": (
        [up(1), down(1, 9), dropped(5, "no_local")],
        {},
    ),
    "no PUBREL came": (
        [up(1), down(1, 9), event(Kind.MESSAGE_DROPPED, 5, reason="await_pubrel_timeout")],
        {"recv_msg.dropped": 1, "recv_msg.dropped.await_pubrel_timeout": 1},
    ),
    "nobody subscribes": (
        [up(1), down(1, 9), event(Kind.MESSAGE_DROPPED, 5, reason="no_subscribers")],
        {},
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_counts_for_the_connection_in_which_it_passed(case: str) -> None:
    events, counts = MESSAGES[case]
    assert counted(hear(*events)) == counts


def test_payloads_are_no_octets_on_the_wire() -> None:
    big = event(Kind.PUBLISH, 2, qos=1, payload_bytes=1000)
    assert "recv_oct" not in counted(hear(up(1), down(1, 9), big))


PENDING: dict[str, tuple[list[Event], int]] = {
    "it is pending while the connection lasts": ([up(1), sent(2)], 0),
    "the end after it makes it sure": ([up(1), sent(2), down(1, 3)], 1),
    "the end before it does not": ([up(1), sent(2), sent(4), down(1, 3)], 0),
    "a begin after it makes it sure": ([up(1), sent(2), up(3)], 1),
    "a begin before it takes it along": ([up(1), sent(3), sent(4), up(2), down(2, 5)], 2),
    "a begin amid makes all of it doubtful": ([up(1), sent(2), sent(4), up(3), down(3, 5)], 0),
    "the end of another takes it along": ([up(1), sent(3), down(2, 4)], 1),
}


@pytest.mark.parametrize("case", PENDING)
def test_a_message_of_the_present_connection_counts_when_it_is_sure_whose_it_is(case: str) -> None:
    events, count = PENDING[case]
    assert counted(hear(*events)).get("recv_msg", 0) == count


@pytest.mark.parametrize(
    "since, until, count",
    [(NOW + 1, NOW + 2, 1), (NOW - 1, NOW + 1, 0), (NOW - 9000, NOW - 8000, 1)],
    ids=["it came before the poll", "it came while the poll ran", "the clock was set back"],
)
def test_a_poll_makes_sure_what_came_before_it(since: float, until: float, count: int) -> None:
    known = confirmed(tally(hear(up(1), sent(2))), since, until)
    assert known.totals[0] == (count or None)


def test_counted_and_polled_are_the_higher_of_both_and_not_the_sum() -> None:
    polled: Any = Tally(tally(hear(up(1))).spell, 0)
    for row, count in [(3, 3), (1, 2), (2, 2)]:
        spell = type(polled.spell)(polled.spell.began, (row, *[None] * (len(FIELDS) - 1)))
        memory = Memory(START, connection=Tally(spell, 0))
        memory = hear(sent(2), sent(3), down(1, 4), memory=memory)
        assert counted(memory)["recv_msg"] == count


def test_last_seen_follows_what_is_told_but_not_into_the_future_nor_back() -> None:
    seen = [
        hear(*events).last_seen
        for events in (
            [up(5)],
            [up(5), sent(7)],
            [up(5), down(5, 9), sent(7)],
            [up(5), down(5, 9), dropped(99)],
            [up(5000)],
            [down(1, 2), up(0.5)],
        )
    ]
    assert seen == [START + 5, START + 7, START + 9, START + 9, NOW, START + 2]


def test_without_fields_messages_only_tell_when_somebody_was_seen() -> None:
    ear = Ear(())
    memory = ear.message(ear.presence(Memory(START), up(1), NOW), sent(2), NOW)
    assert memory is not None
    assert (tally(memory).totals, memory.last_seen) == ((), START + 2)
