"""One question to EMQX's REST API, or one change: sent, retried, bounded, its failures typed.

Time is bounded twice: ``emqx.timeout_seconds`` bounds the connect and every wait for bytes, the
deadline bounds the whole poll, even against a peer that sends one byte a second.
"""

import base64
import http.client
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeVar

import requests
import urllib3.exceptions
from requests.auth import HTTPBasicAuth

from otel_emqx_monitor.causes import let_go, root_cause
from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.answers import Answer, accepted, media_type, settled
from otel_emqx_monitor.emqx.errors import (
    CannotConnect,
    Closed,
    EmqxError,
    NotEmqx,
    TimedOut,
    TlsFailure,
    Unreadable,
)
from otel_emqx_monitor.emqx.sockets import ClosableAdapter
from otel_emqx_monitor.text import printable
from otel_emqx_monitor.version import __version__

T = TypeVar("T")

#: More than any page of 10,000 rows; what is larger is not EMQX.
MAX_ANSWER_BYTES = 256 * 2**20
_CHUNK_BYTES = 2**18
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 2.0
_CHANGE_SECONDS = 30.0
_JSON = {"Content-Type": "application/json"}

Method = Literal["GET", "POST", "PUT", "DELETE"]


class _Request(NamedTuple):
    """What to ask; ``seconds`` is how long to wait for the answer at least."""

    target: str
    method: Method = "GET"
    body: bytes | None = None
    seconds: float = 0.0


class Http:
    """A session with one broker's API. Not for two threads at once: see ``sessions.Sessions``."""

    def __init__(self, config: EmqxConfig) -> None:
        self._config = config
        key = config.api_key.get_secret_value()
        secret = config.api_secret.get_secret_value()
        adapter = ClosableAdapter()
        self._open = adapter.open_sockets
        self._session = requests.Session()
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.auth = HTTPBasicAuth(key.encode(), secret.encode())  # str would be Latin-1
        self._session.headers["Accept"] = "application/json"
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["User-Agent"] = f"otel-emqx-monitor/{__version__}"
        token = base64.b64encode(f"{key}:{secret}".encode()).decode()
        self._hidden = (token, secret, key)
        if config.ssl is False:  # ``Sessions`` says so, once
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._closed = threading.Event()
        self._kept_alive = False

    def close(self) -> None:
        """Cut off whatever is under way and make further questions fail."""
        self._closed.set()
        self._open.shutdown()
        self._session.close()

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[Deadline]:
        """Bound all questions inside the block; at its end a hanging one is cut off."""
        deadline = Deadline(seconds)
        with self.within(deadline):
            yield deadline

    @contextmanager
    def within(self, deadline: Deadline) -> Iterator[None]:
        """Bound all questions inside the block by a deadline that runs already."""
        if not self._closed.is_set():
            self._open.admit()
        timer = threading.Timer(deadline.remaining, self._open.shutdown)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def get(
        self,
        target: str,
        decode: Callable[[Answer], T],
        deadline: Deadline,
        attempts: int | None = None,
    ) -> T:
        """Ask for ``target`` (path and query below ``api_url``) and return what ``decode`` makes.

        Tries ``attempts`` times (``None``: ``emqx.attempts``), with growing pauses, where trying
        again can help. ``decode`` gets an answer of status 200, and may raise an ``EmqxError`` too.

        Raises:
            EmqxError: the last attempt's failure.
        """
        return self._patiently(
            lambda: decode(accepted(self._ask(_Request(target), deadline), *self._about())),
            attempts or self._config.attempts,
            deadline,
        )

    def send(
        self,
        method: Method,
        target: str,
        deadline: Deadline,
        *,
        body: bytes | None = None,
        hidden: Sequence[str] = (),
    ) -> Answer:
        """Read, make or remove an object of EMQX's configuration, and return what it answered.

        Where trying again can help it is tried ``emqx.attempts`` times, except ``POST``: after one
        that failed on the way nobody knows if EMQX did it. EMQX may wait for a peer of its own
        before it answers, so it gets 30 s at least. ``body`` is JSON; the texts in ``hidden`` are
        kept out of messages.

        Raises:
            EmqxError: what ``answers.settled`` raises, or there was no answer.
        """
        if method == "POST":
            # A connection that EMQX may have closed meanwhile would have to be tried twice.
            self._session.close()
            self._kept_alive = False
        request = _Request(target, method, body, _CHANGE_SECONDS)
        return self._patiently(
            lambda: settled(self._ask(request, deadline), *self._about(hidden)),
            1 if method == "POST" else self._config.attempts,
            deadline,
        )

    def _about(self, hidden: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
        """Whom answers come from, and what messages must not hold."""
        return self._where, (*hidden, *self._hidden)

    def _patiently(self, question: Callable[[], T], attempts: int, deadline: Deadline) -> T:
        for attempt in range(1, attempts + 1):
            try:
                return question()
            except EmqxError as error:
                pause = _pause_after(attempt)
                last = attempt == attempts or deadline.remaining <= pause
                if last or not error.retryable or self._closed.wait(pause):
                    raise
        raise AssertionError("attempts is at least 1")  # pragma: no cover

    def _ask(self, request: _Request, deadline: Deadline) -> Answer:
        """Send once; a connection that EMQX closed while it was idle gets a second try for free.

        EMQX closes a connection after 5 s without a request, so a poller often meets a closed one.
        """
        kept_alive, self._kept_alive = self._kept_alive, False
        try:
            answer = self._send(request, deadline)
        except _CutOff:
            if not kept_alive:
                raise
            answer = self._send(request, deadline)
        self._kept_alive = True
        return answer

    def _send(self, request: _Request, deadline: Deadline) -> Answer:
        self._check_open(deadline)
        patience = max(self._config.timeout_seconds, request.seconds)
        try:
            with self._session.request(
                request.method,
                self._config.api_url + request.target,
                data=request.body,
                headers=None if request.body is None else _JSON,
                timeout=min(patience, deadline.remaining),
                verify=self._config.ssl,
                stream=True,
                allow_redirects=False,  # the credentials are for this host alone
            ) as response:
                body = self._read(response, deadline)
        except EmqxError:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            let_go(error)
            self._check_open(deadline)
            raise self._translate(error, patience) from error
        # A connection cut in the middle of its headers looks like an empty answer of status 200.
        self._check_open(deadline)
        kind = media_type(response.headers.get("Content-Type", ""))
        return Answer(response.status_code, kind, body, request.target)

    def _read(self, response: requests.Response, deadline: Deadline) -> bytes:
        body = bytearray()
        raw: urllib3.HTTPResponse = response.raw
        while chunk := raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            self._check_open(deadline)
            if len(body) > MAX_ANSWER_BYTES:
                raise NotEmqx(f"{self._where} sent more than {MAX_ANSWER_BYTES >> 20} MiB")
        return bytes(body)

    @property
    def _where(self) -> str:
        return f"EMQX at {self._config.api_url}"

    def _check_open(self, deadline: Deadline) -> None:
        """Raise if the session was closed or the deadline has passed."""
        if self._closed.is_set():
            raise Closed("the agent is shutting down")
        if deadline.expired:
            raise TimedOut(
                f"{self._where} did not finish the poll within {deadline.seconds:g} s; raise"
                " polling.deadline_seconds if the broker is healthy but slow"
            )

    def _translate(self, error: Exception, patience: float) -> EmqxError:
        cause = root_cause(error)
        text = printable(str(cause) or type(cause).__name__, 200)
        if isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
            return TlsFailure(
                f"TLS with {self._where} failed: {text}; check emqx.api_url and emqx.ssl"
                " (the path of the CA bundle that signed the broker's certificate)"
            )
        if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
            return TimedOut(
                f"{self._where} did not answer within {patience:g} s; raise"
                " emqx.timeout_seconds if the broker is healthy but slow"
            )
        if isinstance(cause, urllib3.exceptions.IncompleteRead):
            return Unreadable(f"{self._where} cut its answer short: {text}")
        if isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            return _CutOff(f"{self._where} closed the connection before it answered: {text}")
        if isinstance(cause, _NOT_HTTP):  # their texts quote the peer, which may echo the request
            return NotEmqx(
                f"{self._where} answered with something that is not HTTP; check that emqx.api_url"
                " names the host and port of EMQX's dashboard"
            )
        return CannotConnect(
            f"cannot connect to {self._where}: {text}; check that the broker runs and"
            " that emqx.api_url names its dashboard's host and port"
        )


#: What a peer causes that does not speak HTTP.
_NOT_HTTP = (http.client.HTTPException, ValueError, urllib3.exceptions.DecodeError)


class _CutOff(CannotConnect):
    """The connection ended before an answer: on one that was kept alive, nobody's fault."""


def _pause_after(attempt: int) -> float:
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (spreads retries, guards nothing)
