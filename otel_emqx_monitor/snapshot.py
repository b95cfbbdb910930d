"""What is known of the watched clients and of the agent itself at one moment; immutable."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.fleet import Fleet

if TYPE_CHECKING:
    from otel_emqx_monitor.events.receivers import EventsView


@dataclass(frozen=True)
class Health:
    """How asking EMQX is going; ``None`` stands for what has not happened yet.

    ``up``: whether the last poll succeeded. ``last_success``: when the last good poll ended,
    seconds since the epoch. ``poll_duration``: seconds the last poll took, good or failed.
    ``errors``: failed polls since the start, by reason; every reason is present. ``last_failure``:
    when the last failed poll ended, seconds since the epoch. ``last_error``: why it failed, one
    line for a person, never with a credential; both stay when EMQX answers again.
    """

    up: bool | None
    last_success: float | None
    poll_duration: float | None
    errors: Mapping[Reason, int]
    last_failure: float | None = None
    last_error: str | None = None


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
class Reload:
    """Whether the configuration on disk is the one in force, and since when that is in force.

    ``successful`` is ``False`` from a configuration that could not be used until a good one comes.
    ``succeeded_at`` is when the last good one took over, in seconds since the epoch.
    """

    successful: bool
    succeeded_at: float


@dataclass(frozen=True)
class Snapshot:
    """One consistent view for every reader: the fleet, and the agent's own health.

    ``started_at`` is when the agent began to count, in seconds since the epoch. ``reload`` is
    ``None`` where the configuration is never read again.
    """

    broker: str
    fleet: Fleet
    health: Health
    started_at: float
    pushes: Pushes = NO_PUSHES
    events: "EventsView | None" = None
    reload: Reload | None = None


class Source(Protocol):
    """Where instruments read: ``snapshot`` returns the view that is current now."""

    @property
    def flags(self) -> frozenset[str]:
        """The ``enable_*`` flags that are on; they choose which instruments exist."""

    def snapshot(self) -> Snapshot:
        """Return the current snapshot; never raises for anything EMQX can cause."""
