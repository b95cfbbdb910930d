from datetime import timedelta

import pytest

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Fleet, State
from otel_emqx_monitor.report import render_table
from otel_emqx_monitor.report.table import Title

from .fleets import EXAMPLE, MIXED, NOW, client, fleet, known_by


def table(
    clients: Fleet,
    *,
    title_column: Title = "Alias",
    color: bool = False,
    encoding: str = "utf-8",
) -> list[str]:
    return list(
        render_table(clients, NOW, title_column=title_column, color=color, encoding=encoding)
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_table_is_that_of_the_original() -> None:
    expected = """
┏━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━┳━━━━━┳━━━━━━━┳━━━━━━━━━┳━━━━━━┳━━━━━┳━━━━━━┓
┃                        ┃    Created ┃  Keep ┃  Connected ┃ Sub ┃ MsgIn ┃      RX ┃   RX ┃  TX ┃   TX ┃
┃ Alias                  ┃ (time ago) ┃ alive ┃ (time ago) ┃ Cnt ┃ Flght ┃     Msg ┃ Drop ┃ Msg ┃ Drop ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━╇━━━━━╇━━━━━━━╇━━━━━━━━━╇━━━━━━╇━━━━━╇━━━━━━┩
│ HumidifierWaterRefTerm │   16 hours │   10s │   16 hours │   4 │     0 │   24279 │    0 │  16 │    0 │
│ QingpingCO2_Room1      │   a second │    2m │   a second │   0 │     0 │       0 │    0 │   0 │    0 │
│ QingpingCO2_Room2      │  4 minutes │    2m │  4 minutes │   1 │     0 │       2 │    0 │   0 │    0 │
│ QingpingCO2_Room3      │    13 days │    2m │    13 days │   1 │     0 │   38455 │    0 │  69 │    0 │
│ QingpingIoTMQTT_Client │ 39 minutes │    1m │ 39 minutes │   8 │     0 │       0 │    0 │ 126 │    0 │
│ RTL433_Room1           │    a month │    1m │   23 hours │   0 │     0 │  702456 │    0 │   0 │    0 │
│ RTL433_Room2           │    30 days │    1m │    18 days │   0 │     0 │ 5184897 │    0 │   0 │    0 │
│ ZAMEL                  │     7 days │   32s │     7 days │   0 │     0 │ 6007727 │    0 │   0 │    0 │
└────────────────────────┴────────────┴───────┴────────────┴─────┴───────┴─────────┴──────┴─────┴──────┘
"""  # noqa: E501 - that is how wide this table is
    assert table(EXAMPLE) == expected.strip().splitlines()


def test_client_that_is_not_connected_shows_its_state_and_what_is_not_known_a_dash() -> None:
    assert table(MIXED) == [
        "┏━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━┳━━━━━━━┳━━━━━┳━━━━━━┳━━━━━┳━━━━━━┓",
        "┃       ┃    Created ┃   Keep ┃    Connected ┃ Sub ┃ MsgIn ┃  RX ┃   RX ┃  TX ┃   TX ┃",
        "┃ Alias ┃ (time ago) ┃  alive ┃   (time ago) ┃ Cnt ┃ Flght ┃ Msg ┃ Drop ┃ Msg ┃ Drop ┃",
        "┡━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━╇━━━━━━━╇━━━━━╇━━━━━━╇━━━━━╇━━━━━━┩",
        "│ attic │          - │      - │      unknown │   - │     - │   - │    - │   - │    - │",
        "│ door  │      a day │ 1m 30s │ disconnected │   1 │     0 │   5 │    1 │   0 │    0 │",
        "│ lamp  │    28 days │    off │     a minute │   2 │     1 │  10 │    0 │   7 │    3 │",
        "│ porch │          - │      - │       absent │   - │     - │   - │    - │   - │    - │",
        "└───────┴────────────┴────────┴──────────────┴─────┴───────┴─────┴──────┴─────┴──────┘",
    ]


def test_no_clients_leave_the_header() -> None:
    assert table(fleet()) == [
        "┏━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━┳━━━━━┳━━━━━━━┳━━━━━┳━━━━━━┳━━━━━┳━━━━━━┓",
        "┃       ┃    Created ┃  Keep ┃  Connected ┃ Sub ┃ MsgIn ┃  RX ┃   RX ┃  TX ┃   TX ┃",
        "┃ Alias ┃ (time ago) ┃ alive ┃ (time ago) ┃ Cnt ┃ Flght ┃ Msg ┃ Drop ┃ Msg ┃ Drop ┃",
        "┡━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━╇━━━━━╇━━━━━━━╇━━━━━╇━━━━━━╇━━━━━╇━━━━━━┩",
        "└───────┴────────────┴───────┴────────────┴─────┴───────┴─────┴──────┴─────┴──────┘",
    ]


def test_client_id_column_names_and_sorts_by_client_id() -> None:
    lines = table(MIXED, title_column="Client ID")
    assert cells(lines[2].replace("┃", "│"))[0] == "Client ID"
    assert [cells(line)[0] for line in lines[4:-1]] == ["esp-1", "esp-2", "esp-3", "esp-4"]


def test_color_marks_names_headings_zeros_drops_and_clients_that_are_not_connected() -> None:
    lines = table(MIXED, color=True)
    assert lines[2].startswith("┃ \x1b[1;35mAlias\x1b[0m ┃ \x1b[1;35m(time ago)\x1b[0m ┃")
    assert lines[5] == (
        "│ \x1b[1mdoor\x1b[0m  │      a day │ 1m 30s │ \x1b[1;31mdisconnected\x1b[0m │   1 │"
        "     \x1b[2m0\x1b[0m │   5 │    \x1b[1;31m1\x1b[0m │   \x1b[2m0\x1b[0m │"
        "    \x1b[2m0\x1b[0m │"
    )
    assert lines[6] == (
        "│ \x1b[1mlamp\x1b[0m  │    28 days │    off │     a minute │   2 │"
        "     1 │  10 │    \x1b[2m0\x1b[0m │   7 │    \x1b[1;31m3\x1b[0m │"
    )
    assert lines[7] == (
        "│ \x1b[1mporch\x1b[0m │          - │      - │       \x1b[1;31mabsent\x1b[0m │   - │"
        "     - │   - │    - │   - │    - │"
    )


def test_an_encoding_without_the_borders_gets_them_in_ascii_and_values_escaped() -> None:
    assert table(fleet(known_by("ü→")), encoding="ascii") == [
        "+------------+------------+-------+------------+-----+-------+-----+------+-----+------+",
        "|            |    Created |  Keep |  Connected | Sub | MsgIn |  RX |   RX |  TX |   TX |",
        "| Alias      | (time ago) | alive | (time ago) | Cnt | Flght | Msg | Drop | Msg | Drop |",
        "+------------+------------+-------+------------+-----+-------+-----+------+-----+------+",
        r"| \xfc\u2192 |          - |     - |          - |   - |     - |   - |    - |   - |    - |",
        "+------------+------------+-------+------------+-----+-------+-----+------+-----+------+",
    ]


def test_only_what_an_encoding_lacks_is_escaped() -> None:
    assert table(fleet(known_by("kühl→")), encoding="latin-1")[4].startswith(r"| kühl\u2192 | ")
    assert table(fleet(known_by("汉😀")), encoding="gb2312")[4].startswith(r"│ 汉\U0001f600 │ ")


def test_wide_characters_take_two_columns() -> None:
    lines = table(fleet(known_by("漢字"), known_by("kühl"), known_by("abc")))
    assert [line.split("│")[1] for line in lines[4:-1]] == [" abc   ", " kühl  ", " 漢字  "]


def test_an_id_cannot_drive_the_terminal_or_fake_a_row() -> None:
    lines = table(fleet(known_by("a\x1b[2J\n│ fake\u202e")))
    assert len(lines) == 6
    assert lines[4].startswith(r"│ a\x1b[2J\x0a│ fake\u202e │ ")


def test_values_are_shown_whole_however_long() -> None:
    long = "x" * 5000
    lines = table(fleet(known_by(long)))
    assert cells(lines[4])[0] == long
    assert {len(line) for line in lines} == {5078}


@pytest.mark.parametrize(
    "seconds, text",
    [
        (-3600, "a moment"),
        (0, "a moment"),
        (0.999, "a moment"),
        (1, "a second"),
        (59.9, "59 seconds"),
        (60, "a minute"),
        (119, "a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "an hour"),
        (7200, "2 hours"),
        (86399, "23 hours"),
        (86400, "a day"),
        (30 * 86400, "30 days"),
        (31 * 86400, "a month"),
        (61 * 86400, "2 months"),
        (364 * 86400, "11 months"),
        (365 * 86400, "a year"),
        (2000 * 365 * 86400, "2000 years"),
    ],
)
def test_age_is_told_in_the_largest_whole_unit_and_never_negative(
    seconds: float, text: str
) -> None:
    row = Row(clientid="a", connected_at=NOW - timedelta(seconds=seconds))
    assert cells(table(fleet(client("a", "a", State.CONNECTED, row)))[4])[3] == text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "-"),
        (0, "off"),
        (10, "10s"),
        (60, "1m"),
        (90, "1m 30s"),
        (120, "2m"),
        (3600, "1h"),
        (3605, "1h 5s"),
        (65535, "18h 12m 15s"),
    ],
)
def test_keepalive_is_told_in_hours_minutes_and_seconds(seconds: int | None, text: str) -> None:
    row = Row(clientid="a", keepalive=seconds)
    assert cells(table(fleet(client("a", "a", State.CONNECTED, row)))[4])[2] == text
