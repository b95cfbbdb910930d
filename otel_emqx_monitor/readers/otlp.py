"""Pushes snapshots to a Collector by OTLP, on a schedule that does not drift."""

import gc
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.readers.exporter import Result
from otel_emqx_monitor.readers.otlp_bytes import Request, ending_requests, requests
from otel_emqx_monitor.readers.shown import Shown, ended, shown_by, told_in_vain
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


class Target:
    """What is pushed, where to and when; a push keeps the one with which it began.

    Args:
        source: where snapshots come from.
        sender: what requests are handed to.
        resource: what the series belong to.
        schedule: when to push, and how much at once.
    """

    def __init__(
        self, source: SnapshotCache, sender: Sender, resource: Resource, schedule: Schedule
    ) -> None:
        self.source = source
        self.sender = sender
        self.resource = resource
        self.schedule = schedule
        self.provider = BulkMeterProvider()
        register(self.provider.get_meter("otel_emqx_monitor", __version__), source)


class _Delivery:
    """One push: sends its requests and counts what becomes of them, on from earlier ``pushes``.

    ``accepted`` is whether any request was; ``failure`` is that of the last one that was not.
    """

    def __init__(self, export: Callable[[Request], Result], pushes: Pushes) -> None:
        self._export = export
        self.exports, self.points = Counter(pushes.exports), Counter(pushes.points)
        self.accepted = False
        self.failure: Result | None = None

    def send(self, requests: Iterable[Request]) -> bool:
        """Send requests, or drop them where an earlier one was; return whether all got there."""
        all_accepted = True
        for request in requests:
            lost = self.failure is not None and self.failure.outcome is Outcome.DROPPED
            result = self.failure if self.failure is not None and lost else self._export(request)
            self.exports[result.outcome] += 1
            self.points[result.outcome] += request.points
            if result.outcome is Outcome.SUCCESS:
                self.accepted = True
                continue
            all_accepted = False
            self.failure = result
        return all_accepted


class OtlpReader:
    """Pushes in a thread of its own, at once and then every ``interval`` seconds.

    A push that takes longer than the interval makes it skip, not pile up. Whatever the Collector
    does, the agent and its scrapes go on; what could not be delivered is counted, on from
    what the source tells of earlier pushes.
    """

    def __init__(self, target: Target, clock: Callable[[], float] = time.time) -> None:
        self._target = target
        self._clock = clock
        self._outage = Outage(log, "the Collector takes data again", "failed pushes")
        self._pushes = target.source.current().pushes
        self._shown: Sequence[Shown] = ()  # by the last push of which anything was accepted
        self._noting = threading.Lock()
        self._over: list[Sender] = []  # of targets that others have followed
        self._hanging: Future[Result] | None = None
        self.pulse = Pulse("pushes to the Collector")
        self._stopped = threading.Event()
        self._woken = threading.Event()  # by a change or by a stop
        self._last_push = Deadline(0)
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    @property
    def interval(self) -> float:
        """Seconds from one push to the next."""
        return self._target.schedule.interval

    def change(self, target: Target) -> None:
        """Push this from now on, and at once; a push that is under way is finished as it began."""
        with self._noting:
            self._over.append(self._target.sender)
            self._target = target
            target.source.note_pushes(self._pushes)
        self._woken.set()

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Push a last time and end; returns after ``seconds`` whatever the Collector does."""
        self._last_push = Deadline(seconds)
        self._stopped.set()
        self._woken.set()
        self._thread.join(timeout=seconds)
        background.start("otlp-shutdown", self._target.sender.shutdown)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._push_on_schedule()
        self._push(self._take_target(), self._last_push, _LAST_WAIT)
        self.pulse.end()

    def _take_target(self) -> Target:
        """Return what to push to; nothing is pushed to those before any more."""
        with self._noting:
            target, over, self._over = self._target, self._over, []
        for sender in over:
            background.start("otlp-shutdown", sender.shutdown)
        if over:
            gc.collect()  # the fleet that hung on the target before is in cycles
        return target

    def _push_on_schedule(self) -> None:
        """Push until there is another target, or the end."""
        self._woken.clear()
        target = self._take_target()  # only here: a whole fleet hangs on each
        interval = target.schedule.interval
        limit = max(interval, target.schedule.timeout + _GRACE)
        due = time.monotonic()
        while not self._stopped.is_set():
            self.pulse.turn(interval + limit)
            if self._woken.wait(max(0.0, due - time.monotonic())):
                break
            self._push(target, Deadline(limit), min(_LONGEST_WAIT, interval))
            missed = (time.monotonic() - due) // interval
            due += interval * (1 + max(0.0, missed))

    def _push(self, target: Target, deadline: Deadline, wait: float) -> None:
        try:
            self._push_snapshot(target, deadline, wait)
        except Exception:
            log.exception("a push failed in a way that is a bug of this program")

    def _push_snapshot(self, target: Target, deadline: Deadline, wait: float) -> None:
        target.source.await_poll(min(wait, deadline.remaining))
        with target.source.pinned(target.source.current()):
            readings = target.provider.collect()
        now = self._clock()
        shown = shown_by(readings, target.resource)
        over = ended(self._shown, shown)
        most = target.schedule.max_points
        delivery = _Delivery(lambda request: self._export(target, request, deadline), self._pushes)
        delivery.send(requests(readings, target.resource, now, most))
        told = delivery.send(ending_requests(over, now, most))
        if delivery.accepted:
            self._shown = shown if told else [*shown, *told_in_vain(over)]
        failure = delivery.failure
        if failure is None:
            self._outage.end(time.monotonic())
        elif not self._stopped.is_set():
            self._outage.go_on(time.monotonic(), failure.text)
        elif not self._outage.failures:
            log.warning("%s; it was the last push", failure.text)
        last_success = now if failure is None else self._pushes.last_success
        with self._noting:  # a change in between hands on what was counted before it
            self._pushes = Pushes(dict(delivery.exports), dict(delivery.points), last_success)
            self._target.source.note_pushes(self._pushes)

    def _export(self, target: Target, request: Request, deadline: Deadline) -> Result:
        """Send one request, or give it up in time: an exporter can hang longer than its timeout."""
        if self._hanging is not None and not self._hanging.done():
            return Result(Outcome.DROPPED, "an earlier push to the Collector still hangs")
        if deadline.expired:
            return Result(Outcome.DROPPED, "the push took longer than there is time for it")
        sending = background.start("otlp-export", lambda: target.sender.export(request.body))
        try:
            return sending.result(min(target.schedule.timeout + _GRACE, deadline.remaining))
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
