"""SIGTERM and SIGINT end what serves, at once and with exit code 0."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.brokers import faulty_broker
from tests.processes import PATIENCE_SECONDS, serving, settings, wait_until, write_config

both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])

#: Longer than ``stop`` has patience: an agent that waits for EMQX does not end in time.
SLOW = {"timeout_seconds": 4 * PATIENCE_SECONDS}
PATIENT = {"X-Prometheus-Scrape-Timeout-Seconds": "120"}


@both_signals
def test_prometheus_ends_while_a_poll_hangs_and_answers_the_scrape_that_waits_for_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    with faulty_broker() as broker, ThreadPoolExecutor(1) as pool:
        broker.hold()
        config = settings(broker.url, emqx=SLOW, polling={"deadline_seconds": 600})
        with serving("prometheus", "--cfg", write_config(tmp_path, config)) as agent:
            waiting = pool.submit(agent.scrape, PATIENT)
            wait_until(lambda: broker.in_flight)
            assert agent.stop(number) == 0
            assert broker.in_flight == 1, "EMQX has not answered"
            assert waiting.result().of_clients == []
    _serves, *others = agent.messages
    assert others == ["stopping"], "the end of the agent is no outage of EMQX"


@both_signals
def test_demo_says_what_it_is_and_ends(number: signal.Signals) -> None:
    with serving("demo", "--port", "0", "--clients", "3") as demo:
        exposition = demo.scrape()
        assert demo.stop(number) == 0
    assert exposition.by("up", "broker") == {"simulated": 1}
    assert sum(exposition.by("clients", "state").values()) == 3
    told = "\n".join(demo.stdout)
    assert "3 clients of a SIMULATED broker, nothing here is real" in told
    assert f"{demo.url}metrics" in told
    assert told.endswith("The demo has ended.")
    assert [event["level"] for event in demo.events if event["level"] != "info"] == []
