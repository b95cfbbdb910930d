"""The one table of all metrics, and the instruments that are made from it.

Nothing else in the program knows the name of a metric. The names, HELP texts and labels of the
client metrics are those of emqx-client-monitor, so that dashboards go on working; its HELP says
"received" for sent messages too, and stays so.
"""

import platform
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from operator import attrgetter
from typing import TypeVar

from opentelemetry.metrics import CallbackOptions, Meter

from otel_emqx_monitor.columns import Block, Column, Group, Labels, Point, nanoseconds
from otel_emqx_monitor.emqx.rows import attribute
from otel_emqx_monitor.snapshot import Fleet, Present, Snapshot, Source, State
from otel_emqx_monitor.version import __version__

_Key = TypeVar("_Key", bound=StrEnum)

PREFIX = "emqx_client_monitor_"

#: The flag of the metrics that tell of pushes; on when the agent pushes.
PUSH = "otlp"

#: The fields that identify a client and tell its presence, whatever is exported.
IDENTITY_FIELDS = frozenset({"clientid", "username", "connected", "connected_at"})


class Kind(StrEnum):
    """The kind of an instrument; a counter's exposition name ends in ``_total``."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    ``name`` is without prefix and without the ``_total`` of counters. ``flag`` is what switches it
    on, an ``enable_*`` key or ``PUSH``; ``None`` is always on. ``labels`` are those beside
    ``broker``; ``fields`` are the fields of EMQX's rows that it reads.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    observe: Callable[[Snapshot], Column]
    flag: str | None = None
    fields: frozenset[str] = frozenset()

    @property
    def instrument_name(self) -> str:
        """The name of the OpenTelemetry instrument."""
        return PREFIX + self.name

    @property
    def exposition_name(self) -> str:
        """The name in a Prometheus exposition."""
        return self.instrument_name + ("_total" if self.kind is Kind.COUNTER else "")


@dataclass(frozen=True)
class _Sample:
    """One series of every client: the field its value comes from, and its extra labels."""

    field: str
    extra: Labels


_making = threading.Lock()


def _cached(name: str, make: Callable[[Fleet], Column]) -> Callable[[Snapshot], Column]:
    """Return an ``observe`` that makes one column for each fleet, whoever asks and how often."""

    def observe(snapshot: Snapshot) -> Column:
        columns = snapshot.fleet.columns
        with _making:  # a scrape and a push that come at once share them as well
            if name not in columns:
                columns[name] = make(snapshot.fleet)
            return columns[name]

    return observe


def _rows_column(fleet: Fleet, *, kind: Kind, samples: Sequence[_Sample]) -> Column:
    blocks = [_rows_block(fleet.present, kind, sample) for sample in samples]
    return Column([block for block in blocks if block.values], fleet.polled_at)


def _rows_block(present: Present, kind: Kind, sample: _Sample) -> Block:
    """Read one field of every row; a row that lacks it has no series: not known is not 0."""
    read = attrgetter(attribute(sample.field))
    values = [read(row) for row in present.rows]
    group = present.group
    starts = present.starts if kind is Kind.COUNTER else None
    if None in values:
        known = [index for index, value in enumerate(values) if value is not None]
        values = [values[index] for index in known]
        group = Group([group.members[index] for index in known])
        starts = None if starts is None else [starts[index] for index in known]
    if values and isinstance(values[0], datetime):
        values = [value.timestamp() for value in values]
    return Block(group, values, sample.extra, starts)


def _connected_column(fleet: Fleet) -> Column:
    """0 or 1 for every client whose state is known; unknown clients have no sample."""
    known = [client for client in fleet.clients if client.state is not State.UNKNOWN]
    group = Group([client.watched.labels for client in known])
    values = [int(client.state is State.CONNECTED) for client in known]
    return Column([Block(group, values)] if known else [], fleet.polled_at)


def _of_rows(
    name: str, kind: Kind, flag: str, help_text: str, *samples: tuple[str, Mapping[str, str]]
) -> Metric:
    """Make the metric whose series are ``samples``: pairs of a row's field and extra labels."""
    parts = [_Sample(field, Labels.of(labels)) for field, labels in samples]
    return Metric(
        name=name,
        kind=kind,
        help=help_text,
        labels=("alias", "client_id", *samples[0][1]),
        observe=_cached(name, partial(_rows_column, kind=kind, samples=parts)),
        flag=flag,
        fields=frozenset(field for field, _ in samples),
    )


Readings = Iterable[tuple[Mapping[str, str], int | float | None]]


def _of_agent(  # noqa: PLR0913 (the columns of the table)
    name: str,
    kind: Kind,
    help_text: str,
    read: Callable[[Snapshot], Readings],
    *,
    label: str | None = None,
    flag: str | None = None,
) -> Metric:
    """Make a metric of the agent itself; a value of ``None`` has not happened yet: no sample."""

    def observe(snapshot: Snapshot) -> Column:
        start = nanoseconds(snapshot.started_at) if kind is Kind.COUNTER else None
        return Column.of(
            [
                Point({"broker": snapshot.broker, **labels}, value, start)
                for labels, value in read(snapshot)
                if value is not None
            ]
        )

    labels = () if label is None else (label,)
    return Metric(name, kind, help_text, labels, observe, flag)


def _each(label: str, values: Mapping[_Key, int]) -> Readings:
    return [({label: key.value}, value) for key, value in values.items()]


def _observe_build(_snapshot: Snapshot) -> Column:
    build = {"python_version": platform.python_version(), "version": __version__}
    return Column.of([Point(build, 1, None)])


_RX, _TX = {"direction": "rx"}, {"direction": "tx"}


METRICS: tuple[Metric, ...] = (
    Metric(
        name="connected",
        kind=Kind.GAUGE,
        help="Is client connected",
        labels=("alias", "client_id"),
        observe=_cached("connected", _connected_column),
        fields=frozenset({"connected"}),
    ),
    _of_rows(
        "subscriptions",
        Kind.GAUGE,
        "enable_subscription_count",
        "Number of subscriptions",
        ("subscriptions_cnt", {}),
    ),
    _of_rows(
        "inflights",
        Kind.GAUGE,
        "enable_inflight_metrics",
        "Number of inflight messages",
        ("inflight_cnt", {}),
    ),
    _of_rows(
        "created_at",
        Kind.GAUGE,
        "enable_dates",
        "Client creation time (epoch seconds)",
        ("created_at", {}),
    ),
    _of_rows(
        "connected_at",
        Kind.GAUGE,
        "enable_dates",
        "Client last connected time (epoch seconds)",
        ("connected_at", {}),
    ),
    _of_rows(
        "messages_processed",
        Kind.COUNTER,
        "enable_processed_counters",
        "Number of received messages processed (total)",
        ("recv_msg", _RX),
        ("send_msg", _TX),
    ),
    _of_rows(
        "messages_processed_by_qos",
        Kind.COUNTER,
        "enable_qos_split",
        "Number of received messages processed split by QoS",
        ("recv_msg.qos0", _RX | {"qos": "0"}),
        ("recv_msg.qos1", _RX | {"qos": "1"}),
        ("recv_msg.qos2", _RX | {"qos": "2"}),
        ("send_msg.qos0", _TX | {"qos": "0"}),
        ("send_msg.qos1", _TX | {"qos": "1"}),
        ("send_msg.qos2", _TX | {"qos": "2"}),
    ),
    _of_rows(
        "messages_dropped",
        Kind.COUNTER,
        "enable_dropped_counters",
        "Number of received messages dropped (total)",
        ("recv_msg.dropped", _RX),
        ("send_msg.dropped", _TX),
    ),
    _of_rows(
        "messages_dropped_by_reason",
        Kind.COUNTER,
        "enable_reason_split",
        "Number of received messages dropped split by reason",
        ("recv_msg.dropped.await_pubrel_timeout", _RX | {"reason": "await_pubrel_timeout"}),
        ("send_msg.dropped.expired", _TX | {"reason": "expired"}),
        ("send_msg.dropped.queue_full", _TX | {"reason": "queue_full"}),
        ("send_msg.dropped.too_large", _TX | {"reason": "too_large"}),
    ),
    _of_rows(
        "bytes",
        Kind.COUNTER,
        "enable_bytes_metrics",
        "Number of received raw octets (bytes)",
        ("recv_oct", _RX),
        ("send_oct", _TX),
    ),
    _of_rows(
        "packets",
        Kind.COUNTER,
        "enable_packet_metrics",
        "Number of received MQTT packets",
        ("recv_pkt", _RX),
        ("send_pkt", _TX),
    ),
    _of_agent(
        "up",
        Kind.GAUGE,
        "Whether the last poll of EMQX succeeded",
        lambda now: [({}, None if now.health.up is None else int(now.health.up))],
    ),
    _of_agent(
        "last_success_timestamp_seconds",
        Kind.GAUGE,
        "When the last successful poll of EMQX ended (epoch seconds)",
        lambda now: [({}, now.health.last_success)],
    ),
    _of_agent(
        "poll_duration_seconds",
        Kind.GAUGE,
        "How long the last poll of EMQX took, successful or not",
        lambda now: [({}, now.health.poll_duration)],
    ),
    _of_agent(
        "poll_errors",
        Kind.COUNTER,
        "Number of failed polls of EMQX by reason",
        lambda now: _each("reason", now.health.errors),
        label="reason",
    ),
    _of_agent(
        "clients",
        Kind.GAUGE,
        "Number of monitored clients by state",
        lambda now: _each("state", now.fleet.states),
        label="state",
    ),
    _of_agent(
        "otlp_exports",
        Kind.COUNTER,
        "Number of OTLP requests by outcome",
        lambda now: _each("outcome", now.pushes.exports),
        label="outcome",
        flag=PUSH,
    ),
    _of_agent(
        "otlp_points",
        Kind.COUNTER,
        "Number of data points in OTLP requests by outcome",
        lambda now: _each("outcome", now.pushes.points),
        label="outcome",
        flag=PUSH,
    ),
    _of_agent(
        "otlp_last_success_timestamp_seconds",
        Kind.GAUGE,
        "When a Collector last accepted a whole push (epoch seconds)",
        lambda now: [({}, now.pushes.last_success)],
        flag=PUSH,
    ),
    Metric(
        name="build_info",
        kind=Kind.GAUGE,
        help="The version of the agent and of the Python that runs it",
        labels=("python_version", "version"),
        observe=_observe_build,
    ),
)


def enabled(flags: frozenset[str]) -> tuple[Metric, ...]:
    """Return the metrics that exist when ``flags`` are on, in the order of the table."""
    return tuple(metric for metric in METRICS if metric.flag is None or metric.flag in flags)


def fields_for(flags: frozenset[str]) -> frozenset[str]:
    """Return the fields of EMQX's rows that the metrics enabled by ``flags`` need."""
    return IDENTITY_FIELDS.union(*(metric.fields for metric in enabled(flags)))


def register(meter: Meter, source: Source) -> None:
    """Create the observable instruments on ``meter``; their callbacks read ``source``.

    Works on the ``Meter`` of any OpenTelemetry SDK, so these metrics can live in any application.
    Which instruments exist follows from ``source.flags``.
    """
    for metric in enabled(source.flags):
        create = (
            meter.create_observable_counter
            if metric.kind is Kind.COUNTER
            else meter.create_observable_gauge
        )
        create(metric.instrument_name, [partial(_observe, metric, source)], description=metric.help)


def _observe(metric: Metric, source: Source, _options: CallbackOptions) -> Column:
    return metric.observe(source.snapshot())
