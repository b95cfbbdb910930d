"""What EMQX's answers mean by their status: something to read, or one of the typed errors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from otel_emqx_monitor.emqx.errors import (
    BadRequest,
    Forbidden,
    NotEmqx,
    ServerError,
    Unauthorized,
)
from otel_emqx_monitor.text import printable

#: What decoding a stranger's JSON can raise; it may be nested too deep even where it is skipped.
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MEDIA_TYPE = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What EMQX sent: the status, the media type ("" when it is not one), and the body."""

    status: int
    media_type: str
    body: bytes
    target: str


class _ErrorBody(msgspec.Struct, frozen=True):
    """``{"code": …, "message": …}``, EMQX's own words for what went wrong."""

    code: str = ""
    message: str = ""


def accepted(answer: Answer, where: str, hidden: Sequence[str]) -> Answer:
    """Return ``answer`` if a caller can use it, else raise the error that its status means.

    Args:
        answer: what came back.
        where: whom it came from, for the message.
        hidden: texts that the message must not hold: the credentials.

    Raises:
        EmqxError: every status but 200, and the 404 of a client that does not exist.
    """
    if answer.status == 200:
        return answer
    words = _words(answer, hidden)
    match answer.status:
        case 401:
            raise Unauthorized(
                f"{where} refused the API key ({words}); check emqx.api_key and"
                " emqx.api_secret, and that the key is enabled and not expired"
            )
        case 403:
            raise Forbidden(
                f"{where} does not allow this API key to read {path_of(answer)} ({words});"
                " give the key the role viewer or administrator, and the scope connections"
            )
        case 404 if is_missing_client(answer):
            return answer
        case 404:
            raise NotEmqx(
                f"{where} has no {path_of(answer)} ({words}); check emqx.api_url, it"
                " should end in /api/; a broker that has just started says this too"
            )
        case status if 400 <= status < 500:
            raise BadRequest(
                f"{where} refused {path_of(answer)}: {words}; if a proxy stands in between,"
                " look at its limits, else please report this with EMQX's version"
            )
        case status if status >= 500:
            raise ServerError(
                f"{where} failed to answer {path_of(answer)}: {words}; look at the state of"
                " its nodes (emqx ctl cluster status) and at EMQX's log"
            )
        case _:
            raise NotEmqx(
                f"{where} answered {path_of(answer)} with {words}, which EMQX's API never"
                " does; check that emqx.api_url leads to EMQX itself"
            )


def settled(answer: Answer, where: str, hidden: Sequence[str]) -> Answer:
    """Return ``answer`` if it says how an object of EMQX's configuration is now.

    That is status 200, 201 or 204, and also that the object is missing or exists already. Arguments
    are those of ``accepted``.

    Raises:
        EmqxError: everything else, for which ``accepted`` has the words except for rights.
    """
    if answer.status in {200, 201, 204} or is_missing_object(answer) or already_exists(answer):
        return answer
    if answer.status == 403:
        raise Forbidden(
            f"{where} does not allow this API key to use {path_of(answer)}"
            f" ({_words(answer, hidden)}); {RIGHTS_TO_CHANGE}"
        )
    try:
        return accepted(answer, where, hidden)
    except Unauthorized as error:
        raise Unauthorized(f"{error}; {RIGHTS_TO_CHANGE}") from None


#: EMQX 5.4 Enterprise and 5.9 on have roles, 6.0.3, 6.1.2 and 6.2.1 on have scopes.
RIGHTS_TO_CHANGE = (
    "to change rules, actions and connectors a key needs the role administrator and, if it has"
    " scopes, the one for data integration; keys of the open source EMQX up to 5.8 may do all"
)


def _words(answer: Answer, hidden: Sequence[str]) -> str:
    """EMQX's own words on an error, fit to be printed and without the credentials."""
    status = f"status {answer.status}"
    try:
        error = msgspec.json.decode(answer.body, type=_ErrorBody)
    except UNDECODABLE:
        return f"{status}, {answer.media_type}" if answer.media_type else status
    text = f"{error.code}: {error.message}" if error.code else error.message
    for secret in hidden:
        text = text.replace(secret, "********")
    return f"{status}, {printable(text, 200)}" if text else status


def _error(answer: Answer) -> _ErrorBody:
    """What EMQX says of an error; empty when the body is something else."""
    try:
        return msgspec.json.decode(answer.body, type=_ErrorBody)
    except UNDECODABLE:
        return _ErrorBody()


def is_missing_client(answer: Answer) -> bool:
    """Whether a 404 says that there is no such client, and not that there is no such path."""
    return answer.status == 404 and _error(answer).code == "CLIENTID_NOT_FOUND"


def is_missing_object(answer: Answer) -> bool:
    """Whether a 404 says that there is no such rule, action or connector; not: no such path."""
    error = _error(answer)
    return (
        answer.status == 404
        and error.code == "NOT_FOUND"
        and error.message != "Request Path Not Found"
    )


def already_exists(answer: Answer) -> bool:
    """Whether a 400 says that the object to be made exists; rules have no code of their own."""
    error = _error(answer)
    return answer.status == 400 and (
        error.code == "ALREADY_EXISTS" or error.message == "rule id already exists"
    )


def media_type(content_type: str) -> str:
    """Return the media type of a ``Content-Type`` header, or "" for what is none."""
    text = content_type.partition(";")[0].strip().lower()
    return text if _MEDIA_TYPE.fullmatch(text) else ""


def path_of(answer: Answer) -> str:
    """Return which path was answered, fit to be printed."""
    return printable(answer.target.partition("?")[0], 100)
