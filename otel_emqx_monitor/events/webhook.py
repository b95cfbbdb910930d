"""``POST /events``: takes what a rule of EMQX posts with an HTTP action.

A post is answered before it is decoded; what can be refused is refused as early as possible:

=======  ===========  ==============================================================
answer   reason       when
=======  ===========  ==============================================================
401      token        no bearer token, or another one; the body is not read
408      slow         the body did not come in time
413      too_large    the body is larger than allowed; the rest of it is not read
429      too_many     more posts come than are allowed; EMQX tries again
503      full         the inbox is full; EMQX tries again
none     cut_off      the connection ended before the body did
=======  ===========  ==============================================================

EMQX's HTTP action tries again after 429 and 503, and takes other refusals as final.
"""

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

PATH: Final = "/events"

#: How long a body may take to arrive, in seconds.
_BODY_SECONDS = 30.0

_RETRY_AFTER = (b"retry-after", b"1")


class Refusal(StrEnum):
    """Why a post was not taken; see the module."""

    TOKEN = "token"  # noqa: S105 (a reason, not a token)
    SLOW = "slow"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    FULL = "full"
    CUT_OFF = "cut_off"


#: The status of the answer to a post that is refused; without one there is nobody to answer.
ANSWERS: Final[Mapping[Refusal, HTTPStatus]] = MappingProxyType(
    {
        Refusal.TOKEN: HTTPStatus.UNAUTHORIZED,
        Refusal.SLOW: HTTPStatus.REQUEST_TIMEOUT,
        Refusal.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        Refusal.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
        Refusal.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)

_HEADERS: Final[Mapping[Refusal, tuple[bytes, bytes]]] = MappingProxyType(
    {
        Refusal.TOKEN: (b"www-authenticate", b'Bearer realm="otel-emqx-monitor"'),
        Refusal.TOO_MANY: _RETRY_AFTER,
        Refusal.FULL: _RETRY_AFTER,
    }
)


@dataclass(frozen=True)
class WebhookSettings:
    """Who may post, and how much.

    Args:
        token: the bearer token that a post has to carry; not empty.
        max_body_bytes: the largest body.
        max_per_second: posts in a second, over time; a second's worth may come at once.
    """

    token: str = field(repr=False)
    max_body_bytes: int = 1024 * 1024
    max_per_second: float = 10_000.0


class _Refused(Exception):
    """Ends the handling of a post."""

    def __init__(self, reason: Refusal) -> None:
        self.reason = reason


class Webhook:
    """The endpoint.

    Args:
        settings: who may post, and how much.
        offer: takes the body of a post at once; ``False`` when there is no room for it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        offer: Callable[[bytes], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._offer = offer
        self._token = _digest(settings.token.encode())
        self._largest = settings.max_body_bytes
        self._rate = _Bucket(settings.max_per_second, clock)
        self._refusals: Counter[Refusal] = Counter()

    @property
    def route(self) -> Route:
        """What the HTTP server has to serve."""
        return Route(PATH, self, methods=["POST"])

    @property
    def refusals(self) -> Mapping[Refusal, int]:
        """How many posts were refused, by reason; every reason is there."""
        return MappingProxyType({reason: self._refusals[reason] for reason in Refusal})

    def go_on_from(self, refusals: Mapping[Refusal, int]) -> None:
        """Count on from the refusals of another endpoint, which this one replaces."""
        self._refusals.update(refusals)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one post."""
        announced = _announced_length(scope)
        try:
            self._check_token(scope)
            if announced is not None and announced > self._largest:
                raise _Refused(Refusal.TOO_LARGE)
            body = await self._read(receive)
            if not self._rate.take():
                raise _Refused(Refusal.TOO_MANY)
            if not self._offer(body):
                raise _Refused(Refusal.FULL)
        except _Refused as refused:
            self._refusals[refused.reason] += 1
            await self._refuse(refused.reason, announced, send)
        else:
            await _answer(send, HTTPStatus.NO_CONTENT, [])

    def _check_token(self, scope: Scope) -> None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Digests have one length: the time tells nothing of the token, not even how long it is.
        is_known = hmac.compare_digest(_digest(token.strip()), self._token)
        if scheme.lower() != b"bearer" or not is_known:
            raise _Refused(Refusal.TOKEN)

    async def _read(self, receive: Receive) -> bytes:
        """Return the body; almost always it is there as a whole before this begins."""
        body, complete = await self._part(receive)
        if complete:
            return body
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while not complete:
                    part, complete = await self._part(receive, len(body))
                    body += part
        except TimeoutError:
            raise _Refused(Refusal.SLOW) from None
        return body

    async def _part(self, receive: Receive, before: int = 0) -> tuple[bytes, bool]:
        """Return the next part of the body, and whether it is the last one."""
        message = await receive()
        if message["type"] != "http.request":
            raise _Refused(Refusal.CUT_OFF)
        part: bytes = message.get("body", b"")
        if before + len(part) > self._largest:
            raise _Refused(Refusal.TOO_LARGE)
        return part, not message.get("more_body", False)

    async def _refuse(self, reason: Refusal, announced: int | None, send: Send) -> None:
        if reason is Refusal.CUT_OFF:
            return
        headers = [_HEADERS[reason]] if reason in _HEADERS else []
        # The server throws away what is left of a body; that must not be more than we would read.
        if announced is None or announced > self._largest or reason is Refusal.SLOW:
            headers.append((b"connection", b"close"))
        await _answer(send, ANSWERS[reason], headers)


async def _answer(send: Send, status: HTTPStatus, headers: list[tuple[bytes, bytes]]) -> None:
    """Send an answer that has nothing to say but its status."""
    if status is not HTTPStatus.NO_CONTENT:
        headers = [*headers, (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _announced_length(scope: Scope) -> int | None:
    """Return ``Content-Length``, ``None`` for a body in chunks; the server has checked its form."""
    headers = scope["headers"]
    if any(name == b"transfer-encoding" for name, _ in headers):
        return None  # it wins (RFC 9112, section 6.3)
    return next((int(value) for name, value in headers if name == b"content-length"), None)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


class _Bucket:
    """Lets ``rate`` pass in a second, over time; a second's worth may come at once."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(rate, 1.0)
        self._left = self._most
        self._last = clock()

    def take(self) -> bool:
        """Return whether one more may pass."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._last) * self._rate)
        self._last = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
