"""The API key and its secret are searched for in everything that the program lets out."""

import io
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from otel_emqx_monitor import logs
from otel_emqx_monitor.cli import main
from otel_emqx_monitor.config import load
from tests.faults.brokers import faulty_broker
from tests.faults.inprocess import invoke, logging_as_it_was, running
from tests.faults.secrets import Credentials
from tests.faults.table import HTML, Fault, every_fault
from tests.peers import http, peer
from tests.processes import PATIENCE_SECONDS, run, serving, settings, write_config

PLAIN = Credentials("key-5e0c1f-watch", "s3cr3t-77ab90-gardenia")
ODD = Credentials(
    "ключ 5e0c1f «watch»", "tulip77a\"'\\%20 ${x} $& <b> |:# ünï \U0001f511 90gardenia"
)


def test_the_search_finds_each_form_of_a_secret() -> None:
    for credentials in (PLAIN, ODD):
        key, secret = credentials.key, credentials.secret
        sent = b64encode(f"{key}:{secret}".encode()).decode()
        longer = b64encode(f"x{secret} and so on".encode()).decode()
        for text in (key, f"x {secret!r}", f"{secret.encode()!r}", sent, longer, secret[5:]):
            assert credentials.found_in(text)
    assert not PLAIN.found_in("the API key ******** is in key_file and the secret is not")


def credentials_in(source: str, credentials: Credentials, folder: Path) -> dict[str, str]:
    """Put the credentials where ``source`` says; return what the section ``emqx`` needs then."""
    if source == "files":
        (folder / "key").write_text(credentials.key + "\n", encoding="utf-8")
        (folder / "secret").write_text(credentials.secret, encoding="utf-8")
        return {"api_key_file": "key", "api_secret_file": "secret"}
    if source == "environment":
        return {"api_key": "${env:TEST_KEY}", "api_secret": "${env:TEST_SECRET}"}
    escaped = credentials.secret.replace("${", "$${")
    return {"api_key": credentials.key, "api_secret": escaped}


def configure(folder: Path, config: dict[str, Any], given: dict[str, str]) -> str:
    """Write ``config`` with the credentials that are ``given`` in place of its own."""
    del config["emqx"]["api_key"], config["emqx"]["api_secret"]
    config["emqx"] |= given
    return write_config(folder, config)


def commands(config: str) -> tuple[list[int], str]:
    """Run every command that ends by itself; return the exit codes, and all that was printed."""
    ended = [
        invoke(*command, "--cfg", config, "--log-level", "debug")
        for command in (
            ["check"],
            ["validate"],
            ["validate", "--show"],
            ["validate", "--connect"],
        )
    ]
    return [one.exit_code for one in ended], "".join(one.stdout + one.stderr for one in ended)


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=PATIENCE_SECONDS)


def agent(config: str, then: Callable[[], None] = lambda: None) -> str:
    """Scrape an agent with a chatty log, before and after ``then``; return all that it let out."""
    log = io.StringIO()
    with logging_as_it_was():
        logs.configure("text", "debug", log)
        with running(load(Path(config))) as url:
            served = [get(url + path) for path in ("metrics", "", "nothing-here")]
            then()
            served.append(get(url + "metrics"))
    assert [answer.status_code for answer in served] == [200, 200, 404, 200]
    return log.getvalue() + "".join(f"{answer.headers}{answer.text}" for answer in served)


@pytest.mark.parametrize("credentials", [PLAIN, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("source", ["inline", "files", "environment"])
def test_nothing_is_let_out_while_all_is_well(
    source: str, credentials: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", credentials.key)
    monkeypatch.setenv("TEST_SECRET", credentials.secret)
    with faulty_broker() as broker:
        broker.broker = replace(broker.broker, key=credentials.key, secret=credentials.secret)
        given = credentials_in(source, credentials, tmp_path)
        config = configure(tmp_path, settings(broker.url, clients={"Room": "dev-a"}), given)
        exit_codes, printed = commands(config)
        served = agent(config)
    assert exit_codes == [0, 0, 0, 0]
    assert 'emqx_client_monitor_up{broker="emqx"} 1\n' in served
    assert credentials.found_in(printed + served) == set()


@every_fault
def test_no_fault_lets_anything_out(fault: Fault, tmp_path: Path) -> None:
    with fault.good_broker(tmp_path) as broker:
        broker.broker = replace(broker.broker, key=ODD.key, secret=ODD.secret)
        given = credentials_in("inline", ODD, tmp_path)
        config = configure(tmp_path, fault.settings(broker), given)
        fault.begin(broker)
        exit_codes, printed = commands(config)
        served = agent(config, then=broker.recover)
    assert exit_codes == [3, 0, 0, 3 if fault.shows_to_probe else 0]
    assert fault.words in served
    assert ODD.found_in(printed + served) == set()


def authorization(head: bytes) -> str:
    """The value of that header of a request, the credentials in base64."""
    lines = head.decode("latin-1").split("\r\n")
    return next(line[15:] for line in lines if line.lower().startswith("authorization: "))


def decoded(head: bytes) -> bytes:
    return b64decode(authorization(head).removeprefix("Basic "))


def both(head: bytes) -> str:
    return f"who sends {authorization(head)}, that is {decoded(head).decode()}?"


#: Ways in which what answers can send the credentials back, made from the head of the request.
ECHOES: dict[str, Callable[[bytes], bytes]] = {
    "message of an error": lambda head: http(
        "401 No", {"code": "BAD_API_KEY_OR_SECRET", "message": both(head)}
    ),
    "code of an error": lambda head: http("500 No", {"code": both(head), "message": ""}),
    "page": lambda head: http("200 OK", both(head), HTML),
    "media type": lambda head: http("404 No", "", f"Content-Type: {authorization(head)}"),
    "media type, decoded": lambda head: (
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nContent-Type: " + decoded(head) + b"\r\n\r\n"
    ),
    "media type of a page": lambda head: http(
        "200 OK", "<html>", f"Content-Type: {authorization(head)}"
    ),
    "reason phrase": lambda head: http(f"404 {authorization(head)}"),
    "status line": lambda head: f"{authorization(head)}\r\n\r\n".encode(),
    "status line, decoded": lambda head: decoded(head) + b"\r\n\r\n",
    "line that is no header": lambda head: (
        f"HTTP/1.1 200 OK\r\n{authorization(head)}\r\n\r\n".encode()
    ),
    "target of a redirect": lambda head: http(
        "302 Found", "", f"Location: http://x/?{authorization(head)}"
    ),
    "JSON of another shape": lambda head: http("200 OK", {both(head): both(head)}),
    "length of the body": lambda head: (
        f"HTTP/1.1 200 OK\r\nContent-Length: {authorization(head)}\r\n\r\n[]".encode()
    ),
    "length of a chunk": lambda head: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + decoded(head) + b"\r\n"
    ),
    "coding of the body": lambda head: http(
        "200 OK", "[]", f"Content-Encoding: {authorization(head)}"
    ),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("credentials", [PLAIN, ODD], ids=["plain", "odd"])
def test_what_the_peer_repeats_is_not_repeated_by_us(
    echo: Callable[[bytes], bytes], credentials: Credentials, tmp_path: Path
) -> None:
    def handler(connection: socket.socket, head: bytes) -> None:
        connection.sendall(echo(head))
        connection.shutdown(socket.SHUT_RDWR)

    with peer(handler) as parrot:
        given = credentials_in("inline", credentials, tmp_path)
        config = configure(tmp_path, settings(parrot.url), given)
        exit_codes, printed = commands(config)
    assert exit_codes == [3, 0, 0, 3]
    assert credentials.found_in(printed) == set()
    assert "Traceback" not in printed


def test_processes_let_nothing_out_either(tmp_path: Path) -> None:
    environ = {"TEST_KEY": ODD.key, "TEST_SECRET": ODD.secret}
    with faulty_broker() as broker:
        given = credentials_in("environment", ODD, tmp_path)
        config = configure(tmp_path, settings(broker.url, prometheus={"ttl_seconds": 0}), given)
        refused = run("check", "--cfg", config, "--log-level", "debug", environ=environ)
        broker.broker = replace(broker.broker, key=ODD.key, secret=ODD.secret)
        arguments = ["--cfg", config, "--log-level", "debug", "prometheus"]
        with serving(*arguments, environ=environ) as process:
            good = process.scrape()
            broker.broker = replace(broker.broker, secret="another")
            bad = process.scrape()
            page = get(process.url).text
            assert process.stop() == 0
    assert refused.exit_code == 3
    assert good.by("up", "broker") == {"emqx": 1}
    assert bad.by("up", "broker") == {"emqx": 0}
    said = [*process.stderr, *process.stdout, refused.stdout, refused.stderr]
    assert ODD.found_in("\n".join([*said, good.text, bad.text, page])) == set()


def test_no_help_tells_what_the_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", PLAIN.key)
    monkeypatch.setenv("TEST_SECRET", PLAIN.secret)
    helps = [invoke("--help"), *(invoke(name, "--help") for name in main.commands)]
    assert len(helps) > 5
    assert [ended.exit_code for ended in helps] == [0] * len(helps)
    assert PLAIN.found_in("".join(ended.stdout + ended.stderr for ended in helps)) == set()


KEY, SECRET = PLAIN.key, PLAIN.secret
EMQX = f"emqx: {{api_url: 'http://emqx/', alias: emqx, api_key: {KEY}, api_secret: {SECRET}}}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(EMQX.replace("api_secret:", "api_secrte:"), id="key misspelt"),
        pytest.param(EMQX.replace(SECRET, f"[{SECRET}]"), id="list"),
        pytest.param(EMQX.replace(SECRET, f"{{{SECRET}: 1}}"), id="mapping"),
        pytest.param(EMQX.replace(SECRET, f'"{SECRET}\\n"'), id="two lines"),
        pytest.param(EMQX.replace(SECRET, f"'{SECRET}"), id="quote not closed"),
        pytest.param(EMQX.replace(SECRET, f"{SECRET}: x: y"), id="colon too much"),
        pytest.param(EMQX.replace(SECRET, f"&{SECRET}"), id="anchor"),
        pytest.param(EMQX.replace(SECRET, f"*{SECRET}"), id="alias of YAML"),
        pytest.param(EMQX.replace(SECRET, f"!{SECRET} x"), id="tag"),
        pytest.param(EMQX.replace(SECRET, f"${{env:{SECRET}}}"), id="taken for a variable's name"),
        pytest.param(EMQX.replace(SECRET, f"${{env:{SECRET}"), id="brace not closed"),
        pytest.param(EMQX.replace(KEY, f"'{KEY}:{SECRET}'"), id="both in the key"),
        pytest.param(EMQX.replace("emqx/", f"{KEY}:{SECRET}@emqx/"), id="in the URL"),
        pytest.param(EMQX.replace("emqx/", f"emqx/?token={SECRET}"), id="in the query"),
        pytest.param(EMQX + EMQX, id="section twice"),
        pytest.param(EMQX.replace("}", f", api_secret: {SECRET}}}"), id="secret twice"),
        pytest.param(EMQX.replace("}", ", api_secret_file: x}"), id="secret and file"),
        pytest.param(f"emqx: {SECRET}\n", id="instead of the section"),
        pytest.param(f"{KEY}:{SECRET}\n", id="instead of the document"),
    ],
)
def test_a_config_that_is_refused_is_not_quoted(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    for command in (["validate"], ["validate", "--show"], ["check"], ["prometheus"]):
        ended = invoke(*command, "--cfg", str(path), "--log-level", "debug")
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert PLAIN.found_in(ended.stderr) == set()
