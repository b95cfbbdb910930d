"""The keys of a configuration with their types, defaults and descriptions, for documentation."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Final, NamedTuple, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from otel_emqx_monitor.config.effective import scalar
from otel_emqx_monitor.config.model import SECTIONS, Config

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
    for section, model in SECTIONS.items():
        field = Config.model_fields[section]
        prefix = section
        if get_origin(field.annotation) is tuple:
            yield Key(section, "list", "[]", field.description or "")
            prefix = f"{section}[]"
        for name, item in model.model_fields.items():
            default = "not set" if item.default is None else scalar(item.default)
            if item.is_required():
                default = "required"
            yield Key(f"{prefix}.{name}", _type_text(item), default, item.description or "")


def _type_text(field: FieldInfo) -> str:
    text = " or ".join(_NAMES[kind] for kind in _kinds(field.annotation))
    for limit, words in (("gt", "above"), ("ge", "from"), ("le", "up to")):
        for constraint in field.metadata:
            if (bound := getattr(constraint, limit, None)) is not None:
                text += f" {words} {bound}"
    return text


def _kinds(annotation: object) -> list[type]:
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in _kinds(member)]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return [kind for kind in _NAMES if kind is annotation]  # nothing for None
