"""What remembering has to cost at most, whether it did, and the part of the document about it."""

from collections.abc import Iterator, Mapping

from benchmarks.finding import Finding, finding
from benchmarks.plan import Plan
from benchmarks.results import Case, Results
from benchmarks.tables import megabytes, milliseconds, table

_NAMES = {
    "live": "live, no file",
    "cumulative": "cumulative, with a file",
    "steady": "the same, nobody comes or goes",
}


def findings(plan: Plan, results: Results) -> Iterator[Finding]:
    """Yield the figures of remembering that have a target."""
    cases = plan.remembering
    found = {name: _figures(results, case) for name, case in cases.items()}
    churning, steady = found["cumulative"], found["steady"]
    yield finding(
        "a poll's write, against the poll itself (asking, decoding, tracking)",
        "less than it",
        _against_poll(churning),
        "{:.2f} times",
        lambda ratio: ratio < 1,
    )
    yield finding(
        "… while nobody comes or goes",
        "less than it",
        _against_poll(steady),
        "{:.2f} times",
        lambda ratio: ratio < 1,
    )
    yield finding(
        "a whole poll, summed up and written, against a live one",
        "at most 1.6 times",
        results.ratio(cases["cumulative"], cases["live"]),
        "{:.2f} times",
        lambda ratio: ratio <= 1.6,
    )
    yield finding(
        "bytes written in a poll, for each client that has changed",
        "at most 400",
        _each(churning.get("written"), cases["cumulative"].clients),
        "{:.0f}",
        lambda size: size <= 400,
    )
    polls = churning.get("polls", 200)
    yield finding(
        f"RSS after {polls:g} polls, against after 10",
        "at most 1.1 times",
        churning["at the end"] / churning["early"] if churning else None,
        "{:.3f} times",
        lambda ratio: ratio <= 1.1,
    )
    yield finding(
        f"… against after {polls // 2:g}, when half of the clients have connected anew",
        "at most 1.05 times",
        churning["at the end"] / churning["half way"] if churning else None,
        "{:.3f} times",
        lambda ratio: ratio <= 1.05,
    )


def section(plan: Plan, results: Results) -> str:
    """Return the part of the document that a run makes about remembering."""
    found = [(one.figure, one.target, one.measured, one.verdict) for one in findings(plan, results)]
    cases = plan.remembering
    parts = [
        results.surroundings,
        f"{plan.most:,} clients, default flags, all counters moving from poll to poll.",
        table(["figure", "target", "measured", ""], found),
        "Medians of a poll, and the memory of the process.",
        table(["", *(_NAMES[name] for name in cases)], _rows(results, cases)),
    ]
    failures = [
        f"* {case}: {results.failure(case)}" for case in cases.values() if results.failure(case)
    ]
    return "\n\n".join([*parts, *failures]) + "\n"


def _rows(results: Results, cases: Mapping[str, Case]) -> Iterator[list[str]]:
    found = [_figures(results, case) for case in cases.values()]
    for what, name in (
        ("asking and decoding, CPU", "ask"),
        ("tracking, CPU", "track"),
        ("writing, CPU", "write"),
    ):
        yield [what, *(milliseconds(one.get(name)) for one in found)]
    for what, name in (
        ("bytes written in a poll", "written"),
        ("the file at the end", "file"),
        ("its log", "log"),
        ("RSS after 10 polls", "early"),
        ("RSS half way", "half way"),
        ("RSS at the end", "at the end"),
    ):
        yield [what, *(megabytes(one.get(name)) for one in found)]
    yield ["peak RSS", *(megabytes(results.peak(case)) for case in cases.values())]
    for what, name in (("clients remembered", "remembered"), ("polls", "polls")):
        yield [what, *(f"{one[name]:,.0f}" if one else "–" for one in found)]


def _figures(results: Results, case: Case) -> dict[str, float]:
    """Return the figures of a case; empty if it was not measured. It runs once."""
    return next((one.figures for one in results.good(case)), {})


def _against_poll(figures: Mapping[str, float]) -> float | None:
    if not figures:
        return None
    return figures["write"] / (figures["ask"] + figures["track"])


def _each(size: float | None, clients: int) -> float | None:
    return None if size is None else size / clients
