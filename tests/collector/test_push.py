"""What is pushed through a real Collector is what is scraped, from the same poll."""

import socket
from collections.abc import Iterator, Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator, StaticFleet
from tests.collector.collector import (
    CONFIGS,
    PROMETHEUS,
    CollectorProcess,
    running_collector,
)
from tests.collector.pushing import (
    GRPC,
    HTTP,
    LISTENER,
    ONE_POLL,
    pushing,
    pushing_config,
)
from tests.odd_ids import ODD_IDS
from tests.processes import Exposition, scrape, wait_until
from tests.real.agents import ALL_FLAGS, truth

START = 1_790_000_000.0

#: Up to the largest number that OTLP can carry.
NUMBERS = [0, 1, 2**53 - 1, 2**53 + 1, 2**63 - 1]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A broker of 50 devices, whose clock stands still, and of clients with odd ids."""
    devices = ProceduralFleet(50, 1, START - 3600)
    rows = list(truth(devices, START).values())
    whole = next(row for row in rows if "recv_oct" in row)
    odd = [
        {**whole, "clientid": one, "recv_oct": NUMBERS[number % len(NUMBERS)]}
        for number, one in enumerate(ODD_IDS)
    ]
    with Simulator(Broker(source=StaticFleet([*rows, *odd]))) as running:
        yield running


def watched() -> list[str]:
    return [*ProceduralFleet(50, 1, START - 3600).client_ids, *ODD_IDS]


def samples(exposition: Exposition, *without: str) -> Samples:
    """Return all samples but those whose names begin with ``without``.

    Values are what Prometheus makes of them, 64-bit floats: above 2**53 one side writes whole
    numbers exactly and the other rounds them.
    """
    found = [sample for sample in exposition.samples if not sample.name.startswith(without)]
    by_series = {
        (sample.name, frozenset(sample.labels.items())): float(sample.value) for sample in found
    }
    assert len(by_series) == len(found)
    return by_series


def standing_still(all_samples: Samples) -> Samples:
    """Leave out what tells of the pushes, which go on."""
    return {series: value for series, value in all_samples.items() if "_otlp_" not in series[0]}


def descriptions(exposition: Exposition) -> dict[str, tuple[str, str]]:
    """Return the type and the help text of each of our metrics."""
    return {
        family.name: (family.type, family.documentation)
        for family in text_string_to_metric_families(exposition.text)
        if family.name.startswith("emqx_")
    }


def without_labels(all_samples: Samples, labels: Mapping[str, str]) -> Samples:
    """Take ``labels`` off every sample; fails where one is missing."""
    taken = frozenset(labels.items())
    assert all(taken <= series for _, series in all_samples)
    return {(name, series - taken): value for (name, series), value in all_samples.items()}


def wait_for_a_whole_push(collector: CollectorProcess, points: int) -> Exposition:
    """Wait until a Collector was told of ``points`` pushed before, and scrape it."""

    def whole() -> Exposition | None:
        found = scrape(collector.url(PROMETHEUS))
        pushed = found.by("otlp_points_total", "outcome").get("success", 0.0)
        return found if pushed >= points else None

    return wait_until(whole)


@pytest.mark.parametrize("protocol, compression", [(GRPC, "none"), (HTTP, "gzip")])
def test_the_collector_shows_exactly_what_a_scrape_of_the_agent_shows(
    protocol: str, compression: str, simulator: Simulator
) -> None:
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        config = pushing_config(
            simulator,
            watched(),
            {**ALL_FLAGS, **ONE_POLL},
            protocol=protocol,
            compression=compression,
            endpoint=collector.url(LISTENER[protocol]),
            max_points_per_request=100,  # a metric of 128 points goes in several requests
        )
        with pushing(config) as agent:
            scraped = scrape(agent.url)
            pushed = wait_for_a_whole_push(collector, len(scraped.samples))
            scraped = scrape(agent.url)  # again, as it tells of a success now
        assert collector.complaints == []

    ours = samples(scraped, "process_", "python_")
    theirs = samples(pushed, "target_info")
    resource = {"job": "otel-emqx-monitor", "instance": f"{socket.gethostname()}/simulated"}
    theirs = without_labels(theirs, resource)
    assert theirs.keys() == ours.keys()
    assert standing_still(theirs) == standing_still(ours)
    assert descriptions(pushed) == descriptions(scraped)

    assert len(ours) > 60 * 23
    received = {
        dict(series)["client_id"]: value
        for (name, series), value in theirs.items()
        if name == "emqx_client_monitor_bytes_total" and ("direction", "rx") in series
    }
    expected = {one: float(NUMBERS[number % 5]) for number, one in enumerate(ODD_IDS)}
    assert {one: received[one] for one in ODD_IDS} == expected
