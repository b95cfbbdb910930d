import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.collector.collector import (
    CONFIGS,
    HEALTH,
    OTLP_GRPC,
    PROMETHEUS,
    CollectorProcess,
    require_collector,
    running_collector,
)
from tests.peers import answering, http, peer
from tests.processes import PATIENCE_SECONDS, scrape, wait_until

_MANIFEST = CONFIGS / "builder.yaml"
_CONFIGS = sorted(set(CONFIGS.glob("*.yaml")) - {_MANIFEST})
_GATEWAY = "OTLP_GATEWAY_ENDPOINT"

_EXPOSITION = r"""# TYPE emqx_client_monitor_connected_at gauge
emqx_client_monitor_connected_at{alias="\"R\" \\1\n",broker="b",client_id="ä"} 1.763772688906e+09
# TYPE emqx_client_monitor_bytes_total counter
emqx_client_monitor_bytes_total{alias="\"R\" \\1\n",broker="b",client_id="ä",direction="rx"} 7.0
"""


def validate(config: Path, **environ: str) -> tuple[int, str]:
    ended = subprocess.run(
        [require_collector(), "validate", f"--config=file:{config}"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return ended.returncode, ended.stdout


def samples(collector: CollectorProcess) -> dict[tuple[str, str], float]:
    """The samples of clients at its Prometheus exporter, by name and direction."""
    found = scrape(collector.url(PROMETHEUS)).of_clients
    for sample in found:
        assert sample.labels["alias"] == '"R" \\1\n'
        assert sample.labels["client_id"] == "ä"
    return {(sample.name, sample.labels.get("direction", "")): sample.value for sample in found}


def test_there_are_configurations_to_test() -> None:
    assert [config.name for config in _CONFIGS] == [
        "agent-to-otlp.yaml",
        "agent-to-prometheus.yaml",
        "scrape.yaml",
    ]


@pytest.mark.parametrize("config", _CONFIGS, ids=lambda config: config.name)
def test_the_collector_finds_nothing_wrong_with(config: Path) -> None:
    assert validate(config, **{_GATEWAY: "gateway.example.org:4317"}) == (0, "")


@pytest.mark.parametrize("name", ["agent-to-otlp.yaml", "scrape.yaml"])
def test_a_gateway_that_was_forgotten_is_an_error_and_no_silent_default(name: str) -> None:
    exit_code, said = validate(CONFIGS / name)
    assert exit_code == 1
    assert 'otlp_grpc: requires a non-empty "endpoint"' in said


def test_agent_to_prometheus_runs_healthy_and_without_complaint() -> None:
    with running_collector(CONFIGS / "agent-to-prometheus.yaml") as collector:
        assert is_healthy(collector)
        assert collector.complaints == []
        assert collector.stop() == 0


def test_agent_to_otlp_runs_healthy_and_without_complaint() -> None:
    with (
        running_collector(CONFIGS / "agent-to-prometheus.yaml") as gateway,
        running_collector(CONFIGS / "agent-to-otlp.yaml", to(gateway)) as collector,
    ):
        assert is_healthy(collector)
        assert collector.complaints == []
        assert collector.stop() == 0


def test_what_is_scraped_reaches_the_gateway_under_the_same_names_and_without_complaint() -> None:
    page = http("200 OK", _EXPOSITION, "Content-Type: text/plain; version=0.0.4")
    with (
        peer(answering(page)) as agent,
        running_collector(CONFIGS / "agent-to-prometheus.yaml") as gateway,
    ):
        address = agent.url.removeprefix("http://").removesuffix("/api/")
        given = {"AGENT_ADDRESS": address, "SCRAPE_INTERVAL": "100ms"} | to(gateway)
        with running_collector(CONFIGS / "scrape.yaml", given) as collector:
            wait_until(lambda: len(samples(gateway)) == 2)
            assert samples(gateway) == {
                ("emqx_client_monitor_connected_at", ""): 1763772688.906,
                ("emqx_client_monitor_bytes_total", "rx"): 7.0,
            }
            assert is_healthy(collector)
            assert collector.complaints == []
        assert gateway.complaints == []


def is_healthy(collector: CollectorProcess) -> bool:
    return requests.get(collector.url(HEALTH), timeout=PATIENCE_SECONDS).status_code == 200


def to(gateway: CollectorProcess) -> dict[str, str]:
    return {_GATEWAY: gateway.listen[OTLP_GRPC], "OTLP_GATEWAY_INSECURE": "true"}


def test_all_modules_of_the_manifest_are_of_one_release() -> None:
    manifest: dict[str, Any] = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    release = manifest.pop("dist")["version"]
    modules = [module["gomod"].split(" ") for kind in manifest.values() for module in kind]
    # Release 0.94 was the first whose stable modules got versions of their own, and these 1.0.
    _, minor, patch = release.split(".")
    versions = {f"v{release}", f"v1.{int(minor) - 94}.{patch}"}
    assert modules
    assert [name for name, version in modules if version not in versions] == []
