"""Puts environment variables into a configuration, in the OpenTelemetry Collector's notation.

``${env:NAME}`` inside any YAML value stands for the variable's text, ``${env:NAME:-default}`` for
``default`` (which holds no ``}``) when the variable is not set; a variable that is set but empty
counts as set, as in the Collector. ``$${`` stands for a literal ``${``; any other ``${...}`` stays
as it is. Variables are put in after YAML has been read, so that no value of theirs can change the
document around it, and what they hold is not searched for references again.

A whole top-level section can be one reference (``monitored_clients: ${env:CLIENTS}``); its text is
then read as YAML.
"""

import re
from collections.abc import Mapping
from typing import Self

from otel_emqx_monitor.config.document import DEEPEST, parse
from otel_emqx_monitor.config.errors import Location, Problems

_REFERENCE = re.compile(
    r"\$\$\{|\$\{env:(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?"
)


class FromEnvironment(str):
    """Text that holds the value of environment variables; it is named, never shown, in messages.

    ``source`` names them: ``${env:HOST} and ${env:PORT}``.
    """

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> Self:
        """Make it of the text and of what names its variables."""
        made = super().__new__(cls, text)
        made.source = source
        return made


def substitute(
    document: Mapping[str, object], environ: Mapping[str, str], problems: Problems
) -> tuple[dict[str, object], dict[str, str]]:
    """Return ``document`` with the variables put in, and where whole sections came from.

    Args:
        document: The configuration as YAML has it; it is not changed.
        environ: The variables and their values.
        problems: Where to note variables that are missing or unusable.

    Returns:
        The values, texts that hold a variable as `FromEnvironment`; and for each section that is
        one reference the reference, as in ``{"monitored_clients": "${env:CLIENTS}"}``.
    """
    walk = _Walk(environ, problems)
    values: dict[str, object] = {}
    sections: dict[str, str] = {}
    for key, value in document.items():
        result = walk.value(value, (key,))
        whole = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if whole and whole["name"] and isinstance(result, str):
            of = " of the default"
            if isinstance(result, FromEnvironment):
                sections[key] = result.source
                of = f" of {result.source}"
            result = parse(str(result), problems, (key,), of)
        values[key] = result
    return values, sections


class _Walk:
    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems
        # What YAML aliases share is visited once, and shared in the result too.
        self._done: dict[int, object] = {}

    def value(self, value: object, where: Location) -> object:
        if isinstance(value, str):
            return self._text(value, where)
        if not isinstance(value, dict | list):
            return value
        if len(where) > DEEPEST:  # aliases inside of aliases can get there
            self._problems.add(where, f"is nested more than {DEEPEST} levels deep")
            return None
        if id(value) not in self._done:
            self._done[id(value)] = self._container(value, where)
        return self._done[id(value)]

    def _container(self, value: dict[str, object] | list[object], where: Location) -> object:
        if isinstance(value, list):
            return [self.value(item, (*where, index)) for index, item in enumerate(value)]
        return {key: self.value(item, (*where, key)) for key, item in value.items()}

    def _text(self, text: str, where: Location) -> str | None:
        sources: dict[str, None] = {}  # a set that keeps its order

        def replacement(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name, default = found["name"], found["default"]
            if name is None:
                raise _Unusable("has '${env:' without NAME and '}' after it; '$${' is a plain '${'")
            if name in self._environ:
                sources[f"${{env:{name}}}"] = None
                return _decoded(name, self._environ[name])
            if default is None:
                raise _Unusable(
                    f"the environment variable {name} is not set; "
                    f"set it, or give a default: ${{env:{name}:-default}}"
                )
            return default

        try:
            result = _REFERENCE.sub(replacement, text)
        except _Unusable as unusable:
            self._problems.add(where, str(unusable))
            return None
        return FromEnvironment(result, " and ".join(sources)) if sources else result


class _Unusable(Exception):
    """A reference that cannot be replaced."""


def _decoded(name: str, value: str) -> str:
    # Python keeps bytes that are not UTF-8 as lone surrogates (PEP 383).
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise _Unusable(f"the environment variable {name} is not valid UTF-8")
    return value
