"""Where the path of a request leads, read as cowboy reads it."""

from collections.abc import Mapping
from enum import StrEnum

from otel_emqx_monitor.simulator.query import decode


class Route(StrEnum):
    """What a path leads to."""

    LIST = "list"
    LOOKUP = "lookup"
    NODES = "nodes"
    CONFIG = "config"
    CONNECTORS = "connectors"
    ACTIONS = "actions"
    RULES = "rules"
    STATUS = "status"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"


_CLIENTS = ("api", "v5", "clients")
_INTEGRATION: Mapping[tuple[str, ...], Route] = {
    ("api", "v5", one): one for one in (Route.CONNECTORS, Route.ACTIONS, Route.RULES)
}
_ROUTES: Mapping[tuple[str, ...], Route] = {
    **_INTEGRATION,
    _CLIENTS: Route.LIST,
    ("api", "v5", "nodes"): Route.NODES,
    ("api", "v5", "configs", "global_zone"): Route.CONFIG,
    ("api", "v5", "status"): Route.STATUS,
    ("status",): Route.STATUS,
}


def route(path: bytes) -> tuple[Route, str]:
    """Return where the raw ``path`` leads, and the client id or key of what it names, if any.

    Segments are split first and decoded then, so ``%2F`` stays inside a client id; the segments
    ``.`` and ``..`` are resolved last, so no client of that name can be looked up.
    """
    try:
        decoded = [decode(segment) for segment in path.removesuffix(b"/").split(b"/")[1:]]
    except ValueError:
        return Route.MALFORMED, ""
    segments: list[str] = []
    for segment in decoded:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    *above, last = segments or [""]
    if tuple(above) == _CLIENTS:
        return Route.LOOKUP, last
    if tuple(above) in _INTEGRATION:
        return _INTEGRATION[tuple(above)], last
    return _ROUTES.get(tuple(segments), Route.UNKNOWN), ""
