"""Runs an agent until it is stopped: signals, new configurations, what systemd wants to know."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.config.exposure import exposure
from otel_emqx_monitor.health import trouble_of
from otel_emqx_monitor.malloc import settle_malloc
from otel_emqx_monitor.reloading import Reloader, read
from otel_emqx_monitor.signals import Signals
from otel_emqx_monitor.systemd import Systemd

log = logging.getLogger(__name__)

#: How often the main thread looks at signals, and at the files, in seconds.
_TICK_SECONDS, _LOOK_SECONDS = 0.25, 2.0


@dataclass(frozen=True)
class Command:
    """What the command line asks for.

    ``file`` is the configuration's file and ``load`` reads it; its exceptions are those of
    ``config.load`` and others that have an ``exit_code``. ``serve`` is whether to serve
    ``/metrics``, and ``push`` says whether to push with a given configuration.
    """

    file: Path
    load: Callable[[], Config]
    serve: bool
    push: Callable[[Config], bool]


def run(command: Command, signals: Signals, *, watching: bool) -> None:
    """Run an agent until SIGTERM or SIGINT.

    SIGHUP has the configuration read again; so has a change of its files, if ``watching``.

    Raises:
        Exception: what ``command.load`` raises.
        ListenError: the address for ``/metrics`` cannot be had.
        ExporterError: the settings for pushing cannot be used.
    """
    settle_malloc()
    agent, reloader = _start(command)
    exposed = _warn_of_exposure(command.file, None)
    systemd = Systemd()
    systemd.ready(_status(agent, reloader))
    next_look = time.monotonic() + _LOOK_SECONDS
    while not signals.wait_for_stop(_TICK_SECONDS):
        due = asked = signals.has_hung_up()
        if watching and time.monotonic() >= next_look:
            next_look = time.monotonic() + _LOOK_SECONDS
            due |= reloader.is_due()
        if due:
            systemd.reloading()
            reloader.reload(asked=asked)
            exposed = _warn_of_exposure(command.file, exposed)
            systemd.ready(_status(agent, reloader))
        systemd.watch(lambda: trouble_of(agent.pulses))
    log.info("stopping")
    systemd.stopping()
    agent.stop()


def _start(command: Command) -> tuple[Agent, Reloader]:
    """Start an agent with what the files say now.

    Nobody else keeps that configuration: of many clients it is large, and others may follow it.
    """
    in_force = read(command.file, command.load)
    config = in_force.config
    agent = Agent(config, serve=command.serve, push=command.push(config))
    agent.start()
    return agent, Reloader(command.file, command.load, in_force, agent, command.push)


def _warn_of_exposure(file: Path, told: str | None) -> str | None:
    """Warn if everybody may read a secret, unless that is what was ``told``; return the warning."""
    warning = exposure(file)
    if warning is not None and warning != told:
        log.warning("%s", warning)
    return warning


def _status(agent: Agent, reloader: Reloader) -> str:
    if reloader.problem is None:
        return f"Watching {agent.watching}"
    return f"Watching {agent.watching}; the configuration on disk cannot be used, the log says why"
