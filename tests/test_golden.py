"""Recorded rows in, the exposition out, line by line as committed; `UPDATE_GOLDEN=1` writes it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config, PrometheusConfig
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "recordings" / "10_clients_fields_all.json").read_text())
ALL_FLAGS = {name: True for name in PrometheusConfig.model_fields if name.startswith("enable_")}

#: What differs from run to run, and what stands in the golden file for it.
VARYING = [
    (re.compile(r"^(?:# \w+ )?(?:process|python)_.*\n", re.MULTILINE), ""),
    (re.compile(r"(_success_timestamp_seconds\{.*\}) .*"), r"\1 NOW"),
    (re.compile(r'(_last_seen_timestamp_seconds\{alias="Room.*\}) .*'), r"\1 NOW"),
    (re.compile(r"(_poll_duration_seconds\{.*\}) .*"), r"\1 DURATION"),
    (re.compile(r"(_build_info)\{.*\}"), r"\1{VERSIONS}"),
]


def exposition(flags: dict[str, bool], accept: str = "") -> str:
    with Simulator(Broker(source=StaticFleet(RECORDED["json"]["data"]))) as simulator:
        agent = Agent(config(simulator, flags))
        agent.start()
        answer = requests.get(agent.url + "metrics", headers={"Accept": accept}, timeout=10)
        agent.stop()
    assert answer.status_code == 200
    return answer.content.decode()


def config(simulator: Simulator, flags: dict[str, bool]) -> Config:
    ids: list[tuple[str, str]] = [
        ("Room 1", "dev-a"),
        ('Room "2"\\', "dev-b"),
        ("Sleeper", "persist-c"),
        ("Ghost", "never-seen"),
    ]
    settings: dict[str, Any] = {
        "emqx": {
            "api_url": simulator.url,
            "api_key": simulator.broker.key,
            "api_secret": simulator.broker.secret,
            "alias": "emqx",
        },
        "monitored_clients": [{"alias": alias, "client_id": one} for alias, one in ids],
        "prometheus": {"address": "127.0.0.1", "port": 0, **flags},
    }
    return Config.model_validate(settings)


def without_varying(text: str) -> str:
    for pattern, replacement in VARYING:
        text = pattern.sub(replacement, text)
    return text


@pytest.mark.parametrize("name, flags", [("default", {}), ("all_flags", ALL_FLAGS)])
def test_recorded_rows_give_the_committed_exposition(name: str, flags: dict[str, bool]) -> None:
    golden = HERE / "golden" / f"{name}.prom"
    text = without_varying(exposition(flags))
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(text)
    assert text.splitlines() == golden.read_text().splitlines()


def test_the_names_types_and_help_are_those_of_the_original() -> None:
    original = {}
    for line in (HERE / "golden" / "original_help_and_type.txt").read_text().splitlines():
        _, keyword, name, text = line.split(maxsplit=3)
        original[keyword, name] = text
    ours = {}
    for line in exposition(ALL_FLAGS).splitlines():
        if line.startswith("#"):
            _, keyword, name, text = line.split(maxsplit=3)
            ours[keyword, name] = text
    assert len(original) == 22
    assert {key: ours.get(key) for key in original} == original


def test_prometheus_client_s_parser_reads_it_back() -> None:
    families = {
        family.name: family for family in text_string_to_metric_families(exposition(ALL_FLAGS))
    }
    bytes_family = families["emqx_client_monitor_bytes"]
    assert bytes_family.type == "counter"
    assert {
        (sample.labels["alias"], sample.labels["direction"]): sample.value
        for sample in bytes_family.samples
    } == {
        ("Room 1", "rx"): 376,
        ("Room 1", "tx"): 96,
        ('Room "2"\\', "rx"): 57,
        ('Room "2"\\', "tx"): 267,
    }
    presence = families["emqx_client_monitor_connected"].samples
    assert {sample.labels["client_id"]: sample.value for sample in presence} == {
        "dev-a": 1,
        "dev-b": 1,
        "persist-c": 0,
        "never-seen": 0,
    }


def test_process_python_and_gc_metrics_are_there_as_in_the_original() -> None:
    text = exposition({})
    for name in ("process_cpu_seconds_total", "python_info", "python_gc_collections_total"):
        assert f"# TYPE {name} " in text
