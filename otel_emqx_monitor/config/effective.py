"""Writes a configuration as YAML: what is in effect, defaults and variables included."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, SecretStr

from otel_emqx_monitor.config.model import Config
from otel_emqx_monitor.text import printable

_MASK = "'********'"


def effective_yaml(config: Config) -> str:
    """Return ``config`` as YAML that loads again, with every key and with secrets masked.

    The entries of lists have the keys that they were given; what is not there means nothing.
    A secret that came from a file is shown as that file's path, a header by its name. Text is
    quoted and escaped, so that a terminal can show it whatever it holds.
    """
    lines: list[str] = []
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            lines += [f"{name}:", *(f"  {line}" for line in _lines(value))]
        elif not isinstance(value, tuple):
            lines.append(f"{name}: {scalar(value)}")
        elif value:
            lines.append(f"{name}:")
            for item in value:
                first, *others = _entry_lines(item)
                lines += [f"  - {first}", *(f"    {line}" for line in others)]
        else:
            lines.append(f"{name}: []")
    return "\n".join(lines) + "\n"


def _lines(section: BaseModel) -> Iterator[str]:
    keys = type(section).model_fields
    for key in keys:
        value = getattr(section, key)
        # Of the two ways to give a secret only the one that is used is shown.
        if getattr(section, f"{key}_file", None) is not None:
            continue
        if value is None and key.endswith("_file") and key.removesuffix("_file") in keys:
            continue
        if isinstance(value, BaseModel):
            yield f"{key}:"
            yield from (f"  {line}" for line in _lines(value))
        elif isinstance(value, Mapping):
            yield f"{key}:" if value else f"{key}: {{}}"
            yield from (f"  {_quoted(name)}: {scalar(item)}" for name, item in value.items())
        else:
            yield f"{key}: {scalar(value)}"


def _entry_lines(entry: BaseModel) -> Iterator[str]:
    for key in type(entry).model_fields:
        value = getattr(entry, key)
        if value is not None:
            yield f"{key}: {scalar(value)}"


def scalar(value: object) -> str:
    """Write one value as YAML; a secret is masked."""
    match value:
        case None:
            return "null"
        case SecretStr():
            return _MASK
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case str():
            return _quoted(value)
    return str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("${", "$${").replace("\\", "\\\\").replace('"', '\\"')
    # YAML's escapes in double quotes are those that `printable` writes.
    return f'"{printable(escaped)}"'
