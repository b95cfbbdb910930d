"""Processes beside the one that is measured: a simulated broker, a Collector; and their ends."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"

#: With it, and in ROOT, a process imports this checkout's program, whatever else is installed.
ENVIRON = {**os.environ, "PYTHONPATH": str(SCRIPTS)}

PROGRAM = [sys.executable, "-m", "otel_emqx_monitor"]

#: Seconds that a program may take to end; an agent promises ten.
_LONGEST_END = 30.0

#: The simulated devices are the same in every run.
SEED = 1


@contextmanager
def simulator(clients: int) -> Iterator[str]:
    """Run a simulated broker for the length of the block; yields the URL of its API."""
    options = ["--clients", str(clients), "--port", "0", "--seed", str(SEED)]
    with _beside([*PROGRAM, "simulate", *options], r"\bURL\s+(\S+)") as url:
        yield url


@contextmanager
def churning(clients: int, *, churn: bool) -> Iterator[str]:
    """Run the broker of ``benchmarks.churning`` for the length of the block; yields its URL."""
    options = ["--clients", str(clients), *["--churn"] * churn]
    with _beside([sys.executable, "-m", "benchmarks.churning", *options], r"(http://\S+)") as url:
        yield url


@contextmanager
def sink() -> Iterator[str]:
    """Run a Collector that takes everything for the length of the block; yields its endpoint."""
    with _beside([sys.executable, "-m", "benchmarks.sink"], r"(http://\S+)") as endpoint:
        yield endpoint


@contextmanager
def _beside(command: Sequence[str], announcement: str) -> Iterator[str]:
    """Run ``command``; yields what it announces on stdout."""
    with subprocess.Popen(  # noqa: S603 (this project's own)
        command, cwd=ROOT, env=ENVIRON, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield find(process.stdout, announcement)
        finally:
            process.kill()


def find(stream: IO[str] | None, pattern: str) -> str:
    """Return the group of ``pattern`` in the first line of ``stream`` that has it.

    Raises:
        RuntimeError: the stream ended before that; with its last lines.
    """
    assert stream is not None  # noqa: S101 (the process was started with a pipe)
    lines = []
    for line in stream:
        lines.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError("a process ended too soon: " + "".join(lines[-5:]))


def end_of(process: subprocess.Popen[str]) -> resource.struct_rusage:
    """Wait for the end of a process and return its account.

    Raises:
        RuntimeError: it has failed, or does not end; then it is killed.
    """
    give_up = time.monotonic() + _LONGEST_END
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        if time.monotonic() > give_up:
            process.kill()
        time.sleep(0.01)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == -signal.SIGKILL:
        raise RuntimeError(f"it did not end within {_LONGEST_END:g} s")
    if process.returncode != 0:
        raise RuntimeError(f"it ended with exit code {process.returncode}")
    return usage
