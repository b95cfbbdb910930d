"""Values of one moment: large numbers, bars, tables."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from dashboards.reading import COLORS, Json, latest, shown, texts_of

FAINT = "#8e8e9a"
_TEXT, _HEADING = "#d8d9da", "#6e9fff"
_LINE_PX = 21


class Area(NamedTuple):
    """Where to draw, measured in pixels from its upper left corner."""

    axes: Axes
    width: float
    height: float

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """Write ``text`` with its middle at the height ``y``."""
        self.axes.text(x, y, text, va="center", **look)


def stat(area: Area, panel: Json, series: Sequence[tuple[str, Json]]) -> None:
    """Write the latest value of each series large."""
    defaults = panel["fieldConfig"]["defaults"]
    height = (area.height - 34) / len(series)
    for place, (name, one) in enumerate(series):
        text, color = _valued(defaults, latest(one))
        y = 30 + (place + 0.5) * height
        large = min(30, height * 0.42)
        if name:
            area.text(14, y, name, size=9)
            area.text(area.width - 14, y, text, ha="right", color=color, size=min(large, 16))
        else:
            area.text(area.width / 2, y, text, ha="center", color=color, size=large)


def _valued(defaults: Json, value: float) -> tuple[str, str]:
    """Return how a value reads, and the colour of the threshold that it has reached."""
    steps = defaults["thresholds"]["steps"]
    color = [step["color"] for step in steps if step["value"] is None or step["value"] <= value][-1]
    if defaults.get("decimals") == 0:
        value = round(value)
    text = shown(value, defaults["unit"])
    return texts_of(defaults["mappings"]).get(int(value), (text, COLORS.get(color, color)))


def bars(area: Area, panel: Json, series: Sequence[tuple[str, Json]]) -> None:
    """Draw a bar for each series, the longest first."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    found = sorted(((latest(one), name) for name, one in series), reverse=True)
    left, step = 118.0, (area.height - 46) / 10
    for place, (value, name) in enumerate(found):
        y = 36 + (place + 0.5) * step
        width = (area.width - left - 90) * value / found[0][0]
        area.axes.barh(y, width, left=left, height=step * 0.7, color=COLORS["green"])
        area.text(left - 8, y, name, ha="right", size=8)
        area.text(area.width - 12, y, shown(value, unit), ha="right", size=8)


def table(area: Area, panel: Json, answers: Mapping[str, Sequence[Json]]) -> None:
    """Write as many lines of the merged answers as there is room for."""
    organized = panel["transformations"][-1]["options"]
    columns = sorted(organized["indexByName"], key=organized["indexByName"].get)
    lines: dict[tuple[str, ...], Json] = {}
    for ref, series in answers.items():
        column = f"Value #{ref}" if len(answers) > 1 else "Value"
        for one in series:
            line = lines.setdefault(tuple(sorted(one["metric"].values())), dict(one["metric"]))
            line[column] = _cell(panel, organized["renameByName"].get(column, ""), latest(one))
    width, fits = (area.width - 20) / len(columns), int((area.height - 62) / _LINE_PX)
    for place, column in enumerate(columns):
        x = 12 + place * width
        area.text(x, 40, organized["renameByName"][column], color=_HEADING)
        for number, line in enumerate(list(lines.values())[:fits]):
            cell = line.get(column, "")
            text, color = cell if isinstance(cell, tuple) else (cell, _TEXT)
            short = textwrap.shorten(text, int(width / 6.2), placeholder="…")
            area.text(x, 64 + _LINE_PX * number, short, color=color)
    if len(lines) > fits:
        rest = f"{fits} of {len(lines)} lines"
        area.text(area.width - 12, 17, rest, ha="right", color=FAINT, size=8)


def _cell(panel: Json, title: str, value: float) -> tuple[str, str]:
    """Return how a value reads in the column ``title``, and in which colour."""
    properties: Json = {}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == title:
            properties = {one["id"]: one["value"] for one in override["properties"]}
    text = shown(value, properties.get("unit", "short"))
    return texts_of(properties.get("mappings", [])).get(int(value), (text, _TEXT))
