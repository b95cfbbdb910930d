"""What a Collector writes into a file: the times of points, and whose they are."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otel_emqx_monitor import __version__
from otel_emqx_monitor.instruments import METRICS
from otel_emqx_monitor.metric import PREFIX, Kind
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.collector import CollectorProcess, running_collector
from tests.collector.pushing import (
    GRPC,
    LISTENER,
    ONE_POLL,
    both_protocols,
    pushing,
    pushing_config,
)
from tests.processes import wait_until
from tests.real.agents import ALL_FLAGS

_TO_FILE = """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "${env:OTLP_GRPC_LISTEN}"}
      http: {endpoint: "${env:OTLP_HTTP_LISTEN}"}
exporters:
  file: {path: "${env:OUTPUT_FILE}", flush_interval: 20ms}
service:
  pipelines:
    metrics: {receivers: [otlp], exporters: [file]}
"""

#: OTLP's number for it.
CUMULATIVE = 2

EVERY_POLL_NEW = {"ttl_seconds": 0}


@dataclass(frozen=True)
class Point:
    """One data point as it arrived; times are nanoseconds since the epoch, ``None`` if not sent."""

    start: int | None
    time: int
    value: float


@dataclass(frozen=True)
class Push:
    """The ``resourceMetrics`` of one push, as the protocol's JSON has them."""

    sent: dict[str, Any]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        [scope] = self.sent["scopeMetrics"]
        metrics: list[dict[str, Any]] = scope["metrics"]
        return metrics

    def points(self, name: str, **attributes: str) -> list[Point]:
        """Return the points of the metric ``name`` that have all ``attributes``."""
        return [
            Point(
                int(point["startTimeUnixNano"]) if "startTimeUnixNano" in point else None,
                int(point["timeUnixNano"]),
                float(point["asInt"] if "asInt" in point else point["asDouble"]),
            )
            for metric in self.metrics
            if metric["name"] == PREFIX + name
            for point in (metric.get("sum") or metric["gauge"])["dataPoints"]
            if attributes.items() <= strings(point["attributes"]).items()
        ]

    @property
    def polled_at(self) -> int | None:
        """When the poll of this push ended, by the metric that says so; in nanoseconds."""
        ended = self.points("last_success_timestamp_seconds")
        return round(ended[0].value * 1_000_000) * 1_000 if ended else None


def strings(attributes: list[dict[str, Any]]) -> dict[str, str]:
    return {one["key"]: one["value"]["stringValue"] for one in attributes}


def row(connected_at: str, received: int) -> dict[str, object]:
    return {
        "clientid": "dev-a",
        "connected": True,
        "connected_at": connected_at,
        "created_at": "2026-09-21T10:00:00.000+02:00",
        "recv_msg": received,
        "send_msg": 0,
        "recv_msg.dropped": received,
    }


@dataclass(frozen=True)
class Chain:
    """A broker whose rows can be replaced, and the pushes that a Collector has written."""

    fleet: StaticFleet
    simulator: Simulator
    collector: CollectorProcess
    file: Path

    def pushes(self) -> list[Push]:
        """Return the pushes that knew the client."""
        lines = self.file.read_text(encoding="utf-8").split("\n")[:-1] if self.file.exists() else []
        found = [Push(one) for line in lines for one in json.loads(line)["resourceMetrics"]]
        return [push for push in found if push.points("connected")]

    def received(self) -> list[float]:
        """Return what each push said of the messages that the broker received."""
        rx = (push.points("messages_processed", direction="rx") for push in self.pushes())
        return [point.value for points in rx for point in points]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    fleet = StaticFleet([row("2026-09-21T16:26:40.123+02:00", 7)])
    file = tmp_path / "pushed.jsonl"
    with (
        Simulator(Broker(source=fleet)) as simulator,
        running_collector(_TO_FILE, {"OUTPUT_FILE": str(file)}) as collector,
    ):
        yield Chain(fleet, simulator, collector, file)


@both_protocols
def test_a_reconnect_begins_a_new_sum_at_its_own_time(protocol: str, chain: Chain) -> None:
    config = pushing_config(
        chain.simulator,
        ["dev-a"],
        {**ALL_FLAGS, **EVERY_POLL_NEW},
        protocol=protocol,
        endpoint=chain.collector.url(LISTENER[protocol]),
    )
    with pushing(config):
        wait_until(lambda: 7 in chain.received())
        chain.fleet.replace([row("2026-09-21T16:30:00.500+02:00", 2)])
        wait_until(lambda: 2 in chain.received())
    pushes = chain.pushes()

    assert chain.received() == sorted(chain.received(), reverse=True)
    starts = {7: 1_790_000_800_123_000_000, 2: 1_790_001_000_500_000_000}
    for push in pushes:
        received, sent = push.points("messages_processed")
        dropped, *_ = push.points("messages_dropped", direction="rx")
        assert received.start == sent.start == dropped.start == starts[int(received.value)]
        assert received.time == sent.time == dropped.time == push.polled_at
        [connected] = push.points("connected")
        assert (connected.start, connected.time) == (None, push.polled_at)

    [since] = {point.start for push in pushes for point in push.points("poll_errors")}
    assert since is not None
    assert since < pushes[0].points("connected")[0].time, "it began to count when it started"


@pytest.mark.parametrize("connected_at", ["1969-12-31T23:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_client_whose_connection_began_at_no_possible_time_is_pushed_with_the_others(
    connected_at: str, chain: Chain
) -> None:
    others = {**row("2026-09-21T16:30:00.500+02:00", 2), "clientid": "dev-b"}
    chain.fleet.replace([row(connected_at, 7), others])
    config = pushing_config(
        chain.simulator, ["dev-a", "dev-b"], endpoint=chain.collector.url(LISTENER[GRPC])
    )
    with pushing(config):
        wait_until(lambda: 2 in chain.received())
    received = [
        point
        for push in chain.pushes()
        for point in push.points("messages_processed", client_id="dev-a", direction="rx")
    ]
    assert {point.value for point in received} == {7}
    assert all((point.start or 0) <= point.time for point in received)


def test_all_pushes_of_one_poll_have_the_time_of_that_poll(chain: Chain) -> None:
    config = pushing_config(
        chain.simulator, ["dev-a"], ONE_POLL, endpoint=chain.collector.url(LISTENER[GRPC])
    )
    with pushing(config):
        wait_until(lambda: len(chain.pushes()) >= 3)
    pushes = chain.pushes()
    [polled_at] = {push.polled_at for push in pushes}
    assert {point.time for push in pushes for point in push.points("connected")} == {polled_at}
    own_times = [push.points("up")[0].time for push in pushes]
    assert own_times == sorted(set(own_times)), "what the agent knows of itself is always new"


def test_counters_are_cumulative_sums_of_a_named_service(chain: Chain) -> None:
    config = pushing_config(
        chain.simulator, ["dev-a"], ALL_FLAGS, endpoint=chain.collector.url(LISTENER[GRPC])
    )
    with pushing(config):
        push, *_ = wait_until(chain.pushes)
    counters = {metric.instrument_name for metric in METRICS if metric.kind is Kind.COUNTER}
    sums = {metric["name"]: metric["sum"] for metric in push.metrics if "sum" in metric}
    assert {PREFIX + "messages_processed", PREFIX + "messages_dropped"} < sums.keys() <= counters
    assert {(one["aggregationTemporality"], one["isMonotonic"]) for one in sums.values()} == {
        (CUMULATIVE, True)
    }
    assert strings(push.sent["resource"]["attributes"]) == {
        "service.name": "otel-emqx-monitor",
        "service.version": __version__,
        "service.instance.id": f"{socket.gethostname()}/simulated",
    }
    [scope] = push.sent["scopeMetrics"]
    assert scope["scope"] == {"name": "otel_emqx_monitor", "version": __version__}
