"""Readings as bytes of OTLP requests (``ExportMetricsServiceRequest``), in bulk.

A data point is a fixed head (start, time, value), packed in one go, and the attributes, whose bytes
are made once for each client. Field numbers are those of ``opentelemetry/proto/metrics/v1``, fields
that hold protobuf's default are left out, as its own serializer does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from struct import Struct

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_emqx_monitor.columns import Block, Group, nanoseconds
from otel_emqx_monitor.meter import Instrument, Reading, Scope, Sort
from otel_emqx_monitor.readers.otlp_fields import attribute_bytes, field, varint
from otel_emqx_monitor.readers.shown import Shown

# Tags: the field number shifted by three, and the wire type (1: 8 bytes, 2: length and bytes).
_RESOURCE_METRICS = b"\x0a"  # ExportMetricsServiceRequest 1
_RESOURCE, _SCOPE_METRICS = b"\x0a", b"\x12"  # ResourceMetrics 1, 2
_SCOPE, _METRIC, _SCHEMA_URL = b"\x0a", b"\x12", b"\x1a"  # ScopeMetrics 1, 2, 3
_NAME, _DESCRIPTION, _UNIT = b"\x0a", b"\x12", b"\x1a"  # Metric 1, 2, 3
_GAUGE, _SUM = b"\x2a", b"\x3a"  # Metric 5, 7
_POINT = b"\x0a"  # Gauge 1, Sum 1
_CUMULATIVE, _MONOTONIC = b"\x10\x02", b"\x18\x01"  # Sum 2, 3
_NO_RECORDED_VALUE = b"\x40\x01"  # NumberDataPoint 8, flags
_START, _TIME, _DOUBLE, _INT = 0x11, 0x19, 0x21, 0x31  # NumberDataPoint 2, 3, 4, 6

#: What a point has at most unless its labels are very long; 100 to 200 bytes are common.
_USUAL_POINT_BYTES = 600

_INT_POINT, _INT_POINT_FROM = Struct("<BQBq"), Struct("<BQBQBq")
_DOUBLE_POINT, _DOUBLE_POINT_FROM = Struct("<BQBd"), Struct("<BQBQBd")
_END = Struct("<BQ")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent, and how many data points it has."""

    body: bytes
    points: int


def requests(
    readings: Iterable[Reading], resource: Resource, now: float, max_points: int
) -> Iterator[Request]:
    """Yield the readings in requests of at most ``max_points`` points of usual size.

    Points with very long labels count as several, so that a request stays as small as its number of
    points promises: a client id may have 65,535 bytes, and a Collector looks at bytes.

    A point's time is that of its column, else ``now`` (seconds since the epoch). Sums are
    cumulative, and a series' start time is its own; the start is never after the point, which a
    broker whose clock is ahead would otherwise cause.
    """
    envelope = _Envelope(resource)
    metrics: list[tuple[Scope, bytes]] = []
    count, room = 0, max_points
    for reading in readings:
        points = _points(reading, now)
        head = _head(reading.instrument)
        weight = 1 + max(map(len, points)) // _USUAL_POINT_BYTES if points else 1
        begin = 0
        while begin < len(points):
            if metrics and room < weight:
                yield Request(envelope.around(metrics), count)
                metrics, count, room = [], 0, max_points
            part = points[begin : begin + max(1, room // weight)]
            metrics.append((reading.scope, _metric(reading.instrument, head, part)))
            begin += len(part)
            count += len(part)
            room -= len(part) * weight
    if metrics:
        yield Request(envelope.around(metrics), count)


def ending_requests(over: Iterable[Shown], now: float, max_points: int) -> Iterator[Request]:
    """Yield requests that tell of the end of series: points with a flag in place of a value.

    Each is in a metric of its own. The Collector's Prometheus exporter ends the series of such a
    point and passes over all that follow it in the same metric, values too (accumulator.go up to
    0.155 at least). They have no start: it is optional, and nothing was counted.
    """
    for resource, of_resource in groupby(over, attrgetter("resource")):
        envelope = _Envelope(resource)
        metrics: list[tuple[Scope, bytes]] = []
        room = max_points
        for one in of_resource:
            head = _head(one.instrument)
            for point in _ends(one, now):
                metric = _metric(one.instrument, head, [point])
                weight = 1 + len(metric) // _USUAL_POINT_BYTES
                if metrics and room < weight:
                    yield Request(envelope.around(metrics), len(metrics))
                    metrics, room = [], max_points
                metrics.append((one.scope, metric))
                room -= weight
        yield Request(envelope.around(metrics), len(metrics))


def _ends(one: Shown, now: float) -> Iterator[bytes]:
    time = _END.pack(_TIME, nanoseconds(now if one.time is None else one.time))
    extra = attribute_bytes(one.extra) + _NO_RECORDED_VALUE
    return (field(_POINT, time + attribute_bytes(labels) + extra) for labels in one.members)


class _Envelope:
    """What stands around the metrics of a request: the resource and the scopes."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._scopes: dict[int, bytes] = {}
        self._schema_urls: dict[int, bytes] = {}
        self._resource_bytes = b""

    def around(self, metrics: Sequence[tuple[Scope, bytes]]) -> bytes:
        by_scope: dict[int, list[bytes]] = {}
        for scope, metric in metrics:
            if id(scope) not in self._scopes:
                self._encode(scope)
            by_scope.setdefault(id(scope), [self._scopes[id(scope)]]).append(metric)
        scopes = b"".join(
            field(_SCOPE_METRICS, b"".join([*parts, self._schema_urls[scope]]))
            for scope, parts in by_scope.items()
        )
        return field(_RESOURCE_METRICS, self._resource_bytes + scopes)

    def _encode(self, scope: Scope) -> None:
        """Have the official encoder make the bytes of the resource and of a scope."""
        empty = ScopeMetrics(
            InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes),
            [],
            schema_url="",
        )
        data = MetricsData([ResourceMetrics(self._resource, [empty], schema_url="")])
        [encoded] = encode_metrics(data).resource_metrics
        self._resource_bytes = field(_RESOURCE, encoded.resource.SerializeToString())
        [scope_metrics] = encoded.scope_metrics
        self._scopes[id(scope)] = field(_SCOPE, scope_metrics.scope.SerializeToString())
        url = (scope.schema_url or "").encode()
        self._schema_urls[id(scope)] = field(_SCHEMA_URL, url) if url else b""


def _head(instrument: Instrument) -> bytes:
    texts = (
        (_NAME, instrument.name),
        (_DESCRIPTION, instrument.description),
        (_UNIT, instrument.unit),
    )
    return b"".join(field(tag, text.encode()) for tag, text in texts if text)


def _metric(instrument: Instrument, head: bytes, points: Sequence[bytes]) -> bytes:
    data = b"".join(points)
    if instrument.sort is Sort.GAUGE:
        return field(_METRIC, head + field(_GAUGE, data))
    tail = _CUMULATIVE + (_MONOTONIC if instrument.sort is Sort.SUM else b"")
    return field(_METRIC, head + field(_SUM, data + tail))


def _points(reading: Reading, now: float) -> list[bytes]:
    moment = reading.column.time
    time = nanoseconds(now if moment is None else moment)
    return [point for block in reading.column.blocks for point in _block(block, time)]


def _block(block: Block, time: int) -> list[bytes]:
    extra = attribute_bytes(block.extra)
    attributes = _group(block.group)
    values = block.values
    if all(type(value) is int for value in values):
        kind, plain, dated = _INT, _INT_POINT.pack, _INT_POINT_FROM.pack
    elif all(type(value) is float for value in values):
        kind, plain, dated = _DOUBLE, _DOUBLE_POINT.pack, _DOUBLE_POINT_FROM.pack
    else:
        return _mixed(block, time)
    if block.starts is None:
        size = _INT_POINT.size + len(extra)
        return [
            _POINT + varint(size + len(own)) + plain(_TIME, time, kind, value) + own + extra
            for own, value in zip(attributes, values, strict=True)
        ]
    starts = [start for start in block.starts if start is not None and start > 0]
    if len(starts) < len(values):
        return _mixed(block, time)
    size = _INT_POINT_FROM.size + len(extra)
    return [
        _POINT
        + varint(size + len(own))
        + dated(_START, min(start, time), _TIME, time, kind, value)
        + own
        + extra
        for own, value, start in zip(attributes, values, starts, strict=True)
    ]


def _mixed(block: Block, time: int) -> list[bytes]:
    """Encode a block one by one: of integers and others, or with starts that are not all known."""
    starts = block.starts or [None] * len(block.values)
    return [
        point
        for labels, value, start in zip(block.group.members, block.values, starts, strict=True)
        for point in _block(
            Block(
                Group([labels]),
                [_plain(value)],
                block.extra,
                None if start is None or start <= 0 else [start],
            ),
            time,
        )
    ]


def _plain(value: float) -> int | float:
    return int(value) if isinstance(value, int) else float(value)


def _group(group: Group) -> Sequence[bytes]:
    if group.otlp is None:
        group.otlp = [attribute_bytes(labels) for labels in group.members]
    return group.otlp
