"""What an instrument's callback returns: a column of values with the series they belong to.

To any OpenTelemetry SDK a column is a plain sequence of ``Observation``; a reader that knows
columns takes ``values`` and ``series`` in bulk instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from opentelemetry.metrics import Observation
from opentelemetry.util.types import AttributeValue


class Series(NamedTuple):
    """One time series of an instrument.

    ``start_time`` is when its counter began at 0, in seconds since the epoch by EMQX's clock;
    ``None`` for gauges, and where EMQX did not say.
    """

    attributes: Mapping[str, AttributeValue]
    start_time: float | None = None


@dataclass(frozen=True, slots=True)
class Column(Sequence[Observation]):
    """The values of one instrument in one snapshot, one for each series.

    ``time`` is when they were true, in seconds since the epoch; ``None`` is the time of reading.
    """

    series: Sequence[Series]
    values: Sequence[int | float]
    time: float | None = None

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Observation: ...
    @overload
    def __getitem__(self, index: slice) -> "Column": ...
    def __getitem__(self, index: int | slice) -> "Observation | Column":
        if isinstance(index, slice):
            return Column(self.series[index], self.values[index], self.time)
        return Observation(self.values[index], self.series[index].attributes)

    def __iter__(self) -> Iterator[Observation]:
        for series, value in zip(self.series, self.values, strict=True):
            yield Observation(value, series.attributes)
