import os

import pytest

from otel_emqx_monitor.report.screen import Frame, fitted

TABLE = ["top", "head 1", "head 2", "rule", "a", "b", "c", "bottom"]
FRAME = Frame(["who and when"], TABLE, "sum")


def fit(columns: int, lines: int, frame: Frame = FRAME) -> list[str]:
    return fitted(frame, os.terminal_size((columns, lines)))


@pytest.mark.parametrize("lines", [10, 11, 500])
def test_what_fits_is_shown_whole(lines: int) -> None:
    assert fit(80, lines) == ["who and when", *TABLE, "sum"]


@pytest.mark.parametrize(
    "lines, body",
    [
        (9, [*TABLE[:6], "... 1 more client in a larger window"]),
        (8, [*TABLE[:5], "... 2 more clients in a larger window"]),
        (7, [*TABLE[:4], "... 3 more clients in a larger window"]),
        (6, [*TABLE[:3], "... 3 more clients in a larger window"]),
        (3, ["... 3 more clients in a larger window"]),
    ],
)
def test_the_first_rows_are_shown_and_the_rest_is_counted(lines: int, body: list[str]) -> None:
    assert fit(80, lines) == ["who and when", *body, "sum"]


def test_the_summary_is_the_last_to_go() -> None:
    assert fit(80, 2) == ["who and when", "sum"]
    assert fit(80, 1) == ["sum"]


def test_notes_are_wrapped_and_take_their_lines_from_the_table() -> None:
    assert fit(8, 8) == [
        "who and",
        "when",
        *TABLE[:4],
        "... 3 more clients in a larger window",
        "sum",
    ]


def test_a_table_without_rows_hides_none() -> None:
    empty = Frame(["note"], [*TABLE[:4], "bottom"], "sum")
    assert fit(80, 6, empty) == ["note", *TABLE[:3], "sum"]
