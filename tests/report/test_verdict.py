from datetime import timedelta

from otel_emqx_monitor.fleet import Fleet, State
from otel_emqx_monitor.report import exit_code, summary

from .fleets import EXAMPLE, MIXED, NOW, client, expected

AT = NOW.timestamp()


def test_summary_counts_the_states_that_occur() -> None:
    assert summary(EXAMPLE, AT) == "8 monitored: 8 connected"
    assert summary(MIXED, AT) == "4 monitored: 1 connected, 1 disconnected, 1 absent, 1 unknown"


def test_summary_names_the_connected_even_when_there_are_none() -> None:
    gone = Fleet((client("a", "a", State.ABSENT), client("b", "b", State.ABSENT)), polled_at=1.0)
    assert summary(gone, AT) == "2 monitored: 0 connected, 2 absent"
    assert summary(Fleet((), polled_at=1.0), AT, noun="found") == "0 found: 0 connected"


def test_exit_code_is_0_when_all_are_connected() -> None:
    assert exit_code(EXAMPLE, AT) == 0
    assert exit_code(Fleet((), polled_at=1.0), AT) == 0


def test_exit_code_is_1_when_one_is_not_connected_or_not_known() -> None:
    for state in (State.DISCONNECTED, State.ABSENT, State.UNKNOWN):
        one_more = client("one", "more", state)
        assert exit_code(Fleet((*EXAMPLE.clients, one_more), polled_at=1.0), AT) == 1


def test_a_client_that_is_expected_now_and_then_is_well_until_it_is_overdue() -> None:
    lately = expected("lately", seen=NOW - timedelta(seconds=50), every=60)
    assert exit_code(Fleet((lately,), polled_at=AT), AT) == 0
    late = expected("late", seen=NOW - timedelta(seconds=61), every=60)
    assert exit_code(Fleet((lately, late), polled_at=AT), AT) == 1
    assert summary(Fleet((lately, late), polled_at=AT), AT) == (
        "2 monitored: 0 connected, 2 absent; 1 overdue"
    )


def test_a_client_that_was_never_seen_is_not_well_however_rarely_it_is_expected() -> None:
    never = expected("never", seen=None, every=86_400)
    assert exit_code(Fleet((never,), polled_at=AT), AT) == 1
