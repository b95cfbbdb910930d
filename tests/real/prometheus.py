"""A real Prometheus server that lives as long as a block, and is asked by its HTTP API."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

#: Conditions are waited for this long, in seconds; they hold after a scrape or two.
PATIENCE = 30.0

_STEP = 0.05


class Sample(NamedTuple):
    """One series of an instant vector; ``labels`` has the name of its metric as ``__name__``."""

    labels: dict[str, str]
    value: float


Samples = list[Sample]


class Prometheus:
    """A running server; made by ``prometheus``."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    @property
    def log(self) -> str:
        """All that the server has logged, one JSON object a line."""
        return self._log.read_text()

    def ready(self) -> bool:
        """Whether the server takes queries."""
        try:
            return requests.get(f"{self.url}/-/ready", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the ``data`` of an answer of ``/api/v1/``; a refusal fails the test."""
        answer = requests.get(f"{self.url}/api/v1/{path}", parameters, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, promql: str) -> Samples:
        """Return the instant vector that ``promql`` gives now."""
        vector = self.ask("query", query=promql)
        assert vector["resultType"] == "vector", vector
        return [Sample(one["metric"], float(one["value"][1])) for one in vector["result"]]

    def value(self, promql: str) -> float | None:
        """Return the value of the only series that ``promql`` gives now, ``None`` for no series."""
        samples = self.query(promql)
        assert len(samples) <= 1, samples
        return samples[0].value if samples else None

    def wait_for(self, promql: str, holds: Callable[[Samples], bool]) -> Samples:
        """Ask again until ``holds`` is true of what ``promql`` gives, and return that."""
        deadline = time.monotonic() + PATIENCE
        while not holds(samples := self.query(promql)):
            assert time.monotonic() < deadline, f"{promql} still gives {samples}"
            time.sleep(_STEP)
        return samples

    def wait_for_value(self, promql: str, expected: float) -> None:
        """Wait until ``promql`` gives one series, of the value ``expected``."""
        self.wait_for(promql, lambda samples: [sample.value for sample in samples] == [expected])


def scraping(targets: Mapping[str, str], **settings: Any) -> str:
    """Return a configuration that scrapes, each second, the address (host and port) of each job.

    ``settings`` are further ones of every job, such as ``sample_limit`` or ``scrape_protocols``.
    """
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [address]}], **settings}
        for job, address in targets.items()
    ]
    interval = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    return json.dumps({"global": interval, "scrape_configs": jobs})  # JSON is YAML too


@contextmanager
def prometheus(config: str, folder: Path, *options: str) -> Iterator[Prometheus]:
    """Run a server with ``config`` on a free port and its data in ``folder``.

    ``options`` are further ones of its command line. When the block fails, the server's log is
    part of the failure. The first scrape comes some 5 s after the start, however short the
    interval: Prometheus gathers targets at that pace. So let tests share a server.
    """
    config_file, log = folder / "prometheus.yml", folder / "prometheus.log"
    config_file.write_text(config)
    command = [
        "prometheus",
        f"--config.file={config_file}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
        "--log.level=debug",  # tells why a scrape failed
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _when_ready(process, log)
    except BaseException as error:
        error.add_note(f"The log of Prometheus:\n{log.read_text()}")
        raise
    finally:
        _stop(process)


def _when_ready(process: "subprocess.Popen[bytes]", log: Path) -> Prometheus:
    deadline = time.monotonic() + PATIENCE
    while True:
        server = Prometheus(f"http://{_address(log)}", log)
        if server.ready():
            return server
        assert process.poll() is None, "Prometheus has ended"
        assert time.monotonic() < deadline, "Prometheus does not become ready"
        time.sleep(_STEP)


def _address(log: Path) -> str:
    """Return where the server listens, which its log tells; port 0 until then."""
    for line in log.read_text().split("\n")[:-1]:  # the last one may be half written
        if '"Listening on"' in line:
            return str(json.loads(line)["address"])
    return "127.0.0.1:0"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
