"""How a command learns that it should end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signal() -> Iterator[Callable[[], None]]:
    """Give a function that waits for SIGTERM or SIGINT; only in the main thread."""
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    def wait() -> None:
        # The system may hand a signal to another thread, which does not wake this one; Python runs
        # the handler here and only when this thread does something.
        while not stopped.wait(timeout=0.5):
            pass

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
