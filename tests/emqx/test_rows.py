import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.emqx.rows import Row, decode_page, decode_row, newest_by_id


def row(**fields: Any) -> Row:
    return decode_row(json.dumps({"clientid": "a"} | fields).encode())


def test_dotted_fields_are_read_under_names_with_underscores() -> None:
    decoded = row(**{"recv_msg.qos1": 7, "send_msg.dropped.queue_full": 3})
    assert decoded.recv_msg_qos1 == 7
    assert decoded.send_msg_dropped_queue_full == 3


def test_a_missing_field_and_a_null_are_not_known() -> None:
    decoded = row(recv_oct=None, connected_at=None, username=None)
    assert (decoded.recv_oct, decoded.send_oct) == (None, None)
    assert (decoded.connected_at, decoded.username, decoded.connected) == (None, None, None)


def test_fields_that_are_not_needed_may_hold_anything() -> None:
    decoded = row(subscriptions_max="infinity", client_attrs={"a": [1]}, from_the_future=-1.5)
    assert decoded == Row(clientid="a")


def test_instants_of_nodes_in_different_zones_compare() -> None:
    assert row(connected_at="2026-01-02T03:04:05.678+08:00").connected_at == datetime(
        2026, 1, 1, 19, 4, 5, 678_000, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "nonsense",
    [
        {"recv_msg": -1},
        {"recv_msg": 1.5},
        {"recv_msg": "7"},
        {"recv_msg": 2**63},
        {"recv_msg": True},
        {"connected": "yes"},
        {"connected": 1},
        {"connected_at": "yesterday"},
        {"connected_at": "2026-01-02T03:04:05"},
        {"connected_at": 1_790_000_000_000},
        {"clientid": ""},
        {"clientid": 5},
        {"clientid": None},
    ],
)
def test_nonsense_is_refused(nonsense: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        row(**nonsense)


def test_a_row_without_a_client_id_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_row(b'{"connected": true}')


def test_a_page_needs_its_data_and_meta() -> None:
    page = decode_page(b'{"data":[{"clientid":"a"}],"meta":{"count":1,"hasnext":false,"page":1}}')
    assert page.data == [Row(clientid="a")]
    assert (page.meta.count, page.meta.hasnext) == (1, False)
    with pytest.raises(msgspec.ValidationError):
        decode_page(b'{"data":[]}')


def test_of_two_rows_the_connected_one_counts_even_if_it_is_older() -> None:
    gone = row(connected=False, connected_at="2026-01-01T00:00:09+00:00")
    here = row(connected=True, connected_at="2026-01-01T00:00:01+00:00")
    assert newest_by_id([gone, here]) == newest_by_id([here, gone]) == {"a": here}


def test_of_two_connected_rows_the_newer_counts() -> None:
    old = row(connected=True, connected_at="2026-01-01T00:00:01.000+00:00")
    new = row(connected=True, connected_at="2026-01-01T02:00:01.001+02:00")
    assert newest_by_id([new, old]) == newest_by_id([old, new]) == {"a": new}


def test_a_row_that_does_not_say_when_it_connected_loses() -> None:
    silent = row(connected=True)
    telling = row(connected=True, connected_at="2026-01-01T00:00:01+00:00")
    assert newest_by_id([silent, telling]) == newest_by_id([telling, silent]) == {"a": telling}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = [*Row.__struct_encode_fields__, "subscriptions_max", "x"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_json_is_a_row_or_refused(fields: dict[str, Any]) -> None:
    try:
        decoded = decode_row(json.dumps(fields).encode())
    except msgspec.DecodeError:
        return
    assert decoded.clientid == fields["clientid"]
    for name, value in zip(
        Row.__struct_encode_fields__, msgspec.structs.astuple(decoded), strict=True
    ):
        assert value is not None or fields.get(name) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_page_or_refused(body: bytes) -> None:
    with suppress(msgspec.DecodeError):
        decode_page(body)
