"""The nodes of a cluster as one poll after the other finds them: which answer, and since when not.

What is known of a node changes in three ways: by a list of nodes (``listed``), by what came of
asking them (``settle``), and by time: one that no list has shown for an hour, and that does not
answer, is forgotten.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from otel_emqx_monitor.emqx.broker import Node
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.emqx.http import Http
from otel_emqx_monitor.emqx.rows import NodeState
from otel_emqx_monitor.emqx.sessions import Sessions
from otel_emqx_monitor.text import printable

log = logging.getLogger(__name__)

#: A node that hangs is not listed for minutes (EMQX 5.8.9: 140 s, then as stopped); one that left
#: the cluster never is again.
_FORGET_SECONDS = 3_600.0


@dataclass(eq=False)
class Member:
    """One node of the cluster, and the session that asks for its clients.

    ``node`` is what the last list that had it said. ``since`` is when it answered last, or when a
    poll first found out about it, in monotonic seconds; ``silence`` is how long that was before the
    end of the last poll. ``failed`` is whether it gave no answer then, though it was asked. ``ids``
    are the clients that were seen there last.
    """

    node: Node
    http: Http
    state: NodeState | None = None
    since: float | None = None
    silence: float = 0.0
    unlisted_since: float | None = None
    failed: bool = False
    ids: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.node

    @property
    def stopped(self) -> bool:
        """Whether the cluster says that it does not run, so that asking is of no use."""
        return self.unlisted_since is None and not self.node.runs


class Roster:
    """Remembers the nodes from poll to poll; not for two threads at once.

    Args:
        alias: the broker's name, for the log.
        sessions: where each node's session comes from.
        monotonic: the clock, in seconds.
    """

    def __init__(self, alias: str, sessions: Sessions, monotonic: Callable[[], float]) -> None:
        self._alias = alias
        self._sessions = sessions
        self._monotonic = monotonic
        self._members: dict[str, Member] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    @property
    def states(self) -> dict[str, NodeState]:
        """The state of every node that a poll has found out about."""
        return {one.name: one.state for one in self if one.state is not None}

    @property
    def blind(self) -> dict[str, float]:
        """Seconds without an answer of each node that does not answer, as of the last poll."""
        return {
            one.name: one.silence
            for one in self
            if one.state in {NodeState.HANGING, NodeState.STOPPED}
        }

    def follow(self, earlier: "Roster") -> None:
        """Know the nodes that ``earlier`` knows, and how they are; to be asked in own sessions."""
        for one in earlier:
            own = replace(one, http=self._sessions.open(), ids=set(one.ids))
            self._members[own.name] = own

    def listed(self, nodes: Iterable[Node]) -> None:
        """Take note of a list of nodes that EMQX gave."""
        now = self._monotonic()
        shown = {node.node: node for node in nodes}
        if len(self) == 1 and not shown.keys() & self._members.keys():
            # A broker of one node that has another name now, as containers get, lost no node.
            self._drop_all()
        for name, node in shown.items():
            known = self._members.get(name)
            if known is None:
                self._members[name] = Member(node, self._sessions.open())
            else:
                known.node, known.unlisted_since = node, None
        for one in self:
            if one.name not in shown:
                self._miss(one, now)

    def _miss(self, one: Member, now: float) -> None:
        if one.unlisted_since is None:
            one.unlisted_since = now
        if now - one.unlisted_since >= _FORGET_SECONDS and one.state is not NodeState.RUNNING:
            log.info(
                "node %s of %s has not been listed for an hour and is forgotten",
                printable(one.name, 200),
                self._alias,
            )
            self._drop(one)

    def _drop_all(self) -> None:
        for one in self:
            self._drop(one)

    def _drop(self, one: Member) -> None:
        del self._members[one.name]
        self._sessions.drop(one.http)

    def settle(self, answered: Collection[str], errors: Mapping[str, EmqxError]) -> None:
        """Take note of which nodes answered in a poll that told something, and log what changed."""
        now = self._monotonic()
        for one in self:
            if one.name in answered:
                state = NodeState.RUNNING
            else:
                state = NodeState.STOPPED if one.stopped else NodeState.HANGING
            if state is not one.state:
                self._say(one, state, now, errors.get(one.name))
            if state is NodeState.RUNNING or one.since is None:
                one.since = now
            one.silence = now - one.since
            one.state = state
            one.failed = state is NodeState.HANGING

    def note_failures(self, names: Collection[str]) -> None:
        """Take note of nodes that failed in a poll which told nothing: they get one try next."""
        for one in self:
            one.failed |= one.name in names

    def _say(self, one: Member, state: NodeState, now: float, error: EmqxError | None) -> None:
        node = f"node {printable(one.name, 200)} of {self._alias}"
        match state:
            case NodeState.RUNNING if one.state is not None:
                log.info("%s answers again after %.0f s", node, now - (one.since or now))
            case NodeState.HANGING:
                log.warning(
                    "%s does not answer (%s); its clients are unknown until it answers again or"
                    " they show up on another node",
                    node,
                    error or "nobody knows why",
                )
            case NodeState.STOPPED:
                log.warning(
                    "%s is not running, says its cluster; its clients are unknown until it runs"
                    " again or they show up on another node",
                    node,
                )
