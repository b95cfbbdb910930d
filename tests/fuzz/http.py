"""Bytes that come in at the HTTP server's port, from one connection after the other.

Each is answered in HTTP or cut off, without a traceback in the log, and the server goes on.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.events.webhook import Webhook, WebhookSettings
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.page import LandingPage
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import MetricsServer
from tests.fleets import assess, connected, nothing_known, poll
from tests.fuzz.target import Run
from tests.page.pages import config

#: What ends a request that is not complete, and then the connection.
_END = b"\r\n\r\nGET / HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n"

#: How long an answer may take until the input counts as a hang, in seconds.
_PATIENCE = 10.0

_STATUS = re.compile(rb"HTTP/1\.1 (?:[1234]\d\d|503) ")

#: An answer is never longer.
_LONGEST = 1_000_000


@contextmanager
def _server() -> Iterator[MetricsServer]:
    watched = [Watched("A", "a")]
    cache = SnapshotCache(
        "broker",
        lambda: poll(connected("a", recv_msg=7)),
        lambda answered: assess(answered, watched),
        nothing_known(watched),
        Freshness(ttl=3600, stale_after=7200),
    )
    webhook = Webhook(WebhookSettings("token", max_body_bytes=1000), lambda _: True)
    reader = PrometheusReader(cache)
    page = LandingPage(cache, reader, config())
    routes = [page.route, webhook.route]
    server = MetricsServer(cache, reader, "127.0.0.1", 0, routes=routes)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def opened(_: Path) -> Iterator[Run]:
    with _server() as server:
        where = urlsplit(server.url)
        address = (where.hostname or "", where.port or 0)

        def run(data: bytes) -> None:
            answer = _exchange(address, data)
            assert not answer or _STATUS.match(answer), answer[:200]
            alive = _exchange(address, b"GET / HTTP/1.1\r\nHost: x")
            assert alive.startswith(b"HTTP/1.1 200 "), alive[:200]

        yield run


def _exchange(address: tuple[str, int], data: bytes) -> bytes:
    """Return all that comes back for ``data``; ``TimeoutError`` when it does not end."""
    answer = b""
    connecting = socket.create_connection(address, timeout=_PATIENCE)
    with connecting as connection, suppress(ConnectionError):
        connection.sendall(data + _END)
        connection.settimeout(0.05)
        with suppress(TimeoutError):  # it waits for the rest of a body
            while part := connection.recv(65_536):
                answer += part
                assert len(answer) < _LONGEST
            return answer
        connection.settimeout(_PATIENCE)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65_536):
            answer += part
    return answer
