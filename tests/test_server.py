import gzip
import threading
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.readers.exposition import OPENMETRICS, TEXT
from otel_emqx_monitor.readers.prometheus import PrometheusReader, negotiate
from otel_emqx_monitor.server import MetricsServer, accepts_gzip, scrape_wait
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.emqx_of_one import Emqx
from tests.faults.inprocess import running
from tests.processes import settings, wait_until

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.fixture
def emqx() -> Emqx:
    return Emqx()


@pytest.fixture
def server(emqx: Emqx) -> Iterator[MetricsServer]:
    cache = emqx.cache("broker")
    reader = PrometheusReader(cache)
    running = MetricsServer(cache, reader, "127.0.0.1", 0)
    running.start()
    yield running
    emqx.may_answer.set()
    running.stop()


def get(server: MetricsServer, path: str = "metrics", **headers: str) -> requests.Response:
    with_dashes = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(server.url + path, headers={"Accept-Encoding": ""} | with_dashes, timeout=9)


def test_metrics_are_text_when_nothing_else_is_asked_for(server: MetricsServer) -> None:
    answer = get(server)
    assert answer.headers["Content-Type"] == TEXT_TYPE
    assert "Content-Encoding" not in answer.headers
    assert 'client_id="a",direction="rx"} 7\n' in answer.text


def test_prometheus_gets_openmetrics(server: MetricsServer) -> None:
    answer = get(server, Accept=PROMETHEUS_2)
    assert answer.headers["Content-Type"] == OPENMETRICS_TYPE
    parsed = parse_openmetrics(answer.text)  # type: ignore[no-untyped-call] # it is not typed
    families = {family.name: family for family in parsed}
    [received] = families["emqx_client_monitor_messages_processed"].samples
    assert (received.name, received.value) == (
        "emqx_client_monitor_messages_processed_total",
        7,
    )


def test_who_takes_gzip_gets_it(server: MetricsServer) -> None:
    answer = requests.get(
        server.url + "metrics", headers={"Accept-Encoding": "gzip"}, timeout=9, stream=True
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"emqx_client_monitor_up" in gzip.decompress(answer.raw.read())


def test_a_scrape_never_waits_longer_than_it_announces(server: MetricsServer, emqx: Emqx) -> None:
    emqx.may_answer.clear()
    impatient = get(server, X_Prometheus_Scrape_Timeout_Seconds="0.6")
    assert "emqx_client_monitor_connected{" not in impatient.text
    assert 'state="unknown"} 1' in impatient.text
    emqx.may_answer.set()
    assert "emqx_client_monitor_connected{" in get(server).text


def test_scrapes_during_one_poll_share_it(server: MetricsServer, emqx: Emqx) -> None:
    emqx.may_answer.clear()
    texts: list[str] = []
    scrapers = [threading.Thread(target=lambda: texts.append(get(server).text)) for _ in range(8)]
    for scraper in scrapers:
        scraper.start()
    emqx.may_answer.set()
    for scraper in scrapers:
        scraper.join(timeout=10)
    assert len([text for text in texts if 'rx"} 7' in text]) == 8


def test_there_is_nothing_else(server: MetricsServer) -> None:
    assert get(server, "secrets").status_code == 404
    assert get(server, "").status_code == 404  # the page for people is tested in tests/page
    assert requests.post(server.url + "metrics", timeout=9).status_code == 405
    assert requests.head(server.url + "metrics", timeout=9).status_code == 200


def test_it_stops_while_a_scrape_waits_for_a_poll(server: MetricsServer, emqx: Emqx) -> None:
    emqx.may_answer.clear()
    outcome: list[str] = []

    def scrape() -> None:
        try:
            outcome.append(f"status {get(server).status_code}")
        except requests.ConnectionError:
            outcome.append("cut off")

    scraper = threading.Thread(target=scrape)
    scraper.start()
    server.stop()
    scraper.join(timeout=5)
    assert not scraper.is_alive()


@pytest.mark.parametrize(
    "announced, wait",
    [
        (None, 8.0),
        ("10", 8.0),
        ("1", 0.5),
        ("0.3", 0.0),
        ("0", 0.0),
        ("-5", 8.0),
        ("nan", 8.0),
        ("inf", 8.0),
        ("1e300", 96.0),
        ("ten", 8.0),
        ("", 8.0),
    ],
)
def test_what_is_left_of_a_scrape_s_timeout(announced: str | None, wait: float) -> None:
    assert scrape_wait(announced) == wait


@pytest.mark.parametrize(
    "header, expected",
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
    ],
)
def test_who_accepts_gzip(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


@pytest.mark.parametrize(
    "accept, expected",
    [
        ("", TEXT),
        ("*/*", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        ("text/plain", TEXT),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.2", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=high", TEXT),
        ("APPLICATION/OpenMetrics-Text", OPENMETRICS),
        ("application/openmetrics-text;version=\xff\xfe,,;;=", OPENMETRICS),
        ("image/png", TEXT),
    ],
)
def test_the_format_follows_what_is_accepted(accept: str, expected: object) -> None:
    assert negotiate(accept) is expected


def test_the_page_says_how_fresh_counters_are_once_a_poll_has_told() -> None:
    fleet = StaticFleet([{"clientid": "a", "connected": True}], refresh_seconds=1.5)
    with Simulator(Broker(source=fleet)) as simulator:
        config = Config.model_validate(
            {
                **settings(simulator.url, clients={"A": "a"}),
                "polling": {"interval_seconds": 1},
            }
        )
        with running(config) as url:

            def refreshed() -> str:
                text = requests.get(url, timeout=9).text
                return text if "Counters move" in text else ""

            page = wait_until(refreshed)
    assert "<p>Counters move every 1.5 s (mqtt.idle_timeout).</p>" in page
    assert "<p>polling.interval_seconds is 1, so several polls in a row find the same" in page
