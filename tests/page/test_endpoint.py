"""The page over real HTTP, with whatever people and robots may ask of it."""

from collections.abc import Iterator

import pytest
import requests

from otel_emqx_monitor.page import LandingPage
from otel_emqx_monitor.page.document import CONTENT_SECURITY_POLICY
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import MetricsServer
from tests.emqx_of_one import Emqx
from tests.page.pages import config, read


@pytest.fixture
def emqx() -> Emqx:
    return Emqx()


@pytest.fixture
def server(emqx: Emqx) -> Iterator[MetricsServer]:
    cache = emqx.cache('<b>"broker"</b>')
    reader = PrometheusReader(cache)
    page = LandingPage(cache, reader, config())
    running = MetricsServer(cache, reader, "127.0.0.1", 0, routes=[page.route])
    running.start()
    yield running
    emqx.may_answer.set()
    running.stop()


def get(server: MetricsServer, query: str = "") -> requests.Response:
    return requests.get(server.url + query, timeout=30)


def test_the_first_one_who_looks_makes_the_poll(server: MetricsServer) -> None:
    answer = get(server)
    document = read(answer.text)
    assert document.texts("h1") == ['<b>"broker"</b>']
    assert document.rows == [["Aa", "connected", document.rows[0][2], "now", "7", "–"]]
    assert document.facts["Prometheus"] == "nobody has scraped yet"
    assert [one.attributes["href"] for one in document.all("a")][-1] == "metrics"


def test_a_scrape_is_told_of(server: MetricsServer) -> None:
    requests.get(server.url + "metrics", timeout=30)
    told = read(get(server).text).facts["Prometheus"]
    assert told.endswith(" ago, 1 scrape in all")


def test_the_words_of_a_failed_poll_are_shown(server: MetricsServer, emqx: Emqx) -> None:
    emqx.fails = True
    document = read(get(server).text)
    [alert] = document.texts("div", role="alert")
    assert alert.startswith("EMQX has not answered since this agent started.")
    assert alert.endswith("EMQX at http://emqx did not answer within 5 s")
    assert document.rows[0][1] == "unknown"


def test_the_answer_may_do_nothing_but_be_looked_at(server: MetricsServer) -> None:
    headers = get(server).headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_head_gets_the_headers_alone(server: MetricsServer) -> None:
    answer = requests.head(server.url, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(server: MetricsServer, method: str) -> None:
    assert requests.request(method, server.url, timeout=30).status_code == 405


@pytest.mark.parametrize(
    "query",
    [
        "?q=%00%ff%fe%ed%a0%80&state=%3Cb%3E&sort=--&page=-1",
        "?q=a&q=b&q=",
        "?&&&=&=x&q",
        "?page=99999999999999999999999999&sort=received",
        "?sort=__class__&state[]=x",
        "?" + "x=1&" * 3000,
        "?q=" + "%F0%9F%A6%80" * 1000,
        "?%",
    ],
)
def test_odd_parameters_break_nothing(server: MetricsServer, query: str) -> None:
    answer = get(server, query)
    assert answer.status_code == 200
    assert read(answer.text).texts("h1") == ['<b>"broker"</b>']
