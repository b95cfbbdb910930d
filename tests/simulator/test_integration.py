"""The rule engine's API: what a live broker answered, and what its sources say beyond that."""

import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_emqx_monitor.simulator import Broker, Integration, StaticFleet
from otel_emqx_monitor.simulator.integration import Post, listens
from tests.peers import unused_port
from tests.simulator.asking import ask, body

RECORDED = json.loads(
    (Path(__file__).parent.parent / "recordings" / "events_rule_engine_api.json").read_text()
)
#: Requests that are not about the rule engine's objects, or about its metrics, which are left out.
LEFT_OUT = ("/metrics", "/api/v5/clients/", "/api/v5/configs/")
TIMES = ("created_at", "last_modified_at")

CONNECTORS, ACTIONS, RULES = "/api/v5/connectors", "/api/v5/actions", "/api/v5/rules"
CONNECTOR = {"type": "http", "name": "c", "url": "http://agent:9671"}
ACTION = {
    "type": "http",
    "name": "a",
    "connector": "c",
    "parameters": {"path": "/events", "headers": {"authorization": "Bearer s3cret"}},
}
RULE = {"id": "r", "name": "r", "actions": ["http:a"], "sql": 'SELECT event, qos FROM "up/#"'}


def send(broker: Broker, method: str, target: str, value: object = None) -> tuple[int, Any]:
    sent = b"" if value is None else msgspec.json.encode(value)
    answer = ask(broker, target, method=method, body=sent)
    return answer.status, msgspec.json.decode(answer.body) if answer.body else None


@pytest.fixture
def broker() -> Broker:
    return Broker(source=StaticFleet())


@pytest.fixture
def filled(broker: Broker) -> Broker:
    for target, value in ((CONNECTORS, CONNECTOR), (ACTIONS, ACTION), (RULES, RULE)):
        assert send(broker, "POST", target, value)[0] == 201
    return broker


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name not in TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def test_recorded_exchanges_are_answered_alike(broker: Broker) -> None:
    replayed = 0
    for recorded in RECORDED:
        method, target = recorded["request"].split(" ")
        if any(part in target for part in LEFT_OUT):
            continue
        status, answered = send(broker, method, target, recorded["request_json"])
        assert status == int(recorded["status_line"].split(" ")[1]), recorded["request"]
        assert without_times(answered) == without_times(recorded.get("json")), recorded["request"]
        replayed += 1
    assert replayed == 14


def test_times_are_milliseconds_for_actions_and_text_for_rules(filled: Broker) -> None:
    created = body(filled, f"{ACTIONS}/http:a")["created_at"]
    assert isinstance(created, int)
    assert created > 1_700_000_000_000
    assert body(filled, f"{RULES}/r")["created_at"].endswith("+00:00")


@pytest.mark.parametrize(
    "target, message",
    [
        (
            f"{CONNECTORS}/http:none",
            "Connector lookup failed: connector named 'none' of type http does not exist.",
        ),
        (
            f"{ACTIONS}/http:none",
            "Bridge lookup failed: bridge named 'none' of type http does not exist.",
        ),
        (f"{RULES}/none", "Rule Id Not Found"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_missing_object_is_404(broker: Broker, method: str, target: str, message: str) -> None:
    expected = {"code": "NOT_FOUND", "message": message}
    assert send(broker, method, target, {}) == (404, expected)


def test_put_replaces_what_is_given_and_resets_the_rest(filled: Broker) -> None:
    changed = {"url": "http://other:1", "pool_size": 3}
    assert send(filled, "PUT", f"{CONNECTORS}/http:c", changed)[1]["pool_size"] == 3
    status, now = send(filled, "PUT", f"{CONNECTORS}/http:c", {"url": "http://third:1"})
    assert (status, now["url"], now["pool_size"]) == (200, "http://third:1", 8)


def test_mask_that_is_sent_back_leaves_the_secret_as_it_is(filled: Broker) -> None:
    shown = body(filled, f"{ACTIONS}/http:a")["parameters"]
    assert shown["headers"]["authorization"] == "******"
    put = {"connector": "c", "parameters": {**shown, "path": "/elsewhere"}}
    assert send(filled, "PUT", f"{ACTIONS}/http:a", put)[0] == 200
    [post] = filled.integration.posts("up/a", {"event": "message.publish", "qos": 1})
    assert post == Post(
        "http://agent:9671/elsewhere",
        {"authorization": "Bearer s3cret"},
        b'{"event":"message.publish","qos":1}',
    )


def test_what_only_emqx_may_say_is_refused_in_a_put(filled: Broker) -> None:
    shown = body(filled, f"{CONNECTORS}/http:c")
    status, refused = send(filled, "PUT", f"{CONNECTORS}/http:c", shown)
    assert (status, refused["code"]) == (400, "BAD_REQUEST")
    assert "unknown_fields" in refused["message"]


def test_what_is_in_use_cannot_be_deleted(filled: Broker) -> None:
    status, refused = send(filled, "DELETE", f"{CONNECTORS}/http:c")
    assert (status, refused["code"]) == (400, "BAD_REQUEST")
    status, refused = send(filled, "DELETE", f"{ACTIONS}/http:a")
    assert (status, refused["rules"]) == (400, ["r"])


@pytest.mark.parametrize(
    "target, value",
    [
        (CONNECTORS, {"type": "http", "name": "c"}),
        (CONNECTORS, {"type": "kafka", "name": "c", "url": "http://a:1"}),
        (CONNECTORS, {"type": "http", "url": "http://a:1"}),
        (CONNECTORS, [1]),
        (ACTIONS, {"type": "http", "name": "a", "connector": "none"}),
        (RULES, {"id": "r", "name": "r", "sql": "SELECT FROM"}),
    ],
)
def test_what_cannot_be_made_is_refused(broker: Broker, target: str, value: object) -> None:
    assert send(broker, "POST", target, value)[0] == 400


def test_disabled_objects_and_other_topics_post_nothing(filled: Broker) -> None:
    event = {"event": "message.publish", "qos": 0}
    assert len(list(filled.integration.posts("up/a", event))) == 1
    assert list(filled.integration.posts("down/a", event)) == []
    disabled = {**RULE, "enable": False}
    del disabled["id"]
    send(filled, "PUT", f"{RULES}/r", disabled)
    assert list(filled.integration.posts("up/a", event)) == []


def test_connector_that_reaches_nobody_is_disconnected() -> None:
    broker = Broker(source=StaticFleet(), integration=Integration(reaches=lambda _: False))
    assert send(broker, "POST", CONNECTORS, CONNECTOR)[1]["status"] == "disconnected"
    assert send(broker, "POST", ACTIONS, ACTION)[1]["status"] == "disconnected"


def test_somebody_listens_or_nobody_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert listens(f"http://127.0.0.1:{listening.getsockname()[1]}/prefix")
    assert not listens(f"http://127.0.0.1:{unused_port()}")


@pytest.mark.parametrize(
    "role, method, allowed",
    [
        ("administrator", "POST", True),
        ("viewer", "GET", True),
        ("viewer", "POST", False),
        ("publisher", "GET", False),
    ],
)
def test_role_of_the_key_decides(role: str, method: str, *, allowed: bool) -> None:
    broker = Broker(source=StaticFleet(), role=role)
    status, answered = send(broker, method, CONNECTORS, CONNECTOR)
    assert (status < 300) == allowed
    if not allowed:
        assert (status, answered["code"]) == (403, "UNAUTHORIZED_ROLE")


def test_old_broker_has_none_of_these_paths() -> None:
    broker = Broker(source=StaticFleet(), version="5.3.2")
    assert ask(broker, CONNECTORS).status == 404
    assert ask(broker, f"{RULES}/r").status == 404


def test_other_methods_are_not_allowed(filled: Broker) -> None:
    assert ask(filled, CONNECTORS, method="DELETE").status == 405
    assert ask(filled, f"{CONNECTORS}/http:c", method="POST").status == 405
