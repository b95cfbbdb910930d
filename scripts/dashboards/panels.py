"""What panels, rows and dashboards are, without a word of Grafana's JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
BLUE, PURPLE, GREY = "blue", "purple", "#808080"

#: A threshold: from this value on (``None``: from the lowest on) this colour.
Step = tuple[float | None, str]


class Kind(StrEnum):
    """The visualizations in use, by Grafana's names."""

    STAT = "stat"
    LINES = "timeseries"
    STATES = "state-timeline"
    TABLE = "table"
    BARS = "bargauge"


@dataclass(frozen=True)
class Query:
    """One query; ``legend`` names its series, with labels in double braces."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: the label or query that it shows, and how.

    ``name`` is a label, or "Value #A" for the value of the first query.
    """

    name: str
    title: str
    unit: str = ""
    texts: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    client_link: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel.

    ``texts`` say for whole values how they read and in which colour; ``colors`` paint series by
    their names. ``every`` is the shortest step of its queries: two minutes of samples are then
    behind each rate, enough for pushes once a minute and for a broker that counts every 15 s.
    ``points`` bounds how many steps a query over all clients may have. ``empty`` stands in place
    of no data.
    """

    title: str
    description: str
    kind: Kind
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    unit: str = "short"
    decimals: int | None = None
    steps: Sequence[Step] = ((None, GREEN),)
    texts: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    colors: Mapping[str, str] = field(default_factory=dict)
    stacked: bool = False
    every: str = ""
    points: int | None = None
    empty: str = ""
    columns: Sequence[Column] = ()
    client_link: bool = False


@dataclass(frozen=True)
class Row:
    """Panels under one heading, laid out from left to right, 24 units wide."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: a list from a query, or without one a text box.

    With ``extract``, a regular expression, the query is a whole one, and nobody sees the list.
    """

    name: str
    title: str
    description: str
    query: str = ""
    everyone: bool = True
    extract: str = ""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; ``name`` is that of its file and the end of its uid."""

    name: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
