import io
import json
import logging
from collections.abc import Iterator

import pytest

from otel_emqx_monitor import logs


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(output: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(output, level, stream)
    return stream


def test_text_is_one_line_of_time_level_and_message() -> None:
    stream = logged("text")
    logging.getLogger("x").warning("hello %s", "you")
    time, level, message = stream.getvalue().split(maxsplit=2)
    assert (level, message) == ("WARNING", "hello you\n")
    assert len(time) == len("2026-11-22T17:00:00.000Z")


def test_a_stranger_s_text_cannot_forge_a_line_or_drive_the_terminal() -> None:
    stream = logged("text")
    logging.getLogger("x").info("client %s", "evil\n2026 ERROR \x1b[31mred")
    assert stream.getvalue().count("\n") == 1
    assert "evil\\x0a2026 ERROR \\x1b[31mred" in stream.getvalue()


def test_json_is_one_object_with_the_same() -> None:
    stream = logged("json")
    logging.getLogger("x.y").error("two\nlines")
    event = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert event == {
        "time": event["time"],
        "level": "error",
        "logger": "x.y",
        "message": "two\nlines",
    }


def test_json_carries_the_traceback_of_a_bug() -> None:
    stream = logged("json")
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("x").exception("bug")
    assert "ValueError: boom" in json.loads(stream.getvalue())["exception"]


def test_below_the_level_nothing_is_logged_and_libraries_stay_quiet() -> None:
    stream = logged("text", "error")
    logging.getLogger("x").warning("no")
    assert stream.getvalue() == ""
    stream = logged("text", "debug")
    logging.getLogger("urllib3.connectionpool").debug("no")
    assert stream.getvalue() == ""


def test_lines_can_be_held_back_and_come_later_the_latest_of_them() -> None:
    stream = logged("json")
    with logs.held_back():
        for number in range(103):
            logging.getLogger("x").info("line %d", number)
        assert stream.getvalue() == ""
    told = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert told == [f"line {number}" for number in range(3, 103)]
    logging.getLogger("x").info("after")
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == "after"
