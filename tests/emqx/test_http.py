import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.emqx.answers import Answer, is_missing_client
from otel_emqx_monitor.emqx.errors import (
    BadRequest,
    CannotConnect,
    Closed,
    EmqxError,
    Forbidden,
    NotEmqx,
    Reason,
    ServerError,
    TimedOut,
    TlsFailure,
    Unauthorized,
    Unreadable,
)
from otel_emqx_monitor.emqx.http import Http
from tests.cycles import held_by_cycles
from tests.peers import Handler, Peer, answering, http, peer, unused_port

KEY, SECRET = "the-key-e31f", "the-secret-77ab"
HTML = "<html><body>404 - NOT FOUND</body></html>"


def config(url: str, **settings: Any) -> EmqxConfig:
    given = {"api_key": KEY, "api_secret": SECRET, "api_url": url, "alias": "b"} | settings
    return Config.model_validate({"emqx": given}).emqx


def body_of(answer: Answer) -> bytes:
    return answer.body


def ask(url: str, *, seconds: float = 5, **settings: Any) -> bytes:
    http_session = Http(config(url, attempts=1) if not settings else config(url, **settings))
    try:
        with http_session.deadline(seconds) as deadline:
            return http_session.get("/clients", body_of, deadline)
    finally:
        http_session.close()


def failure(handler: Handler, *, seconds: float = 5, **settings: Any) -> tuple[EmqxError, Peer]:
    with peer(handler) as broker, pytest.raises(EmqxError) as caught:
        ask(broker.url, seconds=seconds, **settings)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)
    return caught.value, broker


def test_the_body_of_an_answer_of_200_is_handed_on() -> None:
    with peer(answering(http("200 OK", b"hello"))) as broker:
        assert ask(broker.url) == b"hello"
    assert broker.requests == ["GET /api/v5/clients HTTP/1.1"]


def test_it_asks_for_uncompressed_json_with_the_key_and_says_who_it_is() -> None:
    with peer(answering(http("200 OK"))) as broker:
        ask(broker.url)
    head = broker.heads[0].lower()
    assert "accept: application/json\r\n" in head
    assert "accept-encoding: identity\r\n" in head
    assert "user-agent: otel-emqx-monitor/" in head
    assert "authorization: basic " in head


def test_credentials_outside_of_latin_1_are_sent_as_utf_8() -> None:
    with peer(answering(http("200 OK"))) as broker:
        ask(broker.url, api_key="ключ", api_secret="тайна")
    assert "Authorization: Basic 0LrQu9GO0Yc60YLQsNC50L3QsA==" in broker.heads[0]


@pytest.mark.parametrize(
    "answer, kind, words",
    [
        (
            http("401 Unauthorized", {"code": "BAD_API_KEY_OR_SECRET", "message": "Check it"}),
            Unauthorized,
            "refused the API key (status 401, BAD_API_KEY_OR_SECRET: Check it); check emqx.api_key",
        ),
        (
            http("403 Forbidden", {"code": "UNAUTHORIZED_ROLE", "message": "no"}),
            Forbidden,
            "give the key the role viewer or administrator, and the scope connections",
        ),
        (
            http("404 Not Found", HTML, "Content-Type: text/html"),
            NotEmqx,
            "has no /clients (status 404, text/html); check emqx.api_url, it should end in /api/",
        ),
        (
            http("400 Bad Request", {"code": "BAD_REQUEST", "message": '{"path":"limit"}'}),
            BadRequest,
            'refused /clients: status 400, BAD_REQUEST: {"path":"limit"}',
        ),
        (http("414 Request-URI Too Long"), BadRequest, "refused /clients: status 414"),
        (
            http("302 Found", b"", "Location: http://elsewhere/"),
            NotEmqx,
            "check that emqx.api_url leads to EMQX itself",
        ),
        (
            http("500 Internal Server Error", {"code": "NODE_DOWN", "message": "bad rpc call"}),
            ServerError,
            "failed to answer /clients: status 500, NODE_DOWN: bad rpc call",
        ),
        (
            http("503 Service Unavailable", "<html>", "Content-Type: text/html"),
            ServerError,
            "status 503, text/html",
        ),
    ],
)
def test_each_status_has_its_error_with_advice(
    answer: bytes, kind: type[EmqxError], words: str
) -> None:
    error, _ = failure(answering(answer))
    assert type(error) is kind
    assert words in str(error)


def test_words_of_the_server_are_escaped_shortened_and_without_credentials() -> None:
    evil = f"\x1b[2J {SECRET} Basic dGhlLWtleS1lMzFmOnRoZS1zZWNyZXQtNzdhYg==\n" + "x" * 500
    error, _ = failure(answering(http("500 Oops", {"code": "INTERNAL_ERROR", "message": evil})))
    assert "\\x1b[2J ******** Basic ********\\x0axxx" in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Go", "308 Gone"])
def test_a_redirect_never_carries_the_credentials_to_another_host(status: str) -> None:
    with peer(answering(http("200 OK"))) as elsewhere:
        error, _ = failure(answering(http(status, b"", f"Location: {elsewhere.url}")))
    assert isinstance(error, NotEmqx)
    assert elsewhere.requests == []


def test_nobody_listening_cannot_connect() -> None:
    with pytest.raises(CannotConnect) as caught:
        ask(f"http://127.0.0.1:{unused_port()}/api/")
    assert "Connection refused; check that the broker runs" in str(caught.value)


def test_a_host_that_does_not_exist_cannot_connect() -> None:
    with pytest.raises(
        CannotConnect, match=r"cannot connect to EMQX at http://no-such\.invalid/api"
    ):
        ask("http://no-such.invalid/api/")


def test_silence_times_out() -> None:
    error, _ = failure(lambda *_: None, timeout_seconds=0.1, attempts=1)
    assert isinstance(error, TimedOut)
    assert "did not answer within 0.1 s; raise emqx.timeout_seconds" in str(error)


def trickle(prefix: bytes) -> Handler:
    def handler(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(prefix)
        while True:
            time.sleep(0.02)
            connection.sendall(b"x")

    return handler


@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nServer: ", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", id="body without length"),
    ],
)
def test_a_trickle_ends_at_the_deadline(prefix: bytes) -> None:
    error, _ = failure(trickle(prefix), seconds=0.3, timeout_seconds=5, attempts=3)
    assert isinstance(error, TimedOut)
    assert "did not finish the poll within 0.3 s; raise polling.deadline_seconds" in str(error)


def test_an_answer_that_is_cut_short_is_unreadable() -> None:
    def cut(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        connection.close()

    error, broker = failure(cut, attempts=2)
    assert isinstance(error, Unreadable)
    assert len(broker.requests) == 2


def test_what_is_larger_than_any_page_is_not_emqx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_emqx_monitor.emqx.http.MAX_ANSWER_BYTES", 2**20)
    error, _ = failure(answering(http("200 OK", b" " * (2**20 + 1))))
    assert isinstance(error, NotEmqx)
    assert "sent more than 1 MiB" in str(error)


def test_a_failure_that_may_pass_is_tried_again_until_it_does() -> None:
    down = http("500 Oops", {"code": "NODE_DOWN", "message": ""})
    with peer(answering(down, down, http("200 OK", b"good"))) as broker:
        assert ask(broker.url, attempts=3) == b"good"


@pytest.mark.parametrize(
    "status", ["400 Bad", "401 No", "403 No", "404 No", "414 Long", "429 Many"]
)
def test_a_refusal_is_never_tried_again(status: str) -> None:
    _, broker = failure(answering(http(status)), attempts=3)
    assert len(broker.requests) == 1


def test_a_pause_never_outlasts_the_deadline() -> None:
    error, broker = failure(answering(http("500 Oops")), seconds=0.05, attempts=100)
    assert isinstance(error, ServerError)
    assert len(broker.requests) == 1


def closing_after_first() -> Handler:
    """Answers the first request of a connection and closes it when the second one comes."""
    served: set[int] = set()

    def handler(connection: socket.socket, _head: bytes) -> None:
        if connection.fileno() in served:
            connection.close()
        else:
            served.add(connection.fileno())
            connection.sendall(http("200 OK", b"good"))

    return handler


def test_a_connection_closed_while_idle_is_replaced_without_costing_an_attempt() -> None:
    with peer(closing_after_first()) as broker:
        session = Http(config(broker.url, attempts=1))
        with session.deadline(5) as deadline:
            first = session.get("/clients", body_of, deadline)
            second = session.get("/clients", body_of, deadline)
        session.close()
    assert (first, second) == (b"good", b"good")
    assert broker.connections == 2


def test_a_connection_cut_before_its_first_answer_is_a_failed_attempt() -> None:
    error, broker = failure(lambda connection, _: connection.close(), attempts=2)
    assert isinstance(error, CannotConnect)
    assert error.reason is Reason.CONNECTION
    assert "closed the connection before it answered" in str(error)
    assert broker.connections == 2


def test_closing_cuts_off_a_question_and_refuses_further_ones() -> None:
    asked = threading.Event()

    def hang(_connection: socket.socket, _head: bytes) -> None:
        asked.set()

    with peer(hang) as broker:
        session = Http(config(broker.url, timeout_seconds=60, attempts=3))
        failures: list[EmqxError] = []

        def wait() -> None:
            with session.deadline(60) as deadline:
                try:
                    session.get("/clients", body_of, deadline)
                except EmqxError as error:
                    failures.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert asked.wait(5)
        session.close()
        waiting.join(timeout=5)
        assert not waiting.is_alive()
        assert [type(error) for error in failures] == [Closed]
        with session.deadline(1) as deadline, pytest.raises(Closed, match="shutting down"):
            session.get("/clients", body_of, deadline)


def tls_listener(folder: Path) -> tuple[int, Path, socket.socket]:
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(http("200 OK", b"secret garden", "Connection: close"))
            except OSError:
                plain.close()

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1], ca_file, listening


def test_tls_with_the_right_authority_works_and_with_another_fails(tmp_path: Path) -> None:
    port, ca_file, listening = tls_listener(tmp_path)
    with listening:
        url = f"https://localhost:{port}/api/"
        assert ask(url, ssl=str(ca_file)) == b"secret garden"
        assert ask(url, ssl=False) == b"secret garden"
        with pytest.raises(TlsFailure, match=r"emqx\.ssl") as caught:
            ask(url, ssl=True, attempts=1)
    assert "certificate verify failed" in str(caught.value)


def test_https_to_a_plain_port_is_a_tls_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.sendall(http("400 Bad Request"))

        threading.Thread(target=refuse, daemon=True).start()
        with pytest.raises(TlsFailure):
            ask(f"https://127.0.0.1:{listening.getsockname()[1]}/api/", attempts=1)


def test_only_emqx_s_own_404_means_a_missing_client() -> None:
    def answer(status: int, body: bytes) -> Answer:
        return Answer(status, "application/json", body, "/clients/a")

    assert is_missing_client(answer(404, b'{"code":"CLIENTID_NOT_FOUND","message":"x"}'))
    assert not is_missing_client(answer(404, b'{"code":"NOT_FOUND","message":"x"}'))
    assert not is_missing_client(answer(404, b"<html>"))
    assert not is_missing_client(answer(200, b'{"code":"CLIENTID_NOT_FOUND"}'))


def test_a_request_that_fails_leaves_nothing_for_the_garbage_collector() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"

    def closes(connection: socket.socket, _head: bytes) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    def hangs(connection: socket.socket, _head: bytes) -> None:
        connection.settimeout(5)
        connection.recv(1)

    for handler in (closes, answering(head + b"half of it"), hangs):
        with peer(handler) as broker:
            url = broker.url

            def fail(url: str = url) -> None:
                with suppress(EmqxError):
                    ask(url, timeout_seconds=0.2, attempts=1)

            assert held_by_cycles(fail) == []
