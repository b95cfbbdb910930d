"""The file in which an agent's memory outlives it: an SQLite database, what is in it and how.

One row a client; its memory is MessagePack, in arrays, since nearly all of it is numbers. Counts
stand in the order of the fields that were counted when they were written, which is kept too.
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.epochs import Tally
from otel_emqx_monitor.fleet import Client, Counted, Memory, State
from otel_emqx_monitor.reordering import Reordering
from otel_emqx_monitor.text import printable

#: "OEM1": what tells a file of this program from other SQLite databases.
_APPLICATION = 0x4F454D31
_SCHEMA_VERSION = 1

_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
    "CREATE TABLE about (only INTEGER PRIMARY KEY CHECK (only = 1), polled_at REAL, counted BLOB)",
    "CREATE TABLE clients (client_id TEXT PRIMARY KEY, memory BLOB NOT NULL) WITHOUT ROWID",
    "INSERT INTO about (only) VALUES (1)",
)

#: Bytes that the write-ahead log may keep on disk when it has been emptied.
_LOG_BYTES = 64 * 2**20


class Unusable(Exception):
    """The file is damaged or not ours; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A client as an earlier run of the agent knew it."""

    client_id: str
    state: State
    memory: Memory


@dataclass(frozen=True, slots=True)
class Restored:
    """What a file holds; ``polled_at`` is when its last poll ended, in seconds since the epoch."""

    clients: Sequence[Remembered] = ()
    polled_at: float | None = None


NOTHING_RESTORED = Restored()


class _Settings(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of a client's last row is still of use when the client is gone; the names are EMQX's."""

    username: str | None
    node: str | None
    connected: bool | None
    connected_at: datetime | None
    disconnected_at: datetime | None
    created_at: datetime | None
    keepalive: int | None
    proto_ver: int | None
    clean_start: bool | None
    expiry_interval: int | None


_read_settings = attrgetter(*_Settings.__struct_fields__)


class _Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One client; a connected one that has not changed was last seen by the last poll."""

    state: State
    since: float
    last_seen: float | None
    settings: _Settings | None
    connection: Tally | None
    session: Tally | None
    disconnections: tuple[int, ...] = ()


class _Fields(msgspec.Struct, frozen=True, array_like=True):
    connection: tuple[str, ...] = ()
    session: tuple[str, ...] = ()


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Kept).decode
_unpack_fields = msgspec.msgpack.Decoder(_Fields).decode


def read(path: Path) -> Restored:
    """Return what the file holds of presence, without counts and without changing it.

    Another process may be writing to it.

    Raises:
        Unusable: it is damaged, or not a file of this program.
        OSError, sqlite3.Error: it cannot be read.
    """
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return _load(db, None)


def connect(path: Path, counted: Counted | None) -> tuple[sqlite3.Connection, Restored]:
    """Open the file, or make it, and return what it holds of the fields in ``counted``.

    Raises:
        Unusable: it is damaged, or not a file of this program.
        OSError, sqlite3.Error: it cannot be opened.
    """
    with contextlib.suppress(FileExistsError):  # client ids and user names are not for everybody
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        if _is_empty(db):
            db.executescript(";".join(["BEGIN", *_SCHEMA, "COMMIT"]))
        restored = _load(db, counted)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # whole after a power cut, if not the latest
        db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    except BaseException:
        db.close()
        raise
    return db, restored


def write(
    db: sqlite3.Connection,
    changed: Sequence[Client],
    gone: Sequence[str] | None,
    polled_at: float | None,
    counted: Counted | None,
) -> None:
    """Write the outcome of a poll in one transaction.

    Args:
        db: what ``connect`` returned.
        changed: the clients to write.
        gone: the ids of clients to delete; ``None`` deletes all that are there already.
        polled_at: when the poll ended, in seconds since the epoch.
        counted: the fields that the clients' counts are of.

    Raises:
        sqlite3.Error: nothing was written.
    """
    fields = _pack(_Fields(counted.connection, counted.session) if counted else _Fields())
    with db:
        if gone is None:
            db.execute("DELETE FROM clients")
        else:
            db.executemany("DELETE FROM clients WHERE client_id = ?", ((one,) for one in gone))
        _upsert(db, changed)
        db.execute("UPDATE about SET polled_at = ?, counted = ?", (polled_at, fields))


def write_some(db: sqlite3.Connection, changed: Sequence[Client]) -> None:
    """Write clients between two polls, in one transaction.

    Raises:
        sqlite3.Error: nothing was written.
    """
    with db:
        _upsert(db, changed)


def _upsert(db: sqlite3.Connection, clients: Sequence[Client]) -> None:
    db.executemany(
        "INSERT INTO clients VALUES (?, ?)"
        " ON CONFLICT (client_id) DO UPDATE SET memory = excluded.memory",
        ((client.client_id, _packed(client)) for client in clients),
    )


def differs(client: Client, written: Client | None) -> bool:
    """Whether ``client`` has to be written, given what was written of it before.

    The settings of a row are those of its connection: they change with ``connection`` alone.
    """
    if written is None or client.state is not written.state:
        return True
    now, then = client.memory, written.memory
    if now.connection is not then.connection or now.session is not then.session:
        return True
    return client.state is not State.CONNECTED and now.last_seen != then.last_seen


def _packed(client: Client) -> bytes:
    memory = client.memory
    settings = None if memory.row is None else _Settings(*_read_settings(memory.row))
    kept = _Kept(
        client.state,
        memory.since,
        memory.last_seen,
        settings,
        memory.connection,
        memory.session,
        memory.disconnections,
    )
    return _pack(kept)


def _is_empty(db: sqlite3.Connection) -> bool:
    return _number(db, "SELECT count(*) FROM sqlite_master") == 0


def _number(db: sqlite3.Connection, query: str) -> int:
    [(number,)] = db.execute(query).fetchall()
    return int(number)


def _load(db: sqlite3.Connection, counted: Counted | None) -> Restored:
    if _number(db, "PRAGMA application_id") != _APPLICATION:
        raise Unusable("it is the database of another program")
    version = _number(db, "PRAGMA user_version")
    if version != _SCHEMA_VERSION:
        raise Unusable(f"it is of another version of this program (schema {version})")
    if db.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise Unusable("it is damaged")
    try:
        [(polled_at, fields)] = db.execute("SELECT polled_at, counted FROM about").fetchall()
        kept = _unpack_fields(fields) if fields else _Fields()
        order = Reordering(Counted(kept.connection, kept.session), counted)
        rows = db.execute("SELECT client_id, memory FROM clients ORDER BY client_id")
        clients = [_remembered(client_id, memory, polled_at, order) for client_id, memory in rows]
    except (msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
        raise Unusable(f"it is damaged: {printable(str(error), 80)}") from None
    return Restored(clients, polled_at)


def _remembered(client_id: str, packed: bytes, polled_at: Any, order: Reordering) -> Remembered:
    kept = _unpack(packed)
    row = None
    if kept.settings is not None:
        row = Row(clientid=client_id, **msgspec.structs.asdict(kept.settings))
    last_seen = kept.last_seen
    if kept.state is State.CONNECTED and polled_at is not None:
        last_seen = max(polled_at, last_seen or 0.0)
    return Remembered(
        client_id,
        kept.state,
        Memory(
            kept.since,
            last_seen,
            row,
            order.connection(kept.connection),
            order.session(kept.session),
            disconnections=kept.disconnections,
        ),
    )
