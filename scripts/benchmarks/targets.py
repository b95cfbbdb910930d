"""What has to come out, and whether it did."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.plan import Plan
from benchmarks.results import Case, Results

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Finding:
    """A figure beside its target; ``met`` is ``None`` when it could not be measured."""

    figure: str
    target: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """``met`` in words."""
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]


def findings(plan: Plan, results: Results) -> Iterator[Finding]:
    """Yield every figure that has a target."""
    yield from _cpu(plan, results)
    yield _growth(plan, results)
    yield from _memory(plan, results)
    yield _crowd(plan, results)
    yield from _start(plan, results)


def _cpu(plan: Plan, results: Results) -> Iterator[Finding]:
    scrape, otlp = Case("agent", "scrape", plan.base), Case("agent", "otlp", plan.base)
    yield _finding(
        "new snapshot → exposition, against the official path",
        "at least 40 times less",
        results.ratio(Case("official", "scrape", plan.base), scrape),
        "{:.1f} times less",
        lambda ratio: ratio >= 40,
    )
    yield _finding(
        "… against the original tool",
        "at least 15 times less",
        results.ratio(Case("original", "scrape", plan.base), scrape),
        "{:.1f} times less",
        lambda ratio: ratio >= 15,
    )
    yield _finding(
        "… against the bare render limit",
        "at most 2.5 times it",
        results.ratio(scrape, Case("bare", "scrape", plan.base)),
        "{:.2f} times",
        lambda ratio: ratio <= 2.5,
    )
    yield _finding(
        "snapshot → OTLP bytes, against official collect + `encode_metrics`",
        "at least 15 times less",
        results.ratio(Case("official", "otlp", plan.base), otlp),
        "{:.1f} times less",
        lambda ratio: ratio >= 15,
    )
    again = results.seconds(Case("agent", "scrape-again", plan.base))
    yield _finding(
        "second scrape of the same snapshot (gzip)",
        "under 2 ms of CPU",
        None if again is None else again * 1e3,
        "{:.2f} ms",
        lambda milliseconds: milliseconds < 2,
    )
    yield _finding(
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
    return _finding(
        f"cost per sample at {plan.most:,} clients against {plan.base:,}",
        "at most 1.3 times",
        growth,
        "{:.2f} times",
        lambda ratio: ratio <= 1.3,
    )


def _memory(plan: Plan, results: Results) -> Iterator[Finding]:
    peak = results.peak(plan.memory)
    yield _finding(
        f"peak RSS, {plan.most:,} clients, default flags, both readers on",
        "at most 700 MB",
        None if peak is None else peak / _MEGABYTE,
        "{:.0f} MB",
        lambda megabytes: megabytes <= 700,
    )
    churned = [one.figures for one in results.good(plan.churn)]
    rounds = churned[0]["rounds"] if churned else 300
    yield _finding(
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
    return _finding(
        f"{scrapers:g} scrapers at once, every tenth slow to read, {plan.crowd.clients:,} clients:"
        " the last one is served",
        "within 15 s, one scrape interval",
        max((figures["seconds"] for figures in found), default=None),
        "after {:.1f} s" + memory,
        lambda seconds: seconds <= 15,
    )


def _start(plan: Plan, results: Results) -> Iterator[Finding]:
    yield _finding(
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


def _finding(
    figure: str, target: str, value: float | None, form: str, meets: Callable[[float], bool]
) -> Finding:
    if value is None:
        return Finding(figure, target, "", None)
    return Finding(figure, target, form.format(value), meets(value))
