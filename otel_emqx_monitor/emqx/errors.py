"""The ways in which asking EMQX can fail, as one tree of types.

::

    EmqxError
    ├── CannotConnect   no connection: refused, unreachable, name unknown, cut off
    ├── TlsFailure      the TLS handshake failed
    ├── TimedOut        no answer in time, or the whole poll took too long
    ├── Unauthorized    401: key or secret wrong, disabled, expired or deleted
    ├── Forbidden       403: the key's role or scopes do not allow it
    ├── BadRequest      400, 414 and the like: EMQX refused what was asked
    ├── NotEmqx         something answered that is not EMQX's API
    ├── ServerError     5xx: EMQX failed, or a node of its cluster is down
    ├── Unreadable      an answer that is cut short, or not what the API promises
    └── Closed          nothing is wrong: this program is about to end

``str(error)`` is one line for a person: what happened, where, and what to do. It never holds a
credential; text that EMQX sent is quoted, shortened and free of control characters.
"""

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """The values of the label ``reason``: one for each type of error, and one for a bug."""

    CONNECTION = "connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    BAD_REQUEST = "bad_request"
    NOT_EMQX = "not_emqx"
    SERVER_ERROR = "server_error"
    UNREADABLE = "unreadable"
    INTERNAL = "internal"  # a bug of this program, logged with its traceback


class EmqxError(Exception):
    """A poll or a question that EMQX did not answer; see the module for the tree."""

    reason: ClassVar[Reason]
    #: What a command that needs an answer of EMQX ends with.
    exit_code: ClassVar[int] = 3
    #: Whether asking again at once can help; never true where only a person can.
    retryable: ClassVar[bool] = False


class CannotConnect(EmqxError):
    """No connection could be made, or it was cut off before an answer came."""

    reason = Reason.CONNECTION
    retryable = True


class TlsFailure(EmqxError):
    """The TLS handshake failed: certificate, name or protocol."""

    reason = Reason.TLS


class TimedOut(EmqxError):
    """No answer within ``emqx.timeout_seconds``, or no whole poll within the deadline."""

    reason = Reason.TIMEOUT
    retryable = True


class Unauthorized(EmqxError):
    """401: EMQX does not know this key, or the secret is wrong."""

    reason = Reason.UNAUTHORIZED


class Forbidden(EmqxError):
    """403: the key is known but its role or scopes do not allow the request."""

    reason = Reason.FORBIDDEN


class BadRequest(EmqxError):
    """Any other 4xx: EMQX refused the request as such."""

    reason = Reason.BAD_REQUEST


class NotEmqx(EmqxError):
    """Something answered, but not EMQX's API: HTML, a redirect, an unknown path."""

    reason = Reason.NOT_EMQX


class ServerError(EmqxError):
    """5xx: EMQX failed while answering, or could not reach a node of its cluster."""

    reason = Reason.SERVER_ERROR
    retryable = True


class Unreadable(EmqxError):
    """An answer that is cut short or does not have the shape that the API promises."""

    reason = Reason.UNREADABLE
    retryable = True


class Closed(EmqxError):
    """The client was closed while it asked; no failure of EMQX, so nobody counts it."""

    reason = Reason.CONNECTION
