"""Connections that can be cut from another thread.

A socket's timeout bounds one wait for bytes, so a peer that sends one byte of its headers now and
then can hold a request for hours. Shutting the socket down ends that wait at once.
"""

import contextlib
import socket
import threading
from typing import Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class OpenSockets:
    """The sockets in use; they leave by themselves when they are closed and dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._shut = False

    def add(self, new: socket.socket) -> None:
        """Remember ``new``; one whose handshake ended too late is shut down at once."""
        with self._lock:
            self._sockets.add(new)
            if self._shut:
                _shut_down(new)

    def admit(self) -> None:
        """Let new sockets live again after ``shutdown``."""
        with self._lock:
            self._shut = False

    def shutdown(self) -> None:
        """End every wait on a socket, until ``admit``; whoever waits sees a closed connection."""
        with self._lock:
            self._shut = True
            for open_socket in self._sockets:
                _shut_down(open_socket)


def _shut_down(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)


class ClosableAdapter(HTTPAdapter):
    """A ``requests`` transport whose connections are in ``open_sockets``."""

    def __init__(self) -> None:
        self.open_sockets = OpenSockets()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with connections that report their sockets."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self.open_sockets)


def _pools(open_sockets: OpenSockets) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            open_sockets.add(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            open_sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
