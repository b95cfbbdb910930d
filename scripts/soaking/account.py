"""The verdicts of a whole run, each with what is allowed and why."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeVar

from soaking.judging import Verdict, trend
from soaking.lateness import Late
from soaking.limits import (
    LINES_OTHERWISE,
    LINES_PER_FAULT,
    MIB,
    MISSING_EACH,
    WARM_UP,
    Limits,
    limits,
)
from soaking.plan import Fault
from soaking.sampling import Sample
from soaking.watching import Differences

_SHOWN = 3

Timed = TypeVar("Timed", Sample, Late)


@dataclass(frozen=True)
class Run:
    """All that a soak has found out; times are in seconds since it began.

    ``clients`` is how many there were in all, ``posted`` how many events the agent took and
    ``lost_posts`` how many it refused, or did not take in 45 s; ``untold`` is how many connections
    ended without an event.
    """

    seconds: float
    interval: float
    faults: Sequence[Fault]
    samples: Sequence[Sample]
    polls: Sequence[Late]
    failed_scrapes: Sequence[str]
    fallen: Sequence[str]
    unexpected: Sequence[str]
    clients: int
    posted: int
    lost_posts: int
    untold: int
    differences: Differences

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        return asdict(self) | {"polls": [one._asdict() for one in self.polls]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Run":
        """Return the run that a file holds."""
        made = {
            "faults": [Fault(**one) for one in document["faults"]],
            "samples": [Sample(**one) for one in document["samples"]],
            "polls": [Late(**one) for one in document["polls"]],
            "differences": Differences(**document["differences"]),
        }
        return cls(**document | made)


def verdicts(run: Run) -> Iterator[Verdict]:
    """Yield what became of all that a soak holds its agent to."""
    yield from _what_happened(run)
    allowed = limits(run.seconds)
    judged = [one for one in run.samples if one.calm and one.at >= WARM_UP * run.seconds]

    def memory(before: float) -> float:
        return max(allowed.memory * before, allowed.memory_least)

    def state(before: float) -> float:
        return max(allowed.state * before, allowed.state_least)

    yield _grown("RSS", judged, lambda one: one.rss, memory, _mib)
    yield _grown("anonymous memory", judged, lambda one: one.anonymous, memory, _mib)
    yield _grown("file descriptors", judged, lambda one: one.fds, lambda _: allowed.fds, _plain)
    yield _grown("threads", judged, lambda one: one.threads, lambda _: allowed.threads, _plain)
    yield _grown("state file", judged, lambda one: one.state, state, _kib)
    yield _grown(
        "answer to a scrape", judged, lambda one: one.answer, lambda it: allowed.answer * it, _kib
    )
    yield _grown(
        "time of a scrape",
        judged,
        lambda one: one.scrape_seconds,
        lambda _: _seconds(run, allowed.slower_scrapes),
        _milliseconds,
    )
    yield from _punctual(run, allowed)
    yield _none("failed scrapes", run.failed_scrapes)
    lost = [f"{run.lost_posts} posts"] if run.lost_posts else []
    yield _none("events that the agent did not take", lost)
    yield _none("counters that fell", run.fallen)
    yield _none("unexpected lines in the log", run.unexpected)
    lines = run.samples[-1].lines if run.samples else 0
    most = LINES_OTHERWISE + LINES_PER_FAULT * len(run.faults)
    yield Verdict("lines in the log", str(lines), f"at most {most}", lines <= most)
    yield _none("sums that differ from the truth", run.differences.exact)
    yield _none("sums above the truth", run.differences.high)
    missing, some = run.differences.missing, MISSING_EACH * run.untold
    yield Verdict(
        "missing of clients whose node died",
        str(missing),
        f"at most {some:g}: {run.untold} connections ended untold",
        missing <= some,
    )
    yield _none("clients shown as what they are not", run.differences.presence)


def _what_happened(run: Run) -> Iterator[Verdict]:
    yield Verdict("faults", str(len(run.faults)), "", good=True)
    yield Verdict("scrapes, polls seen", f"{len(run.samples)}, {len(run.polls)}", "", good=True)
    yield Verdict("clients, events posted", f"{run.clients:,}, {run.posted:,}", "", good=True)
    if run.samples:
        spent = run.samples[-1].cpu_seconds - run.samples[0].cpu_seconds
        share = spent / max(run.samples[-1].at - run.samples[0].at, run.interval)
        yield Verdict("CPU time of the agent, of one core", f"{share:.1%}", "", good=True)


def _punctual(run: Run, allowed: Limits) -> Iterator[Verdict]:
    polls = [one for one in run.polls if one.calm and one.at >= WARM_UP * run.seconds]
    later, late = _seconds(run, allowed.later_polls), _seconds(run, allowed.late_polls)
    yield _grown(
        "lateness of polls", polls, lambda one: one.seconds, lambda _: later, _milliseconds
    )
    if not polls:
        return
    usual = median(one.seconds for one in polls)
    most_late = "" if late == float("inf") else f"at most {_milliseconds(late)}"
    yield Verdict("… median", _milliseconds(usual), most_late, usual <= late)
    missed = sum(one.missed for one in polls)
    due = missed + len(polls)
    most = due if allowed.missed is None else max(allowed.missed_least, int(allowed.missed * due))
    yield Verdict("… calm ones left out", f"{missed} of {due}", f"at most {most}", missed <= most)


def _seconds(run: Run, share: float | None) -> float:
    """Return a share of the interval in seconds; no share allows any time."""
    return float("inf") if share is None else share * run.interval


def _grown(
    what: str,
    samples: Sequence[Timed],
    value: Callable[[Timed], float],
    allowed: Callable[[float], float],
    shown: Callable[[float], str],
) -> Verdict:
    found = trend([one.at for one in samples], [value(one) for one in samples])
    if found is None:
        return Verdict(what, f"{len(samples)} calm moments are too few", "", good=False)
    most = allowed(found.first)
    return Verdict(
        f"{what}: median at first, at last, grown",
        f"{shown(found.first)}, {shown(found.last)}, {shown(found.grown)}",
        "" if most == float("inf") else f"grown at most {shown(most)}",
        found.grown <= most,
    )


def _none(what: str, found: Sequence[str]) -> Verdict:
    examples = "; ".join(found[:_SHOWN])
    return Verdict(what, f"{len(found)}: {examples}" if found else "0", "none", not found)


def _mib(size: float) -> str:
    return f"{size / MIB:.1f} MiB"


def _kib(size: float) -> str:
    return f"{size / 1024:.0f} KiB"


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"
