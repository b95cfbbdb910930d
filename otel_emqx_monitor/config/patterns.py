r"""Patterns of client ids: globs and regular expressions, always matched against the whole id.

Client ids are chosen by strangers and patterns by people who cannot try them all, so both kinds go
through RE2: the time of a match grows with the length of the id and never explodes. The price is
RE2's syntax, without backreferences and lookaround. ``.`` and ``*`` match line breaks too, as an id
is no line of text (Prometheus 3 has the same rule).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import re2

#: In bytes of UTF-8. The time of a match is bounded by the length of the id times the pattern's.
LONGEST_PATTERN = 10_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. ``names`` are those of its groups; a glob has none."""

    names: tuple[str, ...]
    _compiled: Any  # re2 comes without types

    def groups(self, client_id: str) -> Mapping[str, str | None] | None:
        """Return what the named groups matched, ``None`` if the pattern does not match.

        A group that took no part in the match is ``None``.
        """
        try:
            found = self._compiled.fullmatch(client_id)
        except UnicodeEncodeError:  # a lone surrogate, which MQTT does not have
            return None
        if found is None:
            return None
        groups: Mapping[str, str | None] = found.groupdict() if self.names else {}
        return groups


def regex(text: str) -> Pattern:
    """Compile a regular expression in RE2's syntax.

    Raises:
        ValueError: It is none; the message says why, for people.
    """
    compiled = _compiled(text)
    return Pattern(tuple(sorted(compiled.groupindex, key=compiled.groupindex.get)), compiled)


def glob(text: str) -> Pattern:
    """Compile a glob: ``*``, ``?``, ``[abc]``, ``[a-z]``, ``[!abc]``; upper case matters.

    A backslash is an ordinary character; ``[*]`` is a plain ``*``.

    Raises:
        ValueError: It is none; the message says why, for people.
    """
    return Pattern((), _compiled("".join(_pieces(text))))


def _compiled(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False  # RE2 would write to stderr
    options.dot_nl = True
    try:
        return re2.compile(text, options)
    except re2.error as error:
        # What follows the colon is a part of the pattern, which may have to stay unseen.
        reason = error.args[0].decode("utf-8", "replace").partition(": ")[0]
        if reason.startswith("pattern too large"):
            raise ValueError("needs too much memory; shorten it or its repetitions") from None
        raise ValueError(
            f"is not a regular expression in RE2's syntax, which has no backreferences and no "
            f"lookaround ({reason})"
        ) from None


def _pieces(text: str) -> Iterator[str]:
    """Translate a glob to a regular expression."""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            yield ".*"
        elif char == "?":
            yield "."
        elif char == "[":
            end = _end_of_set(text, at)
            yield _set(text[at:end])
            at = end + 1
        else:
            yield re2.escape(char)


def _end_of_set(text: str, begin: int) -> int:
    """Return where the ``]`` is that ends a set; one that comes first is a member of it."""
    first = begin + 1 if text[begin : begin + 1] == "!" else begin
    end = text.find("]", first + 1)
    if end < 0:
        raise ValueError("has a '[' without its ']'; write [[] for a plain '['")
    return end


def _set(members: str) -> str:
    if members.startswith("^"):
        raise ValueError("has a set that begins with '^'; write [!...] for all others")
    negated = members.startswith("!")
    chars = members.removeprefix("!")
    ranges = []
    at = 0
    while at < len(chars):
        first = last = chars[at]
        if chars[at + 1 : at + 2] == "-" and at + 2 < len(chars):
            last = chars[at + 2]
            at += 2
        if first > last:
            raise ValueError("has a range in '[]' that runs backwards")
        ranges.append(f"\\x{{{ord(first):x}}}-\\x{{{ord(last):x}}}")
        at += 1
    return f"[{'^' if negated else ''}{''.join(ranges)}]"
