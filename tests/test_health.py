"""/healthz and /readyz over a real socket, and what they say of each state an agent can be in."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.errors import NotEmqx
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.health import health_routes, trouble_of, unready
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import MetricsServer
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.fleets import CALM, assess, connected, nothing_known, poll, snapshot
from tests.processes import settings, wait_until

WATCHED = [Watched("A", "a")]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Emqx:
    may_answer: threading.Event = field(default_factory=threading.Event)
    fails: bool = False
    polls: int = 0

    def poll(self) -> Poll:
        self.polls += 1
        self.may_answer.wait(10)
        if self.fails:
            raise NotEmqx("no")
        return poll(connected("a"))


@dataclass
class Parts:
    emqx: Emqx
    clock: Clock
    pulses: Sequence[Pulse]
    url: str

    def get(self, path: str) -> tuple[int, str]:
        answer = requests.get(self.url + path, timeout=9)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        return answer.status_code, answer.text


@contextmanager
def parts(*, scheduled: bool = False) -> Iterator[Parts]:
    emqx, clock = Emqx(), Clock()
    pulses = [Pulse("polls on the schedule", clock), Pulse("pushes to the Collector", clock)]
    cache = SnapshotCache(
        "broker",
        emqx.poll,
        lambda answered: assess(answered, WATCHED),
        nothing_known(WATCHED),
        Freshness(ttl=15, stale_after=60, scheduled=scheduled),
        clock=clock,
    )
    routes = health_routes(cache, lambda: pulses)
    server = MetricsServer(cache, PrometheusReader(cache), "127.0.0.1", 0, routes=routes)
    server.start()
    try:
        yield Parts(emqx, clock, pulses, server.url)
    finally:
        emqx.may_answer.set()
        server.stop()


def test_healthz_is_ok_while_all_loops_turn() -> None:
    with parts() as one:
        for pulse in one.pulses:
            pulse.turn(15)
        assert one.get("healthz") == (200, "ok\n")


def test_healthz_says_which_loops_have_not_turned_for_far_too_long() -> None:
    with parts() as one:
        for pulse in one.pulses:
            pulse.turn(15)
        one.clock.now += 80
        one.pulses[1].turn(15)
        assert one.get("healthz") == (
            503,
            "the loop that polls on the schedule has not turned for 80 s and should within 15 s\n",
        )
        one.clock.now += 100
        _, text = one.get("healthz")
        assert text.count("the loop that ") == 2
        assert text.count("\n") == 1


def test_healthz_does_not_ask_emqx() -> None:
    with parts() as one:
        assert one.get("healthz") == (200, "ok\n")
        assert one.emqx.polls == 0


def test_readyz_begins_a_poll_when_nobody_else_does_and_does_not_wait_for_it() -> None:
    with parts() as one:
        for _ in range(3):
            assert one.get("readyz") == (503, "no poll of EMQX has ended yet\n")
        assert one.emqx.polls == 1
        one.emqx.may_answer.set()
        wait_until(lambda: one.get("readyz") == (200, "ok\n"))


def test_on_a_schedule_readyz_leaves_polls_to_it() -> None:
    with parts(scheduled=True) as one:
        assert one.get("readyz") == (503, "no poll of EMQX has ended yet\n")
        assert one.emqx.polls == 0


def test_readyz_says_that_polls_fail() -> None:
    with parts() as one:
        one.emqx.may_answer.set()
        one.emqx.fails = True
        failed = (503, "no poll of EMQX has succeeded yet; the log says why\n")
        wait_until(lambda: one.get("readyz") == failed)


def test_readyz_says_that_the_data_are_stale() -> None:
    with parts() as one:
        one.emqx.may_answer.set()
        wait_until(lambda: one.get("readyz") == (200, "ok\n"))
        one.emqx.fails = True
        one.clock.now += 61
        stale = "EMQX has not answered for too long, so the clients are unknown; the log says why\n"
        assert one.get("readyz") == (503, stale)
        one.emqx.fails = False

        def is_well_again() -> bool:
            one.clock.now += 16  # the poll that failed may end only now: the next is due after that
            return one.get("readyz") == (200, "ok\n")

        wait_until(is_well_again)


def test_both_can_only_be_read() -> None:
    with parts() as one:
        assert requests.head(one.url + "healthz", timeout=9).status_code == 200
        assert requests.post(one.url + "healthz", timeout=9).status_code == 405
        assert requests.post(one.url + "readyz", timeout=9).status_code == 405


def test_no_loops_are_no_trouble() -> None:
    assert trouble_of([]) is None


def test_an_agent_that_remembers_an_earlier_run_is_ready_before_its_first_poll() -> None:
    now = snapshot(health=replace(CALM, up=None, last_success=None))
    nothing = replace(now, fleet=replace(now.fleet, polled_at=None, remembered_at=None))
    restored = replace(now, fleet=replace(now.fleet, polled_at=None, remembered_at=900.0))
    assert unready(nothing) == "no poll of EMQX has ended yet"
    assert unready(restored) is None


@pytest.mark.parametrize("interval", [None, 5])
def test_an_agent_has_all_of_its_loops_on_healthz(tmp_path: Path, interval: int | None) -> None:
    with Simulator(Broker(source=StaticFleet())) as simulator:
        given = settings(simulator.url, polling={"interval_seconds": interval})
        given["events"] = {"webhook": {"token": "t"}}
        given["state"] = {"path": str(tmp_path / "state.db")}
        agent = Agent(Config.model_validate(given))
        agent.start()
        try:
            schedule = ["polls on the schedule"] if interval else []
            assert [pulse.what for pulse in agent.pulses] == [
                *schedule,
                "applies events",
                "answers HTTP",
            ]
            assert requests.get(agent.url + "healthz", timeout=9).text == "ok\n"
            wait_until(lambda: requests.get(agent.url + "readyz", timeout=9).text == "ok\n")
        finally:
            agent.stop()
    assert trouble_of(agent.pulses) is None
