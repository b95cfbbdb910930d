"""Polls EMQX: its version and nodes first, then the cheapest requests that tell all that is wanted.

A poll is whole or it is an error; in a cluster it is whole but for nodes that do not answer, which
it names. Three ways to ask: a broker of one node as one, a cluster node by node (``cluster``), and
with ``emqx.node`` one node alone.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.broker import Broker, Node, ask_broker, ask_broker_of, ask_nodes
from otel_emqx_monitor.emqx.cluster import read_nodes
from otel_emqx_monitor.emqx.errors import ServerError
from otel_emqx_monitor.emqx.plan import encode_id
from otel_emqx_monitor.emqx.reading import Question, Reader, decode_clients
from otel_emqx_monitor.emqx.refresh import ask_refresh_seconds
from otel_emqx_monitor.emqx.roster import Roster
from otel_emqx_monitor.emqx.rows import NodeState, Poll, Row
from otel_emqx_monitor.emqx.sessions import Sessions
from otel_emqx_monitor.text import printable

#: How long the version and the refresh interval are believed; a failed poll ends that too, since
#: an upgrade causes one.
_BELIEVED_SECONDS = 600.0


class EmqxClient:
    """Asks one broker about its clients.

    Args:
        config: where EMQX is and how to ask it.
        fields: the fields of rows that are needed, by EMQX's names.
        watched: the client ids of interest, or ``None`` for every client.
        deadline_seconds: how long a whole poll may take.
        wants: with ``watched=None``, which rows are of interest; the others are dropped page by
            page. In a cluster it is called from several threads at once.
        clock: the time of day in seconds since the epoch.
        monotonic: seconds that never go back.

    Not for two threads at once, except ``close``.
    """

    def __init__(  # noqa: PLR0913 (two of them are clocks for tests)
        self,
        config: EmqxConfig,
        fields: Collection[str],
        watched: Sequence[str] | None,
        *,
        deadline_seconds: float,
        wants: Callable[[Row], bool] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = Sessions(config)
        self._http = self._sessions.open()
        self._node = config.node
        self._question = Question(
            path_bytes=len(config.api_url),  # the path's length at most
            fields=frozenset(fields),
            ids=watched,
            wants=wants if watched is None else None,
        )
        self._roster = Roster(config.alias, self._sessions, monotonic)
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._broker: Broker | None = None
        self._broker_until = 0.0
        self._broker_sessions = 0
        self._refresh_seconds: float | None = None
        self._refresh_until: float | None = None
        #: Who is asked for once more when pages or nodes do not show it: all that were there last.
        self._expected = frozenset(watched or ())

    def close(self) -> None:
        """Cut off a poll that is under way; may be called from any thread."""
        self._sessions.close()

    def follow(self, earlier: "EmqxClient") -> None:
        """Know what ``earlier``, which asks no more, has found out about the same broker.

        A node that hangs may be on no list: who does not know it takes its clients for absent.
        """
        self._roster.follow(earlier._roster)
        if self._question.ids is None:
            self._expected = earlier._expected

    def poll(self) -> Poll:
        """Ask about all watched clients.

        Raises:
            EmqxError: the poll failed; nothing of it is kept.
        """
        began = self._monotonic()
        with self._http.deadline(self._deadline_seconds) as deadline:
            try:
                rows = self._rows(deadline)
            except Exception:
                self._broker = self._refresh_until = None
                raise
            finished_at, duration = self._clock(), self._monotonic() - began
            # Last, so that it takes no time from the clients.
            refresh_seconds = self._known_refresh(deadline)
        nodes = {self._node: NodeState.RUNNING} if self._node else self._roster.states
        return Poll(rows, finished_at, duration, nodes, self._roster.blind, refresh_seconds)

    def probe(self) -> Broker:
        """Ask for the version and for one client, to see that the key is accepted.

        Raises:
            EmqxError: EMQX cannot be asked, or refuses.
        """
        only = f"&node={encode_id(self._node)}" if self._node else ""
        with self._http.deadline(self._deadline_seconds) as deadline:
            broker = self._ask_broker(deadline)
            with self._doubting_node():
                self._http.get(f"/clients?limit=1{only}", decode_clients, deadline)
            return replace(broker, refresh_seconds=ask_refresh_seconds(self._http, deadline))

    def _rows(self, deadline: Deadline) -> dict[str, Row]:
        if len(self._roster) > 1:
            return self._nodes_rows(deadline, lambda: ask_nodes(self._http, deadline, attempts=1))
        broker = self._known_broker(deadline)
        if len(self._roster) > 1:
            return self._nodes_rows(deadline, None)
        with self._doubting_node():
            return self._broker_rows(broker, deadline)

    @contextmanager
    def _doubting_node(self) -> Iterator[None]:
        """Let EMQX's 500 for a node that does not exist say where that name comes from."""
        try:
            yield
        except ServerError as error:
            if self._node is None:
                raise
            name = printable(self._node, 200)
            raise ServerError(f"{error}; check that emqx.node, {name}, is one of them") from None

    def _known_refresh(self, deadline: Deadline) -> float | None:
        due = self._refresh_until is None or self._monotonic() > self._refresh_until
        if due and not deadline.expired:
            self._refresh_seconds = ask_refresh_seconds(self._http, deadline)
            self._refresh_until = self._monotonic() + _BELIEVED_SECONDS
        return self._refresh_seconds

    def _known_broker(self, deadline: Deadline) -> Broker:
        if self._broker is None or self._monotonic() > self._broker_until:
            self._broker = broker = self._ask_broker(deadline)
            self._broker_until = self._monotonic() + _BELIEVED_SECONDS
            self._broker_sessions = self._sessions_of(broker)
            if self._node is None and broker.nodes:
                self._roster.listed(broker.nodes)
        return self._broker

    def _ask_broker(self, deadline: Deadline) -> Broker:
        if self._node is None:
            return ask_broker(self._http, deadline)
        return ask_broker_of(self._node, self._http, deadline)

    def _sessions_of(self, broker: Broker) -> int:
        counts = [node.sessions for node in broker.nodes if node.node == self._node]
        return counts[0] if counts else broker.sessions

    def _nodes_rows(
        self, deadline: Deadline, list_nodes: Callable[[], list[Node]] | None
    ) -> dict[str, Row]:
        self._broker = None  # should the cluster become one node, that one is asked anew
        seen = read_nodes(self._roster, self._question, deadline, self._expected, list_nodes)
        self._expected = seen.hidden.union(seen.rows)
        return seen.rows

    def _broker_rows(self, broker: Broker, deadline: Deadline) -> dict[str, Row]:
        reader = Reader(
            self._question,
            self._http,
            deadline,
            broker.dialect,
            self._broker_sessions,
            nodes=max(1, len(broker.running)),
            node=self._node,
            own_only=self._node is not None,
        )
        found = reader.read()
        rows = found.rows
        doubtful = self._expected.difference(rows)
        if found.torn and doubtful:
            rows |= reader.read_again(doubtful)
        self._expected = frozenset(rows)
        if found.sessions is not None:
            self._broker_sessions = found.sessions
        self._roster.settle([one.name for one in self._roster], {})
        return rows
