"""The example files, and the original's documentation: what people copy must load."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from otel_emqx_monitor.config import EventsConfig, MqttConfig, OtlpConfig, WebhookConfig, load
from otel_emqx_monitor.config.effective import scalar
from otel_emqx_monitor.config.reference import reference
from tests.config.loader import Loader

EXAMPLES = Path(__file__).parents[2] / "examples"

# The blocks of the documentation of emqx-client-monitor 0.2.0, letter by letter.
ORIGINAL_EMQX = """\
emqx:
  api_key: "01234567890abcde"
  api_secret: "exampleSecretKey1234567890ABCDEFGHIJKLMNOPQRS"
  api_url: "http://emqx:18083/api/"
  ssl: true  # or path to CA bundle
  alias: LocalEMQX
"""
ORIGINAL_CLIENTS = """\
monitored_clients:
  - alias: QingpingCO2_Room1
    client_id: "qingping-DEADBEEF1234"
  - alias: QingpingCO2_Room2
    client_id: "qingping-DEADBEEF5678"
"""
ORIGINAL_PROMETHEUS = """\
prometheus:
  # all values below are defaults
  port: 9671
  address: 0.0.0.0
  ttl_seconds: 15
  enable_processed_counters: true
  enable_qos_split: false
  enable_dropped_counters: false
  enable_reason_split: false
  enable_bytes_metrics: true
  enable_packet_metrics: true
  enable_dates: false
  enable_inflight_metrics: true
  enable_subscription_count: true
"""


def test_the_original_s_configuration_loads_unchanged(loader: Loader) -> None:
    config = loader.load(f"{ORIGINAL_EMQX}\n{ORIGINAL_CLIENTS}\n{ORIGINAL_PROMETHEUS}")
    assert config.emqx.api_key.get_secret_value() == "01234567890abcde"
    assert config.emqx.api_url == "http://emqx:18083/api/v5"
    assert [(client.alias, client.client_id) for client in config.monitored_clients] == [
        ("QingpingCO2_Room1", "qingping-DEADBEEF1234"),
        ("QingpingCO2_Room2", "qingping-DEADBEEF5678"),
    ]
    assert config == loader.load(f"{ORIGINAL_EMQX}\n{ORIGINAL_CLIENTS}")


def test_the_minimal_example_is_the_least_that_loads() -> None:
    text = (EXAMPLES / "minimal.yaml").read_text()
    config = load(EXAMPLES / "minimal.yaml", {})
    given = yaml.safe_load(text)
    assert list(given) == ["emqx", "monitored_clients"]
    assert sorted(given["emqx"]) == ["alias", "api_key", "api_secret", "api_url"]
    assert len(config.monitored_clients) == 1


def full_example() -> str:
    """Return the example with the sections switched on that are comments."""
    text = (EXAMPLES / "config.yaml").read_text()

    def without_marks(section: re.Match[str]) -> str:
        return re.sub("^# ?", "", section[0], flags=re.MULTILINE)

    return re.sub(r"^# (?:events|otlp):\n(?:#.*\n)+", without_marks, text, flags=re.MULTILINE)


def test_the_full_example_does_not_push_until_that_section_is_no_comment(loader: Loader) -> None:
    assert load(EXAMPLES / "config.yaml", {}).otlp is None
    assert loader.load(full_example()).otlp == OtlpConfig()


def test_the_full_example_takes_no_events_until_that_section_is_no_comment(loader: Loader) -> None:
    assert load(EXAMPLES / "config.yaml", {}).events == EventsConfig()
    events = loader.load(full_example()).events
    assert events.webhook == WebhookConfig(token=SecretStr("exampleToken0123456789"))
    assert events.mqtt == MqttConfig(host="emqx")


def keys_of_entries(text: str) -> dict[str, str]:
    """Return the keys in the lists, many of which are comments: whatever they hold is no default"""
    found: dict[str, str] = {}
    for section in ("monitored_clients", "exclude"):
        lines = re.split(rf"^{section}:.*\n", text, flags=re.MULTILINE)[1].split("\n\n# ")[0]
        keys = re.findall(r"^ *(?:# )?(?:- | *)([a-z_]+): ", lines, re.MULTILINE)
        found |= {f"{section}[].{key}": "null" for key in keys}
    return found


def test_the_full_example_has_every_key_with_its_default() -> None:
    text = full_example()
    given: Any = yaml.safe_load(text)
    found: dict[str, str] = {}
    for section, content in given.items():
        if isinstance(content, dict):
            found |= {f"{section}.{key}": scalar(value) for key, value in content.items()}
        else:
            found[section] = "[]" if isinstance(content, list) else scalar(content)
    found |= keys_of_entries(text)
    for section in ("events.webhook", "events.mqtt"):
        content = given["events"][section.partition(".")[2]]
        found |= {f"{section}.{key}": scalar(value) for key, value in content.items()}
    off = ("events.webhook", "events.mqtt", "otlp")
    found |= dict.fromkeys(off, "null")  # what they are in the file itself
    # One of the two ways to give a secret has to be a comment, and so has what has no default.
    comments = re.findall(r"^  # (\w+_file|node): ", text, re.MULTILINE)
    found |= {f"emqx.{key}": "null" for key in comments}
    found |= {"events.webhook.token_file": "null", "events.mqtt.password_file": "null"}
    assert re.findall(r"^    # (\w+_file): ", text, re.MULTILINE) == ["token_file", "password_file"]
    expected = {key.key: key.default for key in reference()}
    assert found.keys() == expected.keys()
    found["monitored_clients[].alias"] = '"{client_id}"'
    defaults = {key: value for key, value in expected.items() if value != "required"}
    assert {key: found[key] for key in defaults} == {
        key: "null" if value == "not set" else value for key, value in defaults.items()
    }


@pytest.mark.parametrize("name", ["minimal.yaml", "config.yaml"])
def test_the_examples_need_no_environment(name: str) -> None:
    assert load(EXAMPLES / name, {}) == load(EXAMPLES / name, {"NAME": "x", "CLIENTS": "[]"})
