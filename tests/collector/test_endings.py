"""A series that ends in the agent ends in the Collector with the next push, and no other does.

The Collector forgets series that nobody pushes after three minutes, which no test here waits for.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from otel_emqx_monitor.simulator import Broker, Cluster, Simulator, StaticFleet
from tests.collector.collector import CONFIGS, PROMETHEUS, CollectorProcess, running_collector
from tests.collector.pushing import LISTENER, both_protocols, pushing, pushing_config
from tests.processes import Exposition, scrape, wait_until

ONE, TWO = "emqx@node1", "emqx@node2"

#: More than one client of each kind: the exporter passes over what follows an end in its metric.
STAYING, LEAVING = ["a1", "a2", "a3"], ["b1", "b2", "b3"]

#: Every push polls, and asks what a client in every state has.
OFTEN = {"ttl_seconds": 0, "enable_subscription_count": True, "enable_client_info": True}


def row(client_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "clientid": client_id,
        "connected": True,
        "connected_at": "2026-11-22T17:00:00.000+00:00",
        "created_at": "2026-11-22T16:00:00.000+00:00",
        "proto_ver": 5,
        "subscriptions_cnt": 2,
        "recv_msg": 7,
        "send_msg": 3,
        **fields,
    }


@pytest.fixture
def cluster() -> Cluster:
    nodes = {ONE: StaticFleet(map(row, STAYING)), TWO: StaticFleet(map(row, LEAVING))}
    return Cluster(nodes, rpc_timeout=0.05, nodes_timeout=0.05, detect_after=3600)


@pytest.fixture
def simulator(cluster: Cluster) -> Iterator[Simulator]:
    with Simulator(Broker(source=cluster, node=ONE)) as running:
        yield running


def series(exposition: Exposition) -> set[tuple[str, ...]]:
    """Return the names and labels of all of our series, but those that come from scrapes only."""
    own = {"job", "instance"}
    return {
        (one.name, *(f"{name}={value}" for name, value in one.labels.items() if name not in own))
        for one in exposition.samples
        if one.name.startswith("emqx_")
    }


def shown(collector: CollectorProcess) -> Exposition:
    return scrape(collector.url(PROMETHEUS))


def wait_for(collector: CollectorProcess, *client_ids: str) -> Exposition:
    """Wait until the Collector shows exactly these clients as connected."""

    def found() -> Exposition | None:
        now = shown(collector)
        return now if sorted(now.by("connected", "client_id")) == sorted(client_ids) else None

    return wait_until(found)


@both_protocols
def test_a_client_that_becomes_unknown_is_gone_with_the_next_push_and_comes_back(
    protocol: str, simulator: Simulator, cluster: Cluster
) -> None:
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        endpoint = collector.url(LISTENER[protocol])
        config = pushing_config(
            simulator, [*STAYING, *LEAVING], OFTEN, protocol=protocol, endpoint=endpoint
        )
        with pushing(config) as agent:
            wait_for(collector, *STAYING, *LEAVING)
            wait_until(lambda: series(shown(collector)) == series(scrape(agent.url)))
            before = series(shown(collector))
            cluster.freeze(TWO)
            wait_for(collector, *STAYING)
            wait_until(lambda: series(shown(collector)) == series(scrape(agent.url)))
            unknown = shown(collector)
            cluster.thaw(TWO)
            back = wait_for(collector, *STAYING, *LEAVING)
            wait_until(lambda: series(shown(collector)) >= before)
        assert collector.complaints == []
    assert {one.labels["client_id"] for one in unknown.of_clients} == set(STAYING)
    assert unknown.by("clients", "state")["unknown"] == len(LEAVING)
    assert unknown.by("messages_processed_total", "client_id", "direction")["a3/rx"] == 7
    assert set(back.by("connected", "client_id").values()) == {1}


@both_protocols
def test_what_another_configuration_does_not_have_ends_and_the_rest_goes_on(
    protocol: str, simulator: Simulator
) -> None:
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        otlp = {"protocol": protocol, "endpoint": collector.url(LISTENER[protocol])}
        everyone = [*STAYING, *LEAVING]
        with pushing(pushing_config(simulator, everyone, OFTEN, **otlp)) as agent:
            wait_for(collector, *everyone)
            less = {**OFTEN, "enable_subscription_count": False}
            agent.reload(pushing_config(simulator, STAYING, less, **otlp), push=True)
            wait_for(collector, *STAYING)
            wait_until(lambda: series(shown(collector)) == series(scrape(agent.url)))
            now = shown(collector)
    assert now.by("subscriptions", "client_id") == {}
    assert now.by("messages_processed_total", "client_id", "direction")["a3/rx"] == 7


def test_the_series_of_an_agent_that_ends_stay(simulator: Simulator) -> None:
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        config = pushing_config(simulator, STAYING, OFTEN, endpoint=collector.url(LISTENER["grpc"]))
        with pushing(config):
            before = wait_for(collector, *STAYING)
        assert series(before) <= series(shown(collector))
