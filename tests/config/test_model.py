"""What a key may hold, through the whole of loading."""

import pytest
from pydantic import SecretStr, ValidationError

from otel_emqx_monitor.config import (
    Config,
    EmqxConfig,
    MonitoredClient,
    PollingConfig,
    PrometheusConfig,
)
from tests.config.loader import MINIMAL, Loader, emqx

EMQX = EmqxConfig(
    api_key=SecretStr("k"), api_secret=SecretStr("s"), api_url="http://h", alias="broker"
)
DEFAULT_FLAGS = {
    "enable_processed_counters",
    "enable_bytes_metrics",
    "enable_packet_metrics",
    "enable_inflight_metrics",
    "enable_subscription_count",
}


def test_the_defaults_are_those_of_the_original(loader: Loader) -> None:
    config = loader.load(MINIMAL)
    assert config.emqx.ssl is True
    assert config.emqx.timeout_seconds == 5
    assert config.emqx.attempts == 3
    assert config.monitored_clients == ()
    assert config.prometheus.model_dump() == {
        "port": 9671,
        "address": "0.0.0.0",  # noqa: S104 - the default that is tested
        "web_config_file": None,
        "max_connections": 1024,
        "ttl_seconds": 15,
        "enable_processed_counters": True,
        "enable_qos_split": False,
        "enable_dropped_counters": False,
        "enable_reason_split": False,
        "enable_bytes_metrics": True,
        "enable_packet_metrics": True,
        "enable_dates": False,
        "enable_inflight_metrics": True,
        "enable_subscription_count": True,
        "enable_last_seen": False,
        "enable_connection_counters": False,
        "enable_queue_metrics": False,
        "enable_keepalive": False,
        "enable_client_info": False,
    }
    assert config.prometheus.flags == DEFAULT_FLAGS
    assert config.polling.deadline_seconds == 60
    assert config.polling.interval_seconds is None
    assert config.exclude == ()
    assert config.max_clients == 100_000
    assert config.counters == "live"
    assert config.forget_after_seconds == 604_800
    assert config.state.path is None


@pytest.mark.parametrize(
    "switched, flags",
    [
        ({"enable_dates": True}, DEFAULT_FLAGS | {"enable_dates"}),
        ({"enable_bytes_metrics": False}, DEFAULT_FLAGS - {"enable_bytes_metrics"}),
        ({"enable_qos_split": True}, DEFAULT_FLAGS | {"enable_qos_split"}),
        (
            {"enable_qos_split": True, "enable_processed_counters": False},
            DEFAULT_FLAGS - {"enable_processed_counters"},
        ),
        ({"enable_reason_split": True}, DEFAULT_FLAGS),
        (
            {"enable_reason_split": True, "enable_dropped_counters": True},
            DEFAULT_FLAGS | {"enable_reason_split", "enable_dropped_counters"},
        ),
    ],
)
def test_a_split_has_effect_only_with_its_total(switched: dict[str, bool], flags: set[str]) -> None:
    assert PrometheusConfig.model_validate(switched).flags == flags


@pytest.mark.parametrize(
    "ttl, interval, configured, effective",
    [
        (15, None, None, 60),
        (20.5, None, None, 61.5),
        (86_400, None, None, 259_200),
        (15, None, 20, 20),
        (7, None, 7, 7),
        (15, 5, None, 60),
        (15, 300, None, 900),
        (300, 15, None, 900),
        (15, 300, 300, 300),
    ],
)
def test_data_are_stale_after_three_times_their_ttl_or_the_interval_of_polls(
    ttl: float, interval: float | None, configured: float | None, effective: float
) -> None:
    config = Config(
        emqx=EMQX,
        prometheus=PrometheusConfig(ttl_seconds=ttl),
        polling=PollingConfig(interval_seconds=interval, stale_after_seconds=configured),
    )
    assert config.stale_after_seconds == effective


def test_data_cannot_be_stale_before_their_ttl_ends(loader: Loader) -> None:
    text = "prometheus: {ttl_seconds: 20.5}\npolling: {stale_after_seconds: 20}\n"
    problem = (
        "must be at least prometheus.ttl_seconds, which is 20.5: "
        "data would end before they are asked for again, and come and go"
    )
    assert loader.problems(MINIMAL + text) == [f"polling.stale_after_seconds: {problem}"]
    with pytest.raises(ValidationError) as caught:
        Config(
            emqx=EMQX,
            prometheus=PrometheusConfig(ttl_seconds=20.5),
            polling=PollingConfig(stale_after_seconds=20),
        )
    assert problem in str(caught.value)


def test_data_cannot_be_stale_before_the_next_poll(loader: Loader) -> None:
    text = "polling: {interval_seconds: 300, stale_after_seconds: 299.5}\n"
    assert loader.problems(MINIMAL + text) == [
        (
            "polling.stale_after_seconds: must be at least polling.interval_seconds, "
            "which is 300: data would end before they are asked for again, and come and go"
        )
    ]


def test_the_default_ttl_counts_too_and_a_wrong_one_is_one_problem(loader: Loader) -> None:
    polling = "polling: {stale_after_seconds: 5}\n"
    (problem,) = loader.problems(MINIMAL + polling)
    assert problem.startswith(
        "polling.stale_after_seconds: must be at least prometheus.ttl_seconds"
    )
    assert loader.problems(MINIMAL + "prometheus: {ttl_seconds: -1}\n" + polling) == [
        "prometheus.ttl_seconds: must be at least 0, is -1"
    ]


def test_a_configuration_cannot_be_changed() -> None:
    config = Config(emqx=EMQX)
    with pytest.raises(ValidationError):
        config.emqx.alias = "other"


def test_two_clients_of_one_name_cannot_be() -> None:
    clients = (MonitoredClient(alias="a", client_id="1"), MonitoredClient(alias="a", client_id="2"))
    with pytest.raises(ValidationError, match=r"clients\[1\].alias repeats that of \[0\]"):
        Config(emqx=EMQX, monitored_clients=clients)


def test_repeated_aliases_and_client_ids_are_refused_with_both_positions(loader: Loader) -> None:
    text = (
        "monitored_clients:\n"
        "  - {alias: a, client_id: x}\n"
        "  - {alias: b, client_id: y}\n"
        "  - {alias: b, client_id: x}\n"
        "  - {alias: x, client_id: x}\n"
    )
    assert loader.problems(MINIMAL + text) == [
        "monitored_clients[2].alias: is the same as monitored_clients[1].alias; it must be unique",
        (
            "monitored_clients[2].client_id: is the same as monitored_clients[0].client_id; "
            "it must be unique"
        ),
        (
            "monitored_clients[3].client_id: is the same as monitored_clients[0].client_id; "
            "it must be unique"
        ),
    ]


@pytest.mark.parametrize(
    "client_id",
    [
        "a",
        " ",
        "#",
        "+/$",
        "żółw 🐢",
        "a" * 65_535,
        "ż" * 32_767,
        "\x01\x1b\x7f\u202e",
        "${x}",
        '"',
        "\\",
    ],
)
def test_any_client_id_that_mqtt_allows_is_accepted(client_id: str) -> None:
    assert MonitoredClient(alias="x", client_id=client_id).client_id == client_id


LIMIT = "must be at most 65535 bytes of UTF-8, which is MQTT's limit"


@pytest.mark.parametrize(
    "written, problem",
    [
        ("''", "must not be empty, is ''"),
        (r'"a\0b"', r"must not contain U+0000, which MQTT forbids, is 'a\x00b'"),
        ("a" * 65_536, f"{LIMIT}, is '{'a' * 59}…'"),
        ("ż" * 32_768, f"{LIMIT}, is '{'ż' * 59}…'"),
        ("12345", "must be text, is 12345; put quotes around it"),
        ("007", "must be text, is 7; put quotes around it"),
        ("1.50", "must be text, is 1.5; put quotes around it"),
        ("1:30", "must be text, is 90; put quotes around it"),
        ("no", "must be text, is false; put quotes around it"),
        ("2024-01-31", "must be text, is the date 2024-01-31; put quotes around it"),
        (
            "0x" + "f" * 5000,
            "must be text, is a number of more than 38 digits; put quotes around it",
        ),
        ("~", "is required; or give client_id_glob, client_id_regex or username"),
        ("[a]", "must be text, is a list"),
        ("{a: b}", "must be text, is a mapping"),
    ],
)
def test_a_client_id_that_mqtt_forbids_is_refused(
    loader: Loader, written: str, problem: str
) -> None:
    text = f"monitored_clients: [{{alias: x, client_id: {written}}}]\n"
    assert loader.problems(MINIMAL + text) == [f"monitored_clients[0].client_id: {problem}"]


@pytest.mark.parametrize("key", ["alias", "client_id"])
def test_lone_surrogates_are_no_text(key: str) -> None:
    values = {"alias": "x", "client_id": "y", key: "\ud800"}
    with pytest.raises(ValidationError, match=key):
        MonitoredClient.model_validate(values)


def test_any_alias_but_the_empty_one_is_accepted(loader: Loader) -> None:
    text = r'monitored_clients: [{alias: "\0 \n\"", client_id: a}, {alias: "", client_id: b}]'
    assert loader.problems(MINIMAL + text) == [
        "monitored_clients[1].alias: must not be empty, is ''"
    ]
    assert loader.problems(emqx(alias='""')) == ["emqx.alias: must not be empty, is ''"]


def test_a_node_that_the_environment_leaves_empty_is_not_set(loader: Loader) -> None:
    config = loader.load(emqx(node="${env:NODE}"), {"NODE": ""})
    assert config.emqx.node is None


@pytest.mark.parametrize(
    "key, good, bad, problem",
    [
        ("emqx.timeout_seconds", ["0.001", "3600", "'5'"], "0", "must be greater than 0, is 0"),
        ("emqx.timeout_seconds", [], "-5", "must be greater than 0, is -5"),
        ("emqx.timeout_seconds", [], "3600.5", "must be at most 3600, is 3600.5"),
        ("emqx.timeout_seconds", [], ".nan", "must be a finite number, is nan"),
        ("emqx.timeout_seconds", [], "yes", "must be a number, is true"),
        ("emqx.timeout_seconds", [], "5s", "must be a number, is '5s'"),
        ("emqx.attempts", ["1", "100", "'3'", "3.0"], "0", "must be at least 1, is 0"),
        ("emqx.attempts", [], "101", "must be at most 100, is 101"),
        ("emqx.attempts", [], "2.5", "must be a whole number, is 2.5"),
        ("emqx.attempts", [], "true", "must be a whole number, is true"),
        ("emqx.attempts", [], "~", "must be a whole number, is empty"),
        (
            "emqx.node",
            ["emqx@10.0.0.1", "~", "''"],
            "5",
            "must be text, is 5; put quotes around it",
        ),
        ("prometheus.port", ["0", "65535"], "-1", "must be at least 0, is -1"),
        ("prometheus.port", [], "65536", "must be at most 65535, is 65536"),
        ("prometheus.port", [], "1e3", "must be a whole number, is '1e3'"),
        ("prometheus.port", [], ".inf", "must be a finite number, is inf"),
        ("prometheus.ttl_seconds", ["0", "86400", "0.5"], "-1", "must be at least 0, is -1"),
        ("prometheus.ttl_seconds", [], "86401", "must be at most 86400, is 86401"),
        (
            "prometheus.enable_dates",
            ["off", "'False'", "1"],
            "2",
            "must be true or false, is 2",
        ),
        ("prometheus.enable_dates", [], "maybe", "must be true or false, is 'maybe'"),
        ("prometheus.enable_dates", [], "[]", "must be true or false, is a list"),
        ("polling.interval_seconds", ["~", "''", "86400"], "0", "must be greater than 0, is 0"),
        ("polling.interval_seconds", [], "86401", "must be at most 86400, is 86401"),
        ("polling.stale_after_seconds", ["~", "15", "1e9"], "0", "must be greater than 0, is 0"),
        ("polling.deadline_seconds", ["3600"], "0", "must be greater than 0, is 0"),
        ("polling.deadline_seconds", [], "3601", "must be at most 3600, is 3601"),
        (
            "prometheus.address",
            ["'::'", "'[::1]'", "localhost"],
            "localhost:80",
            "must be an IPv4 or IPv6 address or a host name, without a port, is 'localhost:80'",
        ),
        (
            "emqx.api_url",
            [],
            "''",
            "must begin with http:// or https://, as in http://emqx:18083/api/",
        ),
        ("emqx.api_url", [], "5", "must be text, is a number; put quotes around it"),
        (
            "emqx.api_key",
            ["a b", "żółw"],
            "12345",
            "must be text, is a number; put quotes around it",
        ),
        (
            "emqx.api_key",
            [],
            "'a:b'",
            "must not contain ':', which HTTP Basic authentication cannot carry",
        ),
        ("emqx.api_key", [], r'"a\n"', "must be one line without control characters"),
        ("emqx.api_secret", ["a:b"], r'"\x1b"', "must be one line without control characters"),
        ("emqx.api_secret", [], "[a]", "must be text, is a list"),
        ("emqx.api_secret", [], "no", "must be text, is true or false; put quotes around it"),
    ],
)
def test_values_out_of_range_or_of_the_wrong_kind_are_refused(
    loader: Loader, key: str, good: list[str], bad: str, problem: str
) -> None:
    section, name = key.split(".")

    def text(value: str) -> str:
        if section == "emqx":
            return emqx(**{name: value})
        return f"{MINIMAL}{section}:\n  {name}: {value}\n"

    for value in good:
        loader.load(text(value))
    assert loader.problems(text(bad)) == [f"{key}: {problem}"]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("emqx: hunter2", "emqx: must be a mapping (lines of 'key: value')"),
        ("emqx: [a]", "emqx: must be a mapping (lines of 'key: value'), is a list"),
        ("emqx:", "emqx: is required"),
        (MINIMAL + "prometheus: 5", "prometheus: must be a mapping (lines of 'key: value'), is 5"),
        (
            MINIMAL + "monitored_clients: {a: b}",
            "monitored_clients: must be a list (lines that begin with '- '), is a mapping",
        ),
        (
            MINIMAL + "monitored_clients: [sensor]",
            "monitored_clients[0]: must be a mapping (lines of 'key: value'), is 'sensor'",
        ),
        (
            MINIMAL + "monitored_clients: [{alias: a}]",
            (
                "monitored_clients[0].client_id: is required; "
                "or give client_id_glob, client_id_regex or username"
            ),
        ),
        (
            MINIMAL + "  api_ulr: hunter2",
            "emqx.api_ulr: is not a known key; did you mean emqx.api_url?",
        ),
        (
            MINIMAL + "monitored_clients: [{alias: a, client_id: b, ClientId: c}]",
            (
                "monitored_clients[0].ClientId: is not a known key; "
                "did you mean monitored_clients[0].client_id?"
            ),
        ),
        (MINIMAL + "Prometheus: {}", "Prometheus: is not a known key; did you mean prometheus?"),
        (
            MINIMAL + "prometheus: {counters: live}",
            (
                "prometheus.counters: is not a known key here; "
                "it belongs to the top, outside of all sections"
            ),
        ),
        (MINIMAL + "port: 1", "port: is not a known key here; it belongs to prometheus"),
        (
            MINIMAL + "x: 1",
            (
                "x: is not a known key; "
                "known here: emqx, monitored_clients, exclude, max_clients, prometheus, polling, "
                "counters, forget_after_seconds, state, events, otlp"
            ),
        ),
        (
            MINIMAL + 'polling: {"\\e[2J": 1}',
            (
                "polling.'\\x1b[2J': is not a known key; "
                "known here: interval_seconds, stale_after_seconds, deadline_seconds"
            ),
        ),
    ],
)
def test_keys_that_are_wrong_missing_or_unknown_are_refused(
    loader: Loader, text: str, problem: str
) -> None:
    assert loader.problems(text) == [problem]


@pytest.mark.parametrize(
    "key, good, bad, problem",
    [
        ("max_clients", ["1", "'1000000'", "", "${env:TEN}"], "0", "must be at least 1, is 0"),
        ("max_clients", [], "1000001", "must be at most 1000000, is 1000001"),
        ("max_clients", [], "all", "must be a whole number, is 'all'"),
        ("max_clients", [], "yes", "must be a whole number, is true"),
        ("max_clients", [], "{}", "must be a whole number, is a mapping"),
        ("counters", ["live", "cumulative", "~"], "Live", "must be 'live' or 'cumulative'"),
        ("counters", [], "[live]", "must be 'live' or 'cumulative', is a list"),
        ("counters", [], "${env:TEN}", "must be 'live' or 'cumulative' (the value comes from"),
        ("forget_after_seconds", ["0.5", "1e9"], "0", "must be greater than 0, is 0"),
        ("forget_after_seconds", [], ".inf", "must be a finite number, is inf"),
        ("forget_after_seconds", [], "7d", "must be a number, is '7d'"),
        ("exclude", ["[]", ""], "all", "must be a list (lines that begin with '- '), is 'all'"),
        ("exclude", [], "[a]", "must be a mapping (lines of 'key: value'), is 'a'"),
        ("state", ["{}", ""], "file", "must be a mapping (lines of 'key: value'), is 'file'"),
    ],
)
def test_single_values_stand_at_the_top(
    loader: Loader, key: str, good: list[str], bad: str, problem: str
) -> None:
    environ = {"TEN": "10"}
    for value in good:
        loader.load(f"{MINIMAL}{key}: {value}\n", environ)
    (found,) = loader.problems(f"{MINIMAL}{key}: {bad}\n", environ)
    assert found.removeprefix(f"{key}[0]: ").removeprefix(f"{key}: ").startswith(problem)
