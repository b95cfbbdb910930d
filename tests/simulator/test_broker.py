"""What the API says beyond the recorded exchanges, which ``test_replay`` covers."""

import json
from typing import Any

import pytest

from otel_emqx_monitor.simulator import Broker, ProceduralFleet, StaticFleet
from tests.simulator.asking import BASIC, ask, body, ids
from tests.simulator.recordings import exchange, rows

CLIENTS = "/api/v5/clients"


def broker(*client_ids: str, **changes: Any) -> Broker:
    """Return a broker with a minimal row for each client id."""
    return Broker(source=StaticFleet({"clientid": id_} for id_ in client_ids), **changes)


def live(version: str = "5.8.9") -> Broker:
    """Return a broker with the three recorded clients persist-c, dev-b and dev-a."""
    return Broker(source=StaticFleet(rows("11_clients_no_fields")), version=version)


def refusal(answered: Broker, query: str) -> tuple[int, str, Any]:
    """Return the status, the code and the decoded message of a refused list."""
    answer = ask(answered, f"{CLIENTS}?{query}")
    told = json.loads(answer.body)
    message = told["message"]
    return answer.status, told["code"], json.loads(message) if message[:1] == "{" else message


def test_empty_table_is_an_empty_first_page() -> None:
    assert body(broker(), CLIENTS) == exchange("00_empty_list").body


def test_pages_cover_the_table_in_descending_order() -> None:
    five = broker("a", "b", "c", "d", "e")
    assert ids(five, "limit=2&page=1") == ["e", "d"]
    assert ids(five, "limit=2&page=2") == ["c", "b"]
    assert ids(five, "limit=2&page=3") == ["a"]
    assert ids(five, "limit=2&page=4") == []


def test_exactly_filled_last_page_promises_another_which_is_empty() -> None:
    four = broker("a", "b", "c", "d")
    assert body(four, f"{CLIENTS}?limit=2&page=2")["meta"] == {
        "count": 4,
        "limit": 2,
        "page": 2,
        "hasnext": True,
    }
    assert body(four, f"{CLIENTS}?limit=2&page=3") == {
        "data": [],
        "meta": {"count": 4, "limit": 2, "page": 3, "hasnext": False},
    }


def test_rows_shift_between_pages_when_a_client_leaves() -> None:
    fleet = StaticFleet({"clientid": id_} for id_ in "abcdef")
    shifting = Broker(source=fleet)
    assert ids(shifting, "limit=3&page=1") == ["f", "e", "d"]
    fleet.replace({"clientid": id_} for id_ in "abcdf")
    assert ids(shifting, "limit=3&page=2") == ["b", "a"]


def test_exact_ids_are_repeatable_and_case_sensitive_and_not_a_comma_list() -> None:
    some = broker("a", "b", "B", "a,b")
    assert ids(some, "clientid=b&clientid=a&clientid=a") == ["b", "a"]
    assert ids(some, "clientid=a,b") == ["a,b"]
    assert ids(some, "clientid=") == []
    assert body(some, f"{CLIENTS}?clientid=a&clientid=x")["meta"]["count"] == 1


@pytest.mark.parametrize(
    "query, client_id",
    [
        ("clientid=a%2Bb", "a+b"),
        ("clientid=a+b", "a b"),
        ("clientid=%26%3D%23%25", "&=#%"),
        ("clientid=%C3%BC%E2%82%AC", "ü€"),
        ("clientid=%00%0A%1B%22", '\0\n\x1b"'),
        ("clientid=..", ".."),
        ("client%69d=a", "a"),
    ],
)
def test_query_is_decoded_as_a_form(query: str, client_id: str) -> None:
    assert ids(broker("other", client_id), query) == [client_id]


@pytest.mark.parametrize(
    "query, expected",
    [
        ("username=alice", ["dev-a"]),
        ("username=alice&username=carol", ["persist-c", "dev-a"]),
        ("username=alice&clientid=persist-c", []),
        ("like_clientid=dev", ["dev-b", "dev-a"]),
        ("like_username=a", ["persist-c", "dev-a"]),
        ("conn_state=connected", ["dev-b", "dev-a"]),
        ("conn_state=disconnected", ["persist-c"]),
        ("conn_state=idle", []),
        ("proto_ver=5", ["persist-c", "dev-a"]),
        ("clean_start=false", ["persist-c"]),
        ("ip_address=127.0.0.1", ["persist-c", "dev-b", "dev-a"]),
        ("ip_address=127.0.0.2", []),
        ("node=emqx@127.0.0.1", ["persist-c", "dev-b", "dev-a"]),
        ("only_clientid=true&clientid[]=dev-a&nonsense", ["persist-c", "dev-b", "dev-a"]),
        ("", ["persist-c", "dev-b", "dev-a"]),
    ],
)
def test_filters(query: str, expected: list[str]) -> None:
    assert ids(live(), query) == expected


def test_count_is_missing_for_parts_of_texts() -> None:
    meta = body(live(), f"{CLIENTS}?like_clientid=dev")["meta"]
    assert meta == {"limit": 100, "page": 1, "hasnext": False}


def test_part_is_dropped_when_the_exact_value_is_given() -> None:
    answer = body(live(), f"{CLIENTS}?like_clientid=nothing&clientid=dev-a")
    assert answer["meta"]["count"] == 1


@pytest.mark.parametrize(
    "query, value, reason, path",
    [
        ("limit=0", 0, {"expected": "1..10000"}, "limit"),
        ("limit=10001", 10001, {"expected": "1..10000"}, "limit"),
        ("limit=many", "many", {"expected": "1..10000"}, "limit"),
        ("limit=1_0", "1_0", {"expected": "1..10000"}, "limit"),
        ("page=0", 0, {"expected": "pos_integer()"}, "page"),
        ("conn_state=bogus", "bogus", "unable_to_convert_to_enum_symbol", "conn_state"),
        ("clean_start=maybe", "maybe", {"expected": "boolean()"}, "clean_start"),
    ],
)
def test_values_out_of_the_schema_are_refused(
    query: str, value: object, reason: object, path: str
) -> None:
    expected = {"value": value, "reason": reason, "path": path, "kind": "validation_error"}
    assert refusal(live(), query) == (400, "BAD_REQUEST", expected)


def test_fields_are_cut_to_those_asked_for_and_absent_ones_stay_absent() -> None:
    data = body(live(), f"{CLIENTS}?fields=clientid,disconnected_at,recv_oct,node")["data"]
    assert data == [
        {
            "clientid": "persist-c",
            "disconnected_at": "2026-11-22T17:20:58.606+00:00",
            "node": "emqx@127.0.0.1",
        },
        {"clientid": "dev-b", "recv_oct": 57, "node": "emqx@127.0.0.1"},
        {"clientid": "dev-a", "recv_oct": 376, "node": "emqx@127.0.0.1"},
    ]


@pytest.mark.parametrize("field", ["listener", "is_persistent", "disconn_props", "all", ""])
def test_fields_that_cannot_be_named_refuse_the_whole_request(field: str) -> None:
    status, code, message = refusal(live(), f"fields=clientid,{field}")
    assert (status, code) == (400, "BAD_REQUEST")
    assert message["mismatches"]["array"]["path"] == "fields.2"
    assert message["mismatches"]["array"]["value"] == field


def test_fields_given_twice_are_refused() -> None:
    assert ask(live(), f"{CLIENTS}?fields=clientid&fields=node").status == 400


def test_unknown_node_is_a_node_that_is_down() -> None:
    message = 'bad rpc call <<"emqx9@127.0.0.1">>, Reason <<"invalid node">>'
    assert refusal(live(), "node=emqx9@127.0.0.1") == (500, "NODE_DOWN", message)


def test_rows_without_a_node_get_the_name_of_the_broker() -> None:
    named = broker("a", node="emqx@10.0.0.7")
    assert body(named, f"{CLIENTS}/a")["node"] == "emqx@10.0.0.7"


def test_lookup_of_an_id_with_two_rows_gives_the_first() -> None:
    fleet = StaticFleet([{"clientid": "a", "port": 1}, {"clientid": "a", "port": 2}])
    assert body(Broker(source=fleet), f"{CLIENTS}/a")["port"] == 1


@pytest.mark.parametrize("version", ["5.0.26", "5.3.2", "5.5.1", "e5.5.0"])
def test_before_5_6_exact_ids_and_fields_are_silently_ignored(version: str) -> None:
    old = live(version)
    answer = body(old, f"{CLIENTS}?clientid=dev-a&fields=bogus")
    assert len(answer["data"]) == 3
    assert answer["meta"]["count"] == 3
    assert all("listener" in row for row in answer["data"])
    assert ids(old, "username=alice&username=carol") == ["persist-c"]


@pytest.mark.parametrize(
    "version, limit, status",
    [
        ("5.4.1", 1000, 200),
        ("5.4.1", 1001, 400),
        ("5.5.0", 10_000, 200),
        ("6.3.0-beta.2", 10_000, 200),
    ],
)
def test_largest_page_depends_on_the_version(version: str, limit: int, status: int) -> None:
    assert ask(live(version), f"{CLIENTS}?limit={limit}").status == status


def test_limit_of_an_old_version_is_named_in_its_refusal() -> None:
    _, _, message = refusal(live("5.0.26"), "limit=1001")
    assert message["reason"] == {"expected": "1..1000"}


def test_rows_were_ascending_before_5_4() -> None:
    assert ids(live("5.3.2")) == ["dev-a", "dev-b", "persist-c"]
    assert ids(live("5.4.0")) == ["persist-c", "dev-b", "dev-a"]


@pytest.mark.parametrize(
    "version, expected",
    [("5.4.1", (500, "INTERNAL_ERROR")), ("5.5.0", (400, "INVALID_PARAMETER"))],
)
@pytest.mark.parametrize("query", ["proto_ver=five", "ip_address=nowhere"])
def test_filters_of_the_wrong_type(version: str, expected: tuple[int, str], query: str) -> None:
    assert refusal(live(version), query)[:2] == expected


@pytest.mark.parametrize(
    "field, since, before",
    [
        ("clientid", "5.6.0", None),
        ("durable", "5.7.0", "5.6.1"),
        ("client_attrs", "5.7.1", "5.7.0"),
        ("total_payload_bytes", "6.3.0", "6.2.2"),
    ],
)
def test_fields_can_be_named_since_their_version(
    field: str, since: str, before: str | None
) -> None:
    assert ask(live(since), f"{CLIENTS}?fields={field}").status == 200
    if before is not None:
        assert ask(live(before), f"{CLIENTS}?fields={field}").status == 400


def test_something_that_is_no_version_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not a version of EMQX: 'latest'"):
        broker(version="latest")


@pytest.mark.parametrize(
    "authorization, status, code",
    [
        (None, 401, "AUTHORIZATION_HEADER_ERROR"),
        ("Digest abc", 401, "AUTHORIZATION_HEADER_ERROR"),
        ("Bearer abc", 401, "BAD_TOKEN"),
        ("Basic c2ltdWxhdGVkLWtleTpvdGhlcg==", 401, "BAD_API_KEY_OR_SECRET"),
        (BASIC.replace("Basic", "basic"), 400, "BAD_REQUEST"),
    ],
)
def test_key_and_secret_are_checked_before_the_parameters(
    authorization: str | None, status: int, code: str
) -> None:
    answer = ask(live(), f"{CLIENTS}?limit=0", authorization=authorization)
    assert answer.status == status
    assert json.loads(answer.body)["code"] == code


@pytest.mark.parametrize("credentials", ["!", "bm8gY29sb24=", ""])
def test_credentials_that_cannot_be_read_are_a_malformed_request(credentials: str) -> None:
    answer = ask(live(), CLIENTS, authorization=f"Basic {credentials}")
    assert (answer.status, answer.body) == (400, b"")


@pytest.mark.parametrize("target", [f"{CLIENTS}?clientid=%zz", f"{CLIENTS}?%", f"{CLIENTS}/%zz"])
def test_broken_escapes_are_a_malformed_request(target: str) -> None:
    assert ask(live(), target) == (400, (), b"")


@pytest.mark.parametrize(
    "accept, content_type, text",
    [
        (
            "application/json",
            "application/json",
            '{"code": "NOT_FOUND", "message": "Request Path Not Found"}',
        ),
        ("text/plain", "text/plain", "404 - NOT FOUND"),
        ("*/*, application/json", "text/html", exchange("25_404_path").body),
    ],
)
def test_unknown_path_answers_in_the_type_that_is_accepted_first(
    accept: str, content_type: str, text: str
) -> None:
    answer = ask(live(), "/api/v5/nope", accept=accept, authorization=None)
    assert answer == (404, (("content-type", content_type),), text.encode())


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
def test_other_methods_are_not_allowed_with_or_without_a_key(method: str) -> None:
    answer = ask(live(), f"{CLIENTS}/dev-a", method=method, authorization=None)
    assert answer == (405, (("allow", "GET"),), b"")


def test_nodes_are_described_as_recorded() -> None:
    [recorded] = exchange("30_nodes").body
    [node] = body(live(), "/api/v5/nodes")
    assert {name: type(value) for name, value in node.items()} == {
        name: type(value) for name, value in recorded.items()
    }
    assert {name: node[name] for name in KNOWN} == {name: recorded[name] for name in KNOWN}


KNOWN = (
    *("node", "version", "edition", "node_status", "role"),
    *("connections", "live_connections", "cluster_sessions"),
)


def test_edition_is_enterprise_since_5_9() -> None:
    assert body(live("5.8.9"), "/api/v5/nodes")[0]["edition"] == "Opensource"
    assert body(live("e5.10.4"), "/api/v5/nodes")[0]["edition"] == "Enterprise"


@pytest.mark.parametrize("seconds, text", [(15.0, "15s"), (1, "1s"), (0.5, "500ms")])
def test_refresh_of_the_fleet_is_in_the_config_of_the_zone(seconds: float, text: str) -> None:
    asked = Broker(source=StaticFleet([], refresh_seconds=seconds))
    assert body(asked, "/api/v5/configs/global_zone")["mqtt"]["idle_timeout"] == text
    assert ask(asked, "/api/v5/configs/global_zone", authorization=None).status == 401


def test_clock_of_the_broker_moves_its_clients() -> None:
    now = [1_790_000_000.0]
    moving = Broker(source=ProceduralFleet(5, 1, now[0]), clock=lambda: now[0])
    target = f"{CLIENTS}/sensor-000000"
    before = body(moving, target)["recv_msg"]
    now[0] += 600
    assert body(moving, target)["recv_msg"] > before


def test_secret_is_not_in_the_text_of_a_broker() -> None:
    assert "hidden" not in repr(broker(secret="hidden"))
