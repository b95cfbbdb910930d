"""What a node of a cluster says of the others while they freeze, die, split and heal."""

from typing import Any

import pytest

from otel_emqx_monitor.simulator import Broker, Cluster, StaticFleet
from otel_emqx_monitor.simulator.cluster import (
    ClusterError,
    Hanging,
    NodeDead,
    State,
    UnknownNode,
    node_names,
)
from tests.simulator.asking import ask, body, ids
from tests.simulator.clusters import ONE, THREE, TWO, Held, cluster_of


def held(**times: float) -> Held:
    return cluster_of({ONE: "ab", TWO: "xy", THREE: "mn"}, **times)


def statuses(broker: Broker) -> dict[str, str]:
    return {node["node"]: node["node_status"] for node in body(broker, "/api/v5/nodes")}


def hang(broker: Broker, target: str, waited: float = 0.0) -> float | None:
    with pytest.raises(Hanging) as hanging:
        ask(broker, target, waited=waited)
    return hanging.value.seconds


def refusal(broker: Broker, target: str, waited: float = 0.0) -> tuple[int, str]:
    answer = ask(broker, target, waited=waited)
    return answer.status, body(broker, target, waited=waited)["message"]


def test_nodes_are_named_after_the_first() -> None:
    assert node_names(3) == [ONE, TWO, THREE]


def test_every_list_goes_node_by_node_in_the_order_of_the_names() -> None:
    cluster = held().cluster
    for name in (ONE, TWO, THREE):
        broker = Broker(source=cluster, node=name)
        assert ids(broker) == ["y", "x", "n", "m", "b", "a"]
        assert ids(broker, "limit=3&page=2") == ["m", "b", "a"]
        assert ids(broker, f"node={THREE}") == ["n", "m"]


@pytest.mark.parametrize("limit", range(1, 8))
def test_pages_cover_all_nodes_without_gap_or_overlap(limit: int) -> None:
    broker = Broker(source=held().cluster)
    pages = [ids(broker, f"limit={limit}&page={page}") for page in range(1, 8)]
    assert [id_ for page in pages for id_ in page] == ["y", "x", "n", "m", "b", "a"]


def test_each_node_answers_as_itself_and_the_first_by_default() -> None:
    cluster = held().cluster
    target = "/api/v5/status?format=json"
    assert body(Broker(source=cluster), target)["node_name"] == ONE
    assert body(Broker(source=cluster, node=TWO), target)["node_name"] == TWO
    with pytest.raises(UnknownNode, match="no node emqx9; the nodes are emqx@127"):
        Broker(source=cluster, node="emqx9")


def test_lookup_of_an_id_on_two_nodes_gives_the_first() -> None:
    cluster = held()
    cluster.fleets[ONE].replace([{"clientid": "x", "port": 1}])
    cluster.fleets[THREE].replace([{"clientid": "x", "port": 3}])
    broker = Broker(source=cluster.cluster)
    assert body(broker, "/api/v5/clients/x")["node"] == TWO
    assert body(broker, "/api/v5/clients?clientid=x")["meta"]["count"] == 3


def test_client_moves_when_its_row_does() -> None:
    moving = held()
    broker = Broker(source=moving.cluster)
    moving.fleets[ONE].replace([{"clientid": "a"}])
    moving.fleets[TWO].replace([{"clientid": id_} for id_ in "bxy"])
    assert ids(broker, f"node={TWO}") == ["y", "x", "b"]
    assert body(broker, "/api/v5/clients/b")["node"] == TWO


def test_frozen_node_keeps_waiting_whatever_needs_it_and_nothing_else() -> None:
    cluster = held().cluster
    broker = Broker(source=cluster)
    cluster.freeze(TWO)
    for needs in ("clients", "clients?clientid=a", f"clients?node={TWO}", "clients/x"):
        assert hang(broker, f"/api/v5/{needs}") == 50
        assert hang(broker, f"/api/v5/{needs}", waited=49) == 1
        assert refusal(broker, f"/api/v5/{needs}", waited=50) == (
            500,
            f"bad rpc call '{TWO}', Reason timeout",
        )
    assert ids(broker, f"node={ONE}") == ["b", "a"]
    assert ids(broker, f"node={THREE}") == ["n", "m"]
    assert body(broker, "/api/v5/clients/a")["node"] == ONE
    assert ask(broker, "/api/v5/clients/nobody").status == 404
    assert ask(broker, "/api/v5/configs/global_zone").status == 200


def test_nodes_are_those_that_answer_in_time() -> None:
    cluster = held(nodes_timeout=7).cluster
    broker = Broker(source=cluster)
    cluster.freeze(TWO)
    assert hang(broker, "/api/v5/nodes", waited=2) == 5
    listed = body(broker, "/api/v5/nodes", waited=7)
    assert [node["node"] for node in listed] == [THREE, ONE]
    assert {node["cluster_sessions"] for node in listed} == {4}


def test_node_that_thaws_in_time_was_never_away() -> None:
    freezing = held()
    broker = Broker(source=freezing.cluster)
    freezing.cluster.freeze(TWO)
    freezing.clock.now += 139
    freezing.cluster.freeze(TWO)  # again: it does not begin anew
    assert hang(broker, "/api/v5/clients") == 1
    freezing.cluster.thaw(TWO)
    freezing.clock.now += 1000
    assert len(ids(broker)) == 6
    assert set(statuses(broker).values()) == {"running"}


def test_node_that_thaws_too_late_is_apart_on_both_sides_until_the_cluster_heals() -> None:
    freezing = held()
    one, two = Broker(source=freezing.cluster), Broker(source=freezing.cluster, node=TWO)
    freezing.cluster.freeze(TWO)
    freezing.clock.now += 140
    assert statuses(one) == {THREE: "running", ONE: "running", TWO: "stopped"}
    assert ids(one) == ["n", "m", "b", "a"]
    freezing.cluster.thaw(TWO)
    assert ids(one) == ["n", "m", "b", "a"]
    assert ids(two) == ["y", "x"]
    assert statuses(two) == {TWO: "running", THREE: "stopped", ONE: "stopped"}
    freezing.cluster.heal()
    assert len(ids(one)) == len(ids(two)) == 6


def test_request_under_way_when_a_node_is_given_up_fails() -> None:
    freezing = held()
    broker = Broker(source=freezing.cluster)
    freezing.cluster.freeze(TWO)
    freezing.clock.now += 130
    assert hang(broker, "/api/v5/clients") == 10
    freezing.clock.now += 10
    assert refusal(broker, "/api/v5/clients", waited=10) == (
        500,
        f"bad rpc call '{TWO}', Reason nodedown",
    )
    assert [node["node"] for node in body(broker, "/api/v5/nodes", waited=10)] == [THREE, ONE]
    assert len(ids(broker)) == 4


def test_frozen_node_answers_nothing_itself() -> None:
    cluster = held().cluster
    cluster.freeze(ONE)
    broker = Broker(source=cluster)
    for target in ("/status", "/api/v5/clients", "/nope"):
        assert hang(broker, target) is None
    cluster.thaw(ONE)
    assert ask(broker, "/status").status == 200


def test_killed_node_is_down_for_a_moment_then_missing_until_it_starts() -> None:
    killing = held()
    broker = Broker(source=killing.cluster)
    killing.cluster.kill(TWO)
    down = (500, f"bad rpc call '{TWO}', Reason nodedown")
    assert refusal(broker, "/api/v5/clients") == down
    assert refusal(broker, "/api/v5/clients/x") == down
    killing.clock.now += 0.1
    assert ids(broker) == ["n", "m", "b", "a"]
    assert ask(broker, "/api/v5/clients/x").status == 404
    assert refusal(broker, f"/api/v5/clients?node={TWO}") == down
    assert body(broker, "/api/v5/nodes")[2] == {
        "node": TWO,
        "role": "core",
        "node_status": "stopped",
    }
    with pytest.raises(NodeDead):
        ask(Broker(source=killing.cluster, node=TWO), "/status")

    killing.clock.now += 100
    killing.fleets[TWO].replace([{"clientid": "z"}])
    killing.cluster.start(TWO)
    killing.clock.now += 5
    assert ids(broker) == ["z", "n", "m", "b", "a"]
    uptimes = {node["node"]: node["uptime"] for node in body(broker, "/api/v5/nodes")}
    assert uptimes[TWO] == 5000
    assert uptimes[ONE] > 100_000


def test_restart_brings_back_a_node_that_stood_apart() -> None:
    freezing = held()
    freezing.cluster.freeze(TWO)
    freezing.clock.now += 140
    freezing.cluster.kill(TWO)
    freezing.cluster.start(TWO)
    assert len(ids(Broker(source=freezing.cluster))) == 6


def test_sides_of_a_split_take_each_other_for_stopped_until_the_cluster_heals() -> None:
    cluster = held().cluster
    one, two, three = (Broker(source=cluster, node=name) for name in (ONE, TWO, THREE))
    cluster.split([TWO, THREE])
    assert ids(one) == ["b", "a"]
    assert ids(two) == ids(three) == ["y", "x", "n", "m"]
    assert statuses(one) == {ONE: "running", TWO: "stopped", THREE: "stopped"}
    assert statuses(three) == {TWO: "running", THREE: "running", ONE: "stopped"}
    cluster.kill(TWO)
    cluster.start(TWO)
    assert ids(two) == ["y", "x", "n", "m"]  # the network is still cut
    cluster.split([TWO])
    assert ids(two) == ["y", "x"]
    cluster.heal()
    assert ids(one) == ids(two) == ids(three)
    assert len(ids(one)) == 6


@pytest.mark.parametrize("names", [[], [ONE, TWO, THREE]])
def test_split_needs_two_sides(names: list[str]) -> None:
    with pytest.raises(ClusterError, match="name at least one and not all of emqx@127"):
        held().cluster.split(names)


@pytest.mark.parametrize(
    "before, action, text",
    [
        ("kill", "freeze", "is killed and cannot freeze: start it first"),
        ("kill", "thaw", "is killed and cannot thaw: start it"),
        ("freeze", "start", "is frozen and cannot start: thaw it, or kill it first"),
    ],
)
def test_actions_that_cannot_be_say_what_can(before: str, action: str, text: str) -> None:
    cluster = held().cluster
    getattr(cluster, before)(TWO)
    with pytest.raises(ClusterError, match=text):
        getattr(cluster, action)(TWO)


@pytest.mark.parametrize(
    "action, state",
    [("freeze", State.FROZEN), ("kill", State.KILLED), ("thaw", "running"), ("start", "running")],
)
def test_action_done_twice_is_done_once(action: str, state: State) -> None:
    cluster = held().cluster
    getattr(cluster, action)(TWO)
    getattr(cluster, action)(TWO)
    assert cluster.state(TWO) == state


@pytest.mark.parametrize("action", ["freeze", "thaw", "kill", "start"])
def test_unknown_node_is_refused(action: str) -> None:
    with pytest.raises(UnknownNode):
        getattr(held().cluster, action)("emqx9@127.0.0.1")


def test_watchers_are_told_of_changes_while_they_watch() -> None:
    cluster = held().cluster
    told: list[Any] = []
    with cluster.watch(lambda: told.append(cluster.state(TWO))):
        cluster.freeze(TWO)
        cluster.thaw(TWO)
    cluster.kill(TWO)
    assert told == ["frozen", "running"]


def test_cluster_of_no_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Cluster({})


def test_broker_of_one_node_is_a_cluster_too() -> None:
    broker = Broker(source=StaticFleet([{"clientid": "a"}]), node="emqx@10.0.0.7")
    assert broker.cluster.names == ("emqx@10.0.0.7",)
    broker.cluster.freeze("emqx@10.0.0.7")
    assert hang(broker, "/api/v5/clients") is None
