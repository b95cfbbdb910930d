"""Sums over epochs: what one client's counters came to, whatever its rows looked like."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.epochs import Tally, advance, begin

T0 = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC)


def at(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


def test_the_first_epoch_counts_from_its_own_begin() -> None:
    tally = begin(at(0), (5, 100), now=2e9)
    assert tally.totals == (5, 100)
    assert tally.epochs == 1
    assert tally.start == int(T0.timestamp()) * 10**9


def test_a_sum_whose_epoch_is_not_known_begins_when_it_was_first_seen() -> None:
    assert begin(None, (5,), now=1_000.5).start == 1_000_500_000_000


def test_a_sum_begins_between_1970_and_what_64_bits_hold() -> None:
    assert begin(datetime(1, 1, 1, tzinfo=UTC), (5,), 0).start == 0
    assert begin(datetime(9999, 1, 1, tzinfo=UTC), (5,), 0).start == 2**63 - 1


def test_epochs_in_the_first_seconds_of_all_time_are_remembered_like_others() -> None:
    first = datetime(1, 1, 1, tzinfo=UTC)
    tally = begin(first, (1,), 0)
    for second in range(1, 7):
        tally = advance(tally, first + timedelta(seconds=second), (1,), connected=True)
    assert len(tally.earlier) == 6
    assert tally.totals == (7,)


def test_an_epoch_grows() -> None:
    tally = advance(begin(at(0), (5, 100), 0), at(0), (7, 100), connected=True)
    assert tally.totals == (7, 100)
    assert tally.epochs == 1


def test_a_row_that_says_nothing_new_changes_nothing_at_all() -> None:
    tally = begin(at(0), (5, 100), 0)
    assert advance(tally, at(0), (5, 100), connected=True) is tally
    assert advance(tally, at(0), (4, None), connected=True) is tally


def test_a_row_that_is_not_connected_ends_its_epoch() -> None:
    tally = advance(begin(at(0), (5, 100), 0), at(0), (5, None), connected=False)
    assert tally.totals == (5, 100)
    assert not tally.is_open
    assert advance(tally, at(0), (5, None), connected=True).is_open


def test_a_reconnect_to_lower_and_to_higher_counts_adds_both_alike() -> None:
    first = begin(at(0), (50, 7), 0)
    assert advance(first, at(1), (3, 9), connected=True).totals == (53, 16)
    assert advance(first, at(1), (80, 7), connected=True).totals == (130, 14)


def test_the_sum_keeps_the_start_of_its_first_epoch() -> None:
    first = begin(at(0), (50,), 0)
    assert advance(first, at(1), (3,), connected=True).start == first.start


def test_missing_fields_keep_their_last_value() -> None:
    tally = advance(begin(at(0), (50, 900), 0), at(0), (51, None), connected=False)
    assert tally.totals == (51, 900)
    again = advance(tally, at(1), (1, 20), connected=True)
    assert again.totals == (52, 920)


def test_a_field_that_no_epoch_told_is_not_known_and_not_0() -> None:
    tally = advance(begin(at(0), (1, None), 0), at(1), (1, None), connected=True)
    assert tally.totals == (2, None)
    assert advance(tally, at(1), (1, 5), connected=True).totals == (2, 5)


def test_within_an_epoch_a_lower_count_is_an_older_row() -> None:
    tally = advance(begin(at(0), (50,), 0), at(0), (49,), connected=True)
    assert tally.totals == (50,)


def test_two_rows_of_a_takeover_that_are_found_in_turn_are_two_epochs() -> None:
    tally = begin(at(0), (50,), 0)
    for epoch, count in [(1, 1), (0, 50), (1, 2), (0, 51), (1, 3)]:
        tally = advance(tally, at(epoch), (count,), connected=True)
    assert tally.totals == (54,)
    assert tally.epochs == 2


def test_a_client_that_moves_to_a_node_whose_clock_is_behind_begins_a_new_epoch() -> None:
    tally = advance(begin(at(5), (50,), 0), at(4), (2,), connected=True)
    assert tally.totals == (52,)
    assert tally.epochs == 2


def test_an_offline_row_with_an_older_connected_at_tells_an_old_story() -> None:
    tally = begin(at(5), (50,), 0)
    assert advance(tally, at(0), (50,), connected=False) is tally


def test_a_session_that_connected_and_left_between_two_polls_is_an_epoch_too() -> None:
    tally = advance(begin(at(0), (50,), 0), at(5), (3,), connected=False)
    assert tally.totals == (53,)
    assert tally.epochs == 2


def test_an_epoch_that_becomes_known_is_the_one_that_was_not() -> None:
    tally = advance(begin(None, (5,), 0), at(0), (6,), connected=True)
    assert (tally.spell.began, tally.totals, tally.epochs) == (at(0), (6,), 1)
    assert advance(tally, None, (7,), connected=True).totals == (7,)


def test_another_user_begins_an_epoch_even_with_the_same_begin() -> None:
    tally = advance(begin(at(0), (5,), 0), at(0), (2,), connected=True, anew=True)
    assert (tally.totals, tally.epochs) == ((7,), 2)


def test_the_number_of_epochs_stops_there_too() -> None:
    most = 2**63 - 1
    tally = msgspec.structs.replace(begin(at(0), (1,), 0.0), epochs=most)
    assert advance(tally, at(1), (1,), connected=True).epochs == most


def test_a_sum_stops_at_the_greatest_number_that_can_be_carried() -> None:
    most = 2**63 - 1
    tally = advance(begin(at(0), (most, None, 5), 0), at(1), (most, most, 5), connected=True)
    assert tally.totals == (most, most, 10)


Life = list[list[tuple[int, ...]]]


@st.composite
def lives(draw: st.DrawFn) -> tuple[Life, list[tuple[int, int, bool]]]:
    """Return the counts of each connection of a life as they grew, and a sequence of polls.

    A poll is the connection that it found, how far that was, and whether its field for bytes was
    missing. For a while after a takeover a poll may find the row of the connection before.
    """
    connections = draw(
        st.lists(
            st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4).map(
                _grown
            ),
            min_size=1,
            max_size=6,
        )
    )
    polls: list[tuple[int, int, bool]] = []
    for index, states in enumerate(connections):
        for step in range(len(states)):
            if draw(st.booleans()):
                if index and draw(st.booleans()):
                    polls.append((index - 1, len(connections[index - 1]) - 1, False))
                polls.append((index, step, draw(st.booleans())))
    return connections, polls


def _grown(steps: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    total = (0, 0)
    grown: list[tuple[int, ...]] = []
    for messages, size in steps:
        total = (total[0] + messages, total[1] + size)
        grown.append(total)
    return grown


def polled(life: Life, polls: Sequence[tuple[int, int, bool]]) -> list[Tally]:
    """Return the tally after each poll."""
    tally: Tally | None = None
    after = []
    for index, step, bytes_missing in polls:
        messages, size = life[index][step]
        counts = (messages, None if bytes_missing else size)
        if tally is None:
            tally = begin(at(index), counts, 0)
        else:
            tally = advance(tally, at(index), counts, connected=True)
        after.append(tally)
    return after


@given(lives())
def test_sums_never_fall(drawn: tuple[Life, list[tuple[int, int, bool]]]) -> None:
    totals = [tally.totals for tally in polled(*drawn)]
    for before, after in itertools.pairwise(totals):
        assert all(
            new is not None and new >= old
            for old, new in zip(before, after, strict=True)
            if old is not None
        )


@given(lives())
def test_sums_are_those_of_the_highest_counts_that_polls_found_in_each_epoch(
    drawn: tuple[Life, list[tuple[int, int, bool]]],
) -> None:
    life, polls = drawn
    found: dict[int, int] = {}
    for index, step, _ in polls:
        found[index] = max(found.get(index, 0), life[index][step][0])
    for tally in polled(life, polls)[-1:]:
        assert tally.totals[0] == sum(found.values())
        assert tally.epochs == len(found)


@given(lives())
def test_sums_are_the_whole_truth_when_a_poll_saw_the_end_of_every_epoch(
    drawn: tuple[Life, list[tuple[int, int, bool]]],
) -> None:
    life, _ = drawn
    last = [(index, len(states) - 1, False) for index, states in enumerate(life)]
    truth = tuple(map(sum, zip(*(states[-1] for states in life), strict=True)))
    assert polled(life, last)[-1].totals == truth
