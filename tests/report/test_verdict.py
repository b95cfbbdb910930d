from otel_emqx_monitor.report import exit_code, summary
from otel_emqx_monitor.snapshot import Fleet, State

from .fleets import EXAMPLE, MIXED, client


def test_summary_counts_the_states_that_occur() -> None:
    assert summary(EXAMPLE) == "8 monitored: 8 connected"
    assert summary(MIXED) == "4 monitored: 1 connected, 1 disconnected, 1 absent, 1 unknown"


def test_summary_names_the_connected_even_when_there_are_none() -> None:
    gone = Fleet((client("a", "a", State.ABSENT), client("b", "b", State.ABSENT)), polled_at=1.0)
    assert summary(gone) == "2 monitored: 0 connected, 2 absent"
    assert summary(Fleet((), polled_at=1.0), noun="found") == "0 found: 0 connected"


def test_exit_code_is_0_when_all_are_connected() -> None:
    assert exit_code(EXAMPLE) == 0
    assert exit_code(Fleet((), polled_at=1.0)) == 0


def test_exit_code_is_1_when_one_is_not_connected_or_not_known() -> None:
    for state in (State.DISCONNECTED, State.ABSENT, State.UNKNOWN):
        one_more = client("one", "more", state)
        assert exit_code(Fleet((*EXAMPLE.clients, one_more), polled_at=1.0)) == 1
