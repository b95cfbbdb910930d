"""What a sequence of polls says of each client, and what is remembered from one to the next."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otel_emqx_monitor.emqx.rows import NodeState, Poll, Row, newest_by_id
from otel_emqx_monitor.fleet import Client, Counted, Epoch, Fleet, State, Watched
from otel_emqx_monitor.selection import everybody
from otel_emqx_monitor.statefile import Remembered, Restored
from otel_emqx_monitor.tracker import Habits, Tracker
from tests.fleets import tracker

T0 = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC)
START = T0.timestamp()
ONE, TWO = "emqx@127.0.0.1", "emqx2@127.0.0.1"
SUMS = Habits(Counted(("recv_msg",), ("mqueue_dropped",)), info=True)
A, B = Watched("A", "a", "broker"), Watched("B", "b", "broker")


def row(client_id: str, minute: float = 0, *, connected: bool | None = True, **more: Any) -> Row:
    """Return the row of a client that connected that many minutes after the begin."""
    began = T0 + timedelta(minutes=minute)
    return Row(clientid=client_id, connected=connected, connected_at=began, **{"node": ONE} | more)


def poll(minute: float, *rows: Row, **more: Any) -> Poll:
    return Poll(newest_by_id(rows), START + 60 * minute, 0.1, **more)


def states(fleet: Fleet) -> dict[str, str]:
    return {client.client_id: client.state.value for client in fleet.clients}


def only(fleet: Fleet) -> Client:
    [client] = fleet.clients
    return client


def test_each_client_has_the_state_its_row_tells_in_the_order_of_the_configuration() -> None:
    watched = [Watched("C", "gone"), Watched("A", "here"), Watched("B", "kept")]
    rows = [row("here"), row("kept", connected=False), row("stranger")]
    assert states(tracker(*watched).apply(poll(0, *rows))) == {
        "gone": "absent",
        "here": "connected",
        "kept": "disconnected",
    }


def test_a_row_that_does_not_say_whether_it_is_connected_is_unknown_and_not_a_guess() -> None:
    following = tracker(A)
    following.apply(poll(0, row("a")))
    client = only(following.apply(poll(1, Row(clientid="a"))))
    assert (client.state, client.row) == (State.UNKNOWN, None)
    assert client.memory.last_seen == START


def test_before_the_first_poll_nothing_is_known_of_anybody() -> None:
    initial = tracker(A, B).initial
    assert states(initial) == {"a": "unknown", "b": "unknown"}
    assert initial.polled_at is None


def test_last_seen_is_the_poll_of_a_connected_client_and_the_end_of_one_that_left() -> None:
    following = tracker(A)
    seen = [only(following.apply(poll(0))).memory.last_seen]
    seen.append(only(following.apply(poll(1, row("a", 0.5)))).memory.last_seen)
    left = row("a", 0.5, connected=False, disconnected_at=T0 + timedelta(minutes=1.4))
    seen.append(only(following.apply(poll(2, left))).memory.last_seen)
    seen.append(only(following.apply(poll(3))).memory.last_seen)
    assert seen == [None, START + 60, START + 84, START + 84]


def test_a_session_that_came_and_went_between_two_polls_was_seen_when_it_left() -> None:
    following = tracker(A)
    following.apply(poll(0))
    left = row("a", 0.5, connected=False, disconnected_at=T0 + timedelta(minutes=0.6))
    assert only(following.apply(poll(1, left))).memory.last_seen == START + 36


def test_a_broker_whose_clock_is_ahead_makes_nobody_seen_in_the_future() -> None:
    left = row("a", connected=False, disconnected_at=T0 + timedelta(hours=5))
    assert only(tracker(A).apply(poll(1, left))).memory.last_seen == START + 60


def test_overdue_is_who_was_not_seen_for_longer_than_expected() -> None:
    rarely = Watched("A", "a", "broker", expected_every=150)
    following = tracker(rarely)
    overdue = []
    for minute, rows in [(0, [row("a")]), (2, []), (3, []), (4, [row("a", 4)])]:
        fleet = following.apply(poll(minute, *rows))
        overdue.append(only(fleet).overdue(fleet.polled_at or 0))
    assert overdue == [False, False, True, False]


def test_who_was_never_seen_is_overdue_as_long_after_the_agent_began_to_watch() -> None:
    following = tracker(Watched("A", "a", "broker", expected_every=1e9))
    assert only(following.apply(poll(0))).overdue(900 + 1e9) is False
    assert only(following.apply(poll(1))).overdue(900.5 + 1e9) is True


def test_who_is_unknown_is_not_called_overdue_nor_the_contrary() -> None:
    following = tracker(Watched("A", "a", "broker", expected_every=1))
    assert only(following.initial).overdue(START) is None
    assert only(tracker(A).apply(poll(0))).overdue(START) is None


def test_counters_are_summed_up_over_connections_and_sessions() -> None:
    following = tracker(A, habits=SUMS)
    sums = []
    for minute, told in enumerate(
        [
            row("a", 0, recv_msg=50, mqueue_dropped=2, created_at=T0),
            row("a", 1, recv_msg=3, mqueue_dropped=5, created_at=T0),
            row("a", 2, recv_msg=80, mqueue_dropped=1, created_at=T0 + timedelta(minutes=2)),
        ]
    ):
        memory = only(following.apply(poll(minute, told))).memory
        assert memory.connection is not None
        assert memory.session is not None
        sums.append((memory.connection.totals, memory.connection.epochs, memory.session.totals))
    assert sums == [((50,), 1, (2,)), ((53,), 2, (5,)), ((133,), 3, (6,))]


def test_another_user_on_the_same_client_id_is_logged_once_and_begins_an_epoch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    following = tracker(A, habits=SUMS)
    for minute, user in enumerate(["sue", "sue", "bob\n", "sue", "bob\n"]):
        fleet = following.apply(poll(minute, row("a", 0, username=user, recv_msg=10)))
    memory = only(fleet).memory
    assert memory.connection is not None
    assert (memory.connection.totals, memory.connection.epochs) == ((40,), 4)
    [message] = caplog.messages
    assert message.startswith("another user than before connects with the client id a;")


def test_a_row_without_a_username_is_no_other_user(caplog: pytest.LogCaptureFixture) -> None:
    following = tracker(A)
    for minute, user in enumerate(["sue", None, "sue"]):
        following.apply(poll(minute, row("a", 0, username=user)))
    assert caplog.messages == []


def test_the_info_labels_are_the_same_object_until_something_in_them_changes() -> None:
    following = tracker(A, habits=SUMS)
    told = [
        only(following.apply(poll(minute, row("a", 0, node=node, proto_ver=5)))).memory.info
        for minute, node in enumerate([ONE, ONE, TWO])
    ]
    assert told[0] is told[1]
    assert told[2] is not None
    assert dict(told[2].items()) == {
        "alias": "A",
        "broker": "broker",
        "client_id": "a",
        "node": TWO,
        "proto_ver": "5",
    }


def blind(**seconds: float) -> dict[str, Any]:
    """Return the parts of a poll to which node two did not answer for so many seconds."""
    [(state, age)] = seconds.items()
    return {"nodes": {ONE: NodeState.RUNNING, TWO: NodeState(state)}, "blind": {TWO: age}}


@pytest.mark.parametrize("state", ["hanging", "stopped"])
def test_clients_of_a_node_that_does_not_answer_are_unknown_until_they_are_stale(
    state: str,
) -> None:
    following = tracker(A, B, habits=Habits(stale_after=60))
    following.apply(poll(0, row("a", node=ONE), row("b", node=TWO)))
    seen = [
        states(following.apply(poll(minute, row("a", node=ONE), **blind(**{state: seconds}))))
        for minute, seconds in [(1, 15.0), (2, 59.9), (3, 60.0), (4, 75.0)]
    ]
    assert [one["a"] for one in seen] == 4 * ["connected"]
    assert [one["b"] for one in seen] == ["unknown", "unknown", "absent", "absent"]


def test_a_client_that_shows_up_on_another_node_is_where_it_is() -> None:
    following = tracker(B)
    following.apply(poll(0, row("b", node=TWO)))
    assert states(following.apply(poll(1, **blind(hanging=5)))) == {"b": "unknown"}
    there = row("b", 1, node=ONE)
    assert states(following.apply(poll(2, there, **blind(hanging=20)))) == {"b": "connected"}
    assert states(following.apply(poll(3, **blind(hanging=35)))) == {"b": "absent"}


def test_a_client_that_was_absent_before_a_node_hangs_stays_absent() -> None:
    following = tracker(B)
    following.apply(poll(0, row("b", node=TWO)))
    following.apply(poll(1))
    assert states(following.apply(poll(2, **blind(hanging=5)))) == {"b": "absent"}


def test_a_client_that_was_never_seen_may_be_on_the_node_that_hangs_but_not_on_a_stopped_one() -> (
    None
):
    assert states(tracker(B).apply(poll(0, **blind(hanging=5)))) == {"b": "unknown"}
    assert states(tracker(B).apply(poll(0, **blind(stopped=5)))) == {"b": "absent"}
    assert states(tracker(B).apply(poll(0, **blind(hanging=60)))) == {"b": "absent"}


def test_a_client_that_is_gone_for_long_is_forgotten_but_goes_on_being_watched() -> None:
    following = tracker(A, habits=Habits(SUMS.counted, forget_after=600))
    following.apply(poll(0, row("a", recv_msg=5)))
    kept = only(following.apply(poll(10)))
    assert kept.memory.connection is not None
    gone = only(following.apply(poll(10.1)))
    assert (gone.state, gone.memory.connection, gone.memory.last_seen) == (
        State.ABSENT,
        None,
        None,
    )
    assert gone.memory.since == START


def test_a_client_that_is_overdue_stays_so_when_it_is_forgotten() -> None:
    rarely = Watched("A", "a", "broker", expected_every=500)
    following = tracker(rarely, habits=Habits(forget_after=600))
    following.apply(poll(0, row("a")))
    overdue = []
    for minute in (8, 10, 11, 12):
        fleet = following.apply(poll(minute))
        overdue.append(only(fleet).overdue(fleet.polled_at or 0))
    assert overdue == [False, True, True, True]


def test_a_client_of_a_pattern_of_which_no_row_told_anything_is_forgotten_too() -> None:
    following = Tracker(everybody("broker"), Habits(forget_after=600), now=START)
    assert states(following.apply(poll(0, Row(clientid="a")))) == {"a": "unknown"}
    assert states(following.apply(poll(10))) == {"a": "absent"}
    assert states(following.apply(poll(10.1))) == {}


@pytest.mark.parametrize("jumps", [(43_200, 0), (-43_200, 0), (43_200,)], ids=str)
def test_nobody_is_forgotten_because_the_time_of_day_is_set(jumps: tuple[float, ...]) -> None:
    passed, ahead = 0.0, 0.0
    habits = Habits(SUMS.counted, forget_after=600)
    following = Tracker(everybody("broker"), habits, now=START, steady=lambda: passed)
    following.apply(poll(0, row("a"), row("b")))
    for minute, ahead in enumerate(jumps, 1):
        passed = 60.0 * minute
        seen = following.apply(poll(minute + ahead, row("b")))
        assert states(seen) == {"a": "absent", "b": "connected"}
    kept = following.apply(poll(len(jumps) + ahead))
    assert states(kept) == {"a": "absent", "b": "absent"}
    passed += 606
    assert "a" not in states(following.apply(poll(len(jumps) + ahead + 10.1)))


def test_what_an_earlier_run_knew_goes_on() -> None:
    before = tracker(A, habits=SUMS)
    memory = only(before.apply(poll(0, row("a", recv_msg=50)))).memory
    restored = Restored([Remembered("a", State.CONNECTED, memory)], START)
    following = tracker(A, B, habits=SUMS, restored=restored)
    assert states(following.initial) == {"a": "unknown", "b": "unknown"}
    assert following.initial.counters(Epoch.CONNECTION).sources == [(50,)]
    after = following.apply(poll(1, row("a", recv_msg=60))).clients[0].memory
    assert after.connection is not None
    assert (after.connection.totals, after.connection.epochs) == ((60,), 1)


def test_who_is_no_longer_selected_is_not_taken_over_from_an_earlier_run() -> None:
    memory = only(tracker(B).apply(poll(0, row("b")))).memory
    restored = Restored([Remembered("b", State.CONNECTED, memory)], START)
    assert states(tracker(A, restored=restored).initial) == {"a": "unknown"}


def test_a_client_that_was_on_a_hanging_node_before_a_restart_is_unknown_after_it() -> None:
    memory = only(tracker(B).apply(poll(0, row("b", node=TWO)))).memory
    restored = Restored([Remembered("b", State.CONNECTED, memory)], START)
    following = tracker(B, restored=restored)
    assert states(following.apply(poll(1, **blind(stopped=0)))) == {"b": "unknown"}


def test_nothing_is_logged_for_polls_in_which_nothing_is_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    following = tracker(A)
    for minute in range(5):
        following.apply(poll(minute, *([row("a")] * (minute % 2))))
    assert caplog.messages == []
