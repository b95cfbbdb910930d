"""Figures as the document shows them."""

from collections.abc import Iterable, Sequence


def milliseconds(seconds: float | None) -> str:
    """Return seconds as people read them."""
    if seconds is None:
        return "–"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def megabytes(size: float | None) -> str:
    """Return bytes as people read them."""
    return "–" if size is None else f"{size / 1e6:.0f} MB"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
