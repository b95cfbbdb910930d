"""The real helm, kustomize and kubeconform, with the schemas of Kubernetes and the operator."""

import functools
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.built import ROOT, require_built

CHART = ROOT / "examples" / "helm" / "otel-emqx-monitor"
KUSTOMIZE = ROOT / "examples" / "kubernetes"

#: The oldest Kubernetes that the manifests are for, and the newest; both have their schemas.
OLDEST, NEWEST = "1.28.0", "1.37.0"

#: An object of Kubernetes, as YAML has it.
Object = dict[str, Any]


class Refused(Exception):
    """A tool ended with another exit code than 0; the text is all that it said."""


def require_tools() -> Path:
    """Return the folder of tools; without it skip the test, or fail it when ``REQUIRE_REAL=1``."""
    return require_built("get-kubernetes-tools")


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
