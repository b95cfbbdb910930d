"""The agent's HTTP server: ``/metrics`` for Prometheus, ``/`` for people."""

import asyncio
import html
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from otel_emqx_monitor import background
from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.listening import listen
from otel_emqx_monitor.readers.prometheus import PrometheusReader, negotiate
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.version import __version__

#: What a scrape may wait for a poll when the scraper does not announce its timeout, in seconds;
#: Prometheus' own default timeout is 10 s.
DEFAULT_SCRAPE_TIMEOUT = 10.0

#: Longer announcements are taken for this, in seconds.
_LONGEST_SCRAPE_TIMEOUT = 120.0

#: What is left of a scrape's timeout for rendering and sending: this share, at least this long.
_MARGIN_SHARE, _MARGIN_SECONDS = 0.2, 0.5

#: Prometheus' default interval is a minute; a connection should outlive it.
_KEEP_ALIVE_SECONDS = 75

_LONGEST_HEADERS = 16 * 1024

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>otel-emqx-monitor</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
</head>
<body style="font-family: sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em">
<h1>otel-emqx-monitor {version}</h1>
<p>Watches {count} MQTT clients of the EMQX broker <strong>{broker}</strong>.</p>
{remarks}
<p><a href="metrics">Metrics</a> for Prometheus.</p>
</body>
</html>
"""

#: What to tell people about a snapshot.
Remarks = Callable[[Snapshot], Sequence[str]]


class _Connection(H11Protocol):
    """uvicorn's connection; what is not HTTP ends an answer that is under way, without a trace."""

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless an answer to what came before has begun: then end it."""
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self.transport.close()


class MetricsServer:
    """Serves one source over HTTP in a thread of its own.

    Args:
        source: where snapshots come from.
        reader: what renders them.
        address: IPv4 or IPv6 address or host name; ``::`` takes both families.
        port: TCP port, 0 for any free one.
        routes: what else to serve.
        remarks: what the page for people says of a snapshot, one sentence each.

    Raises:
        ListenError: the address cannot be had.
    """

    def __init__(  # noqa: PLR0913 (the parts that the agent wires together)
        self,
        source: SnapshotCache,
        reader: PrometheusReader,
        address: str,
        port: int,
        *,
        routes: Sequence[Route] = (),
        remarks: Remarks = lambda _snapshot: (),
    ) -> None:
        self._sockets = listen(address, port)
        app = Starlette(
            routes=[
                Route("/metrics", _metrics(source, reader)),
                Route("/", _landing_page(source, remarks)),
                *routes,
            ]
        )
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_LONGEST_HEADERS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """Where people find it: ``http://host:port/``."""
        host, port = self._sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let answers under way finish, for a second at most."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout=2)
        for listening in self._sockets:
            listening.close()

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)


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
    async def metrics(request: Request) -> Response:
        headers = request.headers
        poll = source.refresh()
        if poll is not None:
            await _wait(poll, scrape_wait(headers.get("x-prometheus-scrape-timeout-seconds")))
        output = negotiate(headers.get("accept", ""))
        compress = accepts_gzip(headers.get("accept-encoding", ""))

        def render() -> list[bytes]:
            return reader.render(source.current(), output, compress=compress)

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


async def _each(parts: list[bytes]) -> AsyncIterator[bytes]:
    """Send the parts as they are: to join them would copy all of an exposition."""
    for part in parts:
        yield part


async def _wait(poll: "Future[None]", seconds: float) -> None:
    """Wait for ``poll`` but never longer; it goes on behind an answer that does not wait."""
    await asyncio.wait([asyncio.wrap_future(poll)], timeout=seconds)


def _landing_page(source: SnapshotCache, remarks: Remarks) -> Endpoint:
    async def landing_page(_request: Request) -> Response:
        snapshot = source.current()
        return HTMLResponse(
            _PAGE.format(
                version=__version__,
                count=len(snapshot.fleet.clients),
                broker=html.escape(snapshot.broker),
                remarks="\n".join(f"<p>{html.escape(one)}</p>" for one in remarks(snapshot)),
            )
        )

    return landing_page
