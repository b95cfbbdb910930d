import pytest
from opentelemetry.metrics import Observation

from otel_emqx_monitor.columns import Block, Column, Group, Labels, Point, nanoseconds

A, B = Labels.of({"id": "a"}), Labels.of({"id": "b"})
COLUMN = Column(
    [
        Block(Group([A, B]), [1, 2.5], Labels.of({"way": "in"}), starts=[5, None]),
        Block(Group([B]), [7]),
    ]
)


def test_a_column_is_a_sequence_of_observations() -> None:
    observations = [
        Observation(1, {"id": "a", "way": "in"}),
        Observation(2.5, {"id": "b", "way": "in"}),
        Observation(7, {"id": "b"}),
    ]
    assert list(COLUMN) == observations
    assert len(COLUMN) == 3
    assert [COLUMN[index] for index in range(3)] == observations
    assert COLUMN[-1] == observations[-1]
    assert COLUMN[1:] == observations[1:]
    with pytest.raises(IndexError):
        COLUMN[3]


def test_its_points_know_when_they_began() -> None:
    assert [point.start for point in COLUMN.points()] == [5, None, None]


def test_a_column_of_points_gives_them_back() -> None:
    points = [Point({"a": 1}, 2, 3), Point({"b": "c"}, 4.5, None)]
    assert list(Column.of(points).points()) == points
    assert len(Column.of([])) == 0


def test_values_without_their_series_are_a_mistake_that_shows() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(Column([Block(Group([]), [1])]))


def test_times_of_milliseconds_are_exact() -> None:
    assert nanoseconds(1_763_772_688.905) == 1_763_772_688_905_000_000
