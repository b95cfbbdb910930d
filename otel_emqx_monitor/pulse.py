"""Whether a loop still turns: it says each time how long the next turn may take at most."""

import math
import threading
import time
from collections.abc import Callable

#: What a loop may exceed its own word by before it counts as stuck, in seconds: a busy machine, or
#: one that was suspended, is no reason to restart anything.
GRACE_SECONDS = 60.0


class Pulse:
    """The pulse of one loop; safe for many threads.

    Args:
        what: what the loop does, as in ``pushes``.
        clock: monotonic seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0.0
        self._within = math.inf

    def turn(self, seconds: float) -> None:
        """Note that the loop turns now, and will again within ``seconds``."""
        with self._lock:
            self._last, self._within = self._clock(), seconds

    def end(self) -> None:
        """Note that the loop has ended, or is about to, as it should."""
        self.turn(math.inf)

    @property
    def trouble(self) -> str | None:
        """What is wrong, in words; ``None`` while the loop turns, has not begun, or has ended."""
        with self._lock:
            silence = self._clock() - self._last
            within = self._within
        if silence <= within + GRACE_SECONDS:
            return None
        return (
            f"the loop that {self.what} has not turned for {silence:.0f} s"
            f" and should within {within:.0f} s"
        )
