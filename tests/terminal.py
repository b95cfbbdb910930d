"""The program in a terminal of its own: a real pseudo-terminal, and pyte to see what it shows."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pyte

from tests.processes import PATIENCE_SECONDS, wait_until

#: What pyte numbers private modes by: the mode shifted by five bits.
_ALTERNATE_SCREEN = 1049 << 5


class _Screen(pyte.Screen):
    """pyte's screen, and the alternate one, which pyte itself takes for the same."""

    def __init__(self, columns: int, lines: int) -> None:
        self.alternate = False
        super().__init__(columns, lines)

    def set_mode(self, *modes: int, **private: bool) -> None:
        if 1049 in modes and private.get("private"):
            self._before = deepcopy((self.buffer, self.cursor))
            self.alternate = True
            self.erase_in_display(2)
        super().set_mode(*modes, **private)

    def reset_mode(self, *modes: int, **private: bool) -> None:
        super().reset_mode(*modes, **private)
        if 1049 in modes and private.get("private") and self.alternate:
            self.buffer, self.cursor = self._before
            self.alternate = False


class Terminal:
    """A command under way in a window of a terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int, size: tuple[int, int]):
        self.process = process
        self.written = b""
        self._master = master
        self._lock = threading.Lock()
        columns, lines = size
        self._screen = _Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO, when the last process has closed its side
            while data := os.read(self._master, 65536):
                with self._lock:
                    self.written += data
                    self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """What the window shows, without what is empty at the end of lines and at its end."""
        with self._lock:
            shown = [line.rstrip() for line in self._screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def in_alternate_screen(self) -> bool:
        with self._lock:
            return self._screen.alternate

    @property
    def cursor_is_hidden(self) -> bool:
        with self._lock:
            return bool(self._screen.cursor.hidden)

    @property
    def wraps(self) -> bool:
        with self._lock:
            return bool(pyte.modes.DECAWM in self._screen.mode)

    def colors_of(self, text: str) -> set[str]:
        """The colours of the characters of ``text`` where the window first shows it."""
        with self._lock:
            for row, line in enumerate(self._screen.display):
                if (start := line.find(text)) >= 0:
                    places = range(start, start + len(text))
                    return {self._screen.buffer[row][place].fg for place in places}
        raise AssertionError(f"{text!r} is not shown")

    def wait_for(self, condition: Callable[[list[str]], Any]) -> list[str]:
        """Return what the window shows as soon as ``condition`` is true of it."""

        def met() -> list[str] | None:
            lines = self.lines
            return lines if condition(lines) else None

        return wait_until(met)

    def wait_for_text(self, text: str) -> list[str]:
        return self.wait_for(lambda lines: any(text in line for line in lines))

    def resize(self, columns: int, lines: int) -> None:
        with self._lock:
            self._screen.resize(lines, columns)
        _set_size(self._master, columns, lines)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Return the exit code, when the command and its output have ended."""
        exit_code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return exit_code


def _set_size(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def terminal(
    *arguments: str,
    size: tuple[int, int] = (120, 24),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """Run a command of this program in a window of so many columns and lines.

    ``$ command`` stands in it already, as a shell would have left it.
    """
    master, slave = pty.openpty()
    _set_size(slave, *size)
    os.write(slave, b"$ command\n")
    surroundings = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", _CONTROLLED, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**surroundings, "TERM": "xterm-256color", **(environ or {})},
    )
    os.close(slave)
    running = Terminal(process, master, size)
    try:
        yield running
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)


#: Makes the terminal the one that Ctrl-C comes from, which a shell does for its commands.
_CONTROLLED = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from otel_emqx_monitor.cli import main
main()
"""
