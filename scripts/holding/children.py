"""Processes beside this one, with their output and what they used of the machine (Linux)."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import TypeVar

T = TypeVar("T")

#: For a process to begin, and for what it does first, in seconds.
PATIENCE_SECONDS = 120.0


@dataclass
class Child:
    """A process, its output, and when it has ended what it has used of the machine."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0

    def find(self, pattern: str) -> str:
        """Wait until the output has ``pattern`` and return its group."""
        return wait_for(f"{self.name} to begin", lambda: self._search(pattern))

    def end(self) -> None:
        """Have it end, and take its account."""
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_mib = usage.ru_maxrss / 1024

    def _search(self, pattern: str) -> str | None:
        text = self.output.read_text(errors="replace")
        if self.process.poll() is not None:
            sys.exit(f"{self.name} has ended:\n{text[-2000:]}")
        found = re.search(pattern, text)
        return found[1] if found else None


@contextmanager
def child(name: str, folder: Path, *command: str) -> Iterator[Child]:
    """Run a process for the length of the block."""
    output = folder / f"{name}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 (the caller names its programs)
    running = Child(name, process, output)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.end()


def wait_for(what: str, condition: Callable[[], T | None]) -> T:
    """Return what ``condition`` returns as soon as that is true."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        if time.monotonic() > give_up:
            sys.exit(f"waited {PATIENCE_SECONDS:g} s in vain for {what}")
        time.sleep(0.2)
    return result


def free_address() -> str:
    """Return an address of loopback on which nobody listens."""
    with create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"
