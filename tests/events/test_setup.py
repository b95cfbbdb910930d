"""``setup-events`` against the simulated broker."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from otel_emqx_monitor.cli import main
from otel_emqx_monitor.events import rules
from otel_emqx_monitor.events.event import Kind
from otel_emqx_monitor.simulator import (
    Answer,
    Broker,
    Integration,
    Script,
    Simulator,
    StaticFleet,
    Webhook,
)
from otel_emqx_monitor.simulator.integration import Post
from tests.peers import unused_port
from tests.simulator.asking import ask, body
from tests.simulator.scripts import busy_minute, receiver

TOKEN = "t0ken-4f1b"
URL = "http://agent:9671"
CONNECTOR = "/api/v5/connectors/http:otel_emqx_monitor"
ACTION = "/api/v5/actions/http:otel_emqx_monitor"
RULE = "/api/v5/rules/otel_emqx_monitor"
MESSAGES_RULE = "/api/v5/rules/otel_emqx_monitor_messages"
PUBLISHED = {"event": "message.publish", "clientid": "c", "topic": "up/a", "payload": "12345"}

Run = Callable[..., Result]


@pytest.fixture
def broker() -> Broker:
    return Broker(source=StaticFleet())


@pytest.fixture
def simulator(broker: Broker) -> Iterator[Simulator]:
    with Simulator(broker) as running:
        yield running


def runner(api_url: str, folder: Path, **sections: object) -> Run:
    config = folder / "config.yaml"
    emqx: dict[str, Any] = {
        "api_key": "simulated-key",
        "api_secret": "simulated-secret",
        "alias": "lab",
    }
    emqx |= {"api_url": api_url, "attempts": 1}
    config.write_text(yaml.safe_dump({"emqx": emqx, **sections}))

    def run(*arguments: str) -> Result:
        command = ("setup-events", "--cfg", str(config), "--log-level", "error", *arguments)
        result = CliRunner().invoke(main, command, catch_exceptions=False)
        for secret in (TOKEN, "simulated-secret"):
            assert secret not in result.output
        return result

    return run


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_TOKEN", TOKEN)


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """Undo what a command does to the log, for the tests after it."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.fixture
def run(simulator: Simulator, tmp_path: Path) -> Run:
    return runner(simulator.url, tmp_path)


@pytest.fixture
def lonely(tmp_path: Path) -> Run:
    """Run the command where no broker is."""
    return runner(f"http://127.0.0.1:{unused_port()}/api/", tmp_path)


def changes(simulator: Simulator) -> list[str]:
    """Return all requests that change something, since the last call."""
    lines = [line.removesuffix(" HTTP/1.1") for line in simulator.request_lines]
    simulator.request_lines.clear()
    return [line.replace("/api/v5", "") for line in lines if not line.startswith("GET ")]


def posts(broker: Broker, source: str, **columns: object) -> list[Post]:
    return list(broker.integration.posts(source, columns))


def test_it_makes_connector_action_and_rule_for_presence(
    run: Run, simulator: Simulator, broker: Broker
) -> None:
    result = run("--url", f"{URL}/")
    assert result.output == (
        "connector otel_emqx_monitor: created\n"
        "action otel_emqx_monitor: created\n"
        "rule otel_emqx_monitor: created\n"
        "EMQX reaches http://agent:9671.\n"
    )
    assert result.exit_code == 0
    assert changes(simulator) == ["POST /connectors", "POST /actions", "POST /rules"]
    event = {"event": "client.connected", "clientid": "c", "connected_at": 5, "timestamp": 6}
    [post] = posts(broker, "$events/client_connected", **event)
    assert post.url == "http://agent:9671/events"
    assert post.headers == {
        "content-type": "application/json",
        "authorization": f"Bearer {TOKEN}",
    }
    assert json.loads(post.body) == {
        **event,
        "username": "undefined",
        "reason": "undefined",
        "node": "undefined",
    }
    assert posts(broker, "up/a", **PUBLISHED) == []


def test_run_again_it_sends_nothing_but_the_token(run: Run, simulator: Simulator) -> None:
    run("--url", URL, "--topic", "up/#")
    changes(simulator)
    assert run("--url", URL, "--topic", "up/#").output == (
        "connector otel_emqx_monitor: unchanged\n"
        "action otel_emqx_monitor: updated (EMQX masks its token, so it is sent each time)\n"
        "rule otel_emqx_monitor: unchanged\n"
        "rule otel_emqx_monitor_messages: unchanged\n"
        "EMQX reaches http://agent:9671.\n"
    )
    assert changes(simulator) == ["PUT /actions/http:otel_emqx_monitor"]


def test_changed_token_reaches_emqx(
    run: Run, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--url", URL)
    monkeypatch.setenv("EVENTS_TOKEN", "another-token")
    run("--url", URL)
    [post] = posts(broker, "$events/client_connected", event="client.connected")
    assert post.headers["authorization"] == "Bearer another-token"


def test_topics_make_a_rule_for_messages_and_changed_topics_change_it(
    run: Run, simulator: Simulator, broker: Broker
) -> None:
    run("--url", URL, "--topic", "up/#")
    [post] = posts(broker, "up/a", **PUBLISHED)
    assert json.loads(post.body)["payload_bytes"] == 5
    assert "payload" not in json.loads(post.body)
    assert posts(broker, "$events/message_acked", **{**PUBLISHED, "topic": "down/a"}) == []
    changes(simulator)

    result = run("--url", URL, "--topic", "up/#", "--topic", "down/#")
    assert "rule otel_emqx_monitor_messages: updated (sql)\n" in result.output
    assert "PUT /rules/otel_emqx_monitor_messages" in changes(simulator)
    assert len(posts(broker, "$events/message_acked", **{**PUBLISHED, "topic": "down/a"})) == 1


def test_without_topics_the_rule_for_messages_goes(
    run: Run, simulator: Simulator, broker: Broker
) -> None:
    run("--url", URL, "--topic", "up/#")
    assert "rule otel_emqx_monitor_messages: removed\n" in run("--url", URL).output
    assert ask(broker, MESSAGES_RULE).status == 404
    assert ask(broker, RULE).status == 200


def test_what_people_tuned_stays_and_what_they_broke_is_repaired(run: Run, broker: Broker) -> None:
    run("--url", URL)
    put(broker, CONNECTOR, {"url": "http://wrong:1", "pool_size": 2, "enable": False})
    parameters = {"path": "/other", "max_retries": 7, "headers": {"x-site": "a"}}
    put(broker, ACTION, {"connector": "otel_emqx_monitor", "parameters": parameters})

    result = run("--url", URL)
    assert "connector otel_emqx_monitor: updated (enable, url)\n" in result.output
    assert (
        "action otel_emqx_monitor: updated"
        " (parameters.path, parameters.headers.content-type, parameters.headers.authorization)\n"
    ) in result.output
    connector, action = body(broker, CONNECTOR), body(broker, ACTION)
    assert (connector["url"], connector["pool_size"], connector["enable"]) == (URL, 2, True)
    assert action["parameters"]["max_retries"] == 7
    assert action["parameters"]["headers"]["x-site"] == "a"


def put(broker: Broker, target: str, value: object) -> None:
    assert ask(broker, target, method="PUT", body=json.dumps(value).encode()).status == 200


def test_https_turns_tls_on(run: Run, broker: Broker) -> None:
    run("--url", "https://agent.example")
    connector = body(broker, CONNECTOR)
    assert (connector["url"], connector["ssl"]["enable"]) == ("https://agent.example", True)


def test_dry_run_prints_the_requests_and_sends_none(run: Run, simulator: Simulator) -> None:
    result = run("--url", URL, "--topic", "up/#", "--dry-run")
    lines = [line.split(" ", 2) for line in result.output.splitlines()]
    assert [line[:2] for line in lines] == [
        ["POST", "/connectors"],
        ["POST", "/actions"],
        ["POST", "/rules"],
        ["POST", "/rules"],
    ]
    action = json.loads(lines[1][2])
    assert action["parameters"]["headers"] == {
        "content-type": "application/json",
        "authorization": "********",
    }
    assert changes(simulator) == []


def test_dry_run_on_what_is_there_prints_updates_and_removals(
    run: Run, simulator: Simulator
) -> None:
    run("--url", URL, "--topic", "up/#")
    changes(simulator)
    lines = run("--url", "http://elsewhere:1", "--dry-run").output.splitlines()
    assert [line.split(" {")[0] for line in lines] == [
        "PUT /connectors/http:otel_emqx_monitor",
        "PUT /actions/http:otel_emqx_monitor",
        "rule otel_emqx_monitor: unchanged",
        "DELETE /rules/otel_emqx_monitor_messages",
    ]
    lines = run("--remove", "--dry-run").output.splitlines()
    assert lines == [
        "DELETE /rules/otel_emqx_monitor_messages",
        "DELETE /rules/otel_emqx_monitor",
        "DELETE /actions/http:otel_emqx_monitor",
        "DELETE /connectors/http:otel_emqx_monitor",
    ]
    assert changes(simulator) == []


def test_remove_takes_everything_down_in_order_and_may_be_repeated(
    run: Run, simulator: Simulator
) -> None:
    run("--url", URL)
    changes(simulator)
    assert run("--remove").output == (
        "rule otel_emqx_monitor_messages: was not there\n"
        "rule otel_emqx_monitor: removed\n"
        "action otel_emqx_monitor: removed\n"
        "connector otel_emqx_monitor: removed\n"
    )
    assert changes(simulator) == [
        "DELETE /rules/otel_emqx_monitor_messages",
        "DELETE /rules/otel_emqx_monitor",
        "DELETE /actions/http:otel_emqx_monitor",
        "DELETE /connectors/http:otel_emqx_monitor",
    ]
    again = run("--remove")
    assert again.output.count("was not there") == 4
    assert again.exit_code == 0


def test_object_that_another_makes_meanwhile_is_updated(
    run: Run, simulator: Simulator, broker: Broker
) -> None:
    other = {"type": "http", "name": "otel_emqx_monitor", "url": "http://other:1"}

    def make_it_first(target: str) -> Answer | None:
        if target == "/api/v5/connectors":
            simulator.before_answer = None
            ask(broker, target, method="POST", body=json.dumps(other).encode())
        return None

    simulator.before_answer = make_it_first
    result = run("--url", URL)
    assert result.output.startswith("connector otel_emqx_monitor: updated (url)\n")
    assert body(broker, CONNECTOR)["url"] == URL


def test_two_that_undo_each_other_s_work_are_told_so(run: Run, simulator: Simulator) -> None:
    exists = {"code": "ALREADY_EXISTS", "message": "connector already exists"}

    def always(target: str) -> Answer | None:
        return (
            Answer(400, (), json.dumps(exists).encode()) if target.endswith("/connectors") else None
        )

    simulator.before_answer = always
    result = run("--url", URL)
    assert result.exit_code == 3
    assert "says now that the connector otel_emqx_monitor exists and now that it" in result.output


@pytest.mark.parametrize("role", ["viewer", "publisher"])
def test_key_without_rights_is_told_which_it_needs(tmp_path: Path, role: str) -> None:
    with Simulator(Broker(source=StaticFleet(), role=role)) as simulator:
        result = run_against(simulator, tmp_path, "--url", URL)
    assert result.exit_code == 3
    assert "needs the role administrator" in result.output
    assert "Traceback" not in result.output


def test_wrong_key_is_told_so(tmp_path: Path) -> None:
    with Simulator(Broker(source=StaticFleet(), secret="another")) as simulator:
        result = run_against(simulator, tmp_path, "--url", URL)
    assert result.exit_code == 3
    assert "refused the API key" in result.output


def test_old_emqx_is_told_from_the_version(tmp_path: Path) -> None:
    with Simulator(Broker(source=StaticFleet(), version="5.3.2")) as simulator:
        result = run_against(simulator, tmp_path, "--url", URL)
        assert changes(simulator) == []
    assert result.exit_code == 3
    assert "version 5.3.2, whose API has no HTTP connectors and actions" in result.output


def test_agent_that_emqx_cannot_reach_is_told(tmp_path: Path) -> None:
    integration = Integration(reaches=lambda _: False)
    with Simulator(Broker(source=StaticFleet(), integration=integration)) as simulator:
        result = run_against(simulator, tmp_path, "--url", URL)
    assert result.exit_code == 0
    assert "EMQX does not reach http://agent:9671 yet (status disconnected)" in result.output


def run_against(simulator: Simulator, folder: Path, *arguments: str) -> Result:
    token = folder / "token"
    token.write_text(f"{TOKEN}\r\n")
    return runner(simulator.url, folder)("--token-file", str(token), *arguments)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "give --url"),
        (("--url", "agent:9671"), "the URL of the agent must begin with http:// or https://"),
        (("--url", "http://u:p@agent"), "must not hold a user or password"),
        (("--url", "http://agent/${x}"), "must not contain $"),
        (("--url", "http://agent?x=1"), "must not have a query"),
        (("--url", URL, "--topic", "a'b"), "\"a'b\" cannot be used: EMQX's SQL has no way"),
        (("--url", URL, "--topic", "a#"), "'a#' cannot be used: a wildcard"),
        (
            ("--url", URL, "--token-file", "/nowhere"),
            "--token-file cannot be used: there is no such",
        ),
        (("--remove", "--url", URL), "--remove takes none of"),
    ],
)
def test_wrong_usage_asks_nobody(lonely: Run, arguments: tuple[str, ...], words: str) -> None:
    result = lonely(*arguments)
    assert result.exit_code == 2  # it would be 3 if the broker, which is not there, were asked
    assert words in result.output


@pytest.mark.parametrize("token", ["", "two words", "tökén", "a\nb", "${clientid}"])
def test_token_that_no_header_can_hold_is_refused(
    lonely: Run, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("EVENTS_TOKEN", token)
    result = lonely("--url", URL)
    assert result.exit_code == 2
    assert "Error: the token must" in result.output


def test_missing_token_is_told(lonely: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENTS_TOKEN")
    result = lonely("--url", URL)
    assert result.exit_code == 2
    assert "no section events.webhook with the token; give it one, or" in result.output


def test_token_is_that_of_the_configuration_unless_a_file_is_given(
    simulator: Simulator, broker: Broker, tmp_path: Path
) -> None:
    run = runner(simulator.url, tmp_path, events={"webhook": {"token": "of-the-config"}})
    run("--url", URL)
    [post] = posts(broker, "$events/client_connected", event="client.connected")
    assert post.headers["authorization"] == "Bearer of-the-config"

    (tmp_path / "token").write_text("of-the-file\n")
    run("--url", URL, "--token-file", str(tmp_path / "token"))
    [post] = posts(broker, "$events/client_connected", event="client.connected")
    assert post.headers["authorization"] == "Bearer of-the-file"


def test_token_never_stands_in_what_emqx_is_quoted_with(run: Run, simulator: Simulator) -> None:
    def quote_it(target: str) -> Answer | None:
        if target != "/api/v5/actions":
            return None
        error: dict[str, Any] = {"code": "BAD_REQUEST", "message": f"bad value Bearer {TOKEN}"}
        return Answer(400, (("content-type", "application/json"),), json.dumps(error).encode())

    simulator.before_answer = quote_it
    result = run("--url", URL)
    assert result.exit_code == 3
    assert "BAD_REQUEST: bad value Bearer ********" in result.output
    assert "connector otel_emqx_monitor: created" in result.output


def test_what_it_set_up_is_what_reaches_the_agent(tmp_path: Path) -> None:
    script = Script()
    end = busy_minute(script, clients=30)
    broker = Broker(source=script)
    with receiver() as agent, Webhook(script, broker.integration) as webhook:
        with Simulator(broker) as simulator:
            result = run_against(simulator, tmp_path, "--url", agent.url, "--topic", "up/#")
        assert result.exit_code == 0
        webhook.run_to(end)
    decoded = rules.decode(json.dumps(agent.events).encode())
    total = script.total()
    assert (decoded.ignored, decoded.malformed) == (0, 0)
    assert Counter(event.kind for event in decoded.events) == {
        Kind.CONNECTED: total.connections,
        Kind.DISCONNECTED: total.disconnections.total(),
        Kind.PUBLISH: total.received.total(),
        Kind.DELIVERED: total.sent.total(),
        Kind.ACKED: total.acked,
        Kind.MESSAGE_DROPPED: total.messages_dropped.total(),
        Kind.DELIVERY_DROPPED: total.deliveries_dropped.total(),
    }
    told = [event for event in decoded.events if event.kind is Kind.DISCONNECTED]
    assert Counter(event.reason for event in told) == total.disconnections
    assert all(event.connected_ms is not None for event in told)
    assert {event.payload_bytes for event in decoded.events} == {None, 1}
    assert agent.posts[0][1]["authorization"] == f"Bearer {TOKEN}"
