"""From polls to the presence of each watched client, remembering from poll to poll.

A poll is complete, so a client without a row is absent. Two things make a missing row say nothing:
the node on which the client was last seen does not answer or does not run; or nothing has been said
of the client yet, and some node does not answer.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from otel_emqx_monitor.emqx.rows import NodeState, Poll, Row
from otel_emqx_monitor.fleet import Client, Counted, Fleet, Memory, State, Watched
from otel_emqx_monitor.memory import Recorder, is_another_user
from otel_emqx_monitor.selection import Selection
from otel_emqx_monitor.statefile import NOTHING_RESTORED, Restored
from otel_emqx_monitor.text import printable

log = logging.getLogger(__name__)

#: The fields of EMQX's rows that tell who a client is, and since when it is there; in a cluster
#: the node comes with them unasked.
FIELDS = frozenset({"clientid", "username", "connected", "connected_at"})

#: How many client ids one line of the log names.
_NAMED_AT_ONCE = 5


@dataclass(frozen=True)
class Habits:
    """What a tracker keeps, and for how long.

    ``counted``: the fields to sum up over epochs, ``None`` to leave counters as EMQX tells them.
    ``info``: whether to keep the attributes of info series. ``stale_after``: for how many seconds
    the clients of a node that does not answer are unknown. ``forget_after``: seconds after which a
    client that is gone is forgotten.
    """

    counted: Counted | None = None
    info: bool = False
    stale_after: float = 60.0
    forget_after: float = 7 * 86_400.0


class Tracker:
    """Follows the clients of one broker from poll to poll. Not for two threads at once.

    Args:
        selection: which clients to watch.
        habits: what to keep of them.
        now: when the agent begins to watch, in seconds since the epoch.
        restored: what an earlier run of the agent knew.
    """

    def __init__(
        self,
        selection: Selection,
        habits: Habits,
        now: float,
        restored: Restored = NOTHING_RESTORED,
    ) -> None:
        self._selection = selection
        self._habits = habits
        self._recorder = Recorder(habits.counted, info=habits.info)
        self._changed_user: list[str] = []  # in this poll
        self._told: set[str] = set()  # of whom it was logged already
        self._named = {one.client_id for one in selection.named}
        self._clients = {one.client_id: _new(one, now) for one in selection.named}
        self._clients |= {one.client_id: one for one in self._recalled(restored)}
        clients = tuple(self._clients.values())
        self.initial = Fleet(clients, None, restored.polled_at, habits.counted).forgotten()

    def _recalled(self, restored: Restored) -> Iterator[Client]:
        """Yield those of an earlier run that are still selected."""
        for one in restored.clients:
            username = one.memory.row.username if one.memory.row else None
            watched = self._selection.match(one.client_id, username)
            if watched is not None:
                memory = self._recorder.recall(one.memory, watched)
                yield Client(watched, one.state, memory)

    def apply(self, poll: Poll) -> Fleet:
        """Return the fleet that ``poll`` shows."""
        selected = self._selection.select(poll.rows)
        self._changed_user.clear()
        clients = {one.watched.client_id: one for one in self._steps(poll, selected.watched)}
        self._forget_beyond_limit(clients, poll.rows)
        self._clients = clients
        self._tell_of_users()
        return Fleet(
            tuple(clients.values()),
            poll.finished_at,
            poll.finished_at,
            self._habits.counted,
            selected.over_limit,
            poll.nodes,
            poll.refresh_seconds,
        )

    def _steps(self, poll: Poll, watched: Mapping[str, Watched]) -> Iterator[Client]:
        """Yield those who are known already, in their order, then those who are new.

        A client that has a row but is not among ``watched`` has lost its place to ``max_clients``.
        """
        rows = poll.rows
        for client_id, client in self._clients.items():
            target = watched.get(client_id)
            if target is not None:
                yield self._with_row(target, client.memory, rows[client_id], poll.finished_at)
            elif client_id not in rows and (gone := self._without_row(client, poll)):
                yield gone
        for client_id, target in watched.items():
            if client_id not in self._clients:
                memory = Memory(poll.finished_at)
                yield self._with_row(target, memory, rows[client_id], poll.finished_at)

    def _with_row(self, watched: Watched, memory: Memory, row: Row, now: float) -> Client:
        if row.connected is None:  # all that is left of some offline durable sessions
            return Client(watched, State.UNKNOWN, memory)
        before = memory.row
        if before is not None and before.username != row.username and is_another_user(before, row):
            self._changed_user.append(row.clientid)
        state = State.CONNECTED if row.connected else State.DISCONNECTED
        return Client(watched, state, self._recorder.record(memory, watched, row, now))

    def _without_row(self, client: Client, poll: Poll) -> Client | None:
        """Return what a client without a row is; ``None`` when it has been gone for long enough."""
        memory, now = client.memory, poll.finished_at
        last_known = memory.since if memory.last_seen is None else memory.last_seen
        if memory.row is not None and now - last_known > self._habits.forget_after:
            named = client.client_id in self._named
            return _new(client.watched, now, State.ABSENT) if named else None
        state = State.UNKNOWN if self._in_doubt(client, poll) else State.ABSENT
        return client if state is client.state else Client(client.watched, state, memory)

    def _in_doubt(self, client: Client, poll: Poll) -> bool:
        """Whether a client may be on a node that has not answered, and not for too long."""
        if not poll.blind or client.state is State.ABSENT:
            return False
        row = client.memory.row
        if row is not None and row.node is not None:
            return poll.blind.get(row.node, float("inf")) < self._habits.stale_after
        return any(
            seconds < self._habits.stale_after
            for node, seconds in poll.blind.items()
            if poll.nodes.get(node) is NodeState.HANGING
        )

    def _forget_beyond_limit(self, clients: dict[str, Client], rows: Mapping[str, Row]) -> None:
        """Drop those who are gone the longest when patterns have pulled in more than they may."""
        excess = len(clients) - len(self._named) - self._selection.max_clients
        if excess > 0:
            gone = [one for one in clients if one not in rows and one not in self._named]
            gone.sort(key=lambda one: clients[one].memory.last_seen or 0.0)
            for client_id in gone[:excess]:
                del clients[client_id]

    def _tell_of_users(self) -> None:
        """Log once for each client id that another user than before connects with it."""
        changed = [one for one in self._changed_user if one not in self._told]
        if changed:
            self._told = {*changed, *self._told.intersection(self._clients)}
            more = f" and {len(changed) - _NAMED_AT_ONCE} more" * (len(changed) > _NAMED_AT_ONCE)
            log.warning(
                "another user than before connects with the client id %s%s; its counters begin a"
                " new epoch. If that is not meant, look at who may use which client id",
                ", ".join(printable(one, 60) for one in changed[:_NAMED_AT_ONCE]),
                more,
            )


def _new(watched: Watched, now: float, state: State = State.UNKNOWN) -> Client:
    return Client(watched, state, Memory(now))
