"""A Collector that is not there, dies, hangs or has the wrong certificate: the agent goes on."""

import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.collector import (
    CONFIGS,
    PROMETHEUS,
    CollectorProcess,
    require_collector,
    running_collector,
)
from tests.collector.pushing import (
    LISTENER,
    both_protocols,
    pushing,
    pushing_config,
    said,
    wait_for_exports,
)
from tests.peers import unused_port
from tests.processes import Exposition, scrape, serving, settings, wait_until, write_config

ROWS = [{"clientid": "a", "connected": True, "recv_msg": 7, "send_msg": 3}]

INTERVALS = 5

_CONFIG = CONFIGS / "agent-to-prometheus.yaml"

_TLS = """
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: ${env:OTLP_GRPC_LISTEN}
        tls: &tls {cert_file: "${env:TLS_CERTIFICATE}", key_file: "${env:TLS_KEY}"}
      http:
        endpoint: ${env:OTLP_HTTP_LISTEN}
        tls: *tls
exporters:
  prometheus: {endpoint: "${env:PROMETHEUS_LISTEN}"}
service:
  pipelines:
    metrics: {receivers: [otlp], exporters: [prometheus]}
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(Broker(source=StaticFleet(ROWS))) as running:
        yield running


#: Each request is tried once, as time is too short for more.
ONE_TRY = {"timeout_seconds": 0.5}


def pushing_to(endpoint: str, protocol: str, simulator: Simulator, **otlp: Any) -> Config:
    section = {"endpoint": endpoint, "protocol": protocol, **ONE_TRY, **otlp}
    return pushing_config(simulator, ["a"], **section)


def wait_for_clients(collector: CollectorProcess) -> Exposition:
    """Wait until a Collector shows what was pushed; its exporter may not listen from the start."""

    def found() -> Exposition | None:
        exposition = scrape(collector.url(PROMETHEUS))
        return exposition if exposition.by("connected", "client_id") == {"a": 1} else None

    return wait_until(found)


def assert_an_outage(lines: list[str], endpoint: str, words: str) -> None:
    """Check the lines that begin and end one outage."""
    begin, end = lines
    assert begin.startswith(f"pushing to the Collector at {endpoint}")
    assert words in begin
    assert begin.endswith("; trying again until it works")
    assert end.startswith("the Collector takes data again after ")


@both_protocols
def test_a_collector_may_come_late_be_killed_and_come_back(
    protocol: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    require_collector()
    caplog.set_level(logging.INFO)
    listen = {LISTENER[protocol]: f"127.0.0.1:{unused_port()}"}
    endpoint = f"http://{listen[LISTENER[protocol]]}"
    with pushing(pushing_to(endpoint, protocol, simulator)) as agent:
        absent = wait_for_exports(agent, "dropped")
        with running_collector(_CONFIG, listen) as collector:
            wait_for_clients(collector)
            wait_for_exports(agent, "success")
            collector.stop(signal.SIGKILL)
            killed = wait_for_exports(agent, "dropped", INTERVALS)
        with running_collector(_CONFIG, collector.listen) as collector:
            wait_for_clients(collector)
            recovered = wait_for_exports(agent, "success")
            lines = said(caplog)
    for scraped in (absent, killed, recovered):
        assert scraped.by("connected", "client_id") == {"a": 1}
        assert scraped.by("otlp_points_total", "outcome")["refused"] == 0
    assert_an_outage(lines[:2], endpoint, "refused")
    assert_an_outage(lines[2:], endpoint, "")


@both_protocols
def test_what_accepts_connections_and_never_answers_is_given_up_until_a_collector_comes(
    protocol: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    require_collector()
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the kernel accepts in its name
        listen = {LISTENER[protocol]: f"127.0.0.1:{mute.getsockname()[1]}"}
        endpoint = f"http://{listen[LISTENER[protocol]]}"
        config = pushing_to(endpoint, protocol, simulator, timeout_seconds=0.2)
        with pushing(config) as agent:
            hung = wait_for_exports(agent, "dropped", INTERVALS)
            mute.close()
            with running_collector(_CONFIG, listen) as collector:
                wait_for_clients(collector)
                wait_for_exports(agent, "success")
                lines = said(caplog)
    assert hung.by("connected", "client_id") == {"a": 1}
    assert_an_outage(lines, endpoint, "")


@both_protocols
def test_a_certificate_of_a_strangers_ca_is_called_that_until_the_right_one_comes(
    protocol: str, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    require_collector()
    caplog.set_level(logging.INFO)
    trusted, stranger = trustme.CA(), trustme.CA()
    ca_file = tmp_path / "ca.pem"
    trusted.cert_pem.write_to_path(str(ca_file))
    listen = {LISTENER[protocol]: f"127.0.0.1:{unused_port()}"}
    endpoint = f"https://{listen[LISTENER[protocol]]}"
    config = pushing_to(endpoint, protocol, simulator, ca_file=str(ca_file))
    with (
        running_collector(_TLS, listen | certificate(stranger, tmp_path)) as strange,
        pushing(config) as agent,
    ):
        refused = wait_for_exports(agent, "dropped")
        assert scrape(strange.url(PROMETHEUS)).samples == []
        strange.stop()
        with running_collector(_TLS, listen | certificate(trusted, tmp_path)) as collector:
            wait_for_clients(collector)
            wait_for_exports(agent, "success")
            lines = said(caplog)
    assert refused.by("connected", "client_id") == {"a": 1}
    assert_an_outage(lines, endpoint, "CERTIFICATE_VERIFY_FAILED")
    assert "otlp.ca_file" in lines[0]


@both_protocols
def test_stderr_has_one_line_about_a_wrong_certificate_and_nothing_beside_the_log(
    protocol: str, simulator: Simulator, tmp_path: Path
) -> None:
    with running_collector(_TLS, certificate(trustme.CA(), tmp_path)) as collector:
        endpoint = f"https://{collector.listen[LISTENER[protocol]]}"
        otlp = {"endpoint": endpoint, "protocol": protocol, "interval_seconds": 0.1, **ONE_TRY}
        config = {**settings(simulator.url, clients={"A": "a"}), "otlp": otlp}
        with serving("run", "--cfg", write_config(tmp_path, config)) as agent:
            wait_until(
                lambda: agent.scrape().by("otlp_exports_total", "outcome")["dropped"] >= INTERVALS
            )
            assert agent.stop() == 0
    _serves, _pushes, failure, stopping = agent.messages
    assert "CERTIFICATE_VERIFY_FAILED" in failure
    assert stopping == "stopping"


def certificate(authority: trustme.CA, folder: Path) -> dict[str, str]:
    """Issue a certificate; returns where a Collector finds it, for its environment."""
    issued = authority.issue_cert("127.0.0.1")
    files = {"TLS_CERTIFICATE": folder / "cert.pem", "TLS_KEY": folder / "key.pem"}
    issued.cert_chain_pems[0].write_to_path(str(files["TLS_CERTIFICATE"]))
    issued.private_key_pem.write_to_path(str(files["TLS_KEY"]))
    return {name: str(file) for name, file in files.items()}
