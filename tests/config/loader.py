"""Configurations: text in, values or messages out."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from otel_emqx_monitor.config import Config, ConfigError, load


class Loader:
    """Writes a configuration into a folder of its own and loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, text: str | bytes) -> Path:
        path = self.folder / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> Config:
        return load(self.file(text), environ or {})

    def error(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.load(text, environ)
        return caught.value

    def problems(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        return [str(problem) for problem in self.error(text, environ).problems]


def emqx(**keys: str) -> str:
    """Return the section ``emqx`` with ``keys`` changed, as YAML; an empty value drops the key."""
    values = {
        "api_key": "key-1",
        "api_secret": "s3cret-2",
        "api_url": "http://emqx:18083/api/",
        "alias": "LocalEMQX",
    } | keys
    return "emqx:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items() if value)


MINIMAL = emqx()


def otlp(*lines: str) -> str:
    """Return a minimal configuration with ``lines`` in its section ``otlp``, as YAML."""
    return MINIMAL + "otlp:\n" + "".join(f"  {line}\n" for line in lines)
