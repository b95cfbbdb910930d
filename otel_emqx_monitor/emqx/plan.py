"""Which requests a poll makes: the cheapest for the broker that answers the question.

The costs are those measured on EMQX 5.8.9 (two cores), in milliseconds of the broker's time. They
need not be exact: the plans differ by factors, and a wrong choice near a crossing costs little.

* ``GET /clients/:id`` is a key lookup, about 2 ms with HTTP and authentication.
* ``clientid=`` is a filter: every row of the table is compared with every id, whatever is found.
* A sweep formats every row, and page K reads and throws away the K - 1 pages before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from urllib.parse import quote

from otel_emqx_monitor.emqx.dialect import Dialect

#: EMQX answers 414 from a request line of 8,000 bytes on, method and version included.
MAX_REQUEST_LINE = 7_900

_LOOKUP_MS = 2.0
_REQUEST_MS = 2.0
_FORMAT_ROW_MS = 0.08
_FORMAT_WHOLE_ROW_MS = 0.25
_SCAN_ROW_MS = 0.003
_COMPARE_ID_MS = 0.00004
_SKIP_ROW_MS = 0.01


@dataclass(frozen=True)
class Lookups:
    """Ask ``GET /clients/:id`` for each id, one after the other."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Batches:
    """Ask ``GET /clients?clientid=…&clientid=…`` for each group of ids."""

    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sweep:
    """Read all pages of ``GET /clients`` and pick what is wanted."""


Plan = Lookups | Batches | Sweep


def encode_id(client_id: str) -> str:
    """Return ``client_id`` percent-encoded for a path segment or a query value."""
    return quote(client_id, safe="")


def can_look_up(client_id: str, room: int) -> bool:
    """Whether a path can hold the id: EMQX takes ``.`` and ``..`` for steps of the path."""
    return client_id not in {".", ".."} and len(encode_id(client_id)) <= room


def choose(  # noqa: PLR0913 (all that the costs depend on)
    ids: Sequence[str],
    dialect: Dialect,
    sessions: int,
    nodes: int,
    room: int,
    *,
    lookups: bool = True,
) -> Plan:
    """Return the cheapest plan to learn about ``ids``.

    ``sessions`` is about how many clients the broker holds on ``nodes`` nodes, ``room`` how many
    bytes of a request line are free for ids. Without ``lookups`` none are planned.
    """
    sweep_cost = _sweep_cost(dialect, sessions)
    candidates: list[tuple[float, Plan]] = [(sweep_cost, Sweep())]
    if lookups and all(can_look_up(client_id, room) for client_id in ids):
        hops = 1 if dialect.looks_up_by_registry else max(1, nodes)
        candidates.append((len(ids) * _LOOKUP_MS * hops, Lookups(tuple(ids))))
    if dialect.selects_ids:
        groups = _group(ids, room)
        if groups is not None:
            candidates.append((_batches_cost(groups, len(ids), sessions), Batches(groups)))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _sweep_cost(dialect: Dialect, sessions: int) -> float:
    pages = max(1, ceil(sessions / dialect.page_limit))
    skipped = dialect.page_limit * pages * (pages - 1) / 2
    row = _FORMAT_ROW_MS if dialect.selects_fields else _FORMAT_WHOLE_ROW_MS
    return pages * _REQUEST_MS + sessions * row + skipped * _SKIP_ROW_MS


def _batches_cost(groups: tuple[tuple[str, ...], ...], found: int, sessions: int) -> float:
    scans = sum(_SCAN_ROW_MS + _COMPARE_ID_MS * len(group) for group in groups)
    return len(groups) * _REQUEST_MS + sessions * scans + found * _FORMAT_ROW_MS


def _group(ids: Sequence[str], room: int) -> tuple[tuple[str, ...], ...] | None:
    """Split ``ids`` so that each group fits ``room`` bytes; ``None`` if one id alone does not."""
    groups: list[list[str]] = []
    left = 0
    for client_id in ids:
        size = len("&clientid=") + len(encode_id(client_id))
        if size > room:
            return None
        if size > left:
            groups.append([])
            left = room
        groups[-1].append(client_id)
        left -= size
    return tuple(map(tuple, groups))
