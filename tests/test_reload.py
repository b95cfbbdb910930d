"""An agent that gets another configuration while it runs: what goes on, what ends, what begins.

In this process, with real sockets; ``test_service`` has the same with processes and signals.
"""

import gc
import socket
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from otel_emqx_monitor import statefile
from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.listening import ListenError
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.receivers import TAKEN, Answer, receiver
from tests.faults.brokers import FaultyBroker, faulty_broker
from tests.peers import http
from tests.processes import Exposition, scrape, settings, wait_until
from tests.web.serving import OTHER_HASH, SECRET_HASH

T0, T1 = "2026-11-22T17:00:00.000+00:00", "2026-11-22T18:00:00.000+00:00"
CUMULATIVE = {"counters": "cumulative"}
#: A poll whenever somebody scrapes.
FRESH = {"ttl_seconds": 0}


def row(client_id: str = "dev-a", received: int = 7, at: str = T0, **fields: Any) -> dict[str, Any]:
    return {
        "clientid": client_id,
        "username": "user",
        "connected": True,
        "connected_at": at,
        "created_at": T0,
        "recv_msg": received,
        "send_msg": 3,
        **fields,
    }


def web_config(folder: Path, password_hash: str) -> Path:
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users: {{prometheus: {password_hash}}}\n", encoding="utf-8")
    return file


class Desk:
    """A simulated broker and an agent that watches it."""

    def __init__(self, url: str, fleet: StaticFleet) -> None:
        self.url = url
        self.fleet = fleet
        self.agent: Agent | None = None

    def config(self, changes: Mapping[str, Any]) -> Config:
        sections = dict(changes)
        known = ("emqx", "clients", "prometheus", "polling")
        given = settings(self.url, **{key: sections.pop(key) for key in known if key in sections})
        return Config.model_validate(given | sections)

    def start(self, **changes: Any) -> str:
        config = self.config(changes)
        self.agent = Agent(config, push=config.otlp is not None)
        self.agent.start()
        return self.agent.url

    def reload(self, **changes: Any) -> None:
        assert self.agent is not None
        config = self.config(changes)
        self.agent.reload(config, push=config.otlp is not None)

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.stop()
        self.agent = None

    def scrape(self) -> Exposition:
        assert self.agent is not None
        return scrape(self.agent.url)


@contextmanager
def closing(desk: Desk) -> Iterator[Desk]:
    try:
        yield desk
    finally:
        desk.stop()


@pytest.fixture
def desk() -> Iterator[Desk]:
    fleet = StaticFleet([row()])
    with Simulator(Broker(source=fleet)) as simulator, closing(Desk(simulator.url, fleet)) as one:
        yield one


@contextmanager
def faulty_desk() -> Iterator[tuple[Desk, FaultyBroker]]:
    with faulty_broker() as broker, closing(Desk(broker.url, broker.fleet)) as one:
        yield one, broker


def received(exposition: Exposition) -> dict[str, float]:
    return exposition.by("messages_processed_total", "client_id", "direction")


def test_sums_go_on(desk: Desk) -> None:
    desk.start(prometheus=FRESH, **CUMULATIVE)
    assert received(desk.scrape())["dev-a/rx"] == 7
    desk.reload(prometheus=FRESH | {"enable_dates": True}, **CUMULATIVE)
    desk.fleet.replace([row(received=2, at=T1)])
    now = desk.scrape()
    assert received(now)["dev-a/rx"] == 9
    assert now.by("connected_at", "client_id") == {"dev-a": 1795370400.0}


def test_sums_of_clients_that_are_gone_go_on(desk: Desk) -> None:
    desk.start(prometheus=FRESH, **CUMULATIVE)
    desk.scrape()
    desk.fleet.replace([])
    desk.reload(prometheus=FRESH | {"enable_queue_metrics": True}, **CUMULATIVE)
    assert received(desk.scrape()) == {"dev-a/rx": 7, "dev-a/tx": 3}


def test_fields_that_are_new_begin_and_others_end_while_the_rest_goes_on(desk: Desk) -> None:
    desk.fleet.replace([row(recv_oct=100, send_oct=50)])
    desk.start(prometheus=FRESH | {"enable_bytes_metrics": False}, **CUMULATIVE)
    assert desk.scrape().by("bytes_total", "client_id", "direction") == {}
    desk.reload(prometheus=FRESH, **CUMULATIVE)
    desk.fleet.replace([row(received=1, at=T1, recv_oct=20, send_oct=5)])
    now = desk.scrape()
    assert received(now) == {"dev-a/rx": 8, "dev-a/tx": 6}
    assert now.by("bytes_total", "client_id", "direction") == {"dev-a/rx": 20, "dev-a/tx": 5}
    desk.reload(prometheus=FRESH | {"enable_processed_counters": False}, **CUMULATIVE)
    now = desk.scrape()
    assert received(now) == {}
    assert now.by("bytes_total", "client_id", "direction") == {"dev-a/rx": 20, "dev-a/tx": 5}


def test_clients_that_are_no_longer_selected_leave_and_new_ones_come(desk: Desk) -> None:
    desk.fleet.replace([row(), row("dev-b")])
    desk.start(clients={"A": "dev-a"}, prometheus=FRESH)
    assert desk.scrape().by("connected", "alias") == {"A": 1}
    desk.reload(clients={"B": "dev-b"}, prometheus=FRESH)
    assert desk.scrape().by("connected", "alias") == {"B": 1}


def test_a_client_gets_its_new_alias_in_all_its_series(desk: Desk) -> None:
    desk.start(clients={"A": "dev-a"}, prometheus=FRESH | {"enable_client_info": True})
    assert 'alias="A"' in desk.scrape().text
    desk.reload(clients={"B": "dev-a"}, prometheus=FRESH | {"enable_client_info": True})
    now = desk.scrape()
    assert {sample.labels["alias"] for sample in now.of_clients} == {"B"}
    assert now.by("client_info", "alias", "username") == {"B/user": 1}


def test_until_the_next_poll_clients_stay_as_they_are_and_new_ones_are_unknown() -> None:
    with faulty_desk() as (desk, broker):
        desk.start(clients={"A": "dev-a"}, prometheus=FRESH)
        assert desk.scrape().by("connected", "alias") == {"A": 1}
        broker.handler = broken
        desk.reload(clients={"A": "dev-a", "B": "dev-b"}, prometheus=FRESH)
        now = desk.scrape()
        assert now.by("connected", "alias") == {"A": 1}
        assert now.by("clients", "state")["unknown"] == 1
        assert now.by("up") == {"": 0}


def broken(connection: socket.socket, _head: bytes) -> None:
    connection.sendall(http("404 Not Found", {"code": "NOT_FOUND"}))


def test_of_another_broker_nothing_is_known_but_sums_go_on(desk: Desk) -> None:
    desk.start(prometheus=FRESH, **CUMULATIVE)
    desk.scrape()
    with faulty_broker() as broker:
        broker.handler = broken
        desk.url = broker.url
        desk.reload(prometheus=FRESH, emqx={"alias": "other"}, **CUMULATIVE)
        now = desk.scrape()
        assert now.by("connected", "client_id") == {}
        assert now.by("up", "broker") == {"other": 0}
        assert now.by("last_success_timestamp_seconds") == {}
        assert received(now)["dev-a/rx"] == 7
        assert {sample.labels["broker"] for sample in now.of_clients} == {"other"}


def test_what_the_agent_counts_of_itself_goes_on() -> None:
    with faulty_desk() as (desk, broker):
        broker.handler = broken
        desk.start(prometheus=FRESH)
        before = desk.scrape()
        for _ in range(3):
            desk.reload(prometheus=FRESH | {"enable_dates": True})
            desk.reload(prometheus=FRESH)
        assert (
            desk.scrape().by("poll_errors_total", "reason")["not_emqx"]
            > (before.by("poll_errors_total", "reason")["not_emqx"])
        )


def test_metrics_tell_of_reloads(desk: Desk) -> None:
    desk.start()
    first = desk.scrape()
    assert first.by("config_last_reload_successful") == {"": 1}
    started = first.by("config_last_reload_success_timestamp_seconds")[""]
    assert desk.agent is not None
    desk.agent.note_reload(successful=False)
    failed = desk.scrape()
    assert failed.by("config_last_reload_successful") == {"": 0}
    assert failed.by("config_last_reload_success_timestamp_seconds") == {"": started}
    desk.reload(max_clients=5)
    again = desk.scrape()
    assert again.by("config_last_reload_successful") == {"": 1}
    assert again.by("config_last_reload_success_timestamp_seconds")[""] > started


def test_a_poll_under_way_is_cut_off_and_nobody_counts_it() -> None:
    with faulty_desk() as (desk, broker):
        desk.start(prometheus=FRESH | {"enable_dates": True})
        broker.hold()
        texts: list[Exposition] = []
        waiting = threading.Thread(target=lambda: texts.append(desk.scrape()))
        waiting.start()
        wait_until(lambda: broker.in_flight)
        desk.reload(prometheus=FRESH)
        waiting.join(timeout=10)
        assert texts[0].of_clients == []
        assert sum(texts[0].by("poll_errors_total", "reason").values()) == 0
        broker.release()
        now = desk.scrape()
        assert now.by("connected", "client_id") == {"dev-a": 1, "never-seen": 0}
        assert sum(now.by("poll_errors_total", "reason").values()) == 0


def test_the_socket_stays_and_so_do_connections(desk: Desk) -> None:
    url = desk.start(prometheus=FRESH)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=9)
    connection.request("GET", "/metrics")
    connection.getresponse().read()
    mine = connection.sock
    desk.reload(prometheus=FRESH | {"enable_dates": True})
    connection.request("GET", "/metrics")
    assert b"emqx_client_monitor_created_at" in connection.getresponse().read()
    assert connection.sock is mine
    assert desk.agent is not None
    assert desk.agent.url == url
    connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_another_port_is_opened_before_the_old_one_is_closed(desk: Desk) -> None:
    before = desk.start(prometheus=FRESH)
    port = free_port()
    desk.reload(prometheus=FRESH | {"port": port})
    assert desk.agent is not None
    assert desk.agent.url == f"http://127.0.0.1:{port}/"
    assert desk.scrape().by("connected", "client_id")["dev-a"] == 1
    with pytest.raises(requests.ConnectionError):
        requests.get(before, timeout=9)


def test_a_port_that_cannot_be_had_leaves_everything_as_it_is(desk: Desk, tmp_path: Path) -> None:
    desk.start(prometheus=FRESH, **CUMULATIVE)
    state = {"state": {"path": str(tmp_path / "state.db")}}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match="Address already in use"):
            desk.reload(prometheus=FRESH | {"port": port}, clients={"B": "dev-b"}, **state)
    assert desk.scrape().by("connected", "alias") == {"Room": 1, "Ghost": 0}
    desk.reload(prometheus=FRESH, **CUMULATIVE, **state)  # the state file was let go of
    assert desk.scrape().by("state_write_errors_total") == {"": 0}


def test_an_address_that_covers_the_old_one_needs_a_restart(desk: Desk) -> None:
    port = free_port()
    desk.start(prometheus={"port": port})
    with pytest.raises(ListenError, match=r"Address already in use; .*: restart it$"):
        desk.reload(prometheus={"port": port, "address": "0.0.0.0"})  # noqa: S104
    assert desk.scrape().by("connected", "alias") == {"Room": 1, "Ghost": 0}


def test_the_page_shows_the_new_configuration_and_scrapes_count_on(desk: Desk) -> None:
    url = desk.start()
    desk.scrape()
    desk.scrape()
    desk.reload(clients={"Another room": "dev-a"})
    desk.scrape()
    page = requests.get(url, timeout=9).text
    assert "Another room" in page
    assert "3 scrapes in all" in page


def test_passwords_stay_and_probes_need_none(desk: Desk, tmp_path: Path) -> None:
    file = web_config(tmp_path, SECRET_HASH)
    url = desk.start(prometheus={"web_config_file": str(file)})
    desk.reload(clients={"Another room": "dev-a"}, prometheus={"web_config_file": str(file)})
    assert requests.get(url + "metrics", timeout=9).status_code == 401
    told = requests.get(url + "metrics", auth=("prometheus", "secret"), timeout=9).text
    assert 'alias="Another room"' in told
    assert requests.get(url + "readyz", timeout=9).text == "ok\n"


def test_a_password_that_changes_needs_no_reload(desk: Desk, tmp_path: Path) -> None:
    url = desk.start(prometheus={"web_config_file": str(web_config(tmp_path, SECRET_HASH))})
    web_config(tmp_path, OTHER_HASH)
    assert requests.get(url, auth=("prometheus", "secret"), timeout=9).status_code == 401
    assert requests.get(url, auth=("prometheus", "other"), timeout=9).status_code == 200


def test_other_limits_on_the_same_port_need_a_restart(desk: Desk) -> None:
    port = free_port()
    desk.start(prometheus={"port": port})
    with pytest.raises(ListenError, match=r"prometheus\.max_connections changes.*: restart it$"):
        desk.reload(prometheus={"port": port, "max_connections": 7})
    assert desk.scrape().by("connected", "alias") == {"Room": 1, "Ghost": 0}


def test_the_state_file_goes_on_and_loses_who_has_left(desk: Desk, tmp_path: Path) -> None:
    state = {"state": {"path": str(tmp_path / "state.db")}, **CUMULATIVE}
    desk.fleet.replace([row(), row("dev-b")])
    desk.start(clients={"A": "dev-a", "B": "dev-b"}, prometheus=FRESH, **state)
    desk.scrape()
    desk.reload(clients={"A": "dev-a"}, prometheus=FRESH | {"enable_queue_metrics": True}, **state)
    desk.scrape()
    assert [one.client_id for one in statefile.read(tmp_path / "state.db").clients] == ["dev-a"]
    assert desk.scrape().by("state_write_errors_total") == {"": 0}


def test_another_state_file_gets_all_that_is_remembered_at_once(desk: Desk, tmp_path: Path) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    desk.start(prometheus=FRESH, state={"path": str(one)}, **CUMULATIVE)
    desk.scrape()
    desk.reload(prometheus=FRESH, state={"path": str(other)}, **CUMULATIVE)
    assert {client.client_id for client in statefile.read(other).clients} == {
        "dev-a",
        "never-seen",
    }
    desk.fleet.replace([])
    assert received(desk.scrape())["dev-a/rx"] == 7
    desk.stop()
    desk.start(prometheus=FRESH, state={"path": str(other)}, **CUMULATIVE)
    assert received(desk.scrape())["dev-a/rx"] == 7


def test_a_state_file_that_is_there_adds_whom_the_agent_does_not_remember(
    desk: Desk, tmp_path: Path
) -> None:
    state = {"path": str(tmp_path / "state.db")}
    both = {"A": "dev-a", "B": "dev-b"}
    desk.fleet.replace([row(received=1_000), row("dev-b", received=50)])
    desk.start(clients=both, prometheus=FRESH, state=state, **CUMULATIVE)
    desk.scrape()
    desk.stop()
    desk.fleet.replace([row(received=8)])
    desk.start(clients=both, prometheus=FRESH, **CUMULATIVE)
    assert received(desk.scrape()) == {"dev-a/rx": 8, "dev-a/tx": 3}
    desk.reload(clients=both, prometheus=FRESH, state=state, **CUMULATIVE)
    now = desk.scrape()
    assert received(now) == {"dev-a/rx": 8, "dev-a/tx": 3, "dev-b/rx": 50, "dev-b/tx": 3}
    assert now.by("connected", "client_id") == {"dev-a": 1, "dev-b": 0}


EVENTS = {"events": {"webhook": {"token": "t"}}}


def post(desk: Desk, bearer: str = "t") -> int:
    assert desk.agent is not None
    answer = requests.post(
        desk.agent.url + "events",
        json={
            "event": "client.connected",
            "clientid": "dev-b",
            "connected_at": 1_795_370_400_000,
            "timestamp": 1_795_370_400_000,
        },
        headers={"Authorization": f"Bearer {bearer}"},
        timeout=9,
    )
    return answer.status_code


@pytest.mark.parametrize("token", ["t", "another"], ids=["same receivers", "other receivers"])
def test_what_is_counted_of_events_goes_on(desk: Desk, token: str) -> None:
    everybody = {"clients": {"A": "dev-a", "B": "dev-b"}, "prometheus": FRESH}
    desk.start(**everybody, **EVENTS)
    desk.scrape()
    assert post(desk) == 204
    assert post(desk, "wrong") == 401
    wait_until(lambda: events(desk)["webhook/connected"] == 1)
    desk.reload(max_clients=7, events={"webhook": {"token": token}}, **everybody)
    assert events(desk)["webhook/connected"] == 1
    assert post(desk, token) == 204
    assert post(desk, "wrong") == 401
    wait_until(lambda: events(desk)["webhook/connected"] == 2)
    assert desk.scrape().by("events_refused_total", "reason")["token"] == 2


def events(desk: Desk) -> dict[str, float]:
    return desk.scrape().by("events_total", "source", "event")


def test_events_that_come_after_a_reload_reach_the_clients_of_the_new_configuration(
    desk: Desk,
) -> None:
    desk.start(clients={"A": "dev-a"}, prometheus={"ttl_seconds": 3600}, **EVENTS)
    desk.scrape()
    desk.reload(clients={"A": "dev-a", "B": "dev-b"}, prometheus={"ttl_seconds": 3600}, **EVENTS)
    assert desk.scrape().by("connected", "alias") == {"A": 1, "B": 0}
    assert post(desk) == 204
    wait_until(lambda: desk.scrape().by("connected", "alias") == {"A": 1, "B": 1})


def test_ways_for_events_open_and_close(desk: Desk) -> None:
    desk.start()
    assert post(desk) == 404
    desk.reload(**EVENTS)
    assert post(desk) == 204
    desk.reload()
    assert post(desk) == 404


def test_a_schedule_begins_changes_and_ends(desk: Desk) -> None:
    desk.start(prometheus={"ttl_seconds": 3600})
    desk.reload(prometheus={"ttl_seconds": 3600}, polling={"interval_seconds": 3600})
    wait_until(lambda: desk.scrape().by("connected", "client_id"))  # the first poll is at once
    desk.fleet.replace([])
    desk.reload(polling={"interval_seconds": 0.05})
    wait_until(lambda: desk.scrape().by("connected", "client_id") == {"dev-a": 0, "never-seen": 0})
    desk.reload(prometheus=FRESH)
    desk.fleet.replace([row()])
    assert desk.scrape().by("connected", "client_id") == {"dev-a": 1, "never-seen": 0}


def is_gone(what: "weakref.ref[Any]") -> bool:
    gc.collect()  # a thread of the pool may have held it when the reload did this
    return what() is None


def test_nothing_is_left_of_the_configuration_before(desk: Desk) -> None:
    desk.start(prometheus=FRESH, **EVENTS)
    desk.scrape()
    assert desk.agent is not None
    before = weakref.ref(desk.agent._watch)
    desk.reload(prometheus=FRESH, max_clients=7, **EVENTS)
    desk.scrape()
    assert post(desk) == 204
    wait_until(lambda: is_gone(before))


def test_a_connection_that_waits_keeps_nothing_of_the_configuration_before(desk: Desk) -> None:
    url = desk.start(prometheus=FRESH)
    assert desk.agent is not None
    before = weakref.ref(desk.agent._watch)
    with requests.Session() as session:
        for path in ("metrics", "", "readyz"):
            assert session.get(url + path, timeout=10).status_code == 200
        desk.reload(prometheus=FRESH, max_clients=7)
        wait_until(lambda: is_gone(before))


def test_nothing_is_left_of_the_configuration_before_that_was_pushed_too(desk: Desk) -> None:
    with receiver("http/protobuf") as one:
        desk.start(**pushing(one.endpoint))
        wait_until(lambda: exports(desk) == 1)
        assert desk.agent is not None
        before = weakref.ref(desk.agent._watch)
        desk.reload(max_clients=7, **pushing(one.endpoint))
        wait_until(lambda: exports(desk) == 2)  # the thread that pushes has the new one
        wait_until(lambda: is_gone(before))
        desk.stop()


def test_old_threads_end(desk: Desk) -> None:
    polling = {"polling": {"interval_seconds": 0.05}, **EVENTS}
    desk.start(**polling)
    for number in range(5):
        desk.reload(max_clients=number + 1, **polling)
    wait_until(lambda: [one.name for one in threading.enumerate()].count("schedule") == 1)
    names = [one.name for one in threading.enumerate()]
    assert (names.count("events"), names.count("http")) == (1, 1)


def pushing(endpoint: str, **more: Any) -> dict[str, Any]:
    return {
        "prometheus": FRESH,
        "otlp": {
            "endpoint": endpoint,
            "protocol": "http/protobuf",
            "interval_seconds": 3600,
            **more,
        },
    }


def exports(desk: Desk, outcome: str = "success") -> float:
    return desk.scrape().by("otlp_exports_total", "outcome")[outcome]


def test_a_push_under_way_is_finished_and_counted_and_the_next_goes_to_the_new_collector(
    desk: Desk,
) -> None:
    may_answer = threading.Event()

    def slowly(_headers: Mapping[str, str]) -> Answer:
        may_answer.wait(10)
        return TAKEN

    with receiver("http/protobuf") as one, receiver("http/protobuf") as other:
        one.answer = slowly
        desk.start(**pushing(one.endpoint))
        wait_until(lambda: one.requests)
        desk.reload(**pushing(other.endpoint))
        assert (len(one.requests), len(other.requests)) == (1, 0)
        assert exports(desk) == 0
        may_answer.set()
        wait_until(lambda: exports(desk) == 2)
        assert (len(one.requests), len(other.requests)) == (1, 1)
        assert exports(desk, "dropped") == 0
        desk.stop()


def test_counts_of_pushes_go_on_and_a_change_is_pushed_at_once(desk: Desk) -> None:
    with receiver("http/protobuf") as one:
        desk.start(**pushing(one.endpoint))
        for number in range(1, 5):
            wait_until(lambda expected=number: exports(desk) == expected)  # type: ignore[misc] # its default is what it should remember
            desk.reload(max_clients=number, **pushing(one.endpoint))
        desk.stop()


def test_pushing_begins_and_ends_with_its_section(desk: Desk) -> None:
    with receiver("http/protobuf") as one:
        desk.start(prometheus=FRESH)
        assert desk.scrape().by("otlp_exports_total", "outcome") == {}
        desk.reload(**pushing(one.endpoint, interval_seconds=0.05))
        wait_until(lambda: exports(desk) > 2)
        desk.reload(prometheus=FRESH)
        assert desk.scrape().by("otlp_exports_total", "outcome") == {}
        wait_until(lambda: "otlp" not in [one.name for one in threading.enumerate()])
        desk.reload(**pushing(one.endpoint))
        assert exports(desk) > 2
        desk.stop()
