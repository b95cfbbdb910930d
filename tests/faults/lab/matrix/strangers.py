"""Whoever reaches the agent's port: many, slow, talkative, without end."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.faults.lab.fault import Fault, Presence
from tests.faults.lab.stage import Stage
from tests.processes import PATIENCE_SECONDS

_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n"
_MIB = 2**20

#: How much memory a stranger may cost the agent, in MiB. What it sends is more, by far.
_MEMORY_MIB = 64

_SLOW_SCRAPERS = 500


def visit(on: Stage) -> socket.socket:
    """Connect to the agent, with a small buffer for what it answers."""
    stranger = socket.socket()
    on.notes.setdefault("strangers", on.kept.enter_context(ExitStack())).callback(stranger.close)
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stranger.settimeout(PATIENCE_SECONDS)
    stranger.connect(("127.0.0.1", on.readers.port))
    return stranger


def leave(on: Stage) -> None:
    on.notes["strangers"].close()
    on.devices.crowd(0)


def peak_mib(on: Stage) -> float:
    """How much memory the agent has had at most, in MiB."""
    status = Path(f"/proc/{on.agent.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def read_nothing(on: Stage) -> None:
    on.devices.crowd(300)  # so that an exposition is longer than what sockets hold
    on.until(lambda: on.seen and len(on.seen.text) > 2**18, "the crowd is watched")
    for _ in range(_SLOW_SCRAPERS):
        visit(on).sendall(_SCRAPE)


def sends(
    request: bytes, more: Callable[[], Iterator[bytes]], *statuses: int
) -> Callable[[Stage], None]:
    """Send a request and as much ``more`` as the agent takes; see which status it answers."""

    def begin(on: Stage) -> None:
        before = peak_mib(on)
        stranger = visit(on)
        with suppress(ConnectionError, TimeoutError):
            stranger.sendall(request)
            for part in more():
                stranger.sendall(part)
        answer = b""
        with suppress(ConnectionError):
            while b"\r\n" not in answer and (got := stranger.recv(4096)):
                answer += got
        on.notes["status"] = int(answer.split()[1]) if answer else None
        assert on.notes["status"] in statuses, answer
        grown = peak_mib(on) - before
        assert grown < _MEMORY_MIB, f"it cost {grown:.0f} MiB"

    return begin


def hundred_megabytes() -> Iterator[bytes]:
    part = b"%x\r\n%b\r\n" % (_MIB, bytes(_MIB))
    for _ in range(100):
        yield part
    yield b"0\r\n\r\n"


def a_body() -> Iterator[bytes]:
    yield bytes(_MIB)


def one_long_header() -> Iterator[bytes]:
    yield b"X-Flood: "
    for _ in range(10):
        yield b"x" * _MIB
    yield b"\r\n\r\n"


def many_headers() -> Iterator[bytes]:
    for number in range(100_000):
        yield b"X-%d: flood\r\n" % number
    yield b"\r\n"


_BEGIN = b"GET /metrics HTTP/1.1\r\nHost: agent\r\n"

FAULTS = (
    Fault(
        name="500 slow scrapers",
        how="500 connections ask for `/metrics`, more than sockets hold, and read nothing",
        begin=read_nothing,
        repair=leave,
        up=1,
        presence=Presence.GOES_ON,
        globs=["crowd-*"],
    ),
    Fault(
        name="a scrape with a body",
        how="`GET /metrics` with 1 MB, answered 200",
        begin=sends(_BEGIN + b"Content-Length: %d\r\n\r\n" % _MIB, a_body, 200),
        repair=leave,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="a post of 100 MB in chunks",
        how="`POST /metrics`, answered 405, in less than 64 MiB of memory",
        begin=sends(
            b"POST /metrics HTTP/1.1\r\nHost: agent\r\nTransfer-Encoding: chunked\r\n\r\n",
            hundred_megabytes,
            405,
        ),
        repair=leave,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="a header of 10 MB",
        how="one header without end, answered 400",
        begin=sends(_BEGIN, one_long_header, 400),
        repair=leave,
        up=1,
        presence=Presence.GOES_ON,
    ),
    Fault(
        name="100,000 headers",
        how="`GET /metrics` with 100,000 headers, answered 400",
        begin=sends(_BEGIN, many_headers, 400),
        repair=leave,
        up=1,
        presence=Presence.GOES_ON,
    ),
)
