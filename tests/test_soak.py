"""The soak finds what it is there to find, and does not cry when nothing is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from soaking import chart
from soaking.account import Run, verdicts
from soaking.judging import trend
from soaking.lateness import Late, Poll, lateness
from soaking.plan import KINDS, LONGEST, SLOT, Fault, is_calm, plan
from soaking.sampling import Sample, read
from soaking.watching import Counters, Differences, differences, unexpected

ROOT = Path(__file__).parents[1]
MIB = 2**20
SECONDS, INTERVAL = 1800.0, 3.0
NONE = Differences([], [], 0, [])
LESS, MORE = "rx a-1: 3, really 4", "rx a-1: 5, really 4"
WRONG = "a-1: connected, shown as not"
TIMES = [number * INTERVAL for number in range(600)]


def noise(size: float, seed: int = 7) -> Callable[[float], float]:
    """Return noise with a spike in every twentieth value."""
    random = Random(seed)  # noqa: S311 - has to be repeatable, guards nothing
    return lambda _: random.gauss(0, size) + (random.random() < 0.05) * 50 * size


# Trends


def test_a_line_is_a_trend_of_all_that_it_rises() -> None:
    found = trend(TIMES, [100 + at / 100 for at in TIMES])
    assert found is not None
    assert found.grown == pytest.approx(17.97)


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_spikes_and_steps_that_are_undone_are_no_trend(seed: int) -> None:
    noisy = noise(1.0, seed)
    found = trend(TIMES, [100 + noisy(at) + 30 * (600 < at < 900) for at in TIMES])
    assert found is not None
    assert abs(found.grown) < 1.0


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_rise_is_found_beneath_noise_and_spikes(seed: int) -> None:
    noisy = noise(5.0, seed)
    found = trend(TIMES, [100 + noisy(at) + 10 * at / SECONDS for at in TIMES])
    assert found is not None
    assert 6.0 < found.grown < 14.0


def test_few_values_are_no_trend() -> None:
    assert trend(TIMES[:8], [1.0] * 8) is None


# Lateness


def test_polls_on_their_grid_are_on_time_and_those_off_it_late() -> None:
    begins = [0.5, 3.5, 7.0, 9.5, 18.5]
    assert lateness([Poll(at, 0, calm=True) for at in begins], INTERVAL) == [
        Late(0.5, 0.0, 0, calm=True),
        Late(3.5, 0.0, 0, calm=True),
        Late(7.0, 0.5, 0, calm=True),
        Late(9.5, 0.0, 0, calm=True),
        Late(18.5, 0.0, 2, calm=True),
    ]


def test_polls_after_a_fault_are_not_missed() -> None:
    polls = [Poll(0.5, 0, calm=False), Poll(9.5, 0, calm=True)]
    assert [one.missed for one in lateness(polls, INTERVAL)] == [0, 0]


def test_a_reload_begins_another_grid() -> None:
    begins = [(0.0, 0), (3.0, 0), (6.0, 0), (8.0, 1), (11.0, 1)]
    found = lateness([Poll(at, reloads, calm=True) for at, reloads in begins], INTERVAL)
    assert [one.seconds for one in found] == [0.0] * 5


# The verdicts of a whole run


def sample(at: float) -> Sample:
    return Sample(
        at=at, calm=True, rss=100 * MIB, anonymous=80 * MIB, pss=85 * MIB, fds=22, threads=11,
        cpu_seconds=at / 10, state=4 * MIB, lines=int(at / 10), answer=900_000, scrape_seconds=0.02,
    )  # fmt: skip


def run_of(change: Callable[[Sample], Sample] = lambda one: one) -> Run:
    return Run(
        seconds=SECONDS,
        interval=INTERVAL,
        faults=plan(1, SECONDS, INTERVAL, list(KINDS)),
        samples=[change(sample(at)) for at in TIMES],
        polls=[Late(at + 0.4, 0.002, 0, calm=True) for at in TIMES],
        failed_scrapes=[],
        fallen=[],
        unexpected=[],
        clients=4000,
        posted=90_000,
        lost_posts=0,
        untold=40,
        differences=NONE,
    )


def failures(run: Run) -> list[str]:
    return [one.what.partition(":")[0] for one in verdicts(run) if not one.good]


def test_a_noisy_run_in_which_nothing_grows_passes() -> None:
    noisy = noise(0.5)
    assert failures(run_of(lambda one: replace(one, rss=one.rss + int(noisy(0) * MIB)))) == []


def test_what_grows_while_it_warms_up_passes() -> None:
    def warming(one: Sample) -> Sample:
        return replace(one, rss=int((60 + 40 * min(1, one.at / 600)) * MIB))

    assert failures(run_of(warming)) == []


def risen(one: Sample, most: float) -> int:
    return int(most * one.at / SECONDS)


@pytest.mark.parametrize(
    "leak, found",
    [
        pytest.param(
            lambda one: replace(one, rss=one.rss + risen(one, 9 * MIB)), "RSS", id="9 MiB of RSS"
        ),
        pytest.param(
            lambda one: replace(one, anonymous=one.anonymous + risen(one, 9 * MIB)),
            "anonymous memory",
            id="9 MiB of the heap",
        ),
        pytest.param(
            lambda one: replace(one, fds=one.fds + risen(one, 5)),
            "file descriptors",
            id="5 descriptors",
        ),
        pytest.param(
            lambda one: replace(one, threads=one.threads + risen(one, 4)), "threads", id="4 threads"
        ),
        pytest.param(
            lambda one: replace(one, state=one.state + risen(one, MIB)), "state file", id="the file"
        ),
        pytest.param(
            lambda one: replace(one, answer=one.answer + risen(one, 300_000)),
            "answer to a scrape",
            id="series that stay",
        ),
        pytest.param(
            lambda one: replace(one, scrape_seconds=0.02 + one.at / 2000),
            "time of a scrape",
            id="slower scrapes",
        ),
        pytest.param(
            lambda one: replace(one, lines=int(one.at)), "lines in the log", id="lines of each poll"
        ),
    ],
)
def test_a_leak_over_half_an_hour_is_found(leak: Callable[[Sample], Sample], found: str) -> None:
    assert failures(run_of(leak)) == [found]


def test_a_run_is_judged_in_the_same_way_after_it_has_been_saved_and_loaded() -> None:
    run = run_of(lambda one: replace(one, fds=one.fds + risen(one, 5)))
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_a_leak_is_found_beneath_noise_of_its_size() -> None:
    noisy = noise(4.0)
    leak = run_of(
        lambda one: replace(one, rss=one.rss + risen(one, 12 * MIB) + int(noisy(0) * MIB))
    )
    assert failures(leak) == ["RSS"]


def test_polls_that_get_later_from_poll_to_poll_are_found() -> None:
    run = replace(run_of(), polls=[Late(at + 0.4, at / 3 * 0.001, 0, calm=True) for at in TIMES])
    assert failures(run) == ["lateness of polls"]


def test_polls_that_are_left_out_are_found() -> None:
    run = replace(run_of(), polls=[Late(at + 0.4, 0.0, 1, calm=True) for at in TIMES[::2]])
    assert failures(run) == ["… calm ones left out"]


@pytest.mark.parametrize(
    "change, found",
    [
        ({"failed_scrapes": ["at 3 s: timed out"]}, "failed scrapes"),
        ({"lost_posts": 1}, "events that the agent did not take"),
        ({"fallen": ["x fell from 2 to 1"]}, "counters that fell"),
        ({"unexpected": ["Traceback"]}, "unexpected lines in the log"),
        ({"differences": replace(NONE, exact=[LESS])}, "sums that differ from the truth"),
        ({"differences": replace(NONE, high=[MORE])}, "sums above the truth"),
        ({"differences": replace(NONE, missing=121)}, "missing of clients whose node died"),
        ({"differences": replace(NONE, presence=[WRONG])}, "clients shown as what they are not"),
        ({"samples": [sample(1.0)]}, "RSS"),
    ],
)
def test_one_thing_that_may_never_happen_is_enough(change: dict[str, Any], found: str) -> None:
    assert failures(replace(run_of(), **change))[0] == found


# What is watched on the way


def exposition(*lines: str) -> str:
    return "\n".join(["# TYPE emqx_client_monitor_messages_processed_total counter", *lines, ""])


MESSAGES = 'emqx_client_monitor_messages_processed_total{client_id="a-1",direction="rx"}'


def test_a_counter_that_falls_is_found_also_after_a_pause() -> None:
    counters = Counters()
    for lines in ([f"{MESSAGES} 5"], [], [f"{MESSAGES} 4"], [f"{MESSAGES} 9"]):
        counters.see(read(exposition(*lines)))
    assert counters.fallen == [f"{MESSAGES} fell from 5 to 4"]
    assert counters.figures == {"rx a-1": 9.0}


def test_figures_add_up_reasons_and_show_who_is_connected() -> None:
    name = "emqx_client_monitor_disconnections_total"
    shown = read(
        f"# TYPE {name} counter\n"
        f'{name}{{client_id="a-1",reason="normal"}} 2\n'
        f'{name}{{client_id="a-1",reason="kicked"}} 1\n'
        "# TYPE emqx_client_monitor_connected gauge\n"
        'emqx_client_monitor_connected{alias="x",client_id="a-1"} 1\n'
        'emqx_client_monitor_connected{alias="y",client_id="a-2"} 0\n'
    )
    assert shown.figures() == {"disconnections a-1": 3.0}
    assert shown.connected() == {"a-1"}


def test_only_who_may_differ_from_the_truth_does() -> None:
    truth = {"rx a-1": 4.0, "rx b-1": 4.0, "rx visit-1": 4.0, "rx zz-1": 4.0}
    figures = {"rx a-1": 4.0, "rx b-1": 2.0, "rx visit-1": 3.0}
    found = differences(figures, truth, {"a-1", "a-2"}, {"a-1", "a-3"})
    assert found.exact == ["rx visit-1: 3, really 4"]
    assert found.missing == 2
    assert found.presence == ["a-2: connected, shown as not", "a-3: not connected, shown as such"]
    assert differences({"rx zz-1": 5.0}, truth, set(), set()).high == ["rx zz-1: 5, really 4"]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("Traceback (most recent call last):", False),
        ("[]", False),
        ({"logger": "cache", "message": "EMQX timed out; trying again until it works"}, True),
        ({"logger": "state", "message": "disk full; trying again until it works"}, False),
        ({"logger": "cache", "message": "EMQX answers again after", "exception": "x"}, False),
        ({"logger": "stranger", "message": "EMQX answers again after 3 s"}, False),
    ],
)
def test_lines_that_nobody_expects_are_found(line: str | dict[str, str], expected: bool) -> None:
    if isinstance(line, dict):
        line = json.dumps({**line, "logger": f"otel_emqx_monitor.{line['logger']}"})
    assert unexpected([line]) == ([] if expected else [line])


# Plan and figure


def test_a_seed_makes_the_same_plan_and_each_kind_happens_before_any_happens_again() -> None:
    kinds = list(KINDS)
    faults = plan(1, SECONDS, INTERVAL, kinds)
    assert faults == plan(1, SECONDS, INTERVAL, kinds)
    assert faults != plan(2, SECONDS, INTERVAL, kinds)
    assert len(faults) == 48
    assert {one.kind for one in faults[: len(kinds)]} == set(kinds)
    warm = SECONDS / 3
    assert {one.kind for one in faults if one.end < warm} == set(kinds), "else more is warming up"


def test_the_page_tells_of_every_kind_of_fault() -> None:
    page = (ROOT / "docs" / "soak.md").read_text(encoding="utf-8")
    assert [kind for kind, words in KINDS.items() if f"| {kind} | {words} |" not in page] == []


def test_between_two_faults_there_is_calm() -> None:
    faults = plan(1, SECONDS, INTERVAL, list(KINDS))
    for fault, following in pairwise(faults):
        assert fault.end + LONGEST * INTERVAL < following.begin
        assert is_calm(following.begin - 0.1, faults, INTERVAL)
        assert not is_calm(fault.end + 0.1, faults, INTERVAL)
    assert faults[0].begin >= SLOT * INTERVAL


def test_the_figure_is_an_svg_with_a_row_for_each_kind_of_fault() -> None:
    faults = [Fault("hang", 40, 50), Fault("crowd", 80, 90), Fault("hang", 120, 130)]
    figure = ET.fromstring(chart.draw(replace(run_of(), faults=faults)))  # noqa: S314 (made here)
    svg = "{http://www.w3.org/2000/svg}"
    texts = [one.text for one in figure.iter(f"{svg}text")]
    assert texts.count("hang") == 1
    assert texts.count("crowd") == 1
    assert sum(one.get("class") == "bar" for one in figure.iter(f"{svg}rect")) == 3


# The whole, for some seconds


def soak(folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "soaking", "0.2", "--interval", "0.3", "--clients", "20"),
            *("--figure", str(folder / "soak.svg"), *options),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def test_an_agent_passes_and_one_that_leaks_fails(tmp_path: Path) -> None:
    (tmp_path / "leaking").mkdir()
    with (
        soak(tmp_path) as sound,
        soak(tmp_path / "leaking", "--agent", "tests.leaking") as leaking,
    ):
        table, complaints = sound.communicate(timeout=300)
        found = leaking.communicate(timeout=300)[1]
    assert sound.returncode == 0, table + complaints
    assert "| sums that differ from the truth | 0 | none |  |" in table
    assert (tmp_path / "soak.svg").read_text().startswith("<svg")
    assert leaking.returncode == 1
    for what in ("RSS", "anonymous memory", "file descriptors", "threads"):
        assert f"soak: {what}: median at first" in found
