"""Whether everybody on this machine may read a secret in the configuration."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_IROTH
from typing import Final

from otel_emqx_monitor.config.document import parse
from otel_emqx_monitor.config.errors import Location, Problems, path_text
from otel_emqx_monitor.config.load import LARGEST_FILE
from otel_emqx_monitor.config.reading import FileRefused, read_text
from otel_emqx_monitor.text import printable

#: Where secrets stand; below a mapping every value is one.
_SECRETS: Final[tuple[Location, ...]] = (
    ("emqx", "api_secret"),
    ("events", "webhook", "token"),
    ("events", "mqtt", "password"),
    ("otlp", "headers"),
)


def exposure(file: Path) -> str | None:
    """Return a warning if the file holds a secret, and its mode lets everybody read it.

    Args:
        file: the configuration that was loaded, as ``locate`` returns it.

    Returns:
        What is wrong and what to do, without the secret; ``None`` if nothing is. A secret that
        comes from a file of its own or from a variable is none of this file.
    """
    try:
        if not file.stat().st_mode & S_IROTH:
            return None
        document = parse(read_text(file, LARGEST_FILE), Problems())
    except (OSError, FileRefused):  # it has gone since it was loaded
        return None
    held = [path_text(where) for where in _SECRETS if any(_literals(document, where))]
    if not held:
        return None
    return (
        f"everybody on this machine may read {printable(str(file), 200)}, which holds"
        f" {' and '.join(held)}: chmod 600 it, or take the secret from a file of its own or from a"
        " variable, ${env:NAME}"
    )


def _literals(value: object, where: Location) -> Iterator[str]:
    """Yield the texts at ``where`` below ``value`` that are no references to variables."""
    if where:
        if isinstance(value, Mapping):
            yield from _literals(value.get(where[0]), where[1:])
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _literals(item, ())
    elif value not in (None, "") and "${env:" not in str(value):
        yield str(value)
