"""Finds what the program can say when something is wrong, by reading its source.

A message is every piece of text with three words or more, but for those that stand where texts are
something else: documentation, help, types, lines of the log that tell of nothing wrong. So none can
be forgotten by being written in a new way.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "otel_emqx_monitor"

#: What stands for a value in a message, here and in docs/troubleshooting.md.
HOLE = "…"

#: Modules and folders whose texts are no messages, and why.
NO_MESSAGES = {
    "simulator": "a made-up EMQX, whose messages are EMQX's",
    "demo.py": "what the demo greets with",
    "page/document.py": "the frame of the page",
    "page/endpoint.py": "the frame of the page",
    "page/table.py": "titles of the page's table",
    "report": "titles of tables",
    "instruments.py": "the HELP of metrics",
    "readers/exposition.py": "the format of an exposition",
}

#: Calls whose texts say what something is or that all is well.
_OTHER_TEXTS = {"Field", "described", "option", "argument", "info", "debug", "Outage", "Pulse"}

_WORD = re.compile(r"(?<!\S)[^\s…]*[A-Za-z]{2}[^\s…]*(?!\S)")
_FORMAT = re.compile(r"%[-.\d]*[dfgs]|(?<![${])\{[a-z]+(:[^{}]*)?\}")
_SQL = re.compile(r"(PRAGMA|CREATE|INSERT|SELECT|DELETE|UPDATE) ")


@dataclass(frozen=True)
class Message:
    """One text of the source; what is put into it at run time is a ``HOLE``."""

    text: str
    where: str


def messages() -> list[Message]:
    """Return all messages of the program."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [message for file in files if not _is_excepted(file) for message in _in_file(file)]


def _is_excepted(file: Path) -> bool:
    relative = file.relative_to(PACKAGE)
    return relative.parts[0] in NO_MESSAGES or str(relative) in NO_MESSAGES


def _in_file(file: Path) -> Iterator[Message]:
    tree = ast.parse(file.read_text())
    for node in _texts(tree):
        text = _FORMAT.sub(HOLE, rendered(node)).strip()
        if len(_WORD.findall(text)) >= 3 and not _SQL.match(text):
            yield Message(text, f"{file.relative_to(PACKAGE)}:{node.lineno}")


def _texts(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the largest expressions that are texts; inside of them, those of their holes."""
    if isinstance(node, ast.expr) and _is_text(node):
        yield node
        holes = (one.value for one in ast.walk(node) if isinstance(one, ast.FormattedValue))
        for hole in holes:
            yield from _texts(hole)
        return
    if isinstance(node, ast.Call) and _name(node.func) in _OTHER_TEXTS:
        return
    for child in _children(node):
        yield from _texts(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in a node, but for documentation and types."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            is_documentation = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_documentation:
                yield child


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    is_constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_constant or isinstance(node, ast.JoinedStr)


def rendered(node: ast.expr) -> str:
    """Return a text with its holes; those of the ``%`` and ``format`` kind are still to come."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(rendered, node.values))
    if isinstance(node, ast.BinOp):
        return rendered(node.left) + rendered(node.right)
    return HOLE


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))
