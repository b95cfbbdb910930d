"""The part of the chart's values.schema.json that is the agent's own configuration, from the code.

It knows every section and key. Of what they hold it says little: any value can be ``${env:NAME}``,
and the agent itself says best what is wrong with one.
"""

from collections.abc import Iterable
from typing import Any

from otel_emqx_monitor.config.reference import reference

#: What the chart itself reads; the port of a container cannot come from its environment.
_READ_BY_THE_CHART: dict[str, Any] = {
    "prometheus.port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "emqx.api_url": {"type": "string", "minLength": 1},
    "emqx.alias": {"type": "string", "minLength": 1},
}
#: A whole section can come from the environment, and some have a short form.
_OR_TEXT = {"monitored_clients", "exclude", "otlp", "events"}


def config_schema() -> dict[str, Any]:
    """Return a JSON schema of the tree ``config`` in the chart's values."""
    return _mapping({key.key for key in reference()}, "")


def _mapping(keys: Iterable[str], path: str) -> dict[str, Any]:
    """Return the schema of a mapping whose keys' paths, below its own ``path``, are ``keys``."""
    below: dict[str, set[str]] = {}
    for key in sorted(keys):
        name, dot, rest = key.partition(".")
        below.setdefault(name.removesuffix("[]"), set()).update(
            {("[]" if "[]" in name else "") + rest} if dot else set()
        )
    properties = {}
    for name, deeper in below.items():
        where = f"{path}{name}"
        entries = {one.removeprefix("[]") for one in deeper if one.startswith("[]")}
        fields = deeper - {f"[]{one}" for one in entries}
        shape: dict[str, Any] = {}
        if entries:
            shape = {"type": "array", "items": _mapping(entries, f"{where}[].")}
        elif fields:
            shape = _mapping(fields, f"{where}.")
        if shape and where in _OR_TEXT:
            shape = {"anyOf": [{"type": ["string", "null"]}, shape]}
        properties[name] = _READ_BY_THE_CHART.get(where, shape)
    return {"type": "object", "additionalProperties": False, "properties": properties}
