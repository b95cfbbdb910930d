"""Whether the agent itself is well: its polls, its pushes, its events, what it costs."""

from dashboards.panels import (
    GREEN,
    ORANGE,
    Column,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Step,
)
from dashboards.queries import PREFIX, agents, increase, rate
from dashboards.shared import ANY_IS_RED, EVERY, NODE_STATES, STATES, YES
from dashboards.variables import BROKER, JOB

_OWN = "job=~`${job:regex}`"


def _lines(
    title: str, description: str, *queries: Query, unit: str = "short", width: int = 8
) -> Panel:
    return Panel(title, description, Kind.LINES, queries, unit=unit, every=EVERY, width=width)


def _stat(  # noqa: PLR0913 - what differs, each by its name
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    steps: tuple[Step, ...] = ((None, GREEN),),
    empty: str = "",
) -> Panel:
    return Panel(
        title,
        description,
        Kind.STAT,
        [query],
        width=3,
        height=4,
        unit=unit,
        decimals=0,
        steps=steps,
        empty=empty,
    )


def _age(name: str) -> str:
    return f"time() - max by (job, broker) ({agents(name)})"


_EMQX = Row(
    "Asking EMQX",
    [
        Panel(
            "Agents",
            "The versions of the agents that Prometheus knows now. An agent that died is missing;"
            " through a Collector only after the Collector's metric_expiration.",
            Kind.TABLE,
            [
                Query(
                    "max by (job, instance, version, python_version)"
                    f" ({PREFIX}build_info{{{_OWN}}})"
                )
            ],
            width=9,
            height=4,
            columns=[
                Column("job", "Job"),
                Column("instance", "Instance"),
                Column("version", "Version"),
                Column("python_version", "Python"),
            ],
        ),
        _stat(
            "Failed polls",
            "Polls that failed in the time shown, of all brokers chosen. A few are retried and no"
            " harm; what counts is the age of the data.",
            Query(f"sum(increase({agents('poll_errors_total')}[$__range]))"),
            steps=((None, GREEN), (1.0, ORANGE)),
        ),
        _stat(
            "Unknown clients",
            "Clients of which the agent does not say anything now, as it does not know.",
            Query(f"sum({agents('clients', 'state=`unknown`')})"),
            steps=((None, GREEN), (1.0, ORANGE)),
        ),
        _stat(
            "Clients left out",
            "Clients that match the configuration and are over max_clients: they have no metrics.",
            Query(f"sum({agents('clients_over_limit')})"),
            steps=ANY_IS_RED,
            empty="no patterns",
        ),
        _stat(
            "EMQX counts every",
            "How often EMQX updates a client's counters (mqtt.idle_timeout); 15 s when it does not"
            " tell. No rate can be finer, however often it is polled.",
            Query(f"max by (broker) ({agents('broker_refresh_seconds')})", "{{broker}}"),
            unit="s",
        ),
        _stat(
            "State not written",
            "Polls in the time shown whose outcome could not be written to state.path: it would be"
            " forgotten in a restart.",
            Query(f"sum(increase({agents('state_write_errors_total')}[$__range]))"),
            steps=ANY_IS_RED,
            empty="no state.path",
        ),
        Panel(
            "EMQX answers",
            "Whether the latest poll of each broker succeeded. A gap: the agent gave no metrics.",
            Kind.STATES,
            [Query(f"min by (broker) ({agents('up')})", "{{broker}}")],
            texts=YES,
        ),
        _lines(
            "Time since the last good poll",
            "A saw tooth as high as the interval of polls. Above stale_after_seconds, by default"
            " three polls and at least 60 s, all clients are unknown.",
            Query(_age("last_success_timestamp_seconds"), "{{broker}}"),
            unit="s",
        ),
        _lines(
            "Duration of polls",
            "How long the latest poll took, good or not: also how old what it says is when it"
            " arrives. Close to the interval of polls it is time to ask for less.",
            Query(f"max by (broker) ({agents('poll_duration_seconds')})", "{{broker}}"),
            unit="s",
        ),
        _lines(
            "Failed polls by reason",
            "Failed polls in each interval. The reasons are those of the agent's log, which has the"
            " details.",
            Query(f"sum by (reason) ({increase(agents('poll_errors_total'))}) > 0", "{{reason}}"),
        ),
        Panel(
            "Nodes by state",
            "What EMQX's nodes are to the agent: of the clients of a node that hangs nothing is"
            " known.",
            Kind.LINES,
            [Query(f"sum by (state) ({agents('nodes')})", "{{state}}")],
            stacked=True,
            colors=NODE_STATES,
        ),
        Panel(
            "Clients by state",
            "The same as in the fleet: unknown clients beside nodes that hang tell why.",
            Kind.LINES,
            [Query(f"sum by (state) ({agents('clients')})", "{{state}}")],
            stacked=True,
            colors=STATES,
        ),
    ],
)

_CONFIGURATION = Row(
    "Configuration",
    [
        Panel(
            "Configuration is good",
            "Whether the configuration on disk was good when the agent last read it. If not, the"
            " agent goes on with the one before, and will not start with this one.",
            Kind.STATES,
            [Query(f"min by (broker) ({agents('config_last_reload_successful')})", "{{broker}}")],
            width=16,
            height=5,
            texts=YES,
        ),
        Panel(
            "In force since",
            "When the configuration in force took over, in a start of the agent or a reload.",
            Kind.STAT,
            [
                Query(
                    "max by (broker)"
                    f" ({agents('config_last_reload_success_timestamp_seconds')}) * 1000",
                    "{{broker}}",
                )
            ],
            height=5,
            unit="dateTimeAsIso",
            empty="unknown",
        ),
    ],
)

_EVENTS = Row(
    "Events (with the section events in the configuration)",
    [
        Panel(
            "Events come in",
            "Whether events come in by each way. Without them the polls go on, and tell the same"
            " later.",
            Kind.STATES,
            [Query(f"min by (broker, source) ({agents('events_up')})", "{{broker}} {{source}}")],
            texts=YES,
            empty="no events set up",
        ),
        _lines(
            "Events",
            "Events a second by kind. In a quiet fleet none are none.",
            Query(
                f"sum by (source, event) ({rate(agents('events_total'))})", "{{source}} {{event}}"
            ),
            unit="cps",
        ),
        _lines(
            "Delay of events",
            "From the moment in EMQX until an event counted, the longest of the latest. It compares"
            " the clocks of two hosts: what is constant may be their difference.",
            Query(f"max by (source) ({agents('events_lag_seconds')})", "{{source}}"),
            unit="s",
        ),
        _lines(
            "Refused posts",
            "Posts with events in each interval that the agent refused. Any but “too many” is"
            " somebody without the token, or a rule that is not the agent's own.",
            Query(f"sum by (reason) ({increase(agents('events_refused_total'))})", "{{reason}}"),
            width=12,
        ),
        _lines(
            "Corrections by polls",
            "Begins and ends of connections in each interval that no event told. A few after a"
            " start are due; many mean that events get lost.",
            Query(f"sum by (kind) ({increase(agents('corrections_total'))})", "{{kind}}"),
            width=12,
        ),
    ],
)

_PUSH = Row(
    "Pushing (with the section otlp in the configuration)",
    [
        _lines(
            "Requests to the Collector",
            "OTLP requests in each interval by outcome. Seen through the same Collector, failures"
            " show only once it answers again.",
            Query(f"sum by (outcome) ({increase(agents('otlp_exports_total'))})", "{{outcome}}"),
        ),
        _lines(
            "Data points",
            "Data points a second by outcome: what is refused or dropped is lost.",
            Query(f"sum by (outcome) ({rate(agents('otlp_points_total'))})", "{{outcome}}"),
            unit="cps",
        ),
        _lines(
            "Time since the last whole push",
            "A saw tooth as high as the interval of pushes. It says that the Collector took them,"
            " not what it did with them.",
            Query(_age("otlp_last_success_timestamp_seconds"), "{{broker}}"),
            unit="s",
        ),
    ],
)

_COST = Row(
    "What it costs (only where Prometheus scrapes the agent itself)",
    [
        _lines(
            "CPU",
            "Cores that the agent's process uses; one is its limit.",
            Query(
                f"sum by (job, instance) ({rate(f'process_cpu_seconds_total{{{_OWN}}}')})",
                "{{instance}}",
            ),
            unit="percentunit",
        ),
        _lines(
            "Memory",
            "Resident memory of the agent's process. It follows the number of clients and settles;"
            " what grows for days is a fault.",
            Query(
                f"max by (job, instance) (process_resident_memory_bytes{{{_OWN}}})", "{{instance}}"
            ),
            unit="bytes",
        ),
        _lines(
            "Scrapes",
            "How long Prometheus took to scrape each agent; the first scrape after a poll waits for"
            " the page to be written. Above scrape_timeout nothing arrives.",
            Query(f"max by (job, instance) (scrape_duration_seconds{{{_OWN}}})", "{{instance}}"),
            unit="s",
        ),
        _lines(
            "Samples in a scrape",
            "What Prometheus has to store for each scrape. Flags that are on multiply it.",
            Query(f"max by (job, instance) (scrape_samples_scraped{{{_OWN}}})", "{{instance}}"),
        ),
        _lines(
            "Open files",
            "Files and sockets that the agent holds open.",
            Query(f"max by (job, instance) (process_open_fds{{{_OWN}}})", "{{instance}}"),
        ),
        Panel(
            "Scraped",
            "Whether Prometheus reached the agent. Where it does not, all its series end: clients"
            " are unknown, not away.",
            Kind.STATES,
            [Query(f"min by (job, instance) (up{{{_OWN}}})", "{{instance}}")],
            texts=YES,
        ),
    ],
)

DASHBOARD = Dashboard(
    "agent",
    "EMQX clients: health of the agent",
    "Whether otel-emqx-monitor itself is well: polls, events, pushes, and what it costs.",
    [JOB, BROKER],
    [_EMQX, _CONFIGURATION, _EVENTS, _PUSH, _COST],
)
