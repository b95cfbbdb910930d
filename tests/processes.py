"""Runs the program as people do, as a process of its own, and reads what it says and serves."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from otel_emqx_monitor.metric import PREFIX
from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET

T = TypeVar("T")

_ROOT = Path(__file__).parents[1]
_SERVING = re.compile(r" on (https?://\S+/)metrics$")

#: Far longer than anything takes here: reaching it means that something hangs.
PATIENCE_SECONDS = 30.0

#: The monitored clients of ``settings``, by alias.
CLIENTS = {"Room": "dev-a", "Ghost": "never-seen"}


def settings(
    api_url: str,
    *,
    emqx: Mapping[str, Any] | None = None,
    clients: Mapping[str, str] | None = None,
    prometheus: Mapping[str, Any] | None = None,
    polling: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a configuration for tests: any free port of loopback, each request tried once.

    The broker's alias is ``emqx``, key and secret are the simulator's. ``clients`` maps aliases to
    client ids, ``CLIENTS`` when it is ``None``; the other arguments are added to their sections.
    """
    broker = {"api_url": api_url, "api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}
    return {
        "emqx": {**broker, "alias": "emqx", "attempts": 1, **(emqx or {})},
        "monitored_clients": [
            {"alias": alias, "client_id": client_id}
            for alias, client_id in (CLIENTS if clients is None else clients).items()
        ],
        "prometheus": {"port": 0, "address": "127.0.0.1", **(prometheus or {})},
        "polling": dict(polling or {}),
    }


def write_config(folder: Path, config: Mapping[str, Any]) -> str:
    """Write ``config`` as YAML and return the path, ready to be an argument."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(dict(config), allow_unicode=True), encoding="utf-8")
    path.chmod(0o600)  # as it should be where a secret is in it
    return str(path)


def wait_until(condition: Callable[[], T | None]) -> T:
    """Return what ``condition`` returns as soon as that is true."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {PATIENCE_SECONDS:g} s in vain; the last was {result!r}")
        time.sleep(0.02)
    return result


@dataclass(frozen=True)
class Exposition:
    """What a scrape got, parsed by prometheus_client; metric names are without our prefix."""

    text: str
    samples: Sequence[Sample]

    def by(self, name: str, *labels: str) -> dict[str, float]:
        """Return the values of the metric ``name`` by the values of ``labels``, joined by ``/``."""
        values: dict[str, float] = {}
        for sample in self.samples:
            if sample.name == PREFIX + name:
                key = "/".join(sample.labels[label] for label in labels)
                assert key not in values, f"{name} has two samples for {key}"
                values[key] = sample.value
        return values

    @property
    def of_clients(self) -> list[Sample]:
        """All samples of clients; they end when what is known of the clients is too old."""
        return [sample for sample in self.samples if "client_id" in sample.labels]


def scrape(
    url: str, headers: Mapping[str, str] | None = None, patience: float = PATIENCE_SECONDS
) -> Exposition:
    """Scrape the agent at ``url``, with ``headers`` beside the usual ones."""
    answer = requests.get(url + "metrics", headers=headers, timeout=patience)
    assert answer.status_code == 200, answer.text
    text = answer.content.decode()
    families = text_string_to_metric_families(text)
    return Exposition(text, [sample for family in families for sample in family.samples])


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str


def run(*arguments: str, environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command that ends by itself; ``environ`` is added to the environment."""
    ended = subprocess.run(
        _command(arguments),
        cwd=_ROOT,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


class Serving:
    """A process that serves metrics at ``url``; ``stdout`` and ``stderr`` grow line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._readers = [
            _collect(process.stdout, self.stdout),
            _collect(process.stderr, self.stderr),
        ]

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @cached_property
    def url(self) -> str:
        """Where it serves, with a slash at the end; waits until the log says so."""
        return wait_until(self._find_url)

    def _find_url(self) -> str | None:
        found = [match[1] for text in self.messages if (match := _SERVING.search(text))]
        if not found and self._process.poll() is not None:
            raise AssertionError("it ended before it served:\n" + "\n".join(self.stderr))
        return found[0] if found else None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log; fails when anything else was written to stderr, such as a traceback."""
        return [json.loads(line) for line in self.stderr]

    @property
    def messages(self) -> list[str]:
        """The messages of the log; fails where one carries a traceback."""
        events = self.events
        assert not [event["exception"] for event in events if "exception" in event]
        return [event["message"] for event in events]

    def scrape(self, headers: Mapping[str, str] | None = None) -> Exposition:
        """Scrape it; see ``scrape``."""
        return scrape(self.url, headers)

    def send(self, number: signal.Signals) -> None:
        """Send a signal that it outlives, or one that is not waited for."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until the process and its output end, and return the exit code."""
        self._process.send_signal(number)
        exit_code = self._process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return exit_code


@contextmanager
def serving(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    waits: bool = True,
) -> Iterator[Serving]:
    """Run a command that serves, with a log of JSON lines; it is killed at the end of the block.

    With ``waits`` it serves when the block begins; a command that only pushes never does.

    ``with serving("prometheus", "--cfg", write_config(tmp_path, settings(broker.url))) as agent``
    """
    with starting(*arguments, environ=environ) as agent:
        assert not waits or agent.url
        yield agent


@contextmanager
def starting(
    *arguments: str, environ: Mapping[str, str] | None = None, inside: Sequence[str] = ()
) -> Iterator[Serving]:
    """Do what ``serving`` does, but begin the block at once, when it does not serve yet.

    ``inside`` is a command that becomes the one that follows it, such as ``unshare``.
    """
    with subprocess.Popen(
        [*inside, *_command([*arguments, "--log-format", "json"])],
        cwd=_ROOT,
        env={**os.environ, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        agent = Serving(process)
        try:
            yield agent
        finally:
            agent.stop(signal.SIGKILL)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "otel_emqx_monitor", *arguments]


def _collect(stream: IO[str] | None, lines: list[str]) -> threading.Thread:
    assert stream is not None

    def collect() -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))  # noqa: PERF401 (a comprehension would show none yet)

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    return reader
