"""What Docker would do with files of this repository, done by Podman and by Docker's own code."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.built import ROOT, require_built


def podman(*arguments: str) -> str:
    """Return what Podman prints on stdout; fails the test when the command fails."""
    ended = run_podman(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.removesuffix("\n")


def run_podman(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Podman with the store of ``scripts/podman``."""
    return subprocess.run(
        [ROOT / "scripts" / "podman", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@contextmanager
def container(*arguments: str) -> Iterator[str]:
    """Run a container in the background with options, an image and a command; give its id."""
    name = podman("run", "--detach", *arguments)
    try:
        yield name
    finally:
        podman("rm", "--force", "--volumes", "--time", "0", name)


def inspect(kind: str, name: str) -> dict[str, Any]:
    """Return what Podman knows of a container or an image."""
    found: list[dict[str, Any]] = json.loads(podman(kind, "inspect", name))
    return found[0]


def container_check(command: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run ``scripts/container-check``; if it is not built skip, or fail when ``REQUIRE_REAL=1``."""
    program = require_built("get-container-check")
    return subprocess.run(
        [program, command, path], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
