"""Client rows as EMQX's REST API sends them, decoded into types.

EMQX omits what it does not know: a disconnected session loses ``recv_oct`` and ``send_oct`` some
17 s after the disconnect, an offline durable session may send nothing but its client id. A missing
field and a ``null`` are therefore both ``None``, which means "not known" and never zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

#: A count, a gauge or a setting: never negative, and within the signed 64 bits that OTLP carries.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

#: An instant with its offset from UTC: nodes print their local offset, so only instants compare.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]

ClientId = Annotated[str, msgspec.Meta(min_length=1)]


def attribute(field: str) -> str:
    """Return the name under which ``Row`` holds the API field ``field``."""
    return field.replace(".", "_")


_DOTTED = (
    "recv_msg.qos0",
    "recv_msg.qos1",
    "recv_msg.qos2",
    "recv_msg.dropped",
    "recv_msg.dropped.await_pubrel_timeout",
    "send_msg.qos0",
    "send_msg.qos1",
    "send_msg.qos2",
    "send_msg.dropped",
    "send_msg.dropped.expired",
    "send_msg.dropped.queue_full",
    "send_msg.dropped.too_large",
)


class Row(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    rename={attribute(name): name for name in _DOTTED},
):
    """One client as one poll saw it; the fields are EMQX's, dots replaced by underscores.

    Counters belong to the connection that began at ``connected_at``, ``created_at`` is the birth of
    the session, ``keepalive`` counts seconds. ``connected`` is ``None`` when EMQX did not say.
    """

    clientid: ClientId
    username: str | None = None
    node: str | None = None
    connected: bool | None = None
    connected_at: Instant | None = None
    disconnected_at: Instant | None = None
    created_at: Instant | None = None
    keepalive: Count | None = None
    proto_ver: Count | None = None
    clean_start: bool | None = None
    expiry_interval: Count | None = None
    subscriptions_cnt: Count | None = None
    inflight_cnt: Count | None = None
    awaiting_rel_cnt: Count | None = None
    mqueue_len: Count | None = None
    mqueue_dropped: Count | None = None
    recv_oct: Count | None = None
    send_oct: Count | None = None
    recv_pkt: Count | None = None
    send_pkt: Count | None = None
    recv_msg: Count | None = None
    recv_msg_qos0: Count | None = None
    recv_msg_qos1: Count | None = None
    recv_msg_qos2: Count | None = None
    recv_msg_dropped: Count | None = None
    recv_msg_dropped_await_pubrel_timeout: Count | None = None
    send_msg: Count | None = None
    send_msg_qos0: Count | None = None
    send_msg_qos1: Count | None = None
    send_msg_qos2: Count | None = None
    send_msg_dropped: Count | None = None
    send_msg_dropped_expired: Count | None = None
    send_msg_dropped_queue_full: Count | None = None
    send_msg_dropped_too_large: Count | None = None


class PageMeta(msgspec.Struct, frozen=True):
    """The ``meta`` of a page. ``count`` is missing with fuzzy filters, ``hasnext`` in old 5.0."""

    hasnext: bool | None = None
    count: Count | None = None


class Page(msgspec.Struct, frozen=True):
    """One answer of ``GET /clients``."""

    data: list[Row]
    meta: PageMeta


class NodeState(StrEnum):
    """What is known of a node of the cluster."""

    RUNNING = "running"  # it answers
    HANGING = "hanging"  # the cluster counts on it, or has lost sight of it; it does not answer
    STOPPED = "stopped"  # the cluster says that it is not running


@dataclass(frozen=True, slots=True)
class Poll:
    """The rows of one poll, by client id; always complete, a poll that failed is an error.

    In a cluster it is complete but for the nodes in ``blind``, which did not answer or do not run:
    nothing is known of the clients there. ``blind`` says for how many seconds each of them has not
    answered; ``nodes`` has all nodes that are known, and may be empty where they cannot be read.

    ``finished_at`` is in seconds since the epoch by the agent's clock, ``duration`` in seconds.
    ``refresh_seconds`` is how often the broker's counters move, ``None`` when it did not tell.
    """

    rows: Mapping[str, Row]
    finished_at: float
    duration: float
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    blind: Mapping[str, float] = field(default_factory=dict)
    refresh_seconds: float | None = None


_page_decoder = msgspec.json.Decoder(Page)
_row_decoder = msgspec.json.Decoder(Row)


def decode_page(body: bytes) -> Page:
    """Decode an answer of ``GET /clients``; one of ``answers.UNDECODABLE`` when it is not one."""
    return _page_decoder.decode(body)


def decode_row(body: bytes) -> Row:
    """Decode an answer of ``GET /clients/:id``; else one of ``answers.UNDECODABLE``."""
    return _row_decoder.decode(body)


def newest_by_id(rows: Iterable[Row]) -> dict[str, Row]:
    """Return one row for each client id: a connected one first, then the newest ``connected_at``.

    An id can stand in one answer twice, and in two pages: during a takeover, when rows shift
    between pages, and as a ghost of a connection that died (EMQX up to 5.8).
    """
    best: dict[str, Row] = {}
    for row in rows:
        other = best.get(row.clientid)
        if other is None or _rank(row) > _rank(other):
            best[row.clientid] = row
    return best


def _rank(row: Row) -> tuple[bool, float]:
    return row.connected is True, row.connected_at.timestamp() if row.connected_at else 0.0
