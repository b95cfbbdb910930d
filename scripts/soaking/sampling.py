"""What a process has of the machine (Linux), and what a scrape brought."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PREFIX = "emqx_client_monitor_"
_CLIENT_ID = re.compile(r'[{,]client_id="([^"]*)"')

#: Counters whose sums are held against the truth, by what the truth calls them.
_SUMMED = {
    f"{_PREFIX}connections_total": "connections",
    f"{_PREFIX}disconnections_total": "disconnections",
}
_MESSAGES = f"{_PREFIX}messages_processed_total"
_DIRECTION = re.compile(r'direction="(rx|tx)"')


@dataclass(frozen=True)
class Sample:
    """One moment; ``at`` in seconds since the soak began, sizes in bytes.

    ``anonymous`` is memory that no file is behind, the heaps above all: unlike what a process
    shares with nobody (USS) it does not grow when others that map the same libraries end. ``pss``
    has the process's part of what is shared. ``answer`` is the length of a scrape's answer before
    compression, ``scrape_seconds`` how long that took, ``state`` the size of the state file with
    what belongs to it, ``lines`` those of the log.
    """

    at: float
    calm: bool
    rss: int
    anonymous: int
    pss: int
    fds: int
    threads: int
    cpu_seconds: float
    state: int
    lines: int
    answer: int
    scrape_seconds: float


def memory(pid: int) -> tuple[int, int, int]:
    """Return RSS, anonymous memory and PSS of a process in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    kib = {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return kib["Rss"] * 1024, kib["Anonymous"] * 1024, kib["Pss"] * 1024


def descriptors(pid: int) -> int:
    """Return how many file descriptors a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def size_of_state(path: Path) -> int:
    """Return the size of a state file with what SQLite keeps beside it."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


@dataclass(frozen=True)
class Exposition:
    """The samples of an answer by their names with labels, and which of them are counters."""

    values: Mapping[str, float]
    counters: Sequence[str] = field(repr=False)

    def own(self, name: str) -> float | None:
        """Return the value of the agent's metric ``name``, summed up over its labels."""
        found = [
            value for key, value in self.values.items() if key.partition("{")[0] == _PREFIX + name
        ]
        return sum(found) if found else None

    def figures(self) -> Mapping[str, float]:
        """Return what the truth is told in: ``rx a-7`` and its value; reasons are added up."""
        found: dict[str, float] = defaultdict(float)
        for key in self.counters:
            name = key.partition("{")[0]
            client = _CLIENT_ID.search(key)
            if client and name in _SUMMED:
                found[f"{_SUMMED[name]} {client[1]}"] += self.values[key]
            elif client and name == _MESSAGES and (direction := _DIRECTION.search(key)):
                found[f"{direction[1]} {client[1]}"] += self.values[key]
        return found

    def connected(self) -> set[str]:
        """Return the client ids of those who are shown as connected."""
        shown = (
            _CLIENT_ID.search(key)
            for key, value in self.values.items()
            if value == 1.0 and key.startswith(f"{_PREFIX}connected{{")
        )
        return {one[1] for one in shown if one}


def read(text: str) -> Exposition:
    """Return what an answer in Prometheus' text format has; no label may hold a line break."""
    values: dict[str, float] = {}
    counters: list[str] = []
    counted = False
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            counted = line.endswith(" counter")
        elif not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            values[key] = float(value)
            if counted:
                counters.append(key)
    return Exposition(values, counters)
