import pytest
from opentelemetry.metrics import Observation

from otel_emqx_monitor.columns import Column, Series

COLUMN = Column([Series({"id": "a"}, 5.0), Series({"id": "b"})], [1, 2.5])


def test_a_column_is_a_sequence_of_observations() -> None:
    assert list(COLUMN) == [Observation(1, {"id": "a"}), Observation(2.5, {"id": "b"})]
    assert len(COLUMN) == 2
    assert COLUMN[1] == Observation(2.5, {"id": "b"})
    assert list(COLUMN[:1]) == [Observation(1, {"id": "a"})]


def test_values_without_their_series_are_a_mistake_that_shows() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(Column([], [1]))
