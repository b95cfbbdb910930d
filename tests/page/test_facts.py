from collections.abc import Mapping
from dataclasses import replace

from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.emqx.rows import NodeState
from otel_emqx_monitor.events.event import Source
from otel_emqx_monitor.events.inbox import LOST, InboxView
from otel_emqx_monitor.events.receivers import EventsView
from otel_emqx_monitor.events.webhook import Refusal
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.instruments import PUSH
from otel_emqx_monitor.page import facts
from otel_emqx_monitor.page.facts import Fact, Verdict
from otel_emqx_monitor.snapshot import Outcome, Pushes, Reload
from tests.fleets import CALM
from tests.page.pages import NOW, config, fleet, idle_reader, snapshot

NOT_ASKED = replace(CALM, up=None, last_success=None, poll_duration=None)
FAILING = replace(
    CALM,
    up=False,
    errors={**CALM.errors, Reason.TIMEOUT: 3},
    last_failure=999.0,
    last_error="no answer in time",
)
HOURS = 3 * 3600.0


def test_the_verdict_tells_whether_emqx_answers() -> None:
    assert facts.verdict(snapshot(fleet()), NOW) == Verdict("EMQX answers.", well=True)
    waiting = snapshot(fleet(polled_at=None), health=NOT_ASKED)
    assert facts.verdict(waiting, NOW) == Verdict("EMQX has not been asked yet.", None)


def test_the_verdict_of_a_failure_has_its_reason_and_what_is_still_known() -> None:
    failing = snapshot(fleet(), health=FAILING)
    assert facts.verdict(failing, NOW) == Verdict(
        "EMQX does not answer; the last good poll was 2 seconds ago.",
        well=False,
        reason="no answer in time",
    )
    stale = snapshot(fleet().forgotten(), health=FAILING)
    assert facts.verdict(stale, NOW).text == (
        "EMQX does not answer; the last good poll was 2 seconds ago. That is too long ago to say"
        " how any client is."
    )
    never = snapshot(fleet(polled_at=None), health=replace(FAILING, last_success=None))
    assert facts.verdict(never, NOW).text == "EMQX has not answered since this agent started."


def test_polls_are_told_with_their_pace() -> None:
    assert facts.of_polls(snapshot(fleet()), config(), NOW) == [
        Fact("Polls", "when somebody reads, every 15 s at most"),
        Fact("Last good poll", "2 seconds ago, 00:16:40 UTC"),
        Fact("Last poll took", "0.25 s"),
        Fact("Failed polls", "none"),
    ]
    scheduled = config(polling={"interval_seconds": 30})
    waiting = snapshot(fleet(), health=NOT_ASKED)
    assert facts.of_polls(waiting, scheduled, NOW) == [
        Fact("Polls", "every 30 s"),
        Fact("Last good poll", "not yet"),
        Fact("Failed polls", "none"),
    ]


def test_failed_polls_are_counted_and_the_last_reason_stays_when_they_are_over() -> None:
    failing = facts.of_polls(snapshot(fleet(), health=FAILING), config(), NOW)
    assert failing[-1] == Fact("Failed polls", "3, the last one 3 seconds ago", alarming=True)
    over = facts.of_polls(snapshot(fleet(), health=replace(FAILING, up=True)), config(), NOW)
    assert over[-2:] == [
        Fact("Failed polls", "3, the last one 3 seconds ago"),
        Fact("Its reason", "no answer in time"),
    ]


def test_nodes_are_told_by_state_and_freshness_with_advice() -> None:
    nodes = {
        "emqx@3": NodeState.HANGING,
        "emqx@2": NodeState.RUNNING,
        "emqx@1": NodeState.RUNNING,
        "emqx@4": NodeState.STOPPED,
    }
    told = facts.of_broker(snapshot(fleet(nodes=nodes, refresh_seconds=60.0)), config())
    assert told[:4] == [
        Fact("Nodes that run", "emqx@1, emqx@2"),
        Fact("Nodes that hang", "emqx@3", alarming=True),
        Fact("Nodes that do not run", "emqx@4", alarming=True),
        Fact("", "Counters move every 60 s (mqtt.idle_timeout)."),
    ]
    assert told[4].text.startswith("prometheus.ttl_seconds is 15, so several polls in a row")


def test_many_nodes_are_counted_and_one_node_only_is_told() -> None:
    nodes = {f"emqx@{number}": NodeState.RUNNING for number in range(13)}
    told = facts.of_broker(snapshot(fleet(nodes=nodes)), config(emqx={"node": "emqx@7"}))
    assert told == [
        Fact("Asked for", "the clients of the node emqx@7"),
        Fact("Nodes that run", "13 of 13"),
        Fact("", "This key cannot read mqtt.idle_timeout; counters are taken to move every 15 s."),
    ]
    assert facts.of_broker(snapshot(fleet(polled_at=None)), config()) == []


def events(
    delivered: Mapping[Source, float],
    *,
    lost: int = 0,
    subscribed: bool | None = None,
    corrected_at: float | None = None,
) -> list[Fact]:
    counts = {(Source.WEBHOOK, "connected"): 5, (Source.WEBHOOK, LOST): lost}
    if subscribed is not None:
        counts[Source.MQTT, "connected"] = 5
    view = EventsView(
        InboxView(counts, {}, delivered, waiting=0), subscribed, dict.fromkeys(Refusal, 0)
    )
    of = snapshot(fleet(corrected_at=corrected_at), events=view)
    return list(facts.of_events(of, NOW))


def test_nothing_is_told_of_events_where_none_are_meant_to_come() -> None:
    assert facts.of_events(snapshot(fleet()), NOW) == []


def test_events_are_told_with_when_the_last_came_and_what_was_lost() -> None:
    assert events({}) == [Fact("By webhook", "nothing has come yet")]
    assert events({Source.WEBHOOK: 995.0}, lost=2) == [
        Fact("By webhook", "the last came 7 seconds ago"),
        Fact("Lost", "2 events", alarming=True),
    ]


def test_events_that_do_not_come_are_alarming() -> None:
    assert events({Source.WEBHOOK: 995.0}, subscribed=False, corrected_at=999.0) == [
        Fact(
            "By webhook",
            "polls find what it does not tell; the last came 7 seconds ago",
            alarming=True,
        ),
        Fact("By MQTT", "not subscribed; nothing has come yet", alarming=True),
    ]


def readers(reader_scrapes: int, pushes: Pushes | None = None) -> list[Fact]:
    reader = idle_reader()
    if reader_scrapes:
        reader.scrapes, reader.last_scrape = reader_scrapes, 992.0
    flags = frozenset() if pushes is None else frozenset({PUSH})
    of = snapshot(fleet()) if pushes is None else snapshot(fleet(), pushes=pushes)
    return list(facts.of_readers(of, reader, flags, NOW))


def test_readers_are_told_with_their_last_success() -> None:
    assert readers(0) == [Fact("Prometheus", "nobody has scraped yet")]
    assert readers(1) == [Fact("Prometheus", "10 seconds ago, 1 scrape in all")]
    assert readers(1234)[0].text == "10 seconds ago, 1,234 scrapes in all"


def pushed(success: int, refused: int, last_success: float | None) -> Pushes:
    exports = {Outcome.SUCCESS: success, Outcome.REFUSED: refused, Outcome.DROPPED: 0}
    return Pushes(exports, exports, last_success)


def test_pushes_are_told_where_there_are_any() -> None:
    never = "a Collector has not accepted a push yet"
    assert readers(0, pushed(0, 0, None))[1:] == [Fact("OTLP", never)]
    assert readers(0, pushed(0, 2, None))[1:] == [
        Fact("OTLP", never, alarming=True),
        Fact("OTLP, not accepted", "2 requests", alarming=True),
    ]
    assert readers(0, pushed(5, 0, 942.0))[1:] == [
        Fact("OTLP", "a minute ago, 5 requests accepted")
    ]


def memory(of: Fleet, **sections: object) -> list[Fact]:
    return list(facts.of_memory(snapshot(of), config(**sections), NOW))


def test_what_is_kept_is_told() -> None:
    assert memory(fleet()) == [
        Fact("Counters", "of each client's present connection"),
        Fact("Kept in", "memory only, until this agent ends"),
    ]
    kept = {"counters": "cumulative", "state": {"path": "/var/lib/x.db"}}
    assert memory(fleet(write_errors=0, written_at=NOW - HOURS), **kept) == [
        Fact("Counters", "sums over the connections of each client"),
        Fact("Kept in", "/var/lib/x.db"),
        Fact("Last written", "3 hours ago"),
    ]
    assert memory(fleet(write_errors=1), **kept)[2:] == [
        Fact("Last written", "not yet"),
        Fact("Write errors", "1 poll could not be written; see the log", alarming=True),
    ]


def test_who_is_left_out_is_counted() -> None:
    assert memory(fleet(over_limit=0)) == memory(fleet())
    assert memory(fleet(over_limit=12), max_clients=5000)[-1] == Fact(
        "Left out", "12 clients beyond max_clients, 5,000", alarming=True
    )


def test_a_configuration_on_disk_that_is_not_in_force_is_told() -> None:
    def told(reload: Reload | None) -> list[Fact]:
        return list(facts.of_configuration(snapshot(fleet(), reload=reload), NOW))

    assert told(None) == []  # embedded: nobody reloads
    assert told(Reload(successful=True, succeeded_at=500.0)) == []
    assert told(Reload(successful=False, succeeded_at=NOW - HOURS)) == [
        Fact("On disk", "cannot be used; the log says why", alarming=True),
        Fact("In force", "that of 3 hours ago, 1969-12-31 21:16:42 UTC"),
    ]
