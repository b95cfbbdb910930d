"""Writes what came out into a document, each part between two marks of its own."""

from collections.abc import Iterator, Sequence

from benchmarks.chart import NAMES
from benchmarks.plan import PUSHERS, SCRAPERS, Plan
from benchmarks.results import Case, Results
from benchmarks.tables import megabytes, milliseconds, table
from benchmarks.targets import findings


def put(document: str, part: str, section: str) -> str:
    """Return ``document`` with ``section`` between the marks of ``part``.

    Raises:
        ValueError: it has no such marks.
    """
    first, last = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->"
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"the document lacks {first.strip()} or {last}")
    return f"{before}{begin}{section}{end}{after}"


def section(plan: Plan, results: Results) -> str:
    """Return the part of the document that a run makes."""
    found = [(one.figure, one.target, one.measured, one.verdict) for one in findings(plan, results)]
    usual = f"{plan.base:,} clients and default flags"
    parts = [
        results.surroundings,
        f"Ratios are of CPU time, with {usual} where nothing else is said.",
        table(["figure", "target", "measured", ""], found),
        "![CPU time of a sample by number of clients](images/bench.svg)",
        "### New snapshot to exposition",
        "CPU time, the same for one sample, and peak RSS of the process.",
        _paths(plan, results, "scrape", SCRAPERS),
        "### New snapshot to OTLP requests",
        _paths(plan, results, "otlp", PUSHERS),
        "### The rest",
        table(["what", "clients", "CPU time", "peak RSS"], _rest(plan, results)),
    ]
    failures = list(_failures(plan, results))
    if failures:
        parts += ["What could not be measured:", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def _paths(plan: Plan, results: Results, what: str, paths: Sequence[str]) -> str:
    head = ["path", "flags", *(f"{size:,} clients" for size in plan.sizes)]
    rows = []
    for all_flags in (False, True):
        flags = "all" if all_flags else "default"
        for who in paths:
            cases = [Case(who, what, size, all_flags) for size in plan.sizes]
            rows.append([NAMES[who], flags, *(_cell(results, case) for case in cases)])
        firsts = [
            results.first_seconds(Case("agent", what, size, all_flags)) for size in plan.sizes
        ]
        rows.append(["this agent, the very first time", flags, *map(milliseconds, firsts)])
    return table(head, rows)


def _cell(results: Results, case: Case) -> str:
    cost = results.per_sample(case)
    if cost is None:
        return results.failure(case).partition(":")[0]
    seconds, peak = results.seconds(case), results.peak(case)
    return f"{milliseconds(seconds)} · {cost * 1e6:.2f} µs · {megabytes(peak)}"


def _rest(plan: Plan, results: Results) -> Iterator[list[str]]:
    def row(what: str, case: Case) -> list[str]:
        figures = [milliseconds(results.seconds(case)), megabytes(results.peak(case))]
        return [what, f"{case.clients:,}" if case.clients > 1 else "", *figures]

    for size in plan.sizes:
        yield row("new snapshot to exposition and gzip", Case("agent", "scrape-gzip", size))
        yield row("second scrape of the same snapshot, gzip", Case("agent", "scrape-again", size))
        yield row("new snapshot to OTLP, and through an exporter", Case("agent", "otlp-sent", size))
    reading = "reading the columns one by one, as the official path does (part of its figure)"
    yield row(reading, Case("agent", "observations", plan.base))
    yield row("decoding a page: this agent, with all its checks", plan.page)
    yield row("decoding a page: msgspec alone", Case("bare", "decode", plan.page.clients))
    for poll in plan.polls:
        note = ", one page, all fields" if poll.who == "original" else ""
        yield row(f"whole poll over a socket: {NAMES[poll.who]}{note}", poll)
    yield row("the whole agent: start, 10 polls with pushes and scrapes", plan.memory)
    yield row("the same, both text and OpenMetrics scraped", plan.memory_of_both)
    yield row("a minute of 2,000 events a second, with polls and scrapes", plan.events)
    yield row("many scrapers at once, from the start of the agent on", plan.crowd)
    yield row("`--version`", plan.version)


def _failures(plan: Plan, results: Results) -> Iterator[str]:
    for case in plan.cases():
        failure = results.failure(case)
        if failure and case in results.measured:
            yield f"* {case}: {failure}"
