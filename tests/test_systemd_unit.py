"""The unit of examples/systemd: systemd takes it, and what it starts exists."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otel_emqx_monitor.cli import main
from otel_emqx_monitor.config import load

FOLDER = Path(__file__).parents[1] / "examples" / "systemd"
UNIT = FOLDER / "otel-emqx-monitor.service"
PROGRAM = "/opt/otel-emqx-monitor/bin/otel-emqx-monitor"


def setting(name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert isinstance(value, str)
    return value


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemd-analyze")
    assert program is not None
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_the_command_line_is_one_that_the_program_takes() -> None:
    program, name, *arguments = shlex.split(setting("ExecStart"))
    assert program == PROGRAM
    command = main.commands[name]
    context = command.make_context(name, arguments, resilient_parsing=True)
    known = {option for one in command.params for option in one.opts}
    assert {one for one in arguments if one.startswith("--")} <= known
    assert context.args == []


def test_the_configuration_beside_it_loads_with_what_systemd_hands_over(tmp_path: Path) -> None:
    (tmp_path / "api_secret").write_text("secret\n")
    name, _, _file = setting("LoadCredential").partition(":")
    assert name == "api_secret"
    folders = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": str(tmp_path)}
    config = load(FOLDER / "config.yaml", folders)
    assert config.emqx.api_secret.get_secret_value() == "secret"
    assert config.state.path == str(tmp_path / "state.db")


@pytest.mark.real("systemd-analyze")
def test_systemd_has_nothing_to_complain_about(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))  # one that exists here
    found = analyze("verify", "--man=no", str(unit))
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.real("systemd-analyze")
def test_the_sandbox_leaves_little_exposed() -> None:
    """A service that says nothing has 9.6; of the rest most is that the agent may use the net."""
    found = analyze("security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT))
    assert found.returncode == 0, found.stdout
