"""The section ``otlp``, through the whole of loading."""

import pytest
from pydantic import ValidationError

from otel_emqx_monitor.config import OtlpConfig
from tests.config.loader import MINIMAL, Loader, otlp


def load(loader: Loader, *lines: str, **environ: str) -> OtlpConfig:
    config = loader.load(otlp(*lines), environ).otlp
    assert config is not None
    return config


@pytest.mark.parametrize(
    "text", ["", "otlp:\n", "otlp: ~\n", "otlp: ${env:OTLP:-}\n", "otlp:\n  # endpoint: http://c\n"]
)
def test_nothing_is_pushed_without_the_section_or_with_nothing_in_it(
    loader: Loader, text: str
) -> None:
    assert loader.load(MINIMAL + text, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).otlp is None


def test_an_empty_mapping_pushes_with_everything_left_to_the_variables(loader: Loader) -> None:
    config = loader.load(MINIMAL + "otlp: {}\n").otlp
    assert config == OtlpConfig()
    assert config is not None
    assert dict(config) == {
        "protocol": None,
        "endpoint": None,
        "headers": {},
        "interval_seconds": None,
        "timeout_seconds": None,
        "compression": None,
        "insecure": None,
        "ca_file": None,
        "client_certificate_file": None,
        "client_key_file": None,
        "max_points_per_request": 5000,
    }


def test_the_whole_section_can_come_from_a_variable(loader: Loader) -> None:
    text = MINIMAL + "otlp: ${env:OTLP}\n"
    config = loader.load(text, {"OTLP": "{endpoint: 'collector:4317'}"}).otlp
    assert config == OtlpConfig(endpoint="collector:4317")
    assert loader.problems(text, {"OTLP": 'headers: {authorization: "\\e hunter2"}'}) == [
        (
            "otlp.headers.authorization: must be one line of printable ASCII characters "
            "(the value comes from ${env:OTLP})"
        )
    ]


def test_text_that_is_empty_is_not_set(loader: Loader) -> None:
    keys = [
        "protocol",
        "endpoint",
        "interval_seconds",
        "timeout_seconds",
        "compression",
        "insecure",
        "ca_file",
        "client_certificate_file",
        "client_key_file",
    ]
    assert load(loader, *(f"{key}: ${{env:X:-}}" for key in keys)) == OtlpConfig()
    assert load(loader, *(f"{key}:" for key in [*keys, "headers"])) == OtlpConfig()


def test_values_can_come_from_the_environment(loader: Loader) -> None:
    config = load(
        loader,
        "protocol: ${env:PROTOCOL}",
        "endpoint: http://${env:HOST}:4318",
        "compression: ${env:COMPRESSION}",
        "insecure: ${env:INSECURE}",
        "max_points_per_request: ${env:POINTS}",
        PROTOCOL="http/protobuf",
        HOST="collector",
        COMPRESSION="none",
        INSECURE="true",
        POINTS="7",
    )
    assert config.protocol == "http/protobuf"
    assert config.endpoint == "http://collector:4318/v1/metrics"
    assert config.compression == "none"
    assert config.insecure is True
    assert config.max_points_per_request == 7


@pytest.mark.parametrize(
    "key, good, bad, problem",
    [
        ("protocol", ["grpc"], "http", "must be 'grpc' or 'http/protobuf', is 'http'"),
        ("protocol", [], "http/json", "must be 'grpc' or 'http/protobuf', is 'http/json'"),
        ("protocol", [], "5", "must be 'grpc' or 'http/protobuf', is 5"),
        ("interval_seconds", ["0.001", "86400", "'5'"], "0", "must be greater than 0, is 0"),
        ("interval_seconds", [], "86400.5", "must be at most 86400, is 86400.5"),
        ("interval_seconds", [], ".nan", "must be a finite number, is nan"),
        ("interval_seconds", [], "60s", "must be a number, is '60s'"),
        ("timeout_seconds", ["0.001", "3600"], "0", "must be greater than 0, is 0"),
        ("timeout_seconds", [], "3601", "must be at most 3600, is 3601"),
        ("compression", ["gzip", "none"], "deflate", "must be 'none' or 'gzip', is 'deflate'"),
        ("insecure", ["off", "'true'"], "maybe", "must be true or false, is 'maybe'"),
        ("ca_file", [], "5", "must be text, is 5; put quotes around it"),
        ("max_points_per_request", ["1", "1000000"], "0", "must be at least 1, is 0"),
        ("max_points_per_request", [], "1000001", "must be at most 1000000, is 1000001"),
        ("max_points_per_request", [], "~", "must be a whole number, is empty"),
        ("endpoint", [], "5", "must be text, is a number; put quotes around it"),
        ("endpoint", [], "[a]", "must be text, is a list"),
        (
            "endpoint",
            ["c:4317", "http://c:4317", "https://c"],
            "http://user:hunter2@c:4317",
            "must not hold a user or password: use otlp.headers",
        ),
        ("headers", ["{}", "{a: b}"], "hunter2", "must be a mapping (lines of 'key: value')"),
        (
            "headers",
            [],
            "['authorization: hunter2']",
            "must be a mapping (lines of 'key: value'), is a list",
        ),
        (
            "header",
            [],
            "{a: hunter2}",
            "is not a known key; did you mean otlp.headers?",
        ),
        (
            "queue",
            [],
            "1",
            (
                "is not a known key; known here: protocol, endpoint, headers, interval_seconds, "
                "timeout_seconds, compression, insecure, ca_file, client_certificate_file, "
                "client_key_file, max_points_per_request"
            ),
        ),
    ],
)
def test_values_out_of_range_or_of_the_wrong_kind_are_refused(
    loader: Loader, key: str, good: list[str], bad: str, problem: str
) -> None:
    for value in good:
        load(loader, "endpoint: c:4317" if key == "insecure" else "", f"{key}: {value}")
    assert loader.problems(otlp(f"{key}: {bad}")) == [f"otlp.{key}: {problem}"]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("otlp: hunter2", "otlp: must be a mapping (lines of 'key: value')"),
        ("otlp: true", "otlp: must be a mapping (lines of 'key: value'), is true or false"),
        ("otlp: [a]", "otlp: must be a mapping (lines of 'key: value'), is a list"),
        ("headers: {}", "headers: is not a known key here; it belongs to otlp"),
    ],
)
def test_the_section_is_a_mapping(loader: Loader, text: str, problem: str) -> None:
    assert loader.problems(MINIMAL + text) == [problem]


@pytest.mark.parametrize(
    "protocol, written, endpoint",
    [
        ("", "HTTP://Collector:4317/", "http://collector:4317"),
        ("", "collector:4317", "collector:4317"),
        ("grpc", "https://collector", "https://collector"),
        ("http/protobuf", "http://collector:4318/", "http://collector:4318/v1/metrics"),
        ("http/protobuf", "https://c/otlp/v1/metrics/", "https://c/otlp/v1/metrics"),
    ],
)
def test_an_endpoint_is_what_the_exporter_of_its_protocol_takes(
    loader: Loader, protocol: str, written: str, endpoint: str
) -> None:
    assert load(loader, f"endpoint: {written}", f"protocol: {protocol}").endpoint == endpoint


def test_the_protocol_can_come_from_a_standard_variable(loader: Loader) -> None:
    url = "endpoint: http://collector:4318/v1/metrics"
    config = load(loader, url, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    assert config.protocol == "http/protobuf"
    assert config.endpoint == "http://collector:4318/v1/metrics"
    assert loader.problems(otlp(url)) == [
        (
            "otlp.endpoint: must not have a path for grpc, as in http://collector:4317; "
            "for a URL with a path set otlp.protocol to http/protobuf"
        )
    ]


@pytest.mark.parametrize("protocol", ["http", "${env:NONE}"])
def test_a_protocol_that_is_wrong_is_the_only_problem(loader: Loader, protocol: str) -> None:
    text = otlp(f"protocol: {protocol}", "endpoint: http://collector:4318/v1/metrics")
    (problem,) = loader.problems(text)
    assert problem.startswith("otlp.protocol: ")


TLS_FILES = (
    "otlp.ca_file: is for TLS, and {} begins with http://; "
    "let otlp.endpoint begin with https://, or leave this out"
)
INSECURE = (
    "otlp.insecure: must be false or left out: {} begins with https://, "
    "which means TLS; http:// is without"
)
SECURE = (
    "otlp.insecure: must be true or left out: {} begins with http://, "
    "which means no TLS; https:// is with it"
)
FROM_VARIABLE = "the endpoint in the environment variable OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    "lines, problem",
    [
        (["endpoint: https://c:4317", "insecure: true"], INSECURE.format("otlp.endpoint")),
        (["endpoint: http://c:4317", "insecure: false"], SECURE.format("otlp.endpoint")),
        (["insecure: false"], SECURE.format("the default endpoint")),
        (["endpoint: http://c:4317", "ca_file: ca.pem"], TLS_FILES.format("otlp.endpoint")),
        (["ca_file: ca.pem"], TLS_FILES.format("the default endpoint")),
        (
            ["endpoint: c:4317", "insecure: true", "ca_file: ca.pem"],
            "otlp.ca_file: is for TLS, which otlp.insecure turns off; leave one of them out",
        ),
        (
            ["endpoint: https://c", "client_certificate_file: client.pem"],
            "otlp.client_key_file: is required together with client_certificate_file",
        ),
        (
            ["endpoint: https://c", "client_key_file: client.key"],
            "otlp.client_key_file: has no use without client_certificate_file; give both or none",
        ),
        (
            ["endpoint: c:4317", "protocol: http/protobuf"],
            (
                "otlp.endpoint: must begin with http:// or https:// for http/protobuf, "
                "as in http://collector:4318"
            ),
        ),
    ],
)
@pytest.mark.usefixtures("pem_files")
def test_keys_that_do_not_go_together_are_refused(
    loader: Loader, lines: list[str], problem: str
) -> None:
    assert loader.problems(otlp(*lines)) == [problem]


@pytest.mark.usefixtures("pem_files")
def test_the_endpoint_of_a_standard_variable_counts_too(loader: Loader) -> None:
    plain = {"OTEL_EXPORTER_OTLP_ENDPOINT": "HTTP://user:hunter2@c:4317"}
    secure = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:hunter2@c:4317"}
    ca, insecure = otlp("ca_file: ca.pem"), otlp("insecure: true")
    assert loader.problems(ca, plain) == [TLS_FILES.format(FROM_VARIABLE)]
    assert loader.problems(insecure, secure) == [INSECURE.format(FROM_VARIABLE)]
    loader.load(ca, secure)
    loader.load(insecure, plain)


@pytest.mark.usefixtures("pem_files")
def test_every_contradiction_is_reported(loader: Loader) -> None:
    text = otlp(
        "endpoint: http://c:4317",
        "insecure: false",
        "ca_file: ca.pem",
        "client_certificate_file: client.pem",
        "client_key_file: client.key",
        "interval_seconds: 0",
    )
    assert [problem.split(": ")[0] for problem in loader.problems(text)] == [
        "otlp.interval_seconds",
        "otlp.insecure",
        "otlp.ca_file",
        "otlp.client_certificate_file",
        "otlp.client_key_file",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["endpoint: ${env:NONE}", "insecure: false", "ca_file: ca.pem"],
        ["endpoint: 'http://'", "insecure: true", "protocol: http/protobuf"],
        [
            "endpoint: https://c",
            "client_certificate_file: ${env:NONE}",
            "client_key_file: client.key",
        ],
        [
            "endpoint: https://c",
            "client_certificate_file: client.pem",
            "client_key_file: ${env:NONE}",
        ],
    ],
)
@pytest.mark.usefixtures("pem_files")
def test_what_is_wrong_by_itself_is_not_a_contradiction_too(
    loader: Loader, lines: list[str]
) -> None:
    assert len(loader.problems(otlp(*lines))) == 1


def test_values_made_in_python_are_held_to_the_same_rules() -> None:
    with pytest.raises(ValidationError, match="must be false or left out"):
        OtlpConfig(endpoint="https://c", insecure=True)
    with pytest.raises(ValidationError, match="must not have a path for grpc"):
        OtlpConfig(endpoint="http://c:4317/v1/metrics")
    with pytest.raises(ValidationError, match="is required together"):
        OtlpConfig(client_certificate_file="/client.pem")


def test_without_a_file_nothing_is_known_of_the_variables_endpoint() -> None:
    assert OtlpConfig(insecure=False, ca_file="/ca.pem").insecure is False


@pytest.mark.parametrize(
    "config, without_tls",
    [
        (OtlpConfig(), None),
        (OtlpConfig(endpoint="c:4317"), None),
        (OtlpConfig(endpoint="http://c:4317"), True),
        (OtlpConfig(endpoint="https://c:4317"), False),
        (OtlpConfig(endpoint="c:4317", insecure=True), True),
        (OtlpConfig(endpoint="c:4317", insecure=False), False),
        (OtlpConfig(endpoint="c:4317", ca_file="/ca.pem"), False),
        (OtlpConfig(client_certificate_file="/c.pem", client_key_file="/c.key"), False),
    ],
)
def test_a_configuration_says_whether_grpc_goes_without_tls(
    config: OtlpConfig, without_tls: bool | None
) -> None:
    assert config.without_tls is without_tls
