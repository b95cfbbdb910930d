"""Reading, making and removing objects of EMQX's configuration: what is sent, once or again."""

import socket
from typing import Any

import pytest

from otel_emqx_monitor.emqx.answers import Answer
from otel_emqx_monitor.emqx.errors import (
    BadRequest,
    CannotConnect,
    EmqxError,
    Forbidden,
    NotEmqx,
    ServerError,
    TimedOut,
    Unauthorized,
)
from otel_emqx_monitor.emqx.http import Http, Method
from tests.emqx.test_http import KEY, SECRET, body_of, config
from tests.peers import Handler, Peer, http, peer

EXISTS = {"code": "ALREADY_EXISTS", "message": "connector already exists"}
RULE_EXISTS = {"code": "BAD_REQUEST", "message": "rule id already exists"}
MISSING = {"code": "NOT_FOUND", "message": "Rule Id Not Found"}
NO_PATH = {"code": "NOT_FOUND", "message": "Request Path Not Found"}


def send(broker: Peer, method: Method, **settings: Any) -> Answer:
    session = Http(config(broker.url, **{"attempts": 3, **settings}))
    try:
        with session.deadline(5) as deadline:
            body = b"{}" if method in ("POST", "PUT") else None
            return session.send(method, "/rules", deadline, body=body, hidden=["t0ken"])
    finally:
        session.close()


def reading_body(answer: bytes) -> Handler:
    """Take the two bytes of the body, then answer."""

    def handler(connection: socket.socket, head: bytes) -> None:
        if b"Content-Length: 2\r\n" in head:
            assert connection.recv(2, socket.MSG_WAITALL) == b"{}"
        connection.sendall(answer)

    return handler


def failure(method: Method, handler: Handler, **settings: Any) -> tuple[EmqxError, Peer]:
    with peer(handler) as broker, pytest.raises(EmqxError) as caught:
        send(broker, method, **settings)
    for secret in (KEY, SECRET, "t0ken"):
        assert secret not in str(caught.value)
    return caught.value, broker


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_is_sent_as_json(method: Method) -> None:
    with peer(reading_body(http("201 Created", {"id": "r"}))) as broker:
        assert send(broker, method).body == b'{"id": "r"}'
    assert broker.requests == [f"{method} /api/v5/rules HTTP/1.1"]
    assert "Content-Type: application/json\r\n" in broker.heads[0]


@pytest.mark.parametrize(
    "method, status, error",
    [
        ("GET", "200 OK", {"id": "r"}),
        ("GET", "404 Not Found", MISSING),
        ("PUT", "404 Not Found", MISSING),
        ("POST", "400 Bad Request", EXISTS),
        ("POST", "400 Bad Request", RULE_EXISTS),
        ("DELETE", "204 No Content", b""),
    ],
)
def test_answers_that_say_how_an_object_is_are_handed_on(
    method: Method, status: str, error: Any
) -> None:
    with peer(reading_body(http(status, error))) as broker:
        assert send(broker, method).status == int(status[:3])


@pytest.mark.parametrize("method, tries", [("GET", 3), ("PUT", 3), ("DELETE", 3), ("POST", 1)])
@pytest.mark.parametrize("cut", [True, False])
def test_only_what_may_be_done_twice_is_tried_again(
    method: Method, tries: int, *, cut: bool
) -> None:
    def cut_off(connection: socket.socket, _head: bytes) -> None:
        connection.close()

    error, broker = failure(method, cut_off if cut else reading_body(http("500 Oops")))
    assert isinstance(error, CannotConnect if cut else ServerError)
    assert len(broker.requests) == tries


def test_post_never_meets_a_connection_that_was_closed_while_idle() -> None:
    with peer(reading_body(http("200 OK", b"good"))) as broker:
        session = Http(config(broker.url))
        with session.deadline(5) as deadline:
            session.get("/nodes", body_of, deadline)
            session.send("POST", "/rules", deadline, body=b"{}")
        session.close()
    assert broker.connections == 2
    assert len(broker.requests) == 2


@pytest.mark.parametrize("status, kind", [("401 No", Unauthorized), ("403 No", Forbidden)])
def test_refused_keys_are_told_which_rights_they_need(status: str, kind: type[EmqxError]) -> None:
    error, broker = failure("PUT", reading_body(http(status, {"code": "X", "message": "t0ken"})))
    assert isinstance(error, kind)
    assert "a key needs the role administrator and, if it has scopes" in str(error)
    assert len(broker.requests) == 1


def test_unknown_path_is_no_missing_object() -> None:
    error, _ = failure("GET", reading_body(http("404 Not Found", NO_PATH)))
    assert isinstance(error, NotEmqx)


def test_other_refusals_are_quoted_without_what_is_hidden() -> None:
    refused = {"code": "BAD_REQUEST", "message": "bad header Bearer t0ken"}
    error, _ = failure("POST", reading_body(http("400 Bad Request", refused)))
    assert isinstance(error, BadRequest)
    assert "bad header Bearer ********" in str(error)


def test_emqx_gets_the_time_to_reach_a_peer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_emqx_monitor.emqx.http._CHANGE_SECONDS", 0.2)
    error, _ = failure("POST", lambda *_: None, timeout_seconds=0.1)
    assert isinstance(error, TimedOut)
    assert "did not answer within 0.2 s" in str(error)
