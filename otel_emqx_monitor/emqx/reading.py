"""Reads the clients of a broker, or of one of its nodes, over one session, in the cheapest way.

A reading is whole or it is an error. Rows can slip from one page to another while clients come and
go (EMQX pages through a live table), so a reading of several pages says that it is ``torn``: a
client that it lacks has to be asked for once more before it counts as gone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.answers import Answer, is_missing_client
from otel_emqx_monitor.emqx.decoding import decoded
from otel_emqx_monitor.emqx.dialect import Dialect
from otel_emqx_monitor.emqx.errors import Unreadable
from otel_emqx_monitor.emqx.http import Http
from otel_emqx_monitor.emqx.plan import (
    MAX_REQUEST_LINE,
    Batches,
    Lookups,
    Sweep,
    choose,
    encode_id,
)
from otel_emqx_monitor.emqx.rows import Page, Row, decode_page, decode_row, newest_by_id


@dataclass(frozen=True)
class Question:
    """What is to be read: the ``fields`` (EMQX's names) of some clients.

    With ``ids`` of these clients; with ``None`` of every client whose row ``wants``, or of every
    one. ``path_bytes`` is the length of the API's path at most.
    """

    path_bytes: int
    fields: frozenset[str]
    ids: Sequence[str] | None
    wants: Callable[[Row], bool] | None = None


@dataclass(frozen=True)
class Found:
    """The rows by client id, whether the reading was ``torn``, and how many sessions there are."""

    rows: dict[str, Row]
    torn: bool = False
    sessions: int | None = None


@dataclass(frozen=True)
class Reader:
    """Knows whom to ask, and how.

    ``sessions`` is about how many clients there are. With ``node`` that node alone is asked;
    lookups are not used then: they know nothing of ``node=``, and one for a client of a node that
    hangs hangs too (EMQX asks the owner of the session without a time limit). With ``own_only``
    rows that name another node are left out. ``attempts`` is as in ``Http.get``.
    """

    question: Question
    http: Http
    deadline: Deadline
    dialect: Dialect
    sessions: int
    nodes: int = 1
    node: str | None = None
    own_only: bool = False
    attempts: int | None = None

    def read(self) -> Found:
        """Read what is asked for.

        Raises:
            EmqxError: something of it could not be had.
        """
        return self._sweep(None) if self.question.ids is None else self._those(self.question.ids)

    def read_again(self, ids: Iterable[str]) -> dict[str, Row]:
        """Read the rows of ``ids``, which a reading did not show; it may take more pages.

        After a node's rows vanish there can be thousands, and a lookup each would take minutes.

        Raises:
            EmqxError: something of it could not be had.
        """
        return self._those(sorted(ids)).rows

    def _those(self, ids: Sequence[str]) -> Found:
        plan = choose(
            ids, self.dialect, self.sessions, self.nodes, self._room(), lookups=self.node is None
        )
        match plan:
            case Lookups(ids):
                return self._look_up(ids)
            case Batches(groups):
                return self._batches(groups)
            case Sweep():
                return self._sweep(frozenset(ids))

    def _room(self) -> int:
        """Bytes of a request line that are free for ids."""
        longest = f"GET /clients?page=1000000&limit=10000{self._fields}{self._node} HTTP/1.1\r\n"
        return MAX_REQUEST_LINE - self.question.path_bytes - len(longest)

    @property
    def _fields(self) -> str:
        fields = self.question.fields | ({"node"} if self.node else set())
        return f"&fields={','.join(sorted(fields))}"

    @property
    def _node(self) -> str:
        return f"&node={encode_id(self.node)}" if self.node else ""

    def _look_up(self, ids: Iterable[str]) -> Found:
        rows = (
            self.http.get(f"/clients/{encode_id(i)}", _one_row, self.deadline, self.attempts)
            for i in ids
        )
        return Found(newest_by_id(row for row in rows if row is not None and self._keeps(row)))

    def _batches(self, groups: Iterable[tuple[str, ...]]) -> Found:
        rows: dict[str, Row] = {}
        torn = False
        for group in groups:
            only = "".join(f"&clientid={encode_id(client_id)}" for client_id in group)
            found = self._pages(only, frozenset(group))
            rows |= found.rows
            torn |= found.torn
        return Found(rows, torn)

    def _sweep(self, ids: frozenset[str] | None) -> Found:
        return self._pages("", ids)

    def _pages(self, only: str, ids: frozenset[str] | None) -> Found:
        """Read page after page; keep the rows of ``ids``, or of all.

        What comes back is filtered again: old versions ignore the filters, and with durable
        sessions every version adds offline ones unfiltered.
        """
        rows: list[Row] = []
        before: set[str] = set()
        query = f"limit={self.dialect.page_limit}{only}{self._node}"
        if self.dialect.selects_fields:
            query += self._fields
        number = 0
        while True:
            number += 1
            page = self.http.get(
                f"/clients?page={number}&{query}", decode_clients, self.deadline, self.attempts
            )
            rows.extend(
                row
                for row in page.data
                if (ids is None or row.clientid in ids) and self._keeps(row)
            )
            if not page.data or not _has_next(page, self.dialect):
                break
            shown = {row.clientid for row in page.data}
            if shown <= before:
                raise Unreadable(
                    f"page {number} of EMQX's clients repeats the pages before it and says that"
                    " more follow; if this lasts, look for a proxy that caches EMQX's API"
                )
            before = shown
        return Found(newest_by_id(rows), number > 1, None if only else page.meta.count)

    def _keeps(self, row: Row) -> bool:
        if self.own_only and row.node not in {None, self.node}:
            return False
        return self.question.wants is None or self.question.wants(row)


def decode_clients(answer: Answer) -> Page:
    """Decode a page of clients; ``NotEmqx`` or ``Unreadable`` when it is none."""
    return decoded(answer, decode_page)


def _one_row(answer: Answer) -> Row | None:
    return None if is_missing_client(answer) else decoded(answer, decode_row)


def _has_next(page: Page, dialect: Dialect) -> bool:
    if page.meta.hasnext is None:
        return len(page.data) >= dialect.page_limit
    return page.meta.hasnext
