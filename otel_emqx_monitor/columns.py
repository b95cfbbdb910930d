"""What an instrument's callback returns: a column of values, and the series they belong to.

To any OpenTelemetry SDK a column is a plain sequence of ``Observation``. A reader that knows
columns takes their blocks in bulk: in a block many series differ only in whom they are about, so
that the encodings of a client's labels are made once and serve all its series as long as it is
watched.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import overload

from opentelemetry.metrics import Observation
from opentelemetry.util.types import AttributeValue


class Labels:
    """A set of attributes and, once a reader has made them, its encodings.

    ``text`` is what stands between the braces of an exposition, ``otlp`` the attributes' bytes in
    an OTLP data point; ``None`` until needed.
    """

    __slots__ = ("_names", "_values", "otlp", "text")

    def __init__(self, names: tuple[str, ...], values: tuple[AttributeValue, ...]) -> None:
        self._names = names
        self._values = values
        self.text: str | None = None
        self.otlp: bytes | None = None

    @classmethod
    def of(cls, attributes: Mapping[str, AttributeValue]) -> "Labels":
        """Return the labels of a mapping."""
        return cls(tuple(attributes), tuple(attributes.values()))

    def items(self) -> Iterator[tuple[str, AttributeValue]]:
        """Return names with their values."""
        return zip(self._names, self._values, strict=True)


NO_LABELS = Labels((), ())


class Group:
    """The labels that the series of a block have one by one; blocks share it where they can.

    ``texts`` and ``otlp`` hold the encodings of the members in their order, for readers that have
    made them; ``None`` until then.
    """

    __slots__ = ("members", "otlp", "texts")

    def __init__(self, members: Sequence[Labels]) -> None:
        self.members = members
        self.texts: Sequence[str] | None = None
        self.otlp: Sequence[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Values, one for each member of ``group``; all have the labels ``extra`` beside their own.

    ``starts`` are the times when counters began at 0, in nanoseconds since the epoch by EMQX's
    clock, ``None`` where that is not known; a block of a gauge has no ``starts``.
    """

    group: Group
    values: Sequence[int | float]
    extra: Labels = NO_LABELS
    starts: Sequence[int | None] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One value with all its attributes; ``start`` as in ``Block.starts``."""

    attributes: Mapping[str, AttributeValue]
    value: int | float
    start: int | None


@dataclass(frozen=True, eq=False)
class Column(Sequence[Observation]):
    """The values of one instrument in one snapshot.

    ``time`` is when they were true, in seconds since the epoch: columns of the same poll are the
    same objects as long as it is current. ``None`` is the time of reading.
    """

    blocks: Sequence[Block]
    time: float | None = None

    @classmethod
    def of(cls, points: Sequence[Point]) -> "Column":
        """Return a column of single points that have the time of reading."""
        group = Group([Labels.of(point.attributes) for point in points])
        values = [point.value for point in points]
        starts = [point.start for point in points]
        return cls([Block(group, values, starts=starts)] if points else [])

    def points(self) -> Iterator[Point]:
        """Return the values one by one."""
        for block in self.blocks:
            extra = dict(block.extra.items())
            starts = block.starts or [None] * len(block.values)
            members = block.group.members
            for labels, value, start in zip(members, block.values, starts, strict=True):
                yield Point({**dict(labels.items()), **extra}, value, start)

    def __len__(self) -> int:
        return sum(len(block.values) for block in self.blocks)

    @overload
    def __getitem__(self, index: int) -> Observation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Observation]: ...
    def __getitem__(self, index: int | slice) -> Observation | list[Observation]:
        if isinstance(index, slice):
            return list(self)[index]
        position = range(len(self))[index]
        return next(islice(self, position, None))

    def __iter__(self) -> Iterator[Observation]:
        for point in self.points():
            yield Observation(point.value, point.attributes)


def nanoseconds(seconds: float) -> int:
    """Return epoch seconds as epoch nanoseconds, exact to the microsecond."""
    return round(seconds * 1_000_000) * 1_000
