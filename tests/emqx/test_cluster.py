"""A cluster whose nodes hang, stop and come back, asked over real sockets."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from otel_emqx_monitor import background
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.errors import (
    CannotConnect,
    Closed,
    ServerError,
    TimedOut,
    Unauthorized,
    Unreadable,
)
from otel_emqx_monitor.emqx.rows import NodeState, Poll
from tests.cycles import held_by_cycles
from tests.peers import Peer, http, peer
from tests.processes import wait_until

RUNNING, HANGING, STOPPED = NodeState.RUNNING, NodeState.HANGING, NodeState.STOPPED
ONE, TWO, THREE = "emqx@1", "emqx@2", "emqx@3"
DOWN = http("500 Internal Server Error", {"code": "NODE_DOWN", "message": "bad rpc call"})
REFUSED = http("401 Unauthorized", {"code": "BAD_API_KEY_OR_SECRET", "message": "Check"})


@dataclass
class ScriptedNode:
    """One node: what the list says of it (``None``: nothing), its clients, and how it answers."""

    status: str | None = "running"
    ids: list[str] = field(default_factory=list)
    strangers: list[dict[str, Any]] = field(default_factory=list)  # durable, of any node
    hangs: bool = False
    answer: bytes | None = None
    connections: int | None = None


class ScriptedCluster:
    """Answers as EMQX does in a cluster; what hangs does so until the end."""

    def __init__(self) -> None:
        self.nodes = {
            ONE: ScriptedNode(ids=["a1", "a2"]),
            TWO: ScriptedNode(ids=["b1", "b2"]),
        }
        self.list_hangs = False
        self.version = "5.8.9"
        #: Called with the node and the query before an answer.
        self.before_answer: Callable[[str, dict[str, list[str]]], None] = lambda _node, _query: None
        self.ended = threading.Event()

    def handle(self, connection: socket.socket, head: bytes) -> None:
        target = head.split()[1].decode().removeprefix("/api/v5")
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if parts.path == "/nodes":
            if self.list_hangs:
                self.ended.wait()
            connection.sendall(http("200 OK", self._list()))
        elif parts.path == "/clients":
            connection.sendall(self._clients(query))
        elif parts.path == "/configs/global_zone":
            connection.sendall(http("200 OK", {"mqtt": {"idle_timeout": "15s"}}))
        else:
            raise AssertionError(f"nobody should ask for {target}")

    def _list(self) -> list[dict[str, Any]]:
        return [
            {"node": name, "version": self.version, "node_status": node.status}
            | {"connections": len(node.ids) if node.connections is None else node.connections}
            for name, node in self.nodes.items()
            if node.status is not None
        ]

    def _clients(self, query: dict[str, list[str]]) -> bytes:
        node = self.nodes[query["node"][0]]
        self.before_answer(query["node"][0], query)
        if node.hangs:
            self.ended.wait()
        if node.answer is not None:
            return node.answer
        wanted = query.get("clientid", node.ids)
        rows = [
            {"clientid": one, "connected": True, "node": query["node"][0]}
            for one in node.ids
            if one in wanted
        ]
        limit, page = int(query["limit"][0]), int(query["page"][0])
        begin = (page - 1) * limit
        shown = rows[begin : begin + limit] + node.strangers
        meta = {"hasnext": begin + limit < len(rows), "count": len(rows)}
        return http("200 OK", {"data": shown, "meta": meta})

    def hang(self, name: str) -> None:
        """Freeze a node: it is asked in vain, and the list of nodes is late and lacks it."""
        self.nodes[name].hangs = self.list_hangs = True
        self.nodes[name].status = None

    def thaw(self, name: str) -> None:
        self.nodes[name] = ScriptedNode(ids=self.nodes[name].ids)
        self.list_hangs = False


@pytest.fixture
def cluster() -> Iterator[ScriptedCluster]:
    scripted = ScriptedCluster()
    yield scripted
    scripted.ended.set()


@pytest.fixture
def api(cluster: ScriptedCluster) -> Iterator[Peer]:
    with peer(cluster.handle) as running:
        yield running


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def client_of(
    api: Peer,
    watched: list[str] | None = None,
    *,
    timeout: float = 0.5,
    attempts: int = 1,
    deadline: float = 20,
    **options: Any,
) -> EmqxClient:
    emqx = {"api_key": "k", "api_secret": "s", "api_url": api.url, "alias": "lab"}
    emqx |= {"timeout_seconds": str(timeout), "attempts": str(attempts)}
    config = Config.model_validate({"emqx": emqx})
    return EmqxClient(
        config.emqx, ["clientid", "connected"], watched, deadline_seconds=deadline, **options
    )


def client_that_lost_a_node(cluster: ScriptedCluster, api: Peer) -> EmqxClient:
    """Return a client that knows both nodes and did not get the second one's rows any more."""
    client = client_of(api)
    client.poll()
    cluster.nodes[TWO].answer = DOWN
    client.poll()
    return client


def asked(api: Peer) -> list[str]:
    """What was asked for, and of which node, but for the refresh interval, and forget it."""
    lines, api.requests[:] = api.requests[:], []
    found = []
    for line in lines:
        target = urlsplit(line.split()[1].removeprefix("/api/v5"))
        query = parse_qs(target.query)
        if target.path != "/configs/global_zone":
            found.append(
                " ".join([target.path, *query.get("node", []), *query.get("clientid", [])])
            )
    return sorted(found)


def log_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return lines


def test_each_node_is_asked_for_its_own_clients(api: Peer) -> None:
    found = client_of(api).poll()
    assert set(found.rows) == {"a1", "a2", "b1", "b2"}
    assert found.nodes == {ONE: RUNNING, TWO: RUNNING}
    assert found.blind == {}
    assert found.refresh_seconds == 15
    assert asked(api) == [f"/clients {ONE}", f"/clients {TWO}", "/nodes"]


def test_the_list_of_nodes_is_asked_for_at_each_poll(api: Peer) -> None:
    client = client_of(api)
    for _ in range(2):
        client.poll()
        assert asked(api) == [f"/clients {ONE}", f"/clients {TWO}", "/nodes"]


def test_named_clients_are_asked_for_in_batches_of_each_node(
    cluster: ScriptedCluster, api: Peer
) -> None:
    for node in cluster.nodes.values():
        node.connections = 500_000
    client = client_of(api, ["a1", "b2"])
    assert set(client.poll().rows) == {"a1", "b2"}
    assert asked(api) == [f"/clients {ONE} a1 b2", f"/clients {TWO} a1 b2", "/nodes"]


def test_each_node_is_asked_in_the_way_that_its_own_size_makes_cheapest(
    cluster: ScriptedCluster, api: Peer
) -> None:
    cluster.nodes[TWO].connections = 500_000
    client_of(api, ["a1", "b2"]).poll()
    assert asked(api) == [f"/clients {ONE}", f"/clients {TWO} a1 b2", "/nodes"]


def test_all_pages_of_each_node_are_read(cluster: ScriptedCluster, api: Peer) -> None:
    cluster.version = "5.5.1"
    cluster.nodes[TWO].ids = [f"b{number}" for number in range(10_500)]
    assert len(client_of(api, timeout=5).poll().rows) == 10_502


def test_rows_that_nobody_wants_are_left_out(api: Peer) -> None:
    client = client_of(api, wants=lambda row: row.clientid.endswith("1"))
    assert set(client.poll().rows) == {"a1", "b1"}


def test_a_node_that_hangs_blinds_its_own_clients_alone(
    cluster: ScriptedCluster, api: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Time()
    client = client_of(api, ["a1", "b1", "nobody"], monotonic=clock)
    assert set(client.poll().rows) == {"a1", "b1"}
    assert log_of(caplog) == []

    cluster.hang(TWO)
    clock.now += 15
    assert_blind(client.poll(), HANGING, 15)
    [(level, message)] = log_of(caplog)
    assert level == "WARNING"
    assert message.startswith(f"node {TWO} of lab does not answer (EMQX at {api.url}v5 did not")
    assert message.endswith(
        "; its clients are unknown until it answers again or they show up on another node"
    )
    clock.now += 15
    assert_blind(client.poll(), HANGING, 30)
    assert log_of(caplog) == []

    cluster.nodes[TWO].status = "stopped"
    cluster.list_hangs = False
    clock.now += 110
    client.poll()
    asked(api)
    clock.now += 15
    assert_blind(client.poll(), STOPPED, 155)
    assert asked(api) == [f"/clients {ONE}", "/nodes"], "a stopped node is not asked"
    [(level, message)] = log_of(caplog)
    assert level == "WARNING"
    assert message == (
        f"node {TWO} of lab is not running, says its cluster; its clients are unknown until it"
        " runs again or they show up on another node"
    )

    cluster.thaw(TWO)
    clock.now += 15
    found = client.poll()
    assert set(found.rows) == {"a1", "b1"}
    assert (found.nodes, found.blind) == ({ONE: RUNNING, TWO: RUNNING}, {})
    assert log_of(caplog) == [("INFO", f"node {TWO} of lab answers again after 170 s")]


def test_a_client_that_follows_another_knows_the_nodes_that_no_list_shows(
    cluster: ScriptedCluster, api: Peer
) -> None:
    """Else the clients of a node that hangs would be taken for absent after a reload."""
    clock = Time()
    before = client_of(api, ["a1", "b1", "nobody"], monotonic=clock)
    before.poll()
    cluster.hang(TWO)
    clock.now += 15
    assert_blind(before.poll(), HANGING, 15)
    before.close()
    after = client_of(api, ["a1", "b1"], monotonic=clock)
    after.follow(before)
    clock.now += 15
    assert_blind(after.poll(), HANGING, 30)


def assert_blind(found: Poll, state: NodeState, seconds: float) -> None:
    assert set(found.rows) == {"a1"}
    assert found.nodes == {ONE: RUNNING, TWO: state}
    assert found.blind == {TWO: seconds}


def test_a_node_that_never_answered_is_blind_since_it_is_known(
    cluster: ScriptedCluster, api: Peer
) -> None:
    clock = Time()
    cluster.nodes[TWO].status = "stopped"
    client = client_of(api, monotonic=clock)
    assert client.poll().blind == {TWO: 0}
    clock.now += 15
    assert client.poll().blind == {TWO: 15}


def test_a_node_that_is_listed_as_running_but_down_hangs(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_of(api)
    client.poll()
    cluster.nodes[TWO].answer = DOWN
    found = client.poll()
    assert found.nodes == {ONE: RUNNING, TWO: HANGING}
    assert set(found.rows) == {"a1", "a2"}


def test_the_rows_of_a_poll_in_which_a_node_fails_are_held_by_nobody(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_that_lost_a_node(cluster, api)
    assert held_by_cycles(client.poll) == []
    cluster.list_hangs = True
    assert held_by_cycles(client.poll) == []


def test_what_a_node_shows_while_its_cluster_calls_it_stopped_is_not_believed(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_of(api)
    client.poll()
    cluster.nodes[TWO] = ScriptedNode(status="stopped")
    found = client.poll()
    assert found.nodes == {ONE: RUNNING, TWO: STOPPED}
    assert list(found.blind) == [TWO]


def test_a_node_that_failed_gets_one_attempt_and_the_others_keep_theirs(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_of(api, attempts=2)
    client.poll()
    cluster.nodes[TWO].answer = DOWN
    asked(api)
    client.poll()
    assert asked(api).count(f"/clients {TWO}") == 2
    cluster.nodes[ONE].answer = DOWN

    def recover(node: str, query: dict[str, list[str]]) -> None:
        if node == ONE and _count(api, ONE) == 2:
            cluster.nodes[ONE].answer = None

    cluster.before_answer = recover
    found = client.poll()
    assert found.nodes == {ONE: RUNNING, TWO: HANGING}
    assert asked(api).count(f"/clients {TWO}") == 1


def _count(api: Peer, name: str) -> int:
    return sum(f"node={name.replace('@', '%40')}&" in line for line in api.requests)


def test_a_list_of_nodes_that_is_late_fails_no_poll(cluster: ScriptedCluster, api: Peer) -> None:
    client = client_of(api)
    client.poll()
    cluster.list_hangs = True
    found = client.poll()
    assert set(found.rows) == {"a1", "a2", "b1", "b2"}
    assert found.nodes == {ONE: RUNNING, TWO: RUNNING}


def test_a_node_that_is_new_is_asked_in_the_same_poll(cluster: ScriptedCluster, api: Peer) -> None:
    client = client_of(api)
    client.poll()
    cluster.nodes[THREE] = ScriptedNode(ids=["c1"])
    found = client.poll()
    assert "c1" in found.rows
    assert found.nodes == {ONE: RUNNING, TWO: RUNNING, THREE: RUNNING}


def test_a_node_that_is_not_listed_for_an_hour_is_forgotten(
    cluster: ScriptedCluster, api: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Time()
    client = client_of(api, monotonic=clock)
    client.poll()
    cluster.nodes[TWO].status, cluster.nodes[TWO].answer = None, DOWN
    client.poll()
    clock.now += 3_599
    assert client.poll().blind == {TWO: 3_599}
    caplog.clear()
    clock.now += 1
    found = client.poll()
    assert (found.nodes, found.blind) == ({ONE: RUNNING}, {})
    assert log_of(caplog) == [
        ("INFO", f"node {TWO} of lab has not been listed for an hour and is forgotten")
    ]


def test_a_node_that_answers_is_not_forgotten_though_no_list_has_it(
    cluster: ScriptedCluster, api: Peer
) -> None:
    clock = Time()
    client = client_of(api, monotonic=clock)
    client.poll()
    cluster.nodes[TWO].status = None
    client.poll()
    clock.now += 4_000
    assert client.poll().nodes == {ONE: RUNNING, TWO: RUNNING}


def test_a_client_that_moved_in_the_middle_of_a_poll_is_found_by_asking_again(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_of(api, timeout=5)
    client.poll()
    two_answered = threading.Event()

    def move(node: str, query: dict[str, list[str]]) -> None:
        if node == ONE and "clientid" not in query:
            two_answered.wait()  # the client was not there yet
            cluster.nodes[ONE].ids.remove("a1")
            cluster.nodes[TWO].ids.append("a1")

    cluster.before_answer = move
    polling = background.start("poll", client.poll)
    wait_until(lambda: _count(api, TWO) == 2)
    two_answered.set()
    assert polling.result().rows["a1"].node == TWO


def test_who_is_gone_is_asked_for_once_more_and_then_no_longer(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_of(api)
    client.poll()
    cluster.nodes[ONE].connections = cluster.nodes[TWO].connections = 500_000
    client.poll()
    asked(api)
    cluster.nodes[ONE].ids.remove("a1")
    assert set(client.poll().rows) == {"a2", "b1", "b2"}
    again = [f"/clients {ONE} a1", f"/clients {TWO} a1"]
    assert [line for line in asked(api) if line.endswith(" a1")] == again
    client.poll()
    assert [line for line in asked(api) if line.endswith(" a1")] == []


def test_clients_of_a_node_that_hangs_are_not_asked_for_elsewhere(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_of(api, ["a1", "b1"])
    client.poll()
    cluster.nodes[TWO].answer = DOWN
    asked(api)
    assert set(client.poll().rows) == {"a1"}
    assert f"/clients {ONE} b1" not in asked(api)
    cluster.nodes[ONE].ids.append("b1")
    assert set(client.poll().rows) == {"a1", "b1"}
    cluster.nodes[ONE].ids.remove("b1")
    asked(api)
    client.poll()
    assert f"/clients {ONE} b1" in asked(api), "it was last seen on the node that answers"


def test_offline_durable_sessions_count_unless_their_node_is_blind(
    cluster: ScriptedCluster, api: Peer
) -> None:
    durable = [
        {"clientid": "of-two", "connected": False, "node": TWO},
        {"clientid": "of-old", "connected": False, "node": "emqx@gone-for-long"},
    ]
    for node in cluster.nodes.values():
        node.strangers = durable
    client = client_of(api)
    assert set(client.poll().rows) == {"a1", "a2", "b1", "b2", "of-two", "of-old"}
    cluster.nodes[TWO].status = "stopped"
    assert set(client.poll().rows) == {"a1", "a2", "of-old"}


def test_offline_durable_sessions_that_were_not_asked_for_are_left_out(
    cluster: ScriptedCluster, api: Peer
) -> None:
    cluster.nodes[ONE].strangers = [{"clientid": "stranger", "connected": False, "node": TWO}]
    assert set(client_of(api, ["a1", "b1"]).poll().rows) == {"a1", "b1"}


@pytest.mark.parametrize(
    "nodes, kind",
    [
        ((ScriptedNode(answer=DOWN), ScriptedNode(hangs=True)), ServerError),
        ((ScriptedNode(hangs=True), ScriptedNode(hangs=True)), TimedOut),
        ((ScriptedNode(answer=REFUSED), ScriptedNode()), Unauthorized),
        ((ScriptedNode(answer=http("200 OK", "{")), ScriptedNode(hangs=True)), Unreadable),
    ],
)
def test_without_any_answer_the_poll_fails_with_what_tells_most(
    cluster: ScriptedCluster,
    api: Peer,
    nodes: tuple[ScriptedNode, ScriptedNode],
    kind: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = client_of(api)
    client.poll()
    good = cluster.nodes
    cluster.nodes = dict(zip([ONE, TWO], nodes, strict=True))
    with pytest.raises(kind):
        client.poll()
    assert caplog.records == [], "whoever polls logs that it failed"
    cluster.nodes = good
    assert client.poll().nodes == {ONE: RUNNING, TWO: RUNNING}


def test_an_error_that_is_new_tells_more_than_that_of_a_node_that_was_lost_before(
    cluster: ScriptedCluster, api: Peer
) -> None:
    client = client_that_lost_a_node(cluster, api)
    cluster.nodes[ONE].hangs = True
    with pytest.raises(TimedOut):
        client.poll()


def test_an_api_that_is_gone_cannot_be_connected_to(api: Peer) -> None:
    client = client_of(api)
    client.poll()
    api.close()
    with pytest.raises(CannotConnect):
        client.poll()


def test_a_cluster_of_stopped_nodes_is_an_error(cluster: ScriptedCluster, api: Peer) -> None:
    for node in cluster.nodes.values():
        node.status = "stopped"
    with pytest.raises(ServerError, match="no node of EMQX's cluster is running"):
        client_of(api).poll()


def test_the_deadline_ends_the_wait_for_a_node(cluster: ScriptedCluster, api: Peer) -> None:
    client = client_of(api, timeout=3_600, deadline=1)
    client.poll()
    cluster.hang(TWO)
    found = client.poll()
    assert set(found.rows) == {"a1", "a2"}
    assert found.nodes == {ONE: RUNNING, TWO: HANGING}


def test_closing_cuts_off_the_questions_to_all_nodes(cluster: ScriptedCluster, api: Peer) -> None:
    client = client_of(api, timeout=3_600, deadline=3_600)
    client.poll()
    for name in cluster.nodes:
        cluster.hang(name)
    polling = background.start("poll", client.poll)
    wait_until(lambda: _count(api, ONE) == 2 and _count(api, TWO) == 2)
    client.close()
    with pytest.raises(Closed):
        polling.result(timeout=30)


def test_a_cluster_that_becomes_one_node_is_asked_as_one(
    cluster: ScriptedCluster, api: Peer
) -> None:
    clock = Time()
    client = client_of(api, monotonic=clock)
    client.poll()
    cluster.nodes[TWO].status, cluster.nodes[TWO].answer = None, DOWN
    client.poll()
    clock.now += 3_600
    client.poll()
    asked(api)
    body = {"data": [{"clientid": "a1"}], "meta": {"hasnext": False}}

    def handle_alone(connection: socket.socket, head: bytes) -> None:
        if b"/clients" in head:
            connection.sendall(http("200 OK", body))
        else:
            cluster.handle(connection, head)

    api.handler = handle_alone
    found = client.poll()
    assert asked(api) == ["/clients", "/nodes"]
    assert (set(found.rows), found.nodes) == ({"a1"}, {ONE: RUNNING})
