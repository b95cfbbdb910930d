"""A real OpenTelemetry Collector that lives as long as a block."""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.built import ROOT, require_built
from tests.processes import PATIENCE_SECONDS, wait_until

CONFIGS = ROOT / "collector-config"

#: The environment variables by which a configuration learns where to listen.
OTLP_GRPC, OTLP_HTTP = "OTLP_GRPC_LISTEN", "OTLP_HTTP_LISTEN"
PROMETHEUS, HEALTH = "PROMETHEUS_LISTEN", "HEALTH_LISTEN"
#: The Collector's metrics of itself; no configuration needs to mention it.
SELF = "SELF_LISTEN"
LISTENERS = (OTLP_GRPC, OTLP_HTTP, PROMETHEUS, HEALTH, SELF)


def require_collector() -> Path:
    """Return the Collector; without one skip the test, or fail it when ``REQUIRE_REAL=1``."""
    return require_built("get-collector")


@dataclass(frozen=True)
class CollectorProcess:
    """A Collector that runs.

    ``listen`` has the addresses, ``host:port``, by the names in ``LISTENERS``; given to
    ``running_collector`` as ``env`` they make the next Collector listen where this one did.
    """

    listen: Mapping[str, str]
    log_file: Path
    process: subprocess.Popen[bytes]

    def url(self, listener: str) -> str:
        """Return the URL of one of ``LISTENERS``, with a slash at the end."""
        return f"http://{self.listen[listener]}/"

    @property
    def log(self) -> str:
        """Everything that it has logged so far."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def complaints(self) -> list[str]:
        """The lines of the log that are neither information nor for debugging."""
        harmless = ("\tinfo\t", "\tdebug\t")
        return [line for line in self.log.splitlines() if not any(h in line for h in harmless)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until the Collector ends, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running_collector(
    config: Path | str, env: Mapping[str, str] | None = None
) -> Iterator[CollectorProcess]:
    """Run a Collector for the length of the block; skips the test where there is none.

    Args:
        config: A file, or YAML text. Addresses to listen on stand in it as ``${env:NAME}`` with
            the names in ``LISTENERS``; each gets a free port.
        env: Environment variables for it beside those of this process; also to choose addresses.

    Yields:
        The Collector, when all of it listens. It must log at the level "info" to say so.

    Raises:
        AssertionError: It ended at once; the message has its log.
    """
    program = require_collector()
    given = dict(env or {})
    free = iter(_unused_addresses(len(LISTENERS)))
    listen = {name: given.get(name) or next(free) for name in LISTENERS}
    text = config if isinstance(config, str) else config.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "config.yaml", Path(folder) / "log"
        file.write_text(text, encoding="utf-8")
        configs = f"--config=file:{file}", f"--config={_own_metrics(listen[SELF])}"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [program, *configs],
                env={**os.environ, **given, **listen},
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            collector = CollectorProcess(listen, log, process)
            try:
                wait_until(lambda: _is_ready(collector))
                yield collector
            finally:
                _end(process)


def _unused_addresses(count: int) -> list[str]:
    """Return addresses on which nobody listens, all different: held open until all are chosen."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def _own_metrics(address: str) -> str:
    """Move the Collector's metrics of itself off the one port that all Collectors have."""
    host, port = address.rsplit(":", 1)
    exporter = f"{{prometheus: {{host: {host}, port: {port}}}}}"
    return f"yaml:service::telemetry::metrics::readers: [{{pull: {{exporter: {exporter}}}}}]"


def _is_ready(collector: CollectorProcess) -> bool:
    """Whether everything listens; an answer at a port could be that of another program."""
    if collector.process.poll() is not None:
        raise AssertionError(f"the Collector ended before it was ready:\n{collector.log}")
    return "Everything is ready." in collector.log


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
