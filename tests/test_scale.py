"""Many clients and odd ones, asked for over real sockets at a simulated broker."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import State, Watched
from otel_emqx_monitor.instruments import fields_for
from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator, StaticFleet
from tests.fleets import assess
from tests.real.agents import config_on, running, truth

START = 1_790_000_000.0

#: In bytes. EMQX answers 414 from 8,000 on.
LONGEST_REQUEST_LINE = 7_900

ODD_IDS = [
    "with spaces ",
    " ",
    "'single' and \"double\"",
    "a&clientid=b&limit=1",
    "a/b",
    "/",
    "back\\slash",
    "new\nline\r",
    "größe-温度-🌡",
    "e\u0301 is not \u00e9",
    "a+b",
    "50%",
    "%2F is not /",
    "a,b;c=d?e#f",
    "\x01\x1b[31mcontrol\x7f\u2028",
    "[]",
    "x" * 512,
    "温" * 170 + "ab",
]


@contextmanager
def broker_of(clients: int, version: str = "5.8.9") -> Iterator[tuple[Simulator, ProceduralFleet]]:
    """Run a broker whose clock stands still, so that all who ask are told the same."""
    fleet = ProceduralFleet(clients, 1, START - 3600)
    with Simulator(Broker(source=fleet, clock=lambda: START, version=version)) as simulator:
        yield simulator, fleet


def poll(simulator: Simulator, watched: Sequence[str] | None) -> Poll:
    config = config_on(simulator, watched or [])
    client = EmqxClient(
        config.emqx, fields_for(config.prometheus.flags), watched, deadline_seconds=60
    )
    try:
        return client.poll()
    finally:
        client.close()


def states(rows: dict[str, dict[str, Any]], watched: Sequence[str]) -> dict[str, State]:
    """Return what is true of the ``watched`` clients when the broker holds ``rows``."""
    of_row = {True: State.CONNECTED, False: State.DISCONNECTED}
    return {one: of_row[rows[one]["connected"]] if one in rows else State.ABSENT for one in watched}


def check(simulator: Simulator, folder: Path, *options: str) -> str:
    """Return what the program prints for ``check --all`` in a process of its own."""
    config = folder / "config.yaml"
    emqx = {
        "api_url": simulator.url,
        "api_key": simulator.broker.key,
        "api_secret": simulator.broker.secret,
        "alias": "simulated",
    }
    config.write_text(json.dumps({"emqx": emqx}))  # JSON is YAML too
    command = [sys.executable, "-m", "otel_emqx_monitor", "check", "--all", "--cfg", str(config)]
    done = subprocess.run(
        [*command, *options],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


@pytest.mark.parametrize(
    "version, watched, clients, asked",
    [
        pytest.param("5.8.9", 1, 10_000, {"lookup": 1}, id="1 of 10,000 is looked up"),
        pytest.param("5.8.9", 20, 10_000, {"list": 1}, id="20 of 10,000 in a batch"),
        pytest.param("5.8.9", 300, 300, {"list": 1}, id="300 in a page"),
        pytest.param("5.8.9", 300, 3_000, {"list": 1}, id="300 of 3,000 in a batch"),
        pytest.param("5.8.9", 1_000, 1_000, {"list": 1}, id="1,000 in a page"),
        pytest.param("5.8.9", 1_000, 5_000, {"list": 3}, id="1,000 of 5,000 in three batches"),
        pytest.param("5.8.9", 10_000, 10_000, {"list": 1}, id="10,000 in a page"),
        pytest.param("5.5.1", 3_000, 3_000, {"list": 1}, id="3,000 in a page of 5.5"),
        pytest.param("5.0.26", 300, 300, {"list": 1}, id="300 in a page of 5.0"),
        pytest.param("5.0.26", 300, 3_000, {"lookup": 300}, id="300 of 3,000 looked up in 5.0"),
    ],
)
def test_a_poll_of_many_is_whole_and_true(
    version: str, watched: int, clients: int, asked: dict[str, int]
) -> None:
    with broker_of(clients, version) as (simulator, fleet):
        ids = fleet.client_ids[:: clients // watched]
        polled = poll(simulator, ids)
    found = assess(polled, [Watched(client_id, client_id) for client_id in ids]).clients
    assert {client.client_id: client.state for client in found} == states(truth(fleet, START), ids)
    assert len(found) == watched
    assert dict(simulator.requests) == {"nodes": 1, "config": 1, **asked}
    assert max(map(len, simulator.request_lines)) <= LONGEST_REQUEST_LINE


def test_25_000_clients_are_read_in_three_pages() -> None:
    with broker_of(25_000) as (simulator, fleet):
        polled = poll(simulator, None)
    rows = truth(fleet, START)
    assert 20_000 < len(rows) < 25_000
    assert polled.rows.keys() == rows.keys()
    assert {one: row.connected for one, row in polled.rows.items()} == {
        one: row["connected"] for one, row in rows.items()
    }
    assert {one: row.recv_oct for one, row in polled.rows.items()} == {
        one: row.get("recv_oct") for one, row in rows.items()
    }
    assert dict(simulator.requests) == {"nodes": 1, "list": 3, "config": 1}


def test_check_prints_25_000_clients_as_json(tmp_path: Path) -> None:
    with broker_of(25_000) as (simulator, fleet):
        printed = json.loads(check(simulator, tmp_path, "--output", "json"))
    rows = truth(fleet, START)
    assert len(printed["clients"]) == len(rows)
    assert {client["client_id"]: client["state"] for client in printed["clients"]} == states(
        rows, list(rows)
    )
    assert dict(simulator.requests) == {"nodes": 1, "list": 3, "config": 1}


def test_check_draws_a_row_for_each_of_10_000_clients(tmp_path: Path) -> None:
    with broker_of(10_500) as (simulator, fleet):
        *table, summary = check(simulator, tmp_path).splitlines()
    rows = truth(fleet, START)
    assert len(rows) >= 10_000
    body = [line.strip("│").split("│") for line in table if line.startswith("│")]
    assert [cells[0].strip() for cells in body] == sorted(rows)
    away = [cells[0].strip() for cells in body if cells[3].strip() == "disconnected"]
    assert away == sorted(one for one, row in rows.items() if not row["connected"])
    assert summary == (
        f"{len(rows)} clients: {len(rows) - len(away)} connected, {len(away)} disconnected"
    )


def test_metrics_of_1_000_clients_are_those_of_the_broker() -> None:
    with broker_of(1_000) as (simulator, fleet):
        families = exposition(simulator, fleet.client_ids)
    rows = truth(fleet, START)
    connected = states(rows, fleet.client_ids)
    assert families["emqx_client_monitor_connected"] == {
        (one, ""): int(state is State.CONNECTED) for one, state in connected.items()
    }
    for name, received, sent in [
        ("messages_processed", "recv_msg", "send_msg"),
        ("bytes", "recv_oct", "send_oct"),
        ("packets", "recv_pkt", "send_pkt"),
    ]:
        assert families[f"emqx_client_monitor_{name}"] == {
            (one, direction): row[field]
            for one, row in rows.items()
            for direction, field in (("rx", received), ("tx", sent))
            if field in row
        }


def exposition(
    simulator: Simulator, watched: Sequence[str]
) -> dict[str, dict[tuple[str, str], float]]:
    """Return the samples of an agent by metric, client id and direction (empty where none)."""
    with running(config_on(simulator, watched)) as agent:
        answer = requests.get(agent.url + "metrics", timeout=30)
    answer.encoding = "utf-8"
    return {
        family.name: {
            (sample.labels.get("client_id", ""), sample.labels.get("direction", "")): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(answer.text)
    }


@pytest.mark.parametrize(
    "version, others, plan",
    [
        ("5.0.26", 1_000, "lookups"),
        ("5.5.1", 1_000, "lookups"),
        ("5.8.9", 15_000, "lookups"),
        ("5.8.9", 500, "batch"),
        ("5.0.26", 0, "sweep"),
        ("5.5.1", 0, "sweep"),
        ("5.8.9", 0, "sweep"),
    ],
)
def test_odd_client_ids_arrive_intact(version: str, others: int, plan: str) -> None:
    # EMQX takes a path that ends in "/." or "/.." for another one: these cannot be looked up.
    ids = ODD_IDS if plan == "lookups" else [*ODD_IDS, ".", ".."]
    rows: list[dict[str, Any]] = [
        {"clientid": one, "connected": True, "recv_pkt": number, "send_pkt": 0}
        for number, one in enumerate(ids)
    ]
    strangers = [{"clientid": f"other-{number}", "connected": True} for number in range(others)]
    with Simulator(Broker(source=StaticFleet(rows + strangers), version=version)) as simulator:
        packets = exposition(simulator, ids)["emqx_client_monitor_packets"]
    assert {one: value for (one, direction), value in packets.items() if direction == "rx"} == {
        one: number for number, one in enumerate(ids)
    }
    lists = [line for line in simulator.request_lines if line.startswith("GET /api/v5/clients?")]
    selecting = [line for line in lists if "clientid=" in line]
    assert simulator.requests["lookup"] == (len(ids) if plan == "lookups" else 0)
    assert (len(lists), len(selecting)) == {"lookups": (0, 0), "batch": (1, 1), "sweep": (1, 0)}[
        plan
    ]
    assert max(map(len, simulator.request_lines)) <= LONGEST_REQUEST_LINE
