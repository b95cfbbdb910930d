import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.schedule import Schedule, next_due


class Clock:
    """A clock that polls move on: nothing waits for real, since whatever is due is due already."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_polls_begin_on_a_grid_whatever_they_take() -> None:
    assert next_due(first=100, interval=10, last=100, now=103, failures=0) == 110
    assert next_due(first=100, interval=10, last=110, now=119.9, failures=0) == 120


def test_a_poll_that_takes_longer_than_the_interval_leaves_out_what_it_missed() -> None:
    assert next_due(first=100, interval=10, last=100, now=110.5, failures=0) == 120
    assert next_due(first=100, interval=10, last=100, now=145, failures=0) == 150


def test_pauses_double_while_polls_fail_up_to_half_a_minute() -> None:
    due = [100.0]
    for failures in range(1, 7):
        due.append(next_due(100, 5, due[-1], due[-1] + 0.1, failures))
    assert [after - before for before, after in pairwise(due)] == [5, 10, 20, 30, 30, 30]
    assert next_due(100, 5, due[-1], due[-1] + 0.1, 0) == due[-1] + 5


def test_an_interval_above_half_a_minute_is_its_own_longest_pause() -> None:
    assert next_due(first=0, interval=120, last=0, now=5, failures=9) == 120


@given(
    interval=st.floats(0.01, 86_400),
    done=st.integers(0, 10_000),
    took=st.floats(0, 1_000),
    failures=st.integers(0, 10_000),
)
def test_the_next_poll_is_always_ahead_and_on_the_grid(
    interval: float, done: int, took: float, failures: int
) -> None:
    last = 50 + done * interval
    due = next_due(50, interval, last, last + took, failures)
    assert due > last + took or due == pytest.approx(last + took)
    steps = (due - 50) / interval
    assert steps == pytest.approx(round(steps), abs=1e-3)


def test_it_polls_again_and_again_in_one_thread_until_it_is_stopped() -> None:
    clock = Clock()
    polled: list[tuple[float, int]] = []
    done = threading.Event()

    def poll() -> int:
        polled.append((clock.now, threading.get_ident()))
        if len(polled) == 4:
            schedule.stop()
            done.set()
        clock.now += 12.5
        return 0

    schedule = Schedule(poll, 0.01, spread=min, clock=clock)
    schedule.start()
    assert done.wait(10)
    assert len(polled) == 4
    assert len({thread for _, thread in polled}) == 1
    assert polled[0][1] != threading.get_ident()


def test_the_first_poll_is_spread_over_the_interval_but_not_over_more_than_a_few_seconds() -> None:
    asked: list[tuple[float, float]] = []
    started = threading.Event()

    def spread(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    def poll() -> int:
        started.set()
        return 0

    for interval in (2.0, 60.0):
        started.clear()
        schedule = Schedule(poll, interval, spread=spread)
        schedule.start()
        assert started.wait(10)
        schedule.stop()
    assert asked == [(0.0, 2.0), (0.0, 5.0)]
