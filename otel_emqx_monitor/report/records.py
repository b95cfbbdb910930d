"""``check`` for programs: the same record of every client as JSON and as CSV, sorted by alias."""

import csv
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Client, Fleet

#: The fields of EMQX's API that ``check`` shows, in any of its formats.
FIELDS: tuple[str, ...] = (
    "clientid",
    "username",
    "connected",
    "connected_at",
    "created_at",
    "keepalive",
    "subscriptions_cnt",
    "inflight_cnt",
    "recv_msg",
    "recv_msg.dropped",
    "recv_pkt",
    "recv_oct",
    "send_msg",
    "send_msg.dropped",
    "send_pkt",
    "send_oct",
)


class _Traffic(msgspec.Struct, frozen=True):
    """What the connection since ``connected_at`` carried one way; ``None`` is "not known"."""

    messages: int | None
    dropped: int | None
    packets: int | None
    bytes: int | None


class _Record(msgspec.Struct, frozen=True):
    """One client as programs see it. Fields are added at the end and never renamed."""

    alias: str
    client_id: str
    username: str | None
    state: str
    created_at: str | None
    connected_at: str | None
    keepalive_seconds: int | None
    subscriptions: int | None
    inflight: int | None
    rx: _Traffic
    tx: _Traffic
    last_seen: str | None
    overdue: bool | None


def render_json(fleet: Fleet, broker: str, checked_at: datetime) -> str:
    r"""Return one JSON object: ``broker``, ``checked_at`` and ``clients``, sorted by alias.

    Each client has ``alias``, ``client_id``, ``username``, ``state`` (connected, disconnected,
    absent or unknown), ``created_at``, ``connected_at``, ``keepalive_seconds`` (0 is off),
    ``subscriptions``, ``inflight``, and ``rx`` (received from the client) and ``tx`` (sent to it)
    with ``messages``, ``dropped``, ``packets`` and ``bytes``; ``last_seen``, and whether it is
    ``overdue``, ``null`` too for clients that nobody expects every so many seconds. ``null`` is
    "not known". Instants are ISO 8601 in UTC with milliseconds; ``checked_at`` must have an offset.

    Only ASCII is written, the rest as ``\u`` escapes: the text is the same under every locale,
    and no client id can drive a terminal with it.
    """
    document = {
        "broker": broker,
        "checked_at": _utc(checked_at),
        "clients": [msgspec.to_builtins(record) for record in _records(fleet, checked_at)],
    }
    return msgspec.json.format(json.dumps(document), indent=2)


def render_csv(fleet: Fleet, checked_at: datetime) -> str:
    r"""Return a header and one line for each client, sorted by alias; empty is "not known".

    The columns are the fields of ``render_json``, those of ``rx`` and ``tx`` as ``rx_messages``
    and so on. Quoting is that of RFC 4180, but lines end in ``\n``: ``cut``, ``awk`` and ``read``
    would take the ``\r`` for a part of the last column, and CSV readers accept either.

    Every value is exact. Nothing is put before an id that begins with ``=``, ``+``, ``-`` or
    ``@``, as some do because a spreadsheet takes such a cell for a formula: this is input for
    programs, which join on the id, and a changed id is another client. Whoever opens the file in
    a spreadsheet imports these columns as text. Control characters in ids stay what they are,
    too, so the output is for files and pipes, not for a terminal.
    """
    header = [name for field in _Record.__struct_fields__ for name in _columns(field)]
    records = _records(fleet, checked_at)
    return "".join([_csv_line(header), *(_csv_line(_flat(record)) for record in records)])


def _records(fleet: Fleet, checked_at: datetime) -> list[_Record]:
    in_order = sorted(fleet.clients, key=lambda client: (client.alias, client.client_id))
    return [_record(client, checked_at) for client in in_order]


def _record(client: Client, checked_at: datetime) -> _Record:
    row = client.row or Row(clientid=client.client_id)
    seen = client.memory.last_seen
    return _Record(
        alias=client.alias,
        client_id=client.client_id,
        username=row.username,
        state=client.state.value,
        created_at=_utc(row.created_at),
        connected_at=_utc(row.connected_at),
        keepalive_seconds=row.keepalive,
        subscriptions=row.subscriptions_cnt,
        inflight=row.inflight_cnt,
        rx=_Traffic(row.recv_msg, row.recv_msg_dropped, row.recv_pkt, row.recv_oct),
        tx=_Traffic(row.send_msg, row.send_msg_dropped, row.send_pkt, row.send_oct),
        last_seen=_utc(None if seen is None else datetime.fromtimestamp(seen, UTC)),
        overdue=client.overdue(checked_at.timestamp()),
    )


def _flat(record: _Record) -> list[object]:
    flat: list[object] = []
    for value in msgspec.structs.astuple(record):
        flat += msgspec.structs.astuple(value) if isinstance(value, _Traffic) else [value]
    return flat


def _columns(field: str) -> list[str]:
    """Return the columns of a field: one, or those of the traffic one way."""
    if field in ("rx", "tx"):
        return [f"{field}_{name}" for name in _Traffic.__struct_fields__]
    return [field]


def _csv_line(values: Sequence[object]) -> str:
    # Before Python 3.13 a lone "\r" in a value is quoted only if lines are to end in it.
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(values)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _utc(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    # An offset can lead out of the calendar in the years 1 and 9999: then EMQX's own stays.
    with suppress(OverflowError):
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
