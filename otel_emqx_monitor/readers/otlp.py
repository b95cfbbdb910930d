"""Pushes snapshots to a Collector by OTLP, on a schedule that does not drift."""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from otel_emqx_monitor import background
from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.meter import BulkMeterProvider
from otel_emqx_monitor.outage import Outage
from otel_emqx_monitor.readers.exporter import Result
from otel_emqx_monitor.readers.otlp_bytes import Request, requests
from otel_emqx_monitor.snapshot import Outcome, Pushes
from otel_emqx_monitor.version import __version__

log = logging.getLogger(__name__)

#: OTEL_METRIC_EXPORT_INTERVAL's default, in seconds.
DEFAULT_INTERVAL = 60.0

#: OTEL_EXPORTER_OTLP_TIMEOUT's default, in seconds.
DEFAULT_TIMEOUT = 10.0

#: What an export may exceed its own timeout by before it is left to itself, in seconds.
_GRACE = 2.0

#: How long a push waits for a poll of EMQX, at most and at the end, in seconds.
_LONGEST_WAIT, _LAST_WAIT = 10.0, 2.0


class Sender(Protocol):
    """What requests are handed to; ``Exporter`` is the real one."""

    def export(self, request: bytes) -> Result:
        """Send one ``ExportMetricsServiceRequest``; raises nothing."""

    def shutdown(self) -> None:
        """Give up what is under way."""


@dataclass(frozen=True)
class Schedule:
    """When to push, and how much at once.

    ``interval``: seconds from one push to the next. ``timeout``: seconds that one request may take.
    ``max_points``: data points in one request at most.
    """

    interval: float
    timeout: float
    max_points: int


class OtlpReader:
    """Pushes in a thread of its own, at once and then every ``interval`` seconds.

    A push that takes longer than the interval makes it skip, not pile up. Whatever the Collector
    does, the agent and its scrapes go on; what could not be delivered is counted.
    """

    def __init__(
        self,
        source: SnapshotCache,
        sender: Sender,
        resource: Resource,
        schedule: Schedule,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._sender = sender
        self._resource = resource
        self._schedule = schedule
        self._clock = clock
        self._provider = BulkMeterProvider()
        register(self._provider.get_meter("otel_emqx_monitor", __version__), source)
        self._outage = Outage(log, "the Collector takes data again", "failed pushes")
        self._exports: Counter[Outcome] = Counter()
        self._points: Counter[Outcome] = Counter()
        self._last_success: float | None = None
        self._hanging: Future[Result] | None = None
        self._stopped = threading.Event()
        self._last_push = Deadline(0)
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    @property
    def interval(self) -> float:
        """Seconds from one push to the next."""
        return self._schedule.interval

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Push a last time and end; returns after ``seconds`` whatever the Collector does."""
        self._last_push = Deadline(seconds)
        self._stopped.set()
        self._thread.join(timeout=seconds)
        background.start("otlp-shutdown", self._sender.shutdown)

    def _run(self) -> None:
        interval = self._schedule.interval
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            limit = max(interval, self._schedule.timeout + _GRACE)
            self._push(Deadline(limit), min(_LONGEST_WAIT, interval))
            missed = (time.monotonic() - due) // interval
            due += interval * (1 + max(0.0, missed))
        self._push(self._last_push, _LAST_WAIT)

    def _push(self, deadline: Deadline, wait: float) -> None:
        try:
            self._push_snapshot(deadline, wait)
        except Exception:
            log.exception("a push failed in a way that is a bug of this program")

    def _push_snapshot(self, deadline: Deadline, wait: float) -> None:
        self._source.await_poll(min(wait, deadline.remaining))
        with self._source.pinned(self._source.current()):
            readings = self._provider.collect()
        now = self._clock()
        failure: Result | None = None
        for request in requests(readings, self._resource, now, self._schedule.max_points):
            lost = failure is not None and failure.outcome is Outcome.DROPPED
            result = failure if failure is not None and lost else self._export(request, deadline)
            self._exports[result.outcome] += 1
            self._points[result.outcome] += request.points
            if result.outcome is not Outcome.SUCCESS and not lost:
                failure = result
        if failure is None:
            self._last_success = now
            self._outage.end(time.monotonic())
        elif not self._stopped.is_set():
            self._outage.go_on(time.monotonic(), failure.text)
        elif not self._outage.failures:
            log.warning("%s; it was the last push", failure.text)
        self._source.note_pushes(
            Pushes(
                {outcome: self._exports[outcome] for outcome in Outcome},
                {outcome: self._points[outcome] for outcome in Outcome},
                self._last_success,
            )
        )

    def _export(self, request: Request, deadline: Deadline) -> Result:
        """Send one request, or give it up in time: an exporter can hang longer than its timeout."""
        if self._hanging is not None and not self._hanging.done():
            return Result(Outcome.DROPPED, "an earlier push to the Collector still hangs")
        if deadline.expired:
            return Result(Outcome.DROPPED, "the push took longer than there is time for it")
        sending = background.start("otlp-export", lambda: self._sender.export(request.body))
        try:
            return sending.result(min(self._schedule.timeout + _GRACE, deadline.remaining))
        except TimeoutError:
            self._hanging = sending
            return Result(
                Outcome.DROPPED,
                "the Collector did not answer in time; check that it is not overloaded, and"
                " otlp.timeout_seconds",
            )


def schedule_of(config: OtlpConfig) -> Schedule:
    """Return when to push by ``config``; loading it has put the standard variables in."""
    return Schedule(
        config.interval_seconds or DEFAULT_INTERVAL,
        config.timeout_seconds or DEFAULT_TIMEOUT,
        config.max_points_per_request,
    )


def resource_of(broker: str) -> Resource:
    """Return what the pushed series belong to; ``OTEL_RESOURCE_ATTRIBUTES`` wins.

    ``service.instance.id`` is the same after a restart: a new one would begin new series for every
    client in everything that keeps it as a label.
    """
    own = Resource(
        {
            "service.name": "otel-emqx-monitor",
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}/{broker}",
        }
    )
    return own.merge(OTELResourceDetector().detect())
