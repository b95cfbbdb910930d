from collections import Counter
from dataclasses import replace

import pytest

from otel_emqx_monitor.simulator import Disorder, Script
from otel_emqx_monitor.simulator.disorder import Disordered
from otel_emqx_monitor.simulator.emission import Emission

START_MS = 1_790_000_000_000
START = START_MS / 1000
EVENTS = [Emission(START_MS + number, "x", {"number": number}) for number in range(10_000)]
LATE = START + 1000


def arrivals(disorder: Disorder, now: float = LATE) -> list[int]:
    way = Disordered(disorder)
    for event in EVENTS:
        way.put(event)
    return [int(str(event.columns["number"])) for event in way.due(now)]


def test_without_accidents_everything_arrives_once_in_order() -> None:
    assert arrivals(Disorder()) == list(range(10_000))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_wanted_part_is_lost_or_doubled(seed: int) -> None:
    way = Disordered(Disorder(seed=seed, lose=0.05, double=0.05))
    for event in EVENTS:
        way.put(event)
    counts = Counter(event.at_ms for event in way.due(LATE))
    # Five standard deviations of a binomial: 5 * sqrt(10,000 * 0.05 * 0.95) is 109.
    assert way.lost == 10_000 - len(counts) == pytest.approx(500, abs=109)
    assert way.doubled == sum(count == 2 for count in counts.values())
    assert way.doubled == pytest.approx(475, abs=109)
    assert set(counts.values()) == {1, 2}


def test_everything_arrives_within_the_bounds_of_delay_and_disorder() -> None:
    way = Disordered(Disorder(delay_seconds=1.0, reorder_seconds=2.0))
    way.put(EVENTS[0])
    assert way.due(START + 1 - 0.001) == []
    assert way.due(START + 3) == [EVENTS[0]]
    shuffled = arrivals(Disorder(reorder_seconds=2.0))
    assert sorted(shuffled) == list(range(10_000))
    displaced = [abs(place - number) for place, number in enumerate(shuffled)]
    assert 1000 < max(displaced) <= 2000  # events come 1 ms apart, so a place is a millisecond
    assert sum(displaced) / len(displaced) > 400


def test_same_seed_gives_the_same_accidents_and_another_one_others() -> None:
    chaos = Disorder(seed=7, lose=0.1, double=0.1, reorder_seconds=1.0)
    first = arrivals(chaos)
    assert arrivals(chaos) == first
    assert arrivals(replace(chaos, seed=8)) != first


def test_one_kind_of_accident_leaves_the_others_as_they_are() -> None:
    lossy = set(arrivals(Disorder(seed=7, lose=0.1)))
    assert set(arrivals(Disorder(seed=7, lose=0.1, double=0.5, reorder_seconds=2.0))) == lossy


def test_dead_source_loses_all_events_of_that_time() -> None:
    expected = [*range(2000), *range(3000, 10_000)]
    assert arrivals(Disorder(dead=[(START + 2, START + 3)])) == expected


def test_what_is_late_waits() -> None:
    way = Disordered(Disorder(reorder_seconds=2.0))
    for event in EVENTS[:100]:
        way.put(event)
    before = len(way.due(START + 1))
    assert 0 < before < 100
    assert way.waiting == 100 - before
    assert len(way.due(START + 3)) == 100 - before


def test_doubles_are_the_same_event() -> None:
    script = Script()
    script.connect(START, "dev")
    [event] = script.follow().take(START)
    way = Disordered(Disorder(double=1.0, reorder_seconds=1.0))
    way.put(event)
    assert way.due(LATE) == [event, event]
