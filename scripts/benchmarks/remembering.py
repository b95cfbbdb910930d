"""The cases of an agent that remembers: poll after poll, of which each phase is measured apart.

The clock goes by the poll, so that 200 polls are 50 minutes in the life of the agent.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import count
from math import isnan
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.churning import BEGAN, TURN_SECONDS
from benchmarks.fleet import BROKER, flags
from benchmarks.measuring import Job, Measured, main, settled_bytes
from benchmarks.processes import churning
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.fleet import Counted, Fleet
from otel_emqx_monitor.instruments import counted_by, fields_for
from otel_emqx_monitor.selection import selection_of
from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.tracker import Habits, Tracker

#: For how many polls who is gone is remembered.
REMEMBERED_FOR = 8

#: After so many polls as many clients are forgotten as come.
EARLY = 10

#: The first polls, which decide about patterns, and fill the file.
_COLD = 3


def live(job: Job) -> Measured:
    """Polls of which nothing is remembered but who was there."""
    return _polls(job, None, lambda _: None, churn=True)


def cumulative(job: Job) -> Measured:
    """Polls whose counters are summed up and written to a file."""
    return _written_polls(job, churn=True)


def steady(job: Job) -> Measured:
    """The same of a broker whose clients all stay; their counters move."""
    return _written_polls(job, churn=False)


def _written_polls(job: Job, *, churn: bool) -> Measured:
    counted = counted_by(flags(everything=job.all_flags))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        store = Store(path, counted)
        store.open()
        measured = _polls(job, counted, store.save, churn=churn)
        log_bytes = path.with_name("state.db-wal").stat().st_size
        measured.figures |= {"file": path.stat().st_size, "log": log_bytes}
        store.close()
    if store.write_errors:
        raise RuntimeError(f"{store.write_errors} polls were not written")
    return measured


def _polls(
    job: Job, counted: Counted | None, save: Callable[[Fleet], None], *, churn: bool
) -> Measured:
    """Make ``job.runs`` polls; the figures of phases are medians of CPU seconds, or of bytes."""
    costs: list[_Cost] = []
    figures = {"polls": float(job.runs)}
    with churning(job.clients, churn=churn) as url:
        poll = _agent(job, url, counted, save)
        while len(costs) < job.runs:
            costs.append(poll())
            if len(costs) == min(EARLY, job.runs):
                figures["early"] = settled_bytes()
            if len(costs) == job.runs // 2:
                figures["half way"] = settled_bytes()
        figures["at the end"] = settled_bytes()
    warm = costs[_COLD:] or costs
    medians = {name: median(getattr(one, name) for one in warm) for name in _Cost._fields}
    figures |= {name: value for name, value in medians.items() if not isnan(value)}
    return Measured(costs[0].seconds, [one.seconds for one in warm], job.clients, figures=figures)


class _Cost(NamedTuple):
    """CPU seconds of the phases of one poll, the bytes it wrote, and the clients it remembers."""

    ask: float
    track: float
    write: float
    written: float
    remembered: float

    @property
    def seconds(self) -> float:
        return self.ask + self.track + self.write


def _agent(
    job: Job, url: str, counted: Counted | None, save: Callable[[Fleet], None]
) -> Callable[[], _Cost]:
    """Return what makes a poll, as an agent that watches everybody."""
    config = _config(job, url)
    selection = selection_of(config)
    turns = count()
    client = EmqxClient(
        config.emqx,
        fields_for(flags(everything=job.all_flags)),
        selection.ids,
        wants=selection.wants,
        deadline_seconds=600,
        clock=lambda: BEGAN + next(turns) * TURN_SECONDS,
    )
    habits = Habits(counted, forget_after=config.forget_after_seconds)
    tracker = Tracker(selection, habits, BEGAN)

    def poll() -> _Cost:
        began = time.process_time()
        answered = client.poll()
        asked = time.process_time()
        fleet = tracker.apply(answered)
        tracked = time.process_time()
        before = _bytes_written()
        save(fleet)
        saved = time.process_time()
        written = _bytes_written() - before
        return _Cost(asked - began, tracked - asked, saved - tracked, written, len(fleet.clients))

    return poll


def _config(job: Job, url: str) -> Config:
    access = {"api_url": url, "api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}
    return Config.model_validate(
        {
            "emqx": {**access, "alias": BROKER, "timeout_seconds": 60},
            "monitored_clients": "all",
            "max_clients": 2 * job.clients,  # else nobody who is gone would find room
            "forget_after_seconds": (REMEMBERED_FOR - 0.5) * TURN_SECONDS,
        }
    )


def _bytes_written() -> float:
    """Return what this process has written so far (Linux), to the disk or to anything else."""
    try:
        account = Path("/proc/self/io").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    [written] = (line.partition(": ")[2] for line in account.splitlines() if line[:5] == "wchar")
    return float(written)


if __name__ == "__main__":
    main({"live": live, "cumulative": cumulative, "steady": steady})
