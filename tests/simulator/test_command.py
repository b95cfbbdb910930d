import signal
import subprocess
import sys

import pytest
import requests
import yaml

from otel_emqx_monitor.listening import ListenError
from otel_emqx_monitor.simulator import Broker, Cluster, ProceduralFleet, Simulator
from otel_emqx_monitor.simulator.cluster import node_names
from otel_emqx_monitor.simulator.command import introduction, run_simulator

PROGRAM = """
from otel_emqx_monitor.simulator.command import run_simulator
run_simulator(clients=50, port=0, seed=1, nodes=3)
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_runs_until_a_signal_and_exits_with_0(stop: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-W", "error", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        said = list(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        [url] = [line.split()[1] for line in said if line.startswith("  URL ")]
        with requests.Session() as session:  # its connection stays open while the broker stops
            session.auth = ("simulated-key", "simulated-secret")
            answer = session.get(url + "v5/clients")
            nodes = session.get(url + "v5/nodes")
            process.send_signal(stop)
            rest, errors = process.communicate(timeout=10)
    assert answer.json()["meta"]["count"] > 40
    assert len({row["node"] for row in answer.json()["data"]}) == len(nodes.json()) == 3
    assert rest == "The simulated broker has stopped.\n"
    assert errors == ""
    assert process.returncode == 0


def test_taken_port_is_refused_and_signals_are_left_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Simulator(Broker(source=ProceduralFleet(1, 1, 0))) as running:
        port = int(running.url.split(":")[2].split("/")[0])
        with pytest.raises(ListenError, match=f"port {port}: Address already in use"):
            run_simulator(1, port, 1, echo=lambda _: pytest.fail("said something"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_introduction_says_what_it_is_and_how_to_use_it() -> None:
    fleet = ProceduralFleet(1000, 7, 0)
    broker = Broker(source=fleet, key="k", secret="it's")
    assert introduction(Simulator(broker, port=18083), fleet, 7).splitlines() == [
        "This broker is SIMULATED: EMQX 5.8.9's REST API and no MQTT.",
        "Its 1000 clients are made up (seed 7); about nine in ten are connected.",
        "Told where to by otel-emqx-monitor setup-events, it posts events in real time.",
        "",
        "  URL     http://127.0.0.1:18083/api/",
        "  key     k",
        "  secret  it's",
        "",
        "Ask it:",
        "",
        """  curl -u 'k:it'"'"'s' 'http://127.0.0.1:18083/api/v5/clients?limit=2'""",
        "",
        "Watch it, with a config like this:",
        "",
        "  emqx:",
        '    api_url: "http://127.0.0.1:18083/api/"',
        '    api_key: "k"',
        '    api_secret: "it\'s"',
        '    alias: "simulated"',
        "  monitored_clients:",
        "    - {alias: sensor-000000, client_id: sensor-000000}",
        "    - {alias: tracker-000001, client_id: tracker-000001}",
        "    - {alias: panel-000002, client_id: panel-000002}",
        "",
        "Ctrl-C stops it.",
    ]


def test_introduction_to_a_cluster_says_how_to_freeze_a_node() -> None:
    fleet = ProceduralFleet(10, 7, 0)
    cluster = Cluster(dict(zip(node_names(2), fleet.on_nodes(2), strict=True)))
    text = introduction(Simulator(Broker(source=cluster), port=18083), fleet, 7)
    assert text.splitlines()[-10:] == [
        "It has 2 nodes: emqx@127.0.0.1, emqx2@127.0.0.1; the first one answers.",
        "Freeze one (or thaw, kill, start it); this needs no key:",
        "",
        "  curl -X POST 'http://127.0.0.1:18083/simulator/nodes/emqx2@127.0.0.1/freeze'",
        "",
        "See the nodes and what else can be done:",
        "",
        "  curl 'http://127.0.0.1:18083/simulator'",
        "",
        "Ctrl-C stops it.",
    ]


def test_config_in_the_introduction_is_yaml() -> None:
    fleet = ProceduralFleet(2, 1, 0)
    text = introduction(Simulator(Broker(source=fleet)), fleet, 1)
    config = yaml.safe_load(text[text.index("  emqx:") : text.index("Ctrl-C")])
    assert config["emqx"]["api_key"] == "simulated-key"
    assert config["monitored_clients"][1] == {
        "alias": "tracker-000001",
        "client_id": "tracker-000001",
    }
