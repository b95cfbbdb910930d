"""The cases of the program as a whole, in a process of its own as people run it."""

import gzip
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.measuring import Job, Measured, main, rss_bytes
from benchmarks.processes import PROGRAM, SEED, end_of, find, simulator, sink
from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET, ProceduralFleet

#: What Prometheus sends, and what somebody with curl does.
OPENMETRICS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    "Accept-Encoding": "gzip",
}
_TEXT = {"Accept": "*/*"}

#: How often the agent polls and pushes, at the least; with few clients it is more.
_INTERVAL_SECONDS = 5.0

#: Far longer than anything takes: reaching it means that something hangs.
_PATIENCE_SECONDS = 600.0


def version(job: Job) -> Measured:
    """The CPU seconds of ``--version``: starting, importing, and ending."""
    seconds = []
    for _ in range(1 + job.runs):
        with subprocess.Popen(  # noqa: S603 (this project's own)
            [*PROGRAM, "--version"], stdout=subprocess.DEVNULL, encoding="utf-8"
        ) as process:
            usage = end_of(process)
        seconds.append(usage.ru_utime + usage.ru_stime)
    return Measured(seconds[0], seconds[1:], 1, rss_bytes(usage))


def grpc(_: Job) -> Measured:
    """Whether gRPC is imported by those who do not push with it: 1 or 0 for each of them."""
    figures = {"--version": float(_imports_grpc(["--version"]))}
    with simulator(1) as url, tempfile.TemporaryDirectory() as folder:
        for name, otlp in (
            ("prometheus", None),
            ("run, http/protobuf", {"protocol": "http/protobuf", "timeout_seconds": 1}),
        ):
            config = write_config(Path(folder), url, 1, otlp)
            figures[name] = float(_imports_grpc([name.split(",")[0], "--cfg", str(config)]))
    return Measured(runs=[0.0], amount=1, figures=figures)


def _imports_grpc(arguments: list[str]) -> bool:
    """Run the program, scrape it if it serves, and look through all that it has imported."""
    timed = [PROGRAM[0], "-X", "importtime", *PROGRAM[1:], *arguments]
    with subprocess.Popen(timed, stderr=subprocess.PIPE, encoding="utf-8") as process:  # noqa: S603 (this project's own)
        assert process.stderr is not None  # noqa: S101 (it was started with a pipe)
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if served := re.search(r" on (http://\S+/metrics)", line):
                scrape(served[1], OPENMETRICS)
                process.terminate()
        process.wait()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time")}
    return "grpc" in imported


def memory(job: Job) -> Measured:
    """The peak memory of an agent that serves and pushes, from its start through ``runs`` polls.

    Its CPU seconds are those of all that time.
    """
    return _memory(job, [OPENMETRICS])


def memory_of_two(job: Job) -> Measured:
    """The same when the text format is scraped too, so that both are kept."""
    return _memory(job, [_TEXT, OPENMETRICS])


def _memory(job: Job, scrapers: Sequence[Mapping[str, str]]) -> Measured:
    with (
        simulator(job.clients) as url,
        sink() as endpoint,
        tempfile.TemporaryDirectory() as folder,
    ):
        otlp = {"endpoint": endpoint, "interval_seconds": _interval(job.clients)}
        config = write_config(Path(folder), url, job.clients, otlp)
        with running_agent(config) as (process, metrics):
            samples = _watch(metrics, job.runs, scrapers)
            process.terminate()
            usage = end_of(process)
    seconds = usage.ru_utime + usage.ru_stime
    return Measured(runs=[seconds], amount=samples, peak_rss=rss_bytes(usage))


@contextmanager
def running_agent(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the agent; yields its process and the URL of its metrics."""
    command = [*PROGRAM, "run", "--cfg", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:  # noqa: S603 (this project's own)
        try:
            yield process, find(process.stderr, r" on (http://\S+/metrics)")
        finally:
            if process.returncode is None:
                process.kill()


def _watch(metrics: str, polls: int, scrapers: Sequence[Mapping[str, str]]) -> int:
    """Scrape until so many polls and pushes have been seen; return the samples of a scrape.

    ``scrapers`` are the headers of all who scrape.

    Raises:
        RuntimeError: there were fewer, for ten minutes.
    """
    polled, pushed = set(), set()
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < give_up:
        *_, text = (scrape(metrics, headers) for headers in scrapers)
        polled.update(re.findall(rb"_monitor_last_success_timestamp_seconds\{.*\} (.*)", text))
        pushed.update(re.findall(rb"_otlp_last_success_timestamp_seconds\{.*\} (.*)", text))
        if min(len(polled), len(pushed)) >= polls:
            return text.count(b',client_id="')
        time.sleep(0.25)
    raise RuntimeError(f"{len(polled)} polls and {len(pushed)} pushes in {_PATIENCE_SECONDS:g} s")


def _interval(clients: int) -> float:
    return min(_INTERVAL_SECONDS, 0.5 + clients / 1000)


def scrape(metrics: str, headers: Mapping[str, str]) -> bytes:
    """Return an exposition."""
    request = Request(metrics, headers=dict(headers))  # noqa: S310 (of this machine)
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        body: bytes = answer.read()
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def write_config(
    folder: Path,
    url: str,
    clients: int,
    otlp: dict[str, object] | None,
    ttl: float | None = None,
) -> Path:
    """Write a configuration that watches everybody; JSON is YAML too."""
    ids = ProceduralFleet(clients, SEED, 0.0).client_ids
    access = {"api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET, "api_url": url}
    config = {
        "emqx": {**access, "alias": "simulated", "timeout_seconds": 60},
        "monitored_clients": [
            {"alias": f"Device {number}", "client_id": one} for number, one in enumerate(ids)
        ],
        "prometheus": {
            "port": 0,
            "address": "127.0.0.1",
            "ttl_seconds": ttl or _interval(clients),
        },
        "otlp": otlp,
    }
    path = folder / "config.yaml"
    path.write_text("".join(json.JSONEncoder(indent=0).iterencode(config)), encoding="utf-8")
    return path


if __name__ == "__main__":
    main({"version": version, "grpc": grpc, "memory": memory, "memory-both": memory_of_two})
