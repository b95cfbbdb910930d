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
from otel_emqx_monitor.emqx.errors import BadRequest, NotEmqx, ServerError, Unreadable
from otel_emqx_monitor.emqx.rows import NodeState, Poll

API = "http://emqx:18083/api/v5"
FIELDS = {"clientid", "connected", "connected_at", "recv_msg"}


class FakeEmqx:
    """Answers like EMQX of one version, from a table of rows in the order of its pages."""

    def __init__(self, version: str = "5.8.9", rows: list[dict[str, Any]] | None = None) -> None:
        self.version = version
        self.rows = rows or []
        self.connections: int | None = None
        self.max_limit = 10_000
        self.asked: list[str] = []  # but for the refresh interval
        self.refresh_asked = 0
        self.hide_from_pages: set[str] = set()
        self.answers: dict[str, tuple[int, str, str]] = {}  # by the beginning of the target

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        target = str(request.url).removeprefix(API)
        if target == "/configs/global_zone":
            self.refresh_asked += 1
        else:
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
        if parts.path == "/configs/global_zone":
            return 200, {"mqtt": {"idle_timeout": "15s"}}
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


def client_of(
    watched: list[str] | None, settings: dict[str, Any] | None = None, **options: Any
) -> EmqxClient:
    emqx = {"api_key": "k", "api_secret": "s", "api_url": API, "alias": "b", "attempts": 1}
    config = Config.model_validate({"emqx": emqx | (settings or {})})
    return EmqxClient(
        config.emqx, FIELDS, watched, deadline_seconds=5, clock=lambda: 1_000.5, **options
    )


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


def test_rows_that_nobody_wants_are_left_out(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a1", "a2", "b1")
    client = client_of(None, wants=lambda row: row.clientid.startswith("a"))
    assert set(client.poll().rows) == {"a1", "a2"}


def test_named_clients_are_wanted_whatever_their_rows_are(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a")
    assert set(client_of(["a"], wants=lambda _: False).poll().rows) == {"a"}


def test_who_slipped_between_pages_is_asked_for_once_more_when_everybody_is_watched(
    emqx: FakeEmqx,
) -> None:
    emqx.rows, emqx.version = rows(*[f"c{number:05d}" for number in range(2_500)]), "5.0.26"
    client = client_of(None, wants=lambda row: row.clientid != "c00009")
    assert len(client.poll().rows) == 2_499
    emqx.hide_from_pages = {"c00007", "c00009"}
    del emqx.rows[8]
    emqx.asked.clear()
    found = client.poll().rows
    lookups = [target for target in emqx.asked if target.startswith("/clients/")]
    assert lookups == ["/clients/c00007", "/clients/c00008"]
    assert "c00007" in found
    assert "c00008" not in found, "it is gone indeed"

    emqx.asked.clear()
    client.poll()
    lookups = [target for target in emqx.asked if target.startswith("/clients/")]
    assert lookups == ["/clients/c00007"], "who was gone before is not looked up again"


def test_who_is_missing_in_a_single_page_is_gone(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a", "b")
    client = client_of(None)
    client.poll()
    del emqx.rows[0]
    emqx.asked.clear()
    assert set(client.poll().rows) == {"b"}
    assert len(emqx.asked) == 1


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
        (
            (200, "application/json", '{"x":' + "[" * 2000 + "]" * 2000 + ',"data":[],"meta":{}}'),
            Unreadable,
            "maximum recursion depth exceeded",
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
    assert broker.refresh_seconds == 15
    assert emqx.asked == ["/nodes", "/clients?limit=1"]


def test_a_poll_tells_how_often_counters_move_and_asks_for_it_once(emqx: FakeEmqx) -> None:
    now = 50.0
    client = client_of(None, monotonic=lambda: now)
    assert [client.poll().refresh_seconds, client.poll().refresh_seconds] == [15, 15]
    assert emqx.refresh_asked == 1
    now += 601
    client.poll()
    assert emqx.refresh_asked == 2, "it may have been changed meanwhile"


@pytest.mark.parametrize(
    "answer",
    [
        (401, "application/json", '{"code":"API_KEY_NOT_ALLOW","message":"no"}'),
        (403, "application/json", '{"code":"UNAUTHORIZED_ROLE"}'),
        (404, "text/html", "<html>"),
        (404, "application/json", '{"code":"CLIENTID_NOT_FOUND"}'),
        (500, "application/json", "{}"),
        (200, "application/json", '{"mqtt":{}}'),
        (200, "application/json", '{"mqtt":{"idle_timeout":"soon"}}'),
        (200, "text/html", "<html>"),
    ],
)
def test_no_poll_fails_for_the_refresh_interval(
    emqx: FakeEmqx, answer: tuple[int, str, str]
) -> None:
    emqx.answers["/configs"], emqx.rows = answer, rows("a")
    client = client_of(None)
    assert client.poll().refresh_seconds is None
    assert set(client.poll().rows) == {"a"}
    assert emqx.refresh_asked == 1
    assert client.probe().refresh_seconds is None


def test_the_nodes_of_a_broker_of_one_node_are_that_one(emqx: FakeEmqx) -> None:
    found = poll(None)
    assert found.nodes == {"emqx@1": NodeState.RUNNING}
    assert found.blind == {}


def test_a_broker_of_one_node_that_comes_back_under_another_name_has_lost_none(
    emqx: FakeEmqx, caplog: pytest.LogCaptureFixture
) -> None:
    now = 50.0
    client = client_of(None, monotonic=lambda: now)
    client.poll()
    now += 601
    listed = [{"node": "emqx@2", "version": "5.8.9", "node_status": "running"}]
    emqx.answers["/nodes"] = (200, "application/json", json.dumps(listed))
    found = client.poll()
    assert (found.nodes, found.blind) == ({"emqx@2": NodeState.RUNNING}, {})
    assert caplog.records == []


ONE_NODE = {"node": "emqx@1"}


def test_one_node_alone_is_asked_for_its_own_clients(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a", node="emqx@1") + rows("durable-elsewhere", node="emqx@2")
    found = client_of(None, ONE_NODE).poll()
    assert set(found.rows) == {"a"}
    assert (found.nodes, found.blind) == ({"emqx@1": NodeState.RUNNING}, {})
    query = "page=1&limit=10000&node=emqx%401&fields=clientid,connected,connected_at,node,recv_msg"
    assert emqx.asked[1:] == [f"/clients?{query}"]


def test_one_node_alone_is_asked_in_batches_but_never_by_lookups(emqx: FakeEmqx) -> None:
    emqx.rows, emqx.connections = rows("a"), 500_000
    assert set(client_of(["a", "gone"], ONE_NODE).poll().rows) == {"a"}
    assert [target.partition("&fields=")[0] for target in emqx.asked[1:]] == [
        "/clients?page=1&limit=10000&clientid=a&clientid=gone&node=emqx%401"
    ]


def test_the_name_of_the_node_counts_in_the_request_line(emqx: FakeEmqx) -> None:
    long_name = "emqx@" + "@" * 600
    listed = [{"node": long_name, "version": "5.8.9", "node_status": "running"}]
    emqx.answers["/nodes"] = (200, "application/json", json.dumps(listed))
    ids = [f"sensor-{number:030d}" for number in range(300)]
    emqx.rows = rows(*ids)
    assert set(client_of(ids, {"node": long_name}).poll().rows) == set(ids)
    batches = emqx.asked[1:]
    assert len(batches) > 1
    assert all(len(f"GET /api/v5{target} HTTP/1.1\r\n") <= 7_900 for target in batches)


def test_a_node_that_does_not_exist_is_an_error_that_names_those_that_do(emqx: FakeEmqx) -> None:
    for ask in (client_of(None, {"node": "emqx@9"}).poll, client_of(None, {"node": "x"}).probe):
        with pytest.raises(BadRequest, match=r"does not list the node .*, only emqx@1; check"):
            ask()


def test_a_node_that_is_listed_as_stopped_is_an_error(emqx: FakeEmqx) -> None:
    listed = [{"node": "emqx@1", "version": "5.8.9", "node_status": "stopped"}]
    emqx.answers["/nodes"] = (200, "application/json", json.dumps(listed))
    with pytest.raises(ServerError, match="the node emqx@1 is not running, says its cluster"):
        client_of(None, ONE_NODE).poll()


def test_one_node_alone_is_asked_without_a_list_of_nodes_too(emqx: FakeEmqx) -> None:
    emqx.rows = rows("a")
    emqx.answers["/status"] = (200, "application/json", '{"rel_vsn":"5.8.9"}')
    for status in (403, 500):
        emqx.answers["/nodes"] = (status, "application/json", "{}")
        found = client_of(None, ONE_NODE).poll()
        assert set(found.rows) == {"a"}
        assert found.nodes == {"emqx@1": NodeState.RUNNING}


def test_a_500_for_one_node_alone_says_where_its_name_comes_from(emqx: FakeEmqx) -> None:
    emqx.answers["/nodes"] = (403, "application/json", "{}")
    emqx.answers["/clients"] = (500, "application/json", '{"code":"NODE_DOWN"}')
    with pytest.raises(ServerError, match=r"NODE_DOWN.*; check that emqx\.node, emqx@1, is one"):
        client_of(None, ONE_NODE).poll()
