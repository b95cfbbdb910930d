"""kill -9 at random moments, and a new start: no counter falls, nothing that was told is lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kill.lane import Lane

#: The seeds of the agents that live side by side; a failure names the one that it happened to.
SEEDS = (1, 2)
KILLS = 100 // len(SEEDS)


def live_and_die(folder: Path, seed: int) -> Lane:
    folder.mkdir()
    lane = Lane(folder, seed)
    for number in range(KILLS):
        try:
            lane.be_killed()
        except BaseException as error:
            error.add_note(f"seed {seed}, kill {number}")
            raise
    lane.live_undisturbed()
    return lane


def test_100_kills_lose_nothing_but_polls_that_were_not_finished(tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        lanes = [pool.submit(live_and_die, tmp_path / str(seed), seed) for seed in SEEDS]
    for lane in lanes:
        found = lane.result()
        assert found.finished, "no kill came after a write"
        assert found.lost, "no kill came before a write"
