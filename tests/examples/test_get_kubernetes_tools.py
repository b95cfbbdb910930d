"""The script with stand-ins for Go and pip, which "compile" and "download" at once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.built import ROOT
from tests.examples.tools import NEWEST, OLDEST
from tests.processes import PATIENCE_SECONDS

_NAME = "get-kubernetes-tools"
_SHELL = ("awk", "bash", "cat", "cut", "dirname", "find", "flock", "mkdir", "mktemp", "mv", "rm")
_TOOLS = (*_SHELL, "sed", "sha256sum", "tail", "uname")

#: Notes what it is asked; $GO_FAILS is what it cannot install.
_GO = """#!/bin/sh
echo "$*" >>"$GO_LOG"
case "$1" in
  env) echo here ;;
  install)
    for module; do :; done
    case "$module" in *"${GO_FAILS:-nothing}"*) echo "no such luck" >&2; exit 1 ;; esac
    name=${module%@*}; name=${name%/v5}; name=${name##*/}
    printf '#!/bin/sh\\necho %s for tests\\n' "$name" >"$GOBIN/$name"; chmod +x "$GOBIN/$name" ;;
  mod) printf '{\\n\\t"Dir": "%s",\\n}\\n' "$MODULES" ;;
esac
"""

#: A Python whose pip makes the wheel that was asked for.
_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then
  [ "$3" = --version ] && exit 0
  while [ "$1" != --dest ]; do shift; done
  cp "$MODULES/wheel.zip" "$2/kubernetes_validate-1-py3-none-any.whl"; exit
fi
exec {python} "$@"
"""


class Machine:
    """A machine with a checkout and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache" / "otel-emqx-monitor"
        self._script = folder / "checkout" / "scripts" / _NAME
        self._log = folder / "go.log"
        self.tools, modules = folder / "tools", folder / "modules"
        programs = folder / "programs"
        for path in (self.tools, programs, self._script.parent):
            path.mkdir(parents=True)
        for tool in (*_TOOLS, "chmod", "cp"):
            if found := shutil.which(tool):
                (self.tools / tool).symlink_to(found)
        for name in (_NAME, "building.bash"):
            shutil.copy(ROOT / "scripts" / name, self._script.parent)
        _write(programs / "go", _GO)
        _write(folder / "python", _PYTHON.replace("{python}", sys.executable))
        _write(self._script.with_name("environment"), f"#!/bin/sh\necho {folder}/python\n")
        _put_modules(modules)
        self._environ = {
            "PATH": f"{programs}:{self.tools}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "GO_LOG": str(self._log),
            "MODULES": str(modules),
        }

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Return the exit code, stdout and stderr."""
        ended = subprocess.run(
            [self._script, *arguments],
            env={**self._environ, **environ},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _put_modules(modules: Path) -> None:
    crds = modules / "example" / "prometheus-operator-crd"
    crds.mkdir(parents=True)
    for kind in ("podmonitors", "servicemonitors", "prometheusrules"):
        (crds / f"monitoring.coreos.com_{kind}.yaml").write_text("{}")
    (modules / "scripts").mkdir()
    converter = 'open("converted.json", "w").write("{}")'
    (modules / "scripts" / "openapi2jsonschema.py").write_text(converter)
    schemas = modules / "wheel" / "kubernetes_validate" / "kubernetes-json-schema"
    text = {"$ref": "/api/_definitions.json#/$defs/x", "$id": "https://kubernetes.io/api/x"}
    for version in (OLDEST, NEWEST):
        (schemas / f"v{version}-local-strict").mkdir(parents=True)
        (schemas / f"v{version}-local-strict" / "x-v1.json").write_text(json.dumps(text))
    shutil.make_archive(str(modules / "wheel"), "zip", modules / "wheel")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_only_line_on_stdout_is_the_folder_of_tools_and_schemas(machine: Machine) -> None:
    exit_code, stdout, stderr = machine.run()
    assert exit_code == 0, stderr
    folder = Path(stdout.removesuffix("\n"))
    assert sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    ) == [
        "helm",
        "kubeconform",
        "kustomize",
        "schemas/operator/converted.json",
        f"schemas/v{OLDEST}/x-v1.json",
        f"schemas/v{NEWEST}/x-v1.json",
    ]
    assert sorted(machine.cache.iterdir()) == [folder, machine.cache / "lock-kubernetes-tools"]
    schema = json.loads((folder / "schemas" / f"v{NEWEST}" / "x-v1.json").read_text())
    assert schema["$ref"] == "_definitions.json#/$defs/x"
    assert "$id" not in schema


def test_the_second_run_asks_nobody(machine: Machine) -> None:
    first = machine.run()
    asked = machine.asked
    assert machine.run() == (0, first[1], "")
    assert machine.run("--path-only", PATH=str(machine.tools)) == (0, first[1], "")
    assert machine.asked == asked


def test_path_only_never_builds(machine: Machine) -> None:
    exit_code, stdout, stderr = machine.run("--path-only")
    assert (exit_code, stdout) == (4, "")
    assert stderr.count("\n") == 1
    assert machine.asked == []
    assert not machine.cache.exists()


def test_without_go_it_says_so_in_one_line(machine: Machine) -> None:
    exit_code, stdout, stderr = machine.run(PATH=str(machine.tools))
    assert (exit_code, stdout) == (3, "")
    assert stderr.startswith(f"{_NAME}: there is no Go on this machine")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["--path-only", "--path-only"], [""]])
def test_other_arguments_are_refused(machine: Machine, arguments: list[str]) -> None:
    assert machine.run(*arguments) == (2, "", f"{_NAME}: usage: {_NAME} [--path-only]\n")


@pytest.mark.parametrize("module", ["helm", "kustomize", "kubeconform"])
def test_a_failed_build_leaves_its_log_alone_and_says_where(machine: Machine, module: str) -> None:
    exit_code, stdout, stderr = machine.run(GO_FAILS=module)
    assert (exit_code, stdout) == (1, "")
    [log] = machine.cache.glob("*.log")
    assert set(machine.cache.iterdir()) == {log, machine.cache / "lock-kubernetes-tools"}
    assert "no such luck" in stderr
    assert stderr.endswith(f"; the whole log is {log}\n")
    assert machine.run()[0] == 0
