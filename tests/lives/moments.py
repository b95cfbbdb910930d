"""The time of scripted lives: it stands until a step moves it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

#: When the agents of a life begin, in seconds since the epoch.
BEGIN = datetime(2026, 11, 22, 17, 0, 0, tzinfo=UTC).timestamp()

_NODES_OFFSET = timezone(timedelta(hours=1))


@dataclass
class Clock:
    """Seconds since the epoch, for the broker and for the agents; also their monotonic clock."""

    now: float = BEGIN

    def __call__(self) -> float:
        return self.now


def iso(seconds: float) -> str:
    """Return that many seconds after the begin as EMQX writes it: with its node's local offset."""
    moment = datetime.fromtimestamp(BEGIN + seconds, tz=_NODES_OFFSET)
    return moment.isoformat(timespec="milliseconds")
