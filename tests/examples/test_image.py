"""The container image, built from the Dockerfile and run by Podman; CONTRIBUTING says on what base.

The broker is the simulator, run from the same image; the network that both share is theirs alone.
"""

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_emqx_monitor.version import __version__
from tests.built import ROOT
from tests.examples.containers import container, inspect, podman, run_podman
from tests.processes import settings, wait_until

pytestmark = pytest.mark.real("podman", "mmdebstrap")

CLIENTS = 20

#: As a cautious person runs it, and as examples/compose.yaml does.
CONFINED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    ended = subprocess.run(
        [ROOT / "scripts" / "get-image", "--build-arg", "REVISION=0123abc"],
        capture_output=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    yield ended.stdout.strip()
    podman("rmi", "--force", ended.stdout.strip())


@dataclass(frozen=True)
class Running:
    name: str

    def execute(self, *command: str) -> str:
        return podman("exec", self.name, *command)

    def python(self, code: str) -> str:
        return self.execute("python3", "-c", code)

    def metrics(self) -> list[str]:
        address = "http://127.0.0.1:9671/metrics"
        code = f"import urllib.request as u; print(u.urlopen({address!r}).read().decode())"
        return self.python(code).splitlines()

    def is_healthy(self) -> bool:
        return run_podman("healthcheck", "run", self.name).returncode == 0


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("etc")
    told = settings("http://127.0.0.1:18083", prometheus={"port": 9671, "address": "0.0.0.0"})  # noqa: S104 (as by default)
    secret = folder / "secret"
    secret.write_text(told["emqx"].pop("api_secret"))
    told["emqx"]["api_secret_file"] = "/run/secrets/emqx-api-secret"
    told["monitored_clients"] = "all"
    told["state"] = {"path": "/var/lib/otel-emqx-monitor/state.db"}
    told["polling"] = {"interval_seconds": 5}
    (folder / "etc").mkdir()
    (folder / "etc" / "config.yaml").write_text(yaml.safe_dump(told))
    return [
        *("--volume", f"{folder}/etc:/etc/otel-emqx-monitor:ro"),
        *("--volume", f"{secret}:/run/secrets/emqx-api-secret:ro"),
    ]


def simulated(image: str) -> AbstractContextManager[str]:
    """Run a broker in a network of its own; give its container's name."""
    command = ("simulate", "--clients", str(CLIENTS))
    return container("--network", "none", *CONFINED, image, *command)


@pytest.fixture(scope="module")
def agent(image: str, mounts: list[str]) -> Iterator[Running]:
    with (
        simulated(image) as broker,
        container("--network", f"container:{broker}", *CONFINED, *mounts, image) as name,
    ):
        running = Running(name)
        wait_until(running.is_healthy)
        yield running


def test_it_adds_less_than_120_mb_to_its_base(image: str) -> None:
    whole = inspect("image", image)
    bases = [
        found
        for name in podman("images", "--quiet", "localhost/python").splitlines()
        if (found := inspect("image", name))["RootFS"]["Layers"] == whole["RootFS"]["Layers"][:1]
    ]
    added = whole["Size"] - bases[0]["Size"]
    assert 0 < added < 120_000_000


def test_what_it_says_of_itself(image: str) -> None:
    config: dict[str, Any] = inspect("image", image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["otel-emqx-monitor"]
    assert config["Cmd"] == ["run"]
    assert list(config["ExposedPorts"]) == ["9671/tcp"]
    assert list(config["Volumes"]) == ["/var/lib/otel-emqx-monitor"]
    assert inspect("image", image)["Healthcheck"]["Test"] == [
        *("CMD", "otel-emqx-monitor", "healthcheck")
    ]
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in config["Labels"].items()
        if key.startswith("org.opencontainers.image.")
    }
    assert labels.pop("description")
    assert labels == {
        "title": "otel-emqx-monitor",
        "version": __version__,
        "licenses": "Apache-2.0",
        "revision": "0123abc",
        "source": "",
    }


def test_it_watches_a_broker(agent: Running) -> None:
    assert agent.execute("otel-emqx-monitor", "--version").endswith(f" {__version__}")
    wait_until(lambda: 'emqx_client_monitor_up{broker="emqx"} 1' in agent.metrics())
    connected = [
        line for line in agent.metrics() if line.startswith("emqx_client_monitor_connected{")
    ]
    assert 0.7 * CLIENTS < len(connected) <= CLIENTS  # some may be away
    assert agent.execute("otel-emqx-monitor", "healthcheck", "--ready") == "ok"


def test_commands_in_the_container_find_the_configuration(agent: Running) -> None:
    shown = agent.execute("otel-emqx-monitor", "validate", "--show")
    assert yaml.safe_load(shown)["state"] == {"path": "/var/lib/otel-emqx-monitor/state.db"}


def test_it_is_nobody_and_may_write_nothing_but_its_state(agent: Running) -> None:
    assert agent.python("import os; print(os.getuid(), os.getgid())") == "10001 10001"
    status = agent.execute("cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for place in ("/tmp", "/opt/otel-emqx-monitor", "/etc/otel-emqx-monitor", "/dev/shm"):  # noqa: S108 (nothing is written)
        wrote = run_podman("exec", agent.name, "touch", f"{place}/x")
        assert (wrote.returncode == 0) == (place == "/dev/shm"), place  # noqa: S108 (the same)
    kept = agent.execute("ls", "/var/lib/otel-emqx-monitor")
    assert "state.db" in kept.split()


def test_it_is_process_1_itself(agent: Running) -> None:
    assert agent.execute("cat", "/proc/1/cmdline").rstrip("\0").split("\0")[-2:] == [
        *("/opt/otel-emqx-monitor/bin/otel-emqx-monitor", "run")
    ]


def test_it_holds_no_compiler_and_nothing_that_installs_python_packages(agent: Running) -> None:
    tools = ("gcc", "cc", "g++", "clang", "as", "ld", "make", "pip", "pip3", "uv", "hatchling")
    code = f"import shutil; print([tool for tool in {tools!r} if shutil.which(tool)])"
    assert agent.python(code) == "[]"
    for module in ("pip", "ensurepip", "setuptools", "hatchling"):
        code = f"import importlib.util as u; print(u.find_spec({module!r}))"
        for python in ("python3", "/usr/local/bin/python3"):
            assert agent.execute(python, "-c", code) == "None"
    everything = list(Path(podman("mount", agent.name)).rglob("*"))
    assert len(everything) > 5000
    assert [path for path in everything if path.suffix in {".whl", ".c"}] == []


def test_nothing_is_compiled_when_it_starts(image: str) -> None:
    options = ("--rm", "--network", "none", *CONFINED, "--env", "PYTHONVERBOSE=1")
    code = "import otel_emqx_monitor.service, otel_emqx_monitor.readers.otlp, grpc"
    ended = run_podman("run", *options, "--entrypoint", "python3", image, "-c", code)
    assert ended.returncode == 0, ended.stderr[-2000:]
    read = [line for line in ended.stderr.splitlines() if line.startswith("# code object from")]
    assert len(read) > 300
    assert [line for line in read if line.rstrip("'").endswith(".py")] == []


def test_the_health_check_tells_an_agent_that_hangs(agent: Running) -> None:
    podman("kill", "--signal", "STOP", agent.name)
    try:
        asked = run_podman(
            *("exec", agent.name, "otel-emqx-monitor", "healthcheck", "--timeout", "0.5")
        )
    finally:
        podman("kill", "--signal", "CONT", agent.name)
    assert asked.returncode == 1
    assert "does not answer within 0.5 s" in asked.stderr
    assert agent.is_healthy()


@pytest.mark.parametrize("with_broker", [True, False])
def test_sigterm_stops_it_before_docker_would_kill_it(
    image: str, mounts: list[str], with_broker: bool
) -> None:
    with ExitStack() as stack:
        network = "none"
        if with_broker:
            network = f"container:{stack.enter_context(simulated(image))}"
        options = ("--network", network, *CONFINED, *mounts)
        running = Running(stack.enter_context(container(*options, image)))
        wait_until(running.is_healthy)
        podman("stop", "--time", "10", running.name)
        assert inspect("container", running.name)["State"]["ExitCode"] == 0
