"""Whatever listens where EMQX should be: a person gets one readable line, never a traceback."""

import socket
from pathlib import Path

import pytest

from tests.faults.inprocess import invoke
from tests.peers import http, peer
from tests.processes import settings, write_config

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="another protocol"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x16", id="TLS alert"),
        pytest.param(b"\x1b[2J\x1b[31m\x00\xff\r\n\r\n", id="terminal commands"),
        pytest.param(OK + b"no colon\r\nContent-Length: 2\r\n\r\n[]", id="line that is no header"),
        pytest.param(OK + b"A: b\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(OK + b"A: " + b"x" * 70_000 + b"\r\n\r\n", id="a header too long"),
        pytest.param(OK + b"Content-Length: 1, 2\r\n\r\n[]", id="two lengths"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="no length of a chunk"),
        pytest.param(http("200 OK", "[]", "Content-Encoding: gzip"), id="gzip that is none"),
        pytest.param(http("204 No Content"), id="no content"),
        pytest.param(http("200 OK", "", "Content-Type: application/json"), id="empty JSON"),
        pytest.param(
            http("404 Not Found", "", "Content-Type: text/\x1b[31m" + "x" * 3_000),
            id="terminal commands as media type",
        ),
        pytest.param(
            http("200 OK", "<p>", "Content-Type: text/\x1b[31m" + "x" * 3_000),
            id="terminal commands as media type of a page",
        ),
        pytest.param(
            http("500 No", {"code": "\x1b[2J\n\u202e" + "x" * 3_000, "message": "\r\n\x1b[2J"}),
            id="terminal commands as words of an error",
        ),
        pytest.param(
            http("200 OK", "[" * 100_000, "Content-Type: application/json"), id="deep JSON"
        ),
    ],
)
def test_an_answer_that_is_not_emqx_s_ends_check_with_3_and_one_line(
    answer: bytes, tmp_path: Path
) -> None:
    def handler(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    with peer(handler) as stranger:
        ended = invoke("check", "--cfg", write_config(tmp_path, settings(stranger.url)))
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr.removesuffix("\n").isprintable(), ended.stderr
    assert len(ended.stderr) < 600


@pytest.mark.parametrize(
    "node",
    [
        pytest.param({"version": "5." + "9" * 5_000}, id="version of 5,000 digits"),
        pytest.param({"version": "٥.٨.٩"}, id="version in other digits"),
        pytest.param({"connections": 10**400}, id="more connections than a float can count"),
        pytest.param({"connections": -(10**400)}, id="fewer connections than none"),
    ],
)
def test_a_node_that_tells_nonsense_of_itself_is_survived(
    node: dict[str, object], tmp_path: Path
) -> None:
    running = {"node": "emqx@127.0.0.1", "version": "5.8.9", "node_status": "running"}

    def handler(connection: socket.socket, head: bytes) -> None:
        if b"/nodes" in head.split()[1]:
            connection.sendall(http("200 OK", [running | {"connections": 1} | node]))
        elif b"/clients/" in head.split()[1]:
            connection.sendall(http("404 Not Found", {"code": "CLIENTID_NOT_FOUND"}))
        else:
            connection.sendall(http("200 OK", {"data": [], "meta": {"hasnext": False}}))

    with peer(handler) as stranger:
        ended = invoke("check", "--cfg", write_config(tmp_path, settings(stranger.url)))
    assert ended.exit_code in {1, 3}, "nobody is connected, or the answer counts as unreadable"
    assert ended.stderr.count("\n") == (1 if ended.exit_code == 3 else 0)
