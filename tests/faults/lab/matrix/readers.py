"""Prometheus and the Collector: gone, hanging, refusing."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.collector.collector import CONFIGS
from tests.faults.lab.fault import Fault, Presence
from tests.faults.lab.matrix.broker import TRYING
from tests.faults.lab.stage import Stage

#: For how long a reader is away, in seconds; several of its intervals.
_AWAY_SECONDS = 1.5

#: How long a push may take, in seconds, where the Collector fails.
_IMPATIENT = {"otlp": {"timeout_seconds": 0.5}}

_TAKES_AGAIN = "info: the Collector takes data again after"


def prometheus_goes(on: Stage) -> None:
    on.notes["since"] = time.monotonic()
    on.readers.stop_prometheus()


def prometheus_comes(on: Stage) -> None:
    on.readers.start_prometheus()


def collector_is_killed(on: Stage) -> None:
    on.readers.stop_collector(signal.SIGKILL)


def collector_comes(on: Stage) -> None:
    on.readers.start_collector()


def collector_hangs(on: Stage) -> None:
    on.readers.collector.process.send_signal(signal.SIGSTOP)
    on.kept.callback(collector_goes_on, on)


def collector_goes_on(on: Stage) -> None:
    on.readers.collector.process.send_signal(signal.SIGCONT)


def collector_refuses(on: Stage) -> None:
    """Start a Collector anew whose memory is full from the begin on."""
    config = (CONFIGS / "agent-to-prometheus.yaml").read_text()
    limits = "limit_percentage: 75\n    spike_limit_percentage: 20"
    assert limits in config
    with stopped(on):
        on.readers.stop_collector()
        on.readers.start_collector(config.replace(limits, "limit_mib: 2\n    spike_limit_mib: 1"))


def collector_takes(on: Stage) -> None:
    with stopped(on):
        on.readers.stop_collector()
        on.readers.start_collector()


@contextmanager
def stopped(on: Stage) -> Iterator[None]:
    """Stop the agent, so that it does not notice that the Collector is away for a moment."""
    os.kill(on.agent.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(on.agent.pid, signal.SIGCONT)


def has_been_away(on: Stage) -> bool:
    return on.seconds_since("since") > _AWAY_SECONDS


def pushes_have_failed(on: Stage) -> bool:
    """Whether some pushes have failed, one after the other."""
    exports = on.seen.by("otlp_exports_total", "outcome") if on.seen else {}
    failed = exports.get("dropped", 0) + exports.get("refused", 0)
    before: float = on.notes.setdefault("failed", failed)
    return failed >= before + 4


FAULTS = (
    Fault(
        name="Prometheus is gone",
        how="its server is stopped, and started again later",
        begin=prometheus_goes,
        repair=prometheus_comes,
        up=1,
        presence=Presence.GOES_ON,
        lasts=has_been_away,
    ),
    Fault(
        name="the Collector is killed",
        how="SIGKILL, and a new one listens later",
        begin=collector_is_killed,
        repair=collector_comes,
        up=1,
        presence=Presence.GOES_ON,
        lasts=pushes_have_failed,
        settings=_IMPATIENT,
        pushes=5,
        says=("error: pushing to the Collector at", _TAKES_AGAIN),
    ),
    Fault(
        name="the Collector hangs",
        how="SIGSTOP, so that the kernel takes connections in its name; later SIGCONT",
        begin=collector_hangs,
        repair=collector_goes_on,
        up=1,
        presence=Presence.GOES_ON,
        lasts=pushes_have_failed,
        settings=_IMPATIENT,
        pushes=5,
        says=(TRYING, _TAKES_AGAIN),
    ),
    Fault(
        name="the Collector refuses",
        how="its `memory_limiter` takes nothing",
        begin=collector_refuses,
        repair=collector_takes,
        up=1,
        presence=Presence.GOES_ON,
        lasts=pushes_have_failed,
        settings={"otlp": {"timeout_seconds": 1.5}},  # one may be under way while it is started
        pushes=5,
        says=("error: pushing to the Collector at", _TAKES_AGAIN),
    ),
)
