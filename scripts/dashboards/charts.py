"""Charts over time: lines, areas, and states."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dashboards.reading import COLORS, Json, points, shown, texts_of

_PALETTE = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0")
_NAN = float("nan")

#: A series with its name.
Named = tuple[str, Json]


class Times(NamedTuple):
    """The moments that a query over time was asked for, in seconds since the epoch."""

    start: float
    end: float
    step: float

    def place(self, at: float) -> int:
        """Return the number of the moment ``at``."""
        return round((at - self.start) / self.step)

    def when(self, place: float) -> float:
        """Return the moment of a number as matplotlib wants it."""
        at = datetime.fromtimestamp(self.start + place * self.step, UTC)
        return float(dates.date2num(at))


def times_of(series: Sequence[Json]) -> Times:
    """Return the moments that those of ``series`` have which were asked for over time."""
    moments = sorted({at for one in series if "values" in one for at, _ in points(one)})
    step = min((after - before for before, after in pairwise(moments)), default=1.0)
    return Times(moments[0], moments[-1], step)


def lines(axes: Axes, panel: Json, series: Sequence[Named], times: Times) -> None:
    """Draw a line for each series, or what is stacked; a moment without a value is a gap."""
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    count = times.place(times.end) + 1
    across, below = [times.when(place) for place in range(count)], [0.0] * count
    for number, (name, one) in enumerate(series):
        color = _painted(panel, name, number)
        known = {times.place(at): value for at, value in points(one)}
        if stacked:
            upper = [base + known.get(place, 0) for place, base in enumerate(below)]
            look = {"color": color, "alpha": 0.6, "lw": 0, "step": "post", "label": name}
            axes.fill_between(across, below, upper, **look)
            below = upper
        else:
            values = [known.get(place, _NAN) for place in range(count)]
            axes.plot(across, values, color=color, lw=1.2, label=name)
    _finish(axes, times)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    in_one_line = sum(6 * (len(name) + 5) for name, _ in series) < axes.bbox.width
    if in_one_line or len(series) <= 4:  # else there is no room for names
        columns = len(series) if in_one_line else 2
        _legend(axes, columns, *axes.get_legend_handles_labels())


def states(axes: Axes, panel: Json, series: Sequence[Named], times: Times) -> None:
    """Draw a bar for each series, coloured by its values."""
    texts = texts_of(panel["fieldConfig"]["defaults"]["mappings"])
    for number, (_, one) in enumerate(series):
        for at, value in points(one):
            place = times.place(at)
            left, width = times.when(place), times.when(place + 1.05) - times.when(place)
            axes.barh(number, width, left=left, height=0.8, color=texts[int(value)][1], lw=0)
    _finish(axes, times)
    axes.grid(visible=False)
    axes.set_yticks(range(len(series)), [name for name, _ in series])
    axes.set_ylim(len(series) - 0.5, -0.5)
    patches = [Patch(color=color) for _, color in texts.values()]
    _legend(axes, len(texts), patches, [text for text, _ in texts.values()])


def _painted(panel: Json, name: str, number: int) -> str:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == name:
            color = override["properties"][0]["value"]["fixedColor"]
            return COLORS.get(color, color)
    return _PALETTE[number % len(_PALETTE)]


def _finish(axes: Axes, times: Times) -> None:
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    axes.grid(color="#2c2e35", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=7))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.set_xlim(times.when(0), times.when(times.place(times.end)))


def _legend(axes: Axes, count: int, *handles_and_names: Sequence[object]) -> None:
    axes.legend(
        *handles_and_names,
        loc="upper left",
        bbox_to_anchor=(-0.02, -16 / axes.bbox.height),
        borderaxespad=0.2,
        ncols=count,
        frameon=False,
        fontsize=8,
        handlelength=1,
        columnspacing=1.2,
    )
