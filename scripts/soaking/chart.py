"""Draws a soak as SVG: memory, descriptors, threads, lateness over time, and the faults below."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from soaking.account import Run
from soaking.limits import WARM_UP
from soaking.plan import KINDS

_WIDTH, _LEFT, _RIGHT = 880, 136, 852
_TOP, _PANEL, _GAP, _ROW = 72, 84, 26, 17

#: A scale has as many lines as fit, and these steps (times a power of ten) between them.
_MOST_LINES, _STEPS = 4, (1, 2, 5, 10)

#: The chart brings its own background: a page may be dark while the reader's system is not.
_STYLE = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.page { fill: #ffffff; }
.head { font-size: 15px; font-weight: 600; }
.small { font-size: 12px; fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.warm { fill: #818b98; fill-opacity: 0.12; }
.fault { fill: #bc4c00; fill-opacity: 0.09; }
.bar { fill: #bc4c00; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.first { stroke: #0969da; } .first-text { fill: #0969da; }
.second { stroke: #8250df; } .second-text { fill: #8250df; }
.dot { fill: #0969da; fill-opacity: 0.6; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .page { fill: #0d1117; }
  .small { fill: #9198a1; }
  .grid { stroke: #30363d; }
  .fault { fill: #f0883e; fill-opacity: 0.12; }
  .bar { fill: #f0883e; }
  .first { stroke: #58a6ff; } .first-text { fill: #58a6ff; }
  .second { stroke: #ab7df8; } .second-text { fill: #ab7df8; }
  .dot { fill: #58a6ff; }
}
"""

_Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Panel:
    """One measure over time: a line and perhaps another one, or dots."""

    title: str
    first: _Points
    second: _Points = ()
    second_title: str = ""
    dots: bool = False


def draw(run: Run) -> str:
    """Return the figure of a run: a panel for each measure, and a row for each kind of fault."""
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in run.faults)]
    panels = _panels(run)
    rows = _TOP + len(panels) * (_PANEL + _GAP)
    end = rows + _ROW * len(kinds)
    size = f'width="{_WIDTH}" height="{end + 40}"'
    view = f'viewBox="0 0 {_WIDTH} {end + 40}"'
    title = f"{run.seconds / 60:g} minutes of churn and {len(run.faults)} faults"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} {size} role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" {size} rx="6"/>',
        _text(20, 28, title, "head"),
        _text(20, 48, "orange: a fault; grey: the agent warms up, which is not judged", "small"),
        _band(run, "warm", 0.0, WARM_UP * run.seconds, end),
        *(_band(run, "fault", one.begin, one.end, end) for one in run.faults),
    ]
    for number, panel in enumerate(panels):
        parts += _drawn(run, panel, _TOP + number * (_PANEL + _GAP))
    for number, kind in enumerate(kinds):
        y = rows + number * _ROW
        parts.append(_text(_LEFT - 10, y + 11, kind, "small", "end"))
        for one in run.faults:
            if one.kind == kind:
                parts.append(_rect(run, "bar", one.begin, one.end, y + 2, _ROW - 6))
    parts += _times(run, end + 20)
    return "\n".join([*parts, "</svg>\n"])


def _panels(run: Run) -> list[_Panel]:
    samples = run.samples
    return [
        _Panel(
            "RSS, MiB",
            [(one.at, one.rss / 2**20) for one in samples],
            [(one.at, one.anonymous / 2**20) for one in samples],
            "anonymous, MiB",
        ),
        _Panel("descriptors", [(one.at, one.fds) for one in samples]),
        _Panel("threads", [(one.at, one.threads) for one in samples]),
        _Panel("polls late, ms", [(one.at, one.seconds * 1e3) for one in run.polls], dots=True),
    ]


def _drawn(run: Run, panel: _Panel, top: float) -> Iterator[str]:
    yield _text(20, top + 12, panel.title, "first-text")
    if panel.second_title:
        yield _text(20, top + 30, panel.second_title, "second-text")
    highest = max((value for _, value in (*panel.first, *panel.second)), default=1.0) or 1.0
    step = _step(highest)
    most = step * ceil(highest / step)

    def y(value: float) -> float:
        return top + _PANEL * (1 - value / most)

    for line in range(round(most / step) + 1):
        value = line * step
        yield f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{_RIGHT}"/>'
        yield _text(_LEFT - 8, y(value) + 4, f"{value:g}", "small", "end")
    if panel.dots:
        for at, value in panel.first:
            yield f'<circle class="dot" cx="{_x(run, at):.1f}" cy="{y(value):.1f}" r="1.6"/>'
        return
    for kind, points in (("second", panel.second), ("first", panel.first)):
        if points:
            path = "L".join(f"{_x(run, at):.1f} {y(value):.1f}" for at, value in points)
            yield f'<path class="line {kind}" d="M{path}"/>'


def _times(run: Run, y: float) -> Iterator[str]:
    minutes = run.seconds / 60
    step = _step(minutes, lines=7)
    for number in range(floor(minutes / step) + 1):
        at = number * step
        unit = " min" if number == 0 else ""
        yield _text(_x(run, at * 60), y, f"{at:g}{unit}", "small", "middle")


def _step(highest: float, lines: int = _MOST_LINES) -> float:
    """Return the least distance of lines, 1, 2 or 5 times a power of ten, of which no more fit."""
    power = 10.0 ** floor(log10(highest / lines))
    return next((step * power for step in _STEPS if highest / (step * power) <= lines), 10 * power)


def _band(run: Run, kind: str, begin: float, end: float, bottom: float) -> str:
    return _rect(run, kind, begin, end, _TOP, bottom - _TOP)


def _rect(  # noqa: PLR0913, PLR0917 (what a rectangle is made of)
    run: Run, kind: str, begin: float, end: float, top: float, height: float
) -> str:
    x, width = _x(run, begin), max(1.5, _x(run, end) - _x(run, begin))
    place = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {place}/>'


def _x(run: Run, at: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, at / run.seconds))


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    options = f' class="{kind}"' if kind else ""
    if anchor != "start":
        options += f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{options}>{escape(text)}</text>'
