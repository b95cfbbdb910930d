"""What a metric is, and how its values are read out of a snapshot.

There are three kinds of metrics: those that read a field of EMQX's rows, those that read what is
remembered of each client, and those of the agent itself. The first two are made once for each
fleet, whoever asks for them and how often.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from otel_emqx_monitor.columns import NO_LABELS, Block, Column, Group, Labels, Point, nanoseconds
from otel_emqx_monitor.emqx.rows import attribute
from otel_emqx_monitor.epochs import start_at
from otel_emqx_monitor.fleet import REASONS, Client, Epoch, Fleet, Series, State
from otel_emqx_monitor.memory import INFO_FIELDS
from otel_emqx_monitor.snapshot import Snapshot

PREFIX = "emqx_client_monitor_"

_Key = TypeVar("_Key", bound=str)


class Kind(StrEnum):
    """The kind of an instrument; a counter's exposition name ends in ``_total``."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    ``name`` is without prefix and without the ``_total`` of counters. ``flag`` is what switches it
    on, an ``enable_*`` key or one of the flags in ``instruments``; ``None`` is always on.
    ``labels`` are those beside ``broker``; ``fields`` are the fields of EMQX's rows that it reads,
    and ``epoch`` what they count for, ``None`` when they do not count.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    observe: Callable[[Snapshot], Column]
    flag: str | None = None
    fields: frozenset[str] = frozenset()
    epoch: Epoch | None = None

    @property
    def instrument_name(self) -> str:
        """The name of the OpenTelemetry instrument."""
        return PREFIX + self.name

    @property
    def exposition_name(self) -> str:
        """The name in a Prometheus exposition."""
        return self.instrument_name + ("_total" if self.kind is Kind.COUNTER else "")


@dataclass(frozen=True)
class _Sample:
    """One series of every client: the field its value comes from, and its extra labels."""

    field: str
    extra: Labels


_making = threading.Lock()


def _cached(name: str, make: Callable[[Fleet], Column]) -> Callable[[Snapshot], Column]:
    """Return an ``observe`` that makes one column for each fleet, whoever asks and how often."""

    def observe(snapshot: Snapshot) -> Column:
        columns = snapshot.fleet.columns
        with _making:  # a scrape and a push that come at once share them as well
            if name not in columns:
                columns[name] = make(snapshot.fleet)
            return columns[name]

    return observe


def counter_of_rows(
    name: str,
    flag: str,
    help_text: str,
    *samples: tuple[str, Mapping[str, str]],
    epoch: Epoch = Epoch.CONNECTION,
) -> Metric:
    """Make a counter whose series are ``samples``: pairs of a row's field and extra labels.

    Its fields begin again at 0 with each ``epoch``; they are exported as they are, or summed up.
    """
    parts = [_Sample(field, Labels.of(labels)) for field, labels in samples]

    def column(fleet: Fleet) -> Column:
        series = fleet.counters(epoch)
        blocks = [_block(series, _reader(fleet, epoch, one.field), one.extra) for one in parts]
        at = fleet.polled_at if fleet.counted is None else fleet.remembered_at
        return Column([block for block in blocks if block.values], at)

    return Metric(
        name,
        Kind.COUNTER,
        help_text,
        ("alias", "client_id", *samples[0][1]),
        _cached(name, column),
        flag,
        frozenset(field for field, _ in samples),
        epoch,
    )


def gauge_of_rows(
    name: str, flag: str, help_text: str, field: str, *, lasting: bool = False
) -> Metric:
    """Make a gauge that shows a field of each client's row.

    Args:
        name: without prefix.
        flag: what switches it on.
        help_text: the text of HELP.
        field: the field of EMQX's rows.
        lasting: whether the last value is still true of a client that is gone, as that of an
            instant is. Where there is memory it then stays; a number of messages in flight would
            claim something that is no more.
    """
    read = attrgetter(attribute(field))

    def column(fleet: Fleet) -> Column:
        series = fleet.remembered if lasting else fleet.present
        block = _block(series, read, NO_LABELS)
        at = fleet.remembered_at if lasting else fleet.polled_at
        return Column([block] if block.values else [], at)

    labels = ("alias", "client_id")
    fields = frozenset({field})
    return Metric(name, Kind.GAUGE, help_text, labels, _cached(name, column), flag, fields)


def _reader(fleet: Fleet, epoch: Epoch, field: str) -> Callable[[Any], Any]:
    """Return what reads ``field`` from the sources of ``fleet.counters(epoch)``."""
    if fleet.counted is None:
        return attrgetter(attribute(field))
    return itemgetter(fleet.counted.fields(epoch).index(field))


def _block(series: Series[Any], read: Callable[[Any], Any], extra: Labels) -> Block:
    """Read one value of every source; one that lacks it has no series: not known is not 0."""
    values = list(map(read, series.sources))
    group, starts = series.group, series.starts
    if None in values:
        known = [index for index, value in enumerate(values) if value is not None]
        values = [values[index] for index in known]
        group = Group([group.members[index] for index in known])
        starts = None if starts is None else [starts[index] for index in known]
    if values and isinstance(values[0], datetime):
        values = [value.timestamp() for value in values]
    return Block(group, values, extra, starts)


def of_clients(  # noqa: PLR0913 (the columns of the table)
    name: str,
    kind: Kind,
    flag: str | None,
    help_text: str,
    read: Callable[[Client, float], float | None],
    *,
    fields: Sequence[str] = (),
) -> Metric:
    """Make a metric of what is known and remembered of each client.

    ``read`` gets a client and when it was last looked for (seconds since the epoch), and returns a
    value, or ``None`` for no sample. Of unknown clients it is only asked where there is memory. A
    counter begins when the agent began to watch the client.
    """

    def column(fleet: Fleet) -> Column:
        looked_at = fleet.polled_at or 0.0  # an event tells nothing of all the other clients
        clients = _speaking(fleet)
        values = [read(client, looked_at) for client in clients]
        known = [one for one, value in zip(clients, values, strict=True) if value is not None]
        starts = None
        if kind is Kind.COUNTER:
            starts = [start_at(client.memory.since) for client in known]
        group = Group([client.watched.labels for client in known])
        block = Block(group, [one for one in values if one is not None], starts=starts)
        return Column([block] if known else [], fleet.remembered_at)

    labels = ("alias", "client_id")
    return Metric(name, kind, help_text, labels, _cached(name, column), flag, frozenset(fields))


def _speaking(fleet: Fleet) -> Sequence[Client]:
    """Return the clients that have series: without memory nothing is said of unknown ones."""
    if fleet.counted is not None:
        return fleet.clients
    return [client for client in fleet.clients if client.state is not State.UNKNOWN]


def info_of_clients(name: str, flag: str, help_text: str) -> Metric:
    """Make the gauge of value 1 whose labels tell how each client is connected."""

    def column(fleet: Fleet) -> Column:
        told = [
            client.memory.info
            for client in fleet.clients
            if client.memory.info is not None
            and (fleet.counted is not None or client.row is not None)
        ]
        return Column([Block(Group(told), [1] * len(told))] if told else [], fleet.remembered_at)

    labels = ("alias", "client_id", *INFO_FIELDS)
    observe = _cached(name, column)
    return Metric(name, Kind.GAUGE, help_text, labels, observe, flag, frozenset(INFO_FIELDS))


def disconnections_of_clients(name: str, flag: str, help_text: str) -> Metric:
    """Make the counter of how often each client has left, with a series for each reason seen."""

    def column(fleet: Fleet) -> Column:
        left = [client for client in _speaking(fleet) if client.memory.disconnections]
        blocks = []
        for place, reason in enumerate(REASONS):
            clients = [one for one in left if one.memory.disconnections[place]]
            if clients:
                group = Group([one.watched.labels for one in clients])
                counts = [one.memory.disconnections[place] for one in clients]
                starts = [start_at(one.memory.since) for one in clients]
                blocks.append(Block(group, counts, Labels.of({"reason": reason}), starts))
        return Column(blocks, fleet.remembered_at)

    labels = ("alias", "client_id", "reason")
    return Metric(name, Kind.COUNTER, help_text, labels, _cached(name, column), flag)


#: Values with those of their labels; a value of ``None`` has not happened yet and has no sample.
Readings = Iterable[tuple[tuple[str, ...], int | float | None]]


def of_agent(  # noqa: PLR0913 (the columns of the table)
    name: str,
    kind: Kind,
    help_text: str,
    read: Callable[[Snapshot], Readings],
    *,
    labels: tuple[str, ...] = (),
    flag: str | None = None,
) -> Metric:
    """Make a metric of the agent itself."""

    def observe(snapshot: Snapshot) -> Column:
        start = nanoseconds(snapshot.started_at) if kind is Kind.COUNTER else None
        return Column.of(
            [
                Point(
                    {"broker": snapshot.broker, **dict(zip(labels, values, strict=True))},
                    value,
                    start,
                )
                for values, value in read(snapshot)
                if value is not None
            ]
        )

    return Metric(name, kind, help_text, labels, observe, flag)


def alone(value: float | None) -> Readings:
    """Return the reading of a metric without labels."""
    return [((), value)]


def each(values: Mapping[_Key, int | float]) -> Readings:
    """Return one reading for each key, which is the value of the label."""
    return [((str(key),), value) for key, value in values.items()]
