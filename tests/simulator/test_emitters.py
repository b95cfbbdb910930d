"""Events on real sockets, as the broker was told by its API, or handed to a callback."""

from collections import Counter

import pytest

from otel_emqx_monitor.events import sys_topics
from otel_emqx_monitor.events.event import Event, Kind
from otel_emqx_monitor.simulator import Broker, Disorder, Script, SysTopics, Webhook
from tests.peers import unused_port
from tests.simulator.scripts import START, Receiver, busy_minute, configure, receiver

SHORT_PRESENCE = (
    'SELECT event, clientid FROM "$events/client_connected", "$events/client_disconnected"'
)


def posted(events: list[dict[str, object]]) -> Counter[object]:
    return Counter(event["event"] for event in events)


def test_minute_of_events_arrives_whole_without_waiting_for_it() -> None:
    script = Script()
    broker = Broker(source=script)
    end = busy_minute(script)
    with receiver() as agent, Webhook(script, broker.integration) as webhook:
        configure(broker, agent.url)
        assert webhook.run_to(end) == len(agent.events)
    total = script.total()
    assert posted(agent.events) == {
        "client.connected": total.connections,
        "client.disconnected": total.disconnections.total(),
        "message.publish": total.received.total(),
        "message.delivered": total.sent.total(),
        "message.acked": total.acked,
        "message.dropped": total.messages_dropped.total(),
        "delivery.dropped": total.deliveries_dropped.total(),
    }
    assert (webhook.refused, webhook.expired, webhook.waiting) == (0, 0, 0)


def test_only_what_the_rules_select_is_posted() -> None:
    script = Script()
    broker = Broker(source=script)
    end = busy_minute(script, clients=3)
    with receiver() as agent, Webhook(script, broker.integration) as webhook:
        configure(broker, agent.url, SHORT_PRESENCE)
        webhook.run_to(end)
    assert len(agent.events) == 8
    assert agent.events[0] == {"event": "client.connected", "clientid": "sub"}


def test_without_rules_nothing_is_posted() -> None:
    script = Script()
    end = busy_minute(script, clients=3)
    with Webhook(script, Broker(source=script).integration) as webhook:
        assert webhook.run_to(end) == 0


def test_events_come_as_the_clock_goes() -> None:
    script = Script()
    broker = Broker(source=script)
    script.short_session(START + 1, "a", seconds=2, messages=0)
    with receiver() as agent, Webhook(script, broker.integration) as webhook:
        configure(broker, agent.url)
        assert [webhook.run_to(START + second) for second in range(5)] == [0, 1, 0, 1, 0]


def test_disorder_is_that_of_the_stream_of_events() -> None:
    script = Script()
    broker = Broker(source=script)
    end = busy_minute(script)
    disorder = Disorder(seed=1, lose=0.05, double=0.05, reorder_seconds=2.0)
    with receiver() as agent, Webhook(script, broker.integration, disorder) as webhook:
        configure(broker, agent.url)
        webhook.run_to(end + 2)
    way = webhook.under_way
    told = posted(agent.events).total()
    total = script.total()
    truth = (
        total.connections
        + total.disconnections.total()
        + total.received.total()
        + total.sent.total()
        + total.acked
        + total.messages_dropped.total()
        + total.deliveries_dropped.total()
    )
    assert told == truth - way.lost + way.doubled
    assert way.lost > 0
    assert way.doubled > 0
    times = [event["timestamp"] for event in agent.events]
    assert times != sorted(times)


@pytest.mark.parametrize("status", [429, 503])
def test_posts_are_tried_again_when_the_agent_is_busy(status: int) -> None:
    webhook, agent = short_session_with(status)
    assert (webhook.posted, webhook.waiting, len(agent.posts)) == (0, 5, 1)
    agent.status = 200
    assert webhook.run_to(START + 44) == 5
    finish(webhook, agent)


def test_posts_are_given_up_when_they_are_too_old() -> None:
    webhook, agent = short_session_with(503)
    assert webhook.run_to(START + 100) == 0
    assert (webhook.expired, webhook.waiting) == (5, 0)
    finish(webhook, agent)


def test_other_refusals_are_final() -> None:
    webhook, agent = short_session_with(401)
    assert (webhook.refused, webhook.waiting) == (5, 0)
    assert list(webhook.statuses) == [401] * 5
    finish(webhook, agent)


def short_session_with(status: int) -> tuple[Webhook, Receiver]:
    script = Script()
    broker = Broker(source=script)
    script.short_session(START, "a")
    agent = Receiver()
    agent.status = status
    configure(broker, agent.url)
    webhook = Webhook(script, broker.integration)
    webhook.run_to(START + 1)
    return webhook, agent


def finish(webhook: Webhook, agent: Receiver) -> None:
    webhook.close()
    agent.close()


def test_agent_that_is_not_there_gets_its_posts_when_it_comes() -> None:
    script = Script()
    broker = Broker(source=script)
    script.short_session(START, "a")
    port = unused_port()
    configure(broker, f"http://127.0.0.1:{port}")
    with Webhook(script, broker.integration) as webhook:
        assert webhook.run_to(START + 1) == 0
        assert webhook.waiting == 5


def test_sys_topics_have_presence_only() -> None:
    script = Script()
    published: list[tuple[str, bytes]] = []
    topics = SysTopics(script, lambda topic, payload: published.append((topic, payload)))
    end = busy_minute(script)
    count = topics.run_to(end)
    total = script.total()
    assert count == len(published) == total.connections + total.disconnections.total()
    assert published[0][0] == "$SYS/brokers/emqx@127.0.0.1/clients/sub/connected"


def test_what_is_published_is_what_the_subscriber_understands() -> None:
    script = Script()
    decoded: list[Event] = []

    def subscriber(topic: str, payload: bytes) -> None:
        decoded.extend(sys_topics.decode(payload, topic.removeprefix("$SYS/")).events)

    topics = SysTopics(script, subscriber)
    end = busy_minute(script)
    assert topics.run_to(end) == len(decoded)
    reasons = Counter(event.reason for event in decoded if event.kind is Kind.DISCONNECTED)
    assert reasons == script.total().disconnections
    assert all(event.connected_ms is not None for event in decoded)


def test_both_ways_have_their_own_accidents() -> None:
    script = Script()
    published: list[str] = []
    lossy = SysTopics(script, lambda topic, _: published.append(topic), Disorder(lose=1.0))
    whole = SysTopics(script, lambda topic, _: published.append(topic))
    end = busy_minute(script, clients=5)
    assert lossy.run_to(end) == 0
    assert whole.run_to(end) == len(published) == 12
