"""Keeps what is remembered in a file, poll by poll.

After a kill -9 the file holds what the last finished poll said. It is written before a poll's
numbers are shown to anybody, so no counter falls because of a restart. A file that cannot be used
is set aside, never deleted and never a reason not to start.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from otel_emqx_monitor import statefile
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.fleet import Client, Counted, Fleet
from otel_emqx_monitor.outage import Outage
from otel_emqx_monitor.statefile import NOTHING_RESTORED, Restored, Unusable
from otel_emqx_monitor.text import printable

log = logging.getLogger(__name__)

#: How long to wait for another agent to let go of the file, as during an upgrade, in seconds.
_PATIENCE_SECONDS = 5.0

#: What SQLite keeps beside a database in WAL mode.
_BESIDE = ("", "-wal", "-shm")


class InUse(OSError):
    """Another agent keeps its memory in this file."""


class Store:
    """Keeps the memory of one agent in a file. Not for two threads at once, except ``close``.

    Args:
        path: the file; it is made when it does not exist.
        counted: the fields that are summed up over epochs, ``None`` for none.
        patience: seconds to wait for another agent to let go of the file.
    """

    def __init__(
        self, path: Path, counted: Counted | None, *, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._path = path
        self._counted = counted
        self._patience = patience
        self._outage = Outage(log, f"{_shown(path)} is written again", "polls not written")
        self._written: dict[str, Client] | None = None
        self._busy = threading.Lock()
        self._lock: IO[bytes] | None = None
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.write_errors = 0
        self.written_at: float | None = None

    def is_open_at(self, path: Path) -> bool:
        """Whether this is the file at ``path``, by whatever name, and could be opened."""
        return self._lock is not None and self._path.resolve() == path.resolve()

    def open(self) -> Restored:
        """Open the file and return what it holds; nothing when it is new, damaged or not ours.

        When it cannot be opened at all the reason is logged, and this run keeps nothing: to write
        to it later would overwrite what could not be read now.
        """
        try:
            self._lock = _lock(self._path, self._patience)
            self._db, restored = self._connect()
        except (OSError, sqlite3.Error) as error:
            log.error(
                "cannot use the state file %s: %s; what is remembered will not outlive this run of"
                " the agent. Mend it, then restart the agent",
                _shown(self._path),
                _reason(error),
            )
            self.close()
            return NOTHING_RESTORED
        log.info("%d clients are remembered in %s", len(restored.clients), _shown(self._path))
        return restored

    def save(self, fleet: Fleet) -> None:
        """Write what is new in ``fleet``; what fails is logged, counted and tried again later."""
        with self._busy:
            if self._lock is None:
                self.write_errors += 1
                return
            try:
                self._write(fleet)
            except (OSError, sqlite3.Error) as error:
                self._note_failure(error)
            else:
                self.written_at = time.time()
                self._outage.end(time.monotonic())

    def go_on_from(self, earlier: "Store | None", counted: Counted | None, fleet: Fleet) -> None:
        """Keep what ``fleet`` remembers from now on, as ``earlier`` did, which may be this one.

        It is written at once when it belongs into another file, or in another order.
        """
        if earlier is self:
            if counted == self._counted:
                return
            with self._busy:
                self._counted, self._written = counted, None
        elif earlier is not None:
            self.write_errors += earlier.write_errors
        self.save(replace(fleet, polled_at=fleet.remembered_at))

    def save_some(
        self, clients: Sequence[Client], keys: Sequence[int] = (), *, forget: bool = False
    ) -> None:
        """Write these clients, of which events have told since the last poll was written.

        ``keys`` are those of the messages counted in them; see ``statefile.write_some``. What fails
        is written with the next poll, but for the keys.
        """
        with self._busy:
            if self._lock is None or self._db is None or self._written is None:
                return
            try:
                statefile.write_some(self._db, clients, keys, forget=forget)
            except (OSError, sqlite3.Error) as error:
                self._note_failure(error)
            else:
                self.written_at = time.time()
                self._written.update((one.client_id, one) for one in clients)

    def close(self) -> None:
        """Let go of the file, when what is being written is written."""
        with self._busy:
            self._close_database()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _note_failure(self, error: OSError | sqlite3.Error) -> None:
        self.write_errors += 1
        text = f"cannot write to the state file {_shown(self._path)}: {_reason(error)}"
        self._outage.go_on(time.monotonic(), text)
        if not isinstance(error, sqlite3.OperationalError):  # damaged: to be opened anew
            self._close_database()

    def _write(self, fleet: Fleet) -> None:
        db, written = self._current(), self._written
        clients = {client.watched.client_id: client for client in fleet.clients}
        if written is None:
            statefile.write(db, fleet.clients, None, fleet.polled_at, self._counted)
        else:
            changed = [
                client
                for client_id, client in clients.items()
                if statefile.differs(client, written.get(client_id))
            ]
            gone = [client_id for client_id in written if client_id not in clients]
            statefile.write(db, changed, gone, fleet.polled_at, self._counted)
        self._written = clients

    def _current(self) -> sqlite3.Connection:
        """Return the open file; SQLite would go on writing to one that was moved or deleted."""
        if self._db is not None and self._file == _identity(self._path):
            return self._db
        if self._db is not None:
            log.warning("%s was moved or deleted; it is written anew", _shown(self._path))
        self._close_database()
        self._db, _ = self._connect()
        return self._db

    def _connect(self) -> tuple[sqlite3.Connection, Restored]:
        """Open the file; one that is damaged or not ours is set aside first."""
        try:
            opened = statefile.connect(self._path, self._counted)
        except (sqlite3.DatabaseError, Unusable) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            aside = _set_aside(self._path)
            log.error(
                "cannot use the state file %s: %s; it is now %s, and sums begin anew",
                _shown(self._path),
                _reason(error),
                _shown(aside),
            )
            opened = statefile.connect(self._path, self._counted)
        self._file = _identity(self._path)
        return opened

    def _close_database(self) -> None:
        self._written = None
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _lock(path: Path, patience: float) -> IO[bytes]:
    """Return an open file that holds the lock; it is free again when the process ends.

    The lock is on a file of its own: to close a second handle of the database itself would free
    SQLite's locks on it.
    """
    name = path.with_name(f"{path.name}.lock")
    descriptor = os.open(name, os.O_CREAT | os.O_RDWR, 0o600)
    lock = os.fdopen(descriptor, "r+b")
    deadline = Deadline(patience)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline.expired:
                lock.close()
                raise InUse("another agent uses it; give each its own state.path") from None
            time.sleep(0.05)
        except BaseException:
            lock.close()
            raise
        else:
            return lock


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _set_aside(path: Path) -> Path:
    """Rename the file and what SQLite keeps beside it, and return its new name."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.unusable-{moment}")
    for ending in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside


def _reason(error: Exception) -> str:
    if isinstance(error, InUse) or not isinstance(error, OSError):
        return printable(str(error), 200)
    return os.strerror(error.errno or 0)


def _shown(path: Path) -> str:
    return printable(str(path), 200)
