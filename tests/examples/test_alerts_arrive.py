"""Alerts in a real Prometheus and a real Alertmanager: EMQX, clients and agents fail and recover.

Two agents watch one simulated broker: Prometheus scrapes one, the other pushes to a real Collector.
Rules and configurations are the shipped ones, made fast (``stage.py``).
"""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.collector import (
    CONFIGS,
    OTLP_GRPC,
    PROMETHEUS,
    require_collector,
    running_collector,
)
from tests.examples.shortened import alertmanager_config, prometheus_config, write_rules
from tests.peers import unused_port
from tests.processes import settings
from tests.real.agents import ALL_FLAGS
from tests.real.alertmanager import Receiver, alertmanager, receiving
from tests.real.prometheus import Prometheus, prometheus

pytestmark = [pytest.mark.real("prometheus"), pytest.mark.real("prometheus-alertmanager")]

#: The brokers' aliases: how their series come to Prometheus.
WAYS = ("scraped", "pushed")

#: The labels that tell the two agents apart; only one of the scrape configurations has a site.
OWN = {"broker", "instance", "site"}

BOILER = {"clientid": "boiler-1", "connected": True}
PUMP = {"clientid": "pump-1", "connected": True}


@dataclass
class Stage:
    """All that runs; ``configs`` and ``agents`` by the way their series go."""

    server: Prometheus
    receiver: Receiver
    simulator: Simulator
    fleet: StaticFleet
    configs: dict[str, Config]
    agents: dict[str, Agent] = field(default_factory=dict)

    def start(self, way: str) -> None:
        agent = Agent(self.configs[way], serve=way == "scraped", push=way == "pushed")
        agent.start()
        self.agents[way] = agent
        self.server.wait_for_value(
            f'emqx_client_monitor_clients{{broker="{way}",state="connected"}}', 2
        )

    def stop(self, way: str) -> None:
        if agent := self.agents.pop(way, None):
            agent.stop()


def config(simulator: Simulator, way: str, port: int, collector: str) -> Config:
    section = settings(
        simulator.url,
        emqx={"alias": way},
        prometheus={"port": port, "ttl_seconds": 0, **ALL_FLAGS},
        polling={"interval_seconds": 0.5, "stale_after_seconds": 4},
    )
    section["monitored_clients"] = [
        {"alias": "Boiler", "client_id": "boiler-1", "expected_every_seconds": 3},
        {"alias": "Pump", "client_id": "pump-1", "expected_every_seconds": 3},
    ]
    section["otlp"] = {"endpoint": f"http://{collector}", "interval_seconds": 0.5}
    return Config.model_validate(section)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    require_collector()
    folder = tmp_path_factory.mktemp("stage")
    short = {"METRIC_EXPIRATION": "5s"}
    with ExitStack() as running:
        fleet = StaticFleet([BOILER, PUMP])
        simulator = running.enter_context(Simulator(Broker(source=fleet)))
        collector = running.enter_context(
            running_collector(CONFIGS / "agent-to-prometheus.yaml", short)
        )
        receiver = running.enter_context(receiving())
        manager = running.enter_context(alertmanager(alertmanager_config(receiver.url), folder))
        port = unused_port()
        shipped = prometheus_config(
            write_rules(folder), manager, f"127.0.0.1:{port}", collector.listen[PROMETHEUS]
        )
        server = running.enter_context(prometheus(json.dumps(shipped), folder))
        configs = {way: config(simulator, way, port, collector.listen[OTLP_GRPC]) for way in WAYS}
        stage = Stage(server, receiver, simulator, fleet, configs)
        for way in WAYS:
            running.callback(stage.stop, way)
            stage.start(way)
        yield stage


@pytest.fixture
def stage(everything: Stage) -> Stage:
    """All of it, with nothing to tell so far."""
    everything.server.wait_for('ALERTS{alertstate="firing"}', lambda firing: not firing)
    everything.receiver.alerts.clear()
    return everything


def test_emqx_cannot_be_reached_and_its_clients_are_not_called_disconnected(stage: Stage) -> None:
    receiver = stage.receiver
    stage.simulator.stop()
    for way in WAYS:
        told = receiver.wait_for("firing", "EmqxUnreachable", broker=way)
        assert told.receiver == "on-call"
        assert told.annotations["summary"] == f"The EMQX broker {way} does not answer its agent"
        assert "Reasons lately: connection" in told.annotations["description"]
    stage.server.wait_for_value('sum(emqx_client_monitor_clients{state="unknown"})', 4)
    stage.simulator.start()
    for way in WAYS:
        receiver.wait_for("resolved", "EmqxUnreachable", broker=way)
    assert receiver.names == {"EmqxUnreachable"}


def test_a_client_is_away_and_comes_back(stage: Stage) -> None:
    receiver, alerts = stage.receiver, {"EmqxClientDisconnected", "EmqxClientOverdue"}
    stage.fleet.replace([PUMP])
    for way in WAYS:
        for name in alerts:
            told = receiver.wait_for("firing", name, broker=way)
            assert told.receiver == "team"
            assert told.labels["client_id"] == "boiler-1"
            assert told.annotations["summary"].startswith("The MQTT client Boiler ")
    stage.fleet.replace([BOILER, PUMP])
    for way in WAYS:
        for name in alerts:
            receiver.wait_for("resolved", name, broker=way)
    assert receiver.names == alerts


def test_an_agent_ends_and_is_started_again(stage: Stage) -> None:
    receiver = stage.receiver
    for way in WAYS:
        stage.stop(way)
    down = receiver.wait_for("firing", "EmqxMonitorAgentDown", site="hamburg")
    silent = receiver.wait_for("firing", "EmqxMonitorAgentSilent", broker="pushed")
    assert (down.receiver, silent.receiver) == ("on-call", "on-call")
    for way in WAYS:
        stage.start(way)
    receiver.wait_for("resolved", "EmqxMonitorAgentDown")
    receiver.wait_for("resolved", "EmqxMonitorAgentSilent", broker="pushed")
    assert receiver.names == {"EmqxMonitorAgentDown", "EmqxMonitorAgentSilent"}


def test_series_that_come_by_the_collector_have_the_names_and_labels_of_scraped_ones(
    stage: Stage,
) -> None:
    series: dict[str, set[frozenset[tuple[str, str]]]] = {}
    for way in WAYS:
        # Only the agent that pushes tells of pushes.
        asked = f'{{broker="{way}",__name__=~"emqx_.+",__name__!~".+_otlp_.+"}}'
        series[way] = {
            frozenset((name, value) for name, value in one.labels.items() if name not in OWN)
            for one in stage.server.query(asked)
        }
    assert series["scraped"] == series["pushed"]
    (up,) = stage.server.query('emqx_client_monitor_up{broker="pushed"}')
    assert up.labels["instance"] == f"{socket.gethostname()}/pushed"
