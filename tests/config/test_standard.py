import pytest

from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.config.environment import FromEnvironment
from otel_emqx_monitor.config.standard import default_endpoint, follow_variables
from tests.config.loader import MINIMAL, Loader

ALL = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    "OTEL_METRIC_EXPORT_INTERVAL": "1500",
}
METRICS = {
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "7",
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "none",
}


def loaded(loader: Loader, environ: dict[str, str], section: str = "{}") -> OtlpConfig:
    config = loader.load(f"{MINIMAL}otlp: {section}\n", environ).otlp
    assert config is not None
    return config


def test_the_variables_say_what_the_section_leaves_out(loader: Loader) -> None:
    assert loaded(loader, ALL) == OtlpConfig(
        protocol="http/protobuf", timeout_seconds=2.5, compression="gzip", interval_seconds=1.5
    )


def test_the_variable_for_metrics_wins_over_the_one_for_all_signals(loader: Loader) -> None:
    assert loaded(loader, ALL | METRICS) == OtlpConfig(
        protocol="grpc", timeout_seconds=7, compression="none", interval_seconds=1.5
    )


def test_the_configuration_wins_over_every_variable(loader: Loader) -> None:
    section = "{protocol: grpc, timeout_seconds: 1, compression: none, interval_seconds: 3}"
    assert loaded(loader, ALL, section) == OtlpConfig(
        protocol="grpc", timeout_seconds=1, compression="none", interval_seconds=3
    )
    garbage = dict.fromkeys([*ALL, *METRICS], "hunter2")
    assert loaded(loader, garbage, section).protocol == "grpc"


def test_a_variable_that_is_empty_is_not_set(loader: Loader) -> None:
    assert loaded(loader, dict.fromkeys([*ALL, *METRICS], "")) == OtlpConfig()
    assert loaded(loader, ALL | dict.fromkeys(METRICS, "")) == loaded(loader, ALL)


@pytest.mark.parametrize("left_out", ["~", "''", "'${env:NONE:-}'"])
def test_what_holds_nothing_is_left_out(loader: Loader, left_out: str) -> None:
    assert loaded(loader, ALL, f"{{compression: {left_out}}}").compression == "gzip"


def test_endpoint_headers_and_files_are_left_to_the_exporters(loader: Loader) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4317",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
    }
    assert loaded(loader, environ) == OtlpConfig()


def test_variables_that_cannot_be_used_are_named_with_their_unit_and_never_shown(
    loader: Loader,
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "10000",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "\udcff",
        "OTEL_METRIC_EXPORT_INTERVAL": "60s",
    }
    assert loader.problems(MINIMAL + "otlp: {}\n", environ) == [
        (
            "otlp.protocol: must be 'grpc' or 'http/protobuf' "
            "(the value comes from the environment variable OTEL_EXPORTER_OTLP_PROTOCOL)"
        ),
        (
            "otlp.interval_seconds: must be a number (the value comes from "
            "the environment variable OTEL_METRIC_EXPORT_INTERVAL, in milliseconds)"
        ),
        (
            "otlp.timeout_seconds: must be at most 3600 (the value comes from "
            "the environment variable OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, in seconds)"
        ),
        (
            "otlp.compression: must be 'none' or 'gzip' "
            "(the value comes from the environment variable OTEL_EXPORTER_OTLP_COMPRESSION)"
        ),
    ]


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "1e400", "86400001"])
def test_an_interval_out_of_range_is_refused(loader: Loader, interval: str) -> None:
    (problem,) = loader.problems(MINIMAL + "otlp: {}\n", {"OTEL_METRIC_EXPORT_INTERVAL": interval})
    assert problem.startswith("otlp.interval_seconds: must be ")


def test_the_variables_do_not_matter_when_nothing_is_pushed(loader: Loader) -> None:
    assert loader.load(MINIMAL, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}).otlp is None


def test_a_section_is_not_changed_in_place() -> None:
    section: dict[str, object] = {"protocol": None}
    assert follow_variables(section, ALL)["protocol"] == "http/protobuf"
    assert section == {"protocol": None}


def test_the_default_endpoint_is_the_variables_or_this_machine() -> None:
    assert default_endpoint({}) == "http://localhost"
    endpoint = default_endpoint(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://all",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://metrics",
        }
    )
    assert endpoint == "https://metrics"
    assert isinstance(endpoint, FromEnvironment)
    assert endpoint.source == "the environment variable OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
