"""The simulated broker over real sockets."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
import trustme

from otel_emqx_monitor.listening import ListenError
from otel_emqx_monitor.simulator import Answer, Broker, Simulator, StaticFleet
from tests.simulator.asking import BASIC

ODD_ID = "a/b c+d&e=f%\"'\\,ü€\n\x1b[31m<b>$"
KEY = ("simulated-key", "simulated-secret")
WAIT = 10


def new_simulator(**options: object) -> Simulator:
    rows = [{"clientid": "a"}, {"clientid": ODD_ID}]
    return Simulator(Broker(source=StaticFleet(rows)), **options)  # type: ignore[arg-type] # as given


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with new_simulator() as running:
        yield running


@pytest.fixture
def simulator(shared: Simulator) -> Iterator[Simulator]:
    """Return the running simulator with nothing counted and no hook."""
    shared.requests.clear()
    shared.request_lines.clear()
    yield shared
    shared.before_answer = None


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = KEY
        yield session


def address(simulator: Simulator) -> tuple[str, int]:
    parts = urlsplit(simulator.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def raw(simulator: Simulator, request: bytes) -> bytes:
    """Send ``request`` and return everything that comes until the broker closes."""
    with socket.create_connection(address(simulator), timeout=WAIT) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def request_line(size: int) -> bytes:
    ends = b"GET /api/v5/clients?clientid=", b" HTTP/1.1"
    return ends[0] + b"x" * (size - len(b"".join(ends))) + ends[1]


def test_url_is_an_api_url_of_the_agent(simulator: Simulator) -> None:
    assert simulator.url == f"http://127.0.0.1:{address(simulator)[1]}/api/"


@pytest.mark.parametrize("target", ["clients/{}", "clients?clientid={}"])
def test_odd_client_ids_arrive_intact(
    simulator: Simulator, session: requests.Session, target: str
) -> None:
    answer = session.get(simulator.url + "v5/" + target.format(quote(ODD_ID, safe="")))
    found = answer.json()
    row = found["data"][0] if "data" in found else found
    assert row["clientid"] == ODD_ID


def test_requests_are_counted_and_logged(simulator: Simulator, session: requests.Session) -> None:
    for path in ("nodes", "clients?limit=5", "clients/a", "clients/b", "nope"):
        session.get(simulator.url + "v5/" + path)
    assert simulator.requests == {"nodes": 1, "list": 1, "lookup": 2, "unknown": 1}
    assert list(simulator.request_lines) == [
        "GET /api/v5/nodes HTTP/1.1",
        "GET /api/v5/clients?limit=5 HTTP/1.1",
        "GET /api/v5/clients/a HTTP/1.1",
        "GET /api/v5/clients/b HTTP/1.1",
        "GET /api/v5/nope HTTP/1.1",
    ]


def test_connection_is_kept_for_the_next_request(simulator: Simulator) -> None:
    get = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answered = raw(simulator, get + get + last)
    assert answered.count(b"HTTP/1.1 200 OK\r\n") == 3


@pytest.mark.parametrize("size, status", [(8000, b"200"), (8001, b"414"), (300_000, b"414")])
def test_too_long_request_line_is_refused_and_the_connection_closed(
    simulator: Simulator, size: int, status: bytes
) -> None:
    headers = f"Host: x\r\nAuthorization: {BASIC}\r\nConnection: close\r\n\r\n".encode()
    head, _, body = raw(simulator, request_line(size) + b"\r\n" + headers).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == status
    if status == b"414":
        assert b"\r\nconnection: close" in head.lower()
        assert b"\r\ncontent-length: 0" in head
        assert body == b""


def test_too_long_request_line_closes_a_connection_that_would_be_kept(
    simulator: Simulator,
) -> None:
    answered = raw(simulator, request_line(8001) + b"\r\nHost: x\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 414 ")


def test_head_has_no_body(simulator: Simulator, session: requests.Session) -> None:
    answer = session.head(simulator.url + "v5/clients")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_hook_sees_the_raw_target_and_can_answer_instead(
    simulator: Simulator, session: requests.Session
) -> None:
    seen: list[str] = []

    def instead(target: str) -> Answer | None:
        seen.append(target)
        return Answer(503, (("retry-after", "3"),), b"busy") if "nodes" in target else None

    simulator.before_answer = instead
    refused = session.get(simulator.url + "v5/nodes")
    found = session.get(simulator.url + "v5/clients?fields=clientid&clientid=%20a")
    assert (refused.status_code, refused.headers["Retry-After"], refused.text) == (503, "3", "busy")
    assert found.json()["data"] == []
    assert seen == ["/api/v5/nodes", "/api/v5/clients?fields=clientid&clientid=%20a"]


def test_request_that_blocks_holds_up_no_other(
    simulator: Simulator, session: requests.Session, hold: "Hold"
) -> None:
    simulator.before_answer = hold
    blocked = threading.Thread(target=requests.get, args=[simulator.url + "v5/nodes"])
    blocked.start()
    assert hold.reached.wait(WAIT)
    assert session.get(simulator.url + "v5/clients/a").status_code == 200
    hold.release.set()
    blocked.join(WAIT)
    assert not blocked.is_alive()


class Hold:
    """A hook that holds up every request for the nodes."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.release = threading.Event()

    def __call__(self, target: str) -> None:
        if "nodes" in target:
            self.reached.set()
            self.release.wait(WAIT)


@pytest.fixture
def hold() -> Iterator[Hold]:
    hold = Hold()
    yield hold
    hold.release.set()


def test_stop_cuts_idle_and_busy_connections_and_frees_the_port(
    hold: Hold, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = new_simulator(before_answer=hold)
    simulator.start()
    with (
        socket.create_connection(address(simulator), timeout=WAIT) as idle,
        socket.create_connection(address(simulator), timeout=WAIT) as busy,
    ):
        idle.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(9) == b"HTTP/1.1 "
        busy.sendall(b"GET /api/v5/nodes HTTP/1.1\r\nHost: x\r\n\r\n")
        assert hold.reached.wait(WAIT)
        simulator.stop()
        assert busy.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(simulator), timeout=WAIT)
    simulator.stop()
    assert caplog.text == ""  # nothing had to be waited for


def test_start_after_stop_takes_the_same_port() -> None:
    simulator = new_simulator()
    urls = set()
    for _ in range(2):
        with simulator:
            simulator.start()
            urls.add(simulator.url)
            assert requests.get(simulator.url + "v5/status", timeout=WAIT).status_code == 200
    assert len(urls) == 1
    assert simulator.requests == {"status": 2}


def test_an_address_that_cannot_be_had_is_refused(simulator: Simulator) -> None:
    with pytest.raises(ListenError, match="Address already in use"):
        new_simulator(port=address(simulator)[1]).start()


def test_ipv6_address_is_in_brackets_in_the_url() -> None:
    simulator = new_simulator(host="::1")
    try:
        simulator.start()
    except ListenError as refused:
        pytest.skip(f"this machine has no IPv6 loopback: {refused}")
    with simulator:
        assert simulator.url.startswith("http://[::1]:")
        assert requests.get(simulator.url + "v5/status", timeout=WAIT).status_code == 200


def test_tls(tmp_path: Path) -> None:
    ca = trustme.CA()
    issued = ca.issue_cert("127.0.0.1")
    roots, chain, key = tmp_path / "ca.pem", tmp_path / "chain.pem", tmp_path / "key.pem"
    ca.cert_pem.write_to_path(roots)
    issued.private_key_pem.write_to_path(key)
    for part in issued.cert_chain_pems:
        part.write_to_path(chain, append=True)
    with new_simulator(tls=(str(chain), str(key))) as simulator:
        assert simulator.url.startswith("https://127.0.0.1:")
        answer = requests.get(simulator.url + "v5/status", verify=str(roots), timeout=WAIT)
        assert answer.status_code == 200


def test_tls_without_its_files_does_not_start(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError):
        new_simulator(tls=(missing, missing)).start()
