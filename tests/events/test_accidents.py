"""Lives in real time, with all that can befall their events, seen by agents that are ended amid.

A minute without events is scaled down to eight seconds, and with it what polls and EMQX's refreshes
take: polls of an agent that is scraped every second find each refresh of two seconds.
"""

import signal
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from otel_emqx_monitor.fleet import REASONS
from otel_emqx_monitor.merging import SETTLE_SECONDS
from otel_emqx_monitor.simulator import Broker, Disorder, Login, Script, Simulator, Webhook
from otel_emqx_monitor.simulator.disorder import Disordered
from otel_emqx_monitor.simulator.emission import Emission
from tests.events.lives import Figures, config_file, expected, exposed, settings, tell
from tests.peers import unused_port
from tests.processes import Exposition, Serving, serving

LENGTH = 26.0
RESTART, DEAD = 6.0, (12.0, 20.0)

#: How late an event comes at most, with what the sender of a test takes.
LATE = 2.0 + 1.0

#: Since when, and how often each client has come and gone.
Presence = dict[str, tuple[float, tuple[int, int]]]


def write(script: Script, begin: float) -> None:
    """Write short sessions all the time, and clients that stay, send, and come back."""
    random = Random(6)  # noqa: S311 (lives have to be repeatable)
    for number in range(int((LENGTH - 2) * 30)):
        at = begin + number / 30
        script.short_session(
            at, f"short-{number % 200}", reason=random.choice(["normal", "kicked"])
        )
    for number in range(30):
        at, client_id = begin + random.random(), f"long-{number}"
        login = Login(
            client_id=client_id, clean_start=number % 2 == 0, expiry_interval=number % 2 * 3
        )
        while at < begin + LENGTH - 5:
            stays = at + random.uniform(1.5, 7)
            script.connect(at, login)
            for _ in range(int((stays - at) * 3)):
                script.publish(random.uniform(at + 0.01, stays - 0.01), client_id, "up/a", qos=1)
            match random.randrange(4):
                case 0:  # taken over, or discarded
                    at = stays
                    continue
                case 1:
                    script.disconnect(stays, client_id, "tcp_closed", told=False)
                case _:
                    script.disconnect(stays, client_id, random.choice(["normal", "tcp_closed"]))
            at = stays + random.uniform(0.2, 5)


@dataclass
class Side:
    """One agent, how it is ended, and what its scrapes showed last."""

    end: signal.Signals
    config: Mapping[str, Any]
    path: str
    broker: Broker
    stack: ExitStack
    webhook: Webhook = field(init=False)
    agent: Serving | None = None
    before: Figures = field(default_factory=dict)
    polled_at: float = 0.0
    restarted_at: float = 0.0

    @property
    def waiting(self) -> tuple[float, float]:
        """When messages passed that may have waited to be counted when the agent was ended.

        One that is killed loses all of them; otherwise those whose connection was not told yet.
        """
        waited = LATE + (SETTLE_SECONDS if self.end is signal.SIGKILL else 0.0)
        return self.restarted_at - waited, self.restarted_at

    @property
    def unapplied(self) -> tuple[float, float]:
        """When events came that may not have been applied when the agent was killed."""
        passed = 0.5 if self.end is signal.SIGKILL else 0.0
        return self.restarted_at - passed, self.restarted_at

    def post(self, script: Script, disorder: Disorder) -> None:
        webhook = Webhook(script, self.broker.integration, disorder)
        self.webhook = self.stack.enter_context(webhook)

    def start(self) -> None:
        self.agent = self.stack.enter_context(serving("prometheus", "--cfg", self.path))

    def restart(self) -> None:
        assert self.agent is not None
        self.agent.stop(self.end)
        self.restarted_at = time.time()
        self.start()

    def scrape(self, script: Script) -> Exposition:
        """Scrape; compare with the scrape before, and with the truth."""
        assert self.agent is not None
        exposition = self.agent.scrape()
        now, truth = exposed(exposition), expected(script.truth())
        fell = {
            key: (old, now.get(key)) for key, old in self.before.items() if now.get(key, 0) < old
        }
        high = {key: (new, truth.get(key)) for key, new in now.items() if new > truth.get(key, 0)}
        assert (fell, high) == ({}, {})
        self.before = now
        return exposition


def test_whatever_befalls_events_polls_tell_who_is_there_and_counters_never_lie(
    tmp_path: Path,
) -> None:
    script = Script(refresh_seconds=2)
    follower = script.follow()
    presence: Presence = {}
    with ExitStack() as stack:
        sides = [
            side_of(number, script, tmp_path / number.name, stack)
            for number in (signal.SIGTERM, signal.SIGKILL)
        ]
        begin = time.time() + 0.2
        write(script, begin)
        dead = ((begin + DEAD[0], begin + DEAD[1]),)
        disorder = Disorder(seed=6, lose=0.05, double=0.05, reorder_seconds=2, dead=dead)
        for side in sides:
            side.post(script, disorder)
        emissions: list[Emission] = []
        restarted, next_scrape = begin + RESTART, begin
        to_restart = list(sides)
        while (now := time.time()) < script.end + LATE:
            emissions += follower.take(now)
            for side in sides:
                side.webhook.run_to(now)
            note(presence, script, now)
            if to_restart and now > begin + RESTART:
                to_restart.pop().restart()
                restarted = time.time()
            if now > next_scrape:
                next_scrape = now + 0.5
                for side in sides:
                    calm = not to_restart and now > restarted + 2 * LATE
                    check_presence(side, script, presence, calm=calm)
            time.sleep(0.02)
        time.sleep(SETTLE_SECONDS)
        for side in sides:
            time.sleep(1.1)  # the next scrape polls
            side.scrape(script)
            final = side.scrape(script)
            assert final.by("connected", "client_id") == there(script, time.time(), final)
            assert sum(final.by("corrections_total", "kind").values()) > 0
    for side in sides:
        missing = Counter(expected(script.truth()))
        missing.subtract(side.before)
        told = arrived(emissions, disorder, side.unapplied)
        check_bound(missing, emissions, told, side.waiting)


def side_of(number: signal.Signals, script: Script, folder: Path, stack: ExitStack) -> Side:
    broker = Broker(source=script)
    simulator = stack.enter_context(Simulator(broker))
    port = unused_port()
    state = {"path": str(folder / "state.db")}
    config = settings(simulator.url, port, state=state)
    side = Side(number, config, config_file(folder, config), broker, stack)
    tell(config, f"http://127.0.0.1:{port}")
    side.start()
    side.scrape(script)
    return side


def there(script: Script, now: float, exposition: Exposition) -> dict[str, float]:
    """Return who is connected, 0 or 1 for each client of an exposition."""
    table = script.table(now)
    rows = [table.row(key, None) for key in table.keys()]  # noqa: SIM118 - not a mapping
    up = {str(row["clientid"]) for row in rows if row["connected"]}
    return {one: float(one in up) for one in exposition.by("connected", "client_id")}


def note(presence: Presence, script: Script, now: float) -> None:
    """Remember how often who has come and gone, and since when it has been so."""
    for client_id, truth in script.truth().items():
        counts = truth.connections, truth.disconnections.total()
        if client_id not in presence or presence[client_id][1] != counts:
            presence[client_id] = now, counts


def check_presence(
    side: Side,
    script: Script,
    presence: Presence,
    *,
    calm: bool,
) -> None:
    """Check that right after a poll everybody is as the broker has it who was so for a while."""
    began = time.time()
    exposition = side.scrape(script)
    [polled_at] = exposition.by("last_success_timestamp_seconds", "broker").values()
    if polled_at <= side.polled_at or polled_at < began or not calm:
        return
    side.polled_at = polled_at
    shown = exposition.by("connected", "client_id")
    note(presence, script, time.time())
    for client_id, (at, (ups, downs)) in presence.items():
        if at < began - LATE:
            assert shown.get(client_id, 0) == ups - downs, f"{client_id}, as it is since {at}"


def arrived(
    emissions: Sequence[Emission], disorder: Disorder, but: tuple[float, float]
) -> set[int]:
    """Return the ids of what has arrived at all, and not only at a time in ``but``.

    The same accidents happen again.
    """
    under_way = Disordered(disorder)
    for one in emissions:
        under_way.put(one)
    before = {id(one) for one in under_way.due(but[0])}
    under_way.due(but[1])
    return before | {id(one) for one in under_way.due(float("inf"))}


@dataclass
class Stay:
    """One connection: when it began and ended, in milliseconds, and whether that was told."""

    began: int
    ended: float = float("inf")
    begin_told: bool = False
    end_told: bool = False


def stays(emissions: Sequence[Emission], told: set[int]) -> Mapping[str, Sequence[Stay]]:
    """Return the connections of each client in their order."""
    found: dict[str, dict[int, Stay]] = defaultdict(dict)
    for one in emissions:
        began = one.columns.get("connected_at")
        if isinstance(began, int):
            stay = found[str(one.columns["clientid"])].setdefault(began, Stay(began))
            if one.columns["event"] == "client.connected":
                stay.begin_told = id(one) in told
            else:
                stay.ended, stay.end_told = one.at_ms, id(one) in told
    return {client_id: list(by_begin.values()) for client_id, by_begin in found.items()}


def check_bound(
    missing: Mapping[tuple[str, ...], float],
    emissions: Sequence[Emission],
    told: set[int],
    waiting: tuple[float, float],
) -> None:
    """Check for each client that no more is missing than what nobody could know.

    A connection is missing only if neither its begin nor its end was told. The reason of an end is
    missing only if that was not told. A message is missing only if it was not told; or it was, but
    not all begins and ends of its connection and those next to it, so that it cannot be said whose
    it is; or it was waiting when the agent ended. What came in the moment of a kill is as if it had
    not been told. Polls make up for a part of all that.
    """
    lives = stays(emissions, told)
    messages: Counter[str] = Counter()
    for one in emissions:
        if one.columns["event"] == "message.publish":
            client_id, at = str(one.columns["clientid"]), one.at_ms
            sure = id(one) in told and not waiting[0] < at / 1000 < waiting[1]
            if not sure or not is_clear(lives[client_id], at):
                messages[client_id] += 1
    for client_id, connections in lives.items():
        unknown = sum(not one.begin_told and not one.end_told for one in connections)
        assert missing["connections", client_id] <= unknown
        ends = sum(missing["disconnections", client_id, reason] for reason in REASONS)
        assert ends <= sum(not one.end_told for one in connections)
        assert missing["messages_processed", client_id, "rx"] <= messages[client_id]


def is_clear(connections: Sequence[Stay], at: int) -> bool:
    """Whether begin and end of the connection at ``at`` and of those next to it were told."""
    place = max(number for number, one in enumerate(connections) if one.began <= at)
    near = connections[max(0, place - 1) : place + 2]
    return all(one.begin_told and one.end_told for one in near)
