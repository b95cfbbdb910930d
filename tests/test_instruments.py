from dataclasses import replace

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Client, Fleet, Memory, State, Watched
from otel_emqx_monitor.instruments import METRICS, enabled, fields_for, register
from otel_emqx_monitor.metric import Metric
from otel_emqx_monitor.snapshot import Snapshot
from tests.fleets import CALM, FixedSource, connected, snapshot

DEFAULT = PrometheusConfig().flags
EVERY = frozenset(name for name in PrometheusConfig.model_fields if name.startswith("enable_"))


def metric(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)


def observed(name: str, current: Snapshot) -> list[tuple[dict[str, object], float]]:
    return [
        (dict(point.attributes), point.value) for point in metric(name).observe(current).points()
    ]


def of(client_id: str, **extra: str) -> dict[str, str]:
    return {"alias": client_id.upper(), "broker": "broker", "client_id": client_id, **extra}


def names(flags: frozenset[str]) -> list[str]:
    return [metric.exposition_name for metric in enabled(flags)]


CLIENT_METRICS_BY_FLAG: dict[str, list[str]] = {
    "enable_subscription_count": ["subscriptions"],
    "enable_inflight_metrics": ["inflights"],
    "enable_dates": ["created_at", "connected_at"],
    "enable_processed_counters": ["messages_processed"],
    "enable_qos_split": ["messages_processed_by_qos"],
    "enable_dropped_counters": ["messages_dropped"],
    "enable_reason_split": ["messages_dropped_by_reason"],
    "enable_bytes_metrics": ["bytes"],
    "enable_packet_metrics": ["packets"],
    "enable_last_seen": ["last_seen_timestamp_seconds", "disconnected_at_timestamp_seconds"],
    "enable_connection_counters": ["connections", "disconnections"],
    "enable_queue_metrics": ["mqueue_length", "mqueue_dropped", "awaiting_rel"],
    "enable_keepalive": ["keepalive_seconds"],
    "enable_client_info": ["client_info"],
}


def test_each_flag_switches_its_metrics_on() -> None:
    assert set(CLIENT_METRICS_BY_FLAG) == EVERY
    always = names(frozenset())
    for flag, expected in CLIENT_METRICS_BY_FLAG.items():
        added = [
            one.name for one in enabled(frozenset({flag})) if one.exposition_name not in always
        ]
        assert added == expected


def test_with_no_flag_only_presence_and_the_agent_s_own_metrics_exist() -> None:
    assert names(frozenset()) == [
        "emqx_client_monitor_connected",
        "emqx_client_monitor_up",
        "emqx_client_monitor_last_success_timestamp_seconds",
        "emqx_client_monitor_poll_duration_seconds",
        "emqx_client_monitor_poll_errors_total",
        "emqx_client_monitor_clients",
        "emqx_client_monitor_clients_over_limit",
        "emqx_client_monitor_nodes",
        "emqx_client_monitor_node_up",
        "emqx_client_monitor_broker_refresh_seconds",
        "emqx_client_monitor_config_last_reload_successful",
        "emqx_client_monitor_config_last_reload_success_timestamp_seconds",
        "emqx_client_monitor_build_info",
    ]


def test_only_the_fields_of_enabled_metrics_are_needed() -> None:
    identity = {"clientid", "username", "connected", "connected_at"}
    assert fields_for(frozenset()) == identity
    assert fields_for(frozenset({"enable_bytes_metrics"})) == identity | {"recv_oct", "send_oct"}
    assert fields_for(frozenset({"enable_queue_metrics"})) == identity | {
        *("mqueue_len", "mqueue_dropped", "awaiting_rel_cnt"),
        "created_at",  # when the count of dropped messages began
    }
    assert len(fields_for(EVERY)) == len(identity) + 3 + 18 + 9


def test_with_a_counter_comes_the_field_that_says_when_it_began() -> None:
    assert "connected_at" in fields_for(frozenset({"enable_bytes_metrics"}))
    assert "created_at" in fields_for(frozenset({"enable_queue_metrics"}))


def test_every_field_that_is_asked_for_is_one_that_rows_have() -> None:
    assert fields_for(EVERY) <= set(Row.__struct_encode_fields__)


def test_connected_is_told_of_every_client_that_is_not_unknown() -> None:
    current = snapshot(
        connected("a"),
        Row(clientid="b", connected=False),
        Row(clientid="c"),
        watched=["a", "b", "c", "d"],
    )
    assert observed("connected", current) == [(of("a"), 1), (of("b"), 0), (of("d"), 0)]


def test_a_field_that_a_row_lacks_has_no_sample_and_is_not_zero() -> None:
    current = snapshot(connected("a", recv_oct=5), connected("b", recv_oct=0, send_oct=7))
    assert observed("bytes", current) == [
        (of("a", direction="rx"), 5),
        (of("b", direction="rx"), 0),
        (of("b", direction="tx"), 7),
    ]


def test_a_counter_began_when_its_client_connected() -> None:
    column = metric("packets").observe(snapshot(connected("a", recv_pkt=1)))
    assert [point.start for point in column.points()] == [1_795_366_800_000_000_000]


def test_readers_of_one_snapshot_get_the_same_columns_and_of_another_poll_others() -> None:
    current = snapshot(connected("a", recv_pkt=1))
    again = replace(current, health=replace(current.health, up=False))
    assert metric("packets").observe(again) is metric("packets").observe(current)
    other = snapshot(connected("a", recv_pkt=1))
    assert metric("packets").observe(other) is not metric("packets").observe(current)


def test_an_event_of_one_client_makes_no_other_overdue() -> None:
    watched = Watched("A", "a", "broker", expected_every=60)
    gone = Client(watched, State.DISCONNECTED, Memory(0.0, last_seen=1_000.0))
    polled = Fleet((gone,), polled_at=1_050.0, remembered_at=1_050.0)
    for fleet in (polled, replace(polled, remembered_at=1_090.0)):
        current = Snapshot("broker", fleet, CALM, started_at=0.0)
        assert observed("overdue", current) == [(of("a", alias="A"), 0)]


def test_instants_are_epoch_seconds() -> None:
    assert observed("connected_at", snapshot(connected("a"))) == [(of("a"), 1_795_366_800.0)]


def test_before_the_first_poll_the_agent_does_not_claim_to_know() -> None:
    health = type(CALM)(up=None, last_success=None, poll_duration=None, errors=CALM.errors)
    current = snapshot(health=health)
    assert observed("up", current) == []
    assert observed("last_success_timestamp_seconds", current) == []
    assert observed("poll_duration_seconds", current) == []
    assert {value for _, value in observed("poll_errors", current)} == {0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_instruments_work_on_any_sdk() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    source = FixedSource(snapshot(connected("a", recv_msg=3, send_msg=4)), DEFAULT)
    register(provider.get_meter("test"), source)

    data = reader.get_metrics_data()
    assert data is not None
    exported = {
        found.name: [
            (dict(point.attributes or {}), point.value)
            for point in found.data.data_points
            if isinstance(point, NumberDataPoint)
        ]
        for found in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert exported["emqx_client_monitor_messages_processed"] == [
        (of("a", direction="rx"), 3),
        (of("a", direction="tx"), 4),
    ]
    assert exported["emqx_client_monitor_connected"] == [(of("a"), 1)]
    provider.shutdown()
