"""The lives of devices, seen as EMQX's table shows them."""

from datetime import datetime
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_emqx_monitor.simulator import ProceduralFleet
from tests.simulator.recordings import rows

START = 1_790_000_000.0
DEVICES = 40
HALF_A_MS = 0.0005  # lives go by whole milliseconds: this is surely before or after one

#: Counters of a connection, in the order of EMQX's documentation.
COUNTERS = (
    "recv_oct",
    "recv_cnt",
    "recv_pkt",
    "recv_msg",
    "recv_msg.qos0",
    "recv_msg.qos1",
    "recv_msg.qos2",
    "recv_msg.dropped",
    "recv_msg.dropped.await_pubrel_timeout",
    "send_oct",
    "send_cnt",
    "send_pkt",
    "send_msg",
    "send_msg.qos0",
    "send_msg.qos1",
    "send_msg.qos2",
    "send_msg.dropped",
    "send_msg.dropped.expired",
    "send_msg.dropped.queue_full",
    "send_msg.dropped.too_large",
    "reductions",
)

seeds = st.integers(0, 2**64)
devices = st.integers(0, DEVICES - 1)
unhurried = settings(deadline=None)  # how fast this machine is is not what is tested
times = st.floats(START, START + 90_000)

Row = dict[str, Any]


@lru_cache(maxsize=8)
def fleet_of(seed: int, refresh: float) -> ProceduralFleet:
    return ProceduralFleet(DEVICES, seed, START, refresh)


def row_of(seed: int, device: int, now: float, refresh: float = 15.0) -> Row | None:
    fleet = fleet_of(seed, refresh)
    table = fleet.table(now)
    keys = table.find([fleet.client_ids[device]])
    return dict(table.row(keys[0], None)) if keys else None


def seconds(row: Row, field: str) -> float:
    return datetime.fromisoformat(row[field]).timestamp()


@unhurried
@given(seeds, devices, times)
def test_parts_sum_up_and_packets_cover_messages(seed: int, device: int, now: float) -> None:
    row = row_of(seed, device, now)
    if row is None:
        return
    for way in ("recv_msg", "send_msg"):
        assert row[way] == row[f"{way}.qos0"] + row[f"{way}.qos1"] + row[f"{way}.qos2"]
    assert row["recv_msg.dropped"] == row["recv_msg.dropped.await_pubrel_timeout"]
    assert row["send_msg.dropped"] == (
        row["send_msg.dropped.expired"]
        + row["send_msg.dropped.queue_full"]
        + row["send_msg.dropped.too_large"]
    )
    assert row["recv_pkt"] >= row["recv_msg"] + 1
    assert row["send_pkt"] >= row["send_msg"]
    if "recv_oct" in row:
        assert row["recv_oct"] >= 2 * row["recv_pkt"] + 20 * row["recv_msg"]
        assert row["send_oct"] >= 2 * row["send_pkt"] + 20 * row["send_msg"]
    assert 0 <= row["mqueue_len"] <= row["mqueue_max"]
    assert 0 <= row["inflight_cnt"] <= row["inflight_max"]
    assert all(row.get(counter, 0) >= 0 for counter in COUNTERS)


@unhurried
@given(seeds, devices, times, st.floats(0, 3000))
def test_counters_never_fall_within_a_connection(
    seed: int, device: int, now: float, later: float
) -> None:
    before, after = row_of(seed, device, now), row_of(seed, device, now + later)
    if before is None or after is None:
        return
    if before["connected_at"] == after["connected_at"]:
        for counter in COUNTERS:
            if counter in after:
                assert after[counter] >= before[counter], counter
    if before["created_at"] == after["created_at"]:
        assert after["mqueue_dropped"] >= before["mqueue_dropped"]
    assert seconds(after, "connected_at") >= seconds(before, "connected_at")


@unhurried
@given(seeds, devices, times)
def test_connection_begins_at_zero_while_the_session_goes_on(
    seed: int, device: int, now: float
) -> None:
    row = row_of(seed, device, now)
    if row is None:
        return
    began = seconds(row, "connected_at")
    first = row_of(seed, device, began + HALF_A_MS)
    before = row_of(seed, device, began - HALF_A_MS)
    assert first is not None
    assert first["connected"] is True
    assert first["recv_pkt"] == 1
    assert first["recv_cnt"] == 1
    others = set(COUNTERS) - {"recv_pkt", "recv_cnt", "recv_oct", "reductions"}
    assert {first[counter] for counter in others} == {0}
    if row["is_persistent"]:
        assert before is not None
        assert before["connected"] is False
        assert before["created_at"] == first["created_at"]
        assert before["connected_at"] < first["connected_at"]
        assert before["mqueue_dropped"] <= first["mqueue_dropped"]
    else:
        assert first["created_at"] == first["connected_at"]


@unhurried
@given(seeds, devices, times, st.sampled_from([1.0, 15.0]))
def test_counters_move_only_at_refreshes_since_the_connection_began(
    seed: int, device: int, now: float, refresh: float
) -> None:
    row = row_of(seed, device, now, refresh)
    if row is None or not row["connected"]:
        return
    age = now - seconds(row, "connected_at")
    refreshed = row_of(seed, device, now - age % refresh + 0.002, refresh)
    if age % refresh < 0.002 or age % refresh > refresh - 0.002:
        return  # the clock of the row counts whole milliseconds
    assert row == refreshed


@unhurried
@given(seeds, times)
def test_kept_session_stays_as_a_row_and_loses_its_socket_counters(seed: int, now: float) -> None:
    tracker = 1
    row = row_of(seed, tracker, now)
    assert row is not None
    gone = seconds(row, "connected_at")
    while (away := row_of(seed, tracker, gone)) is None or away["connected"]:
        gone += 20
    left = seconds(away, "disconnected_at")
    last = row_of(seed, tracker, left - HALF_A_MS)
    soon = row_of(seed, tracker, left + 16.9)
    late = row_of(seed, tracker, left + 17.1)
    assert last is not None
    assert soon is not None
    assert late is not None
    assert "disconnected_at" not in last
    assert [soon[counter] for counter in COUNTERS] == [last[counter] for counter in COUNTERS]
    assert soon.keys() - late.keys() == {"recv_oct", "send_oct", "recv_cnt", "send_cnt"}
    assert late["recv_pkt"] > last["recv_pkt"]  # DISCONNECT at least


def test_device_without_a_kept_session_has_no_row_while_it_is_away() -> None:
    meter = 3
    seen = [row_of(1, meter, START + second) for second in range(700)]
    assert None in seen
    assert {row["connected"] for row in seen if row is not None} == {True}


def test_queue_of_a_kept_session_fills_overflows_and_is_delivered() -> None:
    fleet = ProceduralFleet(8000, 3, START)
    away = [row for row in all_rows(fleet, START) if not row["connected"]]
    full = max(away, key=lambda row: int(row["send_msg.dropped.queue_full"]))
    assert full["mqueue_len"] == 1000
    assert full["send_msg.dropped.queue_full"] > 0
    assert full["mqueue_dropped"] >= full["send_msg.dropped.queue_full"]

    now = START
    while not (back := _row(fleet, full["clientid"], now))["connected"]:
        now += 5
    assert back["send_msg"] == 0
    assert back["send_msg.dropped.queue_full"] == 0
    assert back["mqueue_dropped"] >= full["mqueue_dropped"]

    delivered = _row(fleet, full["clientid"], now + 16)
    assert delivered["send_msg"] >= 1000
    assert delivered["mqueue_len"] == 0


def all_rows(fleet: ProceduralFleet, now: float) -> list[Row]:
    table = fleet.table(now)
    keys = table.keys()
    return [dict(table.row(key, None)) for key in keys]


def _row(fleet: ProceduralFleet, client_id: str, now: float) -> Row:
    table = fleet.table(now)
    return dict(table.row(table.find([client_id])[0], None))


@pytest.mark.parametrize(
    "recorded, connected, socket_open",
    [
        ("17_single_connected", True, True),
        ("02_after_c_disconnect_immediately", False, True),
        ("51_persist_disconnected", False, False),
    ],
)
def test_rows_have_the_fields_and_types_of_recorded_rows(
    recorded: str, connected: bool, socket_open: bool
) -> None:
    [model] = rows(recorded)
    alike = [
        row
        for row in all_rows(ProceduralFleet(2000, 1, START), START)
        if row["connected"] is connected and ("recv_oct" in row) is socket_open
    ]
    assert len(alike) > 5
    for row in alike:
        assert row.keys() | {"node"} == model.keys()
        for field, value in row.items():
            if field != "username":
                assert type(value) is type(model[field]), field
    assert {type(row["username"]) for row in alike} <= {str, type(None)}


def test_instants_are_printed_as_emqx_prints_them() -> None:
    row = row_of(1, 0, START)
    assert row is not None
    [model] = rows("17_single_connected")
    assert len(row["connected_at"]) == len(model["connected_at"])
    assert row["connected_at"].endswith("+00:00")
    assert row["connected_at"][-10] == "."
