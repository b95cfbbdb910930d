from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from otel_emqx_monitor import watching
from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.emqx.client import EmqxClient
from tests.lives.moments import Clock

pytest.register_assert_rewrite("tests.lives.playing", "tests.lives.exported")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put what watches EMQX in this test on a clock that only the test moves."""
    clock = Clock()

    def cache(*parts: Any, **more: Any) -> SnapshotCache:
        return SnapshotCache(*parts, **more, clock=clock, started_at=clock())

    client: Callable[..., EmqxClient] = partial(EmqxClient, clock=clock, monotonic=clock)
    monkeypatch.setattr(watching, "SnapshotCache", cache)
    monkeypatch.setattr(watching, "EmqxClient", client)
    monkeypatch.setattr(watching, "time", SimpleNamespace(time=clock, monotonic=clock))
    return clock
