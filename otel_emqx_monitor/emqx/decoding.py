"""From the body of an answer to a type; what cannot be one is a typed error."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from otel_emqx_monitor.emqx.answers import UNDECODABLE, Answer, path_of
from otel_emqx_monitor.emqx.errors import NotEmqx, Unreadable
from otel_emqx_monitor.text import printable

T = TypeVar("T")


def decoder(kind: type[T]) -> Callable[[Answer], T]:
    """Return what decodes an answer of status 200 into ``kind``; see ``decoded``."""
    json = msgspec.json.Decoder(kind)
    return lambda answer: decoded(answer, json.decode)


def decoded(answer: Answer, decode: Callable[[bytes], T]) -> T:
    """Decode a body of status 200.

    Raises:
        NotEmqx: it is no JSON at all, so it did not come from EMQX's API.
        Unreadable: it is cut short, nested too deep, or has another shape than the API promises.
    """
    path = path_of(answer)
    try:
        return decode(answer.body)
    except UNDECODABLE as error:
        if "json" not in answer.media_type and answer.body.lstrip()[:1] not in {b"{", b"["}:
            raise NotEmqx(
                f"{path} was answered with {answer.media_type or 'something'} instead of JSON;"
                " check that emqx.api_url leads to EMQX's API and not to a web page or a proxy"
            ) from None
        raise Unreadable(
            f"EMQX's answer to {path} cannot be read: {printable(str(error), 200)}"
        ) from None
