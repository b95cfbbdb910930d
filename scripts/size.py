"""Measures one agent beside a simulated broker: memory and CPU time by number of clients.

Each round lets the data grow too old, so that a scrape brings a poll of its own, and scrapes as
Prometheus does: OpenMetrics, compressed. The memory is the most that the process has had, the CPU
time that of its rounds without its start. The broker's clients come, go and reconnect meanwhile.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests
from holding.children import Child, child, wait_for

from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET

#: What the agents of examples/kubernetes/ and of the Helm chart's defaults do.
_CASES: Mapping[str, Mapping[str, Any]] = {
    "live": {"counters": "live"},
    "cumulative": {"counters": "cumulative", "state": {"path": "state.db"}},
}

_TTL = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Needs:
    """What an agent took: seconds of CPU for its start, and for a poll with its scrape; MiB."""

    start_seconds: float
    poll_seconds: float
    peak_mib: float
    state_mib: float


def cpu_seconds(process: Child) -> float:
    """Return the CPU time of a process that runs, in seconds."""
    text = Path(f"/proc/{process.process.pid}/stat").read_text()
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def scrape(url: str) -> float:
    """Scrape as Prometheus does, and return when the poll that this brought had ended."""
    headers = {
        "Accept": "application/openmetrics-text;version=1.0.0",
        "Accept-Encoding": "gzip",
        "X-Prometheus-Scrape-Timeout-Seconds": "60",
    }
    page = requests.get(f"{url}metrics", headers=headers, timeout=120).content
    found = re.search(
        rb"^emqx_client_monitor_last_success_timestamp_seconds\{.*\} (\S+)", page, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def newer(url: str, polled: float) -> float | None:
    """Scrape, and return when the poll that this brought had ended if that is after ``polled``."""
    ended = scrape(url)
    return ended if ended > polled else None


def measure(settings: Mapping[str, Any], polls: int, api_url: str) -> Needs:
    """Run an agent with ``settings`` for so many polls, and return what it took."""
    emqx = {"api_url": api_url, "api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}
    config = {
        "emqx": {**emqx, "alias": "simulated", "timeout_seconds": 30},
        "monitored_clients": "all",
        "max_clients": 1_000_000,
        "prometheus": {"address": "127.0.0.1", "port": 0, "ttl_seconds": _TTL},
        **settings,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "config.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML too
        program = [sys.executable, "-m", "otel_emqx_monitor", "run", "--cfg", str(file)]
        with child("agent", folder, *program) as agent:
            url = agent.find(r"on (http://\S+/)metrics")
            polled = wait_for("the first poll", lambda: scrape(url))
            started = cpu_seconds(agent)
            for _ in range(polls):
                time.sleep(_TTL)
                polled = wait_for("a poll", partial(newer, url, polled))
            took = cpu_seconds(agent) - started
            agent.end()
            state = sum(file.stat().st_size for file in folder.glob("state.db*"))
        return Needs(started, took / polls, agent.peak_mib, state / 2**20)


def rows(clients: int, polls: int) -> Iterator[str]:
    """Measure all cases with so many clients, and yield a row of the table for each."""
    simulate = ["-m", "otel_emqx_monitor", "simulate", "--port", "0", "--clients", str(clients)]
    with (
        tempfile.TemporaryDirectory() as folder,
        child("broker", Path(folder), sys.executable, *simulate) as broker,
    ):
        api_url = broker.find(r"URL +(\S+)")
        for counters, settings in _CASES.items():
            needs = measure(settings, polls, api_url)
            yield (
                f"| {clients:,} | {counters} | {needs.start_seconds:.2f} s |"
                f" {needs.poll_seconds:.3f} s | {needs.peak_mib:.0f} MiB |"
                f" {needs.state_mib:.1f} MiB |"
            )


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(prog="scripts/size", description=__doc__.partition(":")[0])
    parser.add_argument("--clients", default="1000,10000,100000", help="the sizes (%(default)s)")
    parser.add_argument("--polls", type=int, default=20, help="rounds of each (%(default)s)")
    wanted = parser.parse_args()
    _say("| clients | counters | CPU: start | CPU: a poll and its scrape | peak RSS | state file |")
    _say("|--:|---|--:|--:|--:|--:|")
    for clients in map(int, wanted.clients.split(",")):
        for row in rows(clients, wanted.polls):
            _say(row)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
