"""Reads YAML text into plain values: mappings, lists, text, numbers, booleans, dates and None.

The values are built from PyYAML's events rather than by its loaders, because a configuration
should be refused with a line number, and not be able to do harm:

* a key that is given twice is a problem, not a silent overwrite;
* aliases share one value and merge keys (``<<``) merge finished mappings, so that nothing grows
  exponentially; an alias to a container from inside of it, and very deep nesting, are refused;
* messages never quote values: an unquoted secret may look like a tag or an alias.

Otherwise plain scalars mean what they mean to ``yaml.safe_load`` (YAML 1.1).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import yaml

from otel_emqx_monitor.config.errors import Location, Problems

#: More levels than any configuration has; bounds recursion.
DEEPEST: Final = 20
_TOO_DEEP: Final = f"is nested more than {DEEPEST} levels deep"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = yaml.SafeLoader("")  # knows which plain scalars are numbers, booleans, dates or null
_CONSTRUCT: Final[Mapping[str, Callable[[yaml.ScalarNode], object]]] = {
    "tag:yaml.org,2002:null": _SCALARS.construct_yaml_null,
    "tag:yaml.org,2002:bool": _SCALARS.construct_yaml_bool,
    "tag:yaml.org,2002:int": _SCALARS.construct_yaml_int,
    "tag:yaml.org,2002:float": _SCALARS.construct_yaml_float,
    "tag:yaml.org,2002:timestamp": _SCALARS.construct_yaml_timestamp,
}
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_UNFINISHED, _MISSING = object(), object()

# YAML 1.1, section 5.1: what a YAML stream may hold, escapes in double quotes aside.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")

_QUOTE_IT = "put quotes around it if it is meant as text"


class _Refused(Exception):
    """The rest of the text cannot be read."""


def parse(text: str, problems: Problems, where: Location = (), of: str = "") -> object:
    """Return what the YAML ``text`` says, ``None`` for nothing at all.

    Args:
        text: One YAML document.
        problems: Where to note what is wrong. Values that have a problem are left out or ``None``.
        where: The place of this text in the whole configuration.
        of: What messages say after "line 3" when the text is not the file, as in `` of ${env:X}``.
    """
    if found := _NOT_YAML.search(text):
        at = _position(text, found.start())
        problems.add(where, f"{at}{of}: the character U+{ord(found[0]):04X} is not allowed in YAML")
        return None
    try:
        return _Builder(text, problems, of).document(where)
    except yaml.YAMLError as error:
        problems.add(where, _syntax_problem(text, error, of))
    except _Refused as refused:
        problems.add(where, str(refused))
    return None


def _position(text: str, index: int) -> str:
    line_start = text.rfind("\n", 0, index) + 1
    return f"line {text.count(chr(10), 0, index) + 1}, column {index - line_start + 1}"


def _syntax_problem(text: str, error: yaml.YAMLError, of: str) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "is not valid YAML"
    mark = error.problem_mark
    # PyYAML without libyaml quotes the text here and there; a secret could be in it.
    problem = re.sub(r" '[^']{2,}'", "", error.problem or "syntax error")
    lines = text.splitlines()
    char = lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
    if "nesting depth" in problem:  # libyaml's own limit, from 0.2.6 on, comes before ours
        return f"line {mark.line + 1}{of}: {_TOO_DEEP}"
    if char == "\t":
        problem = "a tab, where YAML wants spaces"
    elif "cannot start any token" in problem:
        problem = f"a value that begins with {char} needs quotes"
    return f"line {mark.line + 1}, column {mark.column + 1}{of}: is not valid YAML: {problem}"


class _Builder:
    def __init__(self, text: str, problems: Problems, of: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._problems = problems
        self._of = of
        self._anchors: dict[str, object] = {}

    def document(self, where: Location) -> object:
        value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(f"{self._at(event)}: begins a second YAML document; use one")
            elif isinstance(event, yaml.NodeEvent):
                value = self._node(event, where)
        return value

    def _at(self, event: yaml.Event) -> str:
        return f"line {_line(event)}{self._of}"

    def _node(self, event: yaml.Event, where: Location) -> object:
        if len(where) > DEEPEST:
            raise _Refused(f"{self._at(event)}: {_TOO_DEEP}")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, where)
        anchor = event.anchor if isinstance(event, yaml.NodeEvent) else None
        if anchor is not None:
            self._anchors[anchor] = _UNFINISHED
        value: object
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, where)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(where)
        else:
            value = self._mapping(where)
        if anchor is not None:
            self._anchors[anchor] = value
        return value

    def _alias(self, event: yaml.AliasEvent, where: Location) -> object:
        value = self._anchors.get(event.anchor or "", _MISSING)
        if value is _UNFINISHED:
            raise _Refused(f"{self._at(event)}: a YAML alias (*) stands inside its own anchor (&)")
        if value is _MISSING:
            wrong = f"{self._at(event)}: is a YAML alias (*) without its anchor (&); {_QUOTE_IT}"
            self._problems.add(where, wrong)
            return None
        return value

    def _scalar(self, event: yaml.ScalarEvent, where: Location) -> object:
        tag = _tag(event)
        wrong = f"looks like a number or a date but is none; {_QUOTE_IT}"
        if event.tag not in (None, "!", _TEXT):
            wrong = f"has a YAML tag (!), which has no use here; {_QUOTE_IT}"
        elif _SURROGATE.search(event.value):
            wrong = "is not valid Unicode text"
        elif tag not in _CONSTRUCT:
            return event.value
        else:
            try:
                return _CONSTRUCT[tag](yaml.ScalarNode(tag, event.value))
            except (ValueError, OverflowError):
                pass
        self._problems.add(where, f"{self._at(event)}: {wrong}")
        return None

    def _sequence(self, where: Location) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*where, len(values))))
        return values

    def _mapping(self, where: Location) -> dict[str, object]:
        values: dict[str, object] = {}
        lines: dict[str, int] = {}
        merged: list[object] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, where)
            value = self._node(next(self._events), (*where, key))
            if _is_merge(event):
                merged.extend(value if isinstance(value, list) else [value])
            elif key in lines:
                wrong = f"is given twice, in line {lines[key]} and in line {_line(event)}; keep one"
                self._problems.add((*where, key), wrong)
            else:
                values[key] = value
                lines[key] = _line(event)
        for source in merged:
            if isinstance(source, dict):
                values = source | values
            else:
                self._problems.add((*where, "<<"), "must name a mapping, or a list of mappings")
        return values

    def _key(self, event: yaml.Event, where: Location) -> str:
        """Return a key as it is written, whatever YAML makes of it."""
        if isinstance(event, yaml.ScalarEvent):
            key: object = event.value
            if event.anchor is not None:
                self._anchors[event.anchor] = key
        else:
            key = self._node(event, (*where, "?"))
        if isinstance(key, str) and not _SURROGATE.search(key):
            return key
        self._problems.add(where, f"{self._at(event)}: a key must be text")
        return "?"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _is_merge(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and _tag(event) == _MERGE


def _tag(event: yaml.ScalarEvent) -> str:
    if event.tag is not None:
        return event.tag
    resolved = _SCALARS.resolve(  # type: ignore[no-untyped-call]  # bare in types-PyYAML
        yaml.ScalarNode, event.value, event.implicit
    )
    return str(resolved)
