"""Requests and limits are no less than what was measured, and the README says the same."""

import re
from dataclasses import dataclass

import pytest
import yaml

from tests.examples.tools import CHART, KUSTOMIZE, Object, agent_of

_README = (KUSTOMIZE / "README.md").read_text()

#: Seconds from one poll to the next, in both layouts.
_INTERVAL = 15

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000}


@dataclass(frozen=True)
class Measured:
    """A row of what ``scripts/size`` printed."""

    clients: int
    poll_seconds: float
    peak_mib: float


def measured() -> list[Measured]:
    """Return the rows of the README's table."""
    part = _README.split("<!-- sizes: begin -->")[1].split("<!-- sizes: end -->")[0]
    rows = [re.findall(r"[^|]+", line) for line in part.splitlines() if "MiB" in line]
    return [
        Measured(int(row[0].replace(",", "")), float(row[3].split()[0]), float(row[4].split()[0]))
        for row in rows
    ]


def resources(size: str) -> Object:
    """Return the resources of a size."""
    component = yaml.safe_load((KUSTOMIZE / "sizes" / size / "resources.yaml").read_text())
    found: Object = agent_of(component)["resources"]
    return found


def mib(quantity: str) -> int:
    return int(quantity.removesuffix("Mi"))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_measured_fits_in(size: str) -> None:
    rows = [row for row in measured() if row.clients == SIZES[size]]
    assert len(rows) == 2  # both ways to count
    given = resources(size)
    peak = max(row.peak_mib for row in rows)
    assert peak <= mib(given["requests"]["memory"]) <= 1.5 * peak
    assert 2 * peak <= mib(given["limits"]["memory"])
    cpu = int(given["requests"]["cpu"].removesuffix("m")) / 1000
    assert max(row.poll_seconds for row in rows) / _INTERVAL <= cpu
    assert "cpu" not in given["limits"]


@pytest.mark.parametrize("size", SIZES)
def test_the_readme_and_the_chart_say_the_same(size: str) -> None:
    given = resources(size)
    requests, limits = given["requests"], given["limits"]
    row = f"| `{size}` | {requests['cpu']} | {requests['memory']} | {limits['memory']} |"
    assert row in _README.splitlines()
    values = yaml.safe_load((CHART.parent / "values" / f"{size}.yaml").read_text())
    assert values == {"resources": given}


def test_the_chart_s_default_is_for_ten_thousand() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["resources"] == resources("10k")
