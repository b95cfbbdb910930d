"""An EMQX with one client, for tests of what serves it: it can keep everybody waiting, and fail."""

import threading

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.emqx.errors import TimedOut
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import Watched
from tests.fleets import assess, connected, nothing_known, poll

_WATCHED = [Watched("A", "a")]


class Emqx:
    """Answers when ``may_answer`` is set, as at first, and not at all when it ``fails``."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.fails = False

    def poll(self) -> Poll:
        """Return the one client, which has sent seven messages."""
        self.may_answer.wait(30)
        if self.fails:
            raise TimedOut("EMQX at http://emqx did not answer within 5 s")
        return poll(connected("a", recv_msg=7))

    def cache(self, broker: str) -> SnapshotCache:
        """Return what polls it when somebody reads."""
        return SnapshotCache(
            broker,
            self.poll,
            lambda answered: assess(answered, _WATCHED),
            nothing_known(_WATCHED),
            Freshness(ttl=15, stale_after=60),
            flags=frozenset({"enable_processed_counters"}),
        )
