"""Events between polls: what they say at once, and what polls correct."""

from datetime import UTC, datetime
from typing import Any

import pytest

from otel_emqx_monitor.emqx.rows import Poll, Row, newest_by_id
from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import REASONS, Client, Correction, Counted, Fleet, State, Watched
from otel_emqx_monitor.hearing import Ear
from otel_emqx_monitor.merging import SETTLE_SECONDS, Merger
from otel_emqx_monitor.tracker import Habits, Tracker
from tests.fleets import tracker

T0 = 1_795_366_800.0  # 2026-11-22 17:00 UTC
FIELDS = ("recv_msg", "recv_msg.qos1", "send_msg.dropped", "send_msg.dropped.queue_full")
A = Watched("A", "a", "broker")


class Stage:
    """A tracker and a merger on a clock of their own; times are seconds after the begin."""

    def __init__(self) -> None:
        self.now = 0.0
        habits = Habits(Counted(FIELDS, ()), hears=True)
        self.tracker: Tracker = tracker(A, habits=habits)
        self.merger = Merger(self.tracker, Ear(FIELDS), clock=lambda: T0 + self.now)

    def poll(self, *rows: Row, took: float = 0.0) -> Fleet:
        return self.tracker.apply(Poll(newest_by_id(rows), T0 + self.now, took))

    def hear(self, *events: Event) -> Client:
        self.merger.hear(events)
        return self.client

    def settle(self) -> Client:
        self.now += SETTLE_SECONDS
        return self.hear()

    @property
    def client(self) -> Client:
        fleet = self.tracker.heard(T0 + self.now)
        assert fleet is not None
        [client] = fleet.clients
        return client


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.poll()
    return stage


def row(began: float, connected: bool = True, **more: Any) -> Row:
    return Row(
        clientid="a",
        connected=connected,
        connected_at=datetime.fromtimestamp(T0 + began, UTC),
        **more,
    )


def ms(seconds: float) -> int:
    return round((T0 + seconds) * 1000)


def begin(began: float, client_id: str = "a") -> Event:
    return Event(kind=Kind.CONNECTED, client_id=client_id, at_ms=ms(began), connected_ms=ms(began))


def end(began: float | None, ended: float, reason: str = "normal") -> Event:
    return Event(
        kind=Kind.DISCONNECTED,
        client_id="a",
        at_ms=ms(ended),
        connected_ms=None if began is None else ms(began),
        disconnected_ms=ms(ended),
        reason=reason,
    )


def message(at: float, number: int, kind: Kind = Kind.PUBLISH, reason: str | None = None) -> Event:
    return Event(
        kind=kind, client_id="a", at_ms=ms(at), qos=1, message_id=f"id-{number}", reason=reason
    )


def totals(client: Client) -> tuple[int | None, ...]:
    assert client.memory.connection is not None
    return client.memory.connection.totals


def epochs(client: Client) -> int:
    return client.memory.connection.epochs if client.memory.connection else 0


def left(client: Client) -> dict[str, int]:
    counts = zip(REASONS, client.memory.disconnections, strict=False)
    return {reason: count for reason, count in counts if count}


def test_an_event_tells_presence_at_once(stage: Stage) -> None:
    assert stage.hear(begin(1)).state is State.CONNECTED
    assert stage.client.memory.last_seen == T0  # no later than the agent's clock
    stage.now = 5
    assert stage.hear(end(1, 4)).state is State.DISCONNECTED
    assert (epochs(stage.client), left(stage.client)) == (1, {"normal": 1})
    assert stage.client.memory.last_seen == T0 + 4
    assert stage.client.row is None


@pytest.mark.parametrize("reason", ["takenover", "discarded"])
def test_the_late_end_of_an_old_connection_says_nothing_of_the_new_one(
    stage: Stage, reason: str
) -> None:
    stage.now = 10
    stage.hear(begin(1), begin(5))
    assert stage.hear(end(1, 5, reason)).state is State.CONNECTED
    assert (epochs(stage.client), left(stage.client)) == (2, {reason: 1})


def test_an_end_that_comes_before_its_begin_ends_it(stage: Stage) -> None:
    stage.now = 10
    stage.hear(end(1, 2), begin(1))
    assert stage.client.state is State.DISCONNECTED
    assert (epochs(stage.client), left(stage.client)) == (1, {"normal": 1})


def test_what_comes_twice_counts_once(stage: Stage) -> None:
    stage.now = 10
    stage.hear(begin(1), begin(1), message(2, 1), message(2, 1), end(1, 3), end(1, 3))
    stage.settle()
    assert (epochs(stage.client), left(stage.client)) == (1, {"normal": 1})
    assert totals(stage.client) == (1, 1, None, None)


def test_an_end_without_a_begin_ends_the_present_connection_if_that_began_before(
    stage: Stage,
) -> None:
    stage.now = 10
    stage.hear(begin(5))
    assert stage.hear(end(None, 4)).state is State.CONNECTED
    assert stage.hear(end(None, 6, "strange")).state is State.DISCONNECTED
    assert left(stage.client) == {"other": 1}


def test_messages_that_overtake_their_connection_count_for_it(stage: Stage) -> None:
    stage.now = 10
    stage.hear(begin(1), message(6, 1), end(1, 2), begin(5))
    client = stage.settle()
    assert client.memory.connection is not None
    assert client.memory.connection.spell.counts == (1, 1, None, None)
    assert totals(client) == (1, 1, None, None)


def test_the_higher_of_polled_and_heard_counts_for_each_connection(stage: Stage) -> None:
    stage.now = 10
    stage.hear(begin(1), *(message(2, number) for number in range(3)))
    stage.settle()
    assert totals(stage.client)[0] == 3
    stage.poll(row(1, recv_msg=5))
    assert totals(stage.client)[0] == 5
    stage.hear(begin(12), message(12.5, 9))
    stage.settle()
    assert totals(stage.client)[0] == 6


def test_messages_of_nobody_known_are_given_up(stage: Stage) -> None:
    stage.hear(message(0, 1))
    stage.now = 60
    assert stage.hear().memory.connection is None


def test_what_a_kept_session_drops_counts_for_its_last_connection(stage: Stage) -> None:
    stage.now = 10
    stage.hear(begin(1), end(1, 2), message(5, 1, Kind.DELIVERY_DROPPED, "queue_full"))
    assert totals(stage.settle()) == (None, None, 1, 1)
    assert stage.client.memory.last_seen == T0 + 2


def test_a_poll_ends_what_no_event_ended_and_counts_that(stage: Stage) -> None:
    stage.hear(begin(1))
    stage.now = 30
    fleet = stage.poll()
    assert stage.client.state is State.ABSENT
    assert fleet.corrections == {Correction.OPENED: 0, Correction.CLOSED: 1}
    assert fleet.corrected_at == T0 + 30


def test_a_poll_finds_what_no_event_began_and_counts_that(stage: Stage) -> None:
    stage.now = 30
    fleet = stage.poll(row(5))
    assert stage.client.state is State.CONNECTED
    assert fleet.corrections == {Correction.OPENED: 1, Correction.CLOSED: 0}


def test_a_poll_that_is_only_faster_than_the_event_repairs_nothing(stage: Stage) -> None:
    stage.now = 30
    assert stage.poll(row(29)).corrections == {Correction.OPENED: 0, Correction.CLOSED: 0}
    stage.hear(begin(29))
    assert epochs(stage.client) == 1


def test_what_is_told_while_a_poll_is_under_way_holds_until_the_next_one(stage: Stage) -> None:
    stage.now = 8
    stage.hear(begin(8))
    stage.now = 10
    stage.poll(took=5)
    assert stage.client.state is State.CONNECTED
    stage.now = 20
    stage.poll()
    assert stage.client.state.value == "absent"


def test_an_old_row_does_not_bring_back_what_an_event_has_just_ended(stage: Stage) -> None:
    stage.now = 8
    stage.hear(begin(1), end(1, 8))
    stage.now = 10
    stage.poll(row(1), took=5)
    assert stage.client.state is State.DISCONNECTED


def test_clients_that_are_not_watched_leave_no_trace(stage: Stage) -> None:
    stage.hear(begin(1, client_id="stranger"))
    fleet = stage.tracker.heard(T0)
    assert fleet is not None
    assert [client.client_id for client in fleet.clients] == ["a"]


def test_before_the_first_poll_nothing_is_shown() -> None:
    stage = Stage()
    stage.merger.hear([begin(1)])
    assert stage.tracker.heard(T0) is None


def test_thousands_of_short_sessions_are_counted_exactly(stage: Stage) -> None:
    number = 0
    for session in range(3_000):
        began = session * 0.1
        stage.now = began + 0.2
        sent = [message(began + 0.01 * one, number + one) for one in range(3)]
        number += 3
        stage.hear(begin(began), *sent, end(began, began + 0.05))
    stage.settle()
    assert epochs(stage.client) == 3_000
    assert left(stage.client) == {"normal": 3_000}
    assert totals(stage.client)[0] == 9_000
