"""The client against answers of our choosing; real sockets are in test_http and tests/faults."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
import responses

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.errors import NotEmqx, ServerError, Unreadable
from otel_emqx_monitor.emqx.rows import Poll

API = "http://emqx:18083/api/v5"
FIELDS = {"clientid", "connected", "connected_at", "recv_msg"}


class FakeEmqx:
    """Answers like EMQX of one version, from a table of rows in the order of its pages."""

    def __init__(self, version: str = "5.8.9", rows: list[dict[str, Any]] | None = None) -> None:
        self.version = version
        self.rows = rows or []
        self.connections: int | None = None
        self.max_limit = 10_000
        self.asked: list[str] = []
        self.hide_from_pages: set[str] = set()
        self.answers: dict[str, tuple[int, str, str]] = {}  # by the beginning of the target

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        target = str(request.url).removeprefix(API)
        self.asked.append(target)
        for beginning, (status, media_type, body) in self.answers.items():
            if target.startswith(beginning):
                return status, {"Content-Type": media_type}, body
        status, body = self._route(target)
        return status, {"Content-Type": "application/json"}, json.dumps(body)

    def _route(self, target: str) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if parts.path == "/nodes":
            node = {"node": "emqx@1", "version": self.version, "node_status": "running"}
            return 200, [node | {"connections": self.connections or len(self.rows)}]
        if parts.path == "/clients":
            return 200, self._page(query)
        wanted = unquote(parts.path.removeprefix("/clients/"))
        for row in self.rows:
            if row["clientid"] == wanted:
                return 200, row
        return 404, {"code": "CLIENTID_NOT_FOUND", "message": "Client ID not found"}

    def _page(self, query: dict[str, list[str]]) -> Any:
        limit = min(int(query["limit"][0]), self.max_limit)
        number = int(query.get("page", ["1"])[0])
        rows = [row for row in self.rows if row["clientid"] not in self.hide_from_pages]
        if "clientid" in query:
            rows = [row for row in rows if row["clientid"] in query["clientid"]]
        begin = (number - 1) * limit
        return {
            "data": rows[begin : begin + limit],
            "meta": {
                "page": number,
                "limit": limit,
                "hasnext": begin + limit < len(rows),
                "count": len(rows),
            },
        }


@pytest.fixture
def emqx() -> Iterator[FakeEmqx]:
    fake = FakeEmqx()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.GET, re.compile(re.escape(API)), fake.answer)
        yield fake


def client_of(watched: list[str] | None, fields: set[str] = FIELDS) -> EmqxClient:
    config = Config.model_validate(
        {"emqx": {"api_key": "k", "api_secret": "s", "api_url": API, "alias": "b", "attempts": 1}}
    )
    return EmqxClient(config.emqx, fields, watched, deadline_seconds=5, clock=lambda: 1_000.5)


def poll(watched: list[str] | None) -> Poll:
    return client_of(watched).poll()


def rows(*ids: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"clientid": client_id, "connected": True} | fields for client_id in ids]


def test_it_asks_for_the_version_first_and_only_once(emqx: FakeEmqx) -> None:
    client = client_of(None)
    client.poll()
    client.poll()
    assert [target.partition("?")[0] for target in emqx.asked] == ["/nodes", "/clients", "/clients"]


def test_a_poll_has_the_rows_by_id_and_when_it_ended(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a", recv_msg=7) + rows("stranger")
    found = poll(["a", "b"])
    assert {client_id: row.recv_msg for client_id, row in found.rows.items()} == {"a": 7}
    assert found.finished_at == 1_000.5


def test_a_recent_version_is_asked_for_the_needed_fields_alone(emqx: FakeEmqx) -> None:
    poll(None)
    query = parse_qs(urlsplit(emqx.asked[1]).query)
    assert query["fields"] == ["clientid,connected,connected_at,recv_msg"]
    assert query["limit"] == ["10000"]


@pytest.mark.parametrize("version, limit", [("5.0.26", "1000"), ("5.5.1", "10000")])
def test_an_old_version_is_asked_for_pages_it_allows_without_fields(
    emqx: FakeEmqx, version: str, limit: str
) -> None:
    emqx.version, emqx.rows = version, rows("a", "b")
    assert set(poll(None).rows) == {"a", "b"}
    assert emqx.asked[1:] == [f"/clients?page=1&limit={limit}"]


def test_few_clients_on_a_large_broker_are_looked_up(emqx: FakeEmqx) -> None:
    emqx.rows, emqx.connections = rows("a b/ü"), 500_000
    assert set(poll(["a b/ü", "gone"]).rows) == {"a b/ü"}
    assert emqx.asked[1:] == ["/clients/a%20b%2F%C3%BC", "/clients/gone"]


def test_batches_stay_under_emqx_s_limit_of_the_request_line(emqx: FakeEmqx) -> None:
    ids = [f"sensor-{number:030d}" for number in range(900)]
    emqx.rows, emqx.connections = rows(*ids), 20_000
    assert set(poll(ids).rows) == set(ids)
    batches = emqx.asked[1:]
    assert len(batches) > 1
    assert all(len(f"GET /api/v5{target} HTTP/1.1\r\n") <= 7_900 for target in batches)


def test_pages_are_read_until_the_last_one(emqx: FakeEmqx) -> None:
    emqx.rows, emqx.version = rows(*[f"c{number}" for number in range(2_500)]), "5.0.26"
    assert len(poll(None).rows) == 2_500
    assert [target for target in emqx.asked if "page=" in target] == [
        "/clients?page=1&limit=1000",
        "/clients?page=2&limit=1000",
        "/clients?page=3&limit=1000",
    ]


def test_an_empty_page_ends_a_sweep_even_if_it_promises_more(emqx: FakeEmqx) -> None:
    emqx.answers["/clients?page=1"] = page_of(rows("a"), hasnext=True)
    emqx.answers["/clients?page=2"] = page_of([], hasnext=True)
    assert set(poll(None).rows) == {"a"}


def page_of(data: list[dict[str, Any]], *, hasnext: bool) -> tuple[int, str, str]:
    return 200, "application/json", json.dumps({"data": data, "meta": {"hasnext": hasnext}})


def test_pages_that_repeat_for_ever_are_an_error(emqx: FakeEmqx) -> None:
    emqx.answers["/clients"] = page_of(rows("a"), hasnext=True)
    with pytest.raises(Unreadable, match="page 2 of EMQX's clients repeats the pages before it"):
        poll(None)


def test_a_page_that_fails_after_good_ones_fails_the_poll(emqx: FakeEmqx) -> None:
    emqx.answers["/clients?page=1"] = page_of(rows("a"), hasnext=True)
    emqx.answers["/clients?page=2"] = (500, "application/json", '{"code":"NODE_DOWN"}')
    with pytest.raises(ServerError, match="NODE_DOWN"):
        poll(None)


def test_a_client_that_slipped_between_pages_is_looked_up_before_it_is_called_absent(
    emqx: FakeEmqx,
) -> None:
    ids = [f"c{number:05d}" for number in range(2_500)]
    emqx.rows, emqx.version = rows(*ids), "5.0.26"
    emqx.hide_from_pages = {"c00700"}
    client = client_of([*ids, "truly-gone"])
    assert set(client.poll().rows) == set(ids)
    lookups = [target for target in emqx.asked if target.startswith("/clients/")]
    assert sorted(lookups) == ["/clients/c00700", "/clients/truly-gone"]

    emqx.asked.clear()
    assert set(client.poll().rows) == set(ids)
    lookups = [target for target in emqx.asked if target.startswith("/clients/")]
    assert lookups == ["/clients/c00700"], "what was absent before is not looked up again"


def test_thousands_that_pages_did_not_show_are_not_looked_up_one_by_one(emqx: FakeEmqx) -> None:
    emqx.rows, emqx.version = rows(*[f"c{number}" for number in range(2_500)]), "5.0.26"
    watched = [*(row["clientid"] for row in emqx.rows), *(f"gone{n}" for n in range(1_500))]
    assert len(poll(watched).rows) == 2_500
    assert [target.partition("&")[0] for target in emqx.asked[1:]] == [
        "/clients?page=1",
        "/clients?page=2",
        "/clients?page=3",
        "/clients?page=1",
        "/clients?page=2",
        "/clients?page=3",
    ]


def test_rows_that_were_not_asked_for_are_left_out(emqx: FakeEmqx) -> None:
    unrelated = rows("a", "durable-offline-1", "durable-offline-2")
    emqx.answers["/clients?"] = page_of(unrelated, hasnext=False)
    assert set(poll(["a"]).rows) == {"a"}


def test_of_two_rows_of_a_takeover_the_newer_counts(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a", connected_at="2026-01-01T00:00:01+00:00", recv_msg=900)
    emqx.rows += rows("a", connected_at="2026-01-01T00:00:02+00:00", recv_msg=1)
    assert poll(None).rows["a"].recv_msg == 1


def test_a_row_whose_connected_at_is_null_is_taken(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a", connected_at=None)
    assert poll(None).rows["a"].connected is True


def test_a_key_that_may_not_read_the_nodes_learns_the_version_from_the_status(
    emqx: FakeEmqx,
) -> None:
    emqx.answers["/nodes"] = (403, "application/json", '{"code":"UNAUTHORIZED_ROLE"}')
    emqx.answers["/status"] = (200, "application/json", '{"rel_vsn":"v6.1.2"}')
    emqx.rows = rows("a")
    poll(None)
    assert "limit=10000&fields=" in emqx.asked[-1]


def test_without_any_version_it_asks_what_every_version_understands(emqx: FakeEmqx) -> None:
    emqx.answers["/nodes"] = (403, "application/json", "{}")
    emqx.answers["/status"] = (200, "text/plain", "emqx is running")
    emqx.rows = rows("a")
    assert set(poll(None).rows) == {"a"}
    assert emqx.asked[-1] == "/clients?page=1&limit=1000"


def test_the_version_is_asked_again_after_a_failed_poll(emqx: FakeEmqx) -> None:
    client = client_of(None)
    emqx.rows = rows("a")
    client.poll()
    emqx.answers["/clients"] = (500, "application/json", "{}")
    with pytest.raises(ServerError):
        client.poll()
    del emqx.answers["/clients"]
    emqx.version = "5.3.2"
    client.poll()
    assert emqx.asked[-2:] == ["/nodes", "/clients?page=1&limit=1000"]


@pytest.mark.parametrize(
    "answer, kind, words",
    [
        ((200, "text/html", "<html>hello"), NotEmqx, "was answered with text/html instead of JSON"),
        (
            (200, "application/json", '{"data":[{"cl'),
            Unreadable,
            "/clients cannot be read: Input d",
        ),
        ((200, "application/json", "[]"), Unreadable, "Expected `object`, got `array`"),
        (
            (200, "application/json", '{"data":[{"clientid":"a","recv_msg":-1}],"meta":{}}'),
            Unreadable,
            "Expected `int` >= 0 - at `$.data[0].recv_msg`",
        ),
        (
            (
                200,
                "application/json",
                '"\ud800"'.encode("utf-8", "surrogatepass").decode("latin-1"),
            ),
            Unreadable,
            "cannot be read",
        ),
    ],
)
def test_an_answer_of_200_that_is_no_page_is_an_error(
    emqx: FakeEmqx, answer: tuple[int, str, str], kind: type[Exception], words: str
) -> None:
    emqx.answers["/clients"] = answer
    with pytest.raises(kind) as caught:
        poll(None)
    assert words in str(caught.value)


def test_a_lookup_answered_by_another_404_is_not_an_absent_client(emqx: FakeEmqx) -> None:
    emqx.connections = 500_000
    emqx.answers["/clients/a"] = (404, "text/html", "<html>404 - NOT FOUND</html>")
    with pytest.raises(NotEmqx, match="has no /clients/a"):
        poll(["a"])


def test_a_probe_tells_version_and_nodes_and_tries_the_clients(emqx: FakeEmqx) -> None:
    broker = client_of(None).probe()
    assert broker.versions == ("5.8.9",)
    assert [node.node for node in broker.nodes] == ["emqx@1"]
    assert emqx.asked == ["/nodes", "/clients?limit=1"]
