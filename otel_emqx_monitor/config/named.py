"""The files that a configuration names, so that somebody can see when they change."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel


def named_files(section: BaseModel) -> Iterator[Path]:
    """Yield the files that were read when a configuration, or a section of one, was loaded.

    Those are secrets, certificates and keys: what the keys that end in ``_file`` name, and the CA
    bundle of ``emqx.ssl``, which may be a folder. The state file is the agent's own, and not one;
    at the web configuration file the HTTP server looks itself, for each request.
    """
    for name, value in section:
        if isinstance(value, BaseModel):
            yield from named_files(value)
        elif name == "web_config_file":
            continue
        elif isinstance(value, str) and (name.endswith("_file") or name == "ssl"):
            yield Path(value)
