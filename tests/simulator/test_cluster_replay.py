"""What a live cluster of two nodes answered: the simulated one answers alike."""

from typing import Any

import msgspec
import pytest

from otel_emqx_monitor.simulator import Broker, Cluster, StaticFleet
from otel_emqx_monitor.simulator.cluster import Hanging
from tests.simulator.asking import ask
from tests.simulator.clusters import ONE, TWO, Held, cluster_of
from tests.simulator.recordings import ClusterExchange, cluster_exchanges, node_loss

EXCHANGES = cluster_exchanges()
STEADY = range(8)  # three clients on each node
LOOKUP, NODES = 7, 8
MOVER_ON_1, MOVED, LEFT_ON_2 = 9, range(10, 22), range(22, 24)

#: The fields of a node's description that the recorded machine does not decide.
KNOWN = (
    *("node", "version", "edition", "node_status", "role"),
    *("connections", "live_connections", "cluster_sessions"),
)


def steady() -> dict[str, StaticFleet]:
    of_two = [row for row in EXCHANGES[1].body["data"] if row["clientid"] != "n2-1"]
    return {
        ONE: StaticFleet(EXCHANGES[0].body["data"]),
        TWO: StaticFleet([*of_two, EXCHANGES[LOOKUP].body]),  # the only row with all fields
    }


def answer(nodes: dict[str, StaticFleet], recorded: ClusterExchange) -> tuple[int, Any]:
    broker = Broker(source=Cluster(nodes), node={1: ONE, 2: TWO}[recorded.asked])
    answered = ask(broker, recorded.target)
    return answered.status, msgspec.json.decode(answered.body)


@pytest.mark.parametrize("number", STEADY)
def test_order_pages_nodes_and_lookups_are_those_of_either_node(number: int) -> None:
    recorded = EXCHANGES[number]
    assert answer(steady(), recorded) == (recorded.status, recorded.body)


def test_nodes_are_described_as_recorded() -> None:
    status, described = answer(steady(), EXCHANGES[NODES])
    recorded = EXCHANGES[NODES].body
    assert status == 200
    assert [[node[name] for name in KNOWN] for node in described] == [
        [node[name] for name in KNOWN] for node in recorded
    ]
    assert [node.keys() for node in described] == [node.keys() for node in recorded]


@pytest.mark.parametrize("number", [MOVER_ON_1, *MOVED, *LEFT_ON_2])
def test_session_is_on_the_node_that_it_moved_to_and_on_no_other(number: int) -> None:
    recorded = EXCHANGES[number]
    mover = MOVER_ON_1 if number == MOVER_ON_1 else MOVED[0]
    left = LEFT_ON_2[0]
    rows = [row for one in (mover, left) for row in EXCHANGES[one].body["data"]]
    nodes = {name: StaticFleet(row for row in rows if row["node"] == name) for name in (ONE, TWO)}
    assert answer(nodes, recorded) == (recorded.status, recorded.body)


def observe(held: Held) -> dict[str, Any]:
    """Ask node 1 for the clients and for the nodes, waiting as long as it takes."""
    broker = Broker(source=held.cluster)
    clients_seconds, clients = patiently(held, broker, "/api/v5/clients")
    nodes_seconds, nodes = patiently(held, broker, "/api/v5/nodes")
    rows = clients.get("data")
    count = {
        name: sum(row["node"] == name for row in rows) if rows else None for name in (ONE, TWO)
    }
    return {
        "clients_seconds": clients_seconds,
        "nodes_seconds": nodes_seconds,
        "code": clients.get("code"),
        "message": clients.get("message"),
        "rows_node1": count[ONE],
        "rows_node2": count[TWO],
        "count": clients.get("meta", {}).get("count"),
        "nodes": [[node["node"], node["node_status"]] for node in nodes],
    }


def patiently(held: Held, broker: Broker, target: str) -> tuple[float, Any]:
    """Ask again whenever a hang is over, as the HTTP server does, on the cluster's clock."""
    began = held.clock.now
    while True:
        waited = held.clock.now - began
        try:
            return waited, msgspec.json.decode(ask(broker, target, waited=waited).body)
        except Hanging as hanging:
            held.clock.now += hanging.seconds or 0


def assert_alike(seen: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Compare all that was seen; the broker's own work, some milliseconds, takes no time here."""
    for name, value in seen.items():
        if name.endswith("_seconds"):
            assert value == pytest.approx(recorded[name], abs=0.01), name
        else:
            assert value == recorded[name], name


def test_node_that_freezes_hides_its_clients_and_stays_apart_when_it_thaws() -> None:
    held = cluster_of({ONE: "abc", TWO: "vwxyz"}, detect_after=140.65)
    held.cluster.freeze(TWO)
    frozen_at = held.clock.now
    for recorded in node_loss("node 2 frozen"):
        held.clock.now = frozen_at + recorded["t"]
        assert_alike(observe(held), recorded)

    held.cluster.thaw(TWO)
    [thawed] = node_loss("node 2 thawed")
    assert_alike(observe(held), thawed)


def test_node_that_is_killed_is_stopped_a_moment_later() -> None:
    held = cluster_of({ONE: "abc", TWO: "vwxyz"})
    held.cluster.kill(TWO)
    broker = Broker(source=held.cluster)
    down = ask(broker, "/api/v5/clients")
    assert down.status == 500
    assert msgspec.json.decode(down.body) == {
        "code": "NODE_DOWN",
        "message": "bad rpc call 'emqx2@127.0.0.1', Reason nodedown",
    }
    held.clock.now += 0.1
    [killed] = node_loss("node 2 killed")
    assert_alike(observe(held), killed)
