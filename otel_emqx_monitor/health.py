"""``/healthz`` and ``/readyz``, for those who restart agents and those who wait for them.

Both answer 200 and ``ok``, or 503 and one line that says why not, from what is known already: they
never wait for EMQX. They need no credentials, and tell nothing that would deserve any.
"""

from collections.abc import Callable, Iterable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.snapshot import Snapshot

#: The paths, for whoever decides which ones need credentials.
HEALTHY, READY = "/healthz", "/readyz"


def health_routes(source: SnapshotCache, pulses: Callable[[], Iterable[Pulse]]) -> list[Route]:
    """Return the two endpoints.

    Args:
        source: what has to be ready.
        pulses: returns those of the loops that have to turn now.
    """

    async def healthy(_request: Request) -> Response:
        return _answer(trouble_of(pulses()))

    async def ready(_request: Request) -> Response:
        return _answer(_readiness(source))

    return [Route(HEALTHY, healthy), Route(READY, ready)]


def trouble_of(pulses: Iterable[Pulse]) -> str | None:
    """Return which loops do not turn, in one line; ``None`` when all do."""
    found = [trouble for pulse in pulses if (trouble := pulse.trouble)]
    return "; ".join(found) or None


def unready(snapshot: Snapshot) -> str | None:
    """Return why an agent is of no use yet or any more, in one line; ``None`` when it is.

    It is when the last good poll is recent enough, and also before the first one when it remembers
    an earlier run.
    """
    fleet, health = snapshot.fleet, snapshot.health
    if fleet.polled_at is not None:
        return None
    if health.last_success is not None:
        return "EMQX has not answered for too long, so the clients are unknown; the log says why"
    if fleet.remembered_at is not None:
        return None
    if health.up is False:
        return "no poll of EMQX has succeeded yet; the log says why"
    return "no poll of EMQX has ended yet"


def _readiness(source: SnapshotCache) -> str | None:
    """As ``unready``; without a schedule it begins a poll that is due, and does not wait for it.

    Else an agent that is only scraped when it is ready would never be.
    """
    reason = unready(source.current())
    if reason is not None:
        source.refresh()
    return reason


def _answer(trouble: str | None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if trouble is None:
        return PlainTextResponse("ok\n", headers=headers)
    return PlainTextResponse(f"{trouble}\n", 503, headers=headers)
