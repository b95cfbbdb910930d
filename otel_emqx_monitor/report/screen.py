"""A table that is drawn in place, again and again, and left standing at the end.

The sequences are those of ECMA-48 and of xterm, which every terminal of today understands: the
alternate screen, so that what was there before comes back; no line wrap, so that one line of the
table is one line of the screen.
"""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from types import FrameType
from typing import TextIO

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

#: What is told about the size of the window when it cannot be asked.
_USUAL_SIZE = (80, 24)

#: Lines of a table that say nothing without its first row, and the line that closes it.
_TABLE_HEAD, _TABLE_FOOT = 4, 1


@dataclass(frozen=True, slots=True)
class Frame:
    """What to show at one moment: sentences, the lines of a table, and one line that sums it up."""

    notes: Sequence[str]
    table: Sequence[str]
    summary: str

    @property
    def lines(self) -> list[str]:
        """All of it, as it is printed where there is room for everything."""
        return [*self.notes, *self.table, self.summary]


def takes_escapes(output: TextIO) -> bool:
    """Whether ``output`` is a terminal that understands more than lines of text."""
    return output.isatty() and os.environ.get("TERM") != "dumb"


def takes_color(output: TextIO) -> bool:
    """Whether to style what is written to ``output``; see https://no-color.org."""
    return takes_escapes(output) and not os.environ.get("NO_COLOR")


class Screen:
    """Draws frames on a terminal, or prints them one below the other where there is none."""

    def __init__(self, output: TextIO) -> None:
        self.in_place = takes_escapes(output)
        self._output = output
        self._last: Frame | None = None
        self._size = os.terminal_size(_USUAL_SIZE)
        self._to_suspend = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Take the terminal over; at the end it is as before, with the last frame below.

        Only in the main thread: Ctrl-Z is heard of by a signal.
        """
        if not self.in_place:
            yield
            return
        before = signal.signal(signal.SIGTSTP, self._suspend_soon)
        self._write(_ENTER)
        try:
            yield
        finally:
            self._write(_LEAVE)
            signal.signal(signal.SIGTSTP, before)
            if self._last is not None:
                self._write("".join(f"{line}\n" for line in self._last.lines))

    def draw(self, frame: Frame) -> None:
        """Show a frame; of a table that does not fit the window the last rows are only counted."""
        self._last = frame
        if not self.in_place:
            self._write("".join(f"{line}\n" for line in (*frame.lines, "")))
            return
        self._size = shutil.get_terminal_size(_USUAL_SIZE)
        body = f"{_REST_OF_LINE}\r\n".join(fitted(frame, self._size))
        self._write(f"{_HOME}{body}{_REST_OF_LINE}{_REST_OF_SCREEN}")

    def tend(self) -> None:
        """Do what is due between two frames: go to sleep on Ctrl-Z, follow the window's size."""
        if not self.in_place or self._last is None:
            return
        if self._to_suspend:
            self._to_suspend = False
            self._suspend()
            self.draw(self._last)
        elif shutil.get_terminal_size(_USUAL_SIZE) != self._size:
            self.draw(self._last)

    def _suspend_soon(self, _number: int, _frame: FrameType | None) -> None:
        # Not here: the signal may have come in the middle of a write.
        self._to_suspend = True

    def _suspend(self) -> None:
        """Give the terminal back, stop until the shell says to go on, and take it over again."""
        self._write(_LEAVE)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend_soon)
        self._write(_ENTER)

    def _write(self, text: str) -> None:
        encoding = self._output.encoding
        self._output.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._output.flush()


def fitted(frame: Frame, size: os.terminal_size) -> list[str]:
    """Return the lines that a window of that size has room for.

    Notes are wrapped. The summary always shows; so do the notes and the head of the table, as far
    as there are lines for them.
    """
    notes = [line for note in frame.notes for line in wrap(note, max(1, size.columns)) or [""]]
    room = size.lines - len(notes) - 1
    table = list(frame.table)
    if len(table) > room:
        shown = room - 1
        hidden = len(table) - _TABLE_FOOT - max(_TABLE_HEAD, shown)
        more = f"... {hidden} more {'client' if hidden == 1 else 'clients'} in a larger window"
        table = [*table[: max(0, shown)], *([more] if hidden else [])]
    above = [*notes, *table]
    return [*above[: max(0, size.lines - 1)], frame.summary]
