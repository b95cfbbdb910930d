"""One client, or a few beside each other, in detail."""

from dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    Column,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Step,
)
from dashboards.queries import CLIENT, chosen, each, everywhere, increase, presence, rate
from dashboards.shared import EVERY, PRESENCE
from dashboards.variables import ALIAS, BROKER, CLIENT_ID, JOB, SEARCH


def _state(title: str, description: str, expr: str, empty: str) -> Panel:
    texts = PRESENCE if title == "Presence now" else {1: ("overdue", RED), 0: ("no", GREEN)}
    return Panel(
        title,
        description,
        Kind.STAT,
        [Query(expr, "{{alias}}")],
        width=4,
        height=4,
        texts=texts,
        empty=empty,
    )


def _value(title: str, description: str, expr: str, unit: str, empty: str = "unknown") -> Panel:
    return Panel(
        title,
        description,
        Kind.STAT,
        [Query(expr, "{{alias}}")],
        width=4,
        height=4,
        unit=unit,
        decimals=0,
        empty=empty,
    )


def _lines(
    title: str,
    description: str,
    queries: list[Query],
    unit: str = "short",
    steps: tuple[Step, ...] = ((None, GREEN),),
) -> Panel:
    return Panel(title, description, Kind.LINES, queries, unit=unit, steps=steps, every=EVERY)


def _by_direction(name: str, *labels: str) -> Query:
    """Return the rates of a counter for each client, direction and further label."""
    by = ", ".join([CLIENT, "direction", *labels])
    legend = " ".join(["{{alias}} {{direction}}", *(f"{{{{{label}}}}}" for label in labels)])
    return Query(f"sum by ({by}) ({rate(chosen(name))})", legend)


_DETAILS = "node, username, proto_ver, clean_start, expiry_interval"

_WHO = Row(
    "Who and how",
    [
        _state(
            "Presence now",
            "What the latest poll found. Unknown: nothing is known now, as EMQX or the client's"
            " node does not answer; the client may well be connected.",
            presence(chosen("connected")),
            "unknown",
        ),
        _value(
            "Last seen ago",
            "Time since the client was last known to be connected: about 0 while it is. Needs"
            " enable_last_seen.",
            f"time() - {each(chosen('last_seen_timestamp_seconds'))}",
            "s",
        ),
        _value(
            "Connected for",
            "Age of the present connection; no value while there is none. Needs enable_dates.",
            f"time() - ({each(chosen('connected_at'))}"
            f" and on ({CLIENT}) {each(chosen('connected'))} == 1)",
            "s",
            "not connected",
        ),
        _state(
            "Overdue",
            "Whether the client was not seen for longer than its expected_every_seconds. Sleepy"
            " devices are away most of the time and all is well; this says when it is not.",
            everywhere(chosen("overdue")),
            "not set up",
        ),
        _value(
            "Keepalive",
            "The keepalive that the client asked for, 0 for none. EMQX takes a silent client for"
            " gone after one and a half of it. Needs enable_keepalive.",
            each(chosen("keepalive_seconds")),
            "s",
        ),
        _value(
            "Subscriptions",
            "Topic filters that the session is subscribed to. A device that should listen and has"
            " none hears nothing.",
            each(chosen("subscriptions")),
            "short",
        ),
        Panel(
            "Presence",
            "Green is connected, orange away, grey unknown. What happens between two"
            " polls or two scrapes does not show here; “Connections begun” has it.",
            Kind.STATES,
            [Query(presence(chosen("connected")), "{{alias}}")],
            width=12,
            height=7,
            texts=PRESENCE,
        ),
        Panel(
            "How it is connected",
            "Node, user and session, of the present connection or the last one known. Needs"
            " enable_client_info.",
            Kind.TABLE,
            [Query(f"max by ({CLIENT}, {_DETAILS}) ({chosen('client_info')})")],
            width=12,
            height=7,
            columns=[
                Column("client_id", "Client id"),
                Column("node", "Node"),
                Column("username", "User"),
                Column("proto_ver", "MQTT version"),
                Column("clean_start", "Clean start"),
                Column("expiry_interval", "Session expiry (s)"),
            ],
        ),
    ],
)

_TRAFFIC = Row(
    "Traffic: rx is from the client, tx is to it",
    [
        _lines(
            "Messages",
            "Messages a second. EMQX updates its counts every 15 s, so a step is at least that"
            " wide.",
            [_by_direction("messages_processed_total")],
            "cps",
        ),
        _lines(
            "Bytes",
            "Bytes a second. A session that is kept after a disconnect has no counts of bytes: its"
            " line ends.",
            [_by_direction("bytes_total")],
            "Bps",
        ),
        _lines(
            "Packets",
            "MQTT packets a second: pings and acknowledgements too, so a silent but living client"
            " shows here.",
            [_by_direction("packets_total")],
            "pps",
        ),
        _lines(
            "Messages by QoS",
            "Messages a second for each QoS. Needs enable_qos_split.",
            [_by_direction("messages_processed_by_qos_total", "qos")],
            "cps",
        ),
        _lines(
            "Dropped messages",
            "Messages a second that EMQX dropped: tx for want of room or time, rx for a QoS 2"
            " exchange that was not finished. Needs enable_dropped_counters.",
            [_by_direction("messages_dropped_total")],
            "cps",
        ),
        _lines(
            "Dropped messages by reason",
            "The same by EMQX's reason. Needs enable_reason_split.",
            [_by_direction("messages_dropped_by_reason_total", "reason")],
            "cps",
        ),
    ],
)

_SESSION = Row(
    "Session",
    [
        _lines(
            "Messages in flight",
            "Messages sent with QoS 1 or 2 that await the client's acknowledgement. At the client's"
            " receive maximum, 32 by default, further ones queue. The value of one moment; peaks"
            " between polls do not show.",
            [Query(each(chosen("inflights")), "{{alias}}")],
            steps=((None, GREEN), (24.0, ORANGE), (32.0, RED)),
        ),
        _lines(
            "Queue",
            "Messages that wait in the session. At EMQX's limit, 1000 by default, it drops the"
            " oldest. Needs enable_queue_metrics.",
            [Query(each(chosen("mqueue_length")), "{{alias}}")],
            steps=((None, GREEN), (800.0, ORANGE), (1000.0, RED)),
        ),
        _lines(
            "Dropped from the queue",
            "Messages dropped from a full queue in each interval, also while the client is away."
            " Needs enable_queue_metrics.",
            [
                Query(
                    f"sum by ({CLIENT}) ({increase(chosen('mqueue_dropped_total'))})",
                    "{{alias}}",
                )
            ],
        ),
        _lines(
            "Awaiting PUBREL",
            "QoS 2 messages that the client has begun to send and not finished. Needs"
            " enable_queue_metrics.",
            [Query(each(chosen("awaiting_rel")), "{{alias}}")],
        ),
        _lines(
            "Connections begun",
            "Connections in each interval that polls or events have seen. A line that does not rest"
            " at 0 is a client that cannot stay. Needs enable_connection_counters.",
            [Query(f"sum by ({CLIENT}) ({increase(chosen('connections_total'))})", "{{alias}}")],
        ),
        Panel(
            "Disconnections by reason",
            "How often connections ended in each interval and why, as EMQX's events say; polls do"
            " not tell. Needs events and enable_connection_counters.",
            Kind.LINES,
            [
                Query(
                    f"sum by ({CLIENT}, reason) ({increase(chosen('disconnections_total'))})",
                    "{{alias}} {{reason}}",
                )
            ],
            every=EVERY,
            empty="none told",
        ),
        Panel(
            "Session since",
            "When the session was created. A client that keeps its session over reconnects has an"
            " old one; a new one means that what was queued is lost. Needs enable_dates.",
            Kind.STAT,
            [Query(f"{each(chosen('created_at'))} * 1000", "{{alias}}")],
            width=12,
            height=4,
            unit="dateTimeAsIso",
            empty="unknown",
        ),
        Panel(
            "Last disconnected",
            "When the last connection ended; no value while the client is connected or where EMQX"
            " does not tell. Needs enable_last_seen.",
            Kind.STAT,
            [
                Query(
                    f"{each(chosen('disconnected_at_timestamp_seconds'))} * 1000",
                    "{{alias}}",
                )
            ],
            width=12,
            height=4,
            unit="dateTimeAsIso",
            empty="connected or unknown",
        ),
    ],
)

DASHBOARD = Dashboard(
    "client",
    "EMQX clients: one in detail",
    "One client of otel-emqx-monitor, or several beside each other: presence, traffic, session.",
    [JOB, BROKER, ALIAS, SEARCH, CLIENT_ID],
    [_WHO, _TRAFFIC, _SESSION],
)
