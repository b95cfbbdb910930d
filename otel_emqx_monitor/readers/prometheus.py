"""The instruments as a Prometheus exposition, through OpenTelemetry's own Prometheus reader."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter, ObservableGauge
from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.version import __version__

#: The SDK's default folds all series of an instrument beyond 2,000 into one.
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class Format:
    """A text format of expositions: its media type, and what writes it."""

    content_type: str
    generate: Callable[[CollectorRegistry], bytes]


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", generate_latest)
OPENMETRICS = Format(
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    partial(generate_openmetrics, version="1.0.0"),
)


def negotiate(accept: str) -> Format:
    """Return the format that an ``Accept`` header prefers; the text format when in doubt.

    The header is a list of media ranges, each with an optional weight ``q`` (RFC 9110, 12.5.1).
    """
    best, best_weight = TEXT, 0.0
    for media_range in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in media_range.split(";"))
        weight = _weight(parameters)
        if weight <= best_weight:
            continue
        if media_type == "application/openmetrics-text":
            best, best_weight = OPENMETRICS, weight
        elif media_type in {"text/plain", "text/*", "*/*"}:
            best, best_weight = TEXT, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


class PrometheusReader:
    """Renders snapshots of one source; one rendering at a time.

    Beside the instruments an exposition has prometheus_client's metrics of the process, of Python
    and of its garbage collector, as the original's has.
    """

    def __init__(self, source: SnapshotCache) -> None:
        self._source = source
        self._registry = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
            self._registry.register(collector)
        reader = PrometheusMetricReader(
            disable_target_info=True,  # build_info says it; the original has none
            scope_info_enabled=False,
            registry=self._registry,
            cardinality_limits={ObservableCounter: _NO_LIMIT, ObservableGauge: _NO_LIMIT},
        )
        self._provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
        register(self._provider.get_meter("otel_emqx_monitor", __version__), source)
        self._lock = threading.Lock()

    def render(self, snapshot: Snapshot, output: Format) -> bytes:
        """Return the exposition of ``snapshot``; all its series are of this one snapshot."""
        with self._lock, self._source.pinned(snapshot):
            return output.generate(self._registry)

    def shutdown(self) -> None:
        """Release the SDK's resources; no rendering may follow."""
        self._provider.shutdown()
