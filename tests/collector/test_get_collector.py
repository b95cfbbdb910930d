"""The script with a stand-in for Go, which "compiles" shell scripts at once."""

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.built import ROOT
from tests.processes import PATIENCE_SECONDS, wait_until

_SCRIPT = str(ROOT / "scripts" / "get-collector")

_TOOLS = (
    *("awk", "bash", "cat", "chmod", "cut", "dirname", "flock", "mkdir", "mktemp", "mv", "rm"),
    *("sed", "sha256sum", "shasum", "sleep", "tail", "uname"),
)

#: Notes what it is asked. $GO_FAILS is the subcommand that fails, $GO_HANGS the one that waits
#: until the test says "go on", at most a minute, in a process of its own as a compiler is.
_GO = """#!/bin/sh
echo "$1" >>"$GO_LOG"
if [ "$1" = "$GO_FAILS" ]; then echo "no such luck" >&2; exit 1; fi
hang() { left=600; until [ -e go-on ] || [ $((left -= 1)) = 0 ]; do sleep 0.1; done; }
if [ "$1" = "$GO_HANGS" ]; then cd "${GO_LOG%/*}" && hang & wait; fi
case "$1" in
  env) echo here ;;
  install) printf '#!/bin/sh\\nmkdir otelcol\\n' >"$GOBIN/builder"; chmod +x "$GOBIN/builder" ;;
  build)
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho otelcol for tests\\n' >"$2"; chmod +x "$2" ;;
esac
"""


class Machine:
    """A machine with a cache of its own; ``asked`` are the subcommands that Go was asked for."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache" / "otel-emqx-monitor"
        self._log = folder / "go.log"
        self.tools, programs = folder / "tools", folder / "programs"
        for path in (self.tools, programs):
            path.mkdir()
        for tool in _TOOLS:
            if found := shutil.which(tool):
                (self.tools / tool).symlink_to(found)
        (programs / "go").write_text(_GO, encoding="utf-8")
        (programs / "go").chmod(0o755)
        self._environ = {
            "PATH": f"{programs}:{self.tools}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "GO_LOG": str(self._log),
        }

    def go_on(self) -> None:
        """End the wait of a Go that hangs."""
        self._log.with_name("go-on").touch()

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

    @property
    def left(self) -> list[str]:
        """What lies in the cache beside the lock; the hash in its names is left out."""
        found = next(self.cache.glob("collector-*"), Path("collector-none"))
        key = found.stem.removeprefix("collector-")
        paths = (path.relative_to(self.cache) for path in self.cache.rglob("*"))
        return sorted(
            str(path).replace(key, "HASH") for path in paths if path.name != "lock-collector"
        )

    def start(
        self, *arguments: str, environ: Mapping[str, str] | None = None, held: Iterable[int] = ()
    ) -> "subprocess.Popen[str]":
        """Start the script; it and all that it starts keep the file descriptors ``held``."""
        return subprocess.Popen(
            [_SCRIPT, *arguments],
            env={**self._environ, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            pass_fds=tuple(held),
        )

    def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Return the exit code, stdout and stderr."""
        with self.start(*arguments, environ=environ) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, stdout, stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_only_line_on_stdout_is_the_path_of_a_program_that_runs(machine: Machine) -> None:
    exit_code, stdout, stderr = machine.run()
    assert exit_code == 0, stderr
    path = stdout.removesuffix("\n")
    assert subprocess.check_output([path], encoding="utf-8") == "otelcol for tests\n"
    assert machine.left == ["collector-HASH", "collector-HASH/otelcol"]


def test_the_second_run_does_not_ask_go(machine: Machine) -> None:
    first = machine.run()
    asked = machine.asked
    assert machine.run() == (0, first[1], "")
    assert machine.run("--path-only") == (0, first[1], "")
    assert machine.asked == asked


def test_what_is_built_already_is_found_without_go(machine: Machine) -> None:
    first = machine.run()
    assert machine.run(PATH=str(machine.tools)) == (0, first[1], "")


def test_path_only_never_builds(machine: Machine) -> None:
    exit_code, stdout, stderr = machine.run("--path-only")
    assert (exit_code, stdout) == (4, "")
    assert stderr.count("\n") == 1
    assert machine.asked == []
    assert not machine.cache.exists()


def test_without_go_it_says_so_in_one_line(machine: Machine) -> None:
    exit_code, stdout, stderr = machine.run(PATH=str(machine.tools))
    assert (exit_code, stdout) == (3, "")
    assert stderr.startswith("get-collector: there is no Go on this machine")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["--path-only", "--path-only"], [""]])
def test_other_arguments_are_refused(machine: Machine, arguments: list[str]) -> None:
    assert machine.run(*arguments) == (2, "", "get-collector: usage: get-collector [--path-only]\n")


@pytest.mark.parametrize(
    "subcommand, what",
    [
        ("install", "build the OpenTelemetry Collector Builder"),
        ("mod", "begin a Go module"),
        ("build", "compile the Collector"),
    ],
)
def test_a_failed_build_leaves_its_log_alone_and_says_where(
    machine: Machine, subcommand: str, what: str
) -> None:
    exit_code, stdout, stderr = machine.run(GO_FAILS=subcommand)
    assert (exit_code, stdout) == (1, "")
    assert machine.left == ["collector-HASH.log"]
    (log,) = machine.cache.glob("*.log")
    assert stderr.splitlines()[-2:] == [
        "no such luck",
        f"get-collector: could not {what}; the whole log is {log}",
    ]
    assert log.read_text().endswith("no such luck\n")
    assert machine.run()[0] == 0
    assert machine.left == ["collector-HASH", "collector-HASH/otelcol"]


@pytest.mark.parametrize(
    "number, code", [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_build_leaves_nothing_and_no_process(
    machine: Machine, number: signal.Signals, code: int
) -> None:
    all_ended, held = os.pipe()
    with machine.start(environ={"GO_HANGS": "build"}, held=[held]) as process:
        os.close(held)
        wait_until(lambda: "build" in machine.asked)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    assert machine.left == []
    assert select.select([all_ended], [], [], PATIENCE_SECONDS)[0], "a process goes on"
    os.close(all_ended)


@pytest.mark.real("flock")
def test_a_second_build_waits_for_the_first_and_takes_what_it_built(machine: Machine) -> None:
    with machine.start(environ={"GO_HANGS": "build"}) as first:
        wait_until(lambda: "build" in machine.asked)
        with machine.start() as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            machine.go_on()
            path, said = second.communicate(timeout=PATIENCE_SECONDS)
        assert first.communicate(timeout=PATIENCE_SECONDS)[0] == path
    assert os.access(path.removesuffix("\n"), os.X_OK)
    assert said == ""
    assert machine.asked.count("build") == 1


def test_what_killed_builds_left_is_cleared_away(machine: Machine) -> None:
    (machine.cache / "building-collector.killed").mkdir(parents=True)
    assert machine.run()[0] == 0
    assert machine.left == ["collector-HASH", "collector-HASH/otelcol"]
