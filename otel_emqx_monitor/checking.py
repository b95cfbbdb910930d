"""What ``check`` does: ask EMQX once, or again and again, and print how the clients are."""

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait as wait_for_futures
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from otel_emqx_monitor import background, logs, report, statefile
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.report.screen import Frame, Screen, takes_color
from otel_emqx_monitor.selection import everybody, selection_of
from otel_emqx_monitor.signals import WaitForStop, stop_signal
from otel_emqx_monitor.statefile import NOTHING_RESTORED, Restored
from otel_emqx_monitor.text import printable
from otel_emqx_monitor.tracker import FIELDS, Habits, Tracker

#: How often it is looked whether to stop, or whether the window has another size, in seconds.
_TICK_SECONDS = 0.1


def check(config: Config, output: str, *, everyone: bool) -> int:
    """Ask once, print ``table``, ``json`` or ``csv``, and return the exit code.

    Raises:
        EmqxError: EMQX could not be asked.
    """
    fleet = _Asker(config, everyone=everyone).ask()
    now = datetime.now(UTC)
    if output == "json":
        click.echo(report.render_json(fleet, config.emqx.alias, now))
    elif output == "csv":
        # As bytes: click would take what looks like a colour out of a client id.
        click.echo(report.render_csv(fleet, now).removesuffix("\n").encode())
    else:
        click.echo("\n".join(_frame(fleet, now, [], everyone=everyone).lines))
    return 0 if everyone else report.exit_code(fleet, now.timestamp())


def watch(config: Config, seconds: float, *, everyone: bool) -> int:
    """Ask every ``seconds`` and draw the table in place, until SIGINT or SIGTERM.

    While EMQX cannot be asked the last table stays, below the reason. Returns the exit code that
    ``check`` would end with at that moment: 3 if EMQX could not be asked the last time.

    Raises:
        EmqxError: EMQX could not be asked the first time.
    """
    asker = _Asker(config, everyone=everyone)
    title = f"{config.emqx.alias}, every {seconds:g} s"
    screen = Screen(sys.stdout)
    with stop_signal() as wait_for_stop:
        due = time.monotonic()
        fleet = asker.ask_unless(wait_for_stop)
        if fleet is None:  # stopped before there was anything to show
            return EmqxError.exit_code
        asked_at = now = datetime.now(UTC)
        error: EmqxError | None = None
        with _logs_after(screen), screen.open():
            while True:
                notes = _notes(title, now, asked_at, error)
                screen.draw(_frame(fleet, asked_at, notes, everyone=everyone))
                due = max(due + seconds, time.monotonic())
                if _wait(due, wait_for_stop, screen):
                    break
                try:
                    newer = asker.ask_unless(wait_for_stop, meanwhile=screen.tend)
                except EmqxError as failure:
                    now, error = datetime.now(UTC), failure
                    continue
                if newer is None:
                    break
                fleet, error = newer, None
                asked_at = now = datetime.now(UTC)
    if error is not None:
        return error.exit_code
    return 0 if everyone else report.exit_code(fleet, time.time())


def _wait(due: float, wait_for_stop: WaitForStop, screen: Screen) -> bool:
    """Wait until ``due`` (monotonic seconds), or for a signal; return whether one has come."""
    while (left := due - time.monotonic()) > 0:
        if wait_for_stop(min(_TICK_SECONDS, left)):
            return True
        screen.tend()
    return wait_for_stop(0)


class _Asker:
    """Polls EMQX, and remembers from one time to the next."""

    def __init__(self, config: Config, *, everyone: bool) -> None:
        selection = everybody(config.emqx.alias) if everyone else selection_of(config)
        self._client = EmqxClient(
            config.emqx,
            FIELDS.union(report.FIELDS, ["disconnected_at"]),
            selection.ids,
            wants=selection.wants,
            deadline_seconds=config.polling.deadline_seconds,
        )
        habits = Habits(stale_after=config.stale_after_seconds)
        self._tracker = Tracker(selection, habits, time.time(), _remembered(config))

    def ask(self) -> Fleet:
        """Poll once; raises ``EmqxError``."""
        return self._tracker.apply(self._client.poll())

    def ask_unless(
        self, wait_for_stop: WaitForStop, *, meanwhile: Callable[[], None] = lambda: None
    ) -> Fleet | None:
        """Poll once, but return ``None`` as soon as a signal says to stop; raises ``EmqxError``."""
        asking = background.start("poll", self.ask)
        while not wait_for_futures([asking], _TICK_SECONDS).done:
            if wait_for_stop(0):
                self._client.close()
                return None
            meanwhile()
        try:
            return asking.result()
        finally:
            del asking  # its error holds this frame


def _remembered(config: Config) -> Restored:
    """Return what the agent has written to its state file: when each client was last seen."""
    if config.state.path is None:
        return NOTHING_RESTORED
    path = Path(config.state.path)
    try:
        return statefile.read(path) if path.exists() else NOTHING_RESTORED
    except (OSError, sqlite3.Error, statefile.Unusable) as error:
        text = f"cannot read the state file {path}: {error}; who was seen before is not known"
        click.echo(f"otel-emqx-monitor: {printable(text)}", err=True)
        return NOTHING_RESTORED


def _frame(fleet: Fleet, now: datetime, notes: Sequence[str], *, everyone: bool) -> Frame:
    table = report.render_table(
        fleet,
        now,
        title_column="Client ID" if everyone else "Alias",
        color=takes_color(sys.stdout),
        encoding=sys.stdout.encoding,
    )
    noun = "clients" if everyone else "monitored"
    return Frame(notes, list(table), report.summary(fleet, now.timestamp(), noun=noun))


def _notes(title: str, now: datetime, asked_at: datetime, error: EmqxError | None) -> list[str]:
    """Return what stands above the table: whose it is, and of when if that is not now."""
    notes = [f"{title}: {now:%Y-%m-%d %H:%M:%S} UTC"]
    if error is not None:
        notes.append(f"the table is of {asked_at:%H:%M:%S}: {error}")
    return list(map(printable, notes))


def _logs_after(screen: Screen) -> AbstractContextManager[None]:
    """Keep log lines from being written into what is drawn."""
    return logs.held_back() if screen.in_place and sys.stderr.isatty() else nullcontext()
