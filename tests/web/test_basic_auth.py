import asyncio
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import requests
from pydantic import SecretStr

from otel_emqx_monitor.server import Access, MetricsServer
from otel_emqx_monitor.web.basic_auth import Passwords, TooBusy, credentials_in
from tests.faults.inprocess import running
from tests.processes import settings
from tests.web.serving import OTHER_HASH, SECRET_HASH, Files, serving

USERS = {"alice": SecretStr(SECRET_HASH), "bób": SecretStr(OTHER_HASH)}


class Checks:
    """Counts the checks of hashes, and holds them up when told to."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.running = self.most_running = 0
        self._lock = threading.Lock()

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        with self._lock:
            self.hashes.append(hashed)
            self.running += 1
            self.most_running = max(self.running, self.most_running)
        self.may_go_on.wait(20)
        with self._lock:
            self.running -= 1
        return bcrypt.checkpw(password, hashed)


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MetricsServer]:
    users = {name: hashed.get_secret_value() for name, hashed in USERS.items()}
    headers = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'none'"}
    settings = {"basic_auth_users": users, "http_server_config": {"headers": headers}}
    with serving(Access(Files(tmp_path).write(settings))) as running:
        yield running


@pytest.mark.parametrize(
    "auth, status",
    [
        (None, 401),
        ((b"alice", b"secret"), 200),
        (("bób".encode(), b"other"), 200),
        ((b"alice", b"other"), 401),
        ((b"alice", b""), 401),
        ((b"alice", b"secret\0"), 401),
        ((b"Alice", b"secret"), 401),
        ((b"", b"secret"), 401),
        ((b"mallory", b"secret"), 401),
        ((b"alice", b"x" * 10_000), 401),
    ],
)
def test_a_scrape_needs_a_name_and_its_password(
    server: MetricsServer, auth: tuple[bytes, bytes] | None, status: int
) -> None:
    for _ in range(2):  # what is remembered of the first changes nothing
        basic = auth and b"Basic " + b64encode(b":".join(auth))
        answer = requests.get(server.url + "metrics", headers={"Authorization": basic}, timeout=20)
        assert answer.status_code == status
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers.get("WWW-Authenticate") == (None if status == 200 else "Basic")
        assert ("emqx_client_monitor" in answer.text) == (status == 200)


@pytest.mark.parametrize("path", ["", "metrics/", "nothing", "healthz/", "healthz%0A", "events/x"])
def test_every_other_path_needs_a_password(server: MetricsServer, path: str) -> None:
    assert requests.get(server.url + path, timeout=20).status_code == 401


@pytest.mark.parametrize("path", ["healthz", "readyz", "events"])
def test_probes_and_events_need_none(server: MetricsServer, path: str) -> None:
    assert requests.get(server.url + path, timeout=20).status_code != 401


def test_a_changed_password_holds_at_once(tmp_path: Path) -> None:
    files = Files(tmp_path)
    path = files.write({"basic_auth_users": {"alice": SECRET_HASH}})
    with serving(Access(path)) as server:

        def status(password: str) -> int:
            url = server.url + "metrics"
            return requests.get(url, auth=("alice", password), timeout=20).status_code

        assert (status("secret"), status("other")) == (200, 401)
        files.write({"basic_auth_users": {"alice": OTHER_HASH, "#": OTHER_HASH}})
        assert (status("secret"), status("other")) == (401, 200)
        files.write("basic_auth_users: [\n")
        assert (status("secret"), status("other")) == (401, 200)


@pytest.mark.parametrize("content", ["", "http_server_config: {}\n", "basic_auth_users: {}\n"])
def test_a_file_that_is_being_written_opens_no_door(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path)
    path = files.write({"basic_auth_users": {"alice": SECRET_HASH}})
    with serving(Access(path)) as server:
        files.write(content)
        assert requests.get(server.url + "metrics", timeout=20).status_code == 401
        assert "it takes away all passwords, which needs a restart" in caplog.text
        files.write({"basic_auth_users": {"alice": OTHER_HASH}})
        url = server.url + "metrics"
        assert requests.get(url, auth=("alice", "other"), timeout=20).status_code == 200


def test_a_right_password_is_checked_once_and_a_wrong_one_each_time(checks: Checks) -> None:
    async def ask() -> list[bool]:
        passwords = Passwords(checks)
        asked = [(b"alice", b"secret")] * 3 + [(b"alice", b"wrong")] * 2
        return [await passwords.are_right(USERS, one) for one in asked]

    assert asyncio.run(ask()) == [True, True, True, False, False]
    assert checks.hashes == [SECRET_HASH.encode()] * 3


def test_who_asks_together_shares_one_check(checks: Checks) -> None:
    async def ask() -> list[bool]:
        passwords = Passwords(checks)
        asked = [passwords.are_right(USERS, (b"alice", b"secret")) for _ in range(500)]
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == [True] * 500
    assert len(checks.hashes) == 1


def test_an_unknown_name_costs_a_check_of_one_hash_and_never_passes(checks: Checks) -> None:
    async def ask() -> list[bool]:
        passwords = Passwords(checks)
        asked = [(b"mallory", password) for password in (b"secret", b"other", b"secret", b"other")]
        return [await passwords.are_right(USERS, one) for one in asked]

    assert asyncio.run(ask()) == [False] * 4
    assert len(checks.hashes) == 4
    assert len(set(checks.hashes)) == 1, "another hash may have another cost, which tells"


def test_few_are_checked_at_once_and_not_too_many_wait(checks: Checks) -> None:
    async def ask() -> tuple[int, int]:
        passwords = Passwords(checks)
        checks.may_go_on.clear()
        guesses = [
            asyncio.create_task(passwords.are_right(USERS, (b"alice", b"%d" % number)))
            for number in range(100)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        checks.may_go_on.set()
        outcomes = await asyncio.gather(*guesses, return_exceptions=True)
        return sum(one is False for one in outcomes), sum(
            isinstance(one, TooBusy) for one in outcomes
        )

    assert asyncio.run(ask()) == (66, 34)
    assert checks.most_running <= 2


def test_who_goes_away_does_not_take_the_check_with_them(checks: Checks) -> None:
    async def ask() -> bool:
        passwords = Passwords(checks)
        checks.may_go_on.clear()
        first = asyncio.create_task(passwords.are_right(USERS, (b"alice", b"secret")))
        second = asyncio.create_task(passwords.are_right(USERS, (b"alice", b"secret")))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        checks.may_go_on.set()
        return await second

    assert asyncio.run(ask()) is True
    assert len(checks.hashes) == 1


@pytest.mark.parametrize(
    "values, expected",
    [
        ([b"Basic " + b64encode(b"a:b:c")], (b"a", b"b:c")),
        ([b"basic  " + b64encode(b":")], (b"", b"")),
        ([b"Basic " + b64encode(b"no colon")], None),
        ([b"Basic !!!!"], None),
        ([b"Basic"], None),
        ([b"Bearer " + b64encode(b"a:b")], None),
        ([b"Basic " + b64encode(b"a:b")] * 2, None),
        ([], None),
        ([b"\xff\xfe"], None),
    ],
)
def test_credentials_are_taken_from_one_header_of_the_right_scheme(
    values: list[bytes], expected: tuple[bytes, bytes] | None
) -> None:
    assert credentials_in([(b"authorization", value) for value in values]) == expected


def test_events_need_their_token_and_no_password(tmp_path: Path) -> None:
    path = Files(tmp_path).write({"basic_auth_users": {"alice": SECRET_HASH}})
    config = settings("http://127.0.0.1:9/api/", prometheus={"web_config_file": str(path)})
    config["events"] = {"webhook": {"token": "token-of-events"}}
    with running(config) as url:

        def status(authorization: str | bytes) -> int:
            headers = {"Authorization": authorization}
            return requests.post(url + "events", b"{}", headers=headers, timeout=20).status_code

        assert status("Bearer token-of-events") == 204
        assert status("Bearer another") == 401
        assert status(b"Basic " + b64encode(b"alice:secret")) == 401
