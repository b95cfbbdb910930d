import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import DataPointFlags, NumberDataPoint
from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.emqx.rows import Poll, Row
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.instruments import PUSH
from otel_emqx_monitor.readers.exporter import Result
from otel_emqx_monitor.readers.otlp import OtlpReader, Schedule, Target, resource_of, schedule_of
from otel_emqx_monitor.readers.shown import MOST_TRIES
from otel_emqx_monitor.snapshot import Outcome, Pushes
from tests.fleets import assess, connected, nothing_known, poll

WATCHED = [Watched("A", "a"), Watched("B", "b")]
GOOD = Result(Outcome.SUCCESS)


class Sender:
    """Takes requests and answers each as ``answer`` says."""

    def __init__(self) -> None:
        self.answer: Callable[[int], Result] = lambda _: GOOD
        self.requests: list[bytes] = []
        self.came = threading.Condition()
        self.shut_down = threading.Event()

    def export(self, request: bytes) -> Result:
        with self.came:
            self.requests.append(request)
            number = len(self.requests)
            self.came.notify_all()
        return self.answer(number)

    def shutdown(self) -> None:
        self.shut_down.set()

    def wait_for(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.requests) >= count, timeout=10)


def points_of(request: bytes) -> Iterator[tuple[str, NumberDataPoint]]:
    message = ExportMetricsServiceRequest.FromString(request)
    for metric in message.resource_metrics[0].scope_metrics[0].metrics:
        name = metric.name.removeprefix("emqx_client_monitor_")
        for point in (metric.gauge if metric.HasField("gauge") else metric.sum).data_points:
            yield name, point


def values(requests: list[bytes]) -> dict[str, float]:
    """Return the values by metric name and last attribute value."""
    return {
        f"{name} {point.attributes[-1].value.string_value}": point.as_int or point.as_double
        for request in requests
        for name, point in points_of(request)
    }


@pytest.fixture
def sender() -> Sender:
    return Sender()


def cache_of(ask: Callable[[], Poll]) -> SnapshotCache:
    return SnapshotCache(
        "broker",
        ask,
        lambda answered: assess(answered, WATCHED),
        nothing_known(WATCHED),
        Freshness(ttl=15, stale_after=60),
        flags=frozenset({PUSH}),
    )


@pytest.fixture
def cache() -> SnapshotCache:
    return cache_of(lambda: poll(connected("a")))


Start = Callable[..., OtlpReader]


@pytest.fixture
def start(cache: SnapshotCache, sender: Sender) -> Iterator[Start]:
    readers: list[OtlpReader] = []

    def begin(
        interval: float = 0.01, timeout: float = 5, max_points: int = 5000, source: object = cache
    ) -> OtlpReader:
        assert isinstance(source, SnapshotCache)
        schedule = Schedule(interval, timeout, max_points)
        readers.append(OtlpReader(Target(source, sender, Resource({}), schedule)))
        readers[-1].start()
        return readers[-1]

    yield begin
    for reader in readers:
        reader.stop(5)


def wait_for_pushes(cache: SnapshotCache, holds: Callable[[Pushes], bool]) -> Pushes:
    limit = time.monotonic() + 10
    while not holds(cache.current().pushes):
        assert time.monotonic() < limit, cache.current().pushes
        time.sleep(0.002)
    return cache.current().pushes


def test_the_first_push_comes_at_once_with_what_a_poll_says(start: Start, sender: Sender) -> None:
    start(interval=3600)
    sender.wait_for(1)
    pushed = values(sender.requests[:1])
    assert pushed["connected a"] == 1
    assert pushed["connected b"] == 0
    assert pushed["up broker"] == 1
    assert pushed["otlp_points success"] == 0


def test_pushes_go_on_and_are_counted_in_the_next_snapshot(
    start: Start, sender: Sender, cache: SnapshotCache
) -> None:
    start()
    sender.wait_for(3)
    pushes = wait_for_pushes(cache, lambda now: now.exports[Outcome.SUCCESS] >= 3)
    assert pushes.points[Outcome.SUCCESS] > 60
    assert pushes.exports[Outcome.DROPPED] == pushes.exports[Outcome.REFUSED] == 0
    assert pushes.last_success is not None
    assert values(sender.requests[-1:])["otlp_exports success"] >= 2


def test_a_request_has_no_more_points_than_allowed(start: Start, sender: Sender) -> None:
    start(interval=3600, max_points=7)
    sender.wait_for(3)
    assert [len(list(points_of(request))) for request in sender.requests[:2]] == [7, 7]


def test_a_refused_request_does_not_hold_up_the_others(
    start: Start, sender: Sender, cache: SnapshotCache, caplog: pytest.LogCaptureFixture
) -> None:
    sender.answer = lambda number: Result(Outcome.REFUSED, "too large") if number == 2 else GOOD
    start(interval=3600, max_points=7)
    pushes = wait_for_pushes(cache, lambda now: now.exports[Outcome.SUCCESS] > 1)
    assert pushes.exports[Outcome.REFUSED] == 1
    assert pushes.points[Outcome.REFUSED] == 7
    assert pushes.last_success is None
    assert caplog.messages == ["too large; trying again until it works"]


def test_after_a_dropped_request_the_rest_of_the_push_is_dropped_and_counted(
    start: Start, sender: Sender, cache: SnapshotCache
) -> None:
    sender.answer = lambda _: Result(Outcome.DROPPED, "unreachable")
    start(interval=3600, max_points=7)
    pushes = wait_for_pushes(cache, lambda now: now.exports[Outcome.DROPPED] > 0)
    assert len(sender.requests) == 1
    assert pushes.exports[Outcome.DROPPED] > 2
    assert pushes.points[Outcome.DROPPED] > 14


def test_an_outage_is_two_lines_and_pushing_resumes_by_itself(
    start: Start, sender: Sender, cache: SnapshotCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sender.answer = lambda number: Result(Outcome.DROPPED, "unreachable") if number < 6 else GOOD
    start()
    wait_for_pushes(cache, lambda now: now.exports[Outcome.SUCCESS] > 2)
    assert caplog.messages == [
        "unreachable; trying again until it works",
        "the Collector takes data again after 0 s and 5 failed pushes, the last one: unreachable",
    ]


def test_a_sender_that_hangs_is_left_behind_and_never_called_twice_at_once(
    start: Start, sender: Sender, cache: SnapshotCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_emqx_monitor.readers.otlp._GRACE", 0.0)
    release = threading.Event()

    def hang(_number: int) -> Result:
        release.wait(10)
        return GOOD

    sender.answer = hang
    start(timeout=0.02)
    wait_for_pushes(cache, lambda now: now.exports[Outcome.DROPPED] >= 4)
    assert len(sender.requests) == 1
    release.set()
    wait_for_pushes(cache, lambda now: now.exports[Outcome.SUCCESS] >= 1)


def test_a_push_does_not_wait_for_ever_for_emqx(start: Start, sender: Sender) -> None:
    may_answer = threading.Event()

    def slow() -> Poll:
        may_answer.wait(10)
        return poll(connected("a"))

    start(interval=0.05, source=cache_of(slow))
    sender.wait_for(2)
    assert values(sender.requests[:1])["clients unknown"] == 2
    may_answer.set()


def test_at_the_end_it_collects_and_pushes_once_more(start: Start, sender: Sender) -> None:
    reader = start(interval=3600)
    sender.wait_for(1)
    reader.stop(5)
    assert len(sender.requests) == 2
    assert values(sender.requests[1:])["otlp_exports success"] == 1
    assert sender.shut_down.wait(5)


def test_the_end_comes_in_time_whatever_the_collector_does(start: Start, sender: Sender) -> None:
    release = threading.Event()

    def hang(_number: int) -> Result:
        release.wait(30)
        return GOOD

    sender.answer = hang
    reader = start(interval=3600)
    sender.wait_for(1)
    began = time.monotonic()
    reader.stop(0.2)
    assert time.monotonic() - began < 20
    release.set()


def test_a_schedule_is_that_of_the_configuration_or_the_standard_s() -> None:
    configured = OtlpConfig(interval_seconds=7, timeout_seconds=8, max_points_per_request=9)
    assert schedule_of(configured) == Schedule(7, 8, 9)
    assert schedule_of(OtlpConfig()) == Schedule(60, 10, 5000)


def test_a_resource_names_the_service_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "pod-7")
    assert dict(resource_of("lab").attributes) == {
        "service.name": "otel-emqx-monitor",
        "service.version": "0.1.0",
        "service.instance.id": "pod-7/lab",
    }
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=mine,zone=eu")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "watcher")
    attributes = resource_of("lab").attributes
    assert attributes["service.name"] == "watcher"
    assert attributes["service.instance.id"] == "mine"
    assert attributes["zone"] == "eu"


def test_points_with_very_long_labels_count_as_several(start: Start, sender: Sender) -> None:
    watched = [Watched("A", "a" * 60_000), Watched("B", "b")]
    source = SnapshotCache(
        "broker",
        lambda: poll(connected("b")),
        lambda answered: assess(answered, watched),
        nothing_known(watched),
        Freshness(ttl=15, stale_after=60),
        flags=frozenset({PUSH}),
    )
    start(interval=3600, max_points=100, source=source)
    sender.wait_for(2)
    assert [len(list(points_of(request))) for request in sender.requests[:1]] == [1]


SUBSCRIPTIONS = "enable_subscription_count"


class Emqx:
    """Answers every poll with ``rows``; each poll is a second after the one before."""

    def __init__(self, *rows: Row) -> None:
        self.rows = rows
        self.polled = 1_000.0

    def ask(self) -> Poll:
        self.polled += 1
        return poll(*self.rows, finished_at=self.polled)

    def cache(self, *flags: str) -> SnapshotCache:
        return SnapshotCache(
            "broker",
            self.ask,
            lambda answered: assess(answered, WATCHED),
            nothing_known(WATCHED),
            Freshness(ttl=0, stale_after=60),
            flags=frozenset({PUSH, *flags}),
        )


@pytest.fixture
def emqx() -> Emqx:
    return Emqx(connected("a", subscriptions_cnt=3), connected("b", subscriptions_cnt=4))


def ends(request: bytes) -> list[str]:
    """Return the metrics whose series a request ends, with the last attribute of each."""
    return [
        f"{name} {point.attributes[-1].value.string_value}"
        for name, point in points_of(request)
        if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    ]


def all_ends(sender: Sender) -> list[list[str]]:
    """Return the ends in each request that has some."""
    return [found for found in map(ends, list(sender.requests)) if found]


def wait_for_ends(sender: Sender, count: int = 1) -> list[list[str]]:
    with sender.came:
        assert sender.came.wait_for(lambda: len(all_ends(sender)) >= count, timeout=10)
    return all_ends(sender)


def test_a_series_that_has_ended_is_told_of_once_and_comes_back_as_before(
    start: Start, sender: Sender, emqx: Emqx
) -> None:
    source = emqx.cache(SUBSCRIPTIONS)
    reader = start(source=source)
    sender.wait_for(3)
    assert all_ends(sender) == []
    both, emqx.rows = emqx.rows, emqx.rows[:1]
    assert wait_for_ends(sender) == [["subscriptions b"]]
    sender.wait_for(len(sender.requests) + 3)
    emqx.rows = both
    sender.wait_for(len(sender.requests) + 3)
    assert values(sender.requests[-1:])["subscriptions b"] == 4
    assert all_ends(sender) == [["subscriptions b"]]
    reader.stop(5)
    points = sum(len(list(points_of(request))) for request in sender.requests)
    assert source.current().pushes.points[Outcome.SUCCESS] == points


def test_an_end_has_the_time_of_the_poll_that_tells_of_the_others(
    start: Start, sender: Sender, emqx: Emqx
) -> None:
    start(source=emqx.cache(SUBSCRIPTIONS))
    sender.wait_for(1)
    emqx.rows = emqx.rows[:1]
    wait_for_ends(sender)
    [[number, end]] = [
        (number, point)
        for number, request in enumerate(sender.requests)
        for name, point in points_of(request)
        if point.flags
    ]
    others = [
        point for name, point in points_of(sender.requests[number - 1]) if name == "subscriptions"
    ]
    assert [one.time_unix_nano for one in others] == [end.time_unix_nano]
    assert end.WhichOneof("value") is None


def test_ends_are_in_requests_of_their_own_that_are_not_too_large(
    start: Start, sender: Sender, emqx: Emqx
) -> None:
    start(source=emqx.cache(SUBSCRIPTIONS), max_points=1)
    sender.wait_for(40)
    emqx.rows = ()
    assert wait_for_ends(sender, 2) == [["subscriptions a"], ["subscriptions b"]]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.DROPPED])
def test_an_end_that_does_not_get_there_is_told_again(
    outcome: Outcome, start: Start, sender: Sender, emqx: Emqx
) -> None:
    def answer(number: int) -> Result:
        vain = bool(ends(sender.requests[number - 1])) and len(all_ends(sender)) < 3
        return Result(outcome, "no") if vain else GOOD

    sender.answer = answer
    source = emqx.cache(SUBSCRIPTIONS)
    start(source=source)
    sender.wait_for(1)
    emqx.rows = emqx.rows[:1]
    wait_for_ends(sender, 3)
    sender.wait_for(len(sender.requests) + 4)
    assert all_ends(sender) == [["subscriptions b"]] * 3
    assert source.current().pushes.points[outcome] == 2


def test_an_end_that_is_never_taken_is_given_up(start: Start, sender: Sender, emqx: Emqx) -> None:
    sender.answer = lambda number: (
        Result(Outcome.REFUSED, "no") if ends(sender.requests[number - 1]) else GOOD
    )
    start(source=emqx.cache(SUBSCRIPTIONS))
    sender.wait_for(1)
    emqx.rows = emqx.rows[:1]
    wait_for_ends(sender, MOST_TRIES)
    sender.wait_for(len(sender.requests) + 4)
    assert all_ends(sender) == [["subscriptions b"]] * MOST_TRIES


def test_what_ended_while_no_collector_was_there_is_told_of_afterwards(
    start: Start, sender: Sender, emqx: Emqx
) -> None:
    source = emqx.cache(SUBSCRIPTIONS)
    start(source=source)
    wait_for_pushes(source, lambda now: now.exports[Outcome.SUCCESS] >= 1)
    sender.answer = lambda _: Result(Outcome.DROPPED, "unreachable")
    wait_for_pushes(source, lambda now: now.exports[Outcome.DROPPED] >= 1)
    emqx.rows = emqx.rows[:1]
    dropped = source.current().pushes.exports[Outcome.DROPPED]
    wait_for_pushes(source, lambda now: now.exports[Outcome.DROPPED] >= dropped + 20)
    assert all_ends(sender) == []
    sender.answer = lambda _: GOOD
    assert wait_for_ends(sender) == [["subscriptions b"]]


def test_the_end_of_the_agent_ends_no_series(start: Start, sender: Sender, emqx: Emqx) -> None:
    reader = start(source=emqx.cache(SUBSCRIPTIONS), interval=3600)
    sender.wait_for(1)
    reader.stop(5)
    assert len(sender.requests) == 2
    assert all_ends(sender) == []


def test_another_configuration_ends_the_series_that_it_has_not(sender: Sender, emqx: Emqx) -> None:
    first = Target(emqx.cache(SUBSCRIPTIONS), sender, Resource({}), Schedule(3600, 5, 5000))
    reader = OtlpReader(first)
    reader.start()
    sender.wait_for(1)
    after = Sender()
    reader.change(Target(emqx.cache(), after, Resource({}), Schedule(3600, 5, 5000)))
    assert wait_for_ends(after) == [["subscriptions a", "subscriptions b"]]
    reader.stop(5)
    assert all_ends(sender) == []


def test_senders_are_shut_down_when_others_follow_them_even_those_nothing_was_handed_to(
    sender: Sender, emqx: Emqx
) -> None:
    may_answer = threading.Event()

    def slowly(_number: int) -> Result:
        may_answer.wait(10)
        return GOOD

    sender.answer = slowly
    source, schedule = emqx.cache(), Schedule(3600, 15, 5000)
    reader = OtlpReader(Target(source, sender, Resource({}), schedule))
    reader.start()
    sender.wait_for(1)
    passed_over, last = Sender(), Sender()
    for one in (passed_over, last):
        reader.change(Target(source, one, Resource({}), schedule))
    assert not sender.shut_down.is_set()  # its push is under way
    may_answer.set()
    last.wait_for(1)
    assert sender.shut_down.wait(10)
    assert passed_over.shut_down.wait(10)
    assert passed_over.requests == []
    assert not last.shut_down.is_set()
    reader.stop(5)
    assert last.shut_down.wait(10)


def test_another_resource_ends_all_series_of_the_one_before(sender: Sender, emqx: Emqx) -> None:
    before, now = Resource({"service.name": "before"}), Resource({"service.name": "now"})
    source, schedule = emqx.cache(), Schedule(3600, 5, 5000)
    reader = OtlpReader(Target(source, sender, before, schedule))
    reader.start()
    sender.wait_for(1)
    reader.change(Target(source, sender, now, schedule))
    [told] = wait_for_ends(sender)
    reader.stop(5)
    assert len(told) == len(list(points_of(sender.requests[0])))
    assert [resource_name(one) for one in sender.requests] == ["before", "now", "before", "now"]


def resource_name(request: bytes) -> str:
    [sent] = ExportMetricsServiceRequest.FromString(request).resource_metrics
    return str(sent.resource.attributes[0].value.string_value)
