"""The ways in which a broker can fail: what it does, and how the agent names that."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.brokers import FaultyBroker, faulty_broker
from tests.peers import Handler, http
from tests.processes import settings

PAGE = "<!doctype html><title>Welcome</title>"
HTML = "Content-Type: text/html"


@dataclass(frozen=True)
class Fault:
    """One row: ``begin`` makes a good broker fail, which counts as ``reason``.

    The message for people holds ``words``. ``emqx`` and ``polling`` are settings that let the
    fault show quickly. ``validate --connect`` asks for one client, so it may miss the fault: then
    ``shows_to_probe`` is false.
    """

    name: str
    begin: Callable[[FaultyBroker], None]
    reason: str
    words: str
    tls: bool = False
    shows_to_probe: bool = True
    emqx: Mapping[str, float] = field(default_factory=dict)
    polling: Mapping[str, float] = field(default_factory=dict)

    @contextmanager
    def good_broker(self, folder: Path) -> Iterator[FaultyBroker]:
        """Run a broker that does not have the fault yet."""
        with faulty_broker(folder if self.tls else None) as broker:
            yield broker

    def settings(self, broker: FaultyBroker, **sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration for ``broker``."""
        emqx = {**self.emqx, **({"ssl": broker.ca_file} if broker.ca_file else {})}
        polling = {**self.polling, **sections.pop("polling", {})}
        return settings(broker.url, emqx=emqx, polling=polling, **sections)


def answers(path: bytes, answer: bytes) -> Callable[[FaultyBroker], None]:
    """Give ``answer`` to requests whose target begins with ``path``, the right one to others."""

    def begin(broker: FaultyBroker) -> None:
        def handler(connection: socket.socket, head: bytes) -> None:
            if head.split()[1].startswith(path):
                connection.sendall(answer)
            else:
                broker.answer_well(connection, head)

        broker.handler = handler

    return begin


def handles(handler: Handler) -> Callable[[FaultyBroker], None]:
    def begin(broker: FaultyBroker) -> None:
        broker.handler = handler

    return begin


def fails_after_a_good_page(broker: FaultyBroker) -> None:
    pages = [
        http("200 OK", {"data": [{"clientid": "dev-a"}], "meta": {"hasnext": True}}),
        http("500 Internal Server Error", {"code": "INTERNAL_ERROR", "message": "timeout"}),
    ]

    def handler(connection: socket.socket, head: bytes) -> None:
        if head.split()[1].startswith(CLIENTS):
            connection.sendall(pages[b"page=2" in head.split()[1]])
        else:
            broker.answer_well(connection, head)

    broker.handler = handler


def stays_silent(_connection: socket.socket, _head: bytes) -> None:
    pass


def trickles(connection: socket.socket, _head: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:  # ends with the connection
        connection.sendall(b" ")
        time.sleep(0.02)


def hangs_up_in_the_middle(connection: socket.socket, _head: bytes) -> None:
    connection.sendall(http("200 OK", [{"node": "emqx@127.0.0.1"}])[:-9])
    connection.close()


ALL, CLIENTS = b"/", b"/api/v5/clients"
CUT_PAGE = '{"data": [{"clientid": "dev-a", "conn'

FAULTS = [
    Fault(
        "connection refused",
        FaultyBroker.refuse,
        "connection",
        "Connection refused; check that the broker runs",
    ),
    Fault(
        "silence",
        handles(stays_silent),
        "timeout",
        "did not answer within 0.3 s; raise emqx.timeout_seconds",
        emqx={"timeout_seconds": 0.3},
    ),
    Fault(
        "an answer that trickles beyond the deadline",
        handles(trickles),
        "timeout",
        "did not finish the poll within 0.3 s; raise polling.deadline_seconds",
        polling={"deadline_seconds": 0.3},
    ),
    Fault(
        "a certificate of an untrusted authority",
        FaultyBroker.show_a_strangers_certificate,
        "tls",
        "certificate verify failed: unable to get local issuer certificate",
        tls=True,
    ),
    Fault(
        "401 as the key was deleted",
        answers(
            ALL,
            http(
                "401 Unauthorized",
                {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"},
            ),
        ),
        "unauthorized",
        "refused the API key (status 401, BAD_API_KEY_OR_SECRET: Check api_key/api_secret)",
    ),
    Fault(
        "403 as the key's role does not suffice",
        answers(
            CLIENTS,
            http("403 Forbidden", {"code": "UNAUTHORIZED_ROLE", "message": "Not allowed"}),
        ),
        "forbidden",
        "does not allow this API key to read /clients (status 403, UNAUTHORIZED_ROLE",
    ),
    Fault(
        "404 with HTML as the URL is wrong",
        answers(ALL, http("404 Not Found", PAGE, HTML)),
        "not_emqx",
        "(status 404, text/html); check emqx.api_url, it should end in /api/",
    ),
    Fault(
        "414 of a proxy with a low limit",
        answers(CLIENTS, http("414 Request-URI Too Long", b"", "Connection: close")),
        "bad_request",
        "refused /clients: status 414",
    ),
    Fault(
        "500 as a node hangs",
        answers(
            CLIENTS,
            http("500 Internal Server Error", {"code": "NODE_DOWN", "message": "emqx@10.0.0.2"}),
        ),
        "server_error",
        "failed to answer /clients: status 500, NODE_DOWN: emqx@10.0.0.2",
    ),
    Fault(
        "200 with HTML of a captive portal",
        answers(ALL, http("200 OK", PAGE, HTML)),
        "not_emqx",
        "was answered with text/html instead of JSON; check that emqx.api_url leads to EMQX",
    ),
    Fault(
        "JSON that is truncated",
        answers(CLIENTS, http("200 OK", CUT_PAGE, "Content-Type: application/json")),
        "unreadable",
        "EMQX's answer to /clients cannot be read: Input data was truncated",
    ),
    Fault(
        "a connection that ends in the middle of an answer",
        handles(hangs_up_in_the_middle),
        "unreadable",
        "cut its answer short",
    ),
    Fault(
        "a page that fails after a good one",
        fails_after_a_good_page,
        "server_error",
        "failed to answer /clients: status 500, INTERNAL_ERROR: timeout",
        shows_to_probe=False,
    ),
]

every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
