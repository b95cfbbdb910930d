"""The file in which an agent's memory outlives it: an SQLite database, what is in it and how.

One row a client; its memory is MessagePack, in arrays, since nearly all of it is numbers. Counts
stand in the order of the fields that were counted when they were written, which is kept too.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec

from otel_emqx_monitor.emqx.rows import Count, Row
from otel_emqx_monitor.epochs import Tally
from otel_emqx_monitor.fleet import REASONS, Client, Counted, Memory, State
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

#: SQLite keeps values of any type in any column, and its text may be no UTF-8.
_ABOUT = "SELECT CAST(polled_at AS REAL), CAST(counted AS BLOB) FROM about"
_CLIENTS = (
    "SELECT CAST(client_id AS BLOB), CAST(memory AS BLOB) FROM clients ORDER BY clients.client_id"
)
#: The messages that events told of lately, by keys of 64 bits; files of earlier versions have none.
#: ``turn`` is 1 for those since the last time that the older ones were deleted, 0 for the others.
_MESSAGES = "CREATE TABLE IF NOT EXISTS messages (key INTEGER PRIMARY KEY, turn INTEGER NOT NULL)"

#: Bytes that the write-ahead log may keep on disk when it has been emptied.
_LOG_BYTES = 64 * 2**20


#: Seconds since the epoch, of any year that an instant can have; never NaN.
Seconds = Annotated[float, msgspec.Meta(ge=-253_402_300_800, le=253_402_300_800)]


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
    """What a file holds; ``polled_at`` is when its last poll ended, in seconds since the epoch.

    ``keys`` are those of the messages that events told of last.
    """

    clients: Sequence[Remembered] = ()
    polled_at: float | None = None
    keys: Sequence[int] = ()


NOTHING_RESTORED = Restored()


class _Settings(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of a client's last row is still of use when the client is gone; the names are EMQX's."""

    username: str | None
    node: str | None
    connected: bool | None
    connected_at: datetime | None
    disconnected_at: datetime | None
    created_at: datetime | None
    keepalive: Count | None
    proto_ver: Count | None
    clean_start: bool | None
    expiry_interval: Count | None


_read_settings = attrgetter(*_Settings.__struct_fields__)
_read_id = attrgetter("watched.client_id")


class _Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One client; a connected one that has not changed was last seen by the last poll."""

    state: State
    since: Seconds
    last_seen: Seconds | None
    settings: _Settings | None
    connection: Tally | None
    session: Tally | None
    disconnections: tuple[Count, ...] = ()


class _Fields(msgspec.Struct, frozen=True, array_like=True):
    connection: tuple[str, ...] = ()
    session: tuple[str, ...] = ()


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Kept).decode
_unpack_fields = msgspec.msgpack.Decoder(_Fields).decode


@contextlib.contextmanager
def _errors_in_utf_8() -> Iterator[None]:
    """SQLite's errors quote names out of the file, and Python fails to read them in a damaged one.

    Raises:
        sqlite3.DatabaseError: in place of a ``UnicodeDecodeError``.
    """
    try:
        yield
    except UnicodeDecodeError:
        raise sqlite3.DatabaseError("its schema is damaged") from None


@_errors_in_utf_8()
def read(path: Path) -> Restored:
    """Return what the file holds of presence, without counts and without changing it.

    Another process may be writing to it.

    Raises:
        Unusable: it is damaged, or not a file of this program.
        OSError, sqlite3.Error: it cannot be read.
    """
    how = "mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        # No agent runs. To read as if one did would leave files beside this one, which nobody
        # takes away; should an agent start just now, it writes to the log first, not to this file.
        how += "&immutable=1"
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as db:
        return _load(db, None)


@_errors_in_utf_8()
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
        with db:
            db.execute(_MESSAGES)
        keys = tuple(key for (key,) in db.execute("SELECT key FROM messages"))
        db.execute("PRAGMA synchronous = NORMAL")  # whole after a power cut, if not the latest
        db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    except BaseException:
        db.close()
        raise
    return db, replace(restored, keys=keys)


@_errors_in_utf_8()
def write(
    db: sqlite3.Connection,
    changed: Sequence[Client],
    gone: Sequence[str] | None,
    polled_at: float | None,
    counted: Counted | None,
) -> None:
    """Write the outcome of a poll in one transaction, in the order of the file.

    That costs SQLite half of what any other order does, and EMQX's own, which is descending, leaves
    pages half empty.

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


@_errors_in_utf_8()
def write_some(
    db: sqlite3.Connection, changed: Iterable[Client], keys: Iterable[int], *, forget: bool
) -> None:
    """Write clients between two polls and the keys of the messages counted in them.

    With ``forget`` the keys before the last time that this was asked for are deleted first. All is
    done in one transaction.

    Raises:
        sqlite3.Error: nothing was written.
    """
    with db:
        if forget:
            db.execute("DELETE FROM messages WHERE turn = 0")
            db.execute("UPDATE messages SET turn = 0")
        _upsert(db, changed)
        db.executemany("INSERT OR IGNORE INTO messages VALUES (?, 1)", ((key,) for key in keys))


def _upsert(db: sqlite3.Connection, clients: Iterable[Client]) -> None:
    """Write in the order of the file: another costs SQLite twice as much, and fills pages badly."""
    db.executemany(
        "INSERT INTO clients VALUES (?, ?)"
        " ON CONFLICT (client_id) DO UPDATE SET memory = excluded.memory",
        ((client.client_id, _packed(client)) for client in sorted(clients, key=_read_id)),
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
    """Return what is kept of a client; of one whose instants are out of all years only presence."""
    try:
        return _all_packed(client)
    except OverflowError:  # 0001-01-01T00:00+14:00 has no year in UTC
        memory = client.memory
        return _pack(_Kept(client.state, memory.since, memory.last_seen, None, None, None))


def _all_packed(client: Client) -> bytes:
    memory = client.memory
    settings = None if memory.row is None else _read_settings(memory.row)
    # What a _Kept becomes too; to make the structs first would take as long as to pack them.
    return _pack(
        (
            client.state,
            memory.since,
            memory.last_seen,
            settings,
            memory.connection,
            memory.session,
            memory.disconnections,
        )
    )


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
        [(polled_at, fields)] = db.execute(_ABOUT).fetchall()
        polled_at = msgspec.convert(polled_at, Seconds | None)
        kept = _unpack_fields(fields) if fields else _Fields()
        order = Reordering(Counted(kept.connection, kept.session), counted)
        rows = db.execute(_CLIENTS)
        clients = [_remembered(name.decode(), memory, polled_at, order) for name, memory in rows]
    except (msgspec.MsgspecError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise Unusable(f"it is damaged: {printable(str(error), 80)}") from None
    return Restored(clients, polled_at)


def _remembered(
    client_id: str, packed: bytes, polled_at: float | None, order: Reordering
) -> Remembered:
    kept = _unpack(packed)
    if len(kept.disconnections) not in (0, len(REASONS)):
        raise ValueError("the counts of disconnections are of other reasons")
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
