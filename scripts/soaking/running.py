"""Starts everything, lets it go on for so long, and asks everybody at the end."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests
from holding.children import Child, child, free_address, wait_for
from holding.configs import collector_config

from otel_emqx_monitor.config import Config, PrometheusConfig
from otel_emqx_monitor.events.setup import Wanted, set_up
from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET
from soaking.account import Run
from soaking.befalling import Befalling
from soaking.lateness import Poll, lateness
from soaking.plan import KINDS, Fault, is_calm, plan
from soaking.sampling import Exposition, Sample, descriptors, memory, read, size_of_state, threads
from soaking.watching import Counters, Differences, differences, unexpected

_TOKEN = "soak-token"  # noqa: S105 (of this machine)

#: A client that is gone is forgotten after so many seconds, so that many are in a soak.
FORGET_AFTER = 60.0

#: How many may visit: twice those who are remembered. And how many strangers come in a crowd.
_ROOM, _CROWD = 250, 500

#: Seconds that the agent waits for an answer of EMQX, in intervals of polling.
_PATIENCE = 0.7

#: Seconds between two scrapes, in the same intervals: a longer time could hide a poll.
_SCRAPES = 0.75

#: For what was told last to count, in seconds.
_SETTLES = 30.0


class Soak:
    """One run: everything that is under way, and what was found out so far."""

    def __init__(self, given: argparse.Namespace, folder: Path, running: ExitStack) -> None:
        self.seconds = given.minutes * 60
        kinds = [one for one in KINDS if given.collector or one != "collector gone"]
        self.faults = plan(given.seed, self.seconds, given.interval, kinds)
        self.samples: list[Sample] = []
        self._given = given
        self._folder = folder
        self._running = running
        self._collectors = 0
        self._otlp, self._own = free_address(), free_address()
        self._state = folder / "state" / "state.db"
        self._state.parent.mkdir()
        self._api_url = self._start_broker()
        self._config = self._agent_config()
        self._path = folder / "agent.yaml"
        self._path.touch(mode=0o600)  # it holds secrets, of which the agent would warn
        self._path.write_text(json.dumps(self._config), encoding="utf-8")  # JSON is YAML too
        self._agent, self._url = self._start_agent()
        self._befalling = Befalling(
            self._agent.process.pid,
            self._url,
            self._config,
            self._path,
            self._start_collector if given.collector else None,
        )
        self._counters = Counters()
        self._polls: list[Poll] = []
        self._failed_scrapes: list[str] = []
        self._under_way: list[Fault] = []
        self._session = running.enter_context(requests.Session())
        self._began = self._begin()

    # How everything is started.

    def _start_broker(self) -> str:
        given = self._given
        path = self._folder / "plan.json"
        path.write_text(json.dumps([asdict(one) for one in self.faults]), encoding="utf-8")
        options = {
            "plan": path,
            "residents": given.clients,
            "crowd": _CROWD,
            "seed": given.seed,
            "seconds": self.seconds,
            "interval": given.interval,
            "patience": _PATIENCE * given.interval,
            "forget-after": FORGET_AFTER,
        }
        command = [f"--{name}={value}" for name, value in options.items()]
        broker = self._child("broker", sys.executable, "-m", "soaking.broker", *command)
        return broker.find(r"(http://\S+)")

    def _agent_config(self) -> dict[str, Any]:
        interval, clients = self._given.interval, self._given.clients
        flags = {one: True for one in PrometheusConfig.model_fields if one.startswith("enable_")}
        names = [f"{node}-{number}" for node in "ab" for number in range(clients // 2)]
        config: dict[str, Any] = {
            "emqx": {
                "api_url": self._api_url,
                "api_key": DEFAULT_KEY,
                "api_secret": DEFAULT_SECRET,
                "alias": "simulated",
                "timeout_seconds": _PATIENCE * interval,
                "attempts": 2,
            },
            "monitored_clients": [
                *({"alias": one, "client_id": one} for one in names),
                {"alias": "{client_id}", "client_id_glob": "*"},
            ],
            "max_clients": _ROOM,
            "counters": "cumulative",
            "forget_after_seconds": FORGET_AFTER,
            "polling": {"interval_seconds": interval, "deadline_seconds": 20},
            "events": {"webhook": {"token": _TOKEN}},
            "state": {"path": str(self._state)},
            "prometheus": {**flags, "address": "127.0.0.1", "port": 0},
        }
        if self._given.collector:
            config["otlp"] = {
                "protocol": "grpc",
                "endpoint": f"http://{self._otlp}",
                "interval_seconds": max(1.0, interval),
            }
        return config

    def _start_agent(self) -> tuple[Child, str]:
        command = "run" if self._given.collector else "prometheus"
        options = ("--cfg", str(self._path), "--log-format", "json")
        agent = self._child("agent", sys.executable, "-m", self._given.agent, command, *options)
        return agent, agent.find(r" on (http://\S+/)metrics")

    def _start_collector(self) -> Callable[[], object]:
        path = self._folder / "collector.yaml"
        path.write_text(json.dumps(collector_config(self._otlp, self._own)), encoding="utf-8")
        self._collectors += 1
        name = f"collector-{self._collectors}"
        return self._child(name, self._given.collector, f"--config=file:{path}").end

    def _child(self, name: str, *command: str) -> Child:
        return self._running.enter_context(child(name, self._folder, *command))

    def _begin(self) -> float:
        wait_for("the first poll", lambda: self._scrape().own("up"))
        wanted = Wanted(self._url, _TOKEN, ("up/#",))
        set_up(Config.model_validate(self._config).emqx, wanted, lambda _: None)
        return float(self._ask_broker("begin"))

    def _ask_broker(self, what: str) -> Any:
        url = self._api_url.removesuffix("api/")
        return requests.get(f"{url}soak/{what}", timeout=60).json()

    # How it goes on.

    def run(self, say: Callable[[str], object]) -> Run:
        """Go on until the end, then hold what the agent says against the truth."""
        left = list(self.faults)
        while (now := time.time() - self._began) < self.seconds:
            self._check_alive()
            while left and left[0].begin <= now:
                say(f"{now:6.0f} s: {left[0].kind}")
                self._befalling.begin(left[0])
                self._under_way.append(left.pop(0))
            for fault in list(self._under_way):
                self._befalling.go_on(fault)
                if fault.end <= now:
                    self._befalling.end(fault)
                    self._under_way.remove(fault)
            self._sample()
            every = _SCRAPES * self._given.interval
            self._sleep_until((int((time.time() - self._began) / every) + 1) * every)
        return self._account(*self._compare())

    def _check_alive(self) -> None:
        if (code := self._agent.process.poll()) is not None:
            last = "\n".join(self._log()[-20:])
            sys.exit(f"soak: the agent has ended with {code}; the last that it said:\n{last}")

    def _sleep_until(self, at: float) -> None:
        """Sleep until ``at``, or until a fault that is near begins or ends."""
        times = [time for one in self.faults for time in (one.begin, one.end)]
        now = time.time() - self._began
        near = min((time for time in times if now < time < at), default=at)
        time.sleep(max(0.0, near - now))

    def _sample(self) -> None:
        pid, at = self._agent.process.pid, time.time() - self._began
        began = time.monotonic()
        try:
            exposition = self._scrape()
        except (requests.RequestException, ValueError) as error:
            self._failed_scrapes.append(f"at {at:.0f} s: {error}")
            return
        took = time.monotonic() - began
        self._counters.see(exposition)
        self._note_poll(exposition)
        rss, anonymous, pss = memory(pid)
        self.samples.append(
            Sample(
                at=at,
                calm=is_calm(at, self.faults, self._given.interval),
                rss=rss,
                anonymous=anonymous,
                pss=pss,
                fds=descriptors(pid),
                threads=threads(pid),
                cpu_seconds=_cpu_seconds(pid),
                state=size_of_state(self._state),
                lines=len(self._log()),
                answer=self._answer,
                scrape_seconds=took,
            )
        )

    def _scrape(self) -> Exposition:
        answer = self._session.get(
            f"{self._url}metrics", headers={"Accept-Encoding": "gzip"}, timeout=10
        )
        answer.raise_for_status()
        self._answer = len(answer.content)
        return read(answer.text)

    def _note_poll(self, exposition: Exposition) -> None:
        ended = exposition.own("last_success_timestamp_seconds")
        took = exposition.own("poll_duration_seconds")
        if not exposition.own("up") or ended is None or took is None:
            return  # the duration is that of a poll that failed
        began = ended - took - self._began
        if not self._polls or began > self._polls[-1].began + 0.001:
            calm = is_calm(began, self.faults, self._given.interval)
            self._polls.append(Poll(began, self._befalling.reloads, calm))

    def _log(self) -> list[str]:
        return self._agent.output.read_text(errors="replace").splitlines()

    # What came out.

    def _compare(self) -> tuple[Mapping[str, Any], Differences]:
        """Wait until all has been told and counted, and return what differs nevertheless."""
        truth: Mapping[str, Any] = wait_for(
            "all to be told", lambda: (one := self._ask_broker("truth"))["done"] and one
        )
        give_up = time.monotonic() + _SETTLES
        while True:
            exposition = self._scrape()
            self._counters.see(exposition)
            shown, there = exposition.connected(), set(truth["connected"])
            found = differences(self._counters.figures, truth["figures"], there, shown)
            differs = found.exact or found.high or found.presence
            if not differs or time.monotonic() > give_up:
                return truth, found
            time.sleep(self._given.interval)

    def _account(self, truth: Mapping[str, Any], found: Differences) -> Run:
        self._agent.end()
        return Run(
            seconds=self.seconds,
            interval=self._given.interval,
            faults=self.faults,
            samples=self.samples,
            polls=lateness(self._polls, self._given.interval),
            failed_scrapes=self._failed_scrapes,
            fallen=self._counters.fallen,
            unexpected=unexpected(self._log()),
            clients=len({key.rpartition(" ")[2] for key in truth["figures"]}),
            posted=truth["posts"]["posted"],
            lost_posts=truth["posts"]["refused"] + truth["posts"]["expired"],
            untold=truth["untold"],
            differences=found,
        )


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken: see proc_pid_stat(5), fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
