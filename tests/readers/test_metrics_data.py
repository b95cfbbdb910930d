import io
import math

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    Gauge,
    InMemoryMetricReader,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    Sum,
)
from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.columns import Block, Column, Group, Labels, Point
from otel_emqx_monitor.meter import BulkMeterProvider, Instrument, Reading, Scope, Sort
from otel_emqx_monitor.readers.metrics_data import attach, batches, start_nanoseconds

RESOURCE = Resource({"service.name": "test"})
POINTS = [Point({"client": "x"}, 3, None)]
SCOPE = Scope("lib", "1.2", None, None)
OTHER = Scope("other", None, "http://schema", None)


def reading(name: str, size: int, sort: Sort = Sort.GAUGE, scope: Scope = SCOPE) -> Reading:
    instrument = Instrument(name, sort, "By", "help", [])
    group = Group([Labels.of({"i": str(index)}) for index in range(size)])
    block = Block(group, list(range(size)), starts=[5_000_000_000] * size)
    return Reading(scope, instrument, Column([block], time=7.5))


def names(data: MetricsData) -> list[tuple[str, int]]:
    return [
        (metric.name, len(metric.data.data_points))
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
    ]


def test_a_reading_becomes_a_metric_with_its_own_times() -> None:
    group = Group([Labels.of({"a": "b"}), Labels.of({"c": "d"})])
    column = Column([Block(group, [3, 4.5], starts=[5_000_000_000, None])], time=7.5)
    counter = Reading(SCOPE, Instrument("c", Sort.SUM, "By", "help", []), column)
    [batch] = batches([counter], RESOURCE, now=99.0, max_points=10)
    [resource_metrics] = batch.data.resource_metrics
    assert resource_metrics.resource is RESOURCE
    [scope_metrics] = resource_metrics.scope_metrics
    assert (scope_metrics.scope.name, scope_metrics.scope.version) == ("lib", "1.2")
    [metric] = scope_metrics.metrics
    assert (metric.name, metric.unit, metric.description) == ("c", "By", "help")
    assert metric.data == Sum(
        [
            NumberDataPoint({"a": "b"}, 5_000_000_000, 7_500_000_000, 3),
            NumberDataPoint({"c": "d"}, 0, 7_500_000_000, 4.5),
        ],
        AggregationTemporality.CUMULATIVE,
        is_monotonic=True,
    )


def test_a_column_without_a_time_is_of_now() -> None:
    gauge = Reading(SCOPE, Instrument("g", Sort.GAUGE, "", "", []), Column.of([Point({}, 1, None)]))
    [batch] = batches([gauge], RESOURCE, now=99.0, max_points=10)
    [metric] = batch.data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.data == Gauge([NumberDataPoint({}, 0, 99_000_000_000, 1)])


def test_a_sum_that_may_fall_is_not_monotonic() -> None:
    [batch] = batches([reading("u", 1, Sort.UP_DOWN_SUM)], RESOURCE, now=9.0, max_points=10)
    data = batch.data.resource_metrics[0].scope_metrics[0].metrics[0].data
    assert isinstance(data, Sum)
    assert not data.is_monotonic


def test_requests_are_filled_across_metrics() -> None:
    readings = [reading("a", 3), reading("b", 4), reading("c", 1)]
    split = list(batches(readings, RESOURCE, now=9.0, max_points=5))
    assert [names(batch.data) for batch in split] == [[("a", 3), ("b", 2)], [("b", 2), ("c", 1)]]
    assert [batch.points for batch in split] == [5, 3]


def test_metrics_of_two_libraries_stay_apart() -> None:
    readings = [reading("a", 1), reading("b", 1, scope=OTHER), reading("c", 1)]
    [batch] = batches(readings, RESOURCE, now=9.0, max_points=10)
    scopes = batch.data.resource_metrics[0].scope_metrics
    assert [(scope.scope.name, [m.name for m in scope.metrics]) for scope in scopes] == [
        ("lib", ["a", "c"]),
        ("other", ["b"]),
    ]


def test_nothing_is_no_request() -> None:
    assert list(batches([], RESOURCE, now=9.0, max_points=5)) == []


@given(st.lists(st.integers(1, 20), max_size=6), st.integers(1, 30))
def test_no_point_is_lost_doubled_or_moved(sizes: list[int], max_points: int) -> None:
    readings = [reading(f"m{index}", size) for index, size in enumerate(sizes)]
    found: list[tuple[str, float]] = []
    for batch in batches(readings, RESOURCE, now=9.0, max_points=max_points):
        metrics = batch.data.resource_metrics[0].scope_metrics[0].metrics
        points = [
            (metric.name, point.value)
            for metric in metrics
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        ]
        assert len(points) == batch.points <= max_points
        found += points
    assert found == [(f"m{i}", value) for i, size in enumerate(sizes) for value in range(size)]


def test_a_start_is_never_after_its_point_though_the_broker_s_clock_is_ahead() -> None:
    assert start_nanoseconds(8_000_000_000, 7_500_000_000) == 7_500_000_000
    assert start_nanoseconds(7_000_000_000, 7_500_000_000) == 7_000_000_000
    assert start_nanoseconds(None, 7_500_000_000) == 0


def test_readers_and_exporters_of_the_sdk_read_it() -> None:
    provider = BulkMeterProvider()
    provider.get_meter("lib").create_observable_counter("c", [lambda _: Column.of(POINTS)])
    in_memory = InMemoryMetricReader()
    attach(in_memory, provider, RESOURCE)
    data = in_memory.get_metrics_data()
    assert data is not None
    assert names(data) == [("c", 1)]

    out = io.StringIO()
    periodic = PeriodicExportingMetricReader(ConsoleMetricExporter(out=out), math.inf)
    attach(periodic, provider, RESOURCE)
    periodic.collect()
    periodic.shutdown()
    assert '"value": 3' in out.getvalue()
    assert '"client": "x"' in out.getvalue()
