"""What a soak allows, and why."""

from dataclasses import dataclass

MIB = 2**20

#: What is seen for the first time takes memory that it keeps: modules, pools, SQLite's cache,
#: arenas of malloc. After a third of half an hour each kind of fault has been there once.
WARM_UP = 1 / 3

#: How many lines one fault may cause in the log, on average, and how many begin and end may: what
#: fails is told once, and when it works again, by each part that notices.
LINES_PER_FAULT, LINES_OTHERWISE = 12, 12

#: What nobody can know of a connection whose end no event told: its last messages.
MISSING_EACH = 3.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """By how much what is judged may grow.

    The shares of memory, state and answer are of what they were at first, ``*_least`` is allowed in
    any case. Times are shares of the interval of polling; ``None`` allows any. ``missed`` is the
    share of calm polls that may be left out, ``missed_least`` how many in any case.
    """

    memory: float
    memory_least: float
    fds: float
    threads: float
    state: float
    state_least: float
    answer: float
    slower_scrapes: float | None
    later_polls: float | None
    late_polls: float | None
    missed: float | None
    missed_least: int = 3


LONG = Limits(
    # Fragments of malloc's arenas come and go by some MiB. In the twenty minutes that are judged of
    # half an hour, 100 bytes lost for each of 50,000 events are 5 MB.
    memory=0.05,
    memory_least=4 * MIB,
    # A connection of a reader or to EMQX may be open when one looks and not the next time. What is
    # lost with each fault of a kind comes to more in the time of two or three of each kind.
    fds=2.0,
    threads=1.0,
    # The file stays as large as it once had to be, with its log (WAL) beside it.
    state=0.1,
    state_least=128 * 1024,
    # How many clients there are changes from minute to minute.
    answer=0.15,
    # The machine may have others to serve. What piles up from poll to poll, be it a millisecond,
    # comes to more in the 400 polls that are judged.
    slower_scrapes=0.1,
    later_polls=0.1,
    late_polls=0.2,
    missed=0.05,
)

#: A run shorter than this (s) is still warming up: who is gone is remembered for a minute, a
#: message for two so that it is not counted twice, pools of threads are not yet full, and few kinds
#: of faults have been there. Only what grows fast is found, and a busy machine is nobody's fault.
SHORT_SECONDS = 600.0

SHORT = Limits(
    memory=0.0,
    memory_least=16 * MIB,
    fds=12.0,
    threads=12.0,
    state=0.0,
    state_least=4 * MIB,
    answer=2.0,
    slower_scrapes=None,
    later_polls=None,
    late_polls=None,
    missed=None,
)


def limits(seconds: float) -> Limits:
    """Return what is allowed in a run of so many seconds."""
    return SHORT if seconds < SHORT_SECONDS else LONG
