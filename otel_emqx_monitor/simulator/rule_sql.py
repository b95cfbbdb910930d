"""As much of the SQL of EMQX's rules as this project uses, and how it is applied to an event.

::

    SELECT * | field, …, bytesize(payload) as name  FROM "source", …  [WHERE condition]

A condition compares fields with texts (``=``, ``!=``, ``<>`` and ``=~``, which matches a topic with
a filter), joined by ``and``, ``or`` and parentheses. Anything else is refused, also what EMQX
knows. As in EMQX a field that an event lacks is selected as ``undefined``, compares as false, and
has no size: that ends the rule for this event.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

Columns = Mapping[str, object]
Condition = Callable[[Columns], bool]

UNDEFINED = "undefined"

_TOKEN = re.compile(
    r"""\s*(?: (?P<text>'[^']*') | (?P<name>"[^"]*") | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>=~|!=|<>|=|[(),*]) )""",
    re.VERBOSE,
)


class SqlError(ValueError):
    """SQL that cannot be parsed here; the text says where."""


class Selected(NamedTuple):
    """One selected field: its name in the output, the column, and the function applied to it."""

    name: str
    column: str
    function: str | None = None


class Statement(NamedTuple):
    """A parsed rule; ``fields`` is ``None`` for ``*``."""

    fields: tuple[Selected, ...] | None
    sources: tuple[str, ...]
    condition: Condition | None

    def covers(self, source: str) -> bool:
        """Return whether events from ``source``, an event topic or a topic, go to this rule."""
        return any(matches(source, one) for one in self.sources)

    def apply(self, columns: Columns) -> dict[str, object] | None:
        """Return the output for an event with these ``columns``, ``None`` when there is none."""
        if self.condition is not None and not self.condition(columns):
            return None
        if self.fields is None:
            return dict(columns)
        output: dict[str, object] = {}
        for field in self.fields:
            value = columns.get(field.column, UNDEFINED)
            if field.function == "bytesize":
                if field.column not in columns:
                    return None
                value = len(str(value).encode())
            output[field.name] = value
        return output


def matches(topic: str, topic_filter: str) -> bool:
    """Return whether ``topic`` matches a filter; wildcards never begin a topic with ``$``."""
    if topic_filter[:1] in ("+", "#") and topic.startswith("$"):
        return False
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):
            return False
        levels = levels[: len(wanted)]
    return len(levels) == len(wanted) and all(
        one in ("+", level) for one, level in zip(wanted, levels, strict=True)
    )


_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "=": str.__eq__,
    "!=": str.__ne__,
    "<>": str.__ne__,
    "=~": matches,
}


def parse(sql: str) -> Statement:
    """Return the parsed ``sql``; raises ``SqlError``."""
    tokens = _Tokens(_tokens(sql))
    tokens.take("select")
    fields = None if tokens.skip("*") else tuple(_listed(tokens, _field))
    tokens.take("from")
    sources = tuple(_listed(tokens, lambda tokens: tokens.take_kind("name")))
    condition = _either(tokens) if tokens.skip("where") else None
    if not tokens.at_end:
        raise SqlError(f"cannot go on at {tokens.rest}")
    return Statement(fields, sources, condition)


class _Token(NamedTuple):
    kind: str
    text: str


def _tokens(sql: str) -> Iterator[_Token]:
    at, sql = 0, sql.rstrip()
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None or found.lastgroup is None:
            raise SqlError(f"cannot read at {sql[at:]!r}")
        text = found[found.lastgroup]
        yield _Token(found.lastgroup, text.strip("'\"") if found.lastgroup != "sign" else text)
        at = found.end()


class _Tokens:
    def __init__(self, tokens: Iterable[_Token]) -> None:
        self._left = list(tokens)[::-1]

    @property
    def at_end(self) -> bool:
        return not self._left

    @property
    def rest(self) -> str:
        return " ".join(token.text for token in reversed(self._left)) or "the end"

    def skip(self, text: str) -> bool:
        """Leave the next token behind if it is this word or sign."""
        token = self._left[-1] if self._left else _Token("", "")
        found = token.kind in ("word", "sign") and token.text.lower() == text
        if found:
            self._left.pop()
        return found

    def take(self, text: str) -> None:
        if not self.skip(text):
            raise SqlError(f"expected {text} at {self.rest}")

    def take_kind(self, kind: str) -> str:
        if not self._left or self._left[-1].kind != kind:
            raise SqlError(f"expected a {kind} at {self.rest}")
        return self._left.pop().text


def _listed(tokens: _Tokens, one: Callable[[_Tokens], T]) -> Iterator[T]:
    yield one(tokens)
    while tokens.skip(","):
        yield one(tokens)


def _field(tokens: _Tokens) -> Selected:
    column = tokens.take_kind("word")
    function = None
    if tokens.skip("("):
        function, column = column.lower(), tokens.take_kind("word")
        tokens.take(")")
        if function != "bytesize":
            raise SqlError(f"the function {function} is not simulated")
    if tokens.skip("as"):
        return Selected(tokens.take_kind("word"), column, function)
    if function:
        raise SqlError(f"expected as after {function}({column})")
    return Selected(column, column)


def _either(tokens: _Tokens) -> Condition:
    conditions = [_both(tokens)]
    while tokens.skip("or"):
        conditions.append(_both(tokens))
    return _joined(any, conditions)


def _both(tokens: _Tokens) -> Condition:
    conditions = [_comparison(tokens)]
    while tokens.skip("and"):
        conditions.append(_comparison(tokens))
    return _joined(all, conditions)


def _joined(how: Callable[[Iterable[bool]], bool], conditions: Sequence[Condition]) -> Condition:
    return lambda columns: how(condition(columns) for condition in conditions)


def _comparison(tokens: _Tokens) -> Condition:
    if tokens.skip("("):
        inner = _either(tokens)
        tokens.take(")")
        return inner
    column = tokens.take_kind("word")
    compare = _COMPARISONS.get(tokens.take_kind("sign"))
    if compare is None:
        raise SqlError(f"expected a comparison after {column}")
    text = tokens.take_kind("text")
    return lambda columns: column in columns and compare(str(columns[column]), text)
