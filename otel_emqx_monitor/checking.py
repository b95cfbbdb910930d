"""What ``check`` does: ask EMQX once, or again and again, and print how the clients are."""

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from otel_emqx_monitor import report, statefile
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.report.screen import Screen
from otel_emqx_monitor.selection import everybody, selection_of
from otel_emqx_monitor.signals import stop_signal
from otel_emqx_monitor.statefile import NOTHING_RESTORED, Restored
from otel_emqx_monitor.text import printable
from otel_emqx_monitor.tracker import FIELDS, Habits, Tracker


def check(config: Config, output: str, *, everyone: bool) -> int:
    """Ask once, print ``table``, ``json`` or ``csv``, and return the exit code.

    Raises:
        EmqxError: EMQX could not be asked.
    """
    fleet = _asker(config, everyone=everyone)()
    now = datetime.now(UTC)
    if output == "json":
        click.echo(report.render_json(fleet, config.emqx.alias, now))
    elif output == "csv":
        # As bytes: click would take what looks like a colour out of a client id.
        click.echo(report.render_csv(fleet, now).removesuffix("\n").encode())
    else:
        click.echo("\n".join(_table(fleet, now, everyone=everyone)))
    return 0 if everyone else report.exit_code(fleet, now.timestamp())


def watch(config: Config, seconds: float, *, everyone: bool) -> int:
    """Ask every ``seconds`` and draw the table in place, until SIGINT or SIGTERM.

    Returns the exit code that the last table deserves. While EMQX cannot be asked the last table
    stays, below the reason.

    Raises:
        EmqxError: EMQX could not be asked the first time.
    """
    ask = _asker(config, everyone=everyone)
    fleet, problem = ask(), ""
    with stop_signal() as wait_for_stop, Screen(sys.stdout).open() as screen:
        due = time.monotonic()
        while True:
            now = datetime.now(UTC)
            head = f"{config.emqx.alias}, every {seconds:g} s: {now:%Y-%m-%d %H:%M:%S} UTC"
            lines = [printable(head), *([problem] if problem else [])]
            screen.draw([*lines, *_table(fleet, now, everyone=everyone)])
            due = max(due + seconds, time.monotonic())
            if wait_for_stop(due - time.monotonic()):
                break
            try:
                fleet, problem = ask(), ""
            except EmqxError as error:
                problem = f"the table is of {_clock(fleet)}: {error}"
    return 0 if everyone else report.exit_code(fleet, time.time())


def _asker(config: Config, *, everyone: bool) -> Callable[[], Fleet]:
    """Return what polls EMQX and remembers from one time to the next."""
    selection = everybody(config.emqx.alias) if everyone else selection_of(config)
    client = EmqxClient(
        config.emqx,
        FIELDS.union(report.FIELDS, ["disconnected_at"]),
        selection.ids,
        wants=selection.wants,
        deadline_seconds=config.polling.deadline_seconds,
    )
    habits = Habits(stale_after=config.stale_after_seconds)
    tracker = Tracker(selection, habits, time.time(), _remembered(config))
    return lambda: tracker.apply(client.poll())


def _remembered(config: Config) -> Restored:
    """Return what the agent has written to its state file: when each client was last seen."""
    if config.state.path is None or not (path := Path(config.state.path)).exists():
        return NOTHING_RESTORED
    try:
        return statefile.read(path)
    except (OSError, sqlite3.Error, statefile.Unusable) as error:
        text = f"cannot read the state file {path}: {error}; who was seen before is not known"
        click.echo(f"otel-emqx-monitor: {printable(text)}", err=True)
        return NOTHING_RESTORED


def _table(fleet: Fleet, now: datetime, *, everyone: bool) -> Sequence[str]:
    table = report.render_table(
        fleet,
        now,
        title_column="Client ID" if everyone else "Alias",
        color=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        encoding=sys.stdout.encoding,
    )
    noun = "clients" if everyone else "monitored"
    return [*table, report.summary(fleet, now.timestamp(), noun=noun)]


def _clock(fleet: Fleet) -> str:
    at = datetime.fromtimestamp(fleet.polled_at or 0, UTC)
    return f"{at:%H:%M:%S}"
