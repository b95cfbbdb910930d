"""The whole agent with a real MQTT broker; events come under another prefix than ``$SYS``.

Mosquitto lets nobody publish under ``$SYS``.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_emqx_monitor.simulator import Broker, Script, Simulator, SysTopics, Webhook
from tests.events.lives import TOKEN, config_file, exposed, settings, tell
from tests.processes import Serving, serving, wait_until
from tests.real.mosquitto import Mosquitto, mosquitto, publishing

pytestmark = pytest.mark.real("mosquitto")


@contextmanager
def telling(script: Script, broker: Mosquitto) -> Iterator[Callable[[], int]]:
    """Yield what publishes the events since then that are due."""
    with publishing(broker) as publisher:
        topics = SysTopics(
            script,
            lambda topic, payload: publisher.publish(topic.replace("$SYS", "sys"), payload),
        )
        yield lambda: topics.run_to(time.time())


def config_of(simulator: Simulator, broker: Mosquitto, **ways: Any) -> dict[str, Any]:
    mqtt = {"host": "127.0.0.1", "port": broker.port, "topic_prefix": "sys"}
    return settings(simulator.url, events={"mqtt": mqtt, **ways})


def up(agent: Serving) -> float:
    return agent.scrape().by("events_up", "source")["mqtt"]


def connected(agent: Serving) -> dict[str, float]:
    return agent.scrape().by("connected", "client_id")


def test_both_ways_at_once_count_each_connection_once(tmp_path: Path) -> None:
    script = Script()
    emqx = Broker(source=script, clock=lambda: 0.0)  # polls find nobody
    with (
        mosquitto(tmp_path) as broker,
        Simulator(emqx) as simulator,
        Webhook(script, emqx.integration) as webhook,
        telling(script, broker) as publish,
    ):
        config = config_of(simulator, broker, webhook={"token": TOKEN})
        with serving("prometheus", "--cfg", config_file(tmp_path / "agent", config)) as agent:
            tell(config, agent.url)
            wait_until(lambda: up(agent))
            now = time.time() - 5
            for number in range(50):
                script.short_session(now + number / 20, f"dev-{number % 20}")
            assert publish() == 100
            webhook.run_to(time.time())
            wait_until(lambda: exposed(agent.scrape()).get(("messages_processed", "dev-9", "rx")))
            exposition = agent.scrape()
            figures = exposed(exposition)
    told = exposition.by("events_total", "source", "event")
    assert (told["mqtt/connected"], told["webhook/connected"]) == (50, 50)
    assert (told["mqtt/disconnected"], told["webhook/disconnected"]) == (50, 50)
    for client_id, truth in script.truth().items():
        assert figures["connections", client_id] == truth.connections
        assert figures["disconnections", client_id, "normal"] == truth.connections
        assert figures["messages_processed", client_id, "rx"] == truth.received.total()


def test_what_is_missed_while_the_broker_is_away_is_corrected_by_polls(tmp_path: Path) -> None:
    script = Script()
    emqx = Broker(source=script)
    with mosquitto(tmp_path) as broker, Simulator(emqx) as simulator:
        config = config_of(simulator, broker)
        with serving("prometheus", "--cfg", config_file(tmp_path / "agent", config)) as agent:
            wait_until(lambda: up(agent))
            with telling(script, broker) as publish:
                script.connect(time.time(), "dev")
                wait_until(publish)
            wait_until(lambda: connected(agent) == {"dev": 1})
            broker.stop()
            wait_until(lambda: not up(agent))
            script.disconnect(time.time(), "dev")
            script.connect(time.time(), "other")
            wait_until(lambda: connected(agent) == {"dev": 0, "other": 1})
            corrected = {"opened": 1, "closed": 1}
            wait_until(lambda: agent.scrape().by("corrections_total", "kind") == corrected)
            broker.start()
            wait_until(lambda: up(agent))
            with telling(script, broker) as publish:
                script.disconnect(time.time(), "other", "kicked")
                wait_until(publish)
            key = ("disconnections", "other", "kicked")
            wait_until(lambda: exposed(agent.scrape()).get(key) == 1)
            assert connected(agent) == {"dev": 0, "other": 0}
            assert agent.scrape().by("corrections_total", "kind") == corrected
            assert [one for one in agent.messages if "bug" in one] == []
