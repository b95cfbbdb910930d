"""All that the processes of one run of the benchmark have found out, by case."""

import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Measured


@dataclass(frozen=True)
class Case:
    """Who does what, for how many clients; ``who`` is the module that measures it."""

    who: str
    what: str
    clients: int
    all_flags: bool = False

    def __str__(self) -> str:
        flags = "all flags" if self.all_flags else "default flags"
        return f"{self.who} {self.what}, {self.clients:,} clients, {flags}"


@dataclass
class Results:
    """What was measured with which numbers of clients, and ``surroundings``: when, on what."""

    sizes: list[int]
    surroundings: str
    measured: dict[Case, list[Measured]] = field(default_factory=dict)

    def good(self, case: Case) -> list[Measured]:
        """Return what the processes of a case found out that did not fail."""
        return [one for one in self.measured.get(case, []) if one.runs]

    def failure(self, case: Case) -> str:
        """Return why a case has no figures; empty if it has some."""
        if self.good(case):
            return ""
        return next((one.failure for one in self.measured.get(case, [])), "not measured")

    def seconds(self, case: Case) -> float | None:
        """Return the median CPU seconds of all warm runs of all processes."""
        runs = [run for one in self.good(case) for run in one.runs]
        return median(runs) if runs else None

    def first_seconds(self, case: Case) -> float | None:
        """Return the median CPU seconds of the cold first runs."""
        firsts = [one.first for one in self.good(case)]
        return median(firsts) if firsts else None

    def per_sample(self, case: Case) -> float | None:
        """Return the median CPU seconds of one sample."""
        seconds, good = self.seconds(case), self.good(case)
        return None if seconds is None or not good[0].amount else seconds / good[0].amount

    def peak(self, case: Case) -> float | None:
        """Return the median peak RSS of a case's processes in bytes."""
        peaks = [one.peak_rss for one in self.good(case)]
        return median(peaks) if peaks else None

    def ratio(self, case: Case, other: Case) -> float | None:
        """Return how many times the CPU time of ``other`` is that of ``case``."""
        seconds, others = self.seconds(case), self.seconds(other)
        return None if seconds is None or others is None else seconds / others

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        measured = [
            {"case": asdict(case), "measured": [asdict(one) for one in processes]}
            for case, processes in self.measured.items()
        ]
        return {"sizes": self.sizes, "surroundings": self.surroundings, "measured": measured}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Results":
        """Return the results that a file of an earlier run holds."""
        measured = {
            Case(**one["case"]): [Measured(**process) for process in one["measured"]]
            for one in document["measured"]
        }
        return cls(document["sizes"], document["surroundings"], measured)


def cpu_model() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
