"""The broker of a soak, a process of its own: two nodes with scripted lives, and what befalls them.

Beside EMQX's API it answers ``/soak/begin``, after which it lives, and ``/soak/truth``: what really
happened, and whether all of it has been told.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from otel_emqx_monitor.signals import stop_signal
from otel_emqx_monitor.simulator import (
    Answer,
    Broker,
    Cluster,
    Integration,
    Script,
    Simulator,
    Webhook,
)
from otel_emqx_monitor.simulator.cluster import NodeDead, node_names
from otel_emqx_monitor.simulator.integration import listens
from soaking.lives import UNTOLD, Lives
from soaking.plan import Fault

#: How long before its time everything is written: a machine that is busy must not be late.
_AHEAD_SECONDS = 8.0
_TICK_SECONDS = 0.1

#: How often EMQX refreshes a row's counters.
_REFRESH_SECONDS = 2.0

#: Whoever comes while a crowd is there, or so long before, may find no room in the agent.
_BEFORE_CROWD = 15.0

_JSON = (("content-type", "application/json"),)
_PAGE = b'{"data":[{"clientid":"a-0","connected":true}],"meta":{"hasnext":true}}'
_GARBAGE = (
    Answer(200, (("content-type", "text/html"),), b"<html><h1>It works!</h1></html>"),
    Answer(200, _JSON, b"\x00\xff\x1b[2J" * 5_000),
    Answer(200, _JSON, _PAGE[:-30]),
    Answer(200, _JSON, b"[" * 100_000),
    Answer(200, _JSON, b'{"data":{"clientid":7},"meta":[]}'),
)
_ERROR = Answer(500, _JSON, b'{"code":"INTERNAL_ERROR","message":"timeout"}')


class World:
    """The nodes, those who live on them, and how EMQX misbehaves now."""

    def __init__(self, plan: Sequence[Fault], residents: int, given: argparse.Namespace) -> None:
        self.names = node_names(2)
        self.scripts = [Script(name, _REFRESH_SECONDS) for name in self.names]
        self.cluster = Cluster(dict(zip(self.names, self.scripts, strict=True)))
        self.integration = Integration(reaches=listens)
        self.residents = residents
        self._plan = plan
        self._given = given
        self._random = Random(given.seed)  # noqa: S311 - has to be repeatable, guards nothing
        self._began = 0.0
        self._under_way: list[Fault] = []
        self._kind = ""
        self._lives: list[Lives] = []
        self._webhooks: list[Webhook] = []
        self._told_until = 0.0

    # What is asked beside EMQX's API, and what becomes of what is asked there.

    def before_answer(self, target: str) -> Answer | None:
        """Answer in place of the broker, or keep it waiting, or cut the connection."""
        match target:
            case "/soak/begin":
                self._begin()
                return _told(self._began)
            case "/soak/truth":
                return _told(self.truth())
        match self._kind:
            case "latency":
                time.sleep(self._random.uniform(0.0, self._given.patience / 2))
            case "errors" if self._random.random() < 2 / 3:
                return _ERROR
            case "resets" if self._random.random() < 1 / 2:
                raise NodeDead(self.names[0])
            case "garbage":
                return self._random.choice(_GARBAGE)
        return None

    def truth(self) -> Mapping[str, object]:
        """Return what really happened until now.

        ``figures`` are those of an agent that misses nothing, by metric and client id; ``untold``
        how many connections ended without an event; ``done`` whether all has happened and been
        posted.
        """
        now = time.time()
        figures: Counter[str] = Counter()
        untold = 0
        for script in self.scripts:
            script.advance(now)
            for client_id, truth in script.truth().items():
                ends = truth.disconnections.total() - truth.disconnections[UNTOLD]
                figures[f"connections {client_id}"] += truth.connections
                figures[f"disconnections {client_id}"] += ends
                figures[f"rx {client_id}"] += truth.received.total()
                figures[f"tx {client_id}"] += truth.sent.total()
                untold += truth.untold
        ended = now > max(self._end, *(script.end for script in self.scripts))
        drained = self._told_until > max(script.end for script in self.scripts)
        return {
            "figures": +figures,
            "connected": [one for script in self.scripts for one in _connected(script, now)],
            "untold": untold,
            "posts": {
                name: sum(getattr(one, name) for one in self._webhooks)
                for name in ("posted", "refused", "expired", "waiting")
            },
            "done": ended and drained and not any(one.waiting for one in self._webhooks),
        }

    # How they live.

    @property
    def _end(self) -> float:
        seconds: float = self._given.seconds
        return self._began + seconds

    def _begin(self) -> None:
        if self._began:
            return
        self._began = time.time() + 0.5
        dead = [self._span(one) for one in self._plan if one.kind == "dead node"]
        crowds = [self._span(one) for one in self._plan if one.kind == "crowd"]
        for number, script in enumerate(self.scripts):
            lives = Lives(script, self._given.seed + number, self._end, dead if number else ())
            names = [f"{'ab'[number]}-{one}" for one in range(self.residents // 2)]
            lives.residents(names, self._began)
            self._lives.append(lives)
        for begin, end in crowds:
            self._lives[0].crowd(begin, end, self._given.crowd)
        after = self._given.forget_after + 4 * self._given.interval

        def name(at: float) -> str:
            near = any(begin - _BEFORE_CROWD < at < end + after for begin, end in crowds)
            return "zz-" if near else "visit-"

        self._lives[0].visitors(self._began + 1, name)
        self._write()
        for script in self.scripts:
            webhook = Webhook(script, self.integration)
            self._webhooks.append(webhook)
        for run in (self._live, self._post):
            threading.Thread(target=run, daemon=True).start()

    def _span(self, fault: Fault) -> tuple[float, float]:
        return self._began + fault.begin, self._began + fault.end

    def _write(self) -> None:
        for lives in self._lives:
            lives.write(time.time() + _AHEAD_SECONDS)

    def _live(self) -> None:
        left = list(self._plan)
        while True:
            now = time.time() - self._began
            self._write()
            while left and left[0].begin <= now:
                self._befall(left.pop(0))
            for fault in [one for one in self._under_way if one.end <= now]:
                self._pass(fault)
            time.sleep(_TICK_SECONDS)

    def _post(self) -> None:
        while True:
            now = time.time()
            for webhook in self._webhooks:
                webhook.run_to(now)
            self._told_until = now
            time.sleep(_TICK_SECONDS)

    def _befall(self, fault: Fault) -> None:
        self._under_way.append(fault)
        self._kind = fault.kind
        first, second = self.names
        begins: Mapping[str, Callable[[], None]] = {
            "hang": lambda: self.cluster.freeze(first),
            "frozen node": lambda: self.cluster.freeze(second),
            "split": lambda: self.cluster.split([second]),
            "dead node": lambda: self.cluster.kill(second),
        }
        if fault.kind in begins:
            begins[fault.kind]()

    def _pass(self, fault: Fault) -> None:
        self._under_way.remove(fault)
        self._kind = ""
        first, second = self.names
        ends: Mapping[str, Callable[[], None]] = {
            "hang": lambda: self.cluster.thaw(first),
            "frozen node": lambda: self.cluster.thaw(second),
            "split": self.cluster.heal,
            "dead node": lambda: self.cluster.start(second),
        }
        if fault.kind in ends:
            ends[fault.kind]()


def _told(what: object) -> Answer:
    return Answer(200, _JSON, json.dumps(what).encode())


def _connected(script: Script, now: float) -> list[str]:
    table = script.table(now)
    rows = [table.row(key, ["clientid", "connected"]) for key in table.keys()]  # noqa: SIM118 - not a mapping
    return [str(row["clientid"]) for row in rows if row["connected"]]


def main() -> None:
    """Answer until SIGTERM; the first line on stdout is the URL of the API."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", type=Path, required=True, help="JSON: kind, begin and end of all")
    parser.add_argument("--residents", type=int, required=True)
    parser.add_argument("--crowd", type=int, required=True, help="how many strangers come at once")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="until nothing more happens")
    parser.add_argument("--interval", type=float, required=True, help="of polling")
    parser.add_argument("--patience", type=float, required=True, help="for an answer of EMQX")
    parser.add_argument("--forget-after", type=float, required=True)
    given = parser.parse_args()
    plan = [Fault(**one) for one in json.loads(given.plan.read_text())]
    world = World(plan, given.residents, given)
    broker = Broker(source=world.cluster, integration=world.integration)
    with stop_signal() as wait_for_stop, Simulator(broker) as simulator:
        simulator.before_answer = world.before_answer
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        wait_for_stop()


if __name__ == "__main__":
    main()
