"""HTML elements from Python values; whatever is not markup already is escaped."""

from html import escape

from otel_emqx_monitor.text import printable


class Markup(str):
    """Text that is HTML; only this module makes it, and who reads a file of this package."""

    __slots__ = ()


#: What may stand between two tags: text, markup, or nothing.
Child = str | None

#: Elements that have neither children nor an end (HTML, section 13.1.2).
_VOID = frozenset({"input", "link", "meta"})


def tag(name: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """Return an element.

    ``attributes`` lose underscores at their ends, others become dashes; ``True`` is an attribute
    without a value, ``None`` and ``False`` leave it out. Values keep every character, so that a
    form sends back what it got.
    """
    told = "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Return the children one after the other."""
    return Markup("".join(map(_child, children)))


def _child(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escape(printable(child))


def _attribute(key: str, value: str | bool) -> str:
    name = key.strip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
