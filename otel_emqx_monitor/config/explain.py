"""Turns pydantic's findings into sentences that say what is wrong and what would be right."""

import datetime as dt
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from otel_emqx_monitor.config.environment import FromEnvironment
from otel_emqx_monitor.config.errors import Location, path_text
from otel_emqx_monitor.config.model import SECTIONS, Config
from otel_emqx_monitor.config.section import nested
from otel_emqx_monitor.config.values import Contradiction
from otel_emqx_monitor.text import printable

_TEXTS: Final[Mapping[str, str]] = {
    "missing": "is required",
    "model_type": "must be a mapping (lines of 'key: value')",
    "dict_type": "must be a mapping (lines of 'key: value')",
    "tuple_type": "must be a list (lines that begin with '- ')",
    "string_type": "must be text",
    "string_unicode": "must be valid Unicode text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
}

_KINDS: Final = (
    (bool, "true or false"),  # before the numbers: Python counts it among them
    (int | float, "a number"),
    (str, "text"),
    (dt.date, "a date"),
    (list, "a list"),
    (dict, "a mapping"),
)

# Secrets, and URLs because people put passwords into them.
_NEVER_SHOWN = frozenset(
    {"api_key", "api_secret", "api_url", "endpoint", "headers", "password", "token"}
)
# The same for text that stands where all of these should be.
_HOLD_SECRETS: Final[tuple[Location, ...]] = (
    (),
    ("emqx",),
    ("otlp",),
    ("events",),
    ("events", "webhook"),
    ("events", "mqtt"),
)


def place(error: ErrorDetails) -> Location:
    """Return where one finding belongs; a key that is refused belongs to the mapping it is in."""
    where = error["loc"]
    return where[:-2] if where[-1:] == ("[key]",) else where


def explain(error: ErrorDetails, sections: Mapping[str, str]) -> str:
    """Return the text for one finding of pydantic on a `Config`.

    Args:
        error: As in ``ValidationError.errors()``.
        sections: The sections that came from the environment, and from which variable.
    """
    where, kind, value = error["loc"], error["type"], error["input"]
    if kind == "extra_forbidden":
        return _unknown_key(where)
    contradicts = isinstance(error.get("ctx", {}).get("error"), Contradiction)
    showable = kind != "missing" and not contradicts
    text = rule(error) + _source(where, value, sections, showable=showable)
    if kind == "string_type" and isinstance(value, int | float | dt.date):
        text += "; put quotes around it"
    return text


def rule(error: ErrorDetails) -> str:
    """Return what would be right, without the value that is wrong."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    return _TEXTS.get(error["type"], "is not valid").format_map(context)


def _source(where: Location, value: object, sections: Mapping[str, str], *, showable: bool) -> str:
    """Say what the value is, or where it comes from if it must not be shown."""
    if isinstance(value, FromEnvironment):
        return f" (the value comes from {value.source})"
    if where and where[0] in sections:
        return f" (the value comes from {sections[str(where[0])]})"
    if not showable:
        return ""
    if _NEVER_SHOWN.intersection(where) or where in _HOLD_SECRETS:
        return f", is {_kind(value)}" if not isinstance(value, str) else ""
    return f", is {shown(value)}"


def shown(value: object) -> str:
    """Write a value that is not secret the way YAML people know it, shortened."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f"'{printable(value, 60)}'"
        case int() if value.bit_length() > 128:
            return "a number of more than 38 digits"
        case int() | float():
            return str(value)
        case dt.date():
            return f"the date {value}"
    return _kind(value)


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "empty")


def _unknown_key(where: Location) -> str:
    *parents, key = where
    model = _model_of(parents)
    known = list(model.model_fields)
    if near := get_close_matches(str(key).lower(), known, n=1):
        return f"is not a known key; did you mean {path_text((*parents, near[0]))}?"
    if key in Config.model_fields:
        return "is not a known key here; it belongs to the top, outside of all sections"
    if elsewhere := [name for name, other in SECTIONS.items() if key in other.model_fields]:
        return f"is not a known key here; it belongs to {' or '.join(elsewhere)}"
    return f"is not a known key; known here: {', '.join(known)}"


def _model_of(place: Sequence[str | int]) -> type[BaseModel]:
    """Return the model of what stands at ``place``: the whole, a section, or one within it."""
    names = [part for part in place if isinstance(part, str)]
    if not names:
        return Config
    model = SECTIONS[names[0]]
    for name in names[1:]:
        model = nested(model)[name]
    return model
