"""One request for the page, one answer."""

import asyncio
import threading
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_emqx_monitor import background
from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.page.document import CONTENT_SECURITY_POLICY, render
from otel_emqx_monitor.readers.prometheus import PrometheusReader

#: How long a person waits for a poll that is due; it goes on behind an answer that does not wait.
_PATIENCE_SECONDS = 3.0

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Content-Type": "text/html; charset=utf-8",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

#: What the page calls the server's other addresses; those it does not know it does not show.
_LINKS = {
    "/metrics": "Metrics for Prometheus",
    "/healthz": "Liveness",
    "/readyz": "Readiness",
}


class LandingPage:
    """Answers requests for ``/``.

    Without a schedule it polls when that is due, as a scrape does.

    Args:
        source: where snapshots come from.
        reader: whose scrapes are told of.
        config: what is watched, and how.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        source: SnapshotCache,
        reader: PrometheusReader,
        config: Config,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._reader = reader
        self._config = config
        self._clock = clock
        self._rendering = threading.Lock()

    @property
    def route(self) -> Route:
        """What an HTTP server has to serve."""
        return Route("/", self._answer)

    async def _answer(self, request: Request) -> Response:
        """Return the page that the request's query asks for."""
        poll = self._source.refresh()
        if poll is not None:
            await asyncio.wait([asyncio.wrap_future(poll)], timeout=_PATIENCE_SECONDS)
        parameters = dict(request.query_params)
        paths = [getattr(route, "path", "") for route in request.app.routes]
        links = [(path[1:], _LINKS[path]) for path in paths if path in _LINKS]

        def make() -> bytes:
            with self._rendering:  # 100,000 clients take a while; one after the other
                page = render(
                    self._source.current(),
                    self._config,
                    self._reader,
                    self._source.flags,
                    parameters=parameters,
                    links=links,
                    now=self._clock(),
                )
            return page.encode("utf-8", "backslashreplace")

        body = await asyncio.wrap_future(background.start("page", make))
        return Response(body, headers=_HEADERS)
