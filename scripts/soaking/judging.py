"""What has grown: a trend over a whole series that single steps, spikes and noise do not make."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

#: Fewer values tell nothing of a trend.
ENOUGH = 9

#: Of longer series as many values, evenly spread, are taken: a slope for each two of them.
_MOST = 240


@dataclass(frozen=True)
class Verdict:
    """One line of the account: what was measured, what is allowed, whether that is kept."""

    what: str
    measured: str
    allowed: str
    good: bool


@dataclass(frozen=True)
class Trend:
    """How a series has changed: its median at first and at last (thirds), and by how much in all.

    ``grown`` is the lower one of two estimates, which a lasting growth makes alike: Theil and Sen's
    slope (the median of the slopes between all pairs) times the time, and one and a half times the
    difference of the medians of the last third and the first. Neither heeds up to a quarter of
    values that lie anywhere.
    """

    first: float
    last: float
    grown: float


def trend(times: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Return the trend of ``values`` at ``times``, ``None`` of too few."""
    if len(values) < ENOUGH:
        return None
    third = len(values) // 3
    first, last = median(values[:third]), median(values[-third:])
    grown = slope(times, values) * (times[-1] - times[0])
    return Trend(first, last, min(grown, 1.5 * (last - first)))


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return Theil and Sen's slope: the median of those between all pairs of values."""
    step = -(-len(values) // _MOST)
    points = list(zip(times, values, strict=True))[::step]
    return median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
