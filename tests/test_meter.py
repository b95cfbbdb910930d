import logging
from collections.abc import Generator, Iterable

import pytest
from opentelemetry.metrics import CallbackOptions, Observation

from otel_emqx_monitor.columns import Column, Point
from otel_emqx_monitor.meter import BulkMeterProvider, Sort

COLUMN = Column.of([Point({"id": "a"}, 1, 5)])


@pytest.fixture
def provider() -> BulkMeterProvider:
    return BulkMeterProvider()


def test_a_column_is_handed_on_as_it_is(provider: BulkMeterProvider) -> None:
    meter = provider.get_meter("lib", "1.2")
    meter.create_observable_counter("c", [lambda _: COLUMN], unit="By", description="what it is")
    [reading] = provider.collect()
    assert reading.column is COLUMN
    assert (reading.scope.name, reading.scope.version) == ("lib", "1.2")
    instrument = reading.instrument
    assert (instrument.name, instrument.sort) == ("c", Sort.SUM)
    assert (instrument.unit, instrument.description) == ("By", "what it is")


def test_the_three_observable_instruments_are_told_apart(provider: BulkMeterProvider) -> None:
    meter = provider.get_meter("lib")
    meter.create_observable_counter("c", [lambda _: COLUMN])
    meter.create_observable_gauge("g", [lambda _: COLUMN])
    meter.create_observable_up_down_counter("u", [lambda _: COLUMN])
    assert [(r.instrument.name, r.instrument.sort) for r in provider.collect()] == [
        ("c", Sort.SUM),
        ("g", Sort.GAUGE),
        ("u", Sort.UP_DOWN_SUM),
    ]


def test_ordinary_callbacks_and_generators_work_too(provider: BulkMeterProvider) -> None:
    def function(_options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(1, {"from": "function", "n": 5})
        yield Observation(2)

    def generator() -> Generator[Iterable[Observation], CallbackOptions, None]:
        value = 10
        while True:
            yield [Observation(value, {"from": "generator"})]
            value += 1

    provider.get_meter("lib").create_observable_gauge("g", [function, generator()])
    provider.collect()
    [reading] = provider.collect()
    assert list(reading.column) == [
        Observation(1, {"from": "function", "n": 5}),
        Observation(2, {}),
        Observation(12, {"from": "generator"}),
    ]


def test_a_callback_that_fails_takes_nobody_with_it(
    provider: BulkMeterProvider, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_options: CallbackOptions) -> Iterable[Observation]:
        raise ValueError("boom")

    meter = provider.get_meter("lib")
    meter.create_observable_gauge("bad", [fail])
    meter.create_observable_gauge("good", [lambda _: COLUMN])
    assert [reading.instrument.name for reading in provider.collect()] == ["good"]
    assert caplog.records[0].levelno == logging.ERROR
    assert "the instrument bad failed" in caplog.text


def test_what_observes_nothing_is_left_out(provider: BulkMeterProvider) -> None:
    provider.get_meter("lib").create_observable_gauge("g", [lambda _: []])
    provider.get_meter("lib").create_observable_gauge("no callbacks")
    assert provider.collect() == []


def test_the_instruments_of_every_meter_are_read(provider: BulkMeterProvider) -> None:
    for name in ("one", "two"):
        provider.get_meter(name).create_observable_gauge("g", [lambda _: COLUMN])
    assert [reading.scope.name for reading in provider.collect()] == ["one", "two"]


def test_synchronous_instruments_do_nothing_and_break_nothing(provider: BulkMeterProvider) -> None:
    meter = provider.get_meter("lib")
    meter.create_counter("c").add(1)
    meter.create_histogram("h").record(1)
    assert provider.collect() == []
