"""A broker that can be made to misbehave while it runs, over real sockets."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from pathlib import Path

import trustme

from otel_emqx_monitor.simulator import Broker, StaticFleet
from otel_emqx_monitor.simulator.broker import Request
from tests.peers import Handler, http

#: The only client of the broker, the one that tests call Room.
ROW = {
    "clientid": "dev-a",
    "connected": True,
    "connected_at": "2026-11-22T17:00:00.000+00:00",
    "created_at": "2026-11-22T16:00:00.000+00:00",
    "recv_msg": 7,
    "send_msg": 3,
}


class FaultyBroker:
    """A simulated EMQX that answers well until its ``handler`` is replaced; ``recover`` undoes all.

    It keeps its port. ``requests`` holds the request lines that came in, ``most_in_flight`` how
    many of them were at most under way at once. With ``folder`` it speaks TLS, and ``ca_file``
    there is the authority to trust.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.fleet = StaticFleet([ROW])
        self.broker = Broker(source=self.fleet)
        self.handler: Handler = self.answer_well
        self.requests: list[str] = []
        self.most_in_flight = 0
        self.in_flight = 0
        self.ca_file: str | None = None
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._trusted = self._certificate(folder)
        self._tls = self._trusted
        self._port = 0
        self._listen()

    def _certificate(self, folder: Path | None) -> ssl.SSLContext | None:
        if folder is None:
            return None
        authority = trustme.CA()
        ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        self.ca_file = str(ca_file)
        return _context(authority)

    @property
    def url(self) -> str:
        scheme = "http" if self._trusted is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}/api/"

    def answer_well(self, connection: socket.socket, head: bytes) -> None:
        """Answer as EMQX does; a handler for what should not be broken."""
        connection.sendall(self.good_answer(head))

    def good_answer(self, head: bytes) -> bytes:
        """Return what EMQX answers to a request, for handlers that spoil it on its way."""
        request_line, _, headers = head.partition(b"\r\n")
        method, target, _ = request_line.split()
        path, _, query = target.partition(b"?")
        given = message_from_bytes(headers)
        request = Request(
            method.decode(), path, query, given["Authorization"], given["Accept"] or "*/*"
        )
        status, answered, body = self.broker.answer(request)
        return http(f"{status} X", body, *map(": ".join, answered))

    def hold(self) -> None:
        """Keep every answer back from now on, until ``release``."""
        self._released.clear()

        def wait(connection: socket.socket, head: bytes) -> None:
            self._released.wait()
            self.answer_well(connection, head)

        self.handler = wait

    def release(self) -> None:
        """Let all answers go that were kept back."""
        self._released.set()

    def refuse(self) -> None:
        """Stop to listen and cut all connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # closing alone would not end the accept
        self._listening.close()
        self._accepting.join()
        self.cut()

    def cut(self) -> None:
        """Cut all connections; new ones are welcome."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def show_a_strangers_certificate(self) -> None:
        """Go on with a certificate of an authority that nobody trusts."""
        self._tls = _context(trustme.CA())
        self.cut()

    def recover(self) -> None:
        """Behave well again."""
        self.release()
        self.handler = self.answer_well
        self._tls = self._trusted
        self.cut()
        if not self._accepting.is_alive():
            self._listen()

    def _listen(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), self._secured(plain) as connection:
            self._open.add(connection)
            try:
                self._answer_all(connection)
            finally:
                self._open.discard(connection)

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            raise

    def _answer_all(self, connection: socket.socket) -> None:
        while head := _read_head(connection):
            with self._lock:
                self.requests.append(head.partition(b"\r\n")[0].decode("latin-1"))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                self.handler(connection, head)
            finally:
                with self._lock:
                    self.in_flight -= 1


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = connection.recv(65_536)
        if not got:
            return b""
        head += got
    return head


def _context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@contextmanager
def faulty_broker(folder: Path | None = None) -> Iterator[FaultyBroker]:
    """Run a broker for the length of the block."""
    broker = FaultyBroker(folder)
    try:
        yield broker
    finally:
        broker.release()
        broker.refuse()
