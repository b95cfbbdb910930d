"""All clients at a glance: how many are there, who is not, what passes, who comes and goes."""

from dashboards.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    Column,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
)
from dashboards.queries import (
    CLIENT,
    agents,
    each,
    everywhere,
    found,
    increase,
    on_node,
    presence,
    rate,
)
from dashboards.shared import DIRECTIONS, EVERY, PRESENCE, STATES, YES, directions
from dashboards.variables import ALIAS, BROKER, JOB, NODE, RESTLESS, SEARCH

#: A query over all clients gets this many steps: more, and Prometheus may refuse it (by default it
#: holds 50 million samples) for a large fleet.
_POINTS = 120

_WHO = (Column("alias", "Alias"), Column("client_id", "Client id", client_link=True))


def _count(title: str, description: str, expr: str, *, bad: str = "", empty: str = "") -> Panel:
    return Panel(
        title,
        description,
        Kind.STAT,
        [Query(expr)],
        width=4,
        height=4,
        decimals=0,
        steps=((None, GREEN), (1.0, bad or GREEN)),
        empty=empty,
    )


def _in_state(states: str) -> str:
    return f"sum({agents('clients', f'state=~`{states}`')})"


_NOW = Row(
    "Now",
    [
        _count(
            "Connected",
            "Monitored clients that the latest poll found connected. While polls fail it is the"
            " last number known, until the data are stale.",
            _in_state("connected"),
        ),
        _count(
            "Away",
            "Monitored clients that are not connected: EMQX keeps their session, or a complete poll"
            " did not find them, or their node is silent for stale_after_seconds. With an agent"
            " beside each node, a client that is listed by its id counts as absent on every node"
            " but its own.",
            _in_state("disconnected|absent"),
            bad=ORANGE,
        ),
        _count(
            "Unknown",
            "Monitored clients of which nothing is known, as EMQX, or the node that had them, does"
            " not answer. They may well be connected.",
            _in_state("unknown"),
            bad=GREY,
        ),
        _count(
            "Overdue",
            "Clients that were not seen for longer than their expected_every_seconds. Clients"
            " without that setting, and those of which nothing is known, do not count.",
            f"sum({everywhere(found('overdue'))})",
            bad=RED,
            empty="not set up",
        ),
        Panel(
            "EMQX answers",
            "Whether the latest poll of each broker succeeded. Unknown: the agent has not polled"
            " yet, or Prometheus does not get its metrics.",
            Kind.STAT,
            [Query(f"min by (broker) ({agents('up')})", "{{broker}}")],
            width=4,
            height=4,
            texts=YES,
            empty="unknown",
        ),
        Panel(
            "Age of the data",
            "Time since the latest successful poll, of the broker where it is longest. What clients"
            " do becomes visible this late; from stale_after_seconds on they are unknown.",
            Kind.STAT,
            [Query(f"max(time() - {agents('last_success_timestamp_seconds')})")],
            width=4,
            height=4,
            unit="s",
            decimals=0,
            steps=((None, GREEN), (60.0, ORANGE), (120.0, RED)),
            empty="unknown",
        ),
        Panel(
            "Clients by state",
            "How many monitored clients are in each state: how many, not who. One that leaves while"
            " another comes does not show. The search above does not apply.",
            Kind.LINES,
            [Query(f"sum by (state) ({agents('clients')})", "{{state}}")],
            width=12,
            stacked=True,
            colors=STATES,
        ),
        Panel(
            "Brokers and their nodes",
            "Whether each broker could be asked, and each node answered for its clients. One that"
            " did not answer the agent may serve its clients all the same.",
            Kind.STATES,
            [
                Query(f"min by (broker) ({agents('up')})", "{{broker}}"),
                Query(
                    f"max by (broker, node) ({agents('node_up', 'node=~`${node:regex}`')})",
                    "{{node}}",
                ),
            ],
            width=12,
            texts={1: ("answers", GREEN), 0: ("does not", RED)},
        ),
    ],
)

_AWAY = f"topk(100, {each(on_node(found('connected')))} == 0)"
_SEEN = each(found("last_seen_timestamp_seconds"))
_LAST = f"last_over_time({found('connected')}[$__range])"
_UNKNOWN = f"topk(100, {each(_LAST)} unless on ({CLIENT}) {each(found('connected'))})"

_PRESENCE = Row(
    "Who is not there",
    [
        Panel(
            "The 20 clients that came and went most",
            "Presence of the clients that changed most in the time shown, on all nodes. Grey is"
            " unknown, which is not away. What happens between two polls or two scrapes does not"
            " show here; the counter behind “Connections” has it.",
            Kind.STATES,
            [Query(presence(agents("connected", "client_id=~`${restless:regex}`")), "{{alias}}")],
            width=12,
            height=12,
            texts=PRESENCE,
            client_link=True,
        ),
        Panel(
            "Away now",
            "Up to 100 clients that are not connected, and how long ago each was last"
            " seen if enable_last_seen is on.",
            Kind.TABLE,
            [Query(_AWAY), Query(f"time() - {_SEEN} and on ({CLIENT}) {_AWAY}")],
            width=6,
            height=12,
            columns=[*_WHO, Column("Value #B", "Last seen ago", unit="s")],
        ),
        Panel(
            "Unknown now",
            "Up to 100 clients that were known in the time shown and are not now, with what each"
            " was last. A client that is not monitored any more looks the same.",
            Kind.TABLE,
            [Query(_UNKNOWN)],
            width=6,
            height=12,
            columns=[*_WHO, Column("Value", "Was last", texts=PRESENCE)],
        ),
    ],
)


def _total(title: str, description: str, queries: list[Query], unit: str) -> Panel:
    return Panel(
        title,
        description,
        Kind.LINES,
        queries,
        unit=unit,
        colors=DIRECTIONS,
        every=EVERY,
        points=_POINTS,
    )


def _top(title: str, description: str, expr: str, unit: str = "short") -> Panel:
    return Panel(
        title,
        description,
        Kind.BARS,
        [Query(f"topk(10, {each(on_node(expr))} > 0)", "{{alias}}")],
        unit=unit,
        decimals=None if unit == "short" else 1,
        every=EVERY,
        empty="none",
        client_link=True,
    )


def _both_ways(name: str) -> str:
    return f"sum without (direction) ({rate(found(name))})"


_TRAFFIC = Row(
    "Traffic",
    [
        _total(
            "Messages",
            "Messages a second of all clients found. EMQX updates its counts every 15 s, and what"
            " passes after the last update of a connection may never be counted.",
            directions(found, "messages_processed_total"),
            "cps",
        ),
        _total(
            "Bytes",
            "Bytes a second of all clients found, with MQTT's headers and without TCP's and TLS's.",
            directions(found, "bytes_total"),
            "Bps",
        ),
        Panel(
            "Dropped messages by reason",
            "Messages a second that EMQX dropped for the clients found. Needs enable_reason_split."
            " Drops that EMQX does not count for a client, such as those for want of a subscriber,"
            " are not here.",
            Kind.LINES,
            [
                Query(
                    f"sum by (reason) ({rate(found('messages_dropped_by_reason_total'))})",
                    "{{reason}}",
                )
            ],
            unit="cps",
            stacked=True,
            every=EVERY,
            points=_POINTS,
        ),
        _top(
            "Busiest clients",
            "The ten with the most messages a second now, both ways together.",
            _both_ways("messages_processed_total"),
            "cps",
        ),
        _top(
            "Most messages dropped",
            "The ten clients for which EMQX drops the most now, both ways together. None is good,"
            " or enable_dropped_counters is off.",
            _both_ways("messages_dropped_total"),
            "cps",
        ),
        _top(
            "Longest queues",
            "The ten clients with the most messages waiting in their session, connected or not. At"
            " EMQX's limit, 1000 by default, it drops. Needs enable_queue_metrics.",
            found("mqueue_length"),
        ),
    ],
)

_COMING = Row(
    "Coming and going",
    [
        Panel(
            "Connections",
            "Connections begun, and ends told by events, among the clients found. Polls alone miss"
            " a reconnect only if another one follows before the next poll. Needs"
            " enable_connection_counters.",
            Kind.LINES,
            [
                Query(f"sum({increase(found('connections_total'))})", "connected"),
                Query(f"sum({increase(found('disconnections_total'))})", "disconnected"),
            ],
            colors={"connected": GREEN, "disconnected": ORANGE},
            every=EVERY,
            points=_POINTS,
        ),
        Panel(
            "Disconnections by reason",
            "Why connections ended, as EMQX's events say; polls do not tell. Needs events and"
            " enable_connection_counters.",
            Kind.LINES,
            [
                Query(
                    f"sum by (reason) ({increase(found('disconnections_total'))})",
                    "{{reason}}",
                )
            ],
            stacked=True,
            every=EVERY,
            points=_POINTS,
            empty="none told",
        ),
        Panel(
            "Connected clients by node",
            "On which node the clients found are. Needs enable_client_info. A node that does not"
            " answer has no line: nothing is known of its clients.",
            Kind.LINES,
            [
                Query(
                    f"count by (node) ({found('client_info', 'node=~`${node:regex}`')}"
                    f" and on (job, instance, broker, client_id) {found('connected')} == 1)",
                    "{{node}}",
                )
            ],
            stacked=True,
            points=_POINTS // 2,
        ),
    ],
)

DASHBOARD = Dashboard(
    "fleet",
    "EMQX clients: fleet",
    "The clients that otel-emqx-monitor watches: how many are there, who is not, what passes.",
    [JOB, BROKER, NODE, ALIAS, SEARCH, RESTLESS],
    [_NOW, _PRESENCE, _TRAFFIC, _COMING],
)
