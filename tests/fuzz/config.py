"""Configuration files: what is refused is refused with a ``ConfigError``, all else can be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_emqx_monitor.config.errors import ConfigError, Problem
from otel_emqx_monitor.config.load import load
from otel_emqx_monitor.config.model import Config
from otel_emqx_monitor.selection import selection_of
from tests.fuzz.target import Run

_ENVIRON = {"SECRET": "s", "CLIENTS": "[{alias: A, client_id: a}]", "ODD": "{[\x1b]}"}


@contextmanager
def opened(folder: Path) -> Iterator[Run]:
    file = folder / "config.yaml"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        config: Config | None = None
        problems: tuple[Problem, ...] = ()
        try:
            config = load(file, _ENVIRON)
        except ConfigError as error:
            problems = error.problems
        assert all(str(one).isprintable() for one in problems), problems
        if config is None:
            assert problems
            return
        selection = selection_of(config)
        for client_id in ("a", "sensor-1", "größe\n"):
            selection.match(client_id, "user")

    yield run
