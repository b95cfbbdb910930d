"""Work in a thread that never keeps the process from ending."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start(name: str, work: Callable[[], T]) -> Future[T]:
    """Run ``work`` in a daemon thread called ``name``; the future holds its result or exception.

    Threads of ``concurrent.futures`` executors are joined when Python exits, so that one request to
    a hanging broker would hold up the shutdown; these are not.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    threading.Thread(target=_run, args=(future, work), name=name, daemon=True).start()
    return future


def _run(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 (handed to whoever waits for the future)
        future.set_exception(error)
    finally:
        del future, work  # the error holds this frame
