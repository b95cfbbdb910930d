"""The bulk encodings give what the official path gives, on whatever clients there may be."""

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter, ObservableGauge
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.rows import Poll, Row
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.instruments import OVERDUE, PUSH, STATE, counted_by, register
from otel_emqx_monitor.meter import BulkMeterProvider, Reading
from otel_emqx_monitor.readers.exposition import OPENMETRICS, TEXT, Format, family
from otel_emqx_monitor.readers.metrics_data import batches
from otel_emqx_monitor.readers.otlp_bytes import requests
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.tracker import Habits
from tests.fleets import CALM, FixedSource, tracker

EVERY_FLAG = frozenset(
    {
        PUSH,
        OVERDUE,
        STATE,
        *(name for name in PrometheusConfig.model_fields if name.startswith("enable_")),
    }
)
RESOURCE = Resource({"service.name": "test", "number": 7, "list": ["a", "b"]})
NO_LIMIT = 10**9

TIMES = ["connected_at", "created_at", "disconnected_at"]
NAMES = ["username", "node"]
SWITCHES = ["clean_start"]
COUNTS = [
    name
    for name in Row.__struct_fields__
    if name not in {"clientid", "connected", *TIMES, *NAMES, *SWITCHES}
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
INSTANTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 (the zone is given beside it)
    datetime(2100, 1, 1),  # noqa: DTZ001 (the same)
    timezones=st.just(UTC),
)
ROWS = st.fixed_dictionaries(
    {"connected": st.sampled_from([True, False, None])},
    optional={
        **{name: st.none() | INSTANTS for name in TIMES},
        **{name: st.none() | TEXTS for name in NAMES},
        **{name: st.none() | st.booleans() for name in SWITCHES},
        **{name: st.none() | st.integers(0, 2**63 - 1) for name in COUNTS},
    },
)
CLIENTS = st.dictionaries(TEXTS, st.tuples(TEXTS, st.none() | ROWS), max_size=6)


def snapshot_of(
    clients: dict[str, tuple[str, dict[str, Any] | None]], memory: bool = False
) -> Snapshot:
    watched = [
        Watched(alias, client_id, 'br"oker', expected_every=60)
        for client_id, (alias, _) in clients.items()
    ]
    rows = {
        client_id: Row(clientid=client_id, **fields)
        for client_id, (_, fields) in clients.items()
        if fields is not None
    }
    habits = Habits(counted_by(EVERY_FLAG) if memory else None, info=True)
    following = tracker(*watched, habits=habits)
    fleet = following.apply(Poll(rows, 5e9, 0.1))
    if memory:  # half of the clients are gone by the next poll, and are remembered
        left = {client_id: rows[client_id] for client_id in list(rows)[::2]}
        fleet = following.apply(Poll(left, 5e9 + 15, 0.1))
    return Snapshot('br"oker', fleet, CALM, started_at=500.0)


def bulk(snapshot: Snapshot) -> list[Reading]:
    provider = BulkMeterProvider()
    register(provider.get_meter("lib", "1"), FixedSource(snapshot, EVERY_FLAG))
    return provider.collect()


def official(snapshot: Snapshot, *, openmetrics: bool) -> str:
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(
        disable_target_info=True,
        scope_info_enabled=False,
        registry=registry,
        cardinality_limits={ObservableCounter: NO_LIMIT, ObservableGauge: NO_LIMIT},
    )
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    register(provider.get_meter("lib", "1"), FixedSource(snapshot, EVERY_FLAG))
    generate: Any = generate_openmetrics if openmetrics else generate_latest
    text: bytes = generate(registry)
    provider.shutdown()
    return text.decode()


def ours(snapshot: Snapshot, output: Format) -> str:
    return b"".join([*(family(one, output) for one in bulk(snapshot)), output.end]).decode()


def samples(families: Any) -> dict[Any, float]:
    """Return the samples; as floats, since the official path rounds great integers to them.

    An empty label is none to Prometheus; the official path gives all samples the same labels.
    """
    return {
        (one.type, sample.name, *_told(sample.labels)): float(sample.value)
        for one in families
        for sample in one.samples
    }


def _told(labels: dict[str, str]) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in labels.items() if value)


def heads(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith("# ")]


@settings(max_examples=50)  # the official path takes its time
@given(CLIENTS, st.booleans())
def test_text_has_the_same_samples_and_heads(clients: dict[str, Any], memory: bool) -> None:
    snapshot = snapshot_of(clients, memory)
    text, oracle = ours(snapshot, TEXT), official(snapshot, openmetrics=False)
    assert samples(parse_text(text)) == samples(parse_text(oracle))
    assert heads(text) == heads(oracle)


@settings(max_examples=50)
@given(CLIENTS, st.booleans())
def test_openmetrics_has_the_same_samples_and_heads(clients: dict[str, Any], memory: bool) -> None:
    snapshot = snapshot_of(clients, memory)
    text, oracle = ours(snapshot, OPENMETRICS), official(snapshot, openmetrics=True)
    parse: Any = parse_openmetrics
    assert samples(parse(text)) == samples(parse(oracle))
    assert heads(text) == heads(oracle)


@given(st.integers(0, 2**63 - 1))
def test_integers_are_written_in_full(value: int) -> None:
    snapshot = snapshot_of({"a": ("A", {"connected": True, "recv_oct": value})})
    [written] = re.findall(r"bytes_total\{.*\} (.*)", ours(snapshot, TEXT))
    assert written == str(value)


@given(CLIENTS, st.booleans(), st.integers(1, 40))
def test_otlp_is_the_same_message_by_message(
    clients: dict[str, Any], memory: bool, max_points: int
) -> None:
    readings = bulk(snapshot_of(clients, memory))
    now = 6e9
    encoded = list(requests(readings, RESOURCE, now, max_points))
    expected = list(batches(readings, RESOURCE, now, max_points))
    assert [one.points for one in encoded] == [one.points for one in expected]
    for one, oracle in zip(encoded, expected, strict=True):
        assert ExportMetricsServiceRequest.FromString(one.body) == encode_metrics(oracle.data)
