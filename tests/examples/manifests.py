"""What a pod of the manifests would give to the agent, put where the program can read it here."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from otel_emqx_monitor.cli import main
from otel_emqx_monitor.config import Config, load
from tests.examples.tools import Object, one
from tests.processes import run

#: The fields of the pod that its containers can ask for.
POD = {"metadata.name": "emqx-0", "metadata.namespace": "mqtt"}

#: The keys of a Secret that is mounted as a whole.
_KEYS = ("api-key", "api-secret")

_DEFAULT_PATH = "/etc/otel-emqx-monitor/config.yaml"


def environment(container: Object, pod: Mapping[str, str] = POD) -> dict[str, str]:
    """Return a container's variables as the kubelet makes them; those from Secrets are empty."""
    variables: dict[str, str] = {}
    for each in container.get("env", []):
        if "value" in each:
            value = re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], each["value"])
        else:
            field = each["valueFrom"].get("fieldRef", {}).get("fieldPath")
            value = pod[field] if field else ""
        variables[each["name"]] = value
    return variables


def probes(container: Object) -> dict[str, tuple[str, str]]:
    """Return path and port of each probe of a container, by its kind."""
    return {
        kind: (container[kind]["httpGet"]["path"], container[kind]["httpGet"]["port"])
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        if kind in container
    }


def validated_by_the_program(objects: Iterable[Object], agent: Object, folder: Path) -> Config:
    """Return the configuration of a container that the command ``validate`` has taken.

    What the container has mounted is put below ``folder``, and its command line has to be one that
    the program knows.
    """
    objects = list(objects)
    command = agent["command"]
    assert command[:2] == ["otel-emqx-monitor", "run"]
    main.commands["run"].make_context("run", list(command[2:]))
    assert f"--cfg={_DEFAULT_PATH}" in command
    text = one(objects, "ConfigMap")["data"]["config.yaml"]
    for mount in agent["volumeMounts"]:
        place = folder / mount["mountPath"].lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        text = text.replace(mount["mountPath"], str(place))
        if mount["name"] in ("emqx", "api-key"):
            for key in _KEYS:
                (place / key).write_text(f"the {key}")
                (place / key).chmod(0o600)
    file = folder / _DEFAULT_PATH.lstrip("/")
    assert file.parent.is_dir()  # it is mounted
    file.write_text(text)
    environ = environment(agent)
    ended = run("validate", "--cfg", str(file), environ=environ)
    assert (ended.exit_code, ended.stderr) == (0, "")
    return load(file, environ)
