"""What is known of the watched clients and of the agent itself at one moment; immutable."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol

from otel_emqx_monitor.columns import Column, Group, Labels, nanoseconds
from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.emqx.rows import Row


class State(StrEnum):
    """The presence of a client: what EMQX said, or that it is not known. Never a guess."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # the broker still holds the session
    ABSENT = "absent"  # a complete, successful poll had no row for it
    UNKNOWN = "unknown"  # no successful poll, or the last one is too old


_LABEL_NAMES = ("alias", "broker", "client_id")


@dataclass(frozen=True, slots=True)
class Watched:
    """A client to watch: the alias people gave it, its MQTT client id, the alias of its broker.

    ``expected_every`` is how often it is expected to be seen, in seconds; ``None`` when nobody
    said. It lives as long as the client is watched, and with it ``labels``, those of all its
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


@dataclass(frozen=True, slots=True)
class Client:
    """One watched client in one poll; ``row`` is ``None`` when absent or unknown."""

    watched: Watched
    state: State
    row: Row | None = None

    @property
    def alias(self) -> str:
        """The alias that people gave it."""
        return self.watched.alias

    @property
    def client_id(self) -> str:
        """Its MQTT client id."""
        return self.watched.client_id


@dataclass(frozen=True, slots=True)
class Present:
    """The clients of a poll that have a row, in columns: their labels and their rows.

    ``starts`` are when their counters began: ``connected_at`` in nanoseconds since the epoch.
    """

    group: Group
    rows: Sequence[Row]
    starts: Sequence[int | None]


def _start(row: Row) -> int | None:
    """Return when the counters of ``row`` began; before 1970 there is nothing to believe."""
    if row.connected_at is None:
        return None
    return max(0, nanoseconds(row.connected_at.timestamp())) or None


@dataclass(frozen=True)
class Fleet:
    """All watched clients as one complete poll saw them, in the order of the configuration.

    ``polled_at`` is when that poll ended (seconds since the epoch, the agent's clock), or ``None``
    when there was none or it is too old: then every client is unknown.
    """

    clients: tuple[Client, ...]
    polled_at: float | None

    @cached_property
    def present(self) -> Present:
        """The clients that have a row."""
        # Lists of what exists already: a pair for each client would have the garbage collector run.
        rows = [client.row for client in self.clients if client.row is not None]
        labels = [client.watched.labels for client in self.clients if client.row is not None]
        return Present(Group(labels), rows, [_start(row) for row in rows])

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns made of this fleet so far, by metric: every reader gets the same ones."""
        return {}

    @cached_property
    def states(self) -> Mapping[State, int]:
        """How many clients are in each state; every state is present."""
        counted = Counter(client.state for client in self.clients)
        return {state: counted[state] for state in State}


@dataclass(frozen=True)
class Health:
    """How asking EMQX is going; ``None`` stands for what has not happened yet.

    ``up``: whether the last poll succeeded. ``last_success``: when the last good poll ended,
    seconds since the epoch. ``poll_duration``: seconds the last poll took, good or failed.
    ``errors``: failed polls since the start, by reason; every reason is present.
    """

    up: bool | None
    last_success: float | None
    poll_duration: float | None
    errors: Mapping[Reason, int]


class Outcome(StrEnum):
    """What became of one export by OTLP, and of its points."""

    SUCCESS = "success"
    REFUSED = "refused"  # the Collector answered, and said no
    DROPPED = "dropped"  # it could not be delivered in time


@dataclass(frozen=True)
class Pushes:
    """Exports by OTLP since the start; ``last_success`` is in seconds since the epoch.

    ``exports`` and ``points`` count requests and data points; every outcome is present.
    """

    exports: Mapping[Outcome, int]
    points: Mapping[Outcome, int]
    last_success: float | None


NO_PUSHES = Pushes(dict.fromkeys(Outcome, 0), dict.fromkeys(Outcome, 0), None)


@dataclass(frozen=True)
class Snapshot:
    """One consistent view for every reader: the fleet, and the agent's own health.

    ``started_at`` is when the agent began to count, in seconds since the epoch.
    """

    broker: str
    fleet: Fleet
    health: Health
    started_at: float
    pushes: Pushes = NO_PUSHES


class Source(Protocol):
    """Where instruments read: ``snapshot`` returns the view that is current now."""

    @property
    def flags(self) -> frozenset[str]:
        """The ``enable_*`` flags that are on; they choose which instruments exist."""

    def snapshot(self) -> Snapshot:
        """Return the current snapshot; never raises for anything EMQX can cause."""
