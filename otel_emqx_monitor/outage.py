"""Says once that something fails, and once that it works again."""

import logging


class Outage:
    """Counts failures in a row.

    Args:
        log: where the two lines go.
        recovery: what the second line begins with, as in ``EMQX answers again``.
        attempts: what is counted, as in ``failed polls``.
    """

    def __init__(self, log: logging.Logger, recovery: str, attempts: str) -> None:
        self.failures = 0
        self._log = log
        self._recovery = recovery
        self._attempts = attempts
        self._began = 0.0
        self._last = ""

    def go_on(self, now: float, text: str) -> None:
        """Note a failure at ``now`` (monotonic seconds); the first one of a row is logged."""
        if self.failures == 0:
            self._began = now
            self._log.error("%s; trying again until it works", text)
        self.failures += 1
        self._last = text

    def end(self, now: float) -> None:
        """Note a success; the first one after failures is logged."""
        if self.failures:
            self._log.info(
                "%s after %.0f s and %d %s, the last one: %s",
                self._recovery,
                now - self._began,
                self.failures,
                self._attempts,
                self._last,
            )
        self.failures = 0
