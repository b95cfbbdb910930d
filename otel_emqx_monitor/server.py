"""The agent's HTTP server: ``/metrics`` for Prometheus, and what else it is given to serve."""

import asyncio
import math
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from otel_emqx_monitor import background, health
from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.config import ConfigError, Problem
from otel_emqx_monitor.config.reading import FileRefused
from otel_emqx_monitor.events import webhook
from otel_emqx_monitor.listening import listen
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.readers.prometheus import PrometheusReader, negotiate
from otel_emqx_monitor.web.basic_auth import WebGuard
from otel_emqx_monitor.web.connection import LimitedServer, Patience, ending_in_silence
from otel_emqx_monitor.web.door import Door, Places
from otel_emqx_monitor.web.live import LiveContext, LiveWebConfig

#: Asked for without a password: probes of Kubernetes and load balancers would need one in clear
#: text in their definitions, and a changed password would look like a dead process. Events have a
#: token of their own, and a request carries only one of the two.
OPEN_PATHS: Final = frozenset({health.HEALTHY, health.READY, webhook.PATH})

#: What a scrape may wait for a poll when the scraper does not announce its timeout, in seconds;
#: Prometheus' own default timeout is 10 s.
DEFAULT_SCRAPE_TIMEOUT = 10.0

#: Longer announcements are taken for this, in seconds.
_LONGEST_SCRAPE_TIMEOUT = 120.0

#: What is left of a scrape's timeout for rendering and sending: this share, at least this long.
_MARGIN_SHARE, _MARGIN_SECONDS = 0.2, 0.5

#: Prometheus' default interval is a minute; a connection should outlive it.
_KEEP_ALIVE_SECONDS = 75

#: How often the loop notes that it turns, in seconds.
_TURN_SECONDS = 5

_LONGEST_HEADERS = 16 * 1024

#: Of what a client has not read yet no more than this is held for it.
_CHUNK_BYTES = 64 * 1024

#: Expositions that are made at once; more would only take turns.
_RENDERINGS = 2

_PATIENCE = Patience()


@dataclass(frozen=True)
class Access:
    """Who may ask the HTTP server, and how much.

    Args:
        web_config_file: TLS and passwords, see ``web.settings``; ``None`` for plain HTTP.
        max_connections: how many connections may be open at once.
        patience: how long to wait for a client.
    """

    web_config_file: Path | None = None
    max_connections: int = 1024
    patience: Patience = _PATIENCE


_EVERYBODY = Access()


class MetricsServer:
    """Serves one source over HTTP in a thread of its own.

    Args:
        source: where snapshots come from.
        reader: what renders them.
        address: IPv4 or IPv6 address or host name; ``::`` takes both families.
        port: TCP port, 0 for any free one.
        routes: what else to serve.
        access: who may ask, and how much.

    Raises:
        ListenError: the address cannot be had.
        ConfigError: the web configuration file cannot be used.
    """

    def __init__(  # noqa: PLR0913 (what is served, where, to whom)
        self,
        source: SnapshotCache,
        reader: PrometheusReader,
        address: str,
        port: int,
        *,
        routes: Sequence[Route] = (),
        access: Access = _EVERYBODY,
    ) -> None:
        live = _live(access.web_config_file)
        self._tls = live is not None and live.tls
        listening = listen(address, port)
        self._places = Places(access.max_connections)
        self._sockets: list[socket.socket] = [Door(one, self._places) for one in listening]
        self.pulse = Pulse("answers HTTP")
        self.show(source, reader, routes)
        app = WebGuard(self._answer, live.current, OPEN_PATHS) if live else self._answer
        config = uvicorn.Config(
            ending_in_silence(app),
            interface="asgi3",  # as it would not find out for a method
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=_LONGEST_HEADERS,
            callback_notify=self._turn,
            timeout_notify=_TURN_SECONDS,
        )
        config.load()
        if live is not None and live.tls:
            config.ssl = LiveContext.of(live)
        self._server = LimitedServer(config, access.patience, self._places)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """Where people find it: ``http://host:port/``, or ``https:`` with TLS."""
        host, port = self._sockets[0].getsockname()[:2]
        return f"http{'s' if self._tls else ''}://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._places.taken

    def show(
        self, source: SnapshotCache, reader: PrometheusReader, routes: Sequence[Route] = ()
    ) -> None:
        """Serve this from now on; answers under way go on with what was served before."""
        self.reader = reader
        self._app = Starlette(routes=[Route("/metrics", _metrics(source, reader)), *routes])

    def start(self) -> None:
        """Begin to answer."""
        self.pulse.turn(_TURN_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let answers under way finish, for a second at most."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout=2)
        for listening in self._sockets:
            listening.close()
        self._places.close()

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)
        self.pulse.end()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A copy, in which Starlette notes itself and its endpoint: a connection that waits for its
        # next request keeps the last one's scope, and would keep all that was served before.
        await self._app(dict(scope), receive, send)

    async def _turn(self) -> None:
        self.pulse.turn(_TURN_SECONDS)


def _live(file: Path | None) -> LiveWebConfig | None:
    try:
        return None if file is None else LiveWebConfig(file)
    except FileRefused as refused:
        raise ConfigError(str(file), [Problem("", str(refused))]) from None


def scrape_wait(announced: str | None) -> float:
    """Return how many seconds a scrape may wait for a poll.

    ``announced`` is the header ``X-Prometheus-Scrape-Timeout-Seconds``: what is left when the
    margin for rendering and sending is taken off. Nonsense counts as no announcement.
    """
    try:
        timeout = float(announced) if announced is not None else DEFAULT_SCRAPE_TIMEOUT
    except ValueError:
        timeout = DEFAULT_SCRAPE_TIMEOUT
    if not math.isfinite(timeout) or timeout < 0:
        timeout = DEFAULT_SCRAPE_TIMEOUT
    timeout = min(timeout, _LONGEST_SCRAPE_TIMEOUT)
    return max(0.0, timeout - max(_MARGIN_SECONDS, timeout * _MARGIN_SHARE))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` header takes gzip (RFC 9110, section 12.5.3)."""
    for coding in accept_encoding.lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";q=")
        if name in {"gzip", "*"}:
            return weight.strip("0.") != "" or weight == ""
    return False


Endpoint = Callable[[Request], Awaitable[Response]]


def _metrics(source: SnapshotCache, reader: PrometheusReader) -> Endpoint:
    turns = asyncio.Semaphore(_RENDERINGS)

    async def metrics(request: Request) -> Response:
        headers = request.headers
        poll = source.refresh()
        if poll is not None:
            await _wait(poll, scrape_wait(headers.get("x-prometheus-scrape-timeout-seconds")))
        output = negotiate(headers.get("accept", ""))
        compress = accepts_gzip(headers.get("accept-encoding", ""))

        def render() -> list[bytes]:
            return reader.render(source.current(), output, compress=compress)

        async with turns:
            parts = await asyncio.wrap_future(background.start("render", render))
        answer = {
            "Content-Length": str(sum(map(len, parts))),
            "Content-Type": output.content_type,
            "Vary": "Accept, Accept-Encoding",
        }
        if compress:
            answer["Content-Encoding"] = "gzip"
        return StreamingResponse(_each(parts), headers=answer)

    return metrics


async def _each(parts: list[bytes]) -> AsyncIterator[memoryview]:
    """Send the parts as they are, piece by piece: all readers share one exposition."""
    for part in parts:
        view = memoryview(part)
        for begin in range(0, len(part), _CHUNK_BYTES):
            yield view[begin : begin + _CHUNK_BYTES]


async def _wait(poll: "Future[None]", seconds: float) -> None:
    """Wait for ``poll`` but never longer; it goes on behind an answer that does not wait."""
    await asyncio.wait([asyncio.wrap_future(poll)], timeout=seconds)
