"""What a broker tells of itself: its nodes, their versions, and so how it can be asked."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.decoding import decoder
from otel_emqx_monitor.emqx.dialect import PLAINEST, Dialect, dialect_of
from otel_emqx_monitor.emqx.errors import (
    BadRequest,
    EmqxError,
    Forbidden,
    NotEmqx,
    ServerError,
    Unreadable,
)
from otel_emqx_monitor.emqx.http import Http
from otel_emqx_monitor.emqx.rows import Count
from otel_emqx_monitor.text import printable

#: Sessions of a node or broker that does not say how many it has.
UNKNOWN_SESSIONS = 10_000


class Node(msgspec.Struct, frozen=True):
    """One node of the cluster, from ``GET /nodes``; ``connections`` counts kept sessions too."""

    node: str
    version: str = ""
    node_status: str = ""
    connections: Count | None = None

    @property
    def runs(self) -> bool:
        """Whether the cluster says that it runs."""
        return self.node_status.lower() == "running"

    @property
    def sessions(self) -> int:
        """About how many clients it holds."""
        return UNKNOWN_SESSIONS if self.connections is None else self.connections


@dataclass(frozen=True)
class Broker:
    """What is known of the broker: its nodes, and how it can be asked.

    ``nodes`` has those that do not run too; it is empty when the API key may not read ``/nodes``,
    and ``versions`` then is what ``/status`` told, if anything. ``refresh_seconds`` is how often
    counters move, ``None`` when that was not asked or not told.
    """

    nodes: tuple[Node, ...]
    versions: tuple[str, ...]
    dialect: Dialect
    refresh_seconds: float | None = None

    @property
    def running(self) -> tuple[Node, ...]:
        """The nodes that run, says the cluster."""
        return tuple(node for node in self.nodes if node.runs)

    @property
    def sessions(self) -> int:
        """About how many clients the broker holds; 10,000 when it does not say."""
        counts = [node.connections for node in self.running if node.connections is not None]
        return sum(counts) if counts else UNKNOWN_SESSIONS


class _Status(msgspec.Struct, frozen=True):
    rel_vsn: str


_nodes = decoder(list[Node])
_status = decoder(_Status)


def ask_nodes(http: Http, deadline: Deadline, attempts: int | None = None) -> list[Node]:
    """Ask for the list of nodes.

    While a node hangs EMQX 5.8.9 takes 10 to 30 s for it, and leaves that node out.

    Raises:
        EmqxError: there was no list.
    """
    return http.get("/nodes", _nodes, deadline, attempts)


def ask_broker(http: Http, deadline: Deadline) -> Broker:
    """Ask for nodes and versions.

    Raises:
        EmqxError: EMQX cannot be asked, or refuses.
    """
    try:
        nodes = ask_nodes(http, deadline)
    except Forbidden:  # a key with scopes may read clients but not the cluster (EMQX 6.1.2)
        return _ask_status(http, deadline)
    return _broker_of(nodes)


def ask_broker_of(name: str, http: Http, deadline: Deadline) -> Broker:
    """Ask for nodes and versions on behalf of node ``name`` alone.

    Another node that hangs makes ``/nodes`` late; then the version is that of the node which
    answers, and whether ``name`` exists will show.

    Raises:
        BadRequest: the cluster has no such node.
        ServerError: that node does not run.
        EmqxError: EMQX cannot be asked, or refuses.
    """
    try:
        nodes = ask_nodes(http, deadline, attempts=1)
    except EmqxError as error:
        if not error.retryable and not isinstance(error, Forbidden):
            raise
        return _ask_status(http, deadline)
    node = next((node for node in nodes if node.node == name), None)
    if node is None:
        raise BadRequest(
            f"the cluster does not list the node {printable(name, 200)}, only {_names(nodes)};"
            " check emqx.node; a node that has just been lost is not listed either"
        )
    if not node.runs:
        raise ServerError(
            f"the node {printable(name, 200)} is not running, says its cluster; start it, or"
            " look at the state of the nodes (emqx ctl cluster status)"
        )
    return _broker_of(nodes)


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(sorted(printable(node.node, 200) for node in nodes)) or "none"


def _broker_of(nodes: list[Node]) -> Broker:
    versions = tuple(node.version for node in nodes if node.runs)
    return Broker(tuple(nodes), versions, dialect_of(versions))


def _ask_status(http: Http, deadline: Deadline) -> Broker:
    try:
        status = http.get("/status?format=json", _status, deadline)
    except (NotEmqx, Unreadable):  # plain text in older versions
        return Broker((), (), PLAINEST)
    return Broker((), (status.rel_vsn,), dialect_of([status.rel_vsn]))
