"""Scripted lives at an agent: who posts what happens, and what the agent makes of it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from otel_emqx_monitor.config import Config, PrometheusConfig
from otel_emqx_monitor.events.setup import Wanted, set_up
from otel_emqx_monitor.fleet import REASONS
from otel_emqx_monitor.metric import PREFIX
from otel_emqx_monitor.simulator import Login, Script, Truth
from tests import processes
from tests.processes import Exposition, write_config

TOKEN = "t0ken-6e1a"
TOPICS = ("up/#",)
FLAGS = {name: True for name in PrometheusConfig.model_fields if name.startswith("enable_")}

#: Counters that events and polls add to, with the labels that tell their series apart.
COUNTERS: Mapping[str, Sequence[str]] = {
    "connections": ("client_id",),
    "disconnections": ("client_id", "reason"),
    "messages_processed": ("client_id", "direction"),
    "messages_processed_by_qos": ("client_id", "direction", "qos"),
    "messages_dropped_by_reason": ("client_id", "direction", "reason"),
}

#: The value of each series that is not 0, by its metric and its labels.
Figures = dict[tuple[str, ...], float]


def settings(api_url: str, port: int = 0, **more: Any) -> dict[str, Any]:
    """Return a configuration that watches everybody, sums up, and takes posts."""
    config = processes.settings(api_url, prometheus={**FLAGS, "port": port, "ttl_seconds": 1})
    return {
        **config,
        "monitored_clients": [{"alias": "{client_id}", "client_id_glob": "*"}],
        "counters": "cumulative",
        "events": {"webhook": {"token": TOKEN}},
        **more,
    }


def tell(config: Mapping[str, Any], url: str) -> None:
    """Make the broker of ``config`` post its events to the agent at ``url``."""
    set_up(Config.model_validate(config).emqx, Wanted(url, TOKEN, TOPICS), lambda _: None)


def expected(truths: Mapping[str, Truth]) -> Figures:
    """Return what the counters of an agent that misses nothing are."""
    found: Figures = {}

    def add(count: int, *key: str) -> None:
        if count:
            found[key] = found.get(key, 0) + count

    for client_id, truth in truths.items():
        add(truth.connections, "connections", client_id)
        for reason, count in truth.disconnections.items():
            add(count, "disconnections", client_id, reason if reason in REASONS else "other")
        for direction, by_qos in (("rx", truth.received), ("tx", truth.sent)):
            add(by_qos.total(), "messages_processed", client_id, direction)
            for qos, count in by_qos.items():
                add(count, "messages_processed_by_qos", client_id, direction, str(qos))
        for reason in ("queue_full", "expired", "too_large"):
            count = truth.deliveries_dropped[reason]
            add(count, "messages_dropped_by_reason", client_id, "tx", reason)
    return found


def exposed(exposition: Exposition) -> Figures:
    """Return what a scrape shows of the same counters."""
    found: Figures = {}
    for sample in exposition.samples:
        name = sample.name.removeprefix(PREFIX).removesuffix("_total")
        if name in COUNTERS and sample.value:
            found[name, *(sample.labels[label] for label in COUNTERS[name])] = sample.value
    return found


class Sink:
    """Takes what an agent pushes; ``figures`` are those of the latest push of each series."""

    def __init__(self) -> None:
        self.figures: Figures = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sink.take(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def take(self, request: ExportMetricsServiceRequest) -> None:
        metrics = request.resource_metrics[0].scope_metrics[0].metrics
        for metric in metrics:
            name = metric.name.removeprefix(PREFIX)
            for point in metric.sum.data_points if name in COUNTERS else ():
                labels = {one.key: one.value.string_value for one in point.attributes}
                value = point.as_int or point.as_double
                if value:
                    self.figures[name, *(labels[label] for label in COUNTERS[name])] = value


@contextmanager
def sink() -> Iterator[tuple[Sink, Mapping[str, Any]]]:
    """Run a sink; yields it and the section ``otlp`` of who pushes to it."""
    running = Sink()
    thread = threading.Thread(target=running.server.serve_forever, args=[0.01])
    thread.start()
    endpoint = f"http://127.0.0.1:{running.server.server_port}"
    try:
        yield running, {"protocol": "http/protobuf", "endpoint": endpoint, "interval_seconds": 3600}
    finally:
        running.server.shutdown()
        running.server.server_close()
        thread.join()


def config_file(folder: Path, config: Mapping[str, Any]) -> str:
    """Write a configuration into a folder of its own and return its path."""
    folder.mkdir(exist_ok=True)
    return write_config(folder, config)


def crowd(script: Script, start: float, sessions: int, per_second: float, clients: int) -> None:
    """Write sessions of 50 ms with three messages each, and somebody who gets a part of them."""
    sub = Login(client_id="sub", username="sue", clean_start=False, expiry_interval=600)
    script.connect(start, sub)
    reasons = ("normal", "tcp_closed", "keepalive_timeout", "kicked", "einval")
    for number in range(sessions):
        at, client_id = start + 0.1 + number / per_second, f"dev-{number % clients}"
        script.connect(at, client_id)
        for turn in range(3):
            message = script.publish(
                at + 0.01 * (turn + 1), client_id, "up/a", qos=(number + turn) % 3
            )
            if number % 10 == turn:
                sent = script.deliver(at + 0.01 * (turn + 1) + 0.001, "sub", message)
                if sent.qos:
                    script.ack(at + 0.01 * (turn + 1) + 0.003, "sub", sent)
            if number % 50 == turn:
                script.drop_delivery(at + 0.04, "sub", message)
        script.disconnect(at + 0.05, client_id, reasons[number % len(reasons)])
