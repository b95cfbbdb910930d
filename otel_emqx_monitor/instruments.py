"""The one table of all metrics, and the instruments that are made from it.

Nothing else in the program knows the name of a metric. The names, HELP texts and labels of the
client metrics are those of emqx-client-monitor, so that dashboards go on working; its HELP says
"received" for sent messages too, and stays so.
"""

import platform
from functools import partial

from opentelemetry.metrics import CallbackOptions, Meter

from otel_emqx_monitor.columns import Column, Point
from otel_emqx_monitor.emqx.rows import NodeState
from otel_emqx_monitor.fleet import Client, Counted, Epoch, State
from otel_emqx_monitor.metric import (
    Kind,
    Metric,
    alone,
    counter_of_rows,
    disconnections_of_clients,
    each,
    gauge_of_rows,
    info_of_clients,
    of_agent,
    of_clients,
)
from otel_emqx_monitor.snapshot import Snapshot, Source
from otel_emqx_monitor.tracker import FIELDS as PRESENCE_FIELDS
from otel_emqx_monitor.version import __version__

#: The flag of the metrics that tell of pushes; on when the agent pushes.
PUSH = "otlp"

#: The flag of what tells who is overdue; on when the configuration says how often to expect anyone.
OVERDUE = "expected_every_seconds"

#: The flag of the metrics that tell of events; on when they come in by any way.
EVENTS = "events"

#: The flag of the metrics that tell of the file that keeps the agent's memory.
STATE = "state.path"


#: The field of EMQX's rows that says when an epoch began.
_BEGINS = {Epoch.CONNECTION: "connected_at", Epoch.SESSION: "created_at"}


def _connected(client: Client, _now: float) -> int | None:
    return None if client.state is State.UNKNOWN else int(client.state is State.CONNECTED)


def _disconnected_at(client: Client, _now: float) -> float | None:
    row = client.memory.row
    if row is None or row.connected or row.disconnected_at is None:
        return None
    return row.disconnected_at.timestamp()


def _observe_build(_snapshot: Snapshot) -> Column:
    build = {"python_version": platform.python_version(), "version": __version__}
    return Column.of([Point(build, 1, None)])


_RX, _TX = {"direction": "rx"}, {"direction": "tx"}


METRICS: tuple[Metric, ...] = (
    of_clients(
        "connected", Kind.GAUGE, None, "Is client connected", _connected, fields=["connected"]
    ),
    gauge_of_rows(
        "subscriptions", "enable_subscription_count", "Number of subscriptions", "subscriptions_cnt"
    ),
    gauge_of_rows(
        "inflights", "enable_inflight_metrics", "Number of inflight messages", "inflight_cnt"
    ),
    gauge_of_rows(
        "created_at",
        "enable_dates",
        "Client creation time (epoch seconds)",
        "created_at",
        lasting=True,
    ),
    gauge_of_rows(
        "connected_at",
        "enable_dates",
        "Client last connected time (epoch seconds)",
        "connected_at",
        lasting=True,
    ),
    counter_of_rows(
        "messages_processed",
        "enable_processed_counters",
        "Number of received messages processed (total)",
        ("recv_msg", _RX),
        ("send_msg", _TX),
    ),
    counter_of_rows(
        "messages_processed_by_qos",
        "enable_qos_split",
        "Number of received messages processed split by QoS",
        ("recv_msg.qos0", _RX | {"qos": "0"}),
        ("recv_msg.qos1", _RX | {"qos": "1"}),
        ("recv_msg.qos2", _RX | {"qos": "2"}),
        ("send_msg.qos0", _TX | {"qos": "0"}),
        ("send_msg.qos1", _TX | {"qos": "1"}),
        ("send_msg.qos2", _TX | {"qos": "2"}),
    ),
    counter_of_rows(
        "messages_dropped",
        "enable_dropped_counters",
        "Number of received messages dropped (total)",
        ("recv_msg.dropped", _RX),
        ("send_msg.dropped", _TX),
    ),
    counter_of_rows(
        "messages_dropped_by_reason",
        "enable_reason_split",
        "Number of received messages dropped split by reason",
        ("recv_msg.dropped.await_pubrel_timeout", _RX | {"reason": "await_pubrel_timeout"}),
        ("send_msg.dropped.expired", _TX | {"reason": "expired"}),
        ("send_msg.dropped.queue_full", _TX | {"reason": "queue_full"}),
        ("send_msg.dropped.too_large", _TX | {"reason": "too_large"}),
    ),
    counter_of_rows(
        "bytes",
        "enable_bytes_metrics",
        "Number of received raw octets (bytes)",
        ("recv_oct", _RX),
        ("send_oct", _TX),
    ),
    counter_of_rows(
        "packets",
        "enable_packet_metrics",
        "Number of received MQTT packets",
        ("recv_pkt", _RX),
        ("send_pkt", _TX),
    ),
    of_clients(
        "last_seen_timestamp_seconds",
        Kind.GAUGE,
        "enable_last_seen",
        "When the client was last known to be connected (epoch seconds)",
        lambda client, _now: client.memory.last_seen,
        fields=["disconnected_at"],
    ),
    of_clients(
        "disconnected_at_timestamp_seconds",
        Kind.GAUGE,
        "enable_last_seen",
        "When the client's last connection ended, where EMQX told (epoch seconds)",
        _disconnected_at,
        fields=["disconnected_at"],
    ),
    of_clients(
        "connections",
        Kind.COUNTER,
        "enable_connection_counters",
        "Number of connections of the client that polls or events have seen",
        lambda client, _now: client.memory.connection.epochs if client.memory.connection else 0,
    ),
    disconnections_of_clients(
        "disconnections",
        "enable_connection_counters",
        "Number of times that events told of the client's disconnecting, by reason",
    ),
    gauge_of_rows(
        "mqueue_length",
        "enable_queue_metrics",
        "Number of messages in the queue of the client's session",
        "mqueue_len",
    ),
    counter_of_rows(
        "mqueue_dropped",
        "enable_queue_metrics",
        "Number of messages dropped from the queue of the client's session",
        ("mqueue_dropped", {}),
        epoch=Epoch.SESSION,
    ),
    gauge_of_rows(
        "awaiting_rel",
        "enable_queue_metrics",
        "Number of received QoS 2 messages that await PUBREL",
        "awaiting_rel_cnt",
    ),
    gauge_of_rows(
        "keepalive_seconds",
        "enable_keepalive",
        "Keepalive of the client's connection, 0 when it is off",
        "keepalive",
        lasting=True,
    ),
    info_of_clients(
        "client_info", "enable_client_info", "How the client is connected, or was the last time"
    ),
    of_clients(
        "overdue",
        Kind.GAUGE,
        OVERDUE,
        "Whether the client has not been seen for longer than expected_every_seconds",
        lambda client, looked_at: (
            None if (late := client.overdue(looked_at)) is None else int(late)
        ),
        fields=["disconnected_at"],
    ),
    of_agent(
        "up",
        Kind.GAUGE,
        "Whether the last poll of EMQX succeeded",
        lambda now: alone(None if now.health.up is None else int(now.health.up)),
    ),
    of_agent(
        "last_success_timestamp_seconds",
        Kind.GAUGE,
        "When the last successful poll of EMQX ended (epoch seconds)",
        lambda now: alone(now.health.last_success),
    ),
    of_agent(
        "poll_duration_seconds",
        Kind.GAUGE,
        "How long the last poll of EMQX took, successful or not",
        lambda now: alone(now.health.poll_duration),
    ),
    of_agent(
        "poll_errors",
        Kind.COUNTER,
        "Number of failed polls of EMQX by reason",
        lambda now: each(now.health.errors),
        labels=("reason",),
    ),
    of_agent(
        "clients",
        Kind.GAUGE,
        "Number of monitored clients by state",
        lambda now: each(now.fleet.states),
        labels=("state",),
    ),
    of_agent(
        "clients_over_limit",
        Kind.GAUGE,
        "Number of clients that max_clients left out",
        lambda now: alone(now.fleet.over_limit),
    ),
    of_agent(
        "nodes",
        Kind.GAUGE,
        "Number of EMQX nodes by state",
        lambda now: each(now.fleet.node_states),
        labels=("state",),
    ),
    of_agent(
        "node_up",
        Kind.GAUGE,
        "Whether the EMQX node answered the last poll",
        lambda now: [
            ((node,), int(state is NodeState.RUNNING)) for node, state in now.fleet.nodes.items()
        ],
        labels=("node",),
    ),
    of_agent(
        "broker_refresh_seconds",
        Kind.GAUGE,
        "How often EMQX refreshes counters (mqtt.idle_timeout), 15 when it does not tell",
        lambda now: alone(now.fleet.refresh_seconds_or_assumed),
    ),
    of_agent(
        "config_last_reload_successful",
        Kind.GAUGE,
        "Whether the configuration on disk was good when it was last read, and so is in force",
        lambda now: alone(None if now.reload is None else int(now.reload.successful)),
    ),
    of_agent(
        "config_last_reload_success_timestamp_seconds",
        Kind.GAUGE,
        "When the configuration in force took over (epoch seconds)",
        lambda now: alone(None if now.reload is None else now.reload.succeeded_at),
    ),
    of_agent(
        "state_write_errors",
        Kind.COUNTER,
        "Number of polls whose outcome could not be written to state.path",
        lambda now: alone(now.fleet.write_errors),
        flag=STATE,
    ),
    of_agent(
        "events",
        Kind.COUNTER,
        "Number of events by source and kind",
        lambda now: now.events.inbox.counts.items() if now.events else (),
        labels=("source", "event"),
        flag=EVENTS,
    ),
    of_agent(
        "events_lag_seconds",
        Kind.GAUGE,
        "How long the latest events took from EMQX until they counted, at most",
        lambda now: each(now.events.inbox.lag) if now.events else (),
        labels=("source",),
        flag=EVENTS,
    ),
    of_agent(
        "events_up",
        Kind.GAUGE,
        "Whether events come in",
        lambda now: each(now.events.up(now.fleet.corrected_at)) if now.events else (),
        labels=("source",),
        flag=EVENTS,
    ),
    of_agent(
        "events_refused",
        Kind.COUNTER,
        "Number of posts with events that were refused, by reason",
        lambda now: each(now.events.refusals) if now.events else (),
        labels=("reason",),
        flag=EVENTS,
    ),
    of_agent(
        "corrections",
        Kind.COUNTER,
        "Number of connections whose begin or end no event told, so that polls had to, by kind",
        lambda now: each(now.fleet.corrections or {}),
        labels=("kind",),
        flag=EVENTS,
    ),
    of_agent(
        "otlp_exports",
        Kind.COUNTER,
        "Number of OTLP requests by outcome",
        lambda now: each(now.pushes.exports),
        labels=("outcome",),
        flag=PUSH,
    ),
    of_agent(
        "otlp_points",
        Kind.COUNTER,
        "Number of data points in OTLP requests by outcome",
        lambda now: each(now.pushes.points),
        labels=("outcome",),
        flag=PUSH,
    ),
    of_agent(
        "otlp_last_success_timestamp_seconds",
        Kind.GAUGE,
        "When a Collector last accepted a whole push (epoch seconds)",
        lambda now: alone(now.pushes.last_success),
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
    """Return the fields of EMQX's rows that the metrics enabled by ``flags`` need.

    To a counter belongs the field that says when it began: else nobody knows that it begins again.
    """
    on = enabled(flags)
    begins = {_BEGINS[metric.epoch] for metric in on if metric.epoch is not None}
    return PRESENCE_FIELDS.union(begins, *(metric.fields for metric in on))


def counted_by(flags: frozenset[str]) -> Counted:
    """Return the fields that the counters enabled by ``flags`` read, to be summed up."""
    fields = {
        epoch: tuple(
            sorted(field for one in enabled(flags) if one.epoch is epoch for field in one.fields)
        )
        for epoch in Epoch
    }
    return Counted(fields[Epoch.CONNECTION], fields[Epoch.SESSION])


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
