"""examples/compose.yaml as Docker Compose's own code reads it, and each file that it mounts."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_emqx_monitor.config import load
from otel_emqx_monitor.version import __version__
from tests.built import ROOT
from tests.collector.collector import require_collector
from tests.examples.containers import container_check
from tests.processes import wait_until
from tests.real.mosquitto import Mosquitto, mosquitto

EXAMPLES = ROOT / "examples"
COMPOSE = EXAMPLES / "compose.yaml"

#: Those that write beside their own files, so their root file system cannot be read-only.
_UNCONFINED = {"emqx"}


def loaded(file: Path) -> dict[str, Any]:
    """Return the project with all defaults, as ``docker compose config --format json`` does."""
    ended = container_check("compose", file)
    assert ended.returncode == 0, ended.stderr
    project: dict[str, Any] = json.loads(ended.stdout)
    return project


def run(
    *command: str | Path, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; ``env`` takes the place of the environment."""
    return subprocess.run(
        command, env=env, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return loaded(COMPOSE)


@pytest.fixture(scope="module")
def services(project: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = project["services"]
    return found


@pytest.mark.parametrize(
    "change, complaint",
    [
        (("restart: unless-stopped", "restrat: unless-stopped"), "restrat"),
        (("      prometheus: {condition", "      promethius: {condition"), "promethius"),
        (("cap_drop: [ALL]", "cap_drop: ALL"), "cap_drop"),
    ],
)
def test_compose_does_refuse(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    text = COMPOSE.read_text()
    assert change[0] in text
    (tmp_path / "compose.yaml").write_text(text.replace(*change))
    ended = container_check("compose", tmp_path / "compose.yaml")
    assert ended.returncode == 1
    assert complaint in ended.stderr


def test_it_has_all_that_there_is_to_see(services: dict[str, dict[str, Any]]) -> None:
    assert services.keys() == {
        *("emqx", "devices", "agent", "collector", "prometheus", "alertmanager", "grafana"),
    }


def test_every_image_has_a_version(services: dict[str, dict[str, Any]]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    loose = [image for image in images.values() if not re.fullmatch(r".+:v?\d+\.\d+\.\d+", image)]
    assert loose == []
    assert images["agent"] == f"otel-emqx-monitor:{__version__}"
    assert services["agent"]["build"]["args"] == {"VERSION": __version__}
    builder = yaml.safe_load((ROOT / "collector-config" / "builder.yaml").read_text())
    assert images["collector"].endswith(f"-contrib:{builder['dist']['version']}")


def test_services_may_do_no_more_than_they_need(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        if name not in _UNCONFINED:
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_nothing_listens_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_all_that_is_mounted_is_there(services: dict[str, dict[str, Any]]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    bound = [mount for mount in mounts if mount["type"] == "bind"]
    assert len(bound) > 5
    assert [mount["source"] for mount in bound if not mount["read_only"]] == []
    assert [mount["source"] for mount in bound if not Path(mount["source"]).exists()] == []


def test_whoever_is_waited_for_healthy_has_a_healthcheck(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            waits = how["condition"] == "service_healthy"
            assert not waits or "healthcheck" in services[other], (name, other)


def test_the_secret_is_read_from_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: dict[str, Any]
) -> None:
    example = EXAMPLES / "compose" / "emqx-api-secret.example"
    assert project["secrets"]["emqx-api-secret"]["file"] == str(example)
    assert example.read_text().strip() not in COMPOSE.read_text()
    monkeypatch.setenv("EMQX_API_SECRET_FILE", str(tmp_path / "own"))
    assert loaded(COMPOSE)["secrets"]["emqx-api-secret"]["file"] == str(tmp_path / "own")


def within(text: str, folder: Path) -> str:
    """Return an agent's configuration with its absolute paths moved into ``folder``."""
    (folder / "emqx-api-secret").write_text("made up")
    text = text.replace("/run/secrets/", f"{folder}/")
    return text.replace("/var/lib/otel-emqx-monitor/", f"{folder}/")


def test_the_agent_s_configuration_is_valid_and_fits_the_others(
    tmp_path: Path, services: dict[str, dict[str, Any]]
) -> None:
    text = (EXAMPLES / "compose" / "agent" / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(within(text, tmp_path))
    config = load(tmp_path / "config.yaml", {})
    assert config.emqx.api_url == "http://emqx:18083/api/v5"
    command = "\n".join(services["emqx"]["command"])
    assert f"printf '{config.emqx.api_key.get_secret_value()}:%s\\n'" in command
    assert config.otlp is not None
    assert config.otlp.endpoint == "http://collector:4317"
    collector = services["collector"]["environment"]
    assert collector["OTLP_GRPC_LISTEN"] == "0.0.0.0:4317"
    assert collector["METRIC_EXPIRATION"] == f"{3 * (config.otlp.interval_seconds or 60):g}s"
    (port,) = services["agent"]["ports"]
    assert int(port["published"]) == port["target"] == config.prometheus.port


def test_the_emqx_command_writes_the_key_and_its_secret(
    tmp_path: Path, services: dict[str, dict[str, Any]]
) -> None:
    shell, option, script = services["emqx"]["command"]
    assert (shell, option) == ("sh", "-c")
    script = script.replace("/tmp/api-keys", f"{tmp_path}/keys")  # noqa: S108 (in the container)
    script = script.replace("/run/secrets/", f"{tmp_path}/")
    (tmp_path / "emqx-api-secret").write_text("not$so'secret\n")
    ended = run("sh", "-c", script.replace("exec /opt/emqx/bin/emqx foreground", "true"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "keys").read_text() == "otel-emqx-monitor:not$so'secret\n"
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    assert services["emqx"]["environment"]["EMQX_API_KEY__BOOTSTRAP_FILE"] == "/tmp/api-keys"  # noqa: S108 (the same)


@pytest.mark.real("promtool")
def test_prometheus_takes_its_configuration_and_the_rules(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "compose" / "prometheus.yml", tmp_path)
    shutil.copytree(EXAMPLES / "prometheus" / "rules", tmp_path / "rules")
    ended = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert ended.returncode == 0, ended.stderr
    assert "rule files found" in ended.stdout


@pytest.mark.real("amtool")
def test_alertmanager_takes_its_configuration() -> None:
    ended = run("amtool", "check-config", EXAMPLES / "compose" / "alertmanager.yml")
    assert ended.returncode == 0, ended.stderr


def test_the_collector_takes_its_configuration(services: dict[str, dict[str, Any]]) -> None:
    service = services["collector"]
    (option,) = service["command"]
    inside = option.removeprefix("--config=")
    (mount,) = service["volumes"]
    file = Path(mount["source"]) / Path(inside).relative_to(mount["target"])
    ended = run(require_collector(), "validate", f"--config={file}", env=service["environment"])
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.real("mosquitto", "mosquitto_pub")
def test_the_devices_connect_by_their_names_and_publish(tmp_path: Path) -> None:
    script = EXAMPLES / "compose" / "devices.sh"
    with mosquitto(tmp_path) as broker:
        command = ["sh", str(script), "127.0.0.1", str(broker.port), "2"]
        devices = subprocess.Popen(command, start_new_session=True)
        try:
            for told in (
                *("Received PUBLISH from sensor-1", "Received PUBLISH from sensor-2"),
                *("Received SUBSCRIBE from visitor", "Sending PUBLISH to visitor"),
            ):
                wait_until(partial(_says, broker, told))
        finally:
            os.killpg(devices.pid, signal.SIGKILL)
            devices.wait()


def _says(broker: Mosquitto, text: str) -> bool:
    return text in broker.log
