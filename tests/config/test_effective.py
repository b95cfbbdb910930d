from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from otel_emqx_monitor.config import (
    Config,
    EmqxConfig,
    EventsConfig,
    ExcludedClient,
    MonitoredClient,
    MqttConfig,
    OtlpConfig,
    PollingConfig,
    PrometheusConfig,
    StateConfig,
    WebhookConfig,
    effective_yaml,
    load,
)
from tests.config.loader import MINIMAL, Loader, emqx

FULL = """\
emqx:
  api_key: '********'
  api_secret: '********'
  api_url: "http://emqx:18083/api/v5"
  ssl: true
  alias: "LocalEMQX"
  node: null
  timeout_seconds: 2.5
  attempts: 3
monitored_clients:
  - alias: "quote \\" backslash \\\\ variable $${env:HOST}"
    client_id: "żółw \\x1b[2J\\u202e"
  - alias: "12345"
    client_id: "true"
    expected_every_seconds: 60
  - alias: "{room} of {username}"
    client_id_regex: "a-(?P<room>\\\\w+)$"
    username: "me"
exclude:
  - client_id: "a-b"
  - client_id_glob: "*[!x]"
    username: "me"
max_clients: 5
prometheus:
  port: 9671
  address: "0.0.0.0"
  web_config_file: null
  max_connections: 1024
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
  enable_last_seen: false
  enable_connection_counters: false
  enable_queue_metrics: false
  enable_keepalive: false
  enable_client_info: false
polling:
  interval_seconds: null
  stale_after_seconds: null
  deadline_seconds: 60
counters: "cumulative"
forget_after_seconds: 1.5
state:
  path: "/state"
events:
  webhook:
    token: '********'
    max_body_bytes: 1048576
    max_per_second: 10000
  mqtt:
    host: "emqx"
    port: 1884
    tls: false
    verify: true
    ca_file: null
    client_certificate_file: null
    client_key_file: null
    username: "me"
    password: '********'
    topic_prefix: "$SYS"
    client_id: null
    keepalive_seconds: 30
otlp:
  protocol: "http/protobuf"
  endpoint: "https://collector/v1/metrics"
  headers:
    "authorization": '********'
    "x-scope.org_id": '********'
  interval_seconds: 30
  timeout_seconds: 2.5
  compression: "gzip"
  insecure: null
  ca_file: null
  client_certificate_file: null
  client_key_file: null
  max_points_per_request: 5000
"""


def test_every_key_is_shown_with_its_effective_value() -> None:
    config = Config(
        emqx=EmqxConfig(
            api_key=SecretStr("hunter2"),
            api_secret=SecretStr("hunter3"),
            api_url="http://emqx:18083/api/",
            alias="LocalEMQX",
            timeout_seconds=2.5,
        ),
        monitored_clients=(
            MonitoredClient(
                alias='quote " backslash \\ variable ${env:HOST}', client_id="żółw \x1b[2J\u202e"
            ),
            MonitoredClient(alias="12345", client_id="true", expected_every_seconds=60),
            MonitoredClient(
                alias="{room} of {username}",
                client_id_regex=r"a-(?P<room>\w+)$",
                username="me",
            ),
        ),
        exclude=(
            ExcludedClient(client_id="a-b"),
            ExcludedClient(client_id_glob="*[!x]", username="me"),
        ),
        max_clients=5,
        counters="cumulative",
        forget_after_seconds=1.5,
        state=StateConfig(path="/state"),
        events=EventsConfig(
            webhook=WebhookConfig(token=SecretStr("hunter4")),
            mqtt=MqttConfig(host="emqx", port=1884, username="me", password=SecretStr("hunter5")),
        ),
        otlp=OtlpConfig(
            protocol="http/protobuf",
            endpoint="https://collector",
            headers={
                "Authorization": SecretStr("Bearer hunter2"),
                "X-Scope.Org_ID": SecretStr("1"),
            },
            interval_seconds=30,
            timeout_seconds=2.5,
            compression="gzip",
        ),
    )
    assert effective_yaml(config) == FULL


def test_what_is_shown_loads_again_to_the_same(loader: Loader) -> None:
    config = loader.load(FULL)
    assert effective_yaml(config) == FULL
    assert config.monitored_clients[0].client_id == "żółw \x1b[2J\u202e"
    assert config.otlp is not None
    assert config.otlp.headers["authorization"].get_secret_value() == "********"


@pytest.mark.parametrize("everybody", ["all", "ALL", '" All "', "${env:CLIENTS}"])
def test_all_clients_are_shown_as_the_entry_that_they_are_short_for(
    loader: Loader, everybody: str
) -> None:
    config = loader.load(MINIMAL + f"monitored_clients: {everybody}\n", {"CLIENTS": "all"})
    shown = effective_yaml(config)
    entry = 'monitored_clients:\n  - alias: "{client_id}"\n    client_id_glob: "*"\nexclude: []\n'
    assert entry in shown
    assert loader.load(shown).monitored_clients == config.monitored_clients


def test_no_clients_are_an_empty_list(loader: Loader) -> None:
    assert "monitored_clients: []\n" in effective_yaml(loader.load(MINIMAL))


def test_that_nothing_is_pushed_is_shown_too_and_is_not_the_same_as_by_default(
    loader: Loader,
) -> None:
    off = effective_yaml(loader.load(MINIMAL))
    assert off.endswith("\notlp: null\n")
    assert loader.load(off).otlp is None
    on = effective_yaml(loader.load(MINIMAL + "otlp: {}\n"))
    assert "\notlp:\n  protocol: null\n  endpoint: null\n  headers: {}\n" in on
    assert loader.load(on).otlp == OtlpConfig()


def test_what_a_standard_variable_decides_is_shown(loader: Loader) -> None:
    shown = effective_yaml(
        loader.load(MINIMAL + "otlp: {}\n", {"OTEL_METRIC_EXPORT_INTERVAL": "5000"})
    )
    assert "\n  interval_seconds: 5\n" in shown


def test_a_secret_from_a_file_is_shown_as_the_file(loader: Loader) -> None:
    (loader.folder / "key").write_text("hunter2")
    config = loader.load(emqx(api_key="", api_key_file="key"))
    shown = effective_yaml(config)
    assert shown.startswith(
        f"emqx:\n  api_secret: '********'\n  api_key_file: \"{loader.folder}/key\"\n"
    )
    assert loader.load(shown).emqx.api_key.get_secret_value() == "hunter2"


# MQTT 5.0, section 1.5.4: any text without U+0000 and surrogates.
client_ids = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
aliases = st.text(st.characters(codec="utf-8"), min_size=1)
ENDPOINTS = {
    None: st.none() | st.sampled_from(["http://collector:4317", "https://c", "[::1]:4317"]),
    "grpc": st.sampled_from(["http://collector:4317", "collector:4317"]),
    "http/protobuf": st.none() | st.sampled_from(["http://c", "https://c:1/a/v1/metrics"]),
}
# None of these is one that the exporters set, or that gRPC keeps for itself.
header_names = st.from_regex(r"\A[XYZxyz0-9_.-]{1,9}\Z").filter(
    lambda name: not name.endswith("-bin")
)


@st.composite
def pushes(draw: st.DrawFn) -> OtlpConfig:
    protocol = draw(st.sampled_from(list(ENDPOINTS)))
    names = draw(st.lists(header_names, max_size=3, unique_by=str.lower))
    return OtlpConfig.model_validate(
        {
            "protocol": protocol,
            "endpoint": draw(ENDPOINTS[protocol]),
            "headers": dict.fromkeys(names, "********"),
            "interval_seconds": draw(st.none() | st.floats(0, 86_400, exclude_min=True)),
            "timeout_seconds": draw(st.none() | st.floats(0, 3600, exclude_min=True)),
            "compression": draw(st.sampled_from([None, "none", "gzip"])),
            "max_points_per_request": draw(st.integers(1, 1_000_000)),
        }
    )


GLOBS = ["*", "sensor-?", "[!a-z]*", "[]]", "\\", "ż\n*"]
REGEXES = [r"a|b", r"(?P<room>.)\d*", "ż", r"\$\{x\}", "(a+)+$"]


@st.composite
def choices(draw: st.DrawFn) -> dict[str, str | None]:
    """Return the keys of an entry without a client id."""
    key = draw(st.sampled_from(["client_id_glob", "client_id_regex", "username"]))
    values = {
        "client_id_glob": st.sampled_from(GLOBS) | client_ids.map(lambda text: f"*{text}*"),
        "client_id_regex": st.sampled_from(REGEXES),
        "username": client_ids,
    }
    try:
        entry = {"username": draw(st.none() | client_ids), key: draw(values[key])}
        ExcludedClient.model_validate(entry)
    except ValidationError:  # text with brackets, which is no glob
        entry = {"client_id_glob": "*"}
    return entry


def patterns() -> st.SearchStrategy[MonitoredClient]:
    templates = st.sampled_from(["{client_id}", "{{}}", "x {username}"])
    every = st.none() | st.floats(0, 1e9, exclude_min=True)
    return st.builds(
        lambda entry, alias, every: MonitoredClient.model_validate(
            entry | {"alias": alias, "expected_every_seconds": every}
        ),
        choices(),
        templates,
        every,
    )


configs = st.builds(
    Config,
    emqx=st.builds(
        EmqxConfig,
        api_key=st.just(SecretStr("********")),
        api_secret=st.just(SecretStr("********")),
        api_key_file=st.none(),
        api_secret_file=st.none(),
        api_url=st.just("https://emqx"),
        ssl=st.booleans(),
        alias=aliases,
        timeout_seconds=st.floats(0, 3600, exclude_min=True),
        attempts=st.integers(1, 100),
    ),
    monitored_clients=st.builds(
        lambda exact, patterns: (*exact, *patterns),
        st.lists(
            st.builds(MonitoredClient, alias=aliases, client_id=client_ids),
            max_size=5,
            unique_by=(lambda client: client.alias, lambda client: client.client_id),
        ),
        st.lists(patterns(), max_size=2),
    ),
    exclude=st.lists(
        choices().map(ExcludedClient.model_validate)
        | st.builds(ExcludedClient, client_id=client_ids),
        max_size=2,
    ).map(tuple),
    max_clients=st.integers(1, 1_000_000),
    counters=st.sampled_from(["live", "cumulative"]),
    forget_after_seconds=st.floats(0, 1e9, exclude_min=True),
    prometheus=st.builds(
        PrometheusConfig,
        port=st.integers(0, 65_535),
        address=st.ip_addresses().map(str) | st.just("localhost"),
        ttl_seconds=st.floats(0, 86_400),
        enable_dates=st.booleans(),
    ),
    polling=st.builds(
        PollingConfig,
        interval_seconds=st.none() | st.floats(0, 86_400, exclude_min=True),
        stale_after_seconds=st.none() | st.floats(86_400, allow_infinity=False),
        deadline_seconds=st.floats(0, 3600, exclude_min=True),
    ),
    events=st.builds(
        EventsConfig,
        webhook=st.none()
        | st.builds(
            WebhookConfig,
            token=st.just(SecretStr("********")),
            max_per_second=st.floats(0, 1_000_000, exclude_min=True),
        ),
        mqtt=st.none()
        | st.builds(
            MqttConfig,
            host=st.just("emqx"),
            port=st.none() | st.integers(1, 65_535),
            tls=st.booleans(),
            topic_prefix=st.sampled_from(["$SYS", "a/${b}", "ż"]),
        ),
    ),
    otlp=st.none() | pushes(),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("effective") / "config.yaml"


@settings(deadline=None)
@given(configs)
def test_every_configuration_survives_the_way_through_yaml(file: Path, config: Config) -> None:
    shown = effective_yaml(config)
    assert shown.replace("\n", "").isprintable()
    file.write_text(shown)
    assert load(file, {}) == config
