"""Runs commands and agents inside the test's own process, where a new one would prove no more."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from click.testing import CliRunner

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.cli import main
from otel_emqx_monitor.config import Config
from tests.processes import Ended


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Undo what the block does to the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def invoke(*arguments: str) -> Ended:
    """Run a command; what would end the process with a traceback is raised.

    The output is what a terminal would get: click drops escape sequences for other readers.
    """
    with logging_as_it_was():
        result = CliRunner().invoke(main, arguments, color=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


@contextmanager
def running(config: Config | Mapping[str, Any]) -> Iterator[str]:
    """Run an agent for the length of the block and give its URL."""
    agent = Agent(Config.model_validate(config))
    agent.start()
    try:
        yield agent.url
    finally:
        agent.stop()
