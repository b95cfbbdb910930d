"""Templates of aliases: text with names in braces that are replaced for each client.

There is nothing but replacement: no formats, no attributes, no nesting. ``{{`` and ``}}`` are plain
braces.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_emqx_monitor.text import printable

#: Client ids may be long, and strangers choose them: what a template makes of them is bounded.
LONGEST_TEMPLATE: Final = 1_000
MOST_PLACEHOLDERS: Final = 20
_MOST_LISTED: Final = 10

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """A template, read: each of ``parts`` is plain text and the name that follows it."""

    parts: tuple[tuple[str, str], ...]
    rest: str

    @property
    def names(self) -> frozenset[str]:
        """The names that it replaces."""
        return frozenset(name for _, name in self.parts)

    def fill(self, values: Mapping[str, str | None]) -> str:
        """Return the text for one client; what is not known (``None``) becomes nothing."""
        pieces = [piece for text, name in self.parts for piece in (text, values[name] or "")]
        return "".join([*pieces, self.rest])


def template(text: str, known: Sequence[str], *, show: bool = True) -> Template:
    """Read a template that may hold the names ``known``.

    Args:
        text: The template.
        known: The names that it may hold; two at least.
        show: Whether a message may show a wrong name.

    Raises:
        ValueError: It is none; the message says why, for people.
    """
    if len(text) > LONGEST_TEMPLATE:
        raise ValueError(f"must be at most {LONGEST_TEMPLATE} characters")
    tokens = [f"{{{name}}}" for name in known]
    parts: list[tuple[str, str]] = []
    plain = ""
    end = 0
    for found in _TOKEN.finditer(text):
        plain += text[end : found.start()]
        end = found.end()
        token = found[0]
        if token in ("{{", "}}"):
            plain += token[0]
        elif token in tokens:
            parts.append((plain, token[1:-1]))
            plain = ""
        elif len(token) == 1:
            raise ValueError("has a brace without its partner; '{{' and '}}' are plain braces")
        else:
            unknown = f"not {printable(token, 60)}" if show else "no others"
            raise ValueError(f"may hold {_listed(tokens)}, {unknown}")
    if len(parts) > MOST_PLACEHOLDERS:
        raise ValueError(f"must hold at most {MOST_PLACEHOLDERS} names in braces")
    return Template(tuple(parts), plain + text[end:])


def _listed(tokens: Sequence[str]) -> str:
    shown = [printable(token, 60) for token in tokens[:_MOST_LISTED]]
    if len(tokens) > _MOST_LISTED:
        shown.append(f"{len(tokens) - _MOST_LISTED} more")
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
