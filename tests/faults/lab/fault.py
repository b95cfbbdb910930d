"""What a fault is: one entry of the matrix, and what the lab finds out about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.lab.stage import Stage


class Presence(StrEnum):
    """What a fault leaves of what is said about the clients, while it lasts."""

    GOES_ON = "goes on"
    KEPT = "the last good data, then unknown"
    UNKNOWN = "unknown, as nothing was known yet"
    PARTLY = "goes on; unknown for the clients of that node"
    UNSERVED = "no answer to scrapes"


class Need(StrEnum):
    """What a fault needs that not every machine has."""

    MOUNTS = "root, to mount in a namespace of its own"
    FAKETIME = "libfaketime, Debian's package faketime"


Step = Callable[["Stage"], object]


def nothing(_stage: "Stage") -> None:
    """Do nothing: what has to be undone is undone by itself."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One entry of the matrix.

    Args:
        name: what fails, in a few words; also the name of its test.
        how: how the lab brings it about, for people.
        begin: brings it about.
        repair: undoes it.
        up: what ``emqx_client_monitor_up`` says in the end, ``None`` when it cannot be asked.
        presence: what is said of the clients.
        says: what the log has to say, a part of each line in order; lines of level ``info`` count
            only where they tell that it is over.
        polls: how many polls after the repair it takes at most until everything is right again.
        pushes: how many pushes it takes at most until the Collector has everything, where the fault
            is one of the Collector.
        lasts: whether it has lasted for long enough; as a rule ``up`` and ``presence`` tell.
        holds: checks more while it lasts, or when it is over; raises ``AssertionError``.
        before: what the broker has to be before the agent starts.
        at_start: whether it is there when the agent starts.
        settings: sections of the configuration beside those that all agents of the lab have.
        globs: patterns of further clients to watch.
        environ: environment variables of the agent.
        inside: a command that becomes the agent.
        needs: what the machine has to have.
        cluster: whether the broker is a cluster of two nodes.
    """

    name: str
    how: str
    begin: Step
    repair: Step = nothing
    up: int | None = 0
    presence: Presence = Presence.KEPT
    says: Sequence[str] = ()
    polls: int = 2
    pushes: int | None = None
    lasts: "Callable[[Stage], bool] | None" = None
    holds: Step = nothing
    before: Step = nothing
    at_start: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    globs: Sequence[str] = ()
    environ: "Callable[[Stage], Mapping[str, str]] | None" = None
    inside: "Callable[[Stage], Sequence[str]] | None" = None
    needs: Sequence[Need] = ()
    cluster: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Finding:
    """What the lab found out about a fault; all of it was as the entry wants it.

    ``sums`` is what is said of the counters in the end of it. ``logged`` are the lines of the log,
    ``polls`` and ``pushes`` how many it took after the repair.
    """

    fault: Fault
    sums: str
    logged: Sequence[str]
    polls: int
    pushes: int
    seconds: float
