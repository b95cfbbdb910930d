"""A table that is drawn in place, again and again, and left standing at the end.

The sequences are those of ECMA-48 and of xterm, which every terminal of today understands: the
alternate screen, so that what was there before comes back; no line wrap, so that one line of the
table is one line of the screen.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

#: What is told about the size of the window when it cannot be asked.
_USUAL_SIZE = (80, 24)


class Screen:
    """Draws frames on a terminal, or prints them one below the other where there is none."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._in_place = output.isatty()
        self._last: Sequence[str] = ()

    @contextmanager
    def open(self) -> Iterator["Screen"]:
        """Take the terminal over; at the end it is as before, with the last frame below."""
        if not self._in_place:
            yield self
            return
        self._write(_ENTER)
        try:
            yield self
        finally:
            self._write(_LEAVE)
            self._write("".join(f"{line}\n" for line in self._last))

    def draw(self, lines: Sequence[str]) -> None:
        """Show a frame; what does not fit the window is counted in its last line."""
        self._last = lines
        if not self._in_place:
            self._write("".join(f"{line}\n" for line in (*lines, "")))
            return
        fitting = self._fitting(lines)
        body = f"{_REST_OF_LINE}\r\n".join(fitting)
        self._write(f"{_HOME}{body}{_REST_OF_LINE}{_REST_OF_SCREEN}")

    def _fitting(self, lines: Sequence[str]) -> Sequence[str]:
        height = shutil.get_terminal_size(_USUAL_SIZE).lines
        if len(lines) <= height:
            return lines
        hidden = len(lines) - height + 1
        return [*lines[: height - 1], f"... {hidden} more lines; make the window larger"]

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
