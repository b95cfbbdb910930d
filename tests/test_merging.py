"""Events and polls put together: who is there, what is counted, what polls repair."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.rows import NodeState, Poll, Row, newest_by_id
from otel_emqx_monitor.events import rules
from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.fleet import Client, Correction, Counted, State, Watched
from otel_emqx_monitor.hearing import Ear
from otel_emqx_monitor.merging import DOUBLES_SECONDS, PATIENCE_SECONDS, SETTLE_SECONDS, Merger
from otel_emqx_monitor.selection import Selection, selection_of
from otel_emqx_monitor.simulator import Disorder, Login, Script
from otel_emqx_monitor.simulator.disorder import Disordered
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import NOTHING_RESTORED
from otel_emqx_monitor.tracker import Habits, Tracker
from tests.fleets import naming
from tests.heard import START, down, event, instant, left, sent, tally, up

FIELDS = ("recv_msg", "recv_msg.qos0", "recv_msg.qos1", "recv_msg.qos2", "send_msg.dropped")
SUMS = Habits(Counted(FIELDS, ()), hears=True)
ONE = "emqx@127.0.0.1"


@dataclass
class World:
    """A tracker and a merger whose clocks a test sets; times are seconds after ``START``.

    ``skew`` is how far the time of day is ahead of the clock that never jumps. With ``store`` all
    that is heard and polled is written as an agent does, and ``restart`` begins with that.
    """

    selection: Selection = field(default_factory=lambda: naming(Watched("A", "a")))
    habits: Habits = SUMS
    store: Callable[[], Store] | None = None
    now: float = 0.0
    skew: float = 0.0

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._store = self.store() if self.store else None
        restored = self._store.open() if self._store else NOTHING_RESTORED
        self.tracker = Tracker(self.selection, self.habits, self._time_of_day(), restored)
        self.merger = Merger(
            self.tracker,
            Ear(self.habits.counted.connection if self.habits.counted else ()),
            restored.keys,
            self._time_of_day,
            lambda: self.now,
        )

    def _time_of_day(self) -> float:
        return START + self.now + self.skew

    def hear(self, at: float, *events: Event) -> list[str]:
        """Hear ``events`` at a time; return the ids of the clients that changed."""
        self.now = at
        heard = self.merger.hear(events)
        if self._store:
            self._store.save_some(list(heard.clients.values()), heard.keys, forget=heard.forget)
        return list(heard.clients)

    def poll(self, at: float, *rows: Row, duration: float = 0.1, **more: Any) -> None:
        """Let a poll that took so long end at a time."""
        self.now = at
        poll = Poll(newest_by_id(rows), self._time_of_day(), duration, **more)
        fleet = self.tracker.apply(poll)
        if self._store:
            self._store.save(fleet)

    def restart(self, *, kill: bool = False) -> None:
        """End and begin again; a kill leaves no time to count what waits."""
        if self._store and not kill:
            heard = self.merger.settle()
            self._store.save_some(list(heard.clients.values()), heard.keys)
        self.close()
        self._begin()

    def close(self) -> None:
        if self._store:
            self._store.close()

    @property
    def clients(self) -> Mapping[str, Client]:
        fleet = self.tracker.heard(self._time_of_day())
        clients = self.tracker.initial.clients if fleet is None else fleet.clients
        return {one.client_id: one for one in clients}

    @property
    def state(self) -> str:
        return self.clients["a"].state.value

    @property
    def received(self) -> int | None:
        return tally(self.clients["a"].memory).totals[0]

    @property
    def corrections(self) -> Mapping[Correction, int]:
        fleet = self.tracker.heard(self._time_of_day())
        assert fleet is not None
        assert fleet.corrections is not None
        return fleet.corrections


def row(began: float, client_id: str = "a", *, connected: bool = True, **more: Any) -> Row:
    at = instant(began)
    return Row(clientid=client_id, connected=connected, connected_at=at, node=ONE, **more)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[World]:
    """A world that is written to a file."""
    world = World(store=lambda: Store(tmp_path / "state.db", SUMS.counted))
    yield world
    world.close()


# Presence.


def test_an_event_tells_at_once_and_needs_no_further_poll(world: World) -> None:
    world.poll(0)
    assert world.state == "absent"
    assert world.hear(1, up(0.9)) == ["a"]
    assert world.state == "connected"
    assert world.hear(2, down(0.9, 1.9)) == ["a"]
    assert world.state == "disconnected"
    world.poll(3)
    assert world.state == "absent"


def test_before_the_first_poll_nobody_is_said_to_be_there(world: World) -> None:
    world.hear(1, up(0.9))
    assert world.tracker.heard(START + 1) is None
    assert world.state == "unknown"
    world.poll(2, row(0.9))
    assert world.state == "connected"


@pytest.mark.parametrize("reason", ["takenover", "discarded"])
def test_the_late_end_of_an_old_connection_says_nothing_of_the_new_one(
    world: World, reason: str
) -> None:
    world.poll(1, row(0))
    world.hear(2, up(1.9))
    world.hear(3, down(0, 2, reason))
    assert world.state == "connected"
    assert left(world.clients["a"].memory) == {reason: 1}
    assert tally(world.clients["a"].memory).epochs == 2


def test_what_is_told_while_a_poll_runs_holds_until_the_next_one(world: World) -> None:
    world.poll(1)
    world.hear(2.5, up(2.4))
    world.poll(3, duration=1)  # it had looked before
    assert world.state == "connected"
    world.hear(4.5, down(2.4, 4.4))
    world.poll(5, row(2.4), duration=1)
    assert world.state == "disconnected"
    world.poll(6, row(2.4))  # an end that was no end
    assert world.state == "connected"


def test_a_poll_ends_what_no_event_has_ended(world: World) -> None:
    world.poll(1)
    world.hear(2, up(1.9))
    world.poll(30)
    assert world.state == "absent"
    world.hear(31, up(1.9))  # the begin comes a second time
    assert world.state == "absent"


def test_clients_of_a_node_that_hangs_stay_unknown_and_as_they_were(world: World) -> None:
    world.poll(1, row(0))
    hanging: dict[str, Any] = {"nodes": {ONE: NodeState.HANGING}, "blind": {ONE: 1.0}}
    world.poll(10, **hanging)
    assert world.state == "unknown"
    assert tally(world.clients["a"].memory).is_open
    world.hear(11, down(0, 10.9))
    assert world.state == "disconnected"


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_clock_that_is_set_while_it_runs_keeps_nothing_from_being_counted(
    world: World, skew: float
) -> None:
    world.poll(1, row(0))
    world.hear(2, sent(1.9))
    world.hear(2.1, up(2))
    world.skew = skew
    world.hear(2 + SETTLE_SECONDS)
    assert world.received == 1
    world.poll(6)
    world.hear(8, up(7.9), sent(8))
    world.poll(9)
    assert world.state == "absent"  # not held by an event of an hour later
    world.hear(12)
    world.poll(13)
    assert world.received == 2


@pytest.mark.parametrize("skew", [-5.0, 5.0])
def test_clocks_of_emqx_and_the_agent_that_differ_count_the_same(world: World, skew: float) -> None:
    world.skew = skew
    world.poll(0)
    world.hear(1, up(0.9), sent(1), down(0.9, 1.1), up(1.5), sent(1.6))
    world.poll(5, row(1.5))
    world.hear(6)
    world.poll(7, row(1.5))
    assert (world.state, world.received) == ("connected", 2)
    seen = world.clients["a"].memory.last_seen
    assert seen is not None
    assert seen <= START + 7 + skew


# Messages.


def test_messages_that_overtake_the_begin_of_their_connection_count_for_it(world: World) -> None:
    world.poll(1, row(0, recv_msg=10))
    world.hear(2, sent(1.9), sent(1.95, 0))
    world.hear(3.9, up(1.8), down(0, 1.5))
    world.hear(4, down(1.8, 2))
    assert world.received == 10
    world.hear(2 + SETTLE_SECONDS)
    assert world.received == 12
    assert tally(world.clients["a"].memory).spell.heard == (2, 1, 1, None, None)


def test_messages_of_a_connection_that_is_never_told_are_given_up(world: World) -> None:
    world.poll(1)
    world.hear(2, up(1), down(1, 1.5), sent(1.9))
    world.hear(2 + SETTLE_SECONDS)
    assert world.received is None
    world.hear(2 + PATIENCE_SECONDS - 1, down(1.7, 2))
    world.hear(2 + PATIENCE_SECONDS)
    assert world.received == 1
    world.hear(20, sent(19))
    world.hear(20 + PATIENCE_SECONDS)
    world.hear(20 + PATIENCE_SECONDS, down(18, 21))
    world.hear(99)
    assert world.received == 1


def test_a_message_that_comes_twice_counts_once(world: World) -> None:
    message = sent(2, message_id="AB")
    world.poll(0)
    world.hear(3, up(1), message, message, down(1, 2.5))
    world.hear(4, message)
    world.hear(10)
    world.hear(10 + DOUBLES_SECONDS - 20, message)
    world.hear(99)
    assert world.received == 1


def test_the_same_message_goes_out_to_two_and_to_one_of_them_again() -> None:
    both = naming(Watched("A", "a"), Watched("B", "b"))
    world = World(both, Habits(Counted(("send_msg",), ()), hears=True))
    told = [
        event(Kind.DELIVERED, at, client_id, qos=1, message_id="AB")
        for at, client_id in [(2, "a"), (2, "b"), (2.5, "a")]
    ]
    world.poll(0)
    world.hear(3, up(1), up(1, "b"), *told, *told)
    world.hear(3, down(1, 3), down(1, 3, client_id="b"))
    world.hear(7)
    totals = {one: tally(client.memory).totals for one, client in world.clients.items()}
    assert totals == {"a": (2,), "b": (1,)}


def test_messages_without_an_id_cannot_be_told_from_doubles_and_all_count(world: World) -> None:
    message = event(Kind.PUBLISH, 2, qos=0)
    world.poll(0)
    world.hear(3, up(1), message, message, down(1, 2.5))
    world.hear(7)
    assert world.received == 2


def test_what_a_lost_end_and_a_lost_begin_hide_is_not_counted_twice(world: World) -> None:
    world.poll(1, row(0, recv_msg=5))
    # Lost: the end of that connection at 10 and the begin of the next at 11.
    world.hear(13, sent(12), sent(12.5))
    world.hear(17)
    world.poll(20, row(11, recv_msg=2))
    assert world.received == 7
    world.hear(21, down(11, 20.5))
    assert world.received == 7


def test_polled_and_told_of_one_connection_are_not_added(world: World) -> None:
    world.poll(0)
    world.hear(1, up(0.5), sent(0.6), sent(0.7))
    world.poll(2, row(0.5, recv_msg=1))
    world.hear(5)
    world.poll(6, row(0.5, recv_msg=2))
    assert world.received == 2
    world.poll(20, row(0.5, recv_msg=9))
    assert world.received == 9


def test_all_that_waits_is_counted_at_the_end_of_the_agent(world: World) -> None:
    world.poll(0)
    world.hear(1, up(0.5), sent(0.6), down(0.5, 0.7))
    assert world.received is None
    assert list(world.merger.settle().clients) == ["a"]
    assert world.received == 1
    assert world.merger.settle().clients == {}


# Who is watched.


def test_strangers_leave_nothing_behind() -> None:
    world = World()
    world.poll(0)
    for number in range(100):
        assert world.hear(1, up(0.5, f"x{number}"), sent(0.6, client_id=f"x{number}")) == []
    assert list(world.clients) == ["a"]
    assert not world.merger._waiting
    assert not world.merger._keys


def pattern(*, max_clients: int, **more: Any) -> Selection:
    entries = [{"alias": "Named", "client_id": "named"}, {"alias": "{client_id}", **more}]
    emqx = {"api_key": "k", "api_secret": "s", "api_url": "http://emqx:18083/api/", "alias": "b"}
    config = {"emqx": emqx, "monitored_clients": entries, "max_clients": max_clients}
    return selection_of(Config.model_validate(config))


def test_patterns_take_in_who_is_told_of_as_far_as_there_is_room() -> None:
    world = World(pattern(max_clients=3, client_id_glob="*"))
    world.poll(0)
    told = [up(0.5, f"dev-{number}") for number in range(100_000)]
    assert world.hear(1, *told) == ["dev-0", "dev-1", "dev-2"]
    assert list(world.clients) == ["named", "dev-0", "dev-1", "dev-2"]
    assert len(world.selection._decided) <= 5
    assert world.hear(2, up(1.5, "named"), up(1.5, "dev-1")) == ["named", "dev-1"]


def test_who_is_gone_makes_room_at_the_next_poll_for_who_is_there() -> None:
    world = World(pattern(max_clients=2, client_id_glob="*"))
    world.poll(0)
    world.hear(
        1, *(one for name in "xy" for one in (up(0.5, name), down(0.5, 0.6, client_id=name)))
    )
    world.poll(2, row(1, "z"))
    assert set(world.clients) in ({"named", "z", "x"}, {"named", "z", "y"})


def test_who_is_known_by_events_alone_is_forgotten_like_others() -> None:
    habits = Habits(Counted(FIELDS, ()), hears=True, forget_after=3600)
    world = World(pattern(max_clients=10, client_id_glob="*"), habits)
    world.poll(0)
    world.hear(1, up(0.5, "x"), down(0.5, 0.6, client_id="x"))
    world.poll(3600)
    assert set(world.clients) == {"named", "x"}
    world.poll(3602)
    assert set(world.clients) == {"named"}


def test_an_event_without_a_username_is_of_the_client_as_it_is_known() -> None:
    world = World(pattern(max_clients=10, username="sue"))
    world.poll(0, row(0, "x", username="sue"))
    assert world.hear(1, up(0.5, "x")) == ["x"]
    assert (
        world.hear(1, up(0.6, "x", username="bob"), up(0.6, "y"), up(1, "z", username="bob")) == []
    )
    assert world.hear(2, up(1.5, "y", username="sue")) == ["y"]


def test_in_live_mode_events_tell_of_presence_and_nothing_is_summed_up() -> None:
    world = World(habits=Habits(hears=True))
    world.poll(0, row(0, recv_msg=7))
    world.hear(1, down(0, 0.5), up(0.6), sent(0.7))
    world.hear(5)
    client = world.clients["a"]
    assert (client.state, tally(client.memory).totals) == (State.CONNECTED, ())
    assert client.row is not None
    assert client.row.recv_msg == 7  # as the last poll had it


def test_a_row_keeps_the_time_of_its_poll_and_what_is_told_has_its_own(world: World) -> None:
    world.poll(10, row(0))
    world.hear(12, up(11.9))
    fleet = world.tracker.heard(START + 12)
    assert fleet is not None
    assert (fleet.polled_at, fleet.remembered_at) == (START + 10, START + 12)


# What polls repair.

OPENED, CLOSED = Correction.OPENED, Correction.CLOSED
Act = Callable[[World], object]


def hears(at: float, *events: Event) -> Act:
    return lambda world: world.hear(at, *events)


def polls(at: float, *rows: Row, **more: Any) -> Act:
    return lambda world: world.poll(at, *rows, **more)


REPAIRS: dict[str, tuple[list[Act], tuple[int, int]]] = {
    "nothing when all is told": (
        [hears(1, up(1)), polls(9, row(1)), hears(10, down(1, 10)), polls(20), polls(30)],
        (0, 0),
    ),
    "a begin": ([polls(9, row(1))], (1, 0)),
    "a begin is repaired once": ([polls(9, row(1)), polls(19, row(1))], (1, 0)),
    "not what began before the agent": ([polls(9, row(-5))], (0, 0)),
    "not a begin that may still be told": ([polls(9, row(8))], (0, 0)),
    "not a begin that is told late": (
        [polls(9, row(8)), hears(9.5, up(8)), polls(19, row(8))],
        (0, 0),
    ),
    "a begin that a poll found at once": ([polls(9, row(8)), polls(19, row(8))], (1, 0)),
    "a begin that the end tells": ([polls(9, row(8)), hears(10, down(8, 9)), polls(19)], (1, 0)),
    "an end": ([hears(1, up(1)), polls(9), polls(19)], (0, 1)),
    "an end is repaired once": ([hears(1, up(1)), polls(9), polls(19), polls(29)], (0, 1)),
    "not an end that may still be told": (
        [hears(1, up(1)), polls(9), hears(9.5, down(1, 8.9)), polls(19)],
        (0, 0),
    ),
    "not before it is too late for the event": (
        [hears(1, up(1)), polls(9), polls(10)],
        (0, 0),
    ),
    "end and begin at once": ([hears(1, up(1)), polls(9, row(6)), polls(19, row(6))], (1, 1)),
    "each client by itself": (
        [polls(9, row(1, "b"), row(2)), polls(19, row(1, "b")), polls(29, row(1, "b"))],
        (2, 1),
    ),
    "not what was told while the poll ran": (
        [hears(8.5, up(8.4)), polls(9, duration=1), polls(19, row(8.4)), polls(29, row(8.4))],
        (0, 0),
    ),
}


@pytest.mark.parametrize("case", REPAIRS)
def test_what_polls_have_to_repair_is_counted(case: str) -> None:
    acts, (opened, ended) = REPAIRS[case]
    world = World(naming(Watched("A", "a"), Watched("B", "b")))
    world.poll(0)
    for act in acts:
        act(world)
    assert world.corrections == {OPENED: opened, CLOSED: ended}


def test_what_ended_while_no_agent_ran_is_no_repair(lasting: World) -> None:
    world = lasting
    world.poll(1, row(0))
    world.restart(kill=True)
    world.poll(20)
    world.poll(30)
    assert world.corrections == {OPENED: 0, CLOSED: 0}


def test_without_events_nothing_is_repaired() -> None:
    world = World(habits=Habits(Counted(FIELDS, ())))
    world.poll(0)
    world.poll(9, row(1))
    fleet = world.tracker.heard(START + 9)
    assert fleet is not None
    assert fleet.corrections is None


def test_a_poll_that_finds_nothing_new_leaves_what_is_remembered_untouched(world: World) -> None:
    world.poll(0, row(-5, recv_msg=3))
    before = tally(world.clients["a"].memory)
    for at in (10, 20):
        world.poll(at, row(-5, recv_msg=3))
        assert tally(world.clients["a"].memory) is before
    world.hear(21, down(-5, 20.9), up(21))
    world.poll(30, row(21))
    before = tally(world.clients["a"].memory)
    world.poll(40, row(21))
    assert tally(world.clients["a"].memory) is before


# Restarts.


@pytest.mark.parametrize("kill", [True, False])
def test_a_restart_takes_nothing_back_and_counts_nothing_twice(
    lasting: World,
    kill: bool,
) -> None:
    world = lasting
    first, second = sent(1.5, message_id="1"), sent(8, message_id="2")
    world.poll(0)
    world.hear(1, up(1), first, down(1, 2, "kicked"))
    world.hear(5)
    world.hear(9, up(7), second, down(7, 8.5))
    world.restart(kill=kill)
    world.hear(10, up(1), first, down(1, 2, "kicked"), up(7), second, down(7, 8.5))
    world.poll(11)
    world.hear(20)
    memory = world.clients["a"].memory
    assert (world.received, tally(memory).epochs) == (2, 2)
    assert left(memory) == {"kicked": 1, "normal": 1}


def test_keys_of_messages_are_kept_for_a_while_and_not_for_ever(lasting: World) -> None:
    world = lasting
    world.poll(0, row(0))
    kept = []
    for turn in range(4):
        at = 1 + turn * DOUBLES_SECONDS
        world.hear(at, sent(at))
        world.hear(at + SETTLE_SECONDS)
        world.restart(kill=True)
        kept.append(len(world.merger._keys))
        world.poll(at + SETTLE_SECONDS, row(0))
    assert kept == [1, 2, 2, 2]  # those of the minute before too
    for turn in range(5, 8):
        world.hear(turn * DOUBLES_SECONDS)
    world.restart(kill=True)
    assert not world.merger._keys


# All together.

STEPS = st.lists(
    st.tuples(
        st.integers(1, 4000),  # milliseconds since the step before
        st.sampled_from(
            (
                *("connect", "connect", "connect", "reconnect kept", "disconnect", "die"),
                *("publish", "publish", "publish", "publish", "drop", "drop"),
                *("poll", "poll", "poll", "long poll", "restart", "kill"),
            )
        ),
    ),
    min_size=20,
    max_size=60,
)
DISORDERS = st.builds(
    Disorder,
    seed=st.integers(0, 1000),
    lose=st.sampled_from([0.0, 0.5, 0.3]),
    double=st.sampled_from([0.0, 0.05, 0.5]),
    reorder_seconds=st.sampled_from([0.0, 2.0]),
    dead=st.sampled_from([(), ((START + 10, START + 40),)]),
)
KEPT = Login(client_id="a", clean_start=False, expiry_interval=30)


def numbers(client: Client) -> Sequence[int]:
    """Return all that must not fall."""
    known = client.memory.connection
    if known is None:
        return [0] * (len(FIELDS) + 2)
    counts = [count or 0 for count in known.totals]
    return [*counts, known.epochs, sum(client.memory.disconnections)]


def truth_of(script: Script) -> Sequence[int]:
    truth = script.truth()["a"]
    received = [truth.received[qos] for qos in range(3)]
    dropped = truth.deliveries_dropped["queue_full"]
    ends = truth.disconnections.total()
    return [sum(received), *received, dropped, truth.connections, ends]


class Lived:
    """A script that is lived through while a world hears and polls; checks what always holds."""

    def __init__(self, world: World, disorder: Disorder) -> None:
        self.world = world
        self.script = Script(refresh_seconds=2)
        self.follower = self.script.follow()
        self.under_way = Disordered(disorder)
        self.heard_at = -1.0
        self.before: Sequence[int] = [0] * (len(FIELDS) + 2)
        self.script.connect(START, "src")
        self.script.connect(START + 0.001, "a")
        self.at = 0.002

    def step(self, what: str) -> None:
        script, at = self.script, START + self.at
        with suppress(KeyError):
            session = script._sessions["a"]
            connected = session.connected
            match what:
                case "publish" if connected:
                    script.publish(at, "a", "up/a", qos=round(at * 1000) % 3)
                case "drop" if not session.expired(round(at * 1000)):
                    message = script.publish(at, "src", "up/a")
                    script.drop_delivery(at, "a", message)
                case "disconnect" | "die" if connected:
                    script.disconnect(at, "a", told=what == "disconnect")
        match what:
            case "connect" | "reconnect kept":
                script.connect(at, "a" if what == "connect" else KEPT)
            case "poll":
                self.poll(0.1)
            case "long poll":
                self.poll(5)
            case "restart" | "kill":
                self.world.restart(kill=what == "kill")
                if self.world.tracker.heard(START) is None:
                    self.poll(0.1)
        self.hear(self.at)

    def hear(self, at: float) -> None:
        """Let all events until then come in, one after the other."""
        for emission in self.follower.take(START + at):
            self.under_way.put(emission)
        events = rules.decode(
            msgspec.json.encode([one.columns for one in self.under_way.due(START + at)])
        ).events
        if events:
            self.heard_at = at
        self.world.hear(at, *events)
        self.check()

    def poll(self, duration: float) -> None:
        """Look at once, and let the poll end after ``duration``; events come in meanwhile."""
        self.hear(self.at)
        began = self.at
        table = self.script.table(START + self.at)
        rows = [table.row(key, None) for key in table.find(["a"])]
        self.at += duration
        self.hear(self.at)
        found = msgspec.convert(rows, list[Row])
        self.world.poll(self.at, *found, duration=duration)
        if self.heard_at < began:
            state = (
                "absent" if not found else ("connected" if found[0].connected else "disconnected")
            )
            assert self.world.state == state
        self.check()

    def check(self) -> None:
        now = numbers(self.world.clients["a"])
        assert all(new >= old for new, old in zip(now, self.before, strict=True)), "it fell"
        truth = truth_of(self.script)
        assert all(new <= real for new, real in zip(now, truth, strict=True)), "it is too high"
        self.before = now

    def end(self) -> None:
        """Let everybody leave and all come in that is under way, and poll."""
        self.at += 1
        self.step("disconnect")
        for _ in range(5):
            self.at += 3
            self.hear(self.at)
        self.poll(0.1)


@settings(max_examples=250)
@given(steps=STEPS, disorder=DISORDERS)
def test_nothing_ever_falls_or_is_too_high_and_polls_have_the_last_word(
    steps: list[tuple[int, str]], disorder: Disorder
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        lived = Lived(World(store=lambda: Store(path, SUMS.counted)), disorder)
        try:
            lived.poll(0.1)
            for milliseconds, what in steps:
                lived.at += milliseconds / 1000
                lived.step(what)
            lived.end()
        finally:
            lived.world.close()
    calm = disorder.lose == 0 and not disorder.dead
    whats = [what for _, what in steps]
    if calm and not {"die", "restart", "kill"}.intersection(whats):
        assert numbers(lived.world.clients["a"]) == truth_of(lived.script)
