"""How names, values and mapped values of a panel read, more or less as Grafana writes them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

COLORS = {
    "green": "#73bf69",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "purple": "#b877d9",
}


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return the name of a series, with its labels put into ``legend``."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def points(one: Json) -> list[tuple[float, float]]:
    """Return the times and values of a series, one of an instant query too."""
    return [(float(at), float(value)) for at, value in one.get("values", [one.get("value")])]


def latest(one: Json) -> float:
    """Return the last value of a series."""
    return points(one)[-1][1]


def texts_of(mappings: Sequence[Json]) -> dict[int, tuple[str, str]]:
    """Return how mapped values read, and in which colour."""
    options = mappings[0]["options"] if mappings else {}
    return {
        int(value): (text["text"], COLORS.get(text["color"], text["color"]))
        for value, text in options.items()
    }


def shown(value: float, unit: str) -> str:
    """Return a value with its unit."""
    if unit == "s":
        return next(_durations(value))
    if unit == "dateTimeAsIso":
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    if unit == "percentunit":
        return f"{100 * value:.3g}%"
    base = 1024 if unit == "bytes" else 1000
    prefixes = ("", "Ki", "Mi", "Gi") if base == 1024 else ("", "k", "M", "G")
    power = 0
    while abs(value) >= base and power < 3:
        value, power = value / base, power + 1
    suffix = {"bytes": "B", "Bps": "B/s", "cps": "c/s", "pps": "p/s"}.get(unit, "")
    space = " " if suffix or prefixes[power] else ""
    return f"{value:.3g}{space}{prefixes[power]}{suffix}"


def _durations(seconds: float) -> Iterator[str]:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "min")):
        if abs(seconds) >= size:
            yield f"{seconds / size:.3g} {name}{'s' if name != 'min' else ''}"
    yield f"{seconds:.3g} s" if abs(seconds) >= 1 or seconds == 0 else f"{1000 * seconds:.3g} ms"
