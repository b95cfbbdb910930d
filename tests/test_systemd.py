"""What systemd hears, at a socket of the test's own."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_emqx_monitor.systemd import Systemd


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["path", "abstract"])
def listening(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, socket.socket]]:
    name = f"@{tmp_path}/notify" if request.param == "abstract" else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind("\0" + name[1:] if name[0] == "@" else name)
        one.settimeout(10)
        yield name, one


def heard(one: socket.socket) -> list[str]:
    """Return what has come, a message a line; a datagram is there as soon as it was sent."""
    one.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(one.recv(4096).decode().replace("\n", " "))
    except BlockingIOError:
        return messages


def test_it_hears_of_the_start_of_reloads_and_of_the_end(
    listening: tuple[str, socket.socket],
) -> None:
    name, one = listening
    systemd = Systemd({"NOTIFY_SOCKET": name}, Clock())
    systemd.ready("Watching 3 clients")
    systemd.reloading()
    systemd.ready("Watching 4 clients")
    systemd.stopping()
    assert heard(one) == [
        "READY=1 STATUS=Watching 3 clients",
        "RELOADING=1 MONOTONIC_USEC=1000250000",
        "READY=1 STATUS=Watching 4 clients",
        "STOPPING=1 STATUS=Counting the last events and pushing a last time",
    ]


def test_a_status_is_one_line_whatever_the_broker_is_called(
    listening: tuple[str, socket.socket],
) -> None:
    name, one = listening
    Systemd({"NOTIFY_SOCKET": name}).ready("Watching 1 client of home\nWATCHDOG=trigger")
    assert one.recv(4096) == b"READY=1\nSTATUS=Watching 1 client of home\\x0aWATCHDOG=trigger"


def test_signs_of_life_come_twice_as_often_as_they_have_to(
    listening: tuple[str, socket.socket],
) -> None:
    name, one = listening
    clock = Clock()
    systemd = Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"}, clock)
    for _ in range(60):
        systemd.watch(lambda: None)
        clock.now += 0.5
    assert heard(one) == ["WATCHDOG=1", "WATCHDOG=1"]


def test_there_is_no_sign_of_life_while_a_loop_is_stuck(
    listening: tuple[str, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    name, one = listening
    systemd = Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"}, Clock())
    systemd.watch(lambda: "the loop that pushes is stuck")
    assert heard(one) == ["STATUS=Stuck: the loop that pushes is stuck"]
    assert caplog.messages == [
        "the loop that pushes is stuck; systemd gets no sign of life, so that it restarts the agent"
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_for_this_process_there_are_no_signs(
    listening: tuple[str, socket.socket], environ: dict[str, str]
) -> None:
    name, one = listening
    systemd = Systemd({"NOTIFY_SOCKET": name, **environ}, Clock())
    systemd.watch(lambda: None)
    assert heard(one) == []


def test_the_watchdog_is_for_the_process_that_it_names(
    listening: tuple[str, socket.socket],
) -> None:
    name, one = listening
    watchdog = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    Systemd({"NOTIFY_SOCKET": name, **watchdog}, Clock()).watch(lambda: None)
    assert heard(one) == ["WATCHDOG=1"]


def test_without_systemd_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    systemd = Systemd({}, Clock())
    systemd.ready("")
    systemd.reloading()
    systemd.stopping()
    systemd.watch(lambda: None)
    assert caplog.messages == []


def test_a_socket_that_nobody_has_is_told_once_and_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, Clock())
    systemd.ready("")
    systemd.stopping()
    [message] = caplog.messages
    assert message.startswith("cannot tell systemd how the agent is: No such file or directory;")
