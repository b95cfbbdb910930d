"""10,000 clients with every metric, and requests that are too large for a Collector."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import requests

from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.metric import PREFIX
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from otel_emqx_monitor.snapshot import Outcome, Pushes
from tests.collector.collector import CONFIGS, PROMETHEUS, SELF, CollectorProcess, running_collector
from tests.collector.pushing import GRPC, HTTP, LISTENER, ONE_POLL, pushing, pushing_config
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.real.agents import ALL_FLAGS

CLIENTS = 10_000

_COUNTS = (
    *("subscriptions_cnt", "inflight_cnt", "recv_oct", "send_oct", "recv_pkt", "send_pkt"),
    *("recv_msg", "recv_msg.qos0", "recv_msg.qos1", "recv_msg.qos2"),
    *("send_msg", "send_msg.qos0", "send_msg.qos1", "send_msg.qos2"),
    *("recv_msg.dropped", "recv_msg.dropped.await_pubrel_timeout", "send_msg.dropped"),
    *("send_msg.dropped.expired", "send_msg.dropped.queue_full", "send_msg.dropped.too_large"),
)

_BORN = {
    "connected_at": "2026-09-21T16:26:40.123+02:00",
    "created_at": "2026-09-21T10:00:00.000+02:00",
}


@contextmanager
def broker_of(client_ids: Sequence[str]) -> Iterator[Simulator]:
    """Run a broker with all of these clients; each has its number in all of its counts."""
    rows = [
        {"clientid": one, "connected": True, **_BORN, **dict.fromkeys(_COUNTS, number)}
        for number, one in enumerate(client_ids)
    ]
    with Simulator(Broker(source=StaticFleet(rows))) as simulator:
        yield simulator


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch) -> list[SnapshotCache]:
    """The caches of the agents that are made in the test: to scrape these agents takes long."""
    made: list[SnapshotCache] = []

    def make(*args: object, **options: object) -> SnapshotCache:
        made.append(SnapshotCache(*args, **options))  # type: ignore[arg-type]  # whatever they are
        return made[-1]

    monkeypatch.setattr("otel_emqx_monitor.watching.SnapshotCache", make)
    return made


def wait_for_a_push(caches: list[SnapshotCache]) -> Pushes:
    """Wait for the end of the first push, and return what became of it."""

    def ended() -> Pushes | None:
        pushes = caches[0].current().pushes
        return pushes if sum(pushes.exports.values()) else None

    return wait_until(ended)


def own_metrics(collector: CollectorProcess) -> dict[str, float]:
    """Return the metrics of a Collector about the data points that it has seen, summed up."""
    page = requests.get(collector.url(SELF) + "metrics", timeout=PATIENCE_SECONDS).text
    found: defaultdict[str, float] = defaultdict(float)
    for name, value in sample_lines(page):
        if name.endswith("_metric_points"):
            found[name.removeprefix("otelcol_")] += value
    return found


def sample_lines(page: str) -> Iterator[tuple[str, float]]:
    """Yield name and value of each sample; real parsers take long for hundreds of thousands."""
    for line in page.splitlines():
        if not line.startswith("#"):
            yield line.partition("{")[0], float(line.rpartition(" ")[2])


def series(collector: CollectorProcess) -> tuple[dict[str, int], dict[str, float]]:
    """Return how many series each of our metrics has at a Collector, and the sum of their values.

    A line is a series: the exporter of a Collector never writes one twice.
    """
    plain = {"Accept-Encoding": "identity"}
    url = collector.url(PROMETHEUS) + "metrics"
    page = requests.get(url, headers=plain, timeout=PATIENCE_SECONDS).text
    counts: defaultdict[str, int] = defaultdict(int)
    sums: defaultdict[str, float] = defaultdict(float)
    for name, value in sample_lines(page):
        if name.startswith(PREFIX):
            counts[name.removeprefix(PREFIX)] += 1
            sums[name.removeprefix(PREFIX)] += value
    return counts, sums


def test_every_series_of_10_000_clients_arrives(
    caches: list[SnapshotCache], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client_ids = [f"client-{number}" for number in range(CLIENTS)]
    with (
        running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector,
        broker_of(client_ids) as simulator,
    ):
        config = pushing_config(
            simulator,
            client_ids,
            {**ALL_FLAGS, **ONE_POLL},
            endpoint=collector.url(LISTENER[GRPC]),
            interval_seconds=3600,
            timeout_seconds=2,
        )
        with pushing(config, serve=False):
            pushes = wait_for_a_push(caches)
            points = pushes.points[Outcome.SUCCESS]
            passed_on = "exporter_sent_metric_points"
            taken = wait_until(
                lambda: seen if (seen := own_metrics(collector))[passed_on] >= points else None
            )
            counts, sums = series(collector)
            messages = caplog.messages
            collector.stop()  # else the last push would take as long as this one

    assert pushes.points == {Outcome.SUCCESS: points, Outcome.REFUSED: 0, Outcome.DROPPED: 0}
    assert taken["receiver_accepted_metric_points"] == taken[passed_on] == points
    assert taken["receiver_refused_metric_points"] == taken["receiver_failed_metric_points"] == 0
    assert messages == ["pushing the metrics of 10000 monitored clients of simulated every 3600 s"]
    of_clients = {
        "connected": 1,
        "subscriptions": 1,
        "inflights": 1,
        "created_at": 1,
        "connected_at": 1,
        "messages_processed_total": 2,
        "messages_processed_by_qos_total": 6,
        "messages_dropped_total": 2,
        "messages_dropped_by_reason_total": 4,
        "bytes_total": 2,
        "packets_total": 2,
        "last_seen_timestamp_seconds": 1,
        "connections_total": 1,
        "client_info": 1,
    }
    of_the_agent = {
        "up": 1,
        "last_success_timestamp_seconds": 1,
        "poll_duration_seconds": 1,
        "poll_errors_total": len(Reason),
        "clients": 4,
        "nodes": 3,
        "node_up": 1,
        "broker_refresh_seconds": 1,
        "otlp_exports_total": 3,
        "otlp_points_total": 3,
        "build_info": 1,
        "config_last_reload_success_timestamp_seconds": 1,
        "config_last_reload_successful": 1,
    }
    assert counts == {name: CLIENTS * each for name, each in of_clients.items()} | of_the_agent
    assert points == sum(counts.values())
    no_counts = {
        *("connected", "created_at", "connected_at"),
        *("last_seen_timestamp_seconds", "connections_total", "client_info"),
    }
    numbers = CLIENTS * (CLIENTS - 1) // 2
    assert {name: sums[name] for name in of_clients.keys() - no_counts} == {
        name: numbers * of_clients[name] for name in of_clients.keys() - no_counts
    }


#: 25 MB in one request, 11,500 points of 500 clients are 6 MB.
LONG_IDS = [f"{number:0450}" for number in range(2_000)]


@pytest.mark.parametrize(
    "protocol, compression, clients",
    [(GRPC, "none", 500), (GRPC, "gzip", 500), (HTTP, "gzip", 2_000)],
)
def test_a_request_that_is_too_large_is_refused_counted_and_explained_once(
    caches: list[SnapshotCache],
    large: Simulator,
    caplog: pytest.LogCaptureFixture,
    *,
    protocol: str,
    compression: str,
    clients: int,
) -> None:
    caplog.set_level(logging.INFO)
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        config = pushing_config(
            large,
            LONG_IDS[:clients],
            {**ALL_FLAGS, **ONE_POLL},
            protocol=protocol,
            compression=compression,
            endpoint=collector.url(LISTENER[protocol]),
            interval_seconds=3600,
            timeout_seconds=2,
            max_points_per_request=1_000_000,
        )
        with pushing(config, serve=False):
            wait_for_a_push(caches)
        pushes = caches[0].current().pushes  # the last push, at the end, has been refused too
        taken = own_metrics(collector)
    assert pushes.exports == {Outcome.SUCCESS: 0, Outcome.REFUSED: 2, Outcome.DROPPED: 0}
    assert pushes.points[Outcome.REFUSED] > 2 * 23 * clients
    assert pushes.points[Outcome.SUCCESS] == pushes.points[Outcome.DROPPED] == 0
    assert taken["receiver_accepted_metric_points"] == 0
    _pushing, refusal = caplog.messages
    assert "the Collector's receiver limit is 4 MiB for gRPC" in refusal
    assert "20 MiB for HTTP" in refusal
    assert "lower otlp.max_points_per_request or raise it" in refusal


@pytest.fixture(scope="module")
def large() -> Iterator[Simulator]:
    with broker_of(LONG_IDS) as simulator:
        yield simulator
