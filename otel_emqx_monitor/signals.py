"""How a command learns that it should end, or read its configuration again."""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import NamedTuple, Protocol

from otel_emqx_monitor.deadline import Deadline

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def end_as_others_do() -> None:
    """Let SIGTERM end this process even if it is PID 1, as in a container.

    The kernel spares PID 1 from signals that it has not asked for, see kill(2): until a command
    waits for them itself, as while it imports, it could not be stopped.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end_at_once)


class WaitForStop(Protocol):
    """What waits for a signal."""

    def __call__(self, seconds: float = math.inf) -> bool:
        """Wait until one comes, ``seconds`` at most; return whether one has come."""


@contextmanager
def stop_signal() -> Iterator["WaitForStop"]:
    """Give what waits for SIGTERM or SIGINT; only in the main thread.

    A second one ends the process at once: whoever sends it will not wait for the first.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        # By the system, even if this thread is busy; but it spares PID 1, as in a container.
        at_once = _end_at_once if os.getpid() == 1 else signal.SIG_DFL
        for each in _STOPPING:
            signal.signal(each, at_once)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield partial(_wait, stopped)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hangup_signal() -> Iterator[Callable[[], bool]]:
    """Give what tells whether a SIGHUP has come since last asked; only in the main thread."""
    hung_up = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        hung_up.set()

    def has_come() -> bool:
        came = hung_up.is_set()
        if came:
            hung_up.clear()
        return came

    before = signal.signal(signal.SIGHUP, note)
    try:
        yield has_come
    finally:
        signal.signal(signal.SIGHUP, before)


class Signals(NamedTuple):
    """What has come: ``wait_for_stop`` waits, ``has_hung_up`` tells."""

    wait_for_stop: WaitForStop
    has_hung_up: Callable[[], bool]


@contextmanager
def service_signals() -> Iterator[Signals]:
    """Give both, for a command that runs until it is stopped; only in the main thread."""
    with stop_signal() as wait_for_stop, hangup_signal() as has_hung_up:
        yield Signals(wait_for_stop, has_hung_up)


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def _wait(stopped: threading.Event, seconds: float = math.inf) -> bool:
    # The system may hand a signal to another thread, which does not wake this one; Python runs the
    # handler here and only when this thread does something.
    deadline = Deadline(seconds)
    while not stopped.wait(timeout=min(0.5, deadline.remaining)):
        if deadline.expired:
            return False
    return True
