"""Which fault begins when: everything follows from a seed, so that a soak can be run again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

#: The faults, and what each is in words.
KINDS: Mapping[str, str] = {
    "latency": "each answer of EMQX takes up to half the time that the agent waits for one",
    "errors": "two of three answers of EMQX are 500",
    "resets": "EMQX cuts every second connection instead of answering",
    "garbage": "EMQX's answers are HTML, no JSON, cut JSON, JSON of another shape",
    "hang": "EMQX's API takes requests and answers none",
    "frozen node": "the second node hangs, and the first one waits for it",
    "split": "the network between the nodes is cut",
    "dead node": "the second node dies with all its connections, and starts again",
    "crowd": "more strangers connect than max_clients has room for",
    "collector gone": "the Collector is killed, and started again",
    "stalled scrapers": "thirty readers ask for metrics and do not read them",
    "hostile posts": "posts without token, with a wrong one, with garbage, too large, never ending",
    "reload": "the configuration changes, and SIGHUP",
    "bad reload": "the configuration is broken, SIGHUP; later mended, SIGHUP",
}

#: A fault begins in each slot of so many intervals of polling, and lasts so many of them. After a
#: fault the agent has as long as it lasted, since pauses between polls double while they fail; what
#: is left of the slot is calm.
SLOT, SHORTEST, LONGEST = 12, 2.0, 4.0
_LATEST_BEGIN = 1.0


@dataclass(frozen=True)
class Fault:
    """A fault; times are in seconds since the soak began."""

    kind: str
    begin: float
    end: float


def plan(seed: int, seconds: float, interval: float, kinds: Sequence[str]) -> list[Fault]:
    """Return the faults of a soak in their order; each kind happens before any happens again.

    The first slot and the last one have none: what is measured there is what others are held
    against. Intervals are those of polling, in seconds.
    """
    random = Random(seed)  # noqa: S311 - has to be repeatable, guards nothing
    slot = SLOT * interval
    deck = _shuffled(random, kinds)
    faults = []
    for number in range(1, int(seconds / slot) - 1):
        begin = number * slot + random.uniform(0, _LATEST_BEGIN) * interval
        lasts = random.uniform(SHORTEST, LONGEST) * interval
        faults.append(Fault(next(deck), round(begin, 1), round(begin + lasts, 1)))
    return faults


def _shuffled(random: Random, kinds: Sequence[str]) -> Iterator[str]:
    while kinds:
        yield from random.sample(kinds, len(kinds))


def is_calm(at: float, faults: Sequence[Fault], interval: float) -> bool:
    """Return whether nothing befalls anybody at ``at``, nor has lately."""
    rest = LONGEST * interval
    return not any(one.begin <= at < one.end + max(rest, one.end - one.begin) for one in faults)
