"""Reads the chart's values.yaml as people do: keys, and the comments above them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_KEY = re.compile(r"^( *)([A-Za-z_]+):")


@dataclass(frozen=True)
class Value:
    """One key: its path, ``image.tag``; its default; and the comment above it, on one line."""

    path: str
    default: Any
    meaning: str


def read_values(file: Path) -> list[Value]:
    """Return all keys that have a comment, in the order of the file."""
    return list(_read(file.read_text()))


def _read(text: str) -> Iterator[Value]:
    whole = yaml.safe_load(text)
    above: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip(" #"))
        elif found := _KEY.match(line):
            above = [*above[: len(found[1]) // 2], found[2]]
            if comment:
                yield Value(".".join(above), _at(whole, above), " ".join(comment))
            comment = []
        else:
            comment = []


def _at(whole: Any, keys: list[str]) -> Any:
    for key in keys:
        whole = whole[key]
    return whole


def shown(default: Any) -> str:
    """Return a default for a table: what is longer than a line is in the file."""
    if isinstance(default, dict | list) and default:
        return "see `values.yaml`"
    return f"`{json.dumps(default)}`"
