"""The control endpoint: what can be done to the nodes of a simulated cluster while it runs.

It lies outside of ``/api``, needs no key, and is on every simulator::

    GET  /simulator                          the nodes, their states, and what can be done
    POST /simulator/nodes/<node>/<action>    freeze, thaw, kill or start a node
    POST /simulator/split?nodes=<node>,...   cut the network between these nodes and the others
    POST /simulator/heal                     let all running nodes see each other again

Every success is answered with the nodes as they are then, everything else with one sentence. It
answers for a node that is frozen or killed too, since it is the simulator's and not the node's.
"""

from collections.abc import Callable, Sequence

from otel_emqx_monitor.simulator import answers
from otel_emqx_monitor.simulator.answers import Answer
from otel_emqx_monitor.simulator.cluster import Cluster, ClusterError, State, UnknownNode
from otel_emqx_monitor.simulator.query import Params, decode, parse_params
from otel_emqx_monitor.text import printable

_NODE_ACTIONS = {
    "freeze": Cluster.freeze,
    "thaw": Cluster.thaw,
    "kill": Cluster.kill,
    "start": Cluster.start,
}
_ACTIONS = (
    *(f"POST /simulator/nodes/<node>/{action}" for action in _NODE_ACTIONS),
    "POST /simulator/split?nodes=<node>,<node>",
    "POST /simulator/heal",
)


def is_control(path: bytes) -> bool:
    """Return whether the raw ``path`` leads to the control endpoint."""
    return path == b"/simulator" or path.startswith(b"/simulator/")


def control(cluster: Cluster, method: str, path: bytes, query: bytes) -> Answer:
    """Do to ``cluster`` what a request to the control endpoint says; never blocks."""
    try:
        segments = [decode(segment) for segment in path.removesuffix(b"/").split(b"/")[2:]]
        params = parse_params(query)
    except ValueError:
        return answers.MALFORMED
    if not segments:
        return _nodes(cluster) if method == "GET" else _sentence(405, f"{method}: use GET here")
    action = _action(segments, params)
    if action is None:
        return _sentence(404, f"there is no such action; possible are {', '.join(_ACTIONS)}")
    if method != "POST":
        return _sentence(405, f"{method}: use POST here")
    try:
        action(cluster)
    except ClusterError as error:
        status = 404 if isinstance(error, UnknownNode) else 400
        return _sentence(status, printable(str(error), 1000))
    return _nodes(cluster)


def _action(segments: Sequence[str], params: Params) -> Callable[[Cluster], None] | None:
    match segments:
        case ["nodes", name, action] if action in _NODE_ACTIONS:
            return lambda cluster: _NODE_ACTIONS[action](cluster, name)
        case ["split"]:
            named = ",".join(params.get("nodes", ())).split(",")
            return lambda cluster: cluster.split([name for name in named if name])
        case ["heal"]:
            return Cluster.heal
    return None


def _nodes(cluster: Cluster) -> Answer:
    nodes = []
    for name in cluster.names:
        state = cluster.state(name)
        sees = cluster.running(name) if state is State.RUNNING else []
        nodes.append({"node": name, "state": state, "sees": sees})
    return answers.ok({"nodes": nodes, "actions": _ACTIONS})


def _sentence(status: int, text: str) -> Answer:
    return Answer(status, (("content-type", "text/plain; charset=utf-8"),), f"{text}\n".encode())
