"""Makes text that strangers chose fit for a terminal, a log line or an error message."""


def printable(text: str, limit: int | None = None) -> str:
    r"""Return ``text`` with everything escaped that does not print as itself.

    Control characters, bidirectional overrides and isolates, line and paragraph separators, lone
    surrogates, invisible and unassigned characters (all for which ``str.isprintable`` is false)
    become ``\x1b``, ``\u202e`` or ``\U000e0001``; a backslash stays as it is: the result is for
    reading, not for parsing back.

    Args:
        text: Any text at all.
        limit: The most characters to return, at least 1; longer text is cut, never inside of an
            escape, and ends with ``…``. ``None`` cuts nothing.
    """
    if text.isprintable() and (limit is None or len(text) <= limit):
        return text
    # One character more than fits is enough to know that something has to go.
    considered = text if limit is None else text[: limit + 1]
    pieces = [char if char.isprintable() else _escaped(char) for char in considered]
    length = sum(map(len, pieces))
    if limit is None or length <= limit:
        return "".join(pieces)
    while length > limit - 1:
        length -= len(pieces.pop())
    return "".join(pieces) + "…"


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
