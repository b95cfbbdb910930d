"""Three minutes of a live broker, recorded poll by poll: ``recordings/timeline.jsonl.gz``.

What it holds is told in two ways: as the file has it, and worked out of its JSON in the plainest
way there is, for tests to compare with.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent.parent / "recordings" / "timeline.jsonl.gz"


@dataclass(frozen=True)
class Recorded:
    """What one poll got, and when it was made, in seconds since the epoch."""

    at: float
    rows: Sequence[Mapping[str, Any]]

    @property
    def page(self) -> bytes:
        """The answer of ``GET /clients`` that has these rows."""
        return json.dumps({"data": self.rows, "meta": {"hasnext": False}}).encode()


@dataclass(frozen=True)
class Told:
    """What all polls up to one tell of a client, ``received`` message by connection, in order."""

    present: bool
    connected: bool
    received: Mapping[str, int]

    @property
    def connections(self) -> int:
        """How many connections of it were seen."""
        return len(self.received)

    @property
    def total(self) -> int:
        """What was seen of the messages of all its connections."""
        return sum(self.received.values())


@cache
def polls() -> Sequence[Recorded]:
    """Return all polls, in order."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as lines:
        *recorded, _truth = map(json.loads, lines)
    return [Recorded(one["unix"], one["data"]) for one in recorded]


def told(client_id: str) -> Iterator[Told]:
    """Yield what is known of a client after each poll."""
    received: dict[str, int] = {}
    for poll in polls():
        present = connected = False
        for row in poll.rows:
            if row["clientid"] == client_id:
                present, connected = True, row["connected"]
                began = row["connected_at"]
                received[began] = max(received.get(began, 0), row["recv_msg"])
        yield Told(present, connected, dict(received))
