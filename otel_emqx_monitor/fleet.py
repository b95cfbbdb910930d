"""The watched clients at one moment: what each one is, and what is remembered of it; immutable."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar

import msgspec

from otel_emqx_monitor.columns import Column, Group, Labels
from otel_emqx_monitor.emqx.rows import NodeState, Row
from otel_emqx_monitor.epochs import Counts, Tally, start_at


class State(StrEnum):
    """The presence of a client: what EMQX said, or that it is not known. Never a guess."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # the broker still holds the session
    ABSENT = "absent"  # a complete, successful poll had no row for it
    UNKNOWN = "unknown"  # no successful poll, or the last one is too old, or its node hangs


#: How often EMQX refreshes counters when nobody has changed that: the default of
#: ``mqtt.idle_timeout``, in seconds.
ASSUMED_REFRESH_SECONDS = 15.0

#: Why connections end, in EMQX's words (5.8.9); the last one stands for all others.
REASONS = (
    "normal",
    "tcp_closed",
    "ssl_closed",
    "keepalive_timeout",
    "takenover",
    "discarded",
    "kicked",
    "not_authorized",
    "protocol_error",
    "frame_error",
    "server_busy",
    "disconnect_with_will_message",
    "administrative_action",
    "other",
)

_Source = TypeVar("_Source", Row, Counts)

_LABEL_NAMES = ("alias", "broker", "client_id")


@dataclass(frozen=True, slots=True)
class Watched:
    """A client to watch: the alias people gave it, its MQTT client id, the alias of its broker.

    ``expected_every`` is after how many seconds without a sight of it the client is overdue. A
    ``Watched`` lives as long as the client is watched, and with it ``labels``, those of all its
    series.
    """

    alias: str
    client_id: str
    broker: str = ""
    expected_every: float | None = None
    labels: Labels = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = (self.alias, self.broker, self.client_id)
        object.__setattr__(self, "labels", Labels(_LABEL_NAMES, values))


class Correction(StrEnum):
    """What a poll repairs where events were lost."""

    OPENED = "opened"  # it found a connection whose begin no event had told
    CLOSED = "closed"  # it found a connection gone whose end no event had told


class Epoch(StrEnum):
    """What a counter of EMQX's rows counts for: when that begins again, so does the counter."""

    CONNECTION = "connection"  # since ``connected_at``
    SESSION = "session"  # since ``created_at``


class Memory(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a client across polls; times are seconds since the epoch.

    ``since`` is when the agent began to watch it, or last saw it before it was forgotten;
    ``last_seen`` is when it was last known to be
    connected, ``None`` for never; both by the agent's clock. ``row`` is the last one it had.
    ``connection`` and ``session`` are its counters and epochs, ``None`` before the first row and
    where nothing is counted; ``info`` the attributes of its info series, where that is wanted.
    ``disconnections`` are how often events said that it left, by the reasons in ``REASONS``; empty
    for never.
    """

    since: float
    last_seen: float | None = None
    row: Row | None = None
    connection: Tally | None = None
    session: Tally | None = None
    info: Labels | None = None
    disconnections: tuple[int, ...] = ()

    def tally(self, epoch: Epoch) -> Tally | None:
        """Return the counters of that kind of epoch."""
        return self.connection if epoch is Epoch.CONNECTION else self.session


class Client(msgspec.Struct, frozen=True, gc=False):
    """One watched client at one moment, and what is remembered of it.

    ``polled`` is whether the last poll had a row of it; events can tell of a client without.
    """

    watched: Watched
    state: State
    memory: Memory
    polled: bool = True

    @property
    def row(self) -> Row | None:
        """Its row in the last poll; ``None`` when absent or unknown, or known by events alone."""
        here = self.state is State.CONNECTED or self.state is State.DISCONNECTED
        return self.memory.row if here and self.polled else None

    @property
    def alias(self) -> str:
        """The alias that people gave it."""
        return self.watched.alias

    @property
    def client_id(self) -> str:
        """Its MQTT client id."""
        return self.watched.client_id

    def overdue(self, now: float) -> bool | None:
        """Whether it has not been seen for longer than expected at ``now`` (epoch seconds).

        ``None`` when nobody said how often to expect it, or when it is not known how it is. A
        client that was never seen is measured from when the agent began to watch it.
        """
        if self.watched.expected_every is None or self.state is State.UNKNOWN:
            return None
        last = self.memory.last_seen
        return now - (self.memory.since if last is None else last) > self.watched.expected_every


@dataclass(frozen=True, slots=True)
class Counted:
    """Which fields of EMQX's rows are summed up over epochs, by the kind of epoch they begin with.

    Their order is that of the counts in a ``Tally``.
    """

    connection: tuple[str, ...]
    session: tuple[str, ...]

    def fields(self, epoch: Epoch) -> tuple[str, ...]:
        """Return the fields that begin again with that kind of epoch."""
        return self.connection if epoch is Epoch.CONNECTION else self.session


@dataclass(frozen=True, slots=True)
class Series(Generic[_Source]):
    """Some clients of a fleet in columns: their labels, and what their values are read from.

    ``starts`` are when their counters began, in nanoseconds since the epoch, ``None`` where that is
    not known; rows that are not read for counters have none.
    """

    group: Group
    sources: Sequence[_Source]
    starts: Sequence[int | None] | None = None


def _start(began: datetime | None) -> int | None:
    """Return when a row's counters began; before 1970 there is nothing to believe."""
    return None if began is None else start_at(began.timestamp()) or None


@dataclass(frozen=True)
class Fleet:
    """All watched clients as one complete poll saw them: those with a name of their own first.

    ``polled_at`` is when that poll ended (seconds since the epoch, the agent's clock), or ``None``
    when there was none or it is too old: then every client is unknown. What is remembered of
    clients, in spite of that or because events told of them since, is of ``remembered_at``.

    ``counted`` is what is summed up over epochs, ``None`` when counters are those that EMQX tells.
    ``over_limit`` is how many clients ``max_clients`` left out, ``None`` where nothing is bounded.
    ``nodes`` and ``refresh_seconds`` are those of the poll. ``write_errors`` is how often what is
    remembered could not be written to a file, ``None`` where it is not meant to be, and
    ``written_at`` is when it last was, in seconds since the epoch.
    ``corrections`` are how often polls had to repair what events said, ``None`` without events, and
    ``corrected_at`` is when they last had to. Of two fleets the one with the higher ``revision``
    knows all that the other knows.
    """

    clients: tuple[Client, ...]
    polled_at: float | None
    remembered_at: float | None = None
    counted: Counted | None = None
    over_limit: int | None = None
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    refresh_seconds: float | None = None
    write_errors: int | None = None
    written_at: float | None = None
    corrections: Mapping[Correction, int] | None = None
    corrected_at: float | None = None
    revision: int = 0

    def forgotten(self) -> "Fleet":
        """Return the fleet of which nothing is known any more, since no poll is recent enough."""
        clients = tuple(
            msgspec.structs.replace(client, state=State.UNKNOWN) for client in self.clients
        )
        return replace(
            self, clients=clients, polled_at=None, over_limit=None, nodes={}, refresh_seconds=None
        )

    @cached_property
    def present(self) -> Series[Row]:
        """The clients that have a row in this poll, and their rows."""
        # Lists of what exists already: a pair for each client would have the garbage collector run.
        rows = [client.row for client in self.clients]
        labels = [
            client.watched.labels
            for client, row in zip(self.clients, rows, strict=True)
            if row is not None
        ]
        return Series(Group(labels), [row for row in rows if row is not None])

    @cached_property
    def remembered(self) -> Series[Row]:
        """The clients whose last row is remembered, and that row; a live fleet has no memory."""
        if self.counted is None:
            return self.present
        memories = [client.memory for client in self.clients]
        labels = [client.watched.labels for client in self.clients if client.memory.row is not None]
        return Series(Group(labels), [one.row for one in memories if one.row is not None])

    def counters(self, epoch: Epoch) -> Series[Row] | Series[Counts]:
        """Return what counters are read from, with the times at which they began.

        Those are the rows of this poll, or the sums of all clients that were ever seen.
        """
        if epoch not in self._counters:
            self._counters[epoch] = self._rows(epoch) if self.counted is None else self._sums(epoch)
        return self._counters[epoch]

    @cached_property
    def _counters(self) -> dict[Epoch, Series[Row] | Series[Counts]]:
        return {}

    def _rows(self, epoch: Epoch) -> Series[Row]:
        rows = self.present.sources
        if epoch is Epoch.CONNECTION:
            starts = [_start(row.connected_at) for row in rows]
        else:
            starts = [_start(row.created_at) for row in rows]
        return Series(self.present.group, rows, starts)

    def _sums(self, epoch: Epoch) -> Series[Counts]:
        tallies = [client.memory.tally(epoch) for client in self.clients]
        labels = [
            client.watched.labels
            for client, tally in zip(self.clients, tallies, strict=True)
            if tally is not None
        ]
        known = [tally for tally in tallies if tally is not None]
        return Series(Group(labels), [one.totals for one in known], [one.start for one in known])

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns made of this fleet so far, by metric: every reader gets the same ones."""
        return {}

    @property
    def refresh_seconds_or_assumed(self) -> float | None:
        """How often counters move, as EMQX tells or else by default; ``None`` before a poll."""
        if self.polled_at is None:
            return None
        return ASSUMED_REFRESH_SECONDS if self.refresh_seconds is None else self.refresh_seconds

    @cached_property
    def node_states(self) -> Mapping[NodeState, int]:
        """How many nodes are in each state; empty when no node is known."""
        counted = Counter(self.nodes.values())
        return {state: counted[state] for state in NodeState} if self.nodes else {}

    @cached_property
    def states(self) -> Mapping[State, int]:
        """How many clients are in each state; every state is present."""
        counted = Counter(client.state for client in self.clients)
        return {state: counted[state] for state in State}
