"""Polls EMQX: the version first, then the cheapest requests that tell all that is wanted.

A poll is whole or it is an error. Rows can slip from one page to another while clients come and go
(EMQX pages through a live table), so a watched client that a sweep of several pages did not show is
asked for once more before it is called absent.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.answers import Answer, is_missing_client, path_of
from otel_emqx_monitor.emqx.dialect import PLAINEST, Dialect, dialect_of
from otel_emqx_monitor.emqx.errors import Forbidden, NotEmqx, Unreadable
from otel_emqx_monitor.emqx.http import Http
from otel_emqx_monitor.emqx.plan import (
    MAX_REQUEST_LINE,
    Batches,
    Lookups,
    Plan,
    Sweep,
    choose,
    encode_id,
)
from otel_emqx_monitor.emqx.rows import (
    Count,
    Page,
    Poll,
    Row,
    decode_page,
    decode_row,
    newest_by_id,
)
from otel_emqx_monitor.text import printable

T = TypeVar("T")

#: How long the version is believed; a failed poll ends that too, since an upgrade causes one.
_VERSION_SECONDS = 600.0


class Node(msgspec.Struct, frozen=True):
    """One node of the cluster, from ``GET /nodes``; ``connections`` counts kept sessions too."""

    node: str
    version: str = ""
    node_status: str = ""
    connections: Count | None = None


@dataclass(frozen=True)
class Broker:
    """What is known of the broker: its nodes, and how it can be asked.

    ``nodes`` is empty when the API key may not read ``/nodes``; ``versions`` then is what
    ``/status`` told, if anything.
    """

    nodes: tuple[Node, ...]
    versions: tuple[str, ...]
    dialect: Dialect

    @property
    def sessions(self) -> int:
        """About how many clients the broker holds; 10,000 when it does not say."""
        counts = [node.connections for node in self.nodes if node.connections is not None]
        return sum(counts) if counts else 10_000


class _Status(msgspec.Struct, frozen=True):
    rel_vsn: str


class EmqxClient:
    """Asks one broker about its clients.

    Args:
        config: where EMQX is and how to ask it.
        fields: the fields of rows that are needed, by EMQX's names.
        watched: the client ids of interest, or ``None`` for every client.
        deadline_seconds: how long a whole poll may take.
        clock: the time of day in seconds since the epoch.

    Not for two threads at once, except ``close``.
    """

    def __init__(
        self,
        config: EmqxConfig,
        fields: Collection[str],
        watched: Sequence[str] | None,
        *,
        deadline_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = Http(config)
        self._path_bytes = len(config.api_url)  # the path's length at most
        self._fields = ",".join(sorted(fields))
        self._watched = watched
        self._wanted = None if watched is None else frozenset(watched)
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._broker: Broker | None = None
        self._broker_until = 0.0
        self._sessions = 0
        self._known_absent: frozenset[str] = frozenset()

    def close(self) -> None:
        """Cut off a poll that is under way; may be called from any thread."""
        self._http.close()

    def poll(self) -> Poll:
        """Ask about all watched clients.

        Raises:
            EmqxError: the poll failed; nothing of it is kept.
        """
        began = time.monotonic()
        try:
            with self._http.deadline(self._deadline_seconds) as deadline:
                rows = self._rows(self._known_broker(deadline), deadline)
        except Exception:
            self._broker = None
            raise
        return Poll(rows, finished_at=self._clock(), duration=time.monotonic() - began)

    def probe(self) -> Broker:
        """Ask for the version and for one client, to see that the key is accepted.

        Raises:
            EmqxError: EMQX cannot be asked, or refuses.
        """
        with self._http.deadline(self._deadline_seconds) as deadline:
            broker = self._ask_broker(deadline)
            self._page("/clients?limit=1", deadline)
        return broker

    def _known_broker(self, deadline: Deadline) -> Broker:
        if self._broker is None or time.monotonic() > self._broker_until:
            self._broker = self._ask_broker(deadline)
            self._broker_until = time.monotonic() + _VERSION_SECONDS
            self._sessions = self._broker.sessions
        return self._broker

    def _ask_broker(self, deadline: Deadline) -> Broker:
        try:
            nodes = self._http.get("/nodes", _decoder(list[Node]), deadline)
        except Forbidden:  # a key with scopes may read clients but not the cluster (EMQX 6.1.2)
            return self._ask_status(deadline)
        running = tuple(node for node in nodes if node.node_status.lower() == "running")
        versions = tuple(node.version for node in running)
        return Broker(running, versions, dialect_of(versions))

    def _ask_status(self, deadline: Deadline) -> Broker:
        try:
            status = self._http.get("/status?format=json", _decoder(_Status), deadline)
        except (NotEmqx, Unreadable):  # plain text in older versions
            return Broker((), (), PLAINEST)
        return Broker((), (status.rel_vsn,), dialect_of([status.rel_vsn]))

    def _rows(self, broker: Broker, deadline: Deadline) -> dict[str, Row]:
        plan = Sweep() if self._watched is None else self._plan(self._watched, broker)
        match plan:
            case Lookups(ids):
                return self._look_up(ids, deadline)
            case Batches(groups):
                return self._batches(groups, broker.dialect, deadline)
            case Sweep():
                return self._sweep(broker, deadline)

    def _plan(self, ids: Sequence[str], broker: Broker) -> Plan:
        nodes = max(1, len(broker.nodes))
        return choose(ids, broker.dialect, self._sessions, nodes, self._room())

    def _room(self) -> int:
        """Bytes of a request line that are free for ids."""
        query = f"GET /clients?page=1000000&limit=10000&fields={self._fields} HTTP/1.1\r\n"
        return MAX_REQUEST_LINE - self._path_bytes - len(query)

    def _look_up(self, ids: Iterable[str], deadline: Deadline) -> dict[str, Row]:
        rows = (self._http.get(f"/clients/{encode_id(i)}", _one_row, deadline) for i in ids)
        return newest_by_id(row for row in rows if row is not None)

    def _batches(
        self, groups: Iterable[tuple[str, ...]], dialect: Dialect, deadline: Deadline
    ) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for group in groups:
            only = "".join(f"&clientid={encode_id(client_id)}" for client_id in group)
            found, _ = self._pages(only, dialect, deadline, frozenset(group))
            rows |= found
        return rows

    def _sweep(self, broker: Broker, deadline: Deadline) -> dict[str, Row]:
        rows, pages = self._pages("", broker.dialect, deadline, self._wanted)
        if self._watched is None:
            return rows
        missing = frozenset(self._watched).difference(rows)
        doubtful = missing - self._known_absent
        if pages > 1 and doubtful:
            rows |= self._ask_again(sorted(doubtful), broker, deadline)
        self._known_absent = missing.difference(rows)
        return rows

    def _ask_again(
        self, doubtful: Sequence[str], broker: Broker, deadline: Deadline
    ) -> dict[str, Row]:
        """Ask for ids that several pages did not show, in the cheapest way; it may be more pages.

        After a node's rows vanish there can be thousands, and a lookup each would take minutes.
        """
        match self._plan(doubtful, broker):
            case Lookups(ids):
                return self._look_up(ids, deadline)
            case Batches(groups):
                return self._batches(groups, broker.dialect, deadline)
            case Sweep():
                return self._pages("", broker.dialect, deadline, frozenset(doubtful))[0]

    def _pages(
        self, only: str, dialect: Dialect, deadline: Deadline, wanted: frozenset[str] | None
    ) -> tuple[dict[str, Row], int]:
        """Read page after page; return the rows of the ``wanted`` ids and the number of pages.

        What comes back is filtered again: old versions ignore the filters, and with durable
        sessions every version adds offline ones unfiltered.
        """
        rows: list[Row] = []
        seen: set[str] = set()
        query = f"limit={dialect.page_limit}{only}"
        if dialect.selects_fields:
            query += f"&fields={self._fields}"
        number = 0
        while True:
            number += 1
            page = self._page(f"/clients?page={number}&{query}", deadline)
            before = len(seen)
            seen.update(row.clientid for row in page.data)
            rows.extend(row for row in page.data if wanted is None or row.clientid in wanted)
            if not page.data or not _has_next(page, dialect):
                break
            if len(seen) == before:
                raise Unreadable(
                    f"page {number} of EMQX's clients repeats the pages before it and says that"
                    " more follow; if this lasts, look for a proxy that caches EMQX's API"
                )
        if not only and page.meta.count is not None:
            self._sessions = page.meta.count
        return newest_by_id(rows), number

    def _page(self, target: str, deadline: Deadline) -> Page:
        return self._http.get(target, _page, deadline)


def _has_next(page: Page, dialect: Dialect) -> bool:
    if page.meta.hasnext is None:
        return len(page.data) >= dialect.page_limit
    return page.meta.hasnext


def _page(answer: Answer) -> Page:
    return _decode(answer, decode_page)


def _one_row(answer: Answer) -> Row | None:
    return None if is_missing_client(answer) else _decode(answer, decode_row)


def _decoder(kind: type[T]) -> Callable[[Answer], T]:
    decoder = msgspec.json.Decoder(kind)
    return lambda answer: _decode(answer, decoder.decode)


def _decode(answer: Answer, decode: Callable[[bytes], T]) -> T:
    """Decode a body of status 200; what is not JSON at all did not come from EMQX's API."""
    path = path_of(answer)
    try:
        return decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "json" not in answer.media_type and answer.body.lstrip()[:1] not in {b"{", b"["}:
            raise NotEmqx(
                f"{path} was answered with {answer.media_type or 'something'} instead of JSON;"
                " check that emqx.api_url leads to EMQX's API and not to a web page or a proxy"
            ) from None
        raise Unreadable(
            f"EMQX's answer to {path} cannot be read: {printable(str(error), 200)}"
        ) from None
