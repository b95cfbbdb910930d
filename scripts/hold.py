"""Holds many simulated clients: does each interval bring every point to Prometheus and Collector?

Four processes beside this one: a simulated broker, the agent (`run`), a real Prometheus that
scrapes it and a real Collector that it pushes to. Prometheus remembers what each scrape brought;
the Collector counts what it took. What they say at the end is printed as a table, and the exit code
is 1 when an interval was missed or a point was lost.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import requests
from holding.children import Child, child, free_address, wait_for
from holding.configs import MAX_POINTS, agent_config, collector_config, prometheus_config

_PREFIX = "emqx_client_monitor_"

#: For the last push to arrive, in seconds.
_PATIENCE = 30.0

#: An interval was missed when nothing came for this many of them.
_MISSED = 1.5

#: A request as the Collector's debug exporter logs it: when it came, and its data points.
_RECEIVED = re.compile(r'^(\S+)\t.*"data points": (\d+)', re.MULTILINE)

#: Longer than any hold, for what Prometheus is asked at the end.
_WINDOW = "[6h]"


@dataclass(frozen=True)
class Series:
    """What Prometheus has of one series: when it was scraped, and what came."""

    times: Sequence[float]
    values: Sequence[float]


class Prometheus:
    """Asks a Prometheus server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def series(self, selector: str) -> Series:
        """Return the raw samples of the one series that ``selector`` selects."""
        [one] = self._ask(selector + _WINDOW) or [{"values": []}]
        return Series(
            [float(time) for time, _ in one["values"]],
            [float(value) for _, value in one["values"]],
        )

    def value(self, expression: str) -> float:
        """Return the value of an expression that gives one series."""
        [one] = self._ask(expression) or [{"value": [0, "0"]}]
        return float(one["value"][1])

    def _ask(self, query: str) -> Any:
        answer = requests.get(f"{self._url}/api/v1/query", {"query": query}, timeout=60).json()
        if answer["status"] != "success":
            sys.exit(f"hold: Prometheus refused {query}: {answer}")
        return answer["data"]["result"]


def own_samples(url: str) -> dict[str, float]:
    """Return the samples without clients on a page of metrics, by name with labels.

    Asks as Prometheus does, so that the agent need not keep a page in another format as well.
    """
    answer = requests.get(url, headers={"Accept": "application/openmetrics-text"}, timeout=60)
    lines = (line for line in answer.content.split(b"\n") if line[:1] not in b"#")
    own = (line.decode().rpartition(" ") for line in lines if b"client_id=" not in line)
    return {name: float(value) for name, _, value in own}


def total(samples: Mapping[str, float], name: str, label: str = "") -> float:
    """Return the sum of a metric's samples, of those with ``label`` if one is given.

    ``name`` is without ``_total``, which a Collector adds or not, as its release has it.
    """
    return sum(
        value
        for key, value in samples.items()
        if key.partition("{")[0].removesuffix("_total") == name and label in key
    )


@dataclass
class Account:
    """The rows of the table, and what was missed."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, what: str, value: object, *, good: bool = True) -> None:
        """Add a row; one that is not ``good`` is something missed."""
        self.rows.append((what, str(value)))
        if not good:
            self.missed.append(f"{what}: {value}")

    def add_moments(self, what: str, moments: Sequence[float], polls: int, ttl: float) -> None:
        """Add how many moments there were and how far apart: no interval may lack one."""
        distinct = sorted(set(moments))
        gaps = [later - earlier for earlier, later in pairwise(distinct)]
        self.add(what, len(distinct), good=len(distinct) >= polls)
        if gaps:
            apart = f"{median(gaps):.2f} s, {max(gaps):.2f} s"
            self.add("… apart: median, most", apart, good=max(gaps) < _MISSED * ttl)


def examine(account: Account, server: Prometheus, wanted: argparse.Namespace) -> None:
    """Ask Prometheus what each scrape has brought."""
    up = server.series('up{job="agent"}')
    failed = up.values.count(0.0)
    account.add("scrapes by Prometheus", len(up.values))
    account.add_moments("… after the first", up.times[1:], wanted.polls, wanted.ttl)
    account.add("… failed", failed, good=not failed)
    first, *took = server.series("scrape_duration_seconds").values
    account.add("… took: the first, which makes the series", f"{first:.2f} s")
    account.add("… took: the others, median, most", f"{median(took):.2f} s, {max(took):.2f} s")
    brought = server.series("scrape_samples_scraped").values
    account.add("… samples: fewest, most", f"{min(brought):,.0f}, {max(brought):,.0f}")
    presence = server.value(f"sum(count_over_time({_PREFIX}connected{_WINDOW}))")
    expected = wanted.clients * len(up.values)
    lacking = expected - presence
    account.add(
        "… samples of `connected`, of those due",
        f"{presence:,.0f} of {expected:,}",
        good=lacking == 0,
    )
    polled = server.series(f"{_PREFIX}last_success_timestamp_seconds")
    account.add_moments(
        "polls of EMQX that these brought", polled.values[1:], wanted.polls, wanted.ttl
    )
    ages = [at - when for at, when in zip(polled.times, polled.values, strict=True)]
    account.add("… age when scraped: median, most", f"{median(ages):.2f} s, {max(ages):.2f} s")
    durations = server.series(f"{_PREFIX}poll_duration_seconds").values
    account.add("… took: median, most", f"{median(durations):.2f} s, {max(durations):.2f} s")


def examine_pushes(account: Account, collector_log: str, wanted: argparse.Namespace) -> None:
    """Find in the Collector's log when pushes were complete."""
    received = _RECEIVED.findall(collector_log)
    ends = [when for when, count in received if int(count) < MAX_POINTS]
    moments = [datetime.fromisoformat(when).timestamp() for when in ends]
    account.add_moments("whole pushes to the Collector", moments, wanted.polls, wanted.ttl)


def settle(agent_url: str, collector_url: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the metrics of both when they agree on the points, or after a while all the same."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        agent, collector = own_samples(agent_url), own_samples(collector_url)
        if points(agent) == accepted(collector) or time.monotonic() > give_up:
            return agent, collector
        time.sleep(1)  # a push is under way


def points(agent: Mapping[str, float]) -> float:
    """Return how many points the agent says have been delivered."""
    return total(agent, f"{_PREFIX}otlp_points", 'outcome="success"')


def accepted(collector: Mapping[str, float]) -> float:
    """Return how many points the Collector has accepted."""
    return total(collector, "otelcol_receiver_accepted_metric_points")


def compare(account: Account, agent: Mapping[str, float], collector: Mapping[str, float]) -> None:
    """Hold what the agent has sent against what the Collector has received."""
    errors = total(agent, f"{_PREFIX}poll_errors")
    account.add("failed polls", f"{errors:.0f}", good=not errors)
    account.add("requests to the Collector", f"{total(agent, f'{_PREFIX}otlp_exports'):,.0f}")
    for outcome in ("refused", "dropped"):
        lost = total(agent, f"{_PREFIX}otlp_points", f'outcome="{outcome}"')
        account.add(f"… points {outcome}", f"{lost:,.0f}", good=not lost)
    account.add("… points delivered", f"{points(agent):,.0f}", good=points(agent) > 0)
    same = accepted(collector) == points(agent)
    account.add("points that the Collector accepted", f"{accepted(collector):,.0f}", good=same)
    refused = total(collector, "otelcol_receiver_refused_metric_points")
    account.add("… refused", f"{refused:,.0f}", good=not refused)


def hold(server: Prometheus, wanted: argparse.Namespace) -> None:
    """Wait until there were scrapes enough, or there should have been.

    The first is not counted: the time it takes is that of a Prometheus that makes all the series.
    """
    enough = wanted.polls + 2
    give_up = time.monotonic() + (enough + 2) * wanted.ttl
    done = -1.0
    while done < enough and time.monotonic() < give_up:
        time.sleep(min(1.0, wanted.ttl / 4))
        before, done = done, server.value(f'count_over_time(up{{job="agent"}}{_WINDOW})')
        if done > before:
            sys.stderr.write(f"hold: {done:.0f} of {enough} scrapes\n")


def run(wanted: argparse.Namespace, folder: Path) -> Account:
    """Start everything, wait, and ask everybody."""

    def start(name: str, *command: str) -> Child:
        return running.enter_context(child(name, folder, *command))

    def write(name: str, config: Mapping[str, Any]) -> str:
        (folder / name).write_text(json.dumps(config))  # JSON is YAML too
        return str(folder / name)

    otlp, own = free_address(), free_address()
    program = (sys.executable, "-m", "otel_emqx_monitor")
    account = Account()
    with ExitStack() as running:
        broker = start("simulator", *program, "simulate", f"--clients={wanted.clients}", "--port=0")
        api_url = broker.find(r"URL +(\S+)")
        config = write("collector.yaml", collector_config(otlp, own))
        collector = start("collector", wanted.collector, f"--config=file:{config}")
        collector.find("(Everything is ready)")
        config = write("agent.yaml", agent_config(wanted.clients, wanted.ttl, api_url, otlp))
        agent = start("agent", *program, "run", "--cfg", config, "--log-format", "json")
        url = agent.find(r" on (http://\S+/metrics)")
        wait_for("the first poll", lambda: total(own_samples(url), f"{_PREFIX}up"))
        config = write("prometheus.yml", prometheus_config(url.split("/")[2], wanted.ttl))
        storage = f"--storage.tsdb.path={folder / 'data'}"
        prometheus = start(
            "prometheus",
            wanted.prometheus,
            f"--config.file={config}",
            storage,
            "--web.listen-address=127.0.0.1:0",
        )
        prometheus.find("(Server is ready)")
        server = Prometheus("http://" + prometheus.find(r"Listening on.* address=(\S+)"))
        hold(server, wanted)
        examine(account, server, wanted)
        examine_pushes(account, collector.output.read_text(), wanted)
        compare(account, *settle(url, f"http://{own}/metrics"))
        for one in (agent, prometheus, collector, broker):
            one.end()
            used = f"{one.cpu_seconds:,.0f} s, {one.peak_mib:,.0f} MiB"
            account.add(f"{one.name}: CPU time, peak memory", used)
    complaints = len(re.findall(r'"level": ?"(?:warning|error)"', agent.output.read_text()))
    account.add("warnings and errors in the agent's log", complaints, good=not complaints)
    return account


def main() -> None:
    """Print the table, and end with 1 when something was missed."""
    parser = argparse.ArgumentParser(prog="scripts/hold")
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--polls", type=int, default=20)
    parser.add_argument("--ttl", type=float, default=15.0, help="seconds of every interval")
    parser.add_argument("--collector", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--prometheus", default="prometheus", help="the program to run")
    wanted = parser.parse_args()
    if shutil.which(wanted.prometheus) is None:
        parser.error(f"there is no program {wanted.prometheus} here")
    with tempfile.TemporaryDirectory() as folder:
        account = run(wanted, Path(folder))
    heading = f"{wanted.clients:,} clients, {wanted.polls} polls, every {wanted.ttl:g} s"
    lines = [
        f"| {heading} | |",
        "|---|--:|",
        *(f"| {what} | {is_} |" for what, is_ in account.rows),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if account.missed:
        sys.exit("hold: missed: " + "; ".join(account.missed))


if __name__ == "__main__":
    main()
