"""The Dockerfile and what gets into a build, as BuildKit's own code reads them; no build here."""

import re
import shutil
from pathlib import Path

import pytest

from otel_emqx_monitor.version import __version__
from tests.built import ROOT
from tests.examples.containers import container_check

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_buildkit_has_nothing_to_say() -> None:
    ended = container_check("dockerfile", ROOT / "Dockerfile")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "text, finding",
    [
        ("FROM x AS y\nCOPI a b\n", "unknown instruction: COPI"),
        ("FROM x AS y\nENV PASSWORD=secret\n", ":2: SecretsUsedInArgOrEnv: "),
        ("FROM x\nCMD run me\n", ":2: JSONArgsRecommended: "),
    ],
)
def test_buildkit_does_speak_up(tmp_path: Path, text: str, finding: str) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    ended = container_check("dockerfile", tmp_path / "Dockerfile")
    assert ended.returncode == 1
    assert finding in ended.stderr


def test_the_version_is_that_of_the_program() -> None:
    assert re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE) == [__version__]


def test_the_base_is_that_of_the_lock_and_has_a_tag() -> None:
    (base,) = re.findall(r"^ARG BASE=(.*)$", DOCKERFILE, re.MULTILINE)
    assert base == "python:3.13-slim-trixie"
    assert "python_of_image=3.13\n" in (ROOT / "scripts" / "lock").read_text()
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A checkout in which people have worked."""
    for name in ("LICENSE", "README.md", "pyproject.toml", "Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(
        ROOT / "otel_emqx_monitor",
        tmp_path / "otel_emqx_monitor",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    for litter in (
        *(".git/config", ".venv/bin/python", ".env", "config.yaml", "api-secret", "state.db"),
        *("examples/compose/emqx-api-secret", "build/lib/x.py", "dist/x.whl", "tests/test_x.py"),
        *("otel_emqx_monitor/__pycache__/cli.cpython-313.pyc", "otel_emqx_monitor/.env"),
        *("otel_emqx_monitor/web/server.key", "otel_emqx_monitor/web/ca.pem"),
        *("otel_emqx_monitor/.cli.py.swp", "requirements/.env", "otel_emqx_monitor/prod.env"),
    ):
        path = tmp_path / litter
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not for an image\n")
    return tmp_path


def test_only_what_the_image_is_made_of_gets_into_a_build(littered: Path) -> None:
    ended = container_check("context", littered)
    assert ended.returncode == 0, ended.stderr
    package = ROOT / "otel_emqx_monitor"
    sources = [path for path in package.rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in sources if "__pycache__" not in path.parts}
    expected |= {"LICENSE", "README.md", "pyproject.toml"}
    expected |= {"requirements/build.txt", "requirements/image.txt"}
    assert set(ended.stdout.splitlines()) == expected


def test_all_that_is_copied_is_there() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = [name for line in lines for name in line.split()]
    assert copied == [
        *("requirements/", "pyproject.toml", "README.md", "LICENSE", "otel_emqx_monitor/")
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
