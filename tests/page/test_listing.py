from datetime import UTC, datetime

import pytest

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Client, State
from otel_emqx_monitor.page.fields import Field
from otel_emqx_monitor.page.listing import CLIENTS_ON_A_PAGE, Listing, select
from otel_emqx_monitor.page.query import Query
from tests.page.pages import NOW, client


def row(client_id: str, since: float, received: int | None, user: str | None = None) -> Row:
    connected_at = datetime.fromtimestamp(since, UTC)
    return Row(clientid=client_id, connected_at=connected_at, recv_msg=received, username=user)


CLIENTS = [
    client("bravo", last_seen=1000.0, row=row("bravo", 300, 7, "Smith")),
    client("alpha", State.ABSENT, alias="Zulu", last_seen=800.0, expected_every=60),
    client("delta", State.DISCONNECTED, last_seen=900.0, row=row("delta", 200, None)),
    client("Charlie", last_seen=1000.0, row=row("Charlie", 100, 70)),
    client("echo", State.UNKNOWN),
]
RECEIVED = Field("received", "Received", lambda one: one.row.recv_msg if one.row else None)


def found(query: Query, clients: list[Client] = CLIENTS, *, usernames: bool = False) -> Listing:
    return select(clients, query, NOW, [RECEIVED], usernames=usernames)


def ids(query: Query, *, usernames: bool = False) -> list[str]:
    return [one.client_id for one in found(query, usernames=usernames).clients]


def test_everybody_comes_by_alias() -> None:
    assert ids(Query()) == ["bravo", "Charlie", "delta", "echo", "alpha"]
    assert ids(Query(descending=True)) == ["alpha", "echo", "delta", "Charlie", "bravo"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ALPHA", ["alpha"]),
        ("zul", ["alpha"]),
        ("char", ["Charlie"]),
        ("smith", []),
        ("a.*", []),
    ],
)
def test_text_is_found_in_id_and_alias_whatever_its_case(text: str, expected: list[str]) -> None:
    assert ids(Query(text)) == expected


def test_user_names_are_searched_only_where_they_may_be_known() -> None:
    assert ids(Query("SMITH"), usernames=True) == ["bravo"]


@pytest.mark.parametrize(
    "state, expected",
    [
        ("connected", ["bravo", "Charlie"]),
        ("disconnected", ["delta"]),
        ("absent", ["alpha"]),
        ("unknown", ["echo"]),
        ("overdue", ["alpha"]),
    ],
)
def test_states_are_filtered(state: str, expected: list[str]) -> None:
    assert ids(Query(state=state)) == expected


@pytest.mark.parametrize(
    "order, ascending, descending",
    [
        ("state", "bravo Charlie delta alpha echo", "echo alpha delta bravo Charlie"),
        ("seen", "alpha delta bravo Charlie echo", "bravo Charlie delta alpha echo"),
        ("connected", "Charlie bravo delta echo alpha", "bravo Charlie delta echo alpha"),
        ("received", "bravo Charlie delta echo alpha", "Charlie bravo delta echo alpha"),
    ],
)
def test_what_is_not_known_comes_last_in_either_direction(
    order: str, ascending: str, descending: str
) -> None:
    assert ids(Query(order=order)) == ascending.split()
    assert ids(Query(order=order, descending=True)) == descending.split()


def test_only_one_page_is_returned_and_the_last_one_for_any_beyond() -> None:
    many = [client(f"{number:04}") for number in range(2 * CLIENTS_ON_A_PAGE + 1)]
    first = found(Query(), many)
    assert (len(first.clients), first.matching, first.page, first.pages) == (200, 401, 1, 3)
    last = found(Query(page=999), many)
    assert [one.client_id for one in last.clients] == ["0400"]
    assert (last.page, last.first) == (3, 401)


def test_nobody_is_one_empty_page() -> None:
    empty = found(Query("nobody"))
    assert (empty.matching, empty.page, empty.pages) == (0, 1, 1)
