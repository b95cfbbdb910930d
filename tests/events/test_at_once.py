"""What a scrape shows of events before any poll, and what hostile posts do to an agent."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from otel_emqx_monitor.simulator import Broker, Script, Simulator, Webhook
from tests.events.lives import TOKEN, config_file, exposed, settings, tell
from tests.processes import Exposition, Serving, serving, wait_until

#: So long that no test sees a second poll.
RARELY = {"ttl_seconds": 3600}
AUTHORIZED = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


class World:
    """An agent that has polled once, and lives that are told to it."""

    def __init__(self, script: Script, webhook: Webhook, agent: Serving):
        self.script = script
        self.webhook = webhook
        self.agent = agent
        self.now = time.time()

    def tell(self) -> None:
        """Post what is written."""
        self.now = max(self.now, self.script.end)
        self.webhook.run_to(self.now)

    def scrape(self) -> Exposition:
        return self.agent.scrape()

    def post(self, content: bytes, headers: dict[str, str] | None = None) -> int:
        given = AUTHORIZED if headers is None else headers
        answer = requests.post(f"{self.agent.url}events", content, headers=given, timeout=30)
        return answer.status_code


@contextmanager
def world(folder: Path, **more: Any) -> Iterator[World]:
    script = Script()
    # The table stands still, or a poll would find what is to be told.
    broker = Broker(source=script, clock=lambda: 0.0)
    with Simulator(broker) as simulator, Webhook(script, broker.integration) as webhook:
        config = settings(simulator.url)
        config["prometheus"] |= RARELY
        config |= more
        with serving("prometheus", "--cfg", config_file(folder, config)) as agent:
            tell(config, agent.url)
            agent.scrape()
            yield World(script, webhook, agent)
            assert [one for one in agent.messages if "bug" in one or "failed" in one] == []


def last_poll(exposition: Exposition) -> float:
    [polled_at] = exposition.by("last_success_timestamp_seconds", "broker").values()
    return polled_at


def connected(exposition: Exposition) -> dict[str, float]:
    return exposition.by("connected", "client_id")


def test_the_next_scrape_shows_who_came_and_went_without_a_poll(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        polled_at = last_poll(here.scrape())
        here.script.connect(here.now, "dev")
        here.tell()
        wait_until(lambda: connected(here.scrape()) == {"dev": 1})
        exposition = here.scrape()
        assert exposition.by("events_lag_seconds", "source")["webhook"] >= 0
        here.script.disconnect(here.now + 1, "dev", "keepalive_timeout")
        here.tell()
        wait_until(lambda: connected(here.scrape()) == {"dev": 0})
        assert last_poll(here.scrape()) == polled_at


def test_a_session_between_two_scrapes_leaves_its_trace(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        here.script.short_session(here.now, "dev", messages=2, reason="kicked")
        here.tell()
        key = ("messages_processed", "dev", "rx")
        wait_until(lambda: key in exposed(here.scrape()))
        exposition = here.scrape()
    assert connected(exposition) == {"dev": 0}
    assert exposed(exposition) == {
        ("connections", "dev"): 1,
        ("disconnections", "dev", "kicked"): 1,
        ("messages_processed", "dev", "rx"): 2,
        ("messages_processed_by_qos", "dev", "rx", "1"): 2,
    }
    [seen] = exposition.by("last_seen_timestamp_seconds", "client_id").values()
    assert seen == pytest.approx(here.script.end, abs=0.1)


# Hostile posts.

UP = {"event": "client.connected", "clientid": "dev", "timestamp": 1, "connected_at": 1}

REFUSED: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no token": (b"{}", {}, 401, "token"),
    "a wrong token": (b"{}", {"authorization": "Bearer x"}, 401, "token"),
    "100 MB": (b"[" * 100_000_000, AUTHORIZED, 413, "too_large"),
    "100 MB without a token": (b"[" * 100_000_000, {}, 401, "token"),
}

MALFORMED: dict[str, Any] = {
    "deep": b"[" * 500_000 + b"]" * 500_000,
    "deep in an event": json.dumps(UP).encode()[:-1] + b', "x": ' + b"[" * 500_000,
    "no JSON": b"\xff\xfe",
    "wrong types": {**UP, "clientid": 5},
    "a time that is a list": {**UP, "connected_at": [1]},
    "a time beyond all clocks": {**UP, "connected_at": 253_402_300_799_999},
    "a client id with NUL": {**UP, "clientid": "a\0b"},
    "a client id that is too long": {**UP, "clientid": "x" * 70_000},
    "nothing": b"",
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    watched = [{"alias": "Dev", "client_id": "dev"}]
    with world(tmp_path_factory.mktemp("attacked"), monitored_clients=watched) as here:
        yield here


def counted(here: World, name: str, label: str, value: str) -> float:
    return here.scrape().by(name, label).get(value, 0)


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_come_in_is_refused_and_counted(attacked: World, case: str) -> None:
    content, headers, status, reason = REFUSED[case]
    before = counted(attacked, "events_refused_total", "reason", reason)
    try:
        assert attacked.post(content, headers) == status
    except requests.ConnectionError:  # it was cut off while it was still sending
        assert len(content) > 1_000_000
    wait_until(lambda: counted(attacked, "events_refused_total", "reason", reason) == before + 1)


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_event_is_counted_and_changes_nothing(attacked: World, case: str) -> None:
    content = MALFORMED[case]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    before = counted(attacked, "events_total", "event", "malformed")
    clients = attacked.scrape().of_clients
    assert attacked.post(body) == 204
    wait_until(lambda: counted(attacked, "events_total", "event", "malformed") == before + 1)
    assert attacked.scrape().of_clients == clients


def test_events_of_who_is_not_monitored_are_counted_and_make_no_series(attacked: World) -> None:
    before = counted(attacked, "events_total", "event", "connected")
    clients = attacked.scrape().of_clients
    for part in range(20):
        body = [{**UP, "clientid": f"x-{part}-{number}"} for number in range(5000)]
        assert attacked.post(json.dumps(body).encode()) == 204
    wait_until(lambda: counted(attacked, "events_total", "event", "connected") == before + 100_000)
    assert attacked.scrape().of_clients == clients


def test_made_up_ids_that_a_pattern_matches_stay_within_max_clients(tmp_path: Path) -> None:
    with world(tmp_path, max_clients=50) as here:
        before = resident_bytes(here)
        for part in range(20):
            body = [{**UP, "clientid": f"{part}-{number}-{'x' * 180}"} for number in range(5000)]
            assert here.post(json.dumps(body).encode()) == 413
            for begin in range(0, 5000, 1000):
                assert here.post(json.dumps(body[begin : begin + 1000]).encode()) == 204
        wait_until(lambda: counted(here, "events_total", "event", "connected") == 100_000)
        assert len(connected(here.scrape())) == 50
        # 100,000 ids of 200 characters would be 20 MB, and what is remembered of each far more.
        assert resident_bytes(here) - before < 60_000_000


def resident_bytes(here: World) -> int:
    status = Path(f"/proc/{here.agent.pid}/status").read_text()
    [line] = [one for one in status.splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) * 1024
