"""What holds for any sequence of polls, seen in the exposition as Prometheus would scrape it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.rows import NodeState, Poll, Row, newest_by_id
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.instruments import counted_by, register
from otel_emqx_monitor.meter import BulkMeterProvider
from otel_emqx_monitor.readers.exposition import TEXT, family
from otel_emqx_monitor.selection import selection_of
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.tracker import Habits, Tracker
from tests.fleets import CALM, FixedSource
from tests.processes import settings

BEGIN = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC)
FLAGS = frozenset(
    {"enable_processed_counters", "enable_bytes_metrics", "enable_queue_metrics"}
    | {"enable_connection_counters"}
)
COUNTED = counted_by(FLAGS)
ONE, TWO = "emqx@127.0.0.1", "emqx2@127.0.0.1"

#: One with a name of its own, and two of a pattern.
IDS = ("named", "dev-1", "dev-2")
SELECTION = {
    "monitored_clients": [
        {"alias": "Named", "client_id": "named"},
        {"client_id_glob": "dev-*", "alias": "{client_id}"},
    ]
}

#: Seconds until a client that is gone is forgotten, where that is what a test is about.
FORGET_AFTER = 100.0

#: A series of an exposition: its name and its labels.
Series = tuple[str, tuple[tuple[str, str], ...]]

counts = st.one_of(st.none(), st.integers(0, 20), st.just(2**63 - 1))
moments = st.one_of(
    st.none(), st.integers(0, 8).map(lambda minute: BEGIN + timedelta(minutes=minute))
)
rows = st.builds(
    Row,
    clientid=st.sampled_from(IDS),
    connected=st.sampled_from([True, True, True, False, None]),
    connected_at=moments,
    disconnected_at=moments,
    created_at=moments,
    username=st.sampled_from([None, "sue", "bob"]),
    node=st.sampled_from([None, ONE, TWO]),
    recv_msg=counts,
    send_msg=counts,
    recv_oct=counts,
    mqueue_dropped=counts,
)


@st.composite
def polls(draw: st.DrawFn) -> Poll:
    """Return a poll whose time is the seconds since the one before; node two may not answer."""
    found = newest_by_id(draw(st.lists(rows, max_size=6)))
    state = draw(st.sampled_from([NodeState.RUNNING, NodeState.HANGING, NodeState.STOPPED]))
    blind = {} if state is NodeState.RUNNING else {TWO: draw(st.sampled_from([5.0, 65.0]))}
    if blind:
        found = {one: row for one, row in found.items() if row.node != TWO}
    passed = draw(st.sampled_from([15.0, 40.0, 101.0]))
    return Poll(found, passed, 0.1, {ONE: NodeState.RUNNING, TWO: state}, blind)


#: A poll that fails is ``None``: the tracker hears nothing of it, and data that are too old end.
sequences = st.lists(st.one_of(polls(), polls(), polls(), st.none()), min_size=2, max_size=12)


def expositions(
    sequence: Sequence[Poll | None], *, summed: bool, forget_after: float
) -> list[tuple[Poll | None, dict[Series, float]]]:
    """Return each poll, timed, and the counters of clients in the exposition after it."""
    config = Config.model_validate(settings("http://emqx/api/") | SELECTION)
    habits = Habits(COUNTED if summed else None, forget_after=forget_after)
    now = BEGIN.timestamp()
    following = Tracker(selection_of(config), habits, now)
    fleet = following.initial
    after: list[tuple[Poll | None, dict[Series, float]]] = []
    for poll in sequence:
        now += 15.0 if poll is None else poll.finished_at
        timed = None if poll is None else _at(poll, now)
        fleet = fleet.forgotten() if timed is None else following.apply(timed)
        after.append((timed, counters(fleet)))
    return after


def _at(poll: Poll, now: float) -> Poll:
    return Poll(poll.rows, now, poll.duration, poll.nodes, poll.blind)


def counters(fleet: Fleet) -> dict[Series, float]:
    """Return the counters of clients as an exposition of ``fleet`` has them."""
    provider = BulkMeterProvider()
    source = FixedSource(Snapshot("emqx", fleet, CALM, started_at=500.0), FLAGS)
    register(provider.get_meter("properties"), source)
    text = b"".join(family(reading, TEXT) for reading in provider.collect()).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for one in text_string_to_metric_families(text)
        for sample in one.samples
        if one.type == "counter" and "client_id" in sample.labels
    }


def client_of(series: Series) -> str:
    return dict(series[1])["client_id"]


def fallen(before: Mapping[Series, float], after: Mapping[Series, float]) -> list[Series]:
    """Return the series that fell or ended."""
    return [series for series, value in before.items() if after.get(series, -1.0) < value]


@given(sequences)
def test_summed_counters_never_fall_nor_end(sequence: list[Poll | None]) -> None:
    after = [told for _, told in expositions(sequence, summed=True, forget_after=1e9)]
    for one, other in pairwise(after):
        assert fallen(one, other) == []


@given(sequences)
def test_summed_counters_fall_and_end_only_when_a_client_is_forgotten(
    sequence: list[Poll | None],
) -> None:
    seen: dict[str, float] = {}
    before: dict[Series, float] = {}
    for poll, told in expositions(sequence, summed=True, forget_after=FORGET_AFTER):
        fell = {client_of(series) for series in fallen(before, told)}
        assert poll is not None or not fell
        if poll is not None:
            may = {one for one in IDS if _may_be_forgotten(seen.get(one), one, poll)}
            assert fell <= may
            seen |= {one: poll.finished_at for one, row in poll.rows.items() if row.connected}
        before = told


def _may_be_forgotten(seen: float | None, client_id: str, poll: Poll) -> bool:
    """Whether a client is gone that no poll has found connected for long enough."""
    gone = client_id not in poll.rows
    return gone and (seen is None or poll.finished_at - seen > FORGET_AFTER)


@pytest.mark.parametrize("summed", [False, True], ids=["live", "cumulative"])
@given(sequence=sequences)
def test_the_count_of_connections_never_falls_whatever_counters_say(
    sequence: list[Poll | None], summed: bool
) -> None:
    seen: dict[Series, float] = {}
    for _, told in expositions(sequence, summed=summed, forget_after=1e9):
        connections = {
            series: value for series, value in told.items() if "connections" in series[0]
        }
        assert fallen({one: seen[one] for one in seen.keys() & connections.keys()}, told) == []
        seen |= connections


def test_a_counter_that_falls_would_be_noticed() -> None:
    """The properties above do see what live counters do."""
    row: dict[str, Any] = {"clientid": "named", "connected": True}
    sequence = [
        Poll({"named": Row(**row, connected_at=BEGIN, recv_msg=received)}, 15.0, 0.1)
        for received in (5, 3)
    ]
    [(_, one), (_, other)] = expositions(sequence, summed=False, forget_after=1e9)
    assert [series[0] for series in fallen(one, other)] == [
        "emqx_client_monitor_messages_processed_total"
    ]
