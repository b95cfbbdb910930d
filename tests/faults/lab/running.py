"""Takes one fault from a good begin to a good end, and sees that all of it is as it has to be."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.faults.lab.book import Book, told_by
from tests.faults.lab.devices import GONE, Devices
from tests.faults.lab.fault import Fault, Finding, Presence
from tests.faults.lab.machine import lacks
from tests.faults.lab.readers import Readers
from tests.faults.lab.stage import Stage, stage
from tests.processes import wait_until

#: A fault that leaves the agent as it is lasts for as many good polls.
_GOOD_POLLS = 4

#: One that is there from the start lasts for as many failed ones.
_FAILED_POLLS = 3


def require(fault: Fault) -> None:
    """Skip the test when the machine lacks what ``fault`` needs; fail it with REQUIRE_REAL=1."""
    for need in fault.needs:
        if lacks(need):
            lacking = f"this machine lacks {need}"
            if os.environ.get("REQUIRE_REAL") == "1":
                pytest.fail(lacking, pytrace=False)
            pytest.skip(lacking)


def run(fault: Fault, readers: Readers, folder: Path) -> Finding:
    """Run one fault and return what was found out about it.

    Raises:
        AssertionError: something is not as the entry, or the lab's rules for all, want it.
    """
    began = time.monotonic()
    readers.mend()
    with stage(fault, readers, folder) as on:
        _begin(on)
        _last(on)
        _health_fits(on)
        sums = _sums(on)
        polls = _repair(on)
        _health_fits(on)
        fault.holds(on)
        pushes = _collector_agrees(on)
        stored = _prometheus_agrees(on)
        logged = _logged(on)
        assert on.agent.stop() == 0, on.story()
        _is_honest(on, stored, logged)
    limits = (polls, fault.polls), (pushes, fault.pushes)
    late = [took for took in limits if took[1] is not None and took[0] > took[1]]
    assert not late, f"it took (polls, pushes; limits) {limits} to be right again\n{on.story()}"
    return Finding(fault, sums, logged, polls, pushes, time.monotonic() - began)


def _begin(on: Stage) -> None:
    """Bring about the fault, under a good agent if it is not one that is there from the start."""
    on.fault.before(on)
    if on.fault.at_start:
        on.devices.end(GONE)
        on.fault.begin(on)
        on.start_agent()
        return
    on.start_agent()
    on.until(lambda: on.is_right, "the agent begins well")
    on.devices.end(GONE)
    on.devices.hush()
    on.until(lambda: on.is_right, "the agent goes on well")
    on.forget()
    on.fault.begin(on)


def _last(on: Stage) -> None:
    """Let the fault last, with all fates of the devices in the middle of it."""
    lasted = on.fault.lasts or _has_shown
    for _ in range(3):
        on.devices.tick()
        on.look()
    on.devices.turn()
    on.until(lambda: lasted(on), f"the fault shows: {on.fault.name}", tick=True)


def _has_shown(on: Stage) -> bool:
    """Whether the expositions have come to what the entry says, and not only for a moment."""
    if on.fault.presence is Presence.UNSERVED:
        return on.known[-1] is None
    if on.fault.presence is Presence.GOES_ON:
        return len(on.good_polls) > _GOOD_POLLS and on.up == on.fault.up
    if on.fault.presence is Presence.UNKNOWN and on.failed_polls < _FAILED_POLLS:
        return False
    if on.fault.presence is Presence.PARTLY:
        nodes = frozenset(on.devices.ids) - on.elsewhere
        return on.known[-1] == nodes and on.up == on.fault.up
    return on.known[-1] == frozenset() and on.up == on.fault.up


def _sums(on: Stage) -> str:
    """Return, for people, what the last exposition says of the counters of clients."""
    if on.seen is None:
        return "no answer"
    told = told_by(on.seen.samples, on.fault.name, on.devices.ids)
    if not any(told.counters.values()):
        return "none"
    return "go on" if on.known[-1] else "the last good ones"


def _health_fits(on: Stage) -> None:
    """See that the endpoints for probes say what the last exposition says."""
    if on.seen is None:
        return
    asked = [requests.get(on.agent.url + path, timeout=5) for path in ("healthz", "readyz")]
    expected = [200, 503 if on.known[-1] == frozenset() else 200]
    assert [one.status_code for one in asked] == expected, [one.text for one in asked]


def _repair(on: Stage) -> int:
    """Undo the fault and return how many polls it took until everything was right.

    Where scrapes were not answered, or another agent was started, they count from the first answer.
    """
    if on.fault.at_start:
        on.devices.begin_anew()
    on.look()
    before, lives = on.seen, len(on.lives)
    failed, good = on.failed_polls, len(on.good_polls)
    on.fault.repair(on)
    on.until(on.look, "scrapes are answered")
    on.notes["pushes"] = on.pushes
    if before is None or len(on.lives) > lives:
        failed = on.failed_polls
    on.until(lambda: on.is_right, "everything is right again")
    return int(on.failed_polls - failed) + len(on.good_polls) - good


def _collector_agrees(on: Stage) -> int:
    """Wait until the Collector has come to the truth; return how many pushes that took."""

    def collected() -> bool:
        on.look_at_the_collector()
        return on.collected.agrees(on.devices)

    _wait(collected, on.collected.lacking, on)
    on.look()
    return on.pushes - int(on.notes["pushes"])


def _prometheus_agrees(on: Stage) -> Book:
    """Wait until Prometheus has come to the truth; return its book."""

    def stored() -> Book:
        book = Book("Prometheus")
        for samples in on.readers.scraped(on.fault.name):
            book.note(told_by(samples, on.fault.name, on.devices.ids))
        return book

    _wait(lambda: stored().agrees(on.devices), lambda devices: stored().lacking(devices), on)
    return stored()


def _logged(on: Stage) -> list[str]:
    """Return the lines of the log, when the last of those that the entry wants has come.

    A file may be written again only after everybody has seen what it is to hold.
    """

    def lines() -> list[str]:
        return list(dict.fromkeys(_line(event) for event in on.log if _matters(event)))

    with suppress(AssertionError):  # what is missing is told with all the others
        wait_until(lambda: len(lines()) >= len(on.fault.says))
    return lines()


def _wait(
    condition: Callable[[], bool], lacking: Callable[[Devices], list[str]], on: Stage
) -> None:
    try:
        wait_until(condition)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *lacking(on.devices), on.story()])) from error


def _is_honest(on: Stage, stored: Book, logged: list[str]) -> None:
    books = on.book, on.collected, stored
    wrongs = [line for book in books for line in book.wrongs(on.devices)]
    assert not wrongs, "\n".join([*wrongs, on.story()])
    words = on.fault.says
    as_wanted = len(words) == len(logged) and all(
        word in line for word, line in zip(words, logged, strict=True)
    )
    assert as_wanted, "\n".join(["the log is not", *words, "it is", *logged])


def _matters(event: dict[str, str]) -> bool:
    usual = ("serving the metrics", "pushing the metrics", "stopping")
    return not event["message"].startswith(usual) and "are remembered in" not in event["message"]


def _line(event: dict[str, str]) -> str:
    return f"{event['level']}: {event['message']}"
