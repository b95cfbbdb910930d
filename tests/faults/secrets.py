"""Finds a secret in text, in whatever form it got there."""

import html
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

#: A part of this length is enough to recognise a secret that was cut short.
_PART = 8


@dataclass(frozen=True)
class Credentials:
    """An API key and its secret, both recognisable by their begin and by their end."""

    key: str
    secret: str

    def found_in(self, text: str) -> set[str]:
        """Return the forms and parts of the credentials that ``text`` holds; none is right."""
        return {form for form in self._forms() if form in text}

    def _forms(self) -> Iterator[str]:
        for value in (self.key, self.secret):
            yield value[:_PART]
            yield value[-_PART:]
            yield from _written(value)
            yield from _in_base64(value.encode())
        pair = f"{self.key}:{self.secret}"
        yield from _in_base64(pair.encode())
        yield from _in_base64(pair.encode("latin-1", "replace"))


def _written(value: str) -> Iterator[str]:
    yield value
    yield value.encode().decode("latin-1")
    yield json.dumps(value)[1:-1]
    yield repr(value)[1:-1]
    yield repr(value.encode())[2:-1]
    yield html.escape(value)
    yield quote(value, safe="")
    yield quote_plus(value)


def _in_base64(value: bytes) -> Iterator[str]:
    """The three forms of which every base64 text that encodes ``value`` anywhere holds one."""
    for before in range(3):
        encoded = b64encode(b"\0" * before + value).decode()
        first, end = -(-8 * before // 6), 8 * (before + len(value)) // 6
        whole = encoded[first:end]
        yield whole
        yield whole[: 2 * _PART]
        yield whole[-2 * _PART :]
