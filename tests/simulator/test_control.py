"""The control endpoint, and what it does to the API of a cluster, over real sockets."""

import threading
from collections.abc import Iterator

import pytest
import requests

from otel_emqx_monitor.simulator import Answer, Broker, Cluster, Simulator, StaticFleet
from otel_emqx_monitor.simulator.answers import FORBIDDEN
from tests.simulator.clusters import ONE, TWO

KEY = ("simulated-key", "simulated-secret")
WAIT = 10
ACTIONS = [
    "POST /simulator/nodes/<node>/freeze",
    "POST /simulator/nodes/<node>/thaw",
    "POST /simulator/nodes/<node>/kill",
    "POST /simulator/nodes/<node>/start",
    "POST /simulator/split?nodes=<node>,<node>",
    "POST /simulator/heal",
]


@pytest.fixture
def cluster() -> Cluster:
    fleets = {name: StaticFleet([{"clientid": id_}]) for name, id_ in ((ONE, "one"), (TWO, "two"))}
    return Cluster(fleets, rpc_timeout=60, nodes_timeout=60, detect_after=600, notice_after=0)


@pytest.fixture
def first(cluster: Cluster) -> Iterator[Simulator]:
    with Simulator(Broker(source=cluster)) as running:
        yield running


@pytest.fixture
def second(cluster: Cluster) -> Iterator[Simulator]:
    with Simulator(Broker(source=cluster, node=TWO)) as running:
        yield running


def control(simulator: Simulator, path: str, method: str = "POST") -> requests.Response:
    url = simulator.url.removesuffix("api/") + "simulator" + path
    return requests.request(method, url, timeout=WAIT)


def ids(simulator: Simulator, query: str = "") -> list[str]:
    url = f"{simulator.url}v5/clients?{query}"
    answer = requests.get(url, auth=KEY, timeout=WAIT)
    return [row["clientid"] for row in answer.json()["data"]]


class Asking:
    """A request in a thread of its own; ``outcome`` is its status, or its error."""

    def __init__(self, url: str, timeout: float = WAIT) -> None:
        self.outcome: int | requests.RequestException | None = None
        self._url, self._timeout = url, timeout
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self.outcome = requests.get(self._url, auth=KEY, timeout=self._timeout).status_code
        except requests.RequestException as error:
            self.outcome = error

    def result(self) -> int | requests.RequestException | None:
        self._thread.join(WAIT)
        return self.outcome


@pytest.fixture
def hanging(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Return what is released each time that a request begins to hang."""
    begun = threading.Semaphore(0)
    call = cluster.call

    def counted(asker: str, name: str, waited: float, timeout: float) -> object:
        try:
            return call(asker, name, waited, timeout)
        except Exception:
            begun.release()
            raise

    monkeypatch.setattr(cluster, "call", counted)
    return begun


def test_nodes_their_states_and_the_possible_actions_need_no_key(
    cluster: Cluster, first: Simulator
) -> None:
    cluster.freeze(TWO)
    answer = control(first, "", "GET")
    assert answer.status_code == 200
    assert answer.json() == {
        "nodes": [
            {"node": ONE, "state": "running", "sees": [TWO, ONE]},
            {"node": TWO, "state": "frozen", "sees": []},
        ],
        "actions": ACTIONS,
    }
    assert control(first, "/", "GET").json() == answer.json()


def test_actions_change_the_cluster_and_answer_with_it(cluster: Cluster, first: Simulator) -> None:
    for action, state in (
        ("freeze", "frozen"),
        ("thaw", "running"),
        ("kill", "killed"),
        ("start", "running"),
    ):
        answer = control(first, f"/nodes/{TWO}/{action}")
        assert answer.status_code == 200
        assert answer.json()["nodes"][1]["state"] == state
        assert cluster.state(TWO) == state


def test_split_and_heal(first: Simulator, second: Simulator) -> None:
    split = control(first, f"/split?nodes={TWO}")
    assert [node["sees"] for node in split.json()["nodes"]] == [[ONE], [TWO]]
    assert (ids(first), ids(second)) == (["one"], ["two"])
    control(second, "/heal")
    assert ids(first) == ids(second) == ["two", "one"]


@pytest.mark.parametrize(
    "method, path, status, text",
    [
        ("POST", "/nodes/emqx9/kill", 404, f"there is no node emqx9; the nodes are {ONE}, {TWO}\n"),
        ("POST", "/nodes/a%1Bb/kill", 404, "there is no node a\\x1bb; the nodes are"),
        ("POST", f"/nodes/{TWO}/melt", 404, "no such action; possible are POST /simulator/nodes/"),
        ("POST", "/nodes", 404, "no such action; possible are POST /simulator/nodes/"),
        ("POST", "/split", 400, f"name at least one and not all of {ONE}, {TWO}\n"),
        ("POST", f"/split?nodes={ONE},{TWO}", 400, "a split needs nodes on both sides"),
        ("POST", f"/split?nodes={TWO},x", 404, "there is no node x"),
        ("GET", f"/nodes/{TWO}/kill", 405, "GET: use POST here\n"),
        ("POST", "", 405, "POST: use GET here\n"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(
    first: Simulator, method: str, path: str, status: int, text: str
) -> None:
    answer = control(first, path, method)
    assert answer.status_code == status
    assert text in answer.text
    assert "Traceback" not in answer.text


def test_impossible_action_is_refused(cluster: Cluster, first: Simulator) -> None:
    cluster.kill(TWO)
    answer = control(first, f"/nodes/{TWO}/freeze")
    assert answer.status_code == 400
    assert answer.text == f"{TWO} is killed and cannot freeze: start it first\n"


def test_control_is_no_request_to_emqx(first: Simulator) -> None:
    control(first, "", "GET")
    assert first.requests == {}
    assert list(first.request_lines) == []


def test_hanging_request_goes_on_when_the_node_thaws(
    first: Simulator, hanging: threading.Semaphore
) -> None:
    control(first, f"/nodes/{TWO}/freeze")
    everyone = Asking(first.url + "v5/clients")
    assert hanging.acquire(timeout=WAIT)
    assert ids(first, f"node={ONE}") == ["one"]
    control(first, f"/nodes/{TWO}/thaw")
    assert everyone.result() == 200


def test_hanging_request_fails_when_the_node_dies(
    first: Simulator, hanging: threading.Semaphore
) -> None:
    control(first, f"/nodes/{TWO}/freeze")
    everyone = Asking(first.url + "v5/clients")
    assert hanging.acquire(timeout=WAIT)
    control(first, f"/nodes/{TWO}/kill")
    assert everyone.result() == 500


def test_hanging_request_fails_after_the_timeout(cluster: Cluster, first: Simulator) -> None:
    cluster.rpc_timeout = 0.05
    cluster.nodes_timeout = 0.05
    cluster.freeze(TWO)
    answer = requests.get(first.url + "v5/clients", auth=KEY, timeout=WAIT)
    assert (answer.status_code, answer.json()["code"]) == (500, "NODE_DOWN")
    nodes = requests.get(first.url + "v5/nodes", auth=KEY, timeout=WAIT).json()
    assert [node["node"] for node in nodes] == [ONE]


def test_many_hanging_requests_hold_up_no_other(
    first: Simulator, hanging: threading.Semaphore
) -> None:
    control(first, f"/nodes/{TWO}/freeze")
    many = [Asking(first.url + "v5/clients") for _ in range(20)]  # more than there are threads
    for _ in many:
        assert hanging.acquire(timeout=WAIT)
    assert ids(first, f"node={ONE}") == ["one"]
    control(first, f"/nodes/{TWO}/thaw")
    assert {asking.result() for asking in many} == {200}


def test_frozen_node_s_own_api_is_silent_until_it_thaws(
    first: Simulator, second: Simulator
) -> None:
    control(second, f"/nodes/{TWO}/freeze")
    status = Asking(second.url + "v5/status")
    with pytest.raises(requests.ReadTimeout):
        requests.get(second.url + "v5/status", timeout=0.1)
    assert status.outcome is None
    control(second, f"/nodes/{TWO}/thaw")
    assert status.result() == 200


def test_killed_node_s_own_api_is_cut_until_it_starts(second: Simulator) -> None:
    control(second, f"/nodes/{TWO}/kill")
    with pytest.raises(requests.ConnectionError):
        requests.get(second.url + "v5/status", timeout=WAIT)
    control(second, f"/nodes/{TWO}/start")
    assert ids(second) == ["two", "one"]


def test_stop_cuts_what_hangs(
    cluster: Cluster,
    first: Simulator,
    hanging: threading.Semaphore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster.freeze(TWO)
    everyone = Asking(first.url + "v5/clients")
    assert hanging.acquire(timeout=WAIT)
    first.stop()
    assert isinstance(everyone.result(), requests.ConnectionError)
    cluster.thaw(TWO)  # nobody is left to be told
    assert caplog.text == ""


def test_key_can_be_kept_from_a_part_of_the_api(first: Simulator) -> None:
    def keep_from(target: str) -> Answer | None:
        return FORBIDDEN if target.endswith(("/nodes", "/configs/global_zone")) else None

    first.before_answer = keep_from
    for path in ("nodes", "configs/global_zone"):
        refused = requests.get(f"{first.url}v5/{path}", auth=KEY, timeout=WAIT)
        assert refused.status_code == 403
        assert refused.json() == {
            "code": "UNAUTHORIZED_ROLE",
            "message": "This API Key don't have permission to access this resource",
        }
    assert ids(first) == ["two", "one"]
