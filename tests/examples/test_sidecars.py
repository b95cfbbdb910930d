"""Agents beside three nodes: what the documented queries say is true at every step."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.built import ROOT
from tests.examples.promql import documented_queries, hastened
from tests.examples.sidecars import FASTER, MONITORS, PODS, Sidecars, sidecars
from tests.examples.tools import KUSTOMIZE
from tests.real.prometheus import Samples

FIRST, SECOND, THIRD = PODS

QUERIES = {name: hastened(query, FASTER) for name, query in documented_queries().items()}

#: What the README says of this one: that it guesses.
SHORT = "max without (instance, pod) (emqx_client_monitor_connected)"


@pytest.fixture
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecars]:
    with sidecars(tmp_path_factory.mktemp("sidecars")) as running:
        yield running


def by_alias(samples: Samples, **labels: str) -> dict[str, float]:
    """Return the values of the samples that have these labels, by the client's alias."""
    wanted = [one for one in samples if labels.items() <= one.labels.items()]
    values = {one.labels["alias"]: one.value for one in wanted}
    assert len(values) == len(wanted), f"more than one series for a client: {samples}"
    return values


def expect(layout: Sidecars, **presence: int) -> None:
    """Wait until the presence of all clients is this, for both PodMonitors."""
    layout.server.wait_for(
        QUERIES["presence"],
        lambda found: all(by_alias(found, broker=one) == presence for one in MONITORS),
    )


def expect_of_mover(layout: Sidecars, query: str, value: float, *, broker: str = "sums") -> None:
    """Wait until a query about received messages, or about drops, says this of the mover."""
    layout.server.wait_for(
        QUERIES[query], lambda found: _received(found, broker).get("mover") == value
    )


def _received(samples: Samples, broker: str) -> dict[str, float]:
    return by_alias([one for one in samples if one.labels.get("direction") != "tx"], broker=broker)


def presence_since(layout: Sidecars, begin: float, alias: str) -> set[float]:
    """Return all values that the presence of a client has had since ``begin``."""
    answer = layout.server.ask(
        "query_range",
        query=QUERIES["presence"],
        start=str(begin),
        end=str(time.time()),
        step="0.2",
    )
    found = [one["values"] for one in answer["result"] if one["metric"]["alias"] == alias]
    return {float(value) for values in found for _, value in values}


def test_the_short_form_is_documented_with_its_weakness() -> None:
    assert f"* `{SHORT}` alone is the short form" in (KUSTOMIZE / "README.md").read_text()


def test_the_page_about_clusters_has_the_same_query_for_presence() -> None:
    page = (ROOT / "docs" / "clusters.md").read_text()
    [query] = re.findall(r"```promql\n(.*?)```", page, re.DOTALL)
    expected = documented_queries()["presence"].replace("namespace, ", "")
    assert re.sub(r"\s", "", query) == re.sub(r"\s", "", expected)


@pytest.mark.real("prometheus")
def test_presence_and_sums_are_right_at_every_step(layout: Sidecars) -> None:
    for name, pod in {"one": FIRST, "two": SECOND, "three": THIRD, "nameless": THIRD}.items():
        layout.put(name, pod)
    session = datetime.now(UTC)
    layout.put("mover", FIRST, received=5, dropped=1, created_at=session)
    expect(layout, one=1, two=1, three=1, nameless=1, mover=1, ghost=0)
    expect_of_mover(layout, "sum", 5)
    begin = time.time()
    client_moves(layout, session)
    client_leaves_and_returns(layout)
    pod_dies(layout)
    node_hangs(layout)
    assert presence_since(layout, begin, "one") == {1}
    assert presence_since(layout, begin, "two") == {1}  # or nothing


def client_moves(layout: Sidecars, session: datetime) -> None:
    """It moves with its session: one connection after the other, each counted once."""
    begin = time.time()
    layout.put("mover", SECOND, received=2, dropped=3, created_at=session)
    expect_of_mover(layout, "sum", 7)
    expect_of_mover(layout, "sum", 2, broker="live")
    expect_of_mover(layout, "rate", 0)
    expect_of_mover(layout, "rate", 0, broker="live")
    # Of the session's drops the sum counts those before the move twice; max does not.
    expect_of_mover(layout, "session", 3)
    assert dropped(layout) == 1 + 3
    layout.put("mover", THIRD, received=4, dropped=3, created_at=session)
    expect_of_mover(layout, "sum", 11)
    layout.put("mover", FIRST, received=1, dropped=3, created_at=session)
    expect_of_mover(layout, "sum", 12)
    expect(layout, one=1, two=1, three=1, nameless=1, mover=1, ghost=0)
    assert presence_since(layout, begin, "mover") == {1}  # all the while


def client_leaves_and_returns(layout: Sidecars) -> None:
    layout.put("mover", None)
    expect(layout, one=1, two=1, three=1, nameless=1, mover=0, ghost=0)
    expect_of_mover(layout, "sum", 12)
    layout.put("mover", THIRD, received=1)
    expect(layout, one=1, two=1, three=1, nameless=1, mover=1, ghost=0)
    expect_of_mover(layout, "sum", 13)
    layout.clients["mover"].received = 4
    layout.tell()
    expect_of_mover(layout, "sum", 16)
    layout.server.wait_for(QUERIES["rate"], lambda found: _received(found, "live")["mover"] > 0)


def pod_dies(layout: Sidecars) -> None:
    """Until Kubernetes knows, nobody can tell where its clients are.

    Then those are missed whom another agent knows: by name, or from an earlier visit.
    """
    layout.die(THIRD)
    expect(layout, one=1, two=1)
    assert by_alias(layout.server.query(SHORT), broker="live")["three"] == 0  # that is a guess
    layout.delete(THIRD)
    expect(layout, one=1, two=1, three=0, mover=0, ghost=0)
    layout.put("mover", FIRST, received=1)
    expect(layout, one=1, two=1, three=0, mover=1, ghost=0)
    layout.cluster.start(PODS[THIRD])
    layout.begin(THIRD)
    layout.discover()
    expect(layout, one=1, two=1, three=1, nameless=1, mover=1, ghost=0)
    expect_of_mover(layout, "sum", 17)  # its agent has kept its state file


def node_hangs(layout: Sidecars) -> None:
    """The agents beside it are well: they know that they do not know."""
    begin = time.time()
    layout.cluster.freeze(PODS[SECOND])
    expect(layout, one=1, three=1, nameless=1, mover=1)
    layout.put("mover", THIRD, received=1)
    expect_of_mover(layout, "sum", 18)
    layout.cluster.thaw(PODS[SECOND])
    expect(layout, one=1, two=1, three=1, nameless=1, mover=1, ghost=0)
    assert presence_since(layout, begin, "mover") == {1}


def dropped(layout: Sidecars) -> float | None:
    """Return what the sum over all agents says of the drops of the mover's queue."""
    wrong = 'sum(emqx_client_monitor_mqueue_dropped_total{alias="mover", broker="sums"})'
    return layout.server.value(wrong)
