"""Objects of EMQX's configuration: what they should be, how that differs, and how to show it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Json = Mapping[str, object]

#: What EMQX answers in place of a secret.
_EMQX_MASK = "******"
_MASK = "********"
_SECRET = re.compile("password|secret|token", re.IGNORECASE)


@dataclass(frozen=True)
class ConfigObject:
    """One object of EMQX's configuration.

    ``wanted`` is what a ``PUT`` needs, ``first`` what a ``POST`` needs beside it; ``kept`` are the
    settings that stay as somebody made them. A ``hidden`` one cannot be compared.
    """

    word: str
    name: str
    collection: str
    key: str
    wanted: Json = field(default_factory=dict)
    first: Json = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def path(self) -> str:
        """Where this object is, below ``/api/v5``."""
        return f"{self.collection}/{self.key}"

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        return f"{self.word} {self.name}"


def differences(wanted: Json, present: Json, above: str = "") -> list[str]:
    """Return the names of what is not as it is wanted; what is masked counts as it is wanted."""
    names = []
    for name, value in wanted.items():
        there = present.get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            names += differences(value, there, f"{above}{name}.")
        elif there not in (value, _EMQX_MASK):
            names.append(above + name)
    return names


def merged(kept: Json, wanted: Json) -> dict[str, object]:
    """Return ``wanted`` over ``kept``, down through what is nested."""
    both = dict(kept)
    for name, value in wanted.items():
        there = both.get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            both[name] = merged(there, value)
        else:
            both[name] = value
    return both


def masked(body: Json) -> dict[str, object]:
    """Return ``body`` for eyes: without the values of headers and of what is called a secret."""
    shown: dict[str, object] = {}
    for name, value in body.items():
        if name == "headers" and isinstance(value, Mapping):
            shown[name] = {
                header: text if header.lower() == "content-type" else _MASK
                for header, text in value.items()
            }
        elif isinstance(value, Mapping):
            shown[name] = masked(value)
        else:
            shown[name] = _MASK if value and _SECRET.search(name) else value
    return shown
