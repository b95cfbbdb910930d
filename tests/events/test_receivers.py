import ssl
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from otel_emqx_monitor.config import EventsConfig, MqttConfig, WebhookConfig
from otel_emqx_monitor.events.event import Source
from otel_emqx_monitor.events.mqtt_session import MqttSettings
from otel_emqx_monitor.events.receivers import Receivers, mqtt_settings, webhook_settings
from otel_emqx_monitor.events.webhook import Refusal, WebhookSettings


def test_nothing_configured_is_nothing_open() -> None:
    receivers = Receivers(EventsConfig(), print)
    receivers.start()
    view = receivers.view()
    assert receivers.routes == []
    assert (view.subscribed, view.refusals, view.inbox.counts) == (None, {}, {})
    receivers.stop(5)


def test_only_what_is_configured_is_counted() -> None:
    config = EventsConfig(webhook=WebhookConfig(token=SecretStr("x")))
    view = Receivers(config, print).view()
    assert {source for source, _ in view.inbox.counts} == {Source.WEBHOOK}
    assert view.refusals == dict.fromkeys(Refusal, 0)
    assert view.subscribed is None


def test_the_webhook_s_settings_are_those_of_the_configuration() -> None:
    config = WebhookConfig(token=SecretStr("x"), max_body_bytes=2000, max_per_second=5)
    assert webhook_settings(config) == WebhookSettings("x", 2000, 5)
    assert webhook_settings(WebhookConfig(token=SecretStr("x"))) == WebhookSettings("x")


def test_mqtt_s_settings_are_those_of_the_configuration() -> None:
    config = MqttConfig(
        host="emqx",
        port=1884,
        username="u",
        password=SecretStr("p"),
        topic_prefix="sys",
        client_id="me",
        keepalive_seconds=7,
    )
    assert mqtt_settings(config) == MqttSettings("emqx", 1884, "me", None, "u", "p", "sys", 7)


def test_each_agent_has_a_client_id_of_its_own() -> None:
    config = MqttConfig(host="emqx")
    one, other = mqtt_settings(config), mqtt_settings(config)
    assert one.client_id.startswith("otel-emqx-monitor-")
    assert one.client_id != other.client_id


@pytest.mark.parametrize("verify", [True, False])
def test_certificates_are_verified_unless_that_is_turned_off(tmp_path: Path, verify: bool) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("me")
    client.cert_chain_pems[0].write_to_path(tmp_path / "me.pem")
    client.private_key_pem.write_to_path(tmp_path / "me.key")
    config = MqttConfig(
        host="emqx",
        tls=True,
        verify=verify,
        ca_file=str(tmp_path / "ca.pem"),
        client_certificate_file=str(tmp_path / "me.pem"),
        client_key_file=str(tmp_path / "me.key"),
    )
    tls = mqtt_settings(config).tls
    assert tls is not None
    assert tls.check_hostname is verify
    assert tls.verify_mode is (ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    assert len(tls.get_ca_certs()) == 1
