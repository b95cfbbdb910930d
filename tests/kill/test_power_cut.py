"""Power that fails: what was written last may be missing, in part or as a whole."""

import logging
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from otel_emqx_monitor.epochs import begin
from otel_emqx_monitor.fleet import Client, Counted, Fleet, Memory, State, Watched
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import Restored

COUNTED = Counted(("recv_msg",), ())
CLIENTS = 300
POLLS = 40


def fleet(number: int) -> Fleet:
    """Return the fleet after poll ``number``, in which every count is the number of the poll."""
    clients = []
    for place in range(CLIENTS):
        memory = Memory(1.0, connection=begin(None, (number,), 1.0))
        watched = Watched(f"{place}", f"client-{place:03}", "broker")
        clients.append(Client(watched, State.ABSENT, memory))
    return Fleet(tuple(clients), float(number), float(number), COUNTED)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the file of an agent whose machine went down after some polls."""
    folder = tmp_path_factory.mktemp("crashed")
    running = folder / "running"
    running.mkdir()
    store = Store(running / "state.db", COUNTED)
    store.open()
    for number in range(POLLS):
        store.save(fleet(number))
    for name in ("state.db", "state.db-wal"):
        shutil.copy(running / name, folder / name)
    store.close()
    return folder


def cuts(size: int, seed: int, times: int) -> Iterator[int]:
    """Yield places to cut a file at: the ends, and some between."""
    yield from (0, 1, 31, 32, size - 1, size)
    chance = random.Random(seed)  # noqa: S311 - the same cuts for the same seed
    yield from chance.choices(range(size), k=times)


def reopened(crashed: Path, folder: Path, cut: str, place: int) -> Restored:
    """Return what comes back when the file ``cut`` ends at ``place``; a poll follows that."""
    shutil.copytree(crashed, folder, ignore=shutil.ignore_patterns("running"))
    with (folder / cut).open("r+b") as file:
        file.truncate(place)
    store = Store(folder / "state.db", COUNTED, patience=0)
    try:
        restored = store.open()
        store.save(fleet(POLLS))
        assert store.write_errors == 0
    finally:
        store.close()
    return restored


def polls_in(restored: Restored) -> Sequence[int]:
    """Return the polls that what is restored comes from."""
    tallies = [one.memory.connection for one in restored.clients]
    return sorted({one.spell.counts[0] or 0 for one in tallies if one is not None})


def test_a_log_that_was_cut_short_gives_what_is_whole_or_is_set_aside(
    crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = (crashed / "state.db-wal").stat().st_size
    older = 0
    for number, place in enumerate(cuts(size, seed=5, times=60)):
        caplog.clear()
        folder = tmp_path / str(number)
        restored = reopened(crashed, folder, "state.db-wal", place)
        aside = list(folder.glob("*unusable-*[Z]"))
        told = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
        if aside:
            assert not restored.clients, place
            assert [str(aside[0]) in one for one in told] == [True], place
        else:
            assert not told, place
            assert len(restored.clients) in {0, CLIENTS}, place
            assert len(polls_in(restored)) <= 1, f"a mixture after a cut at {place}"
        older += bool(restored.clients) and polls_in(restored) != [POLLS - 1]
    assert older, "no cut gave older memory"


def test_a_file_that_was_cut_short_is_set_aside_or_gives_what_is_whole(
    crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = (crashed / "state.db").stat().st_size
    for number, place in enumerate(cuts(size, seed=6, times=30)):
        caplog.clear()
        folder = tmp_path / str(number)
        restored = reopened(crashed, folder, "state.db", place)
        told = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
        assert bool(list(folder.glob("*unusable-*[Z]"))) is bool(told), place
        assert len(restored.clients) in {0, CLIENTS}, place
