"""The section ``events``, through the whole of loading."""

from pathlib import Path

import pytest

from otel_emqx_monitor.config import EventsConfig, MqttConfig, WebhookConfig, effective_yaml
from tests.config.loader import MINIMAL, Loader


def webhook(*lines: str) -> str:
    """Return a minimal configuration with these lines in its section ``events.webhook``."""
    return MINIMAL + "events:\n  webhook:\n" + "".join(f"    {line}\n" for line in lines)


def mqtt(*lines: str) -> str:
    """Return a minimal configuration with these lines in its section ``events.mqtt``."""
    return MINIMAL + "events:\n  mqtt:\n" + "".join(f"    {line}\n" for line in lines)


def loaded_webhook(loader: Loader, *lines: str) -> WebhookConfig:
    config = loader.load(webhook(*lines)).events.webhook
    assert config is not None
    return config


def loaded_mqtt(loader: Loader, *lines: str) -> MqttConfig:
    config = loader.load(mqtt(*lines)).events.mqtt
    assert config is not None
    return config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "events:\n",
        "events: {}\n",
        "events: ~\n",
        "events: ${env:EVENTS:-}\n",
        "events: {webhook: , mqtt: }\n",
        "events:\n  webhook:\n    # token: x\n  mqtt:\n",
    ],
)
def test_nothing_given_is_off(loader: Loader, text: str) -> None:
    assert loader.load(MINIMAL + text).events == EventsConfig()


def test_a_token_is_all_that_the_webhook_needs(loader: Loader) -> None:
    config = loaded_webhook(loader, "token: größe-🔑")
    assert config.token.get_secret_value() == "größe-🔑"
    assert (config.max_body_bytes, config.max_per_second) == (1_048_576, 10_000)


def test_a_host_is_all_that_mqtt_needs(loader: Loader) -> None:
    config = loaded_mqtt(loader, "host: emqx")
    assert (config.host, config.effective_port, config.topic_prefix) == ("emqx", 1883, "$SYS")
    assert (config.username, config.password, config.client_id) == (None, None, None)


@pytest.mark.parametrize(
    "lines, port",
    [(["tls: true"], 8883), (["tls: true", "port: 1883"], 1883), (['port: ""'], 1883)],
)
def test_the_port_follows_tls_unless_it_is_given(
    loader: Loader, lines: list[str], port: int
) -> None:
    assert loaded_mqtt(loader, "host: emqx", *lines).effective_port == port


def test_secrets_come_from_files_too(loader: Loader) -> None:
    (loader.folder / "token").write_text("hunter2\n")
    (loader.folder / "password").write_text("hunter3\r\n")
    text = webhook("token_file: token") + mqtt(
        "host: h", "username: u", "password_file: password"
    ).removeprefix(MINIMAL + "events:\n")
    config = loader.load(text)
    assert config.events.webhook is not None
    assert config.events.webhook.token.get_secret_value() == "hunter2"
    assert config.events.mqtt is not None
    assert config.events.mqtt.password is not None
    assert config.events.mqtt.password.get_secret_value() == "hunter3"
    shown = effective_yaml(config)
    assert f'    token_file: "{loader.folder}/token"\n' in shown
    assert f'    password_file: "{loader.folder}/password"\n' in shown
    assert "hunter" not in shown
    again = loader.load(shown).events
    assert again == config.events


def test_the_whole_section_can_come_from_the_environment(loader: Loader) -> None:
    text = MINIMAL + "events: ${env:EVENTS}\n"
    config = loader.load(text, {"EVENTS": "{mqtt: {host: emqx}}"}).events
    assert config.mqtt == MqttConfig(host="emqx")
    assert loader.problems(text, {"EVENTS": "{mqtt: {host: emqx, port: 0}}"}) == [
        "events.mqtt.port: must be at least 1 (the value comes from ${env:EVENTS})"
    ]


@pytest.mark.usefixtures("pem_files")
def test_the_files_of_tls_are_found_from_the_folder_of_the_configuration(loader: Loader) -> None:
    config = loaded_mqtt(
        loader,
        "host: emqx",
        "tls: true",
        "ca_file: ca.pem",
        "client_certificate_file: client.pem",
        "client_key_file: client.key",
    )
    assert [config.ca_file, config.client_certificate_file, config.client_key_file] == [
        str(Path(loader.folder) / name) for name in ("ca.pem", "client.pem", "client.key")
    ]


@pytest.mark.parametrize(
    "lines, problem",
    [
        ([], "is required: give token, or token_file with a file's path"),
        (['token: ""'], "is required: give token, or token_file with a file's path"),
        (["token: a", "token_file: b"], "is given twice: keep either token or token_file"),
        (['token: " hunter2"'], "must not begin or end with a space, which HTTP would take away"),
        (['token: "a\\nb"'], "must be one line without control characters"),
        (["token: [hunter2]"], "must be text, is a list"),
        (["token: 12345"], "must be text, is a number; put quotes around it"),
    ],
)
def test_a_wrong_token_is_refused_and_not_shown(
    loader: Loader, lines: list[str], problem: str
) -> None:
    lines = lines or ["max_body_bytes: 5000"]
    assert loader.problems(webhook(*lines)) == [f"events.webhook.token: {problem}"]


@pytest.mark.parametrize(
    "line, problem",
    [
        ("max_body_bytes: 0", "max_body_bytes: must be at least 1024, is 0"),
        ("max_body_bytes: 1e9", "max_body_bytes: must be a whole number, is '1e9'"),
        ("max_per_second: 0", "max_per_second: must be greater than 0, is 0"),
        ("max_per_second: .inf", "max_per_second: must be a finite number, is inf"),
        ("tokne: x", "tokne: is not a known key; did you mean events.webhook.token?"),
        ("host: x", "host: is not a known key; known here: token, token_file, max_body_bytes,"),
    ],
)
def test_wrong_values_for_the_webhook_are_refused(loader: Loader, line: str, problem: str) -> None:
    [found] = loader.problems(webhook("token: x", line))
    assert found.startswith(f"events.webhook.{problem}")


@pytest.mark.parametrize(
    "line, problem",
    [
        ("port: 65536", "port: must be at most 65535, is 65536"),
        ("port: true", "port: must be a whole number, is true"),
        ("tls: maybe", "tls: must be true or false, is 'maybe'"),
        ("ca_file: none.pem", "ca_file: there is no such file: {folder}/none.pem"),
        ("password: hunter2", "password: has no use without username; give both or none"),
        ("topic_prefix: a/+", "topic_prefix: must be a topic, without the wildcards + and #"),
        ("topic_prefix: a/", "topic_prefix: must not end with '/'"),
        ('topic_prefix: ""', "topic_prefix: must not be empty"),
        ('client_id: "a\\0"', "client_id: must not contain U+0000, which MQTT forbids"),
        ("keepalive_seconds: 0", "keepalive_seconds: must be at least 5, is 0"),
        ("password_file: none", "password_file: there is no such file: {folder}/none"),
    ],
)
def test_wrong_values_for_mqtt_are_refused(loader: Loader, line: str, problem: str) -> None:
    extra = ["username: u"] if line.startswith("password_file") else []
    [found] = loader.problems(mqtt("host: x", line, *extra))
    assert found.startswith(f"events.mqtt.{problem.format(folder=loader.folder)}")
    assert "hunter2" not in found


def test_a_host_is_required(loader: Loader) -> None:
    assert loader.problems(mqtt("tls: true")) == ["events.mqtt.host: is required"]
    assert loader.problems(MINIMAL + "events: {mqtt: {}}") == ["events.mqtt.host: is required"]
    assert loader.problems(MINIMAL + "events: {webhook: {}}") == [
        "events.webhook.token: is required: give token, or token_file with a file's path"
    ]


@pytest.mark.usefixtures("pem_files")
@pytest.mark.parametrize(
    "lines, problem",
    [
        (["ca_file: ca.pem"], "ca_file: is for TLS; set tls: true, or leave this out"),
        (
            ["tls: true", "client_certificate_file: client.pem"],
            "client_key_file: is required together with client_certificate_file",
        ),
        (
            ["tls: true", "client_key_file: client.key"],
            "client_key_file: has no use without client_certificate_file; give both or none",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(
    loader: Loader, lines: list[str], problem: str
) -> None:
    assert loader.problems(mqtt("host: x", *lines)) == [f"events.mqtt.{problem}"]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("events: hunter2", "events: must be a mapping (lines of 'key: value')"),
        ("events: [a]", "events: must be a mapping (lines of 'key: value'), is a list"),
        (
            "events: {webhook: hunter2}",
            "events.webhook: must be a mapping (lines of 'key: value')",
        ),
        ("events: {mqtt: true}", "events.mqtt: must be a mapping (lines of 'key: value'), is true"),
        ("events: {hook: {}}", "events.hook: is not a known key; did you mean events.webhook?"),
        ("webhook: {}", "webhook: is not a known key here; it belongs to events"),
    ],
)
def test_what_is_no_section_is_refused_and_not_shown(
    loader: Loader, text: str, problem: str
) -> None:
    [found] = loader.problems(MINIMAL + text)
    assert found.startswith(problem)
    assert "hunter2" not in found


def test_a_variable_that_is_not_set_is_one_problem(loader: Loader) -> None:
    text = mqtt("host: x", "username: ${env:NONE}", "password: y")
    [problem] = loader.problems(text)
    assert problem.startswith("events.mqtt.username: ")
