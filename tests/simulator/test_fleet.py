from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_emqx_monitor.simulator import ProceduralFleet, StaticFleet
from otel_emqx_monitor.simulator.devices import Device, draw_device, home_of, kind_of
from otel_emqx_monitor.simulator.fleet import Table

START = 1_790_000_000.0


def all_rows(table: Table) -> list[dict[str, Any]]:
    keys = table.keys()
    return [dict(table.row(key, None)) for key in keys]


def ids(table: Table) -> list[Any]:
    return [row["clientid"] for row in all_rows(table)]


def test_client_ids_are_the_same_in_every_fleet_and_begin_with_every_kind() -> None:
    expected = ["sensor-000000", "tracker-000001", "panel-000002", "meter-000003", "gateway-000004"]
    assert list(ProceduralFleet(5, 1, START).client_ids) == expected
    assert list(ProceduralFleet(500, 2, START + 99).client_ids[:5]) == expected


def test_same_seed_gives_the_same_rows_and_another_seed_gives_others() -> None:
    now = START + 12_345.6
    rows = all_rows(ProceduralFleet(100, 1, START).table(now))
    assert all_rows(ProceduralFleet(100, 1, START).table(now)) == rows
    assert all_rows(ProceduralFleet(100, 2, START).table(now)) != rows


def test_known_seed_gives_known_rows() -> None:
    table = ProceduralFleet(10, 1, START).table(START + 100)
    known: list[dict[str, object]] = [
        {
            "clientid": "tracker-000001",
            "username": "fleet-34",
            "connected_at": "2026-09-21T14:07:16.151+00:00",
            "recv_pkt": 53,
            "recv_msg": 26,
            "recv_oct": 3540,
            "send_msg": 10,
        },
        {
            "clientid": "gateway-000004",
            "username": None,
            "connected_at": "2026-09-21T13:38:14.380+00:00",
            "recv_msg": 9863,
            "send_msg.dropped": 754,
            "mqueue_dropped": 616,
        },
    ]
    for expected in known:
        row = table.row(table.find([str(expected["clientid"])])[0], None)
        assert {field: row[field] for field in expected} == expected


@pytest.mark.parametrize("after", [0, 60, 3600, 86_400])
def test_about_nine_in_ten_clients_are_connected(after: float) -> None:
    table = ProceduralFleet(3000, 1, START).table(START + after)
    assert 0.88 < table.connected() / 3000 < 0.94
    assert table.connected() == sum(row["connected"] for row in all_rows(table))


def test_rows_come_in_descending_order_of_client_ids() -> None:
    found = ids(ProceduralFleet(300, 1, START).table(START))
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


@settings(deadline=None)
@given(st.integers(0, 9), st.floats(START, START + 5000))
def test_find_agrees_with_the_whole_table(seed: int, now: float) -> None:
    fleet = ProceduralFleet(60, seed, START)
    table = fleet.table(now)
    assert list(table.find(fleet.client_ids)) == list(table.keys())
    assert list(table.find(["nobody", ""])) == []


def test_clients_come_and_go() -> None:
    fleet = ProceduralFleet(400, 1, START)
    tables = [set(ids(fleet.table(START + minute * 60))) for minute in range(10)]
    assert len({frozenset(present) for present in tables}) == 10
    assert len(set.intersection(*tables)) >= 360


def test_fleet_of_nobody_is_an_empty_table() -> None:
    table = ProceduralFleet(0, 1, START).table(START)
    assert list(table.keys()) == []
    assert table.connected() == 0


def test_impossible_fleets_are_refused() -> None:
    with pytest.raises(ValueError, match="a fleet cannot have -1 clients"):
        ProceduralFleet(-1, 1, START)
    with pytest.raises(ValueError, match="cannot be refreshed every 0 seconds"):
        ProceduralFleet(1, 1, START, refresh_seconds=0)


def test_devices_are_drawn_only_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counting(seed: int, index: int, started_ms: int) -> Device:
        drawn.append(index)
        return draw_device(seed, index, started_ms)

    monkeypatch.setattr("otel_emqx_monitor.simulator.fleet.draw_device", counting)
    table = ProceduralFleet(100_000, 1, START).table(START)
    keys = table.keys()
    assert len(keys) > 94_000
    assert len(drawn) == 5000  # the meters: whether they are there has to be known
    for key in keys[:100]:
        table.row(key, None)
    assert len(drawn) <= 5100


def test_static_rows_are_sorted_by_bytes_and_keep_their_order_within_an_id() -> None:
    old, new = {"clientid": "b", "n": 1}, {"clientid": "b", "n": 2}
    fleet = StaticFleet([{"clientid": "Ü"}, old, {"clientid": "a"}, new, {"clientid": "z"}])
    table = fleet.table(0)
    assert ids(table) == ["Ü", "z", "b", "b", "a"]
    assert [table.row(key, None)["n"] for key in table.find(["b"])] == [1, 2]


def test_static_rows_can_be_replaced_while_a_table_is_being_read() -> None:
    fleet = StaticFleet([{"clientid": "a", "connected": True}])
    before = fleet.table(0)
    fleet.replace([{"clientid": "b", "connected": False}, {"clientid": "c"}])
    assert ids(before) == ["a"]
    assert before.connected() == 1
    assert ids(fleet.table(0)) == ["c", "b"]
    assert fleet.table(0).connected() == 0


def test_nodes_share_the_fleet_evenly_and_hold_each_client_once() -> None:
    fleet = ProceduralFleet(600, 1, START)
    shares = fleet.on_nodes(3)
    for now in (START, START + 1234, START + 50_000):
        tables = [share.table(now) for share in shares]
        whole = fleet.table(now)
        held = [set(table.keys()) for table in tables]
        assert sorted(key for keys in held for key in keys) == list(whole.keys())
        assert all(170 < len(keys) < 230 for keys in held)
        assert sum(table.connected() for table in tables) == whole.connected()


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 7])
def test_every_node_is_home_to_as_many_of_each_kind(nodes: int) -> None:
    for kind in {kind_of(index) for index in range(20)}:
        homes = Counter(home_of(1, index, nodes) for index in range(2000) if kind_of(index) is kind)
        assert len(homes) == nodes
        assert max(homes.values()) - min(homes.values()) <= 1


def test_find_on_a_node_agrees_with_its_table() -> None:
    fleet = ProceduralFleet(300, 1, START)
    for share in fleet.on_nodes(2):
        table = share.table(START + 700)
        assert list(table.find(fleet.client_ids)) == list(table.keys())


def test_tracker_takes_its_session_to_another_node_with_a_new_connection() -> None:
    shares = ProceduralFleet(2, 1, START).on_nodes(2)
    seen = []
    for minute in range(600):
        tables = [share.table(START + minute * 60) for share in shares]
        [(number, row)] = [
            (number, table.row(keys[0], None))
            for number, table in enumerate(tables)
            if (keys := table.find(["tracker-000001"]))
        ]
        seen.append((number, row["connected_at"], row["created_at"]))
    places = {connected_at: number for number, connected_at, _ in seen}
    assert len(set(seen)) == len(places)  # one node for each connection
    assert set(places.values()) == {0, 1}
    assert len({created_at for _, _, created_at in seen}) == 1


def test_devices_that_keep_no_session_stay_on_their_node() -> None:
    first, second = ProceduralFleet(400, 1, START).on_nodes(2)
    of_first, of_second = (
        {id_ for hour in range(12) for id_ in ids(share.table(START + hour * 3600))}
        for share in (first, second)
    )
    assert {id_.partition("-")[0] for id_ in of_first & of_second} == {"tracker"}
