"""The agent as a real Prometheus server sees it: one server, a job and an agent for each test."""

import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator, StaticFleet
from tests.odd_ids import ODD_IDS
from tests.real.agents import ALL_FLAGS, config_on, running, truth
from tests.real.prometheus import Prometheus, prometheus, scraping

START = 1_790_000_000.0


class Clock:
    """The time of the simulated broker, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """A port for each job, kept from everyone else: bound, not listening, and to be reused."""
    jobs = ["fleet", "publisher", "openmetrics", "text", "outage"]
    kept = {job: socket.socket() for job in jobs}
    for one in kept.values():
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
    yield {job: one.getsockname()[1] for job, one in kept.items()}
    for one in kept.values():
        one.close()


@pytest.fixture(scope="module")
def shared_server(
    ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    targets = {job: f"127.0.0.1:{port}" for job, port in ports.items()}
    with prometheus(scraping(targets), tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.fixture
def server(shared_server: Prometheus) -> Iterator[Prometheus]:
    seen = len(shared_server.log)
    yield shared_server
    sys.stderr.write(shared_server.log[seen:])  # which pytest shows if the test has failed


@pytest.mark.real("prometheus")
def test_a_scrape_gives_exactly_the_series_of_the_fleet(
    server: Prometheus, ports: dict[str, int]
) -> None:
    fleet = ProceduralFleet(200, 1, START - 3600)
    rows = truth(fleet, START)
    connected = sum(row["connected"] for row in rows.values())
    disconnected = len(rows) - connected
    open_sockets = sum("recv_oct" in row for row in rows.values())
    assert 0 < disconnected < connected < open_sockets < len(rows) < 200  # a fleet that can tell

    settings = {"port": ports["fleet"], **ALL_FLAGS}
    with (
        Simulator(Broker(source=fleet, clock=lambda: START)) as simulator,
        running(config_on(simulator, fleet.client_ids, settings)),
    ):
        server.wait_for_value('emqx_client_monitor_up{job="fleet"}', 1)
        counts = server.query('count by (__name__) ({job="fleet",__name__=~"emqx_.*"})')
        presence = server.query('emqx_client_monitor_connected{job="fleet"}')
        states = server.query('emqx_client_monitor_clients{job="fleet"}')
        scraped = server.value('up{job="fleet"}')

    assert scraped == 1
    assert {labels["__name__"]: value for labels, value in counts} == {
        "emqx_client_monitor_connected": 200,
        "emqx_client_monitor_subscriptions": len(rows),
        "emqx_client_monitor_inflights": len(rows),
        "emqx_client_monitor_created_at": len(rows),
        "emqx_client_monitor_connected_at": len(rows),
        "emqx_client_monitor_messages_processed_total": 2 * len(rows),
        "emqx_client_monitor_messages_processed_by_qos_total": 6 * len(rows),
        "emqx_client_monitor_messages_dropped_total": 2 * len(rows),
        "emqx_client_monitor_messages_dropped_by_reason_total": 4 * len(rows),
        "emqx_client_monitor_bytes_total": 2 * open_sockets,
        "emqx_client_monitor_packets_total": 2 * len(rows),
        "emqx_client_monitor_last_seen_timestamp_seconds": len(rows),
        "emqx_client_monitor_disconnected_at_timestamp_seconds": disconnected,
        "emqx_client_monitor_connections_total": 200,
        "emqx_client_monitor_mqueue_length": len(rows),
        "emqx_client_monitor_mqueue_dropped_total": len(rows),
        "emqx_client_monitor_awaiting_rel": len(rows),
        "emqx_client_monitor_keepalive_seconds": len(rows),
        "emqx_client_monitor_client_info": len(rows),
        "emqx_client_monitor_nodes": 3,
        "emqx_client_monitor_node_up": 1,
        "emqx_client_monitor_broker_refresh_seconds": 1,
        "emqx_client_monitor_up": 1,
        "emqx_client_monitor_last_success_timestamp_seconds": 1,
        "emqx_client_monitor_poll_duration_seconds": 1,
        "emqx_client_monitor_poll_errors_total": len(Reason),
        "emqx_client_monitor_clients": 4,
        "emqx_client_monitor_build_info": 1,
        "emqx_client_monitor_config_last_reload_success_timestamp_seconds": 1,
        "emqx_client_monitor_config_last_reload_successful": 1,
    }
    assert {labels["client_id"]: value for labels, value in presence} == {
        client_id: int(client_id in rows and rows[client_id]["connected"])
        for client_id in fleet.client_ids
    }
    assert {labels["state"]: value for labels, value in states} == {
        "connected": connected,
        "disconnected": disconnected,
        "absent": 200 - len(rows),
        "unknown": 0,
    }


@pytest.mark.real("prometheus")
def test_a_steady_publisher_has_a_positive_rate(server: Prometheus, ports: dict[str, int]) -> None:
    fleet, clock = ProceduralFleet(20, 1, START - 3600), Clock()
    series = 'emqx_client_monitor_messages_processed_total{job="publisher",direction="rx"}'
    settings = {"port": ports["publisher"], "ttl_seconds": 0}
    with (
        Simulator(Broker(source=fleet, clock=clock)) as simulator,
        running(config_on(simulator, ["sensor-000000"], settings)),
    ):
        before = truth(fleet, clock.now)["sensor-000000"]
        server.wait_for_value(series, before["recv_msg"])
        clock.now += 120
        after = truth(fleet, clock.now)["sensor-000000"]
        server.wait_for_value(series, after["recv_msg"])
        rate = server.value(f"rate({series}[1m])")
        grown = server.value(f"max_over_time({series}[1m]) - min_over_time({series}[1m])")

    assert after["connected_at"] == before["connected_at"]
    assert rate is not None
    assert rate > 0
    assert grown == after["recv_msg"] - before["recv_msg"]


@pytest.mark.real("prometheus")
@pytest.mark.parametrize(
    "job, accept, content_type, family",
    [
        (
            "openmetrics",
            None,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "emqx_client_monitor_packets",
        ),
        (
            "text",
            "text/plain;version=0.0.4",
            "text/plain; version=0.0.4; charset=utf-8",
            "emqx_client_monitor_packets_total",
        ),
    ],
    ids=["what Prometheus asks for itself", "what an older one would ask for"],
)
def test_odd_client_ids_arrive_intact_in_each_format(
    server: Prometheus,
    ports: dict[str, int],
    *,
    job: str,
    accept: str | None,
    content_type: str,
    family: str,
) -> None:
    rows = [
        {"clientid": one, "connected": True, "recv_pkt": number, "send_pkt": 0}
        for number, one in enumerate(ODD_IDS)
    ]
    with (
        Simulator(Broker(source=StaticFleet(rows))) as simulator,
        running(config_on(simulator, ODD_IDS)) as agent,
        relaying(ports[job], agent, accept) as relay,
    ):
        server.wait_for_value(f'emqx_client_monitor_up{{job="{job}"}}', 1)
        packets = server.query(f'emqx_client_monitor_packets_total{{job="{job}",direction="rx"}}')
        metadata = server.ask("targets/metadata", match_target=f'{{job="{job}"}}', metric=family)

    assert {labels["client_id"]: value for labels, value in packets} == {
        one: number for number, one in enumerate(ODD_IDS)
    }
    assert {labels["alias"] for labels, _ in packets} == {
        f"#{number}" for number in range(len(ODD_IDS))
    }
    assert b"accept: application/openmetrics-text;" in relay.requests[0].lower()
    assert f"content-type: {content_type}\r\n".encode() in relay.answers[0].lower()
    # OpenMetrics names the family of a counter without "_total", the older text format with it:
    # Prometheus has read the answer as what it is.
    assert [entry["type"] for entry in metadata] == ["counter"]


@pytest.mark.real("prometheus")
def test_in_an_outage_of_emqx_the_series_end_and_come_back_after_it(
    server: Prometheus, ports: dict[str, int]
) -> None:
    ids = ["a", "b", "c"]
    rows = [{"clientid": one, "connected": True, "recv_pkt": 1} for one in ids]
    connected = 'count(emqx_client_monitor_connected{job="outage"} == 1)'
    settings = {"port": ports["outage"], "ttl_seconds": 0}
    with Simulator(Broker(source=StaticFleet(rows))) as simulator:
        config = config_on(simulator, ids, settings, {"stale_after_seconds": 1})
        with running(config):
            server.wait_for_value(connected, 3)
            simulator.stop()
            server.wait_for_value('emqx_client_monitor_up{job="outage"}', 0)
            server.wait_for('{job="outage",client_id!=""}', lambda samples: not samples)
            during = {
                promql: server.value(promql)
                for promql in (
                    'up{job="outage"}',
                    'emqx_client_monitor_up{job="outage"}',
                    'emqx_client_monitor_clients{job="outage",state="unknown"}',
                )
            }
            simulator.start()
            server.wait_for_value(connected, 3)
            after = server.value('emqx_client_monitor_up{job="outage"}')
            lowest = server.query('min_over_time(emqx_client_monitor_connected{job="outage"}[5m])')

    assert list(during.values()) == [1, 0, 3]
    assert after == 1
    assert [value for _, value in lowest] == [1, 1, 1]  # never a false "not connected"


@pytest.mark.real("promtool")
def test_promtool_has_no_complaint_about_any_metric() -> None:
    fleet = ProceduralFleet(50, 1, START - 3600)
    with (
        Simulator(Broker(source=fleet, clock=lambda: START)) as simulator,
        running(config_on(simulator, fleet.client_ids, ALL_FLAGS)) as agent,
    ):
        text = requests.get(agent.url + "metrics", timeout=10).content
    checked = subprocess.run(
        ["promtool", "check", "metrics"],  # noqa: S607 (from PATH on purpose)
        input=text,
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


class Relay(socketserver.ThreadingTCPServer):
    """Passes requests on to an agent, with another ``Accept`` if given; keeps both sides' words."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, agent: Agent, accept: str | None) -> None:
        self.agent_address = urlsplit(agent.url).hostname, urlsplit(agent.url).port
        self.accept = accept
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []
        super().__init__(("127.0.0.1", port), _Passing)


class _Passing(socketserver.StreamRequestHandler):
    server: Relay

    def handle(self) -> None:
        lines = list(iter(self.rfile.readline, b"\r\n"))
        self.server.requests.append(b"".join(lines))
        if self.server.accept is not None:
            lines = [line for line in lines if not line.lower().startswith(b"accept:")]
            lines.append(f"Accept: {self.server.accept}\r\n".encode())
        with socket.create_connection(self.server.agent_address, timeout=10) as onward:
            onward.sendall(b"".join([*lines, b"Connection: close\r\n\r\n"]))
            answer = b"".join(iter(lambda: onward.recv(2**16), b""))
        self.server.answers.append(answer)
        self.wfile.write(answer)


@contextmanager
def relaying(port: int, agent: Agent, accept: str | None) -> Iterator[Relay]:
    with Relay(port, agent, accept) as relay:
        thread = threading.Thread(target=relay.serve_forever, args=[0.05])
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
