"""Tells systemd how the agent is, as sd_notify(3) does, when systemd asks for it.

The protocol is a datagram of lines to the socket in ``NOTIFY_SOCKET``. It is so small that a
library would be more to keep up with: python-systemd needs C headers to build, sdnotify has had no
release since 2017, and neither tells a reload.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from otel_emqx_monitor.text import printable

log = logging.getLogger(__name__)

#: How long systemd's side may keep us waiting, in seconds.
_PATIENCE_SECONDS = 1.0


class Systemd:
    """The service manager that started this process; without one it hears nothing.

    Args:
        environ: the variables that systemd sets.
        clock: monotonic seconds, the clock CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._failed = False
        self._watchdog = _watchdog_seconds(environ)
        self._next_sign = clock()

    def ready(self, status: str) -> None:
        """Say that the agent serves, or that a reload has ended; ``status`` is for people."""
        self._send("READY=1", f"STATUS={printable(status)}")

    def reloading(self) -> None:
        """Say that a reload begins; ``ready`` ends it, whatever came of it.

        ``Type=notify-reload`` wants to know since when (systemd 253 and later).
        """
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock() * 1_000_000)}")

    def stopping(self) -> None:
        """Say that the agent is ending."""
        self._send("STOPPING=1", "STATUS=Counting the last events and pushing a last time")

    def watch(self, trouble: Callable[[], str | None]) -> None:
        """Give a sign of life when one is due, unless ``trouble`` says what is wrong.

        That is at half of ``WATCHDOG_USEC``. Without a sign systemd kills and restarts the agent.
        """
        now = self._clock()
        if self._watchdog is None or now < self._next_sign:
            return
        self._next_sign = now + self._watchdog / 2
        wrong = trouble()
        if wrong is None:
            self._send("WATCHDOG=1")
        else:
            log.error("%s; systemd gets no sign of life, so that it restarts the agent", wrong)
            self._send(f"STATUS=Stuck: {wrong}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace, which has no file system.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.settimeout(_PATIENCE_SECONDS)
                sending.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if not self._failed:
                log.warning(
                    "cannot tell systemd how the agent is: %s; check the socket in NOTIFY_SOCKET,"
                    " and that the unit's RestrictAddressFamilies has AF_UNIX",
                    os.strerror(error.errno) if error.errno else error,
                )
            self._failed = True


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return how often systemd wants a sign of life of this process; ``None`` for never."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    process = environ.get("WATCHDOG_PID") or str(os.getpid())
    if not microseconds.isdecimal() or int(microseconds) == 0 or process != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000
