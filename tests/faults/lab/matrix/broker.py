"""EMQX and the way to it: gone, slow, cut off, refusing, restarted, behind a name or a redirect."""

import socket
import struct
import time
from collections.abc import Callable, Mapping

from tests.faults.brokers import FaultyBroker
from tests.faults.lab.fault import Fault, Presence
from tests.faults.lab.stage import Stage
from tests.faults.table import ALL, CLIENTS, answers, handles, stays_silent
from tests.peers import Peer, answering, http, peer

#: The line that tells of the end of an outage.
AGAIN = "info: EMQX answers again after"

#: What every outage begins with: the first poll may have been cut off in the middle.
TRYING = "; trying again until it works"

#: What is said of the last poll where nobody listens.
REFUSED = "Connection refused"

#: The deadline of a poll where something trickles, in seconds.
DEADLINE: Mapping[str, Mapping[str, float]] = {"polling": {"deadline_seconds": 0.5}}

#: How long the agent waits for an answer where none comes, in seconds.
IMPATIENT: Mapping[str, Mapping[str, float]] = {"emqx": {"timeout_seconds": 1.0}}


def on_broker(begin: Callable[[FaultyBroker], None]) -> Callable[[Stage], None]:
    return lambda on: begin(on.broker)


def recover(on: Stage) -> None:
    on.broker.recover()


def spoiling(
    spoil: Callable[[socket.socket, bytes], None], path: bytes = CLIENTS
) -> Callable[[Stage], None]:
    """Give the right answers to requests for ``path`` to ``spoil``, to be sent in its way."""

    def begin(on: Stage) -> None:
        def handler(connection: socket.socket, head: bytes) -> None:
            answer = on.broker.good_answer(head)
            if head.split()[1].startswith(path):
                spoil(connection, answer)
            else:
                connection.sendall(answer)

        on.broker.handler = handler

    return begin


def late(connection: socket.socket, answer: bytes) -> None:
    time.sleep(0.3)
    connection.sendall(answer)


def too_late(connection: socket.socket, answer: bytes) -> None:
    time.sleep(1.5)
    connection.sendall(answer)


def drips(connection: socket.socket, answer: bytes) -> None:
    for byte in answer:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def drips_its_body(connection: socket.socket, answer: bytes) -> None:
    head, end, body = answer.partition(b"\r\n\r\n")
    connection.sendall(head + end)
    drips(connection, body)


def reset_in_the_middle(connection: socket.socket, answer: bytes) -> None:
    """Send half of a page and have the kernel send a reset."""
    connection.sendall(answer[: len(answer) // 2])
    time.sleep(0.02)  # else the reset would overtake the half
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def refusing(status: str, code: str, message: str) -> Callable[[Stage], None]:
    return on_broker(answers(ALL, http(status, {"code": code, "message": message})))


def go_down(on: Stage) -> None:
    on.devices.down = True
    on.broker.refuse()


def restart(on: Stage) -> None:
    """Start EMQX again: all clients that were connected have connected anew."""
    on.devices.down = False
    on.devices.connect_all()
    on.broker.recover()


def redirect(on: Stage) -> None:
    stranger: Peer = on.kept.enter_context(peer(answering(http("200 OK", []))))
    on.notes["stranger"] = stranger
    moved = http("307 Temporary Redirect", b"", f"Location: {stranger.url}v5/clients")
    answers(ALL, moved)(on.broker)


def stranger_got_nothing(on: Stage) -> None:
    assert on.notes["stranger"].connections == 0, on.notes["stranger"].heads


FAULTS = (
    Fault(
        name="EMQX refuses connections",
        how="nobody listens on its port",
        begin=on_broker(FaultyBroker.refuse),
        repair=recover,
        says=(TRYING, REFUSED),
    ),
    Fault(
        name="EMQX is restarted",
        how="nobody listens for a while, then all clients have reconnected, with counters from 0",
        begin=go_down,
        repair=restart,
        says=(TRYING, REFUSED),
    ),
    Fault(
        name="EMQX is silent",
        how="requests are taken and never answered",
        begin=on_broker(handles(stays_silent)),
        repair=recover,
        settings=IMPATIENT,
        says=("error: EMQX at", AGAIN),
    ),
    Fault(
        name="latency",
        how="each answer 0.3 s late, longer than the interval of polls",
        begin=spoiling(late, ALL),
        repair=recover,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="latency beyond the timeout",
        how="each answer 1.5 s late, with `emqx.timeout_seconds` 1",
        begin=spoiling(too_late, ALL),
        repair=recover,
        settings=IMPATIENT,
        says=("error: EMQX at", AGAIN),
    ),
    Fault(
        name="trickling headers",
        how="answers byte by byte from the status line on, slower than the poll's deadline",
        begin=spoiling(drips),
        repair=recover,
        settings=DEADLINE,
        says=("error: EMQX at", AGAIN),
    ),
    Fault(
        name="trickling body",
        how="headers at once, then a page byte by byte, slower than the poll's deadline",
        begin=spoiling(drips_its_body),
        repair=recover,
        settings=DEADLINE,
        says=("error: EMQX at", AGAIN),
    ),
    Fault(
        name="reset in the middle of a page",
        how="half of a page, then a TCP reset",
        begin=spoiling(reset_in_the_middle),
        repair=recover,
        says=("error: EMQX at", AGAIN),
    ),
    Fault(
        name="EMQX answers 401",
        how="the API key was deleted",
        begin=refusing("401 Unauthorized", "BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"),
        repair=recover,
        says=("refused the API key (status 401", AGAIN),
    ),
    Fault(
        name="EMQX answers 429",
        how="a proxy limits the rate",
        begin=refusing("429 Too Many Requests", "TOO_MANY_REQUESTS", "slow down"),
        repair=recover,
        says=("status 429", AGAIN),
    ),
    Fault(
        name="EMQX answers 500",
        how="its API fails",
        begin=refusing("500 Internal Server Error", "INTERNAL_ERROR", "timeout"),
        repair=recover,
        says=("status 500", AGAIN),
    ),
    Fault(
        name="EMQX answers 503",
        how="it is about to start or to stop",
        begin=refusing("503 Service Unavailable", "SERVICE_UNAVAILABLE", "starting"),
        repair=recover,
        says=("status 503", AGAIN),
    ),
    Fault(
        name="redirect to another host",
        how="status 307 to a stranger, who gets no connection, let alone the credentials",
        begin=redirect,
        repair=recover,
        holds=stranger_got_nothing,
        says=("error: EMQX at", AGAIN),
    ),
)
