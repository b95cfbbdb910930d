"""The recorded three minutes of a live broker, replayed: all that polls could see is exported."""

from collections.abc import Mapping
from datetime import datetime

import pytest

from otel_emqx_monitor.emqx.rows import Poll, decode_page, newest_by_id
from otel_emqx_monitor.fleet import Client, Counted, Watched
from otel_emqx_monitor.tracker import Habits
from tests.fleets import tracker
from tests.lives.moments import Clock
from tests.lives.playing import clients
from tests.lives.stage import stage
from tests.lives.timeline import Told, polls, told

#: What is seen of each client in the end: connections, messages, and the polls that found it
#: connected. How many it really sent is in the recording: 179, 440, 29, 28, and none.
SEEN: Mapping[str, tuple[int, int, int]] = {
    "steady-1": (1, 165, 90),
    "burst-1": (11, 365, 90),
    "sleepy-2": (8, 15, 59),
    "sleepy-1": (11, 0, 17),
    "taken-1": (52, 0, 90),
    "persist-1": (4, 0, 51),
}

#: Bytes that persist-1 sent, whose rows lose them while its session is away.
PERSIST_BYTES = 107 + 183 + 179 + 171

HABITS = Habits(Counted(("recv_msg", "recv_oct"), ()))


def history() -> Mapping[str, list[Client]]:
    """Return what the tracker says of each client after each poll."""
    following = tracker(*(Watched(one.upper(), one) for one in SEEN), habits=HABITS)
    after: dict[str, list[Client]] = {one: [] for one in SEEN}
    for recorded in polls():
        rows = newest_by_id(decode_page(recorded.page).data)
        for client in following.apply(Poll(rows, recorded.at, duration=0.0)).clients:
            after[client.client_id].append(client)
    return after


@pytest.mark.parametrize("client_id", SEEN)
def test_presence_connections_and_sums_are_exact_at_every_poll(client_id: str) -> None:
    assert len(polls()) == 90
    for client, known in zip(history()[client_id], told(client_id), strict=True):
        assert client.state == _state(known)
        tally = client.memory.connection
        if not known.connections:
            assert tally is None
            continue
        assert tally is not None
        assert tally.epochs == known.connections
        assert tally.totals[0] == known.total
        first, last = min(known.received), max(known.received)  # all with the same offset
        assert tally.spell.began == datetime.fromisoformat(last)
        assert tally.start == round(datetime.fromisoformat(first).timestamp() * 1000) * 10**6


def _state(known: Told) -> str:
    if not known.present:
        return "absent"
    return "connected" if known.connected else "disconnected"


def test_what_was_seen_in_the_end_is_what_the_recording_is_known_for() -> None:
    assert {one: _seen(after) for one, after in history().items()} == SEEN
    tally = history()["persist-1"][-1].memory.connection
    assert tally is not None
    assert tally.totals[1] == PERSIST_BYTES


def _seen(after: list[Client]) -> tuple[int, int, int]:
    tally = after[-1].memory.connection
    assert tally is not None
    connected = sum(client.state == "connected" for client in after)
    return tally.epochs, tally.totals[0] or 0, connected


def test_both_readers_export_it_poll_by_poll(clock: Clock) -> None:
    everything = {one: list(told(one)) for one in SEEN}
    clock.now = polls()[0].at
    entries = [{"alias": one, "client_id": one} for one in SEEN]
    flags = ["enable_processed_counters", "enable_connection_counters"]
    with stage(clock, entries, flags) as playing:
        for number, recorded in enumerate(polls()):
            clock.now = recorded.at
            playing.put([dict(row) for row in recorded.rows])
            playing.poll()
            exported = {
                mode: {
                    one: [cells["on"], cells["epochs"].split("@")[0], _received(cells)]
                    for one, cells in clients(agent.read()).items()
                }
                for mode, agent in playing.agents.items()
            }
            known = {one: after[number] for one, after in everything.items()}
            assert exported == {
                "live": {one: _cells(after, _latest(after)) for one, after in known.items()},
                "sum": {one: _cells(after, _sum(after)) for one, after in known.items()},
            }
    totals = {one: int(received) for one, (_, _, received) in exported["sum"].items()}
    assert totals == {one: received for one, (_, received, _) in SEEN.items()}


def _received(cells: Mapping[str, str]) -> str:
    return cells.get("rx", "").split("@")[0]


def _cells(known: Told, received: int | None) -> list[str]:
    return [
        f"{known.connected:d}",
        f"{known.connections}",
        "" if received is None else f"{received}",
    ]


def _latest(known: Told) -> int | None:
    return list(known.received.values())[-1] if known.present else None


def _sum(known: Told) -> int | None:
    return known.total if known.connections else None
