"""Scrapes while EMQX is slow: none waits for longer than it may, and EMQX is asked once."""

from concurrent.futures import ThreadPoolExecutor

from tests.faults.brokers import ROW, FaultyBroker, faulty_broker
from tests.faults.conftest import Clock
from tests.faults.inprocess import running
from tests.processes import PATIENCE_SECONDS, scrape, settings, wait_until

#: Long enough that a scrape which waits for EMQX ends with an error of the test's own.
SLOW = {"timeout_seconds": 2 * PATIENCE_SECONDS}
IMPATIENT = {"X-Prometheus-Scrape-Timeout-Seconds": "1"}


def questions(broker: FaultyBroker) -> list[str]:
    """The paths that were asked for, without the version at the begin."""
    paths = [line.split()[1].partition("?")[0] for line in broker.requests]
    return [path.removeprefix("/api/v5") for path in paths]


def test_a_scrape_in_a_hurry_gets_the_last_good_data_while_the_poll_goes_on(clock: Clock) -> None:
    with faulty_broker() as broker, running(settings(broker.url, emqx=SLOW)) as url:
        good = scrape(url)
        assert good.by("messages_processed_total", "direction") == {"rx": 7, "tx": 3}

        broker.fleet.replace([{**ROW, "recv_msg": 8}])
        broker.hold()
        clock.now += 15
        hurried = scrape(url, IMPATIENT)
        assert broker.in_flight == 1
        assert hurried.of_clients == good.of_clients
        assert hurried.by("up", "broker") == {"emqx": 1}, "the poll has not failed"

        broker.release()
        wait_until(lambda: scrape(url, IMPATIENT).of_clients != good.of_clients)
        later = scrape(url)
        assert later.by("messages_processed_total", "direction") == {"rx": 8, "tx": 3}
    assert questions(broker) == ["/nodes", "/clients", "/configs/global_zone", "/clients"]


def test_ten_scrapes_at_once_share_one_poll(clock: Clock) -> None:
    with (
        faulty_broker() as broker,
        running(settings(broker.url, emqx=SLOW)) as url,
        ThreadPoolExecutor(10) as pool,
    ):
        broker.hold()
        hurried = list(pool.map(lambda _: scrape(url, IMPATIENT), range(10)))
        assert questions(broker) == ["/nodes"]
        for exposition in hurried:
            assert exposition.of_clients == []
            assert exposition.by("up", "broker") == {}, "nothing has succeeded or failed yet"
            assert exposition.by("clients", "state")["unknown"] == 2

        broker.release()
        patient = list(pool.map(lambda _: scrape(url), range(10)))
        for exposition in patient:
            assert exposition.by("connected", "alias") == {"Room": 1, "Ghost": 0}
    assert questions(broker) == ["/nodes", "/clients", "/configs/global_zone"]
    assert broker.most_in_flight == 1


def test_without_a_ttl_polls_follow_each_other_and_never_overlap() -> None:
    with (
        faulty_broker() as broker,
        running(settings(broker.url, prometheus={"ttl_seconds": 0})) as url,
        ThreadPoolExecutor(10) as pool,
    ):
        found = list(pool.map(lambda _: scrape(url), range(30)))
    assert all(exposition.by("up", "broker") == {"emqx": 1} for exposition in found)
    assert questions(broker).count("/clients") > 1
    assert broker.most_in_flight == 1
