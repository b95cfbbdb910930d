"""Carries events to where they are wanted: posts of rules, messages under ``$SYS``.

Both work in whoever calls ``run_to``, by the clock that it is given: a test can run a minute of
events without waiting for it, or call again and again with the time of day.
"""

import http.client
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, Self
from urllib.parse import SplitResult, urlsplit

from otel_emqx_monitor.simulator.disorder import Disorder, Disordered
from otel_emqx_monitor.simulator.emission import Emission, sys_message
from otel_emqx_monitor.simulator.integration import Integration, Post
from otel_emqx_monitor.simulator.script import Script

#: EMQX's default of an action's ``request_ttl``: how long a post is tried again.
TTL_SECONDS = 45.0
_PATIENCE_SECONDS = 15.0
#: The answers after which EMQX's HTTP action tries again; all others are final.
_TRY_AGAIN = frozenset({429, 503})


class Told(Protocol):
    """Where events come from: the ``Follower`` of a script, or the ``FleetEvents`` of a fleet."""

    def take(self, now: float) -> list[Emission]:
        """Return the events since the last call until ``now``, seconds since the epoch."""


class _Stream:
    """Events from now on, with what befalls them on their way."""

    def __init__(self, source: Script | Told, disorder: Disorder) -> None:
        self._follower = source.follow() if isinstance(source, Script) else source
        self.under_way = Disordered(disorder)

    def due(self, now: float) -> list[Emission]:
        for emission in self._follower.take(now):
            self.under_way.put(emission)
        return self.under_way.due(now)


class SysTopics:
    """Hands presence messages to ``publish(topic, payload)``, which gets them to subscribers."""

    def __init__(
        self,
        source: Script | Told,
        publish: Callable[[str, bytes], object],
        disorder: Disorder = Disorder(),  # noqa: B008 (it is immutable)
    ) -> None:
        self._stream = _Stream(source, disorder)
        self._publish = publish

    @property
    def under_way(self) -> Disordered:
        """What is on its way, and what was lost or doubled."""
        return self._stream.under_way

    def run_to(self, now: float) -> int:
        """Publish what has arrived until ``now`` (seconds since the epoch); return how many."""
        published = 0
        for emission in self._stream.due(now):
            message = sys_message(emission)
            if message is not None:
                self._publish(*message)
                published += 1
        return published


class _Waiting(NamedTuple):
    since: float
    post: Post


class Webhook:
    """Posts events over real HTTP, as the connectors, actions and rules of a broker say.

    A post that cannot be made, or is answered with 429 or 503, waits for the next ``run_to`` and
    keeps the others waiting, until it is older than ``ttl_seconds``.

    Attributes:
        posted: posts that were answered with 200 to 299.
        refused: posts that were answered with anything else that is final.
        expired: posts that were given up.
        statuses: the statuses of the latest answers, oldest first.
    """

    def __init__(
        self,
        source: Script | Told,
        integration: Integration,
        disorder: Disorder = Disorder(),  # noqa: B008 (it is immutable)
        ttl_seconds: float = TTL_SECONDS,
    ) -> None:
        self.posted = 0
        self.refused = 0
        self.expired = 0
        self.statuses: deque[int] = deque(maxlen=1000)
        self._stream = _Stream(source, disorder)
        self._integration = integration
        self._ttl_seconds = ttl_seconds
        self._waiting: deque[_Waiting] = deque()
        self._connections: dict[str, http.client.HTTPConnection] = {}

    @property
    def under_way(self) -> Disordered:
        """What is on its way, and what was lost or doubled."""
        return self._stream.under_way

    @property
    def waiting(self) -> int:
        """How many posts wait to be tried again."""
        return len(self._waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to whoever was posted to."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def run_to(self, now: float) -> int:
        """Post what has arrived until ``now`` (seconds since the epoch); return how many."""
        for emission in self._stream.due(now):
            for post in self._integration.posts(emission.source, emission.columns):
                self._waiting.append(_Waiting(now, post))
        before = self.posted
        while self._waiting:
            if now - self._waiting[0].since > self._ttl_seconds:
                self.expired += 1
            elif not self._settled(self._waiting[0].post):
                break
            self._waiting.popleft()
        return self.posted - before

    def _settled(self, post: Post) -> bool:
        """Make a post; return whether it need not be tried again."""
        try:
            status = self._send(post)
        except (OSError, http.client.HTTPException):
            return False
        self.statuses.append(status)
        if status in _TRY_AGAIN:
            return False
        if 200 <= status < 300:
            self.posted += 1
        else:
            self.refused += 1
        return True

    def _send(self, post: Post) -> int:
        parts = urlsplit(post.url)
        connection = self._connections.get(parts.netloc)
        if connection is not None:
            try:
                return _exchange(connection, parts.path, post)
            except (OSError, http.client.HTTPException):
                # The other side may have closed it while nothing was to be posted.
                self._connections.pop(parts.netloc).close()
        connection = _connection(parts)
        try:
            status = _exchange(connection, parts.path, post)
        except BaseException:
            connection.close()
            raise
        self._connections[parts.netloc] = connection
        return status


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.netloc, timeout=_PATIENCE_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # like a connector of EMQX that nobody gave certificates to
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(parts.netloc, timeout=_PATIENCE_SECONDS, context=context)


def _exchange(connection: http.client.HTTPConnection, path: str, post: Post) -> int:
    connection.request("POST", path, post.body, dict(post.headers))
    with connection.getresponse() as response:
        response.read()
        return response.status
