"""Draws the panels of a dashboard's JSON as pictures: no Grafana, but its grid and its colours.

Only what the panels of this project use is drawn. What each query gave is handed in.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dashboards import charts, values
from dashboards.reading import Json, named
from dashboards.values import FAINT, Area

#: The series that Prometheus gave, by the title of the panel and the query's letter.
Answers = Mapping[tuple[str, str], Sequence[Json]]

_PAGE, _PANEL, _FRAME = "#111217", "#181b1f", "#26282e"
_UNIT_PX, _GAP_PX, _WIDTH_PX = 38, 8, 1600

mpl.rcParams |= {
    "font.size": 8.5,
    "font.family": "DejaVu Sans",
    "text.color": "#d8d9da",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "timezone": "UTC",
    "text.parse_math": False,
}


class Box(NamedTuple):
    """A part of the picture in pixels, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def within(self, whole_height: float) -> tuple[float, float, float, float]:
        """Return it as parts of the picture, from the lower left corner, as matplotlib counts."""
        lower = whole_height - self.y - self.height
        across, down = _WIDTH_PX, whole_height
        return (self.x / across, lower / down, self.width / across, self.height / down)


def draw_row(panels: Sequence[Json], answers: Answers, file: Path) -> None:
    """Draw ``panels``, which stand under one heading, into the PNG ``file``."""
    top = min(panel["gridPos"]["y"] for panel in panels)
    units = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) - top
    height = units * _UNIT_PX + _GAP_PX
    figure = Figure(figsize=(_WIDTH_PX / 100, height / 100), dpi=100, facecolor=_PAGE)
    times = charts.times_of([one for series in answers.values() for one in series])
    across = (_WIDTH_PX - _GAP_PX) / 24
    for panel in panels:
        place = panel["gridPos"]
        box = Box(
            _GAP_PX + place["x"] * across,
            _GAP_PX + (place["y"] - top) * _UNIT_PX,
            place["w"] * across - _GAP_PX,
            place["h"] * _UNIT_PX - _GAP_PX,
        )
        found = {ref: series for (title, ref), series in answers.items() if title == panel["title"]}
        _draw(figure, height, box, panel, found, times)
    figure.savefig(file, facecolor=_PAGE, metadata={"Software": None})


def _draw(  # noqa: PLR0913, PLR0917 - where, what, and of what
    figure: Figure,
    height: float,
    box: Box,
    panel: Json,
    answers: Mapping[str, Sequence[Json]],
    times: charts.Times,
) -> None:
    area = Area(figure.add_axes(box.within(height)), box.width, box.height)
    area.axes.set(xlim=(0, box.width), ylim=(box.height, 0))
    area.axes.axis("off")
    look = {"boxstyle": "round,pad=0,rounding_size=3", "fc": _PANEL, "ec": _FRAME}
    area.axes.add_patch(FancyBboxPatch((1, 1), box.width - 2, box.height - 2, **look))
    area.text(10, 17, panel["title"], weight="bold", size=9)
    series = [
        (named(target["legendFormat"], one["metric"]), one)
        for target in panel["targets"]
        for one in answers[target["refId"]]
    ]
    if panel["type"] == "table":
        values.table(area, panel, answers)
    elif not series:
        empty = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        area.text(box.width / 2, box.height / 2, empty, ha="center", color=FAINT, size=13)
    elif panel["type"] == "stat":
        values.stat(area, panel, series)
    elif panel["type"] == "bargauge":
        values.bars(area, panel, series)
    else:
        states = panel["type"] == "state-timeline"
        left = 18 + 7 * max(len(name) for name, _ in series) if states else 64
        inner = Box(box.x + left, box.y + 34, box.width - left - 14, box.height - 88)
        axes = figure.add_axes(inner.within(height), facecolor=_PANEL)
        own = charts.times_of([one for _, one in series])
        times = times._replace(step=own.step)
        (charts.states if states else charts.lines)(axes, panel, series, times)
