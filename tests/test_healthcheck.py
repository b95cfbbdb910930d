"""The command `healthcheck`: what it says of agents and of others, and where it asks."""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from otel_emqx_monitor.healthcheck import Unwell, ask
from otel_emqx_monitor.server import Access
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.peers import answering, http, peer, unused_port
from tests.processes import run, serving, settings, write_config
from tests.web.serving import SECRET_HASH, VERIFYING, Files, port_of, tls
from tests.web.serving import serving as web_serving

OK = http("200 OK", "ok\n", "Content-Type: text/plain")


def config(folder: Path, **prometheus: Any) -> Path:
    return Path(write_config(folder, settings("http://emqx:18083", prometheus=prometheus)))


def trouble(file: Path, *, ready: bool = False, timeout: float = 9) -> str:
    with pytest.raises(Unwell) as raised:
        ask(file, ready=ready, timeout=timeout)
    return str(raised.value)


def port_in(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def test_a_running_agent_is_well_until_it_hangs_or_ends(tmp_path: Path) -> None:
    with Simulator(Broker(source=StaticFleet())) as emqx:
        told = settings(emqx.url, prometheus={"port": unused_port()})
        file = write_config(tmp_path, told)
        with serving("prometheus", "--cfg", file) as agent:
            url = agent.url.rstrip("/")
            agent.scrape()  # which polls
            for arguments in ([], ["--ready"]):
                well = run("healthcheck", *arguments, "--cfg", file)
                assert (well.exit_code, well.stdout, well.stderr) == (0, "ok\n", "")
            agent.send(signal.SIGSTOP)
            hanging = run("healthcheck", "--timeout", "0.3", "--cfg", file)
            agent.send(signal.SIGCONT)
    assert (hanging.exit_code, hanging.stdout) == (1, "")
    assert hanging.stderr == f"otel-emqx-monitor: {url}/healthz does not answer within 0.3 s\n"
    ended = run("healthcheck", "--cfg", file)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == f"otel-emqx-monitor: no agent answers at {url}/healthz: Connection refused\n"
    )


@pytest.mark.parametrize(
    "answer, expected",
    [
        (http("503 Service Unavailable", "the poller does not turn\n"), "the poller does not turn"),
        (http("503 Service Unavailable", b"\x1b[2J\xff"), r"\x1b[2J�"),
        (
            http("404 Not Found"),
            "{url}/healthz answers with status 404; is it another program's port?",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no agent answers at {url}/healthz: SSH-2.0-OpenSSH_9.2"),
    ],
)
def test_what_is_not_well_is_told_in_one_line(tmp_path: Path, answer: bytes, expected: str) -> None:
    with peer(answering(answer)) as other:
        port = port_in(other.url)
        file = config(tmp_path, port=port)
        assert trouble(file) == expected.format(url=f"http://127.0.0.1:{port}")


def test_ready_asks_another_endpoint(tmp_path: Path) -> None:
    with peer(answering(OK)) as agent:
        file = config(tmp_path, port=port_in(agent.url))
        assert ask(file, ready=False, timeout=9) == "ok"
        assert ask(file, ready=True, timeout=9) == "ok"
    assert agent.requests == ["GET /healthz HTTP/1.1", "GET /readyz HTTP/1.1"]


@pytest.mark.parametrize("address", ["0.0.0.0", "localhost", "127.0.0.1"])  # noqa: S104 (it is asked, not bound)
def test_it_asks_where_the_agent_is_reached(tmp_path: Path, address: str) -> None:
    with peer(answering(OK)) as agent:
        file = config(tmp_path, port=port_in(agent.url), address=address)
        assert ask(file, ready=False, timeout=9) == "ok"


@pytest.mark.parametrize("address", ["::", "[::]", "::1"])
def test_it_asks_by_ipv6_what_listens_there(tmp_path: Path, address: str) -> None:
    port = unused_port()
    expected = f"no agent answers at http://[::1]:{port}/healthz: "
    assert trouble(config(tmp_path, port=port, address=address)).startswith(expected)


def test_any_free_port_cannot_be_asked(tmp_path: Path) -> None:
    expected = "prometheus.port is 0, so nobody can know the port; give the agent one"
    assert trouble(config(tmp_path)) == expected


def test_what_is_wrong_elsewhere_in_the_file_makes_no_working_agent_unwell(tmp_path: Path) -> None:
    with peer(answering(OK)) as agent:
        told: dict[str, Any] = {
            "emqx": {"alais": "${env:NOT_SET}"},
            "prometheus": {"port": "${env:METRICS_PORT}"},
        }
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(told))
        environ = {"METRICS_PORT": str(port_in(agent.url))}
        ended = run("healthcheck", "--cfg", str(file), environ=environ)
    assert (ended.exit_code, ended.stdout) == (0, "ok\n")


@pytest.mark.parametrize("text", ["prometheus: [", "prometheus: {prot: 9671}", ""])
def test_a_file_that_does_not_say_where_has_it_ask_at_the_default_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    asked: list[object] = []

    def connect(address: object, *_: object, **__: object) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    first, second, *_ = trouble(file).splitlines()
    assert asked == [("127.0.0.1", 9671)]
    assert first == "no agent answers at http://127.0.0.1:9671/healthz: Connection refused"
    assert second == f"that is the default address: cannot use the configuration {file}:"


def test_the_variable_names_the_file_where_the_option_does_not(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with peer(answering(OK)) as agent:
        file = config(tmp_path, port=port_in(agent.url))
        environ = {"OTEL_EMQX_MONITOR_CONFIG": str(file)}
        assert run("healthcheck", environ=environ).exit_code == 0
        assert run("validate", environ=environ).exit_code == 0
        other = str(config(tmp_path / "other", port=unused_port()))
        for arguments in (["--cfg", other, "healthcheck"], ["healthcheck", "--cfg", other]):
            assert run(*arguments, environ=environ).exit_code == 1


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.certify("agent.example")
    return made


USERS = {"basic_auth_users": {"me": SECRET_HASH}}
TLS = {"tls_server_config": tls()}


@pytest.mark.parametrize(
    "web, answer",
    [
        (USERS, "ok"),
        (TLS, "ok"),
        ({**TLS, **USERS}, "ok"),
        (
            {"tls_server_config": tls(**VERIFYING)},
            "it asks for a client certificate, so it could not be asked more",
        ),
        (
            {"tls_server_config": tls(**VERIFYING, max_version="TLS12")},
            "it asks for a client certificate, so it could not be asked more",
        ),
    ],
)
def test_tls_and_passwords_are_no_obstacle(
    tmp_path: Path, files: Files, web: Mapping[str, Any], answer: str
) -> None:
    path = files.write(web)
    with web_serving(Access(path)) as server:
        file = config(tmp_path, port=port_of(server), web_config_file=path.name)
        assert ask(file, ready=False, timeout=9) == answer


def test_an_agent_whose_web_configuration_was_spoilt_is_asked_as_before(
    tmp_path: Path, files: Files
) -> None:
    path = files.write(TLS)
    with web_serving(Access(path)) as server:
        file = config(tmp_path, port=port_of(server), web_config_file=path.name)
        path.write_text("tls_server_config: [")
        assert ask(file, ready=False, timeout=9) == "ok"


def test_a_plain_answer_where_tls_is_configured_is_told(tmp_path: Path, files: Files) -> None:
    path = files.write(TLS)
    with peer(answering(OK)) as other:
        port = port_in(other.url)
        file = config(tmp_path, port=port, web_config_file=path.name)
        assert trouble(file, timeout=1).startswith(f"https://127.0.0.1:{port}/healthz does not ")
