"""``check`` for people: the table, drawn line by line in the look of rich's heavy-headed one.

rich.Table itself measures, wraps and styles every cell on its own: 10,000 clients cost it 20 s.
Here nothing is cut or wrapped, however narrow the terminal: a value that is not whole is of no use.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from rich.box import ASCII2, HEAVY_HEAD
from rich.cells import cell_len

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Client, Fleet, State
from otel_emqx_monitor.spans import in_words
from otel_emqx_monitor.text import printable

Title = Literal["Alias", "Client ID"]

# Parameters of the terminal's SGR sequence (ECMA-48, 8.3.117).
_BOLD = "1"
_DIM = "2"
_ALARM = "1;31"
_HEADING = "1;35"

_NOT_KNOWN = "-"

_SEEN = ("Seen", "(time ago)")

_HEADINGS = (
    ("Created", "(time ago)"),
    ("Keep", "alive"),
    ("Connected", "(time ago)"),
    ("Sub", "Cnt"),
    ("MsgIn", "Flght"),
    ("RX", "Msg"),
    ("RX", "Drop"),
    ("TX", "Msg"),
    ("TX", "Drop"),
)


class _Cell(NamedTuple):
    text: str
    style: str = ""


def render_table(
    fleet: Fleet, now: datetime, *, title_column: Title = "Alias", color: bool, encoding: str
) -> Iterator[str]:
    """Yield the lines of the table, without line ends, sorted by the first column.

    Args:
        fleet: The clients to show.
        now: The end of the relative times; it must have an offset from UTC.
        title_column: Whether the first column names clients by alias or, for ``--all``, by id.
        color: Whether to style the text with ANSI escapes; without it the lines are plain.
        encoding: The codec of the output. When it lacks the borders they are drawn in ASCII; what
            it lacks of a value is backslash-escaped.

    A client that is not connected has its state in place of a time. ``-`` is "not known". What
    strangers chose is escaped by ``printable``, so no id can move the cursor or fake a row.

    Where anybody is expected every so many seconds there is one column more: when each client was
    last seen, and who is overdue.
    """
    box = HEAVY_HEAD if _encodable(str(HEAVY_HEAD), encoding) == str(HEAVY_HEAD) else ASCII2
    expected = any(client.watched.expected_every is not None for client in fleet.clients)
    headings = (*_HEADINGS, _SEEN) if expected else _HEADINGS
    header = [
        [_Cell(text, _HEADING) for text in line]
        for line in zip(("", title_column), *headings, strict=True)
    ]
    body = [
        [
            _Cell(_encodable(printable(name), encoding), _BOLD),
            *_cells(client, now),
            *([_seen(client, now)] if expected else []),
        ]
        for name, client in _named(fleet, title_column)
    ]
    widths = [max(map(_width, column)) for column in zip(*header, *body, strict=True)]
    framed = [width + 2 for width in widths]

    yield box.get_top(framed)
    for line in header:
        content = f" {box.head_vertical} ".join(_aligned(line, widths, color))
        yield f"{box.head_left} {content} {box.head_right}"
    yield box.get_row(framed, "head")
    for line in body:
        content = f" {box.mid_vertical} ".join(_aligned(line, widths, color))
        yield f"{box.mid_left} {content} {box.mid_right}"
    yield box.get_bottom(framed)


def _named(fleet: Fleet, title: Title) -> list[tuple[str, Client]]:
    named = [
        (client.alias if title == "Alias" else client.client_id, client) for client in fleet.clients
    ]
    return sorted(named, key=lambda pair: (pair[0], pair[1].client_id))


def _cells(client: Client, now: datetime) -> list[_Cell]:
    row = client.row or Row(clientid=client.client_id)
    if client.state is State.CONNECTED:
        connected = _Cell(_ago(row.connected_at, now))
    else:
        connected = _Cell(client.state.value, _ALARM)
    return [
        _Cell(_ago(row.created_at, now)),
        _Cell(_keepalive(row.keepalive)),
        connected,
        _count(row.subscriptions_cnt),
        _count(row.inflight_cnt),
        _count(row.recv_msg),
        _count(row.recv_msg_dropped, alarm=True),
        _count(row.send_msg),
        _count(row.send_msg_dropped, alarm=True),
    ]


def _seen(client: Client, now: datetime) -> _Cell:
    if client.state is State.CONNECTED:
        return _Cell("now")
    last = client.memory.last_seen
    ago = "never" if last is None else _ago(datetime.fromtimestamp(last, UTC), now)
    if client.overdue(now.timestamp()):
        return _Cell(f"{ago}, overdue", _ALARM)
    return _Cell(ago)


def _count(value: int | None, *, alarm: bool = False) -> _Cell:
    if value is None:
        return _Cell(_NOT_KNOWN)
    if value == 0:
        return _Cell("0", _DIM)
    return _Cell(str(value), _ALARM if alarm else "")


def _ago(then: datetime | None, now: datetime) -> str:
    return _NOT_KNOWN if then is None else in_words((now - then).total_seconds())


def _keepalive(seconds: int | None) -> str:
    if seconds is None:
        return _NOT_KNOWN
    if seconds == 0:
        return "off"
    hours, rest = divmod(seconds, 3600)
    parts = ((hours, "h"), (rest // 60, "m"), (rest % 60, "s"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count)


def _aligned(line: Sequence[_Cell], widths: Sequence[int], color: bool) -> Iterator[str]:
    """Yield the cells padded to their widths: the name to the left, all others to the right."""
    for index, (cell, width) in enumerate(zip(line, widths, strict=True)):
        padding = " " * (width - _width(cell))
        text = f"\x1b[{cell.style}m{cell.text}\x1b[0m" if color and cell.style else cell.text
        yield padding + text if index else text + padding


def _width(cell: _Cell) -> int:
    """Return how many columns of a terminal the cell's text takes."""
    return len(cell.text) if cell.text.isascii() else cell_len(cell.text)


def _encodable(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)
