"""Draws the CPU time of a sample by path and number of clients, on a logarithmic scale, as SVG."""

from collections.abc import Sequence
from html import escape
from math import log10

from benchmarks.plan import PUSHERS, SCRAPERS, Plan
from benchmarks.results import Case, Results

#: What the lines are called.
NAMES = {
    "official": "official SDK path",
    "original": "emqx-client-monitor",
    "agent": "this agent",
    "bare": "bare render limit",
}

#: Whose values stand below the line, where the next line above is near.
_VALUES_BELOW = {"original", "bare"}

_WIDTH, _HEIGHT = 880, 400
_TOP, _BOTTOM = 84, 340
_LEFTS, _PANEL_WIDTH = (56, 486), 250
_LEAST, _MOST = 0.1, 100.0  # microseconds at the ends of the scale

#: The chart brings its own background: a page may be dark while the reader's system is not.
_STYLE = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.page { fill: #ffffff; }
.head { font-size: 15px; font-weight: 600; }
.small { font-size: 12px; fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.line { fill: none; stroke-width: 2.5; }
.official { stroke: #bc4c00; } .official-text { fill: #bc4c00; }
.original { stroke: #8250df; } .original-text { fill: #8250df; }
.agent { stroke: #0969da; } .agent-text { fill: #0969da; font-weight: 600; }
.bare { stroke: #6e7781; stroke-dasharray: 5 4; } .bare-text { fill: #59636e; }
.dot { fill: #ffffff; stroke-dasharray: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .page, .dot { fill: #0d1117; }
  .small { fill: #9198a1; }
  .grid { stroke: #30363d; }
  .official { stroke: #f0883e; } .official-text { fill: #f0883e; }
  .original { stroke: #ab7df8; } .original-text { fill: #ab7df8; }
  .agent { stroke: #58a6ff; } .agent-text { fill: #58a6ff; }
  .bare { stroke: #8b949e; } .bare-text { fill: #9198a1; }
}
"""


def draw(plan: Plan, results: Results) -> str:
    """Return the chart: one panel for scrapes, one for pushes, with default flags."""
    title = "CPU time of a sample by number of clients"
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    view = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} {size} role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" {size} rx="6"/>',
        _text(20, 30, "Microseconds of CPU for each sample of a new snapshot", "head"),
        _text(20, 50, "default flags, logarithmic scale; less is better", "small"),
        *_panel(_LEFTS[0], "to a Prometheus exposition", "scrape", SCRAPERS, plan, results),
        *_panel(_LEFTS[1], "to OTLP requests", "otlp", PUSHERS, plan, results),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _panel(  # noqa: PLR0913, PLR0917 (what a panel is made of)
    left: float, title: str, what: str, paths: Sequence[str], plan: Plan, results: Results
) -> list[str]:
    xs = [left + _PANEL_WIDTH * (at + 0.5) / len(plan.sizes) for at in range(len(plan.sizes))]
    parts = [_text(left, _TOP - 12, title)]
    for value in (0.1, 1, 10, 100):
        y = _y(value)
        parts += [
            f'<path class="grid" d="M{left} {y:.1f}h{_PANEL_WIDTH}"/>',
            _text(left - 8, y + 4, f"{value:g}", "small", "end"),
        ]
    for x, size in zip(xs, plan.sizes, strict=True):
        parts.append(_text(x, _BOTTOM + 22, f"{size:,}", "small", "middle"))
    parts.append(_text(left + _PANEL_WIDTH / 2, _BOTTOM + 42, "clients", "small", "middle"))
    for who in paths:
        parts += _line(who, [Case(who, what, size) for size in plan.sizes], xs, results)
    return parts


def _line(who: str, cases: Sequence[Case], xs: Sequence[float], results: Results) -> list[str]:
    costs = [results.per_sample(case) for case in cases]
    points = [(x, cost * 1e6) for x, cost in zip(xs, costs, strict=True) if cost]
    if not points:
        return []
    path = "L".join(f"{x:.1f} {_y(cost):.1f}" for x, cost in points)
    parts = [f'<path class="line {who}" d="M{path}"/>']
    beside = 20 if who in _VALUES_BELOW else -10
    for x, cost in points:
        parts += [
            f'<circle class="dot line {who}" cx="{x:.1f}" cy="{_y(cost):.1f}" r="4"/>',
            _text(x, _y(cost) + beside, f"{cost:.2g}", f"small {who}-text", "middle"),
        ]
    name = NAMES[who]
    if any(results.failure(case).startswith("MetricsTimeoutError") for case in cases):
        name += " (beyond: times out)"
    last_x, last_cost = points[-1]
    drop = 10 if who in _VALUES_BELOW else 3
    parts.append(_text(last_x + 14, _y(last_cost) + drop, name, f"{who}-text"))
    return parts


def _y(microseconds: float) -> float:
    share = log10(microseconds / _LEAST) / log10(_MOST / _LEAST)
    return _BOTTOM - (_BOTTOM - _TOP) * min(1.0, max(0.0, share))


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    options = f' class="{kind}"' if kind else ""
    if anchor != "start":
        options += f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{options}>{escape(text)}</text>'
