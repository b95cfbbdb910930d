"""The cluster behind the simulated API: its nodes, what befalls them, and who reaches whom.

Nothing waits here and no request is known: a call that EMQX would keep waiting raises ``Hanging``,
and whoever asked asks again when that is over or when ``watch`` tells of a change. The rules are
those observed on EMQX 5.8.9:

* A frozen node keeps every call waiting until the caller's patience ends, and that ends the whole
  request. After ``detect_after`` seconds the others take the node for stopped and call it no more.
* When it thaws before that, nothing has happened. When it thaws later it stays apart: the others
  are stopped for it, and it is stopped for them, until ``heal`` or its restart.
* A killed node refuses calls at once, and a moment later the others take it for stopped.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from otel_emqx_monitor.simulator.fleet import ClientSource, Table

Clock = Callable[[], float]


def node_names(count: int) -> list[str]:
    """Return names for ``count`` nodes: ``emqx@127.0.0.1``, ``emqx2@127.0.0.1`` and so on."""
    return [f"emqx{'' if number == 1 else number}@127.0.0.1" for number in range(1, count + 1)]


class ClusterError(Exception):
    """What was wanted of the cluster cannot be; the text says what can."""


class UnknownNode(ClusterError):
    """No node of the cluster has that name."""


class Hanging(Exception):
    """A node keeps silent; ``seconds`` is for how much longer, ``None`` until something changes."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class NodeDown(Exception):
    """A call to ``node`` failed; ``reason`` is Erlang's word for it."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, reason)
        self.node = node
        self.reason = reason


class NodeDead(Exception):
    """The node that should answer does not run, so nothing listens there."""


class State(StrEnum):
    """What a node does, whatever the others take it for."""

    RUNNING = "running"
    FROZEN = "frozen"
    KILLED = "killed"


@dataclass
class _Node:
    """One node; times are the cluster's clock.

    ``noticed_at`` is when the others take it for stopped, ``None`` when nothing is wrong. ``side``
    is where it stood at each net split since the last ``heal``. ``apart`` is whether it thawed too
    late.
    """

    source: ClientSource
    started_at: float
    state: State = State.RUNNING
    noticed_at: float | None = None
    side: tuple[bool, ...] = ()
    apart: bool = False


class Cluster:
    """Nodes by name, each with the clients it holds; safe for several threads.

    Args:
        nodes: the source of each node's clients; at least one node.
        clock: seconds since the epoch: the time of the clients, and what ``detect_after`` and
            ``notice_after`` are measured by.
        started_at: when the nodes began to run, by that clock; now when it is left out.
        rpc_timeout: seconds that a list or a lookup waits for a frozen node.
        nodes_timeout: seconds that ``GET /nodes`` waits for one.
        detect_after: seconds after which a frozen node is taken for stopped.
        notice_after: the same for a killed node; less than 0.1 was observed.

    The actions raise ``UnknownNode``, and ``ClusterError`` when the node's state forbids them; one
    that has been done already does nothing.
    """

    def __init__(  # noqa: PLR0913 - the times of a cluster, each by its name
        self,
        nodes: Mapping[str, ClientSource],
        *,
        clock: Clock = time.time,
        started_at: float | None = None,
        rpc_timeout: float = 50.0,
        nodes_timeout: float = 30.0,
        detect_after: float = 140.0,
        notice_after: float = 0.05,
    ) -> None:
        if not nodes:
            raise ValueError("a cluster needs at least one node")
        self.clock = clock
        self.rpc_timeout = rpc_timeout
        self.nodes_timeout = nodes_timeout
        self.detect_after = detect_after
        self.notice_after = notice_after
        began = clock() if started_at is None else started_at
        self._nodes = {name: _Node(source, began) for name, source in nodes.items()}
        self._lock = Lock()
        self._watchers: list[Callable[[], object]] = []

    @property
    def names(self) -> Sequence[str]:
        """The names of all nodes, in the order they were given in."""
        return tuple(self._nodes)

    def state(self, name: str) -> State:
        """Return what node ``name`` does."""
        return self._node(name).state

    def source(self, name: str) -> ClientSource:
        """Return the source of node ``name``'s clients."""
        return self._node(name).source

    def started_at(self, name: str) -> float:
        """Return when node ``name`` began to run, in seconds since the epoch."""
        return self._node(name).started_at

    # What befalls the nodes.

    def freeze(self, name: str) -> None:
        """Stop node ``name`` as SIGSTOP does: its connections stay, it answers nobody."""
        with self._changing():
            node = self._node(name)
            if node.state is State.KILLED:
                raise ClusterError(f"{name} is killed and cannot freeze: start it first")
            if node.state is State.RUNNING:
                node.state = State.FROZEN
                node.noticed_at = self.clock() + self.detect_after

    def thaw(self, name: str) -> None:
        """Let frozen node ``name`` go on; what the others took it for meanwhile stays."""
        with self._changing():
            node = self._node(name)
            if node.state is State.KILLED:
                raise ClusterError(f"{name} is killed and cannot thaw: start it")
            if node.state is State.FROZEN:
                node.apart |= _is_noticed(node, self.clock())
                node.state = State.RUNNING
                node.noticed_at = None

    def kill(self, name: str) -> None:
        """End node ``name`` as SIGKILL does, frozen or not: its sessions are gone."""
        with self._changing():
            node = self._node(name)
            if node.state is not State.KILLED:
                soon = self.clock() + self.notice_after
                if node.noticed_at is None or node.noticed_at > soon:
                    node.noticed_at = soon
                node.state = State.KILLED

    def start(self, name: str) -> None:
        """Start killed node ``name`` again, with the clients that its source has then.

        It joins the nodes on its side of a net split, even if it stood apart before.
        """
        with self._changing():
            node = self._node(name)
            if node.state is State.FROZEN:
                raise ClusterError(f"{name} is frozen and cannot start: thaw it, or kill it first")
            if node.state is State.KILLED:
                self._nodes[name] = _Node(node.source, self.clock(), side=node.side)

    def split(self, names: Collection[str]) -> None:
        """Cut the network between the nodes ``names`` and all others.

        Each side takes the other for stopped at once. Splits add up until ``heal``.
        """
        for name in names:
            self._node(name)
        apart = set(names)
        if not apart or len(apart) == len(self._nodes):
            raise ClusterError(
                "a split needs nodes on both sides: name at least one and not all of "
                + ", ".join(self._nodes)
            )
        with self._changing():
            for name, node in self._nodes.items():
                node.side += (name in apart,)

    def heal(self) -> None:
        """Let all running nodes see each other again."""
        with self._changing():
            for node in self._nodes.values():
                node.side = ()
                node.apart = False

    @contextmanager
    def watch(self, told: Callable[[], object]) -> Iterator[None]:
        """Call ``told``, in any thread, after whatever befalls a node; it must not block."""
        with self._lock:
            self._watchers.append(told)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.remove(told)

    # What a node sees of the others. ``waited`` is for how many seconds the request has been under
    # way: nodes that ran when it began are called by it, even if they have been lost since.

    def check_answering(self, name: str) -> None:
        """Return if node ``name`` answers; raises ``Hanging`` or ``NodeDead`` if it does not."""
        match self.state(name):
            case State.FROZEN:
                raise Hanging(None)
            case State.KILLED:
                raise NodeDead(name)

    def running(self, asker: str, waited: float = 0.0) -> list[str]:
        """Return the nodes that ``asker`` takes for running, itself too, in EMQX's order."""
        began = self.clock() - waited
        with self._lock:
            return sorted(name for name in self._nodes if self._sees(asker, name, began))

    def stopped(self, asker: str, waited: float = 0.0) -> list[str]:
        """Return the nodes that ``asker`` takes for stopped, in EMQX's order."""
        return sorted(set(self._nodes).difference(self.running(asker, waited)))

    def call(self, asker: str, name: str, waited: float, timeout: float) -> Table:
        """Return the clients that node ``name`` holds now, as ``asker`` gets them from it.

        Raises:
            Hanging: node ``name`` is frozen and ``timeout`` seconds have not been waited yet.
            NodeDown: they have been, or ``asker`` cannot reach the node.
        """
        now = self.clock()
        with self._lock:
            node = self._nodes[name]
            if name != asker:
                if node.state is State.KILLED or not self._sees(asker, name, now):
                    raise NodeDown(name, "nodedown")
                if node.state is State.FROZEN and node.noticed_at is not None:
                    left = timeout - waited
                    if left <= 0:
                        raise NodeDown(name, "timeout")
                    raise Hanging(min(left, node.noticed_at - now))
        return node.source.table(now)

    def _sees(self, asker: str, name: str, at: float) -> bool:
        ours, theirs = self._nodes[asker], self._nodes[name]
        if ours is theirs:
            return True
        linked = ours.side == theirs.side and not ours.apart and not theirs.apart
        return linked and not _is_noticed(theirs, at)

    def _node(self, name: str) -> _Node:
        try:
            return self._nodes[name]
        except KeyError:
            known = ", ".join(self._nodes)
            raise UnknownNode(f"there is no node {name}; the nodes are {known}") from None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock while nodes change, and tell the watchers then."""
        with self._lock:
            yield
            watchers = list(self._watchers)
        for told in watchers:
            told()


def _is_noticed(node: _Node, at: float) -> bool:
    return node.noticed_at is not None and at >= node.noticed_at
