"""SIGTERM and SIGINT end what serves, at once and with exit code 0, from its first moment on."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.brokers import faulty_broker
from tests.processes import (
    PATIENCE_SECONDS,
    serving,
    settings,
    starting,
    wait_until,
    write_config,
)

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
    assert f"    {demo.url}  for people\n    {demo.url}metrics  for Prometheus\n" in told
    assert told.endswith("The demo has ended.")
    assert [event["level"] for event in demo.events if event["level"] != "info"] == []


def test_a_client_that_never_ends_its_request_is_cut_off_in_silence(tmp_path: Path) -> None:
    events = {"events": {"webhook": {"token": "t"}}}
    config = write_config(tmp_path, settings("http://127.0.0.1:9/api/") | events)
    with serving("run", "--cfg", config) as agent:
        where = urlsplit(agent.url)
        with socket.create_connection((where.hostname, where.port), PATIENCE_SECONDS) as client:
            client.sendall(
                b"POST /events HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer t\r\n"
                b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"
            )
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            assert agent.stop() == 0
    assert agent.messages[-1] == "stopping"


def piped(folder: Path, name: str = "pipe") -> Path:
    """Return a pipe for a configuration: whoever reads it waits for whoever writes it."""
    path = folder / name
    os.mkfifo(path, 0o600)
    return path


@both_signals
def test_a_signal_while_the_configuration_is_read_ends_it_as_later(
    number: signal.Signals, tmp_path: Path
) -> None:
    config = Path(write_config(tmp_path, settings("http://127.0.0.1:9/api/")))
    pipe = piped(tmp_path)
    with starting("run", "--cfg", str(pipe)) as agent:
        with pipe.open("wb") as writing:  # which waits until it is read
            agent.send(number)
            writing.write(config.read_bytes())
        assert agent.stop(signal.SIGCONT) == 0, "which does nothing: it was told to end before"
    assert agent.messages[-1] == "stopping"


def test_a_hangup_while_the_configuration_is_read_has_it_read_again(tmp_path: Path) -> None:
    config = Path(write_config(tmp_path, settings("http://127.0.0.1:9/api/")))
    pipe = piped(tmp_path)
    with starting("run", "--no-watch", "--cfg", str(pipe)) as agent:
        with pipe.open("wb") as writing:
            agent.send(signal.SIGHUP)
            writing.write(config.read_bytes())
        assert agent.url
        pipe.write_bytes(config.read_bytes())
        wait_until(lambda: f"what {pipe} says now makes no difference" in agent.messages)
        assert agent.stop() == 0


#: Runs what follows as process 1 of a namespace; no longer than itself.
AS_PID_1 = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def has_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*AS_PID_1, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="may not have a namespace of process ids")
@pytest.mark.parametrize("command, exit_code", [("run", 0), ("validate", 143)])
def test_process_1_ends_when_it_is_told_to_while_the_configuration_is_read(
    command: str, exit_code: int, tmp_path: Path
) -> None:
    """The kernel keeps SIGTERM from it until it has asked for that; a container then waits."""
    config = Path(write_config(tmp_path, settings("http://127.0.0.1:9/api/")))
    pipe = piped(tmp_path)
    program = [*AS_PID_1, sys.executable, "-m", "otel_emqx_monitor", command, "--cfg", str(pipe)]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as outside:
        try:
            with pipe.open("wb") as writing:
                children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
                os.kill(int(children.read_text()), signal.SIGTERM)
                if command == "run":  # else there is nobody left to read it
                    writing.write(config.read_bytes())
            assert outside.wait(PATIENCE_SECONDS) == exit_code
        finally:
            outside.kill()
