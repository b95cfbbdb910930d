"""Which clients the page shows, and in which order: those of one page of at most 200."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from otel_emqx_monitor.fleet import Client, State
from otel_emqx_monitor.page.fields import Field
from otel_emqx_monitor.page.query import OVERDUE, Query

#: More rows take a browser, and a person, too long.
CLIENTS_ON_A_PAGE = 200

#: The keys of the columns that every client has.
ORDERS = ("name", "state", "connected", "seen")

_RANKS = {state: rank for rank, state in enumerate(State)}


@dataclass(frozen=True)
class Listing:
    """The ``clients`` of page ``page`` of ``pages``, of the ``matching`` ones; pages from 1."""

    clients: Sequence[Client]
    matching: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """The number of the first client shown, counted from 1."""
        return (self.page - 1) * CLIENTS_ON_A_PAGE + 1


def select(
    clients: Iterable[Client],
    query: Query,
    looked_at: float,
    fields: Sequence[Field],
    *,
    usernames: bool,
) -> Listing:
    """Return the clients that ``query`` asks for.

    Who is overdue is told as of ``looked_at``, when clients were last looked for (epoch seconds).
    Text is searched for in alias and client id, and in the user name where ``usernames`` may be
    known; upper and lower case are the same. Unknown values come last in either direction.
    """
    found = [one for one in clients if _matches_state(one, query.state, looked_at)]
    if query.text:
        text = query.text.casefold()
        found = [one for one in found if _contains(one, text, usernames=usernames)]
    found.sort(key=_by_name)
    if query.order != "name":
        read = _order(query.order, fields)
        known = [one for one in found if read(one) is not None]
        known.sort(key=read, reverse=query.descending)
        found = [*known, *(one for one in found if read(one) is None)]
    elif query.descending:
        found.reverse()
    pages = max(1, ceil(len(found) / CLIENTS_ON_A_PAGE))
    page = min(query.page, pages)
    start = (page - 1) * CLIENTS_ON_A_PAGE
    return Listing(found[start : start + CLIENTS_ON_A_PAGE], len(found), page, pages)


def connected_since(client: Client) -> float | None:
    """Return when the connection of a connected client began, in seconds since the epoch."""
    row = client.row
    if client.state is not State.CONNECTED or row is None or row.connected_at is None:
        return None
    return row.connected_at.timestamp()


def _matches_state(client: Client, state: str, looked_at: float) -> bool:
    if state == OVERDUE:
        return client.overdue(looked_at) is True
    return not state or client.state.value == state


def _contains(client: Client, text: str, *, usernames: bool) -> bool:
    if text in client.client_id.casefold() or text in client.alias.casefold():
        return True
    row = client.memory.row
    return usernames and row is not None and text in (row.username or "").casefold()


def _by_name(client: Client) -> tuple[str, str]:
    return client.alias, client.client_id


def _order(key: str, fields: Sequence[Field]) -> Callable[[Client], Any]:
    for field in fields:
        if field.key == key:
            return field.read
    if key == "state":
        return lambda client: _RANKS[client.state]
    if key == "connected":
        return connected_since
    return lambda client: client.memory.last_seen
