"""Peers that answer over real sockets, byte by byte as a test wants it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

#: Gets the connection and the head of a request; answers on the connection as it likes.
Handler = Callable[[socket.socket, bytes], None]


def http(status: str, body: bytes | str | dict[str, Any] | list[Any] = b"", *headers: str) -> bytes:
    """Return the bytes of an HTTP answer; a mapping or list is sent as JSON."""
    if isinstance(body, dict | list):
        headers = ("Content-Type: application/json", *headers)
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


class Peer:
    """A listening socket; ``requests`` holds the request lines that came in."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[str] = []
        self.heads: list[str] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/api/"

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # else accept takes one connection more
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while head := _read_head(connection):
                self.requests.append(head.split(b"\r\n")[0].decode("latin-1"))
                self.heads.append(head.decode("latin-1"))
                self.handler(connection, head)


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = connection.recv(1)
        if not got:
            return b""
        head += got
    return head


@contextmanager
def peer(handler: Handler) -> Iterator[Peer]:
    """Run a peer for the length of the block."""
    running = Peer(handler)
    try:
        yield running
    finally:
        running.close()


def answering(*answers: bytes) -> Handler:
    """Give the answers one after the other, the last one for ever."""
    left = list(answers)

    def handler(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return handler


def unused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
