import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.emqx.errors import CannotConnect, Reason, TimedOut
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import Fleet, State, Watched
from otel_emqx_monitor.snapshot import Snapshot
from tests.cycles import held_by_cycles
from tests.fleets import assess, connected, nothing_known, poll

WATCHED = [Watched("A", "a"), Watched("B", "b")]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Emqx:
    """Answers polls with client a, or fails as it is told."""

    def __init__(self) -> None:
        self.polls = 0
        self.failure: Exception | None = None

    def poll(self) -> Poll:
        self.polls += 1
        if self.failure is not None:
            raise self.failure
        return poll(connected("a", recv_msg=self.polls), finished_at=5_000.0 + self.polls)


def make(
    ask: Callable[[], Poll], clock: Clock, ttl: float = 15, stale_after: float = 60
) -> SnapshotCache:
    return SnapshotCache(
        "broker",
        ask,
        lambda answered: assess(answered, WATCHED),
        nothing_known(WATCHED),
        Freshness(ttl, stale_after),
        clock=clock,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emqx() -> Emqx:
    return Emqx()


@pytest.fixture
def cache(emqx: Emqx, clock: Clock) -> SnapshotCache:
    return make(emqx.poll, clock)


def states(snapshot: Snapshot) -> list[State]:
    return [client.state for client in snapshot.fleet.clients]


def test_before_any_poll_everybody_is_unknown(cache: SnapshotCache) -> None:
    assert states(cache.current()) == [State.UNKNOWN, State.UNKNOWN]
    assert cache.current().health.up is None


def test_the_first_to_ask_makes_a_poll_and_the_others_share_it(
    cache: SnapshotCache, emqx: Emqx, clock: Clock
) -> None:
    first = cache.snapshot()
    assert states(first) == [State.CONNECTED, State.ABSENT]
    assert (first.health.up, first.health.last_success, first.health.poll_duration) == (
        True,
        5_001.0,
        0.25,
    )
    clock.now += 14
    assert cache.snapshot() is first
    assert emqx.polls == 1


def test_after_the_ttl_the_next_one_polls_again(
    cache: SnapshotCache, emqx: Emqx, clock: Clock
) -> None:
    cache.snapshot()
    clock.now += 15
    row = cache.snapshot().fleet.clients[0].row
    assert row is not None
    assert row.recv_msg == 2
    assert emqx.polls == 2


def test_without_ttl_every_one_polls(emqx: Emqx, clock: Clock) -> None:
    cache = make(emqx.poll, clock, ttl=0)
    cache.snapshot()
    cache.snapshot()
    assert emqx.polls == 2


def test_those_who_ask_during_a_poll_wait_for_the_same_one(clock: Clock) -> None:
    may_answer = threading.Event()
    polls = []

    def slow() -> Poll:
        polls.append(1)
        assert may_answer.wait(5)
        return poll(connected("a"))

    cache = make(slow, clock, ttl=0)
    running = cache.refresh()
    assert running is not None
    assert [cache.refresh() for _ in range(5)] == [running] * 5
    assert states(cache.current()) == [State.UNKNOWN, State.UNKNOWN]
    may_answer.set()
    running.result(timeout=5)
    assert polls == [1]
    assert states(cache.current()) == [State.CONNECTED, State.ABSENT]


def test_a_failure_at_the_start_leaves_everybody_unknown_and_never_absent(
    cache: SnapshotCache, emqx: Emqx
) -> None:
    emqx.failure = CannotConnect("refused")
    snapshot = cache.snapshot()
    assert states(snapshot) == [State.UNKNOWN, State.UNKNOWN]
    assert snapshot.health.up is False
    assert snapshot.health.last_success is None
    assert snapshot.health.errors[Reason.CONNECTION] == 1


def test_the_words_of_the_last_failure_stay_when_emqx_answers_again(
    cache: SnapshotCache, emqx: Emqx, clock: Clock
) -> None:
    assert cache.snapshot().health.last_error is None
    clock.now += 15
    emqx.failure = TimedOut("no answer within 5 s")
    failed = cache.snapshot().health
    assert (failed.up, failed.last_error) == (False, "no answer within 5 s")
    assert failed.last_failure is not None
    emqx.failure = None
    clock.now += 15
    again = cache.snapshot().health
    assert (again.up, again.last_error) == (True, "no answer within 5 s")
    assert again.last_failure == failed.last_failure


def test_good_data_outlive_failures_until_they_are_stale_and_return_with_success(
    cache: SnapshotCache, emqx: Emqx, clock: Clock
) -> None:
    cache.snapshot()
    emqx.failure = TimedOut("slow")
    clock.now += 60
    during = cache.snapshot()
    assert states(during) == [State.CONNECTED, State.ABSENT]
    assert (during.health.up, during.health.last_success) == (False, 5_001.0)

    clock.now += 0.1
    after = cache.current()
    assert states(after) == [State.UNKNOWN, State.UNKNOWN]
    assert after.fleet.polled_at is None

    emqx.failure = None
    clock.now += 30
    assert states(cache.snapshot()) == [State.CONNECTED, State.ABSENT]
    assert cache.snapshot().health.up is True


def test_a_failed_poll_is_remembered_at_growing_intervals(
    cache: SnapshotCache, emqx: Emqx, clock: Clock
) -> None:
    emqx.failure = TimedOut("slow")
    began = clock.now
    asked_at: list[float] = []
    while clock.now < began + 150:
        before = emqx.polls
        cache.snapshot()
        if emqx.polls > before:
            asked_at.append(clock.now - began)
        clock.now += 1
    assert asked_at == [0, 15, 45, 75, 105, 135]


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    cache: SnapshotCache, emqx: Emqx, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    emqx.failure = CannotConnect("cannot connect to EMQX at X: refused")
    for _ in range(10):
        cache.snapshot()
        clock.now += 30
    emqx.failure = None
    cache.snapshot()
    clock.now += 30
    cache.snapshot()
    assert caplog.messages == [
        "cannot connect to EMQX at X: refused; trying again until it works",
        (
            "EMQX answers again after 300 s and 10 failed polls, the last one:"
            " cannot connect to EMQX at X: refused"
        ),
    ]


def test_a_bug_in_a_poll_is_counted_logged_and_survived(
    cache: SnapshotCache, emqx: Emqx, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    emqx.failure = ZeroDivisionError("oops")
    health = cache.snapshot().health
    assert health.errors[Reason.INTERNAL] == 1
    assert health.last_error is not None
    assert "is a bug of this program" in health.last_error
    assert "oops" not in health.last_error  # it may hold anything
    assert "is a bug of this program" in caplog.text
    emqx.failure = None
    clock.now += 15
    assert cache.snapshot().health.up is True


@pytest.mark.parametrize("kind", [CannotConnect, ZeroDivisionError])
def test_what_a_failed_poll_had_is_held_by_nobody(
    clock: Clock, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # what pytest keeps of the log holds the error

    def fail() -> Poll:
        noted = kind()  # as the poll of a cluster notes the errors of its nodes
        raise noted

    assert held_by_cycles(make(fail, clock).poll) == []


def test_a_pinned_snapshot_is_what_its_thread_sees_and_no_other(
    cache: SnapshotCache, clock: Clock
) -> None:
    old = cache.snapshot()
    clock.now += 15
    seen_elsewhere: list[Snapshot] = []
    with cache.pinned(old):
        other = threading.Thread(target=lambda: seen_elsewhere.append(cache.snapshot()))
        other.start()
        other.join()
        assert cache.snapshot() is old
    assert seen_elsewhere != [old]
    assert cache.snapshot() is seen_elsewhere[0]


def test_what_is_heard_while_the_first_poll_is_on_its_way_is_shown_with_it(clock: Clock) -> None:
    def assess_and_hear(answered: Poll) -> Fleet:
        fleet = replace(assess(answered, WATCHED), revision=1)
        heard = [msgspec.structs.replace(one, state=State.CONNECTED) for one in fleet.clients]
        asked.publish(replace(fleet, clients=tuple(heard), revision=2))
        assert set(states(asked.current())) == {State.UNKNOWN}
        return fleet

    asked = SnapshotCache(
        "broker",
        poll,
        assess_and_hear,
        nothing_known(WATCHED),
        Freshness(15, 60),
        clock=clock,
    )
    assert set(states(asked.snapshot())) == {State.CONNECTED}
