import logging
import os
import resource
import socket
from collections.abc import Iterator

import pytest
import requests

from otel_emqx_monitor.listening import listen
from otel_emqx_monitor.server import Access
from otel_emqx_monitor.web.connection import Patience
from otel_emqx_monitor.web.door import Door, Places
from tests.processes import wait_until
from tests.web.serving import Files, connect, serving, tls, until_closed

LIMIT = resource.RLIMIT_NOFILE


@pytest.fixture
def file_limit() -> Iterator[tuple[int, int]]:
    soft, hard = resource.getrlimit(LIMIT)
    yield soft, hard
    resource.setrlimit(LIMIT, (soft, hard))


def test_what_is_too_much_is_closed_at_once_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(Access(max_connections=2)) as server:
        first, second = connect(server), connect(server)
        for one in (first, second):  # the door has let them in when they are answered
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one.recv(12) == b"HTTP/1.1 200"
        for _ in range(3):
            with connect(server) as third:
                assert until_closed(third) == b""
        first.close()

        def served() -> bool:
            try:
                return requests.get(server.url, timeout=20).ok
            except requests.ConnectionError:
                return False

        wait_until(served)
        second.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("2 connections to the HTTP server are open, which is all")
    assert caplog.messages[0].endswith("raise prometheus.max_connections")


def test_handshakes_of_tls_count_and_end(files: Files) -> None:
    path = files.write({"tls_server_config": tls()})
    with serving(Access(path, 1, Patience(head=0.3))) as server:
        with connect(server) as silent:
            with connect(server) as turned_away:
                assert until_closed(turned_away) == b""
            assert until_closed(silent) == b"", "cut off for saying nothing"
        ca = str(files.ca_file)

        def served() -> bool:
            try:
                return requests.get(server.url, verify=ca, timeout=20).ok
            except requests.ConnectionError:
                return False

        wait_until(served)


def test_out_of_files_the_next_is_closed_and_later_ones_are_taken(
    file_limit: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    _, hard = file_limit
    places = Places(10)
    [listening] = listen("127.0.0.1", 0)
    with Door(listening, places) as door:
        clients = [socket.create_connection(door.getsockname(), timeout=20) for _ in range(4)]
        lowest_free = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(LIMIT, (lowest_free, hard))
        for client in clients[:2]:
            with pytest.raises(ConnectionAbortedError):
                door.accept()
            assert until_closed(client) == b""
        resource.setrlimit(LIMIT, file_limit)
        accepted, _ = door.accept()
        assert places.taken == 1
        accepted.close()
        accepted.close()
        assert places.taken == 0
        resource.setrlimit(LIMIT, (lowest_free, hard))
        with pytest.raises(ConnectionAbortedError):
            door.accept()
        resource.setrlimit(LIMIT, file_limit)
        for client in clients:
            client.close()
    places.close()
    [message] = caplog.messages
    assert message.startswith("cannot take a connection: Too many open files;")


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be(
    file_limit: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    _, hard = file_limit
    resource.setrlimit(LIMIT, (256, hard))
    places = Places(300)
    assert places.most == 300
    assert resource.getrlimit(LIMIT) == (428, hard)
    places.close()
    assert caplog.messages == []


def test_fewer_connections_are_taken_where_files_are_few(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 200))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    places = Places(1024)
    assert places.most == 100
    places.close()
    [message] = caplog.messages
    assert message.startswith("the limit of open files is 200: the HTTP server takes 100 connecti")
