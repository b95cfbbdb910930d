import threading

import pytest

from otel_emqx_monitor import background


def test_the_future_holds_the_result() -> None:
    assert background.start("sum", lambda: 1 + 1).result(timeout=5) == 2


def test_the_future_holds_the_failure() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        background.start("fail", fail).result(timeout=5)


def test_the_thread_never_keeps_the_process_alive() -> None:
    assert background.start("look", lambda: threading.current_thread().daemon).result(timeout=5)
