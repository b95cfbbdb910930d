"""What is wrong with a configuration, said all at once and where it is wrong."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from otel_emqx_monitor.text import printable

#: A place in a configuration: keys and list positions (from 0), outermost first.
Location = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    ``path`` is the place as people write it, ``monitored_clients[3].client_id``; it is empty when
    the file as a whole is meant. ``text`` says what is wrong and what would be right.
    """

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class ConfigError(Exception):
    """A configuration that cannot be used; ``str(error)`` lists every problem, one on a line.

    The message is for a person and holds no secret: values of secrets are never in it, and a value
    that came from an environment variable is named instead of shown.
    """

    #: What every command ends with.
    exit_code: ClassVar[int] = 2

    def __init__(self, where: str, problems: Iterable[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__(where, self.problems)

    def __str__(self) -> str:
        head = f"cannot use the configuration {printable(self.where)}:"
        return "\n  ".join([head, *map(str, self.problems)])


class Problems:
    """Gathers what the steps of loading find; the first finding at a place is the one kept."""

    def __init__(self) -> None:
        self._found: dict[Location, str] = {}

    def add(self, where: Location, text: str) -> None:
        """Note that something is wrong at ``where``, unless that place has a problem already."""
        self._found.setdefault(where, text)

    def cover(self, where: Location) -> bool:
        """Say whether ``where``, or what it is a part of, has a problem already."""
        return any(where[:length] in self._found for length in range(len(where) + 1))

    def __bool__(self) -> bool:
        return bool(self._found)

    def listed(self, sections: Sequence[str] = ()) -> tuple[Problem, ...]:
        """Return the problems by section, in that order, and by position in a section's list."""

        def rank(where: Location) -> tuple[int, int]:
            section, position = (*where, "", "")[:2]
            known = section in sections
            return (
                sections.index(str(section)) if known else len(sections),
                position if isinstance(position, int) else -1,
            )

        return tuple(
            Problem(path_text(where), self._found[where]) for where in sorted(self._found, key=rank)
        )


def path_text(where: Location) -> str:
    """Write a place the way people do: ``monitored_clients[3].client_id``."""
    text = ""
    for part in where:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else f"'{printable(part, 60)}'"
            text += f".{key}" if text else key
    return text
