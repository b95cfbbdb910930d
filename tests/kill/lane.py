"""An agent that is killed and started again and again, on one state file, under load.

It is given its polls by a simulated broker, so that it is known what every one of them said. When
the agent is killed, all polls before the last one that it was given are finished: polls do not
overlap. The last one may be, or may not be; what comes back has to be exactly one of the two.
"""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import requests

from otel_emqx_monitor.simulator import Answer, Broker, Simulator, StaticFleet
from tests.kill.world import Row, Sums, Truth, World, sums_in
from tests.processes import (
    PATIENCE_SECONDS,
    Serving,
    settings,
    starting,
    wait_until,
    write_config,
)

#: Seconds between two polls, and clients; a poll takes some 20 ms and a third of that is the write.
INTERVAL_SECONDS = 0.05
CLIENTS = 400


class Given:
    """What one life of the agent is given: every poll another step of the world.

    Polls are held back until ``gate`` is set.
    """

    def __init__(self, world: World, fleet: StaticFleet) -> None:
        self.gate = threading.Event()
        self.polls: list[list[Row]] = []
        self.over = False
        self._world = world
        self._fleet = fleet

    def before_answer(self, target: str) -> Answer | None:
        if "/clients" in target and self.gate.wait(PATIENCE_SECONDS) and not self.over:
            rows = self._world.step()
            self._fleet.replace(rows)
            self.polls.append(rows)
        return None


class Lane:
    """One agent's lives, the world it watches, and what may be in its file.

    ``finished`` and ``lost`` count the last polls before a kill that turned out to be in the file,
    and those that did not.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same kills for the same seed
        self._world = World(seed, CLIENTS)
        self._fleet = StaticFleet()
        self._broker = Simulator(Broker(source=self._fleet))
        self._folder = folder
        self._may_be = [Truth()]
        self._exported: dict[tuple[str, str, str], int] = {}
        self._startup_seconds = 0.5
        self.finished = self.lost = 0

    def be_killed(self) -> None:
        """Live one life and be killed at some moment of it: a third of them while starting."""
        if self._random.random() < 1 / 3:
            self._be_killed_while_starting()
        else:
            self._be_killed_at_work()

    def _be_killed_while_starting(self) -> None:
        with self._life() as (_, given):
            given.gate.set()
            time.sleep(self._random.uniform(0, 1.3 * self._startup_seconds))

    def _be_killed_at_work(self) -> None:
        began = time.monotonic()
        with self._life() as (agent, given):
            assert agent.url
            self._startup_seconds = time.monotonic() - began
            self._settle(self._scraped(agent.url))
            polls = self._random.randint(1, 4)
            delay = self._random.uniform(0, 1.2 * INTERVAL_SECONDS)
            with self._scraping(agent.url) if self._random.random() < 0.5 else nullcontext():
                given.gate.set()
                wait_until(lambda: len(given.polls) >= polls)
                time.sleep(delay)
                agent.stop(signal.SIGKILL)

    def live_undisturbed(self) -> None:
        """Start a last time: the file and one more poll have to be all that is true."""
        with self._life() as (agent, given):
            [truth] = self._settle(self._scraped(agent.url))
            given.gate.set()
            wait_until(lambda: given.polls)
            given.gate.clear()
            wait_until(lambda: self._scraped(agent.url) == truth.and_polls(given.polls).sums)

    @contextmanager
    def _life(self) -> Iterator[tuple[Serving, Given]]:
        """Run the agent and kill it at the end of the block."""
        given = Given(self._world, self._fleet)
        self._broker.before_answer = given.before_answer
        with self._broker:
            try:
                with starting("prometheus", "--cfg", self._config()) as agent:
                    yield agent, given
            finally:
                given.over = True
                given.gate.set()
        self._note(given.polls)
        self._look_at(agent)

    def _note(self, polls: list[list[Row]]) -> None:
        """Note what may be in the file after a life with these polls."""
        for number, poll in enumerate(polls, 1):
            grown = [one.and_polls([poll]) for one in self._may_be]
            self._may_be = self._may_be + grown if number == len(polls) else grown

    def _settle(self, restored: Sums) -> list[Truth]:
        """Find out which of what may be in the file it is."""
        found = [one for one in self._may_be if one.sums == restored]
        assert found, f"restored is nothing that may be: {self._difference(restored)}"
        if len(self._may_be) > 1:
            self.lost += found[0] is self._may_be[0]
            self.finished += found[0] is self._may_be[-1]
        self._may_be = found[:1]
        return self._may_be

    def _difference(self, restored: Sums) -> list[object]:
        """Return some series that differ from each of what may be."""
        return [
            [
                (series, value, one.sums.get(series))
                for series, value in restored.items()
                if one.sums.get(series) != value
            ][:5]
            or f"{len(one.sums)} series, {len(restored)} restored"
            for one in self._may_be
        ]

    def _scraped(self, url: str) -> Sums:
        """Scrape, and see that no series has fallen or ended since any earlier scrape."""
        answer = requests.get(url + "metrics", timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200, answer.text
        sums = sums_in(answer.text)
        fallen = {
            series: (before, sums.get(series))
            for series, before in self._exported.items()
            if sums.get(series, -1) < before
        }
        assert not fallen, f"series have fallen or ended: {list(fallen.items())[:5]}"
        self._exported.update(sums)
        return sums

    @contextmanager
    def _scraping(self, url: str) -> Iterator[None]:
        """Scrape all the time until the agent is dead."""
        failures: list[AssertionError] = []

        def scrape() -> None:
            try:
                with suppress(requests.RequestException):
                    while True:
                        self._scraped(url)
            except AssertionError as error:
                failures.append(error)

        scraper = threading.Thread(target=scrape)
        scraper.start()
        try:
            yield
        finally:
            scraper.join(PATIENCE_SECONDS)
        assert not failures, failures

    def _look_at(self, agent: Serving) -> None:
        """See that the agent had nothing to complain about, and set nothing aside."""
        # The last line may be cut short by the kill.
        complaints = [line for line in agent.stderr if '"level": "error"' in line]
        assert not complaints, complaints
        aside = list(self._folder.glob("*unusable*"))
        assert not aside, aside

    def _config(self) -> str:
        config = settings(
            self._broker.url,
            polling={"interval_seconds": INTERVAL_SECONDS},
            prometheus={"enable_connection_counters": True, "enable_queue_metrics": True},
        )
        path = str(self._folder / "state.db")
        own = {"monitored_clients": "all", "counters": "cumulative", "state": {"path": path}}
        return write_config(self._folder, config | own)
