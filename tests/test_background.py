import threading

import pytest

from otel_emqx_monitor import background
from tests.cycles import held_by_cycles


def test_the_future_holds_the_result() -> None:
    assert background.start("sum", lambda: 1 + 1).result(timeout=5) == 2


def test_the_future_holds_the_failure() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        background.start("fail", fail).result(timeout=5)


def test_the_thread_never_keeps_the_process_alive() -> None:
    assert background.start("look", lambda: threading.current_thread().daemon).result(timeout=5)


def test_a_failure_that_nobody_asks_for_keeps_no_frame() -> None:
    def fail() -> None:
        raise ValueError("no")

    def work() -> None:
        background.start("fail", fail).exception(timeout=5)

    assert held_by_cycles(work) == []
