import csv
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from otel_emqx_monitor.cli import main
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from otel_emqx_monitor.version import __version__
from tests.peers import http, peer, unused_port

ROWS: list[dict[str, Any]] = [
    {
        "clientid": "dev-a",
        "connected": True,
        "connected_at": "2026-11-22T17:20:32.376+00:00",
        "created_at": "2026-11-22T17:20:32.376+00:00",
        "keepalive": 60,
        "recv_msg": 15,
        "username": "alice",
    },
    {"clientid": "dev-b", "connected": False, "keepalive": 30},
]


@pytest.fixture
def broker() -> Iterator[Simulator]:
    with Simulator(Broker(source=StaticFleet(ROWS))) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def settings(url: str, *client_ids: str) -> dict[str, Any]:
    return {
        "emqx": {
            "api_url": url,
            "api_key": "simulated-key",
            "api_secret": "simulated-secret",
            "alias": "lab",
            "attempts": 1,
            "timeout_seconds": 5,
        },
        "monitored_clients": [{"alias": one.upper(), "client_id": one} for one in client_ids],
    }


def write(folder: Path, config: Any, name: str = "config.yaml") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_version_is_told_without_loading_an_sdk() -> None:
    script = (
        "import sys; from otel_emqx_monitor.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'opentelemetry', 'pydantic', 'requests', 'rich', 'uvicorn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert told.stdout.decode() == f"otel-emqx-monitor, version {__version__}\n[]\n"


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("check", "demo", "prometheus", "simulate", "validate"):
        assert f"\n  {command} " in result.output


@pytest.mark.parametrize(
    "wrong", [["chekc"], ["check", "--output", "xml"], ["demo", "--port", "x"]]
)
def test_wrong_usage_ends_with_2(wrong: list[str]) -> None:
    assert run(*wrong).exit_code == 2


def test_a_missing_default_config_says_where_it_looked_and_how_to_start(home: Path) -> None:
    result = run("check")
    assert result.exit_code == 2
    assert str(home / ".config/otel-emqx-monitor/config.yaml") in result.stderr
    assert str(home / ".config/emqx-client-monitor/config.yaml") in result.stderr
    assert "otel-emqx-monitor demo" in result.stderr


def test_the_original_s_config_is_found_where_it_was(home: Path, broker: Simulator) -> None:
    write(home, settings(broker.url, "dev-a"), ".config/emqx-client-monitor/config.yaml")
    assert run("check").exit_code == 0


@pytest.mark.parametrize("before", [True, False])
def test_the_config_can_be_named_before_and_after_the_command(
    home: Path, broker: Simulator, before: bool
) -> None:
    cfg = ["--cfg", write(home, settings(broker.url, "dev-a"), "elsewhere.yaml")]
    assert run(*([*cfg, "check"] if before else ["check", *cfg])).exit_code == 0


def test_a_wrong_config_lists_every_problem_and_ends_with_2(home: Path) -> None:
    wrong = settings("ftp://x", "dev-a") | {"prometheous": {}}
    result = run("validate", "--cfg", write(home, wrong))
    assert result.exit_code == 2
    assert result.stderr.startswith("otel-emqx-monitor: cannot use the configuration ")
    assert "\n  emqx.api_url: must begin with http:// or https://" in result.stderr
    assert "\n  prometheous: " in result.stderr
    assert result.stdout == ""


def test_validate_needs_no_broker(home: Path) -> None:
    cfg = write(home, settings(f"http://127.0.0.1:{unused_port()}/api/", "dev-a"))
    result = run("validate", "--cfg", cfg)
    assert (result.exit_code, result.output) == (
        0,
        "The configuration is valid: 1 monitored client of lab.\n",
    )


def test_validate_counts_clients_and_patterns(home: Path) -> None:
    config = settings("http://localhost:1", "a", "b")
    config["monitored_clients"].append({"client_id_glob": "*"})
    valid = "The configuration is valid: 2 monitored clients and 1 pattern of clients of lab.\n"
    assert run("validate", "--cfg", write(home, config)).output == valid


def test_validate_connect_tells_who_answered(home: Path, broker: Simulator) -> None:
    result = run("validate", "--connect", "--cfg", write(home, settings(broker.url, "dev-a")))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        f"EMQX 5.8.9 at {broker.url}v5 accepts the API key and shows its clients (1 running node).",
        "Counters move every 15 s (mqtt.idle_timeout).",
    ]


def test_validate_connect_tells_how_the_cluster_is_and_what_the_key_may_not_read(
    home: Path,
) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        if b"/nodes" in head:
            states = [("emqx@1", "running"), ("emqx@2", "stopped"), ("emqx@3", "running")]
            nodes = [
                {"node": name, "version": "5.8.9", "node_status": state} for name, state in states
            ]
            connection.sendall(http("200 OK", nodes))
        elif b"/clients" in head:
            connection.sendall(http("200 OK", {"data": [], "meta": {}}))
        else:
            connection.sendall(http("403 Forbidden", {"code": "UNAUTHORIZED_ROLE"}))

    with peer(answer) as api:
        result = run("validate", "--connect", "--cfg", write(home, settings(api.url, "dev-a")))
        who = f"EMQX 5.8.9 at {api.url}v5 accepts the API key and shows its clients"
    assert result.stdout.splitlines()[1:] == [
        f"{who} (2 running nodes, not running: emqx@2).",
        "This key cannot read mqtt.idle_timeout; counters are taken to move every 15 s.",
    ]


@pytest.mark.parametrize(
    "idle_timeout, line",
    [
        ("1500ms", "Counters move every 1.5 s (mqtt.idle_timeout)."),
        (
            "infinity",
            "Counters move only when a client connects: mqtt.idle_timeout is infinity.",
        ),
    ],
)
def test_validate_connect_tells_how_often_counters_move(
    home: Path, idle_timeout: str, line: str
) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        if b"/nodes" in head:
            connection.sendall(http("200 OK", []))
        elif b"/clients" in head:
            connection.sendall(http("200 OK", {"data": [], "meta": {}}))
        else:
            connection.sendall(http("200 OK", {"mqtt": {"idle_timeout": idle_timeout}}))

    with peer(answer) as api:
        result = run("validate", "--connect", "--cfg", write(home, settings(api.url, "dev-a")))
    assert result.stdout.splitlines()[2] == line


def test_validate_connect_advises_where_polls_are_faster_than_counters(
    home: Path, broker: Simulator
) -> None:
    fast = settings(broker.url, "dev-a") | {"polling": {"interval_seconds": 2}}
    result = run("validate", "--connect", "--cfg", write(home, fast))
    assert result.stdout.splitlines()[3:] == [
        (
            "polling.interval_seconds is 2, so several polls in a row find the same counters;"
            " presence gains by it, rates need a window of two refreshes at least."
        )
    ]


def test_validate_connect_ends_with_3_when_the_key_is_refused(
    home: Path, broker: Simulator
) -> None:
    wrong = settings(broker.url, "dev-a")
    wrong["emqx"]["api_secret"] = "not the one"
    result = run("validate", "--connect", "--cfg", write(home, wrong))
    assert result.exit_code == 3
    assert "refused the API key" in result.stderr
    assert "not the one" not in result.output


def test_validate_show_prints_a_config_that_loads_without_its_secrets(home: Path) -> None:
    cfg = write(home, settings("http://emqx:18083/api/", "dev-a"))
    shown = run("validate", "--show", "--cfg", cfg)
    assert shown.exit_code == 0
    effective = yaml.safe_load(shown.stdout)
    assert effective["emqx"]["api_url"] == "http://emqx:18083/api/v5"
    assert effective["emqx"]["api_secret"] == "********"
    assert effective["prometheus"]["ttl_seconds"] == 15
    assert "simulated" not in shown.stdout


def check(home: Path, broker: Simulator, *arguments: str, ids: tuple[str, ...]) -> Result:
    return run("check", *arguments, "--cfg", write(home, settings(broker.url, *ids)))


def test_check_ends_with_0_when_all_are_connected(home: Path, broker: Simulator) -> None:
    result = check(home, broker, ids=("dev-a",))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "1 monitored: 1 connected"
    assert "\x1b" not in result.stdout


def test_check_ends_with_1_when_some_are_not_and_shows_them(home: Path, broker: Simulator) -> None:
    result = check(home, broker, ids=("dev-a", "dev-b", "ghost"))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[4:7]] == ["DEV-A", "DEV-B", "GHOST"]
    assert " disconnected " in lines[5]
    assert " absent " in lines[6]
    assert lines[-1] == "3 monitored: 1 connected, 1 disconnected, 1 absent"


def test_check_all_lists_whoever_is_there_and_judges_nobody(home: Path, broker: Simulator) -> None:
    result = check(home, broker, "--all", ids=("ghost",))
    assert result.exit_code == 0
    assert "Client ID" in result.stdout
    assert "ghost" not in result.stdout
    assert result.stdout.splitlines()[-1] == "2 clients: 1 connected, 1 disconnected"


def test_check_speaks_json(home: Path, broker: Simulator) -> None:
    result = check(home, broker, "--output", "json", ids=("dev-a", "ghost"))
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["broker"] == "lab"
    assert [(one["alias"], one["state"]) for one in report["clients"]] == [
        ("DEV-A", "connected"),
        ("GHOST", "absent"),
    ]
    assert report["clients"][0]["rx"]["messages"] == 15
    assert report["clients"][1]["rx"]["messages"] is None


def test_check_speaks_csv(home: Path, broker: Simulator) -> None:
    result = check(home, broker, "--output", "csv", ids=("dev-a", "ghost"))
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["alias"], row["state"], row["rx_messages"]) for row in table] == [
        ("DEV-A", "connected", "15"),
        ("GHOST", "absent", ""),
    ]


def test_csv_has_the_client_ids_as_they_are(home: Path, broker: Simulator) -> None:
    fleet = broker.broker.source
    assert isinstance(fleet, StaticFleet)
    fleet.replace([{"clientid": "a\x1b[31mb,ü", "connected": True}])
    result = check(home, broker, "--all", "--output", "csv", ids=())
    assert 'a\x1b[31mb,ü"' in result.stdout_bytes.decode()


def test_otlp_wants_its_section(home: Path) -> None:
    result = run("otlp", "--cfg", write(home, settings("http://emqx:18083/api/", "dev-a")))
    assert result.exit_code == 2
    assert "the configuration has no section otlp" in result.stderr


def test_check_ends_with_3_when_emqx_cannot_be_asked(home: Path) -> None:
    url = f"http://127.0.0.1:{unused_port()}/api/"
    result = run("check", "--cfg", write(home, settings(url, "dev-a")))
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"otel-emqx-monitor: cannot connect to EMQX at {url}v5: [Errno 111] Connection refused;"
        " check that the broker runs and that emqx.api_url names its dashboard's host and port\n"
    )


def test_a_terminal_that_lacks_the_characters_gets_others(home: Path, broker: Simulator) -> None:
    cfg = write(
        home,
        settings(broker.url, "dev-a")
        | {"monitored_clients": [{"alias": "Küche", "client_id": "dev-a"}]},
    )
    told = subprocess.run(
        [sys.executable, "-m", "otel_emqx_monitor", "check", "--cfg", cfg],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, b"")
    assert b"| K\\xfcche |" in told.stdout
