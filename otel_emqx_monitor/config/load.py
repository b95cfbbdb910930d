"""Finds a configuration file, reads it, and refuses it with every problem at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from otel_emqx_monitor.config.clients import repeats
from otel_emqx_monitor.config.document import parse
from otel_emqx_monitor.config.environment import substitute
from otel_emqx_monitor.config.errors import ConfigError, Problem, Problems
from otel_emqx_monitor.config.explain import explain, place, rule
from otel_emqx_monitor.config.files import read_files
from otel_emqx_monitor.config.model import Config, PrometheusConfig
from otel_emqx_monitor.config.reading import FileRefused, read_text
from otel_emqx_monitor.config.standard import default_endpoint, follow_variables
from otel_emqx_monitor.text import printable

#: The largest configuration, in bytes.
LARGEST_FILE: Final = 64 * 1024 * 1024

# Stands where a value of the section `otlp` has a problem already.
_REFUSED: Final = "refused"

_PLACE = ".config/otel-emqx-monitor/config.yaml"
_PLACE_OF_ORIGINAL = ".config/emqx-client-monitor/config.yaml"


def default_path() -> Path:
    """Return where the configuration is when nobody says: the original's place if only that exists.

    Raises:
        ConfigError: The home folder is not known.
    """
    try:
        home = Path.home()
    except RuntimeError:
        text = "the home folder is not known (HOME is not set); name a file with --cfg FILE"
        raise ConfigError(f"~/{_PLACE}", [Problem("", text)]) from None
    own, original = home / _PLACE, home / _PLACE_OF_ORIGINAL
    return original if _exists(original) and not _exists(own) else own


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # not readable is for the reader to report, not to be passed over
        return True


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration in a file.

    Args:
        path: The file, ``~`` at its begin is a home folder; ``None`` takes `default_path`.
        environ: The variables that ``${env:NAME}`` refers to, and those of OpenTelemetry, which
            say what the section ``otlp`` leaves out.

    Raises:
        ConfigError: Anything at all that is wrong with it, all problems together.
    """
    file = locate(path)
    problems = Problems()
    document = _read(file, problems, is_default=path is None)
    values, sections = substitute(document, environ, problems)
    # What is left empty, as a section whose lines are all comments, counts as missing: an empty
    # `otlp:` does not push, `otlp: {}` does.
    known = Config.model_fields
    values = {key: item for key, item in values.items() if item is not None or key not in known}
    if isinstance(otlp := values.get("otlp"), dict):
        values["otlp"] = follow_variables(_without_refused(otlp, problems), environ)
    values = read_files(values, file.absolute().parent, problems)
    _find_repeats(values.get("monitored_clients"), problems)
    config = _validated(values, sections, problems, default_endpoint(environ))
    if config is None or problems:
        raise ConfigError(str(file), problems.listed(tuple(known)))
    return config


def load_listening(
    path: Path | None = None, environ: Mapping[str, str] = os.environ
) -> PrometheusConfig:
    """Return the section ``prometheus`` alone, whatever is wrong with the others.

    The file that it names as ``web_config_file`` is not looked at.

    Args:
        path: As for `load`.
        environ: As for `load`.

    Raises:
        ConfigError: The file cannot be read, or something is wrong with that section.
    """
    file = locate(path)
    document = _read(file, Problems(), is_default=path is None)
    problems = Problems()
    values, _ = substitute({"prometheus": document.get("prometheus")}, environ, problems)
    section = values["prometheus"]
    if isinstance(section, dict) and isinstance(web := section.get("web_config_file"), str):
        section = {**section, "web_config_file": str(file.absolute().parent / web)}
    try:
        listening = PrometheusConfig.model_validate({} if section is None else section)
    except ValidationError as error:
        for finding in error.errors(include_url=False):
            problems.add(("prometheus", *finding["loc"]), rule(finding))
    if problems:
        raise ConfigError(str(file), problems.listed())
    return listening


def locate(path: Path | None) -> Path:
    """Return the file that ``load`` reads.

    Raises:
        ConfigError: The home folder is not known.
    """
    return default_path() if path is None else _expanded(path)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        text = "the home folder that '~' stands for is not known"
        raise ConfigError(str(path), [Problem("", text)]) from None


def _read(file: Path, problems: Problems, *, is_default: bool) -> dict[str, object]:
    try:
        text = read_text(file, LARGEST_FILE)
    except FileRefused as refused:
        missing = is_default and not _exists(file)
        found = _nothing_at_default() if missing else [Problem("", str(refused))]
        raise ConfigError(str(file), found) from None
    document = parse(text, problems)
    if isinstance(document, dict):
        return document
    wrong = "is empty" if document is None else "must be a mapping (lines of 'key: value')"
    problems.add((), f"{wrong}; examples/minimal.yaml shows what is needed")
    raise ConfigError(str(file), problems.listed())


def _nothing_at_default() -> list[Problem]:
    original = Path.home() / _PLACE_OF_ORIGINAL
    lines = (
        f"there is no such file, nor the original's {printable(str(original))}",
        "to start, copy examples/minimal.yaml there and fill it in, or name a file with --cfg FILE",
        "to see it at work without a broker, run: otel-emqx-monitor demo",
    )
    return [Problem("", line) for line in lines]


def _find_repeats(clients: object, problems: Problems) -> None:
    if not isinstance(clients, list):
        return
    mappings = [client if isinstance(client, dict) else {} for client in clients]
    # Without a client id the alias is a template, which may stand in many entries.
    exact = [client if client.get("client_id") is not None else {} for client in mappings]
    named = ((client.get("alias"), client.get("client_id")) for client in exact)
    for index, key, first in repeats(named):
        wrong = f"is the same as monitored_clients[{first}].{key}; it must be unique"
        problems.add(("monitored_clients", index, key), wrong)


def _without_refused(otlp: Mapping[str, object], problems: Problems) -> dict[str, object]:
    """Return the section with what already has a problem no longer empty.

    Empty is meant to be filled in, and the keys of this section are checked against each other:
    one mistake would be reported as several.
    """
    return {
        key: _REFUSED if problems.cover(("otlp", key)) else value for key, value in otlp.items()
    }


def _validated(
    values: Mapping[str, object],
    sections: Mapping[str, str],
    problems: Problems,
    default_endpoint: str,
) -> Config | None:
    try:
        return Config.model_validate(values, context={"default_endpoint": default_endpoint})
    except ValidationError as error:
        for finding in error.errors(include_url=False):
            where = place(finding)
            # At the top the model itself only refuses repeats, which were found before.
            if where and not problems.cover(where):
                problems.add(where, explain(finding, sections))
    return None
