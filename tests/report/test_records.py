import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from otel_emqx_monitor.emqx.rows import Row, attribute
from otel_emqx_monitor.fleet import State
from otel_emqx_monitor.report import FIELDS, render_csv, render_json

from .fleets import MIXED, NOW, client, fleet, known_by

NOTHING = {"messages": None, "dropped": None, "packets": None, "bytes": None}

STRANGE_IDS = (
    'comma, "quote"',
    "line\nfeed",
    "carriage\rreturn",
    "both\r\n",
    " spaces ",
    "=1+1",
    "+1",
    "-1",
    "@sum",
    "\ttab",
    "\x1b[31mred\x9b",
    "ünï→漢😀",
)


def test_fields_are_those_whose_values_are_shown() -> None:
    def shown(row: Row) -> str:
        return render_json(fleet(client("a", "a", State.CONNECTED, row)), "home", NOW)

    values: dict[str, Any] = {"username": "house", "connected_at": NOW, "created_at": NOW}
    full = Row(**{name: values.get(name, 1) for name in Row.__struct_fields__})
    used = {
        name
        for name in set(Row.__struct_fields__) - {"clientid", "connected"}
        if shown(msgspec.structs.replace(full, **{name: None})) != shown(full)
    }
    assert {attribute(field) for field in FIELDS} == used | {"clientid", "connected"}


def test_json_says_all_that_is_known_and_null_for_the_rest() -> None:
    assert json.loads(render_json(MIXED, "home", NOW)) == {
        "broker": "home",
        "checked_at": "2026-03-01T12:00:00.000Z",
        "clients": [
            {
                "alias": "attic",
                "client_id": "esp-4",
                "username": None,
                "state": "unknown",
                "created_at": None,
                "connected_at": None,
                "keepalive_seconds": None,
                "subscriptions": None,
                "inflight": None,
                "rx": NOTHING,
                "tx": NOTHING,
                "last_seen": None,
                "overdue": None,
            },
            {
                "alias": "door",
                "client_id": "esp-2",
                "username": "",
                "state": "disconnected",
                "created_at": "2026-02-28T12:00:00.000Z",
                "connected_at": "2026-02-28T13:00:00.000Z",
                "keepalive_seconds": 90,
                "subscriptions": 1,
                "inflight": 0,
                "rx": {"messages": 5, "dropped": 1, "packets": 9, "bytes": None},
                "tx": {"messages": 0, "dropped": 0, "packets": 4, "bytes": None},
                "last_seen": None,
                "overdue": None,
            },
            {
                "alias": "lamp",
                "client_id": "esp-1",
                "username": "house",
                "state": "connected",
                "created_at": "2026-02-01T00:00:00.000Z",
                "connected_at": "2026-03-01T11:58:30.123Z",
                "keepalive_seconds": 0,
                "subscriptions": 2,
                "inflight": 1,
                "rx": {"messages": 10, "dropped": 0, "packets": 25, "bytes": 1234},
                "tx": {"messages": 7, "dropped": 3, "packets": 12, "bytes": 567},
                "last_seen": None,
                "overdue": None,
            },
            {
                "alias": "porch",
                "client_id": "esp-3",
                "username": None,
                "state": "absent",
                "created_at": None,
                "connected_at": None,
                "keepalive_seconds": None,
                "subscriptions": None,
                "inflight": None,
                "rx": NOTHING,
                "tx": NOTHING,
                "last_seen": None,
                "overdue": None,
            },
        ],
    }


def test_json_is_indented_and_its_keys_keep_their_order() -> None:
    assert render_json(fleet(client("a", "b", State.ABSENT)), "home", NOW) == (
        """\
{
  "broker": "home",
  "checked_at": "2026-03-01T12:00:00.000Z",
  "clients": [
    {
      "alias": "a",
      "client_id": "b",
      "username": null,
      "state": "absent",
      "created_at": null,
      "connected_at": null,
      "keepalive_seconds": null,
      "subscriptions": null,
      "inflight": null,
      "rx": {
        "messages": null,
        "dropped": null,
        "packets": null,
        "bytes": null
      },
      "tx": {
        "messages": null,
        "dropped": null,
        "packets": null,
        "bytes": null
      },
      "last_seen": null,
      "overdue": null
    }
  ]
}"""
    )


@pytest.mark.parametrize("client_id", STRANGE_IDS)
def test_json_carries_any_id_in_printable_ascii(client_id: str) -> None:
    text = render_json(fleet(known_by(client_id)), "home", NOW)
    assert json.loads(text)["clients"][0]["client_id"] == client_id
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


def test_json_puts_the_time_of_the_check_into_utc() -> None:
    noon_in_tokyo = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=9)))
    assert json.loads(render_json(fleet(), "home", noon_in_tokyo)) == {
        "broker": "home",
        "checked_at": "2026-03-01T03:00:00.000Z",
        "clients": [],
    }


def test_an_instant_that_utc_cannot_express_keeps_its_offset() -> None:
    first_day = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    row = Row(clientid="a", created_at=first_day)
    text = render_json(fleet(client("a", "a", State.CONNECTED, row)), "home", NOW)
    assert json.loads(text)["clients"][0]["created_at"] == "0001-01-01T00:00:00.000+14:00"


def test_csv_has_a_header_and_one_line_a_client_sorted_by_alias() -> None:
    assert render_csv(MIXED, NOW) == (
        "alias,client_id,username,state,created_at,connected_at,keepalive_seconds,"
        "subscriptions,inflight,rx_messages,rx_dropped,rx_packets,rx_bytes,"
        "tx_messages,tx_dropped,tx_packets,tx_bytes,last_seen,overdue\n"
        "attic,esp-4,,unknown,,,,,,,,,,,,,,,\n"
        "door,esp-2,,disconnected,2026-02-28T12:00:00.000Z,2026-02-28T13:00:00.000Z,90,"
        "1,0,5,1,9,,0,0,4,,,\n"
        "lamp,esp-1,house,connected,2026-02-01T00:00:00.000Z,2026-03-01T11:58:30.123Z,0,"
        "2,1,10,0,25,1234,7,3,12,567,,\n"
        "porch,esp-3,,absent,,,,,,,,,,,,,,,\n"
    )


def test_csv_of_no_clients_is_the_header() -> None:
    assert render_csv(fleet(), NOW).count("\n") == 1


@pytest.mark.parametrize("client_id", STRANGE_IDS)
def test_csv_carries_any_id_unchanged(client_id: str) -> None:
    text = render_csv(fleet(known_by(client_id, alias="a"), known_by("next", alias="b")), NOW)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["client_id"] for row in rows] == [client_id, "next"]


def test_csv_quotes_what_rfc_4180_says() -> None:
    text = render_csv(fleet(known_by('say "hi", you', alias="carriage\rreturn")), NOW)
    assert text.splitlines(keepends=False)[-1].startswith('return","say ""hi"", you",,connected,')
    assert text.splitlines()[1] == '"carriage'


def test_records_of_one_alias_are_sorted_by_client_id() -> None:
    both = fleet(known_by("2", alias="twin"), known_by("1", alias="twin"))
    assert [line.split(",")[1] for line in render_csv(both, NOW).splitlines()[1:]] == ["1", "2"]


def test_times_are_in_utc_whatever_the_offset_of_the_node() -> None:
    local = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    row = Row(clientid="a", connected_at=local, created_at=local.astimezone(UTC))
    line = render_csv(fleet(client("a", "a", State.CONNECTED, row)), NOW).splitlines()[1]
    assert line.split(",")[4:6] == ["2025-12-31T23:30:00.000Z", "2025-12-31T23:30:00.000Z"]
