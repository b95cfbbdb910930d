"""Which cases a run of the benchmark has."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Case

SCRAPERS = ("official", "original", "agent", "bare")
PUSHERS = ("official", "agent")

#: How many rows EMQX puts into a page at most.
_PAGE = 10_000

_CHURNING = 2_000


@dataclass(frozen=True)
class Plan:
    """The numbers of clients to measure with, ascending, and the cases that follow from them."""

    sizes: list[int]

    @property
    def base(self) -> int:
        """The number that targets speak of: 10,000, or what comes nearest below it."""
        return max((size for size in self.sizes if size <= _PAGE), default=self.sizes[0])

    @property
    def most(self) -> int:
        """The largest number of clients."""
        return self.sizes[-1]

    @property
    def page(self) -> Case:
        """Decoding one page."""
        return Case("agent", "decode", min(self.base, _PAGE))

    @property
    def memory(self) -> Case:
        """The whole agent at work."""
        return Case("program", "memory", self.most)

    @property
    def memory_of_both(self) -> Case:
        """The whole agent when both formats are scraped."""
        return Case("program", "memory-both", self.most)

    @property
    def crowd(self) -> Case:
        """Many scrapers at once."""
        return Case("crowd", "crowd", self.base)

    @property
    def churn(self) -> Case:
        """Rounds in which all clients are replaced."""
        return Case("agent", "churn", min(self.most, _CHURNING))

    @property
    def polls(self) -> list[Case]:
        """Whole polls; the original asks for one page, whatever there is."""
        ours = [Case("agent", "poll", size) for size in self.sizes if size >= self.base]
        return [*ours, Case("original", "poll", self.base)]

    @property
    def remembering(self) -> dict[str, Case]:
        """Polls with nothing remembered, with everything, and the same while nobody leaves."""
        names = ("live", "cumulative", "steady")
        return {name: Case("remembering", name, self.most) for name in names}

    @property
    def version(self) -> Case:
        """Starting and ending."""
        return Case("program", "version", 1)

    @property
    def grpc(self) -> Case:
        """Who imports gRPC."""
        return Case("program", "grpc", 1)

    @property
    def events(self) -> Case:
        """An agent that takes events while it polls and is scraped."""
        return Case("eventful", "events", self.base)

    def cases(self) -> Iterator[Case]:
        """Yield all cases; those that are compared follow one another."""
        for size in self.sizes:
            for all_flags in (False, True):
                for who in SCRAPERS:
                    yield Case(who, "scrape", size, all_flags)
                for who in PUSHERS:
                    yield Case(who, "otlp", size, all_flags)
            for what in ("scrape-gzip", "scrape-again", "otlp-sent"):
                yield Case("agent", what, size)
        yield Case("agent", "observations", self.base)
        yield self.page
        yield Case("bare", "decode", self.page.clients)
        yield from self.polls
        yield self.version
        yield self.grpc
        yield self.crowd
        yield self.churn
        yield from self.remembering.values()
        yield self.memory
        yield self.memory_of_both
        yield self.events
