"""An OpenTelemetry ``MeterProvider`` for asynchronous instruments that return columns.

The SDK is made to measure its own process: it aggregates each observation by itself, keeps every
attribute set for ever, and gives all counters the start time of the process. What this program
exports is aggregated already, by EMQX. This provider calls the same callbacks and hands on what
they return: a series lives as long as it is observed, and a counter keeps its own start time.

Only observable instruments do something here; the others are the API's own no-ops.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from opentelemetry.metrics import (
    CallbackOptions,
    CallbackT,
    Meter,
    MeterProvider,
    NoOpMeter,
    NoOpObservableCounter,
    NoOpObservableGauge,
    NoOpObservableUpDownCounter,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    Observation,
)
from opentelemetry.util.types import Attributes

from otel_emqx_monitor.columns import Column, Point

log = logging.getLogger(__name__)


class Sort(Enum):
    """What the values of an instrument are."""

    GAUGE = "gauge"
    SUM = "monotonic sum"
    UP_DOWN_SUM = "sum"


@dataclass(frozen=True)
class Scope:
    """Which library made a meter (OpenTelemetry's instrumentation scope)."""

    name: str
    version: str | None
    schema_url: str | None
    attributes: Attributes


@dataclass(frozen=True)
class Instrument:
    """An observable instrument: what it is called and which callbacks it reads."""

    name: str
    sort: Sort
    unit: str
    description: str
    callbacks: Sequence[Callable[[CallbackOptions], Iterable[Observation]]]


@dataclass(frozen=True)
class Reading:
    """What the callbacks of one instrument returned in one collect."""

    scope: Scope
    instrument: Instrument
    column: Column


class BulkMeterProvider(MeterProvider):
    """Makes meters and reads all their instruments at once."""

    def __init__(self) -> None:
        super().__init__()
        self._meters: list[BulkMeter] = []

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> "BulkMeter":
        """Return a new meter for a library; see ``MeterProvider.get_meter``."""
        meter = BulkMeter(Scope(name, version, schema_url, attributes))
        self._meters.append(meter)
        return meter

    def collect(self, timeout_millis: float = 10_000) -> list[Reading]:
        """Call every callback once; instruments that observe nothing are left out.

        A callback that fails is logged and observes nothing; the others are read all the same.
        """
        options = CallbackOptions(timeout_millis=timeout_millis)
        return [
            Reading(meter.scope, instrument, column)
            for meter in self._meters
            for instrument in meter.instruments
            if len(column := _observe(instrument, options))
        ]


class BulkMeter(NoOpMeter, Meter):
    """Creates observable instruments; ``instruments`` are those created so far."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.name, scope.version, scope.schema_url)
        self.scope = scope
        self.instruments: list[Instrument] = []

    def create_observable_counter(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableCounter:
        """Create a counter that ``callbacks`` observe."""
        self._add(name, Sort.SUM, unit, description, callbacks)
        return NoOpObservableCounter(name, callbacks, unit, description)

    def create_observable_gauge(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableGauge:
        """Create a gauge that ``callbacks`` observe."""
        self._add(name, Sort.GAUGE, unit, description, callbacks)
        return NoOpObservableGauge(name, callbacks, unit, description)

    def create_observable_up_down_counter(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableUpDownCounter:
        """Create a sum that may fall, which ``callbacks`` observe."""
        self._add(name, Sort.UP_DOWN_SUM, unit, description, callbacks)
        return NoOpObservableUpDownCounter(name, callbacks, unit, description)

    def _add(
        self,
        name: str,
        sort: Sort,
        unit: str,
        description: str,
        callbacks: Sequence[CallbackT] | None,
    ) -> None:
        functions = [_as_function(callback) for callback in callbacks or ()]
        self.instruments.append(Instrument(name, sort, unit, description, functions))


def _as_function(callback: CallbackT) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Return a callback as a function: the API also takes generators that are sent the options."""
    if isinstance(callback, Generator):
        next(callback)
        return callback.send
    return callback


def _observe(instrument: Instrument, options: CallbackOptions) -> Column:
    columns = []
    for callback in instrument.callbacks:
        try:
            columns.append(_as_column(callback(options)))
        except Exception:
            log.exception("a callback of the instrument %s failed", instrument.name)
    if len(columns) == 1:
        return columns[0]
    return Column.of([point for column in columns for point in column.points()])


def _as_column(observed: Iterable[Observation]) -> Column:
    """Return what a callback returned as a column; foreign callbacks return any iterable."""
    if isinstance(observed, Column):
        return observed
    return Column.of([Point(dict(one.attributes or {}), one.value, None) for one in observed])
