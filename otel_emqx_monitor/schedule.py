"""Polls at a steady pace, whoever scrapes or pushes and however long EMQX takes."""

import random
import threading
import time
from collections.abc import Callable
from math import ceil, floor

from otel_emqx_monitor.pulse import Pulse

#: Agents that start together, as after an upgrade, spread over this many seconds at most.
_SPREAD_SECONDS = 5.0

#: The longest pause between two polls while EMQX fails, unless the interval is longer.
_LONGEST_PAUSE_SECONDS = 30.0


class Schedule:
    """Calls ``poll`` every ``interval`` seconds in a thread of its own, never twice at once.

    Args:
        poll: polls, and returns how many polls have failed in a row; raises nothing.
        interval: seconds from the begin of one poll to that of the next.
        patience: how long one poll may take, in seconds.
        spread: returns a number between its two arguments: seconds until the first poll.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        poll: Callable[[], int],
        interval: float,
        *,
        patience: float = 0.0,
        spread: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poll = poll
        self._interval = interval
        self._spread = spread
        self._clock = clock
        self.pulse = Pulse("polls on the schedule")
        self._patience = patience
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Make no further poll; one that is under way goes on."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        """Wait for the end of a poll that is under way, ``seconds`` at most."""
        if self._thread.ident is not None:
            self._thread.join(timeout=seconds)

    def _run(self) -> None:
        first = self._clock() + self._spread(0.0, min(self._interval, _SPREAD_SECONDS))
        due = first
        while True:
            pause = max(0.0, due - self._clock())
            self.pulse.turn(pause + self._patience)
            if self._stopped.wait(pause):
                self.pulse.end()
                return
            failures = self._poll()
            due = next_due(first, self._interval, due, self._clock(), failures)


def next_due(first: float, interval: float, last: float, now: float, failures: int) -> float:
    """Return when to poll next: on the grid of ``first`` and ``interval``, so the pace is kept.

    A poll that took longer than the interval makes the schedule leave out what it has missed. While
    polls fail the pause doubles, up to 30 s or the interval.

    Args:
        first: when the first poll was due.
        interval: seconds between two polls.
        last: when the last poll was due.
        now: when it ended.
        failures: how many polls have failed in a row.
    """
    longest = max(1, ceil(_LONGEST_PAUSE_SECONDS / interval))
    steps = min(longest, 1 << max(0, min(failures, 32) - 1))
    done = round((last - first) / interval)
    return first + interval * max(done + steps, floor((now - first) / interval) + 1)
