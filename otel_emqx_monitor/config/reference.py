"""The keys of a configuration with their types, defaults and descriptions, for documentation."""

from collections.abc import Iterator, Mapping
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from otel_emqx_monitor.config.effective import scalar
from otel_emqx_monitor.config.model import SECTIONS, Config
from otel_emqx_monitor.config.section import nested

_NAMES: Final = {
    SecretStr: "secret",
    bool: "true/false",
    float: "number",
    int: "whole number",
    str: "text",
}


class Key(NamedTuple):
    """One key: its place, as in ``monitored_clients[].alias``, and what a reader has to know."""

    key: str
    type: str
    default: str
    description: str


def reference() -> list[Key]:
    """Return every key in the order of the models; a default may be ``required`` or ``not set``."""
    return list(_keys())


def _keys() -> Iterator[Key]:
    for name, field in Config.model_fields.items():
        if name not in SECTIONS:
            yield _key(name, field)
            continue
        prefix = name
        if get_origin(field.annotation) is tuple:
            yield Key(name, "list", "[]", field.description or "")
            prefix = f"{name}[]"
        elif not field.is_required() and field.default is None:
            yield Key(name, "mapping", "not set", field.description or "")
        yield from _keys_of(prefix, SECTIONS[name])


def _keys_of(prefix: str, section: type[BaseModel]) -> Iterator[Key]:
    inner = nested(section)
    for key, field in section.model_fields.items():
        place = f"{prefix}.{key}"
        if key in inner:
            yield Key(place, "mapping", "not set", field.description or "")
            yield from _keys_of(place, inner[key])
        else:
            yield _key(place, field)


def _key(place: str, field: FieldInfo) -> Key:
    return Key(place, _type_text(field), _default(field), field.description or "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value == {}:
        return "{}"
    return "not set" if value is None else scalar(value)


def _type_text(field: FieldInfo) -> str:
    text = " or ".join(_names(field.annotation))
    for limit, words in (("gt", "above"), ("ge", "from"), ("le", "up to")):
        for constraint in field.metadata:
            if (bound := getattr(constraint, limit, None)) is not None:
                text += f" {words} {bound}"
    return text


def _names(annotation: Any) -> list[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return [name for member in arguments for name in _names(member)]
    if origin is Annotated:
        return _names(arguments[0])
    if origin is Literal:
        return [f"`{value}`" for value in arguments]
    if origin is Mapping:
        return ["mapping of " + " to ".join(chain(*map(_names, arguments)))]
    return [_NAMES[annotation]] if annotation in _NAMES else []  # nothing for None
