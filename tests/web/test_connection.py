"""Clients that are slow, greedy or wrong, with raw sockets: none holds anything for long."""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Final

import pytest
import requests
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_emqx_monitor.server import Access, MetricsServer
from otel_emqx_monitor.web.connection import Patience
from tests.processes import wait_until
from tests.web.serving import Files, connect, serving, tls, until_closed

#: Long enough for a busy machine to do what is right, short enough to wait for.
SHORT: Final = Patience(head=0.5, answer=0.5)
GET: Final = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[MetricsServer]:
    with serving(Access(patience=SHORT)) as running:
        yield running


def answers(received: bytes) -> list[bytes]:
    """Return the status lines in what came."""
    return re.findall(rb"^HTTP/1\.1 [^\r]*", received, re.MULTILINE)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET", id="half a line"),
        pytest.param(GET, id="head without its end"),
        pytest.param(GET + b"X: " + b"a" * 1000, id="half a header"),
    ],
)
def test_who_does_not_finish_a_head_is_cut_off(server: MetricsServer, sent: bytes) -> None:
    with connect(server) as client:
        client.sendall(sent)
        assert until_closed(client) == b""


def test_a_head_that_trickles_in_has_no_longer(server: MetricsServer) -> None:
    with connect(server) as client:
        client.settimeout(0.02)
        received = b"?"
        for byte in GET + b"X: " + b"a" * 10_000:
            try:
                client.sendall(bytes([byte]))
                received = client.recv(1)
            except TimeoutError:
                continue
            except ConnectionError:
                received = b""
            break
        assert received == b""


def test_the_second_head_has_no_longer_than_the_first(server: MetricsServer) -> None:
    with connect(server) as client:
        client.sendall(GET + b"\r\n" + GET)
        assert answers(until_closed(client)) == [b"HTTP/1.1 200 OK"]


def test_an_idle_connection_is_kept_for_the_next_request(server: MetricsServer) -> None:
    with connect(server) as client, connect(server) as silent:
        client.sendall(GET + b"\r\n")
        received = b""
        while b"# EOF" not in received and b"process_open_fds " not in received:
            received += client.recv(2**16)
        assert until_closed(silent) == b"", "as long as anything may take"
        client.sendall(GET + b"Connection: close\r\n\r\n")
        assert b"HTTP/1.1 200 OK" in until_closed(client)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Content-Length: 5\r\n\r\nhello", id="whole"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", id="in chunks"),
    ],
)
def test_a_scrape_with_a_body_is_answered_and_so_is_the_next(
    server: MetricsServer, body: bytes
) -> None:
    with connect(server) as client:
        client.sendall(GET + body + GET + b"Connection: close\r\n\r\n")
        assert answers(until_closed(client)) == [b"HTTP/1.1 200 OK"] * 2


def test_who_announces_a_body_and_does_not_send_it_is_answered_and_cut_off(
    server: MetricsServer,
) -> None:
    with connect(server) as client:
        client.sendall(GET + b"Content-Length: 1000000\r\n\r\nsome")
        assert answers(until_closed(client)) == [b"HTTP/1.1 200 OK"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(GET + b"X: " + b"a" * 30_000 + b"\r\n\r\n", id="long header"),
        pytest.param(GET + b"".join(b"X%d: a\r\n" % n for n in range(5000)), id="many headers"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", id="long target"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(GET + b"X : y\r\n\r\n", id="space before the colon"),
        pytest.param(GET + b"Content-Length: 1, 2\r\n\r\n", id="two lengths"),
    ],
)
def test_what_is_no_request_gets_400_and_the_connection_ends(
    server: MetricsServer, sent: bytes
) -> None:
    with connect(server) as client:
        client.sendall(sent)
        received = until_closed(client)
    # A client that still sends while it is refused may lose the answer to that.
    assert answers(received) in ([b"HTTP/1.1 400 Bad Request"], [])


def test_a_body_that_is_none_ends_the_connection_without_a_word_in_the_log(
    server: MetricsServer, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(server) as client:
        client.sendall(GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        until_closed(client)
    assert requests.get(server.url, timeout=20).ok
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("count", [2, 50])
def test_requests_that_come_together_are_answered_in_turn(
    server: MetricsServer, count: int
) -> None:
    with connect(server) as client:
        client.sendall((GET + b"\r\n") * (count - 1) + GET + b"Connection: close\r\n\r\n")
        assert answers(until_closed(client)) == [b"HTTP/1.1 200 OK"] * count


def test_http_1_0_gets_an_answer_and_its_end(server: MetricsServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        head, _, body = until_closed(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"emqx_client_monitor_up" in body


def test_head_is_get_without_the_body(server: MetricsServer) -> None:
    with connect(server) as client:
        client.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = until_closed(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert int(
        dict(line.split(b": ") for line in head.lower().split(b"\r\n")[1:])[b"content-length"]
    )
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "x" * 500])
def test_other_methods_are_refused(server: MetricsServer, method: str) -> None:
    assert requests.request(method, server.url + "metrics", timeout=20).status_code == 405


def test_connect_is_refused(server: MetricsServer) -> None:
    with connect(server) as client:
        client.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answers(until_closed(client))[0][9:12] in {b"404", b"405"}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_who_does_not_read_the_answer_is_cut_off(files: Files, *, secure: bool) -> None:
    path = files.write({"tls_server_config": tls()} if secure else "")
    # The answer is more than what both kernels hold for a reader that is late.
    with serving(Access(path, patience=Patience(answer=0.5)), clients=50_000) as server:
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(20)
        lazy.connect(("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2])))
        if secure:
            context = ssl.create_default_context(cafile=str(files.ca_file))
            lazy = context.wrap_socket(lazy, server_hostname="localhost")
        with lazy:
            lazy.sendall(GET + b"\r\n")
            assert lazy.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: server.connections == 0)
        assert requests.get(server.url, verify=str(files.ca_file), timeout=20).ok


def test_what_is_still_busy_when_the_server_ends_is_cut_off_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = threading.Event()

    async def busy(_request: Request) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("it never comes")

    with serving(Access(), 1, Route("/busy", busy)) as running:
        client = connect(running)
        client.sendall(b"GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert begun.wait(20)
        running.stop()
        assert client.recv(100) == b""
        client.close()
    assert caplog.messages == []
