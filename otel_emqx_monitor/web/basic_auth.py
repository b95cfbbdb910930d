"""Passwords: HTTP Basic authentication (RFC 7617) against bcrypt hashes.

A check of a hash is slow on purpose. So it is done in a thread, one or two at a time, once for
requests that come together, and what has been right before is known by a keyed digest. Who is not
known costs the same work as who is: the answer's time does not tell which names exist.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import bcrypt
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otel_emqx_monitor import background
from otel_emqx_monitor.web.settings import WebConfig

#: Checks at once, checks that may wait, and right passwords that are remembered.
_AT_ONCE, _WAITING, _REMEMBERED = 2, 64, 100

#: bcrypt takes no more of a password, and what checks hashes elsewhere cuts off the rest.
_LONGEST_PASSWORD = 72


class TooBusy(Exception):
    """More passwords wait to be checked than may."""


class Passwords:
    """Says whether credentials are right; for one event loop."""

    def __init__(self, check: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._check = check
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def are_right(
        self, users: Mapping[str, SecretStr], credentials: tuple[bytes, bytes]
    ) -> bool:
        """Return whether ``credentials``, name and password, are those of one of ``users``.

        Raises:
            TooBusy: too many others wait; this one may come again.
        """
        name, password = credentials
        hashed = self._hash_of(users, name)
        is_known = name in {user.encode() for user in users}
        digest = self._digest(name, password, hashed)
        if digest in self._right:
            self._right.move_to_end(digest)
            return is_known
        task = self._running.get(digest)
        if task is None:
            if len(self._running) >= _WAITING + _AT_ONCE:
                raise TooBusy
            task = asyncio.create_task(self._checked(password, hashed))
            self._running[digest] = task
            task.add_done_callback(lambda _: self._running.pop(digest))
        # Whoever goes away must not take the check with them: others may wait for it.
        if not await asyncio.shield(task) or not is_known:
            return False
        self._right[digest] = None
        while len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)
        return True

    def _hash_of(self, users: Mapping[str, SecretStr], name: bytes) -> bytes:
        """Return the hash of a user, for a name that is none of theirs always the same one."""
        for user, hashed in users.items():
            if user.encode() == name:
                return hashed.get_secret_value().encode()
        hashes = sorted(hashed.get_secret_value() for hashed in users.values())
        return hashes[int.from_bytes(self._digest(name)) % len(hashes)].encode()

    def _digest(self, *parts: bytes) -> bytes:
        """Return what stands for ``parts``: without the key of this process it tells nothing."""
        whole = b"".join(hashlib.sha256(part).digest() for part in parts)
        return hmac.digest(self._secret, whole, "sha256")

    async def _checked(self, password: bytes, hashed: bytes) -> bool:
        async with self._turns:
            work = background.start("password", lambda: self._matches(password, hashed))
            return await asyncio.wrap_future(work)

    def _matches(self, password: bytes, hashed: bytes) -> bool:
        try:
            return self._check(password[:_LONGEST_PASSWORD], hashed)
        except ValueError:  # a password that cannot have been hashed
            return False


def credentials_in(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """Return name and password of the ``Authorization`` header; ``None`` where there are none."""
    given = [value for name, value in headers if name == b"authorization"]
    scheme, _, encoded = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return (name, password) if colon else None


class WebGuard:
    """Lets requests through to ``app`` whose password is right, and adds the file's headers.

    Args:
        app: what answers them.
        settings: what the web configuration file says now.
        open_paths: what anybody may ask for, or what has a check of its own.
    """

    def __init__(
        self, app: ASGIApp, settings: Callable[[], WebConfig], open_paths: frozenset[str]
    ) -> None:
        self._app = app
        self._settings = settings
        self._open = open_paths
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        config = self._settings()
        extra = [
            (name.lower().encode(), value.encode())
            for name, value in config.http_server_config.headers.items()
        ]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*_without(message.get("headers", ()), extra), *extra]
            await send(message)

        answer = send_with_headers if extra else send
        try:
            if await self._may_pass(config.basic_auth_users, scope):
                await self._app(scope, receive, answer)
            else:
                await _refuse(answer, 401, (b"www-authenticate", b"Basic"))
        except TooBusy:
            await _refuse(answer, 503, (b"retry-after", b"1"))

    async def _may_pass(self, users: Mapping[str, SecretStr], scope: Scope) -> bool:
        if not users or scope["path"] in self._open:
            return True
        credentials = credentials_in(scope["headers"])
        return credentials is not None and await self._passwords.are_right(users, credentials)


def _without(
    headers: Iterable[tuple[bytes, bytes]], extra: Sequence[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return the headers that ``extra`` does not replace.

    Of content security policies all that are there hold (CSP 3, section 8.1): a page keeps its own.
    """
    replaced = {name for name, _ in extra} - {b"content-security-policy"}
    return [header for header in headers if header[0].lower() not in replaced]


async def _refuse(send: Send, status: int, header: tuple[bytes, bytes]) -> None:
    body = b"Unauthorized\n" if status == 401 else b"Too many passwords to check\n"
    headers = [
        header,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
