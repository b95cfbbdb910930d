"""How many connections may be open at once, and what happens when there are too many.

What is too much is let in and closed at once, so that nobody waits in vain. It is counted from
``accept`` to ``close``, so that handshakes of TLS count too; asyncio and uvicorn count neither.
"""

import errno
import logging
import os
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

log = logging.getLogger(__name__)

#: Files that everything else needs: sockets to EMQX and a Collector, the state file, libraries.
_OTHER_FILES = 128

#: How long there have to be files for all until the log says again that there are none, in seconds:
#: at the edge of the limit every other connection finds one.
_CALM_SECONDS = 60.0

#: What ``accept`` says when the process or the system has no more to give, see accept(2).
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Places:
    """The places for connections, shared by all sockets that listen.

    Args:
        most: how many connections may be open; fewer when the system allows fewer open files.
    """

    def __init__(self, most: int) -> None:
        self._taken: set[socket.socket] = set()
        self.most = _within_file_limit(most)
        self._full = False
        self._exhausted_at: float | None = None
        self._spare = os.open(os.devnull, os.O_RDONLY)

    @property
    def taken(self) -> int:
        """How many connections are open."""
        return len(self._taken)

    def has_one(self) -> bool:
        """Whether there is a place for one more; the log says when there is none."""
        if self.taken < self.most:
            return True
        if not self._full:
            log.warning(
                "%d connections to the HTTP server are open, which is all it takes: further ones"
                " are closed; see who opens them, or raise prometheus.max_connections",
                self.taken,
            )
        self._full = True
        return False

    def take(self, connection: socket.socket) -> None:
        """Note that a connection is open."""
        self._taken.add(connection)

    def give_back(self, connection: socket.socket) -> None:
        """Note that a connection has ended; one that has ended already changes nothing."""
        self._taken.discard(connection)
        if self.taken <= self.most // 2:  # not at each that goes and comes
            self._full = False

    def cut_off(self) -> None:
        """End all connections; whoever reads or writes them sees that and closes them."""
        for connection in list(self._taken):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def turn_away(self, accept: Callable[[], tuple[socket.socket, object]], error: OSError) -> None:
        """Close the next connection though there is no file for it: by giving up a spare one."""
        now = time.monotonic()
        if self._exhausted_at is None or now - self._exhausted_at >= _CALM_SECONDS:
            log.error(
                "cannot take a connection: %s; connections are closed until that is over; raise"
                " the limit of open files (ulimit -n, LimitNOFILE=)",
                os.strerror(error.errno or 0),
            )
        self._exhausted_at = now
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        with suppress(OSError):  # somebody else may take the file, or the client go away
            connection, _ = accept()
            connection.close()
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Give the spare file back."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1


class Door(socket.socket):
    """A listening socket that lets in as many as there are places.

    Args:
        listening: the socket that it takes over.
        places: what it counts with.
    """

    def __init__(self, listening: socket.socket, places: Places) -> None:
        family, kind, protocol = listening.family, listening.type, listening.proto
        super().__init__(family, kind, protocol, fileno=listening.detach())
        self._places = places

    def accept(self) -> tuple[socket.socket, object]:
        """Return the next connection.

        Raises:
            ConnectionAbortedError: it has been closed. asyncio then tries again when there is one.
            OSError: as from any socket.
        """
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._places.turn_away(super().accept, error)
            raise ConnectionAbortedError from None
        if not self._places.has_one():
            connection.close()
            raise ConnectionAbortedError
        return _Connection(connection, self._places), address


class _Connection(socket.socket):
    def __init__(self, accepted: socket.socket, places: Places) -> None:
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        super().__init__(family, kind, protocol, fileno=accepted.detach())
        self._places = places
        places.take(self)

    def close(self) -> None:
        """Close it, and give its place back."""
        super().close()
        self._places.give_back(self)


def _within_file_limit(connections: int) -> int:
    """Raise the limit of open files, as programs in Go do, and return what it leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    room = min(connections, soft - min(_OTHER_FILES, soft // 2))
    if room < connections:
        log.warning(
            "the limit of open files is %d: the HTTP server takes %d connections, not the %d of"
            " prometheus.max_connections; raise the limit (ulimit -n, LimitNOFILE=)",
            soft,
            room,
            connections,
        )
    return room
