"""From polls to the presence of each watched client, remembering from poll to poll.

A poll is complete, so a client without a row is absent. Two things make a missing row say nothing:
the node on which the client was last seen does not answer or does not run; or nothing has been said
of the client yet, and some node does not answer.

Events tell of clients between polls (``find`` and ``told``); ``correcting`` has what polls find
that they got wrong.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from otel_emqx_monitor.correcting import Corrector
from otel_emqx_monitor.emqx.rows import NodeState, Poll, Row
from otel_emqx_monitor.fleet import Client, Correction, Counted, Fleet, Memory, State, Watched
from otel_emqx_monitor.memory import Recorder, is_another_user
from otel_emqx_monitor.reordering import Reordering
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
    ``hears``: whether events tell of clients too. ``info``: whether to keep the attributes of info
    series. ``stale_after``: for how many seconds the clients of a node that does not answer are
    unknown. ``forget_after``: seconds after which a client that is gone is forgotten.
    """

    counted: Counted | None = None
    hears: bool = False
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
        self._corrector = Corrector(now) if habits.hears else None
        self._revision = 0
        self._clients = {one.client_id: _new(one, now) for one in selection.named}
        self._clients |= {one.client_id: one for one in self._recalled(restored)}
        self._polled: Fleet | None = None
        clients = tuple(self._clients.values())
        self.initial = Fleet(
            clients, None, restored.polled_at, habits.counted, corrections=self._repaired()
        ).forgotten()

    def _recalled(self, restored: Restored) -> Iterator[Client]:
        """Yield those of an earlier run that are still selected."""
        for one in restored.clients:
            username = one.memory.row.username if one.memory.row else None
            watched = self._selection.match(one.client_id, username)
            if watched is not None:
                memory = self._recorder.recall(one.memory, watched)
                yield Client(watched, one.state, memory)

    def take_over(self, earlier: "Tracker") -> Fleet:
        """Go on where ``earlier``, of another configuration, has ended; return the fleet now.

        Clients keep what is remembered of them and how they are. Those that nobody selects any more
        are gone; those that are new, or known from a file alone, are unknown until the next poll.
        """
        order: Reordering | None = None
        if earlier._habits.counted != self._habits.counted:
            order = Reordering(earlier._habits.counted, self._habits.counted)
        self._clients = {
            one: msgspec.structs.replace(client, state=State.UNKNOWN)
            for one, client in self._clients.items()
        }
        for before in earlier._clients.values():
            client = self._continued(before, order, earlier._habits)
            if client is not None:
                self._clients[client.client_id] = client
        self._told = earlier._told.intersection(self._clients)
        if self._corrector is not None and earlier._corrector is not None:
            self._corrector = earlier._corrector
        self._revision = earlier._revision
        self._polled = earlier._polled
        return replace(
            self._polled or self.initial,
            clients=tuple(self._clients.values()),
            remembered_at=(self._polled or earlier.initial).remembered_at,
            counted=self._habits.counted,
            corrections=self._repaired(),
            corrected_at=self._corrector.corrected_at if self._corrector else None,
            revision=self._next_revision(),
        )

    def _continued(self, before: Client, order: Reordering | None, habits: Habits) -> Client | None:
        memory = before.memory
        watched = self._selection.match(
            before.client_id, memory.row.username if memory.row else None
        )
        known = self._clients.get(before.client_id)
        is_new = memory.row is None and memory.connection is None
        if watched is None or (is_new and known is not None and known.memory.row is not None):
            return None
        memory = Memory(
            memory.since,
            memory.last_seen,
            memory.row,
            order.connection(memory.connection) if order else memory.connection,
            order.session(memory.session) if order else memory.session,
            disconnections=memory.disconnections,
        )
        if habits.info:  # else the row has not the attributes
            memory = self._recorder.recall(memory, watched)
        return Client(watched, before.state, memory, before.polled)

    def apply(self, poll: Poll) -> Fleet:
        """Return the fleet that ``poll`` shows."""
        selected = self._selection.select(poll.rows)
        self._changed_user.clear()
        if self._corrector is not None:
            self._corrector.begin(poll, self._clients)
        clients = {one.watched.client_id: one for one in self._steps(poll, selected.watched)}
        self._forget_beyond_limit(clients, poll.rows)
        self._clients = clients
        self._tell_of_users()
        if self._corrector is not None:
            self._corrector.end()
        self._polled = Fleet(
            tuple(clients.values()),
            poll.finished_at,
            poll.finished_at,
            self._habits.counted,
            selected.over_limit,
            poll.nodes,
            poll.refresh_seconds,
            corrections=self._repaired(),
            corrected_at=self._corrector.corrected_at if self._corrector else None,
            revision=self._next_revision(),
        )
        return self._polled

    def find(self, client_id: str, username: str | None, now: float) -> Client | None:
        """Return a client that an event tells of; ``None`` for one that is not watched.

        One that a pattern matches and no poll has seen is new at ``now`` (epoch seconds), as long
        as ``max_clients`` leaves room.
        """
        known = self._clients.get(client_id)
        if known is None and not self._has_room:
            return None  # without a decision about it: strangers make up client ids by the million
        if known is not None and username is None:
            return known  # there may be one, and the rule that posts events does not select it
        watched = self._selection.match(client_id, username)
        if watched is None:
            return None
        return known or Client(watched, State.UNKNOWN, Memory(now), polled=False)

    @property
    def _has_room(self) -> bool:
        """Whether patterns may pull in one more client."""
        patterns = self._selection.ids is None
        return patterns and len(self._clients) < self._selection.max_clients + len(self._named)

    def told(self, client: Client, now: float | None) -> None:
        """Take note of what an event told; ``now`` (epoch seconds) when it told of presence."""
        self._clients[client.client_id] = client
        if now is not None and self._corrector is not None:
            self._corrector.told(client.client_id, now)

    def begin_told(self, client_id: str, began: datetime) -> None:
        """Take note that an event told of the begin of a connection that a poll may have found."""
        if self._corrector is not None:
            self._corrector.begin_told(client_id, began)

    def heard(self, now: float) -> Fleet | None:
        """Return the fleet with what events have told since the last poll, as of ``now``.

        ``None`` before the first poll: without one nothing is known of the others.
        """
        if self._polled is None:
            return None
        return replace(
            self._polled,
            clients=tuple(self._clients.values()),
            remembered_at=max(now, self._polled.remembered_at or now),
            revision=self._next_revision(),
        )

    def _next_revision(self) -> int:
        self._revision += 1
        return self._revision

    def _repaired(self) -> Mapping[Correction, int] | None:
        return dict(self._corrector.counts) if self._corrector else None

    def _steps(self, poll: Poll, watched: Mapping[str, Watched]) -> Iterator[Client]:
        """Yield those who are known already, in their order, then those who are new.

        A client that has a row but is not among ``watched`` has lost its place to ``max_clients``.
        """
        rows = poll.rows
        for client_id, client in self._clients.items():
            target = watched.get(client_id)
            if target is not None:
                found = self._with_row(target, client.memory, rows[client_id], poll.finished_at)
                yield self._corrected(client, found, poll)
            elif client_id not in rows and (gone := self._without_row(client, poll)):
                yield gone
        for client_id, target in watched.items():
            if client_id not in self._clients:
                memory = Memory(poll.finished_at)
                found = self._with_row(target, memory, rows[client_id], poll.finished_at)
                if self._corrector is not None and found.memory.connection is not None:
                    self._corrector.note_begin(client_id, 0, found.memory.connection, poll)
                yield found

    def _with_row(self, watched: Watched, memory: Memory, row: Row, now: float) -> Client:
        if row.connected is None:  # all that is left of some offline durable sessions
            return Client(watched, State.UNKNOWN, memory)
        before = memory.row
        if before is not None and before.username != row.username and is_another_user(before, row):
            self._changed_user.append(row.clientid)
        state = State.CONNECTED if row.connected else State.DISCONNECTED
        return Client(watched, state, self._recorder.record(memory, watched, row, now))

    def _without_row(self, client: Client, poll: Poll) -> Client | None:
        """Return what a client without a row is; ``None`` when it has been gone for long enough.

        Who has a name is watched again from when it was last seen: being forgotten is no sign of
        life, and who is overdue stays so.
        """
        memory = client.memory
        last_known = memory.since if memory.last_seen is None else memory.last_seen
        if poll.finished_at - last_known > self._habits.forget_after:
            if client.client_id not in self._named:
                return None
            if memory.row is not None or memory.connection is not None:
                return _new(client.watched, last_known, State.ABSENT)
        state = State.UNKNOWN if self._in_doubt(client, poll) else State.ABSENT
        if self._corrector is not None:
            gone = Client(client.watched, state, memory, polled=False)
            return self._corrector.corrected(client, gone, poll)
        return client if state is client.state else Client(client.watched, state, memory)

    def _corrected(self, before: Client, found: Client, poll: Poll) -> Client:
        return found if self._corrector is None else self._corrector.corrected(before, found, poll)

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
