"""The endpoint as the agent serves it, and clients with real sockets, some of them hostile."""

import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.events import webhook as module
from otel_emqx_monitor.events.event import Source
from otel_emqx_monitor.events.inbox import Inbox, Limits
from otel_emqx_monitor.events.webhook import Refusal, Webhook, WebhookSettings
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import MetricsServer
from tests.fleets import assess, nothing_known, poll
from tests.processes import wait_until

TOKEN = "s3cr3t-gardenia"
RECORDED = json.loads(
    (Path(__file__).parents[1] / "recordings" / "events_webhook.json").read_text(encoding="utf-8")
)
BODY = json.dumps(RECORDED[0]["json"]).encode()


class Box:
    """Keeps what is offered, as long as there is room."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.room = 10**9

    def __call__(self, body: bytes) -> bool:
        if len(self.bodies) >= self.room:
            return False
        self.bodies.append(body)
        return True


class Served:
    """A webhook on a running server; ``url`` is that of the posts."""

    def __init__(self, webhook: Webhook, url: str, box: Box) -> None:
        self.webhook = webhook
        self.url = url
        self.box = box
        self.begin()

    def begin(self) -> None:
        """Forget what was: a server is worth sharing, stopping one takes its time."""
        self.box.bodies = []
        self.box.room = 10**9
        self._refused_before = self.webhook.refusals

    def post(self, body: bytes | Iterator[bytes] = BODY, **headers: str) -> requests.Response:
        """Post with the right token, unless ``Authorization`` is given."""
        return requests.post(
            self.url, body, headers={"Authorization": f"Bearer {TOKEN}", **headers}, timeout=20
        )

    def connect(self) -> socket.socket:
        where = urlsplit(self.url)
        return socket.create_connection((where.hostname or "", where.port or 0), timeout=20)

    @property
    def refused(self) -> dict[str, int]:
        """How many posts were refused since the test began, without zeros."""
        now, before = self.webhook.refusals, self._refused_before
        return {
            str(reason): now[reason] - before[reason]
            for reason in now
            if now[reason] != before[reason]
        }


@contextmanager
def serving(
    settings: WebhookSettings | None = None,
    offer: Callable[[bytes], bool] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Iterator[Served]:
    box = Box()
    endpoint = Webhook(settings or WebhookSettings(TOKEN), offer or box, clock)
    cache = SnapshotCache(
        "broker", poll, lambda answer: assess(answer, []), nothing_known([]), Freshness(15, 60)
    )
    server = MetricsServer(cache, PrometheusReader(cache), "127.0.0.1", 0, routes=[endpoint.route])
    server.start()
    try:
        yield Served(endpoint, server.url + "events", box)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving() as running:
        yield running


@pytest.fixture
def served(shared: Served) -> Served:
    shared.begin()
    return shared


def read_status(connection: socket.socket) -> int:
    """Return the status of the next answer."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the peer closes the connection, however it does that."""
    got = b""
    try:
        while part := connection.recv(65_536):
            got += part
    except ConnectionResetError:
        pass
    return got


def head(*headers: str, token: str = TOKEN) -> bytes:
    lines = ["POST /events HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_post_is_taken_and_answered_with_nothing(served: Served) -> None:
    answer = served.post()
    assert (answer.status_code, answer.content) == (204, b"")
    assert served.box.bodies == [BODY]
    assert served.refused == {}


def test_every_reason_for_a_refusal_counts_from_zero_on() -> None:
    webhook = Webhook(WebhookSettings(TOKEN), Box())
    assert webhook.refusals == dict.fromkeys(Refusal, 0)


def test_the_recorded_headers_of_emqx_are_taken() -> None:
    with serving(WebhookSettings("example-token")) as served:
        sent = {name: value for name, value in RECORDED[0]["headers"].items() if name != "host"}
        sent["content-length"] = str(len(BODY))
        assert requests.post(served.url, BODY, headers=sent, timeout=20).status_code == 204


def test_a_post_is_answered_before_it_is_applied() -> None:
    may_apply = threading.Event()
    inbox = Inbox(lambda _events: assert_true(may_apply.wait(20)))
    inbox.start()
    with serving(offer=lambda body: inbox.offer(Source.WEBHOOK, body)) as served:
        assert [served.post().status_code for _ in range(5)] == [204] * 5
        may_apply.set()
    inbox.stop(10)
    assert inbox.view().counts[Source.WEBHOOK, "connected"] == 5


def assert_true(value: bool) -> None:
    assert value


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer s3cr3t-gardeniA",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer " + "x" * 10_000,
        "Bearer größe".encode().decode("latin-1"),
        "Bearer \xff\xfe",
    ],
)
def test_another_token_is_refused(served: Served, authorization: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1")}
    answer = requests.post(served.url, BODY, headers=headers, timeout=20)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="otel-emqx-monitor"'
    assert served.box.bodies == []
    assert served.refused == {"token": 1}


def test_no_token_is_refused(served: Served) -> None:
    assert requests.post(served.url, BODY, timeout=20).status_code == 401


def test_two_tokens_are_refused_even_if_one_is_right(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(head("Authorization: Bearer other", "Content-Length: 0"))
        assert read_status(connection) == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_may_be_written_in_any_way(served: Served, scheme: str) -> None:
    assert served.post(Authorization=f"{scheme} {TOKEN}").status_code == 204


def test_a_token_may_be_any_text() -> None:
    with serving(WebhookSettings("größe 🔑")) as served:
        headers = {"Authorization": "Bearer größe 🔑".encode()}
        assert requests.post(served.url, BODY, headers=headers, timeout=20).status_code == 204


def test_the_body_of_who_has_no_token_is_not_read(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked", token="wrong"))
        got = read_to_end(connection)
    assert got.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close\r\n" in got


def test_a_connection_outlives_a_refusal_of_a_small_body(served: Served) -> None:
    small = f"Content-Length: {len(BODY)}"
    with served.connect() as connection:
        connection.sendall(head(small, token="wrong") + BODY)
        assert read_status(connection) == 401
        connection.sendall(head(small) + BODY)
        assert read_status(connection) == 204


def test_pipelined_posts_are_taken_in_their_order(served: Served) -> None:
    bodies = [str(number).encode() for number in range(100)]
    with served.connect() as connection:
        connection.sendall(b"".join(head(f"Content-Length: {len(body)}") + body for body in bodies))
        wait_until(lambda: len(served.box.bodies) == 100)
    assert served.box.bodies == bodies


def test_other_methods_are_not_allowed(served: Served) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = requests.request(method, served.url, timeout=20)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not() -> None:
    with serving(WebhookSettings(TOKEN, max_body_bytes=100_000)) as served:
        assert served.post(b"x" * 100_000).status_code == 204
        assert served.post(iter([b"x" * 50_000, b"y" * 50_000])).status_code == 204
        assert served.post(b"x" * 100_001).status_code == 413
        assert served.post(iter([b"x" * 50_000, b"y" * 50_001])).status_code == 413
        assert [len(body) for body in served.box.bodies] == [100_000, 100_000]
        assert served.refused == {"too_large": 2}


def test_a_body_that_is_announced_too_large_is_not_waited_for(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(head("Content-Length: 100000000"))
        assert read_to_end(connection).startswith(b"HTTP/1.1 413 ")


def test_reading_stops_in_a_stream_of_a_hundred_megabytes(served: Served) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    with served.connect() as connection:
        connection.sendall(head("Content-Length: 5", "Transfer-Encoding: chunked"))
        try:
            for _ in range(1600):
                connection.sendall(chunk)
                sent += 0x10000
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 50_000_000  # what the sockets' buffers take beside the limit of 1 MiB
    assert served.refused == {"too_large": 1}
    assert served.post().status_code == 204


@pytest.mark.parametrize(
    "length",
    ["-1", "+5", "1e3", "5, 6", "0x5", "", "9" * 30, "9" * 5000],
    ids=lambda text: text[:9],
)
def test_a_nonsense_length_ends_nothing(served: Served, length: str) -> None:
    with served.connect() as connection:
        connection.sendall(head(f"Content-Length: {length}") + BODY)
        assert read_to_end(connection)[9:12] in (b"400", b"413")
    assert served.post().status_code == 204


def test_a_body_that_is_cut_off_is_counted_and_not_taken(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with served.connect() as connection:
        connection.sendall(head("Content-Length: 1000") + b"only this")
    wait_until(lambda: served.refused == {"cut_off": 1})
    assert served.box.bodies == []
    assert caplog.messages == []


def test_a_body_that_does_not_come_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BODY_SECONDS", 0.05)
    with served.connect() as connection:
        connection.sendall(head("Content-Length: 1000") + b"only this")
        assert read_to_end(connection).startswith(b"HTTP/1.1 408 ")
    assert served.refused == {"slow": 1}


def test_more_posts_than_are_allowed_are_refused_until_time_has_passed() -> None:
    now = [0.0]
    with serving(WebhookSettings(TOKEN, max_per_second=2), clock=lambda: now[0]) as served:
        answers = [served.post() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [204, 204, 429]
        assert answers[-1].headers["Retry-After"] == "1"
        now[0] += 0.5
        assert [served.post().status_code for _ in range(2)] == [204, 429]
        now[0] += 3600
        assert [served.post().status_code for _ in range(3)] == [204, 204, 429]
        assert served.refused == {"too_many": 3}


def test_a_rate_below_one_still_lets_posts_through() -> None:
    now = [0.0]
    with serving(WebhookSettings(TOKEN, max_per_second=0.1), clock=lambda: now[0]) as served:
        assert [served.post().status_code for _ in range(2)] == [204, 429]
        now[0] += 10
        assert served.post().status_code == 204


def test_a_full_inbox_says_when_to_come_again(served: Served) -> None:
    served.box.room = 1
    answers = [served.post() for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 503]
    assert answers[-1].headers["Retry-After"] == "1"
    assert served.refused == {"full": 1}
    served.box.room = 2
    assert served.post().status_code == 204


def test_many_posters_at_once_lose_nothing() -> None:
    seen: list[str] = []
    inbox = Inbox(lambda events: seen.extend(event.client_id for event in events))
    inbox.start()

    with serving(offer=lambda body: inbox.offer(Source.WEBHOOK, body)) as served:

        def post(name: int) -> None:
            with requests.Session() as session:
                session.headers["Authorization"] = f"Bearer {TOKEN}"
                for number in range(100):
                    event = {**RECORDED[0]["json"], "clientid": f"{name}/{number}"}
                    answer = session.post(served.url, json=event, timeout=20)
                    assert answer.status_code == 204

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(post, range(8)))
        inbox.stop(10)
    assert sorted(seen) == sorted(f"{name}/{number}" for name in range(8) for number in range(100))


def test_a_storm_of_hostile_posts_is_bounded_counted_and_leaves_the_metrics_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    inbox = Inbox(
        lambda events: seen.extend(event.client_id for event in events),
        limits=Limits(bodies=1000, size=10_000_000),
    )
    inbox.start()
    hostile = [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b"\xff" * 1000,
        b"[" + b"9," * 300_000 + b"9]",
        json.dumps({**RECORDED[0]["json"], "clientid": 5}).encode(),
        b"",
    ]
    with serving(offer=lambda body: inbox.offer(Source.WEBHOOK, body)) as served:
        for body in [*hostile, BODY]:
            assert served.post(body).status_code == 204
        metrics = requests.get(served.url.replace("/events", "/metrics"), timeout=20)
        inbox.stop(20)
    assert seen == ["ev-sub"]
    assert inbox.view().counts[Source.WEBHOOK, "malformed"] == 300_001 + 5
    assert metrics.status_code == 200
    assert caplog.messages == []


def test_nothing_is_logged_about_refusals_and_the_token_is_nowhere(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    served.post()
    served.post(Authorization=f"Basic {TOKEN}")
    assert [one for one in caplog.records if one.name.startswith("otel_emqx_monitor")] == []
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(WebhookSettings(TOKEN))
