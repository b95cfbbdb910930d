"""Measures one case in this process, and tells whoever started it what came out."""

import argparse
import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

#: CPU seconds after which a case is not repeated in the same process.
_ENOUGH_SECONDS = 30.0

#: The share of the machine's memory that a case may take: no case may freeze the machine.
_MEMORY_SHARE = 0.6

#: ``ru_maxrss`` counts KiB, but bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Job:
    """What a process is to measure: with how many clients, with which flags, how often.

    ``url`` is that of a simulated broker's API, for the cases that need one.
    """

    clients: int
    all_flags: bool
    runs: int
    url: str


@dataclass
class Measured:
    """What one process found out.

    ``first`` and ``runs`` are CPU seconds: of the cold first run, and of each later one. ``amount``
    is how many samples (or rows) a run made. ``peak_rss`` is in bytes. ``figures`` is what else
    there is to tell, ``note`` the same in words. ``failure`` says why there are no figures.
    """

    first: float = 0.0
    runs: list[float] = field(default_factory=list)
    amount: int = 0
    peak_rss: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    note: str = ""
    failure: str = ""


def measure(
    job: Job, prepare: Callable[[int], T], step: Callable[[T], U], amount: Callable[[U], int]
) -> Measured:
    """Measure the CPU time of ``step`` alone, in all threads of this process.

    Args:
        job: how often.
        prepare: makes what a run is given, from the number of the run.
        step: what is measured.
        amount: how much of its work a run has done.
    """
    seconds: list[float] = []
    done = 0
    while len(seconds) <= job.runs and sum(seconds) < _ENOUGH_SECONDS:
        given = prepare(len(seconds))
        gc.collect()
        began = time.process_time()
        made = step(given)
        seconds.append(time.process_time() - began)
        done = amount(made)
        del given, made
    return Measured(seconds[0], seconds[1:] or seconds, done)


def resident_bytes() -> int:
    """Return how much memory this process has now (Linux), else the most that it has had."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return peak_bytes()
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def settled_bytes() -> float:
    """Return how much memory this process has once the garbage has been collected."""
    gc.collect()
    return float(resident_bytes())


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def rss_bytes(usage: resource.struct_rusage) -> int:
    """Return the peak memory in the account of a process that has ended."""
    return usage.ru_maxrss * _RSS_UNIT


def main(cases: Mapping[str, Callable[[Job], Measured]]) -> None:
    """Measure the case that the command line names; the last line on stdout is a ``Measured``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=cases)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--all-flags", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--url", default="")
    given = vars(parser.parse_args())
    case = cases[given.pop("case")]
    logging.disable()  # whatever a path under test has to say, its log is not what is measured
    _limit_memory()
    try:
        measured = case(Job(**given))
    except Exception as error:  # noqa: BLE001 (what cannot be measured is a result too)
        measured = Measured(failure=f"{type(error).__name__}: {error}".removesuffix(": ")[:200])
    measured.peak_rss = measured.peak_rss or peak_bytes()
    sys.stdout.write(f"\n{json.dumps(asdict(measured))}\n")


def _limit_memory() -> None:
    most = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _MEMORY_SHARE)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
