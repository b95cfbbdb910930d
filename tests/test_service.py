"""The program as it runs under a supervisor: signals, files that change, systemd's socket."""

import gc
import signal
import socket
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from otel_emqx_monitor import service, statefile
from otel_emqx_monitor.config import Config, load
from otel_emqx_monitor.service import Command
from otel_emqx_monitor.signals import Signals
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.receivers import TAKEN, Answer, receiver
from tests.processes import (
    PATIENCE_SECONDS,
    Exposition,
    Serving,
    run,
    serving,
    settings,
    wait_until,
    write_config,
)
from tests.test_reload import row

FRESH = {"ttl_seconds": 0}
TOLD = "a new configuration is in force: "


@pytest.fixture
def fleet() -> StaticFleet:
    return StaticFleet([row(), row("dev-b")])


@pytest.fixture
def url(fleet: StaticFleet) -> Iterator[str]:
    with Simulator(Broker(source=fleet)) as simulator:
        yield simulator.url


def write(folder: Path, url: str, clients: Mapping[str, str], **sections: Any) -> str:
    """Write a configuration beside the place of the old one, and rename it there."""
    aside = folder / "aside"
    aside.mkdir(exist_ok=True)
    config = settings(url, clients=clients, prometheus=sections.pop("prometheus", FRESH))
    path = folder / "config.yaml"
    Path(write_config(aside, config | sections)).rename(path)
    return str(path)


def test_a_configuration_is_kept_no_longer_than_it_is_in_force(tmp_path: Path, url: str) -> None:
    path = Path(write(tmp_path, url, {"A": "dev-a"}))
    loaded: list[weakref.ref[Config]] = []
    stopped, hung_up = threading.Event(), threading.Event()

    def once_more() -> Config:
        config = load(path, {})
        loaded.append(weakref.ref(config))
        return config

    def has_hung_up() -> bool:
        came = hung_up.is_set()
        hung_up.clear()
        return came

    def is_kept(number: int) -> bool:
        gc.collect()
        return len(loaded) > number and loaded[number]() is not None

    command = Command(path, once_more, serve=True, push=lambda _config: False)
    signals = Signals(lambda seconds=PATIENCE_SECONDS: stopped.wait(seconds), has_hung_up)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(service.run, command, signals, watching=False)
        try:
            wait_until(lambda: is_kept(0))
            hung_up.set()  # it makes no difference: the one in force stays
            wait_until(lambda: len(loaded) == 2 and not is_kept(1))
            assert is_kept(0)
            write(tmp_path, url, {"A": "dev-a", "B": "dev-b"})
            hung_up.set()
            wait_until(lambda: is_kept(2) and not is_kept(0))
        finally:
            stopped.set()
        running.result(PATIENCE_SECONDS)


def reloads(agent: Serving) -> int:
    return sum(message.startswith(TOLD) for message in agent.messages)


def aliases(agent: Serving) -> set[str]:
    return set(agent.scrape().by("connected", "alias"))


def falling(expositions: Sequence[Exposition]) -> list[str]:
    """Return which of the counters of one scraper fell from one scrape to the next."""
    found = []
    for before, after in pairwise(expositions):
        then = {(one.name, frozenset(one.labels.items())): one.value for one in before.samples}
        for one in after.samples:
            key = one.name, frozenset(one.labels.items())
            if one.name.endswith("_total") and one.value < then.get(key, 0.0):
                found.append(f"{key} from {then[key]} to {one.value}")
    return found


def test_twenty_reloads_under_fire_fail_no_scrape_and_let_no_counter_fall(
    tmp_path: Path, url: str, fleet: StaticFleet
) -> None:
    """Each changes who is watched, flags and the schedule; clients reconnect all the while."""
    both = {"A": "dev-a", "B": "dev-b"}
    state = {"state": {"path": "state.db"}, "counters": "cumulative"}
    events = {"events": {"webhook": {"token": "t"}}}
    path = write(tmp_path, url, both, **state, **events)
    done = threading.Event()

    def hammer(agent: Serving) -> list[Exposition]:
        seen = []
        while not done.is_set():
            seen.append(agent.scrape())
        return seen

    with serving("run", "--cfg", path, "--no-watch") as agent, ThreadPoolExecutor(4) as pool:
        agent.scrape()
        hammering = [pool.submit(hammer, agent) for _ in range(4)]
        try:
            for number in range(1, 21):
                at = f"2026-11-22T18:{number:02d}:00.000+00:00"
                fleet.replace([row(received=number % 5, at=at), row("dev-b", received=number)])
                ours = both if number % 2 else {"A": "dev-a", "C": "dev-c"}
                prometheus = {"ttl_seconds": 0, "enable_queue_metrics": bool(number % 3)}
                polling = {"interval_seconds": 0.2} if number % 4 else {}
                write(
                    tmp_path, url, ours, prometheus=prometheus, polling=polling, **state, **events
                )
                agent.send(signal.SIGHUP)
                wait_until(lambda expected=number: reloads(agent) == expected)  # type: ignore[misc] # its default is what it should remember
        finally:
            done.set()
        expositions = [one.result() for one in hammering]
        assert agent.stop() == 0
    assert all(len(one) > 20 for one in expositions)
    assert [fall for one in expositions for fall in falling(one)] == []
    assert all(
        exposition.by("messages_processed_total", "alias", "direction")["A/rx"] >= 7
        for one in expositions
        for exposition in one
    )
    assert {event["level"] for event in agent.events} == {"info"}


def test_a_file_that_is_replaced_is_noticed(tmp_path: Path, url: str) -> None:
    path = write(tmp_path, url, {"A": "dev-a"})
    with serving("prometheus", "--cfg", path) as agent:
        assert aliases(agent) == {"A"}
        write(tmp_path, url, {"B": "dev-b"})
        wait_until(lambda: aliases(agent) == {"B"})
        assert agent.stop() == 0
    assert reloads(agent) == 1


def test_a_swapped_link_is_noticed(tmp_path: Path, url: str) -> None:
    def publish(version: str, clients: Mapping[str, str]) -> None:
        (tmp_path / version).mkdir()
        write(tmp_path / version, url, clients)
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("..1", {"A": "dev-a"})
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    with serving("prometheus", "--cfg", str(tmp_path / "config.yaml")) as agent:
        assert aliases(agent) == {"A"}
        publish("..2", {"B": "dev-b"})
        wait_until(lambda: aliases(agent) == {"B"})


def test_no_watch_leaves_it_to_sighup(tmp_path: Path, url: str) -> None:
    path = write(tmp_path, url, {"A": "dev-a"})
    with (
        serving("prometheus", "--cfg", path, "--no-watch") as agent,
        serving("prometheus", "--cfg", path) as other,
    ):
        for alias in ("B", "C"):  # when the other has seen two, any that looks has seen one
            write(tmp_path, url, {alias: "dev-b"})
            wait_until(lambda expected=alias: aliases(other) == {expected})  # type: ignore[misc] # its default is what it should remember
        assert aliases(agent) == {"A"}
        agent.send(signal.SIGHUP)
        wait_until(lambda: aliases(agent) == {"C"})


def test_a_secret_that_everybody_may_read_after_a_reload_is_warned_of_once(
    tmp_path: Path, url: str
) -> None:
    path = write(tmp_path, url, {"A": "dev-a"})
    with serving("prometheus", "--cfg", path, "--no-watch") as agent:
        for count, alias in enumerate(("B", "C"), start=1):
            write(tmp_path, url, {alias: "dev-a"})
            Path(path).chmod(0o644)
            agent.send(signal.SIGHUP)
            wait_until(lambda expected=count: reloads(agent) == expected)  # type: ignore[misc] # its default is what it should remember
        assert agent.stop() == 0
    warnings = [event["message"] for event in agent.events if event["level"] == "warning"]
    [warning] = warnings
    assert warning.startswith(f"everybody on this machine may read {path}, which holds")


def test_a_bad_configuration_is_logged_as_validate_says_it_and_the_old_one_stays(
    tmp_path: Path, url: str
) -> None:
    path = write(tmp_path, url, {"A": "dev-a"})
    with serving("prometheus", "--cfg", path, "--no-watch") as agent:
        write(tmp_path, url, {"B": ""}, max_clients=0)
        agent.send(signal.SIGHUP)
        stays = "the configuration that was in force stays in force"
        wait_until(lambda: stays in agent.messages)
        now = agent.scrape()
        assert set(now.by("connected", "alias")) == {"A"}
        assert now.by("config_last_reload_successful") == {"": 0}
        assert agent.stop() == 0
    said = run("validate", "--cfg", path).stderr.removeprefix("otel-emqx-monitor: ").splitlines()
    first, *others = [event["message"] for event in agent.events if event["level"] == "error"]
    assert [first, *others] == [*said, stays]


def test_otlp_keeps_pushing_when_its_section_is_taken_away(tmp_path: Path, url: str) -> None:
    with receiver("http/protobuf") as collector:
        otlp = {"otlp": {"endpoint": collector.endpoint, "protocol": "http/protobuf"}}
        path = write(tmp_path, url, {"A": "dev-a"}, **otlp)
        with serving("otlp", "--cfg", path, waits=False) as agent:
            wait_until(lambda: collector.requests)
            write(tmp_path, url, {"A": "dev-a"})
            agent.send(signal.SIGHUP)
            wait_until(lambda: [one for one in agent.messages if "no section otlp" in one])
            before = len(collector.requests)
            assert agent.stop() == 0
            assert len(collector.requests) == before + 1


@contextmanager
def listening(address: str) -> Iterator[list[str]]:
    """Give the lines that come to systemd's socket; the list grows."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind("\0" + address[1:] if address[0] == "@" else address)
        lines: list[str] = []

        def hear() -> None:
            while message := one.recv(4096):
                lines.extend(message.decode().splitlines())

        hearing = threading.Thread(target=hear, daemon=True)
        hearing.start()
        try:
            yield lines
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", one.getsockname())
            hearing.join(PATIENCE_SECONDS)


def test_systemd_hears_of_the_start_of_life_of_reloads_and_of_the_end(
    tmp_path: Path, url: str
) -> None:
    path = write(tmp_path, url, {"A": "dev-a"})
    with listening(f"@{tmp_path}") as lines:
        environ = {"NOTIFY_SOCKET": f"@{tmp_path}", "WATCHDOG_USEC": "1000000"}
        with serving("prometheus", "--cfg", path, "--no-watch", environ=environ) as agent:
            wait_until(lambda: lines.count("WATCHDOG=1") >= 2)
            write(tmp_path, url, {"A": "dev-a", "B": "dev-b"})
            agent.send(signal.SIGHUP)
            wait_until(lambda: lines.count("READY=1") == 2)
            write(tmp_path, url, {"A": ""})
            agent.send(signal.SIGHUP)
            wait_until(lambda: lines.count("READY=1") == 3)
            assert agent.stop() == 0
    told = [one for one in lines if not one.startswith(("WATCHDOG", "MONOTONIC_USEC"))]
    bad = "; the configuration on disk cannot be used, the log says why"
    assert told == [
        "READY=1",
        "STATUS=Watching 1 monitored client of emqx",
        "RELOADING=1",
        "READY=1",
        "STATUS=Watching 2 monitored clients of emqx",
        "RELOADING=1",
        "READY=1",
        "STATUS=Watching 2 monitored clients of emqx" + bad,
        "STOPPING=1",
        "STATUS=Counting the last events and pushing a last time",
    ]
    assert sum(one.startswith("MONOTONIC_USEC=") for one in lines) == 2


def post(url: str, *client_ids: str) -> None:
    for client_id in client_ids:
        moment = 1_795_370_400_000
        event = {
            "event": "client.connected",
            "clientid": client_id,
            "connected_at": moment,
            "timestamp": moment,
        }
        answer = requests.post(
            url + "events", json=event, headers={"Authorization": "Bearer t"}, timeout=9
        )
        assert answer.status_code == 204


def everything(collector: str) -> dict[str, Any]:
    return {
        "prometheus": {"ttl_seconds": 3600},
        "counters": "cumulative",
        "events": {"webhook": {"token": "t"}},
        "state": {"path": "state.db"},
        "otlp": {"endpoint": collector, "protocol": "http/protobuf"},
    }


def test_sigterm_counts_the_last_events_keeps_them_and_pushes_a_last_time(
    tmp_path: Path, url: str
) -> None:
    clients = {"A": "dev-a", "X": "dev-x"}
    with receiver("http/protobuf") as collector:
        path = write(tmp_path, url, clients, **everything(collector.endpoint))
        with serving("run", "--cfg", path) as agent:
            agent.scrape()
            wait_until(lambda: len(collector.requests) == 1)
            post(agent.url, "dev-x")
            assert agent.stop() == 0
        assert len(collector.requests) == 2
    kept = {one.client_id: one.state for one in statefile.read(tmp_path / "state.db").clients}
    assert kept == {"dev-a": "connected", "dev-x": "connected"}
    assert {event["level"] for event in agent.events} == {"info"}


def test_a_second_signal_ends_it_at_once(tmp_path: Path, url: str) -> None:
    """The first one waits for a Collector that never answers; the state file is whole anyway."""
    asked = threading.Event()
    release = threading.Event()

    def never(_headers: Mapping[str, str]) -> Answer:
        asked.set()
        release.wait(PATIENCE_SECONDS)
        return TAKEN

    with receiver("http/protobuf") as collector:
        collector.answer = never
        path = write(tmp_path, url, {"A": "dev-a"}, **everything(collector.endpoint))
        try:
            with serving("run", "--cfg", path) as agent:
                agent.scrape()
                assert asked.wait(PATIENCE_SECONDS)
                agent.send(signal.SIGTERM)
                wait_until(lambda: "stopping" in agent.messages)
                assert agent.stop(signal.SIGINT) == -signal.SIGINT
        finally:
            release.set()
    with sqlite3.connect(tmp_path / "state.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


def test_a_hangup_while_it_stops_does_no_harm(tmp_path: Path, url: str) -> None:
    path = write(tmp_path, url, {"A": "dev-a"})
    with serving("prometheus", "--cfg", path) as agent:
        agent.send(signal.SIGTERM)
        agent.send(signal.SIGHUP)
        assert agent.stop(signal.SIGHUP) == 0
