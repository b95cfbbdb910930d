"""What has to come out, and whether it did."""

from collections.abc import Iterator

from benchmarks.finding import Finding, finding
from benchmarks.plan import Plan
from benchmarks.results import Case, Results

_MEGABYTE = 1_000_000


def findings(plan: Plan, results: Results) -> Iterator[Finding]:
    """Yield every figure that has a target."""
    yield from _cpu(plan, results)
    yield _growth(plan, results)
    yield from _memory(plan, results)
    yield _crowd(plan, results)
    yield from _start(plan, results)
    yield from _events(plan, results)


def _cpu(plan: Plan, results: Results) -> Iterator[Finding]:
    scrape, otlp = Case("agent", "scrape", plan.base), Case("agent", "otlp", plan.base)
    yield finding(
        "new snapshot → exposition, against the official path",
        "at least 40 times less",
        results.ratio(Case("official", "scrape", plan.base), scrape),
        "{:.1f} times less",
        lambda ratio: ratio >= 40,
    )
    yield finding(
        "… against the original tool",
        "at least 15 times less",
        results.ratio(Case("original", "scrape", plan.base), scrape),
        "{:.1f} times less",
        lambda ratio: ratio >= 15,
    )
    yield finding(
        "… against the bare render limit",
        "at most 2.5 times it",
        results.ratio(scrape, Case("bare", "scrape", plan.base)),
        "{:.2f} times",
        lambda ratio: ratio <= 2.5,
    )
    yield finding(
        "snapshot → OTLP bytes, against official collect + `encode_metrics`",
        "at least 15 times less",
        results.ratio(Case("official", "otlp", plan.base), otlp),
        "{:.1f} times less",
        lambda ratio: ratio >= 15,
    )
    again = results.seconds(Case("agent", "scrape-again", plan.base))
    yield finding(
        "second scrape of the same snapshot (gzip)",
        "under 2 ms of CPU",
        None if again is None else again * 1e3,
        "{:.2f} ms",
        lambda milliseconds: milliseconds < 2,
    )
    yield finding(
        f"decoding a page of {plan.page.clients:,} rows, against msgspec alone",
        "at most 3 times it",
        results.ratio(plan.page, Case("bare", "decode", plan.page.clients)),
        "{:.2f} times",
        lambda ratio: ratio <= 3,
    )


def _growth(plan: Plan, results: Results) -> Finding:
    few = results.per_sample(Case("agent", "scrape", plan.base))
    many = results.per_sample(Case("agent", "scrape", plan.most))
    growth = many / few if few and many and plan.most > plan.base else None
    return finding(
        f"cost per sample at {plan.most:,} clients against {plan.base:,}",
        "at most 1.3 times",
        growth,
        "{:.2f} times",
        lambda ratio: ratio <= 1.3,
    )


def _memory(plan: Plan, results: Results) -> Iterator[Finding]:
    peak = results.peak(plan.memory)
    yield finding(
        f"peak RSS, {plan.most:,} clients, default flags, both readers on",
        "at most 700 MB",
        None if peak is None else peak / _MEGABYTE,
        "{:.0f} MB",
        lambda megabytes: megabytes <= 700,
    )
    churned = [one.figures for one in results.good(plan.churn)]
    rounds = churned[0]["rounds"] if churned else 300
    yield finding(
        f"RSS after {rounds:g} rounds in which all of {plan.churn.clients:,} clients are replaced,"
        " against after 10 rounds",
        "at most 1.1 times",
        max((one["at the end"] / one["after 10 rounds"] for one in churned), default=None),
        "{:.3f} times",
        lambda ratio: ratio <= 1.1,
    )


def _crowd(plan: Plan, results: Results) -> Finding:
    found = [one.figures for one in results.good(plan.crowd)]
    scrapers = found[0]["scrapers"] if found else 500
    peak = results.peak(plan.crowd)
    memory = "" if peak is None else f", peak RSS {peak / _MEGABYTE:.0f} MB"
    return finding(
        f"{scrapers:g} scrapers at once, every tenth slow to read, {plan.crowd.clients:,} clients:"
        " the last one is served",
        "within 15 s, one scrape interval",
        max((figures["seconds"] for figures in found), default=None),
        "after {:.1f} s" + memory,
        lambda seconds: seconds <= 15,
    )


def _start(plan: Plan, results: Results) -> Iterator[Finding]:
    yield finding(
        "import + `otel-emqx-monitor --version`",
        "under 0.35 s of CPU",
        results.seconds(plan.version),
        "{:.2f} s",
        lambda seconds: seconds < 0.35,
    )
    found = [one.figures for one in results.good(plan.grpc)]
    importing = sorted({name for figures in found for name, yes in figures.items() if yes})
    yield Finding(
        "who imports `grpc` without pushing by it",
        "nobody",
        ", ".join(importing) or ("nobody" if found else ""),
        not importing if found else None,
    )


def _events(plan: Plan, results: Results) -> Iterator[Finding]:
    found = [one.figures for one in results.good(plan.events)]
    what = f"events at 2,000 a second on one core, beside polls of {plan.events.clients:,} clients"
    yield finding(
        f"{what}: lost or not counted",
        "none",
        max((one["lost"] + one["not counted"] for one in found), default=None),
        "{:.0f}",
        lambda count: count == 0,
    )
    yield finding(
        "… taken a second",
        "2,000",
        min((one["a second"] for one in found), default=None),
        "{:.0f}",
        lambda rate: rate >= 1980,
    )
    yield finding(
        "… the slowest scrape meanwhile",
        "at most 1 s",
        max((one["slowest scrape"] for one in found), default=None),
        "{:.2f} s",
        lambda seconds: seconds <= 1,
    )
