from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.presence import assess, nothing_known
from otel_emqx_monitor.snapshot import Client, State, Watched
from tests.fleets import connected, poll

ROW = connected("here")
KEPT = Row(clientid="kept", connected=False)


def test_each_watched_client_has_the_state_its_row_tells_in_the_order_of_the_configuration() -> (
    None
):
    watched = [Watched("C", "gone"), Watched("A", "here"), Watched("B", "kept")]
    assert assess(poll(ROW, KEPT, connected("stranger")), watched).clients == (
        Client(Watched("C", "gone"), State.ABSENT, None),
        Client(Watched("A", "here"), State.CONNECTED, ROW),
        Client(Watched("B", "kept"), State.DISCONNECTED, KEPT),
    )


def test_a_row_that_does_not_say_whether_it_is_connected_is_unknown_and_not_a_guess() -> None:
    bare = Row(clientid="bare")
    assert assess(poll(bare), [Watched("A", "bare")]).clients == (
        Client(Watched("A", "bare"), State.UNKNOWN, None),
    )


def test_watching_nobody_in_particular_watches_whoever_has_a_row() -> None:
    assert [client.alias for client in assess(poll(ROW, KEPT), None).clients] == ["here", "kept"]


def test_the_fleet_says_when_it_was_polled_and_counts_its_states() -> None:
    fleet = assess(poll(ROW, KEPT, finished_at=77.5), [Watched("A", "here"), Watched("B", "x")])
    assert fleet.polled_at == 77.5
    assert fleet.states == {"connected": 1, "disconnected": 0, "absent": 1, "unknown": 0}


def test_before_the_first_poll_nothing_is_known_of_anybody() -> None:
    fleet = nothing_known([Watched("A", "here")])
    assert fleet.clients == (Client(Watched("A", "here"), State.UNKNOWN, None),)
    assert fleet.polled_at is None
