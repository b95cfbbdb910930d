"""The HTTP sessions with one broker: one for each thread that asks, and one way to end them all."""

import logging
import threading

from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.emqx.http import Http

log = logging.getLogger(__name__)


class Sessions:
    """Opens sessions with the broker of ``config``; safe for many threads."""

    def __init__(self, config: EmqxConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._open: set[Http] = set()
        self._closed = False
        if config.ssl is False:
            log.warning("emqx.ssl is false: anybody on the way can read and use the API key")

    def open(self) -> Http:
        """Return a new session; after ``close`` it is one whose questions fail."""
        session = Http(self._config)
        with self._lock:
            self._open.add(session)
            closed = self._closed
        if closed:
            session.close()
        return session

    def drop(self, session: Http) -> None:
        """End a session that is no longer needed."""
        with self._lock:
            self._open.discard(session)
        session.close()

    def close(self) -> None:
        """Cut off whatever is under way in all sessions, for good."""
        with self._lock:
            self._closed = True
            sessions = list(self._open)
        for session in sessions:
            session.close()
