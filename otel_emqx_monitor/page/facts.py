"""What the page says of the broker, of polls, readers and memory: labels and words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.rows import NodeState
from otel_emqx_monitor.events.event import Source
from otel_emqx_monitor.events.inbox import FAILED, LOST
from otel_emqx_monitor.freshness import advice, in_words
from otel_emqx_monitor.instruments import PUSH
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.snapshot import Outcome, Snapshot
from otel_emqx_monitor.spans import in_words as span

#: Clusters are small; should one be large, its healthy nodes are only counted.
_NAMED_NODES = 12


@dataclass(frozen=True)
class Fact:
    """One line: what, how it is, and whether that should worry somebody.

    Without a label the text is a whole sentence.
    """

    label: str
    text: str
    alarming: bool = False


@dataclass(frozen=True)
class Verdict:
    """How asking EMQX goes, in one sentence, and why not when it does not."""

    text: str
    well: bool | None
    reason: str | None = None


def verdict(snapshot: Snapshot, now: float) -> Verdict:
    """Return how asking EMQX goes at ``now`` (seconds since the epoch)."""
    health = snapshot.health
    if health.up is None:
        return Verdict("EMQX has not been asked yet.", None)
    if health.up:
        return Verdict("EMQX answers.", well=True)
    if health.last_success is None:
        text = "EMQX has not answered since this agent started."
    else:
        text = f"EMQX does not answer; the last good poll was {_ago(health.last_success, now)}."
        if snapshot.fleet.polled_at is None:
            text += " That is too long ago to say how any client is."
    return Verdict(text, well=False, reason=health.last_error)


def of_polls(snapshot: Snapshot, config: Config, now: float) -> Sequence[Fact]:
    """Return when EMQX is asked, and what came of it."""
    health, interval = snapshot.health, config.polling.interval_seconds
    if interval is None:
        pace = f"when somebody reads, every {config.prometheus.ttl_seconds:g} s at most"
    else:
        pace = f"every {interval:g} s"
    last = "not yet"
    if health.last_success is not None:
        last = f"{_ago(health.last_success, now)}, {_clock(health.last_success)}"
    facts = [Fact("Polls", pace), Fact("Last good poll", last)]
    if health.poll_duration is not None:
        facts.append(Fact("Last poll took", f"{health.poll_duration:.2f} s"))
    failed = sum(health.errors.values())
    if failed and health.last_failure is not None:
        when = f"{failed:,}, the last one {_ago(health.last_failure, now)}"
        facts.append(Fact("Failed polls", when, alarming=not health.up))
        if health.up and health.last_error:
            facts.append(Fact("Its reason", health.last_error))
    else:
        facts.append(Fact("Failed polls", "none"))
    return facts


def of_broker(snapshot: Snapshot, config: Config) -> Sequence[Fact]:
    """Return the nodes of the broker, and how often its counters move."""
    fleet = snapshot.fleet
    facts = []
    well = [name for name, state in fleet.nodes.items() if state is NodeState.RUNNING]
    if config.emqx.node is not None:
        facts.append(Fact("Asked for", f"the clients of the node {config.emqx.node}"))
    if 0 < len(well) <= _NAMED_NODES:
        facts.append(Fact("Nodes that run", ", ".join(sorted(well))))
    elif fleet.nodes:
        facts.append(Fact("Nodes that run", f"{len(well)} of {len(fleet.nodes)}"))
    for state in (NodeState.HANGING, NodeState.STOPPED):
        names = sorted(name for name, one in fleet.nodes.items() if one is state)
        if names:
            title = "Nodes that hang" if state is NodeState.HANGING else "Nodes that do not run"
            facts.append(Fact(title, ", ".join(names), alarming=True))
    if fleet.polled_at is not None:
        facts.append(Fact("", in_words(fleet.refresh_seconds)))
        advised = advice(fleet.refresh_seconds, config, fleet.clients)
        facts += [Fact("", sentence) for sentence in advised]
    return facts


def of_readers(
    snapshot: Snapshot, reader: PrometheusReader, flags: frozenset[str], now: float
) -> Sequence[Fact]:
    """Return who reads, and when that last went well."""
    scraped = "nobody has scraped yet"
    if reader.last_scrape is not None:
        scraped = f"{_ago(reader.last_scrape, now)}, {_count(reader.scrapes, 'scrape')} in all"
    facts = [Fact("Prometheus", scraped)]
    if PUSH in flags:
        pushes = snapshot.pushes
        lost = sum(count for outcome, count in pushes.exports.items() if outcome != Outcome.SUCCESS)
        if pushes.last_success is None:
            told = "a Collector has not accepted a push yet"
        else:
            sent = _count(pushes.exports[Outcome.SUCCESS], "request")
            told = f"{_ago(pushes.last_success, now)}, {sent} accepted"
        facts.append(Fact("OTLP", told, alarming=pushes.last_success is None and lost > 0))
        if lost:
            facts.append(Fact("OTLP, not accepted", _count(lost, "request"), alarming=True))
    return facts


def of_events(snapshot: Snapshot, now: float) -> Sequence[Fact]:
    """Return how events come in, and whether they do; nothing where none are meant to."""
    if snapshot.events is None:
        return []
    inbox, up = snapshot.events.inbox, snapshot.events.up(snapshot.fleet.corrected_at)
    facts = []
    for source in dict.fromkeys(source for source, _ in inbox.counts):
        name, trouble = _EVENTS[source]
        last = inbox.last_delivery.get(source)
        told = "nothing has come yet" if last is None else f"the last came {_ago(last, now)}"
        down = up.get(source) == 0
        facts.append(Fact(name, f"{trouble}; {told}" if down else told, alarming=down))
    lost = sum(count for (_, what), count in inbox.counts.items() if what in (LOST, FAILED))
    if lost:
        facts.append(Fact("Lost", _count(lost, "event"), alarming=True))
    return facts


_EVENTS = {
    Source.WEBHOOK: ("By webhook", "polls find what it does not tell"),
    Source.MQTT: ("By MQTT", "not subscribed"),
}


def of_memory(snapshot: Snapshot, config: Config, now: float) -> Sequence[Fact]:
    """Return what counters say, what is kept, and who was left out."""
    fleet = snapshot.fleet
    facts = [Fact("Counters", _COUNTERS[config.counters])]
    if config.state.path is None:
        facts.append(Fact("Kept in", "memory only, until this agent ends"))
    else:
        facts.append(Fact("Kept in", config.state.path))
        written = "not yet" if fleet.written_at is None else _ago(fleet.written_at, now)
        facts.append(Fact("Last written", written))
        if fleet.write_errors:
            failed = f"{_count(fleet.write_errors, 'poll')} could not be written; see the log"
            facts.append(Fact("Write errors", failed, alarming=True))
    if fleet.over_limit:
        left_out = f"{_count(fleet.over_limit, 'client')} beyond max_clients"
        facts.append(Fact("Left out", f"{left_out}, {config.max_clients:,}", alarming=True))
    return facts


def of_configuration(snapshot: Snapshot, now: float) -> Sequence[Fact]:
    """Return that the configuration on disk is not the one in force; nothing where it is."""
    reload = snapshot.reload
    if reload is None or reload.successful:
        return []
    return [
        Fact("On disk", "cannot be used; the log says why", alarming=True),
        Fact("In force", f"that of {_ago(reload.succeeded_at, now)}, {clock(reload.succeeded_at)}"),
    ]


_COUNTERS = {
    "live": "of each client's present connection",
    "cumulative": "sums over the connections of each client",
}


def clock(at: float) -> str:
    """Return date and time in UTC of an instant in seconds since the epoch."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"


def _ago(at: float, now: float) -> str:
    return f"{span(now - at)} ago"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
