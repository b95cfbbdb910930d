"""Answers that are none of EMQX's, or pages that are odd."""

import random
import socket
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from tests.faults.lab.devices import STEADY, shown_by
from tests.faults.lab.fault import Fault, Presence
from tests.faults.lab.matrix.broker import AGAIN, DEADLINE, on_broker, recover
from tests.faults.lab.stage import Stage
from tests.faults.table import ALL, CLIENTS, HTML, PAGE, answers
from tests.peers import http

Row = Mapping[str, Any]

_GARBAGE_BYTES = 10 * 2**20


def pages(page: Callable[[Stage, int], Mapping[str, Any]]) -> Callable[[Stage], None]:
    """Answer each request for clients with what ``page`` makes of its number, from 1 on."""

    def begin(on: Stage) -> None:
        def handler(connection: socket.socket, head: bytes) -> None:
            target = head.split()[1]
            if target.startswith(CLIENTS):
                number = int(target.partition(b"page=")[2].partition(b"&")[0])
                connection.sendall(http("200 OK", dict(page(on, number))))
            else:
                connection.sendall(on.broker.good_answer(head))

        on.broker.handler = handler

    return begin


def json_as_html(on: Stage) -> None:
    def handler(connection: socket.socket, head: bytes) -> None:
        body = on.broker.good_answer(head).partition(b"\r\n\r\n")[2]
        connection.sendall(http("200 OK", body, HTML))

    on.broker.handler = handler


def garbage(on: Stage) -> None:
    noise = random.Random(7).randbytes(_GARBAGE_BYTES)  # noqa: S311 - the same for each run
    answers(CLIENTS, http("200 OK", noise, "Content-Type: application/json"))(on.broker)


def doubled(on: Stage, _number: int) -> Mapping[str, Any]:
    """All rows twice, and of one client a third row, a ghost of its last connection."""

    def change(rows: list[dict[str, Any]]) -> None:
        [steady] = [row for row in rows if row["clientid"] == STEADY]
        ghost = {**steady, "connected": False, "connected_at": "2020-01-01T00:00:00.000+00:00"}
        rows += [ghost, *rows]

    return shown_by(on.devices, change)


def unsorted(on: Stage, number: int) -> Mapping[str, Any]:
    """Two pages in no order; the second shows half of the first once more."""
    shuffled = shown_by(on.devices, random.Random(number).shuffle)  # noqa: S311 - no secret
    half = len(shuffled["data"]) // 2
    rows: Sequence[Row] = shuffled["data"]
    if number == 1:
        shuffled["meta"]["hasnext"] = True
        return shuffled | {"data": rows[:half]}
    first = unsorted(on, 1)["data"]
    seen = {row["clientid"] for row in first}
    return shuffled | {"data": [row for row in rows if row["clientid"] not in seen] + first[:2]}


def the_same_again(on: Stage, _number: int) -> Mapping[str, Any]:
    page = shown_by(on.devices, list)
    page["meta"]["hasnext"] = True
    return page


_numbers = count()


def ever_new(on: Stage, _number: int) -> Mapping[str, Any]:
    page = shown_by(on.devices, list)
    row = page["data"][0]
    page["data"] = [{**row, "clientid": f"new-{next(_numbers)}"} for _ in range(1000)]
    page["meta"]["hasnext"] = True
    return page


FAULTS = (
    Fault(
        name="a page of HTML",
        how="status 200 with HTML, as of a captive portal",
        begin=on_broker(answers(ALL, http("200 OK", PAGE, HTML))),
        repair=recover,
        says=("was answered with text/html instead of JSON", AGAIN),
    ),
    Fault(
        name="HTML that is called JSON",
        how="a page of HTML as `application/json`",
        begin=on_broker(answers(ALL, http("200 OK", PAGE, "Content-Type: application/json"))),
        repair=recover,
        says=("cannot be read", AGAIN),
    ),
    Fault(
        name="JSON that is called HTML",
        how="good pages as `text/html`",
        begin=json_as_html,
        repair=recover,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="10 MB of garbage",
        how="random bytes as `application/json`",
        begin=garbage,
        repair=recover,
        says=("cannot be read", AGAIN),
    ),
    Fault(
        name="truncated JSON",
        how="a page that ends in the middle, with the right length of what there is",
        begin=on_broker(
            answers(CLIENTS, http("200 OK", '{"data": [{"cl', "Content-Type: application/json"))
        ),
        repair=recover,
        says=("cannot be read", AGAIN),
    ),
    Fault(
        name="duplicate rows",
        how="each row twice, and of one client the row of a dead connection too",
        begin=pages(doubled),
        repair=recover,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="unsorted pages",
        how="two pages in no order, the second with rows of the first",
        begin=pages(unsorted),
        repair=recover,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="endless hasnext, the same page again",
        how="each page is the first one and says that more follow",
        begin=pages(the_same_again),
        repair=recover,
        says=("repeats the pages before it", AGAIN),
    ),
    Fault(
        name="endless hasnext, ever new clients",
        how="1,000 clients more on each page",
        begin=pages(ever_new),
        repair=recover,
        settings=DEADLINE,
        says=("did not finish the poll within 0.5 s", AGAIN),
    ),
)
