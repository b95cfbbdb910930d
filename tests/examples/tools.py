"""The real helm, kustomize and kubeconform, with the schemas of Kubernetes and the operator."""

import functools
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "examples" / "helm" / "otel-emqx-monitor"
KUSTOMIZE = ROOT / "examples" / "kubernetes"

#: The oldest Kubernetes that the manifests are for, and the newest; both have their schemas.
OLDEST, NEWEST = "1.28.0", "1.37.0"

_NOT_BUILT = 4

#: An object of Kubernetes, as YAML has it.
Object = dict[str, Any]


class Refused(Exception):
    """A tool ended with another exit code than 0; the text is all that it said."""


@functools.cache
def find_tools() -> Path | None:
    """Return the folder that ``scripts/get-kubernetes-tools`` has filled, or ``None``."""
    asked = subprocess.run(
        [ROOT / "scripts" / "get-kubernetes-tools", "--path-only"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if asked.returncode == _NOT_BUILT:
        return None
    asked.check_returncode()
    return Path(asked.stdout.removesuffix("\n"))


def require_tools() -> Path:
    """Return the folder; without it skip the test, or fail it when ``REQUIRE_REAL=1``."""
    tools = find_tools()
    if tools is None:
        lacking = "there is no helm and kustomize here; scripts/get-kubernetes-tools builds them"
        if os.environ.get("REQUIRE_REAL") == "1":
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)
    return tools


def run_tool(name: str, *arguments: str | Path, given: str = "") -> str:
    """Return what a tool says on stdout when it gets ``given`` on stdin; raises ``Refused``."""
    ended = subprocess.run(
        [require_tools() / name, *arguments],
        input=given,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if ended.returncode != 0:
        raise Refused(ended.stdout + ended.stderr)
    return ended.stdout


@functools.cache
def _built(folder: str) -> str:
    return run_tool("kustomize", "build", KUSTOMIZE / folder)


def kustomize(folder: str) -> list[Object]:
    """Return the objects of a folder of ``examples/kubernetes``."""
    return objects_in(_built(folder))


def helm_template(*options: str, name: str = "otel-emqx-monitor") -> list[Object]:
    """Return the objects that the chart gives with ``options``; raises ``Refused``."""
    command = ["template", name, str(CHART), "--kube-version", NEWEST, *options]
    return objects_in(run_tool("helm", *command))


def objects_in(text: str) -> list[Object]:
    """Return the objects of a stream of YAML."""
    return [one for one in yaml.safe_load_all(text) if one is not None]


def check_schemas(objects: Iterable[Object], version: str) -> None:
    """Return if the schemas of Kubernetes ``version``, strict ones, take all objects.

    Raises ``Refused``, also for a kind of which there is no schema.
    """
    schemas = require_tools() / "schemas"
    kubernetes = schemas / f"v{version}" / "{{ .ResourceKind }}{{ .KindSuffix }}.json"
    operator = (
        schemas / "operator" / "{{ .ResourceKind }}-{{ .Group }}-{{ .ResourceAPIVersion }}.json"
    )
    where = ["-schema-location", str(kubernetes), "-schema-location", str(operator)]
    text = yaml.safe_dump_all(objects)
    run_tool("kubeconform", "-strict", "-kubernetes-version", version, *where, given=text)


def one(objects: Iterable[Object], kind: str, name: str | None = None) -> Object:
    """Return the only object of that kind, and of that name if one is given."""
    [found] = [
        each
        for each in objects
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    return found


def agent_of(workload: Object) -> Object:
    """Return the agent's container of a Deployment or StatefulSet."""
    containers: Sequence[Object] = workload["spec"]["template"]["spec"]["containers"]
    [found] = [each for each in containers if each["name"] == "otel-emqx-monitor"]
    return found
