import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AttributeValue

from otel_emqx_monitor.columns import NO_LABELS, Block, Column, Group, Labels, Point
from otel_emqx_monitor.meter import Instrument, Reading, Scope, Sort
from otel_emqx_monitor.readers.otlp_bytes import (
    Request,
    ending_requests,
    requests,
)
from otel_emqx_monitor.readers.otlp_fields import attribute_bytes
from otel_emqx_monitor.readers.shown import Shown

SCOPE = Scope("lib", "1.2", None, None)
RESOURCE = Resource({"service.name": "test"})

#: Seconds since the epoch, and the same in nanoseconds.
NOW, NOW_NANOSECONDS = 1_790_000_000.5, 1_790_000_000_500_000_000

NO_LIMIT = 10**9


def reading(
    column: Column,
    *,
    name: str = "m",
    sort: Sort = Sort.GAUGE,
    unit: str = "",
    description: str = "",
    scope: Scope = SCOPE,
) -> Reading:
    return Reading(scope, Instrument(name, sort, unit, description, []), column)


def numbers(count: int, name: str = "m") -> Reading:
    """Return a reading of the integers from 0 on, as many as ``count``."""
    group = Group([Labels.of({"n": number}) for number in range(count)])
    return reading(Column([Block(group, list(range(count)))]), name=name)


def message(request: Request) -> ResourceMetrics:
    """Parse a request; its bytes have to be those that protobuf itself would write."""
    parsed = ExportMetricsServiceRequest.FromString(request.body)
    assert parsed.SerializeToString(deterministic=True) == request.body
    resource_metrics: ResourceMetrics
    [resource_metrics] = parsed.resource_metrics
    return resource_metrics


def encode(*readings: Reading) -> ResourceMetrics:
    [request] = requests(readings, RESOURCE, NOW, NO_LIMIT)
    assert request.points == sum(len(one.column) for one in readings)
    return message(request)


def metric(one: Reading) -> Metric:
    encoded: Metric
    [encoded] = encode(one).scope_metrics[0].metrics
    return encoded


def points(one: Reading) -> Sequence[NumberDataPoint]:
    encoded: Any = metric(one)
    found: Sequence[NumberDataPoint] = (
        encoded.gauge if encoded.HasField("gauge") else encoded.sum
    ).data_points
    return found


def point(one: Point, sort: Sort = Sort.SUM) -> NumberDataPoint:
    [encoded] = points(reading(Column.of([one]), sort=sort))
    return encoded


@dataclass
class Piece:
    """What a test looks at in a request: its count, and the numbers in it by metric."""

    points: int
    values: Mapping[str, Sequence[int]] = field(default_factory=dict)


def pieces(readings: Sequence[Reading], max_points: int) -> list[Piece]:
    return [
        Piece(
            request.points,
            {
                one.name: [each.as_int for each in one.gauge.data_points]
                for one in message(request).scope_metrics[0].metrics
            },
        )
        for request in requests(readings, RESOURCE, NOW, max_points)
    ]


def test_a_gauge_has_its_head_and_its_points() -> None:
    column = Column([Block(Group([Labels.of({"id": "a"})]), [7])], time=1_000.25)
    encoded = metric(reading(column, name="g", unit="By", description="What it is"))
    assert (encoded.name, encoded.unit, encoded.description) == ("g", "By", "What it is")
    [only] = encoded.gauge.data_points
    assert only == NumberDataPoint(
        time_unix_nano=1_000_250_000_000,
        as_int=7,
        attributes=[KeyValue(key="id", value=AnyValue(string_value="a"))],
    )


@pytest.mark.parametrize("sort, monotonic", [(Sort.SUM, True), (Sort.UP_DOWN_SUM, False)])
def test_sums_are_cumulative_and_only_counters_monotonic(sort: Sort, monotonic: bool) -> None:
    encoded = metric(reading(Column.of([Point({}, 1, None)]), sort=sort))
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert encoded.sum.aggregation_temporality == cumulative
    assert encoded.sum.is_monotonic is monotonic


def test_points_of_a_column_without_time_have_that_of_the_push() -> None:
    assert point(Point({}, 1, None)).time_unix_nano == NOW_NANOSECONDS


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_integers_stay_integers(value: int) -> None:
    encoded = point(Point({}, value, None))
    assert encoded.WhichOneof("value") == "as_int"
    assert encoded.as_int == value


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, 1e300, 5e-324, math.inf, -math.inf, math.nan])
def test_floats_stay_floats(value: float) -> None:
    encoded = point(Point({}, value, None))
    assert encoded.WhichOneof("value") == "as_double"
    assert repr(encoded.as_double) == repr(value)


def test_a_truth_is_the_integer_that_it_is_for_the_official_encoder() -> None:
    encoded = point(Point({}, True, None))
    assert (encoded.WhichOneof("value"), encoded.as_int) == ("as_int", 1)


@pytest.mark.parametrize("sort", list(Sort))
def test_integers_and_floats_stand_side_by_side_in_a_block(sort: Sort) -> None:
    values = [1, 2.5, 3, math.inf]
    group = Group([Labels.of({"n": number}) for number in range(len(values))])
    starts = None if sort is Sort.GAUGE else [5, None, 7, 8]
    encoded = points(reading(Column([Block(group, values, starts=starts)]), sort=sort))
    assert [one.WhichOneof("value") for one in encoded] == [
        "as_int",
        "as_double",
        "as_int",
        "as_double",
    ]
    assert [one.as_int or one.as_double for one in encoded] == values
    assert [one.attributes[0].value.int_value for one in encoded] == [0, 1, 2, 3]
    expected = [0, 0, 0, 0] if starts is None else [5, 0, 7, 8]
    assert [one.start_time_unix_nano for one in encoded] == expected


def test_starts_are_each_series_own_and_left_out_where_not_known() -> None:
    group = Group([Labels.of({"n": number}) for number in range(3)])
    for starts in ([11, 12, 13], [11, None, 13], [None, None, None]):
        block = Block(group, [1, 2, 3], starts=starts)
        encoded = points(reading(Column([block]), sort=Sort.SUM))
        assert [one.start_time_unix_nano for one in encoded] == [start or 0 for start in starts]


@pytest.mark.parametrize(
    "start, expected",
    [
        (NOW_NANOSECONDS - 1, NOW_NANOSECONDS - 1),
        (NOW_NANOSECONDS, NOW_NANOSECONDS),
        (NOW_NANOSECONDS + 1, NOW_NANOSECONDS),
        (2**80, NOW_NANOSECONDS),
    ],
)
def test_a_start_after_the_point_is_that_of_the_point(start: int, expected: int) -> None:
    assert point(Point({}, 1, start)).start_time_unix_nano == expected


@pytest.mark.parametrize("start", [0, -1, -(2**70)])
def test_a_start_that_the_format_cannot_carry_is_not_known(start: int) -> None:
    assert point(Point({}, 1, start)).start_time_unix_nano == 0


@pytest.mark.parametrize(
    "value, expected",
    [
        ("", AnyValue(string_value="")),
        ("größe-温度-🌡\x00", AnyValue(string_value="größe-温度-🌡\x00")),
        (True, AnyValue(bool_value=True)),
        (False, AnyValue(bool_value=False)),
        (0, AnyValue(int_value=0)),
        (-7, AnyValue(int_value=-7)),
        (2.5, AnyValue(double_value=2.5)),
        (b"\x00\xff", AnyValue(bytes_value=b"\x00\xff")),
        ([], AnyValue(array_value=ArrayValue())),
        (
            ["a", "b"],
            AnyValue(
                array_value=ArrayValue(
                    values=[AnyValue(string_value="a"), AnyValue(string_value="b")]
                )
            ),
        ),
        ((1, 2.5), AnyValue(
            array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(double_value=2.5)])
        )),
    ],
)  # fmt: skip
def test_attributes_keep_their_types(value: AttributeValue, expected: AnyValue) -> None:
    [attribute] = point(Point({"a": value}, 1, None)).attributes
    assert (attribute.key, attribute.value) == ("a", expected)


def test_extra_attributes_follow_those_of_the_series() -> None:
    group = Group([Labels.of({"id": "a"}), NO_LABELS])
    column = Column([Block(group, [1, 2], Labels.of({"way": "in", "qos": "0"}))])
    encoded = points(reading(column))
    assert [[each.key for each in one.attributes] for one in encoded] == [
        ["id", "way", "qos"],
        ["way", "qos"],
    ]


def test_the_bytes_of_attributes_are_made_once_and_shared() -> None:
    labels = Labels.of({"id": "a"})
    encoded = attribute_bytes(labels)
    assert attribute_bytes(labels) is encoded
    group = Group([labels])
    encode(reading(Column([Block(group, [1])])))
    assert group.otlp is not None
    assert group.otlp[0] is encoded


#: Lengths of an attribute's value with which some length around it (of the value, the attribute,
#: the point, the metric, the request) is on either side of where it takes one more byte.
AROUND = [*range(60, 132), *range(4_040, 4_100), *range(16_310, 16_390), 2**21 - 1, 2**21]


@pytest.mark.parametrize("sort", [Sort.GAUGE, Sort.SUM])
def test_lengths_of_any_size_are_written_right(sort: Sort) -> None:
    for length in AROUND:
        text = "x" * length
        found = point(Point({"a": text}, 1, 5), sort)
        assert found.attributes[0].value.string_value == text, length
        assert found.as_int == 1


@pytest.mark.parametrize("length", [127, 128, 4_095, 4_096, 16_383, 16_384, 2**21 - 1, 2**21])
def test_a_point_of_any_length_is_written_right(length: int) -> None:
    around = len(attribute_bytes(Labels.of({"a": ""}))) + 18
    for shorter in range(10):
        text = "x" * (length - around - shorter)
        [attribute] = point(Point({"a": text}, 1, None)).attributes
        assert attribute.value.string_value == text


def test_names_and_descriptions_may_be_long_and_in_any_script() -> None:
    encoded = metric(
        reading(Column.of([Point({}, 1, None)]), name="m" * 255, description="温" * 9_000)
    )
    assert encoded.name == "m" * 255
    assert encoded.description == "温" * 9_000


def test_requests_are_full_but_for_the_last() -> None:
    assert pieces([numbers(5)], 2) == [
        Piece(2, {"m": [0, 1]}),
        Piece(2, {"m": [2, 3]}),
        Piece(1, {"m": [4]}),
    ]


def test_a_request_may_end_in_the_midst_of_a_metric() -> None:
    assert pieces([numbers(2, "a"), numbers(4, "b"), numbers(1, "c")], 3) == [
        Piece(3, {"a": [0, 1], "b": [0]}),
        Piece(3, {"b": [1, 2, 3]}),
        Piece(1, {"c": [0]}),
    ]


@pytest.mark.parametrize("max_points, sizes", [(1, [1] * 6), (5, [5, 1]), (6, [6]), (7, [6])])
def test_no_request_is_larger_than_allowed_and_none_is_empty(
    max_points: int, sizes: list[int]
) -> None:
    readings = [numbers(3, "a"), numbers(3, "b")]
    assert [piece.points for piece in pieces(readings, max_points)] == sizes


def test_empty_columns_make_neither_metrics_nor_requests() -> None:
    empty = [reading(Column([])), reading(Column([Block(Group([]), [])]))]
    assert pieces(empty, 5) == []
    assert pieces([*empty, numbers(1, "a"), *empty], 1) == [Piece(1, {"a": [0]})]


def test_every_request_names_the_resource_and_the_scope() -> None:
    resource = Resource({"service.name": "test", "number": 7, "list": ["a", "b"]})
    scope = Scope("lib", "1.2", "https://example.org/schema", {"team": "x", "n": 1})
    encoded = list(
        requests([numbers(3), reading(numbers(2).column, scope=scope)], resource, NOW, 1)
    )
    assert len(encoded) == 5
    for request in encoded:
        parsed = message(request)
        assert {one.key for one in parsed.resource.attributes} == {"service.name", "number", "list"}
        [scope_metrics] = parsed.scope_metrics
        assert (scope_metrics.scope.name, scope_metrics.scope.version) == ("lib", "1.2")
    last = message(encoded[-1]).scope_metrics[0]
    assert last.schema_url == "https://example.org/schema"
    assert {one.key: one.value for one in last.scope.attributes} == {
        "team": AnyValue(string_value="x"),
        "n": AnyValue(int_value=1),
    }
    assert message(encoded[0]).scope_metrics[0].schema_url == ""


def test_metrics_of_two_scopes_stand_in_two_groups() -> None:
    one = Scope("one", None, "https://example.org/1", None)
    two = Scope("two", None, None, None)
    column = numbers(1).column
    parsed = encode(
        *(
            reading(column, name=name, scope=scope)
            for name, scope in [("a", one), ("b", two), ("c", one), ("d", two)]
        )
    )
    assert [
        (group.scope.name, group.schema_url, [metric.name for metric in group.metrics])
        for group in parsed.scope_metrics
    ] == [("one", "https://example.org/1", ["a", "c"]), ("two", "", ["b", "d"])]


def test_scopes_that_are_alike_but_not_the_same_are_not_mixed_up() -> None:
    alike = [Scope("lib", None, url, None) for url in ("https://example.org/1", "", None)]
    parsed = encode(*(reading(numbers(1).column, scope=scope) for scope in alike))
    assert [group.schema_url for group in parsed.scope_metrics] == ["https://example.org/1", "", ""]


def test_an_empty_resource_and_a_bare_scope_are_written_as_protobuf_writes_them() -> None:
    bare = reading(numbers(1).column, scope=Scope("", None, None, None))
    [request] = requests([bare], Resource({}), NOW, NO_LIMIT)
    assert message(request).scope_metrics[0].metrics[0].name == "m"


def shown(
    *ids: object,
    name: str = "m",
    sort: Sort = Sort.GAUGE,
    time: float | None = None,
    resource: Resource = RESOURCE,
) -> Shown:
    instrument = Instrument(name, sort, "By", "What it is", [])
    members = [Labels.of({"id": str(one)}) for one in ids]
    return Shown(resource, SCOPE, instrument, Labels.of({"way": "in"}), members, time)


@pytest.mark.parametrize("sort", list(Sort))
def test_the_end_of_a_series_is_a_point_that_has_a_flag_and_no_value(sort: Sort) -> None:
    over = [shown("a", sort=sort, time=1_000.25)]
    [request] = ending_requests(over, NOW, NO_LIMIT)
    assert request.points == 1
    [encoded] = message(request).scope_metrics[0].metrics
    assert (encoded.name, encoded.unit, encoded.description) == ("m", "By", "What it is")
    assert encoded.HasField("gauge" if sort is Sort.GAUGE else "sum")
    assert encoded.sum.is_monotonic is (sort is Sort.SUM)
    [only] = (encoded.gauge if sort is Sort.GAUGE else encoded.sum).data_points
    assert only == NumberDataPoint(
        time_unix_nano=1_000_250_000_000,
        attributes=[
            KeyValue(key="id", value=AnyValue(string_value="a")),
            KeyValue(key="way", value=AnyValue(string_value="in")),
        ],
        flags=DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK,
    )


def test_an_end_without_a_time_has_that_of_the_push() -> None:
    [request] = ending_requests([shown("a")], NOW, NO_LIMIT)
    [encoded] = message(request).scope_metrics[0].metrics
    assert encoded.gauge.data_points[0].time_unix_nano == NOW_NANOSECONDS


def ends(over: Sequence[Shown], max_points: int) -> list[list[str]]:
    """Return the ids in each request; every end has a metric of its own."""
    found = []
    for request in ending_requests(over, NOW, max_points):
        metrics = message(request).scope_metrics[0].metrics
        points = [point for one in metrics for point in one.gauge.data_points]
        assert len(metrics) == len(points) == request.points
        found.append([point.attributes[0].value.string_value for point in points])
    return found


def test_every_end_has_a_metric_of_its_own_and_requests_are_no_larger_than_allowed() -> None:
    assert ends([], 5) == []
    assert ends([shown(1, 2, 3), shown(4, name="n")], 4) == [["1", "2", "3", "4"]]
    assert ends([shown(1, 2, 3), shown(4, 5, name="n")], 2) == [["1", "2"], ["3", "4"], ["5"]]
    assert ends([shown("x" * 1_500, 2, 3)], 3) == [["x" * 1_500], ["2", "3"]]


def test_ends_of_two_resources_are_two_requests() -> None:
    other = Resource({"service.name": "other"})
    found = list(ending_requests([shown(1), shown(2, resource=other)], NOW, NO_LIMIT))
    assert [
        message(one).resource.attributes[0].value.string_value for one in found
    ] == ["test", "other"]  # fmt: skip
