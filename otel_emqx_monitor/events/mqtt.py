"""Subscribes to EMQX's messages about clients that come and go, for as long as the agent runs."""

import logging
import random
import threading
import time
from collections.abc import Callable

from otel_emqx_monitor.events.mqtt_session import (
    MqttSettings,
    Session,
    SessionEnded,
    Version,
    VersionRefused,
)
from otel_emqx_monitor.outage import Outage

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0

#: A session that lasted so long, in seconds, shows that the trouble before it is over.
_LASTING = 60.0


def pause_after(failures: int) -> float:
    """Return how long to wait, in seconds, after so many sessions in a row that did not last.

    At most 1, 2, 4 … 60 s, and at least half of that, so that agents do not come all at once.
    """
    longest = min(_LONGEST_PAUSE, 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (spreads retries, guards nothing)


class Subscriber:
    """Keeps a session with the broker in a thread of its own.

    Args:
        settings: where and how to subscribe.
        take: gets the payload and the topic of each message, the topic without its prefix.
        pause: how long to wait after so many failures in a row, in seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        take: Callable[[bytes, str], object],
        pause: Callable[[int], float] = pause_after,
    ) -> None:
        self._settings = settings
        self._take = take
        self._pause = pause
        self._version = Version.MQTT_5
        self._subscribed_at: float | None = None
        self._ever_subscribed = False
        self._failures = 0
        self._outage = Outage(
            log, f"{settings.where} tells of clients again", "sessions that failed"
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def up(self) -> bool:
        """Whether the broker has granted the subscription and the connection holds."""
        return self._subscribed_at is not None

    @property
    def failures(self) -> int:
        """How many sessions in a row have failed to begin or to last."""
        return self._failures

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Say goodbye to the broker; a connection that is being made is left to itself."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            session = Session(self._settings, self._version, self._take, self._note_subscribed)
            try:
                session.run(self._stopped)
            except VersionRefused:
                self._version = Version.MQTT_3_1_1
            except SessionEnded as ended:
                self._note_end(str(ended))
            except Exception as error:
                log.exception("the MQTT session ended because of a bug of this program")
                self._note_end(f"a bug ended the MQTT session: {type(error).__name__}")
            finally:
                self._subscribed_at = None

    def _note_subscribed(self) -> None:
        now = time.monotonic()
        self._subscribed_at = now
        if not self._ever_subscribed and not self._outage.failures:
            log.info("subscribed to %s at %s", self._settings.topic_filter, self._settings.where)
        self._ever_subscribed = True
        self._outage.end(now)

    def _note_end(self, text: str) -> None:
        now = time.monotonic()
        lasted = self._subscribed_at is not None and now - self._subscribed_at >= _LASTING
        self._subscribed_at = None
        self._failures = 1 if lasted else self._failures + 1
        self._outage.go_on(now, text)
        self._stopped.wait(self._pause(self._failures))
