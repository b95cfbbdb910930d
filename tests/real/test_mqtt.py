"""The subscriber with a real MQTT broker; events come under another prefix than ``$SYS``.

Mosquitto lets nobody publish under ``$SYS``.
"""

import json
import logging
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from otel_emqx_monitor.config import EventsConfig, MqttConfig, WebhookConfig
from otel_emqx_monitor.events import mqtt_session
from otel_emqx_monitor.events.event import Kind, Source
from otel_emqx_monitor.events.inbox import Inbox
from otel_emqx_monitor.events.mqtt import Subscriber
from otel_emqx_monitor.events.mqtt_session import MqttSettings
from otel_emqx_monitor.events.receivers import Receivers
from tests.odd_ids import ODD_IDS
from tests.processes import wait_until
from tests.real.mosquitto import (
    Mosquitto,
    mosquitto,
    publishing,
    with_password,
    without_subscriptions,
)

pytestmark = pytest.mark.real("mosquitto")

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recordings" / "events_sys_topics.json").read_text("utf-8")
)
TOPIC = "sys/brokers/emqx@n/clients/{}/connected"


def settings_for(broker: Mosquitto) -> MqttSettings:
    return MqttSettings("127.0.0.1", broker.port, "monitor", topic_prefix="sys")


class Running:
    """A subscriber with its inbox; ``seen`` grows by the client id and kind of each event."""

    def __init__(self, settings: MqttSettings) -> None:
        self.seen: list[tuple[str, Kind]] = []
        self.inbox = Inbox(
            lambda events: self.seen.extend((event.client_id, event.kind) for event in events)
        )
        self.subscriber = Subscriber(
            settings,
            lambda payload, topic: self.inbox.offer(Source.MQTT, payload, topic),
            pause=lambda _failures: 0.05,
        )


@contextmanager
def running(settings: MqttSettings) -> Iterator[Running]:
    parts = Running(settings)
    parts.inbox.start()
    parts.subscriber.start()
    try:
        yield parts
    finally:
        parts.subscriber.stop(5)
        parts.inbox.stop(5)
        assert not parts.subscriber.up


def payload(client_id: str) -> dict[str, object]:
    return {"clientid": client_id, "ts": 2, "connected_at": 1}


@pytest.fixture(autouse=True)
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(mqtt_session, "_STEP", 0.02)  # so that each test ends quickly
    caplog.set_level(logging.INFO, "otel_emqx_monitor")
    return caplog


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as one:
        yield one


def test_the_recorded_events_come_in_whole_and_in_order(
    broker: Mosquitto, log: pytest.LogCaptureFixture
) -> None:
    with running(settings_for(broker)) as parts, publishing(broker) as publisher:
        wait_until(lambda: parts.subscriber.up)
        for message in RECORDED:
            topic = message["topic"].replace("$SYS/", "sys/")
            publisher.publish(topic, message["json"])
        wait_until(lambda: len(parts.seen) == len(RECORDED))
    assert parts.seen == [
        (one["json"]["clientid"], Kind(one["topic"].rpartition("/")[2])) for one in RECORDED
    ]
    assert log.messages == [
        f"subscribed to sys/brokers/+/clients/# at the MQTT broker at 127.0.0.1 port {broker.port}"
    ]


def test_ids_of_any_kind_come_in(broker: Mosquitto) -> None:
    # MQTT forbids some characters in topics that client ids may have; EMQX is not so strict.
    ids = [
        one for one in [*ODD_IDS, "a/b", "x/clients/y", "/"] if one.isprintable() and "#" not in one
    ]
    with running(settings_for(broker)) as parts, publishing(broker) as publisher:
        wait_until(lambda: parts.subscriber.up)
        for client_id in ids:
            publisher.publish(TOPIC.format(client_id), payload(client_id))
        wait_until(lambda: len(parts.seen) == len(ids))
    assert [client_id for client_id, _ in parts.seen] == ids


def test_messages_that_are_no_events_are_counted_and_retained_ones_are_not_taken(
    broker: Mosquitto,
) -> None:
    with publishing(broker) as publisher:
        publisher.publish(TOPIC.format("old"), payload("old"), retain=True)
        with running(settings_for(broker)) as parts:
            wait_until(lambda: parts.subscriber.up)
            publisher.publish(TOPIC.format("a"), b"\xff")
            publisher.publish("sys/brokers/n/clients/a/subscribed", {})
            publisher.publish(TOPIC.format("a"), payload("a"))
            wait_until(lambda: parts.seen)
        publisher.publish(TOPIC.format("old"), b"", retain=True)
    assert parts.seen == [("a", Kind.CONNECTED)]
    counts = parts.inbox.view().counts
    assert (counts[Source.MQTT, "malformed"], counts[Source.MQTT, "ignored"]) == (1, 1)


def test_two_thousand_events_in_a_row_come_in_without_a_loss(broker: Mosquitto) -> None:
    lines = [json.dumps(payload(f"dev-{number}")) for number in range(2000)]
    command = ["mosquitto_pub", "-p", str(broker.port), "-t", TOPIC.format("x"), "-q", "1", "-l"]
    with running(settings_for(broker)) as parts:
        wait_until(lambda: parts.subscriber.up)
        subprocess.run(command, input="\n".join(lines).encode(), check=True, timeout=60)
        wait_until(lambda: len(parts.seen) == 2000)
    assert [client_id for client_id, _ in parts.seen] == [f"dev-{n}" for n in range(2000)]


def test_it_comes_back_after_a_restart_of_the_broker(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    with mosquitto(tmp_path) as broker, running(settings_for(broker)) as parts:
        wait_until(lambda: parts.subscriber.up)
        broker.stop()
        wait_until(lambda: not parts.subscriber.up)
        wait_until(lambda: parts.subscriber.failures > 2)
        broker.start()
        wait_until(lambda: parts.subscriber.up)
        with publishing(broker) as publisher:
            publisher.publish(TOPIC.format("a"), payload("a"))
            wait_until(lambda: parts.seen)
    where = f"the MQTT broker at 127.0.0.1 port {broker.port}"
    subscribed, lost, back = log.messages
    assert subscribed == f"subscribed to sys/brokers/+/clients/# at {where}"
    assert lost == (
        f"the connection to {where} is lost: The connection was lost.; trying again until it works"
    )
    assert back.startswith(f"{where} tells of clients again after ")
    assert back.endswith(
        f" sessions that failed, the last one: cannot connect to {where}: Connection refused; check"
        " that it runs and that events.mqtt names its host and port"
    )


def test_a_wrong_password_is_said_once_and_not_quoted(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    with mosquitto(tmp_path, *with_password(tmp_path, "sue", "right-7a")) as broker:
        settings = replace(settings_for(broker), username="sue", password="wrong-9b")
        with running(settings) as parts:
            wait_until(lambda: parts.subscriber.failures > 2)
            assert not parts.subscriber.up
        [message] = log.messages
        assert message == (
            f"the MQTT broker at 127.0.0.1 port {broker.port} refused the connection: Not"
            " authorized; check events.mqtt.username and events.mqtt.password; trying again until"
            " it works"
        )
        assert "wrong-9b" not in repr(settings)
        with running(replace(settings, password="right-7a")) as parts:
            wait_until(lambda: parts.subscriber.up)


def test_a_subscription_that_the_acl_refuses_is_said_once_with_what_to_do(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    with (
        mosquitto(tmp_path, *without_subscriptions(tmp_path)) as broker,
        running(replace(settings_for(broker), topic_prefix="$SYS")) as parts,
    ):
        wait_until(lambda: parts.subscriber.failures > 2)
        assert not parts.subscriber.up
    [message] = log.messages
    assert message == (
        f"the MQTT broker at 127.0.0.1 port {broker.port} refused the subscription of"
        " $SYS/brokers/+/clients/#: Not authorized; its ACL has to allow that to this client"
        " (EMQX's default acl.conf allows $SYS/# to the user dashboard and from 127.0.0.1 only);"
        " trying again until it works"
    )


def test_all_that_is_configured_runs_together(broker: Mosquitto) -> None:
    seen: list[str] = []
    config = EventsConfig(
        webhook=WebhookConfig(token=SecretStr("x")),
        mqtt=MqttConfig(host="127.0.0.1", port=broker.port, topic_prefix="sys"),
    )
    receivers = Receivers(config, lambda events: seen.extend(one.client_id for one in events))
    assert [route.path for route in receivers.routes] == ["/events"]
    assert receivers.view().subscribed is False
    receivers.start()
    wait_until(lambda: receivers.view().subscribed)
    with publishing(broker) as publisher:
        publisher.publish(TOPIC.format("a"), payload("a"))
    wait_until(lambda: seen == ["a"])
    receivers.stop(10)
    view = receivers.view()
    assert view.subscribed is False
    assert view.inbox.counts[Source.MQTT, "connected"] == 1
    assert set(view.inbox.last_delivery) == {Source.MQTT}


def tls_options(folder: Path, authority: trustme.CA, host: str = "localhost") -> list[str]:
    certificate = authority.issue_cert(host)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    names = {"certfile": "cert.pem", "keyfile": "key.pem", "cafile": "ca.pem"}
    return ["allow_anonymous true", *(f"{key} {folder / file}" for key, file in names.items())]


def context(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def test_events_come_in_over_tls_that_is_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    with mosquitto(tmp_path, *tls_options(tmp_path, authority)) as broker:
        tls = context(tmp_path)
        with running(replace(settings_for(broker), host="localhost", tls=tls)) as parts:
            wait_until(lambda: parts.subscriber.up)
            with publishing(broker, context(tmp_path)) as publisher:
                publisher.publish(TOPIC.format("a"), payload("a"))
            wait_until(lambda: parts.seen)
            assert parts.seen == [("a", Kind.CONNECTED)]


# paho leaves a socket to Python's own cleaning up when the handshake fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_of_another_host_or_authority_is_refused(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    with mosquitto(tmp_path, *tls_options(tmp_path, trustme.CA(), "elsewhere")) as broker:
        tls = context(tmp_path)
        settings = replace(settings_for(broker), host="localhost")
        with running(replace(settings, tls=tls)) as parts:
            wait_until(lambda: parts.subscriber.failures)
        with running(replace(settings, tls=ssl.create_default_context())) as parts:
            wait_until(lambda: parts.subscriber.failures)
        unverified = context(tmp_path)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        with running(replace(settings, tls=unverified)) as parts:
            wait_until(lambda: parts.subscriber.up)
        other_host, other_authority, _ = log.messages
    where = f"the MQTT broker at localhost port {broker.port}"
    assert other_host.startswith(f"TLS with {where} failed: Hostname mismatch")
    assert other_authority.startswith(f"TLS with {where} failed: self-signed certificate")


def test_a_client_certificate_is_shown(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    authority = trustme.CA()
    options = [*tls_options(tmp_path, authority), "require_certificate true"]
    authority.issue_cert("monitor").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me")
    with mosquitto(tmp_path, *options) as broker:
        settings = replace(settings_for(broker), host="localhost")
        with running(replace(settings, tls=context(tmp_path))) as parts:
            wait_until(lambda: parts.subscriber.failures)
        tls = context(tmp_path)
        tls.load_cert_chain(tmp_path / "me")
        with running(replace(settings, tls=tls)) as parts:
            wait_until(lambda: parts.subscriber.up)
    assert log.messages[0].endswith("trying again until it works")
