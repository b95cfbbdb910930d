import pytest

from otel_emqx_monitor.config.addresses import (
    checked_host,
    endpoint_for,
    normalised_api_url,
    normalised_endpoint,
)

HOST = "must have a valid host: a name, an IPv4 or a bracketed IPv6"
HOST_PORT = "must have a valid host, then at most a port from 1 to 65535"
SCHEME = "must begin with http:// or https://, as in http://emqx:18083/api/"
ENDING = "must end with /api/v5 or before it, as in http://emqx:18083/api/"
USER = "must not hold a user or password: use emqx.api_key and emqx.api_secret"
QUERY = "must not have a query or fragment (the part from '?' or '#' on)"
CHARACTERS = "must not contain spaces, control characters, quotes or backslashes"


@pytest.mark.parametrize("ending", ["", "/", "//", "/api", "/api/", "/api/v5", "/api/v5/"])
@pytest.mark.parametrize(
    "base",
    [
        "http://emqx:18083",
        "https://emqx",
        "http://10.0.0.1:80",
        "http://[::1]:18083",
        "http://[fe80::1%eth0]",
        "https://my_emqx.example.com./proxy/emqx",
        "https://gateway/api/emqx",
        "http://żółw",
    ],
)
def test_every_usual_way_to_write_the_url_is_the_same(base: str, ending: str) -> None:
    assert normalised_api_url(base + ending) == f"{base}/api/v5"


def test_scheme_and_host_are_written_small_and_the_path_is_not() -> None:
    assert normalised_api_url("HTTP://EMQX:018083/Proxy/") == "http://emqx:18083/Proxy/api/v5"


@pytest.mark.parametrize(
    "url, problem",
    [
        ("", SCHEME),
        ("emqx", SCHEME),
        ("emqx:18083/api/", SCHEME),
        ("ftp://emqx", SCHEME),
        ("http:emqx", SCHEME),
        ("http://", HOST_PORT),
        ("http:///api", HOST_PORT),
        ("http://emqx:", HOST_PORT),
        ("http://emqx:port", HOST_PORT),
        ("http://emqx:1:2", HOST_PORT),
        ("http://[::1]x", HOST_PORT),
        ("http://emqx:0", "must have a port from 1 to 65535, or none"),
        ("http://emqx:65536", "must have a port from 1 to 65535, or none"),
        ("http://[::1", HOST),
        ("http://[1.2.3.4]", HOST),
        ("http://1.2.3.400", HOST),
        ("http://a..b", HOST),
        ("http://-a", HOST),
        ("http://" + "a" * 64, HOST),
        ("http://user:hunter2@emqx", USER),
        ("http://@emqx", USER),
        ("http://emqx/api?", QUERY),
        ("http://emqx/api?key=hunter2", QUERY),
        ("http://emqx/#/dashboard", QUERY),
        ("http://emqx/api/v4", ENDING),
        ("http://emqx/api/v5/clients", ENDING),
        ("http://em qx", CHARACTERS),
        (" http://emqx", CHARACTERS),
        ("http://emqx\n", CHARACTERS),
        ("http://emqx\\@other", CHARACTERS),
        ("http://emqx/\u202e", CHARACTERS),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        normalised_api_url(url)
    assert str(caught.value) == problem


ENDPOINT_SCHEME = "must begin with http:// or https://, as in http://collector:4317"
ENDPOINT_USER = "must not hold a user or password: use otlp.headers"
HTTP = "must begin with http:// or https:// for http/protobuf, as in http://collector:4318"
PATH = (
    "must not have a path for grpc, as in http://collector:4317; "
    "for a URL with a path set otlp.protocol to http/protobuf"
)
PORT = "must have a port for grpc, as in http://collector:4317"


@pytest.mark.parametrize(
    "text, endpoint",
    [
        ("http://collector:4317", "http://collector:4317"),
        ("HTTPS://Collector:04317/", "https://collector:4317"),
        ("https://collector", "https://collector"),
        ("collector:4317", "collector:4317"),
        ("collector:4317//", "collector:4317"),
        ("10.0.0.1:4317", "10.0.0.1:4317"),
        ("[::1]:4317", "[::1]:4317"),
        ("http://[fe80::1%eth0]:4317", "http://[fe80::1%eth0]:4317"),
        ("http://collector:4318/Otlp/", "http://collector:4318/Otlp"),
    ],
)
def test_an_endpoint_is_a_url_or_a_host_and_port(text: str, endpoint: str) -> None:
    assert normalised_endpoint(text) == endpoint
    assert normalised_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint, problem",
    [
        ("", HOST_PORT),
        ("grpc://collector:4317", ENDPOINT_SCHEME),
        ("dns:///collector:4317", ENDPOINT_SCHEME),
        ("unix:///run/collector", ENDPOINT_SCHEME),
        ("unix:/run/collector", HOST_PORT),
        ("://collector", HOST_PORT),
        ("http://", HOST_PORT),
        ("collector:port", HOST_PORT),
        ("::1", HOST_PORT),
        ("collector:0", "must have a port from 1 to 65535, or none"),
        ("collector:65536", "must have a port from 1 to 65535, or none"),
        ("http://[::1", HOST),
        ("1.2.3.400:4317", HOST),
        ("http://user:hunter2@collector:4317", ENDPOINT_USER),
        ("user:hunter2@collector:4317", ENDPOINT_USER),
        ("@collector:4317", ENDPOINT_USER),
        ("http://collector:4318/?token=hunter2", QUERY),
        ("collector:4317#", QUERY),
        ("collector: 4317", CHARACTERS),
        ("collector:4317\n", CHARACTERS),
        ("http://collector:4318/\u202e", CHARACTERS),
    ],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(endpoint: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        normalised_endpoint(endpoint)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "protocol, endpoint, given_to_exporter",
    [
        ("grpc", "http://collector:4317", "http://collector:4317"),
        ("grpc", "https://collector", "https://collector"),
        ("grpc", "[::1]:4317", "[::1]:4317"),
        ("http/protobuf", "http://collector:4318", "http://collector:4318/v1/metrics"),
        ("http/protobuf", "https://collector/otlp", "https://collector/otlp/v1/metrics"),
        ("http/protobuf", "https://collector/otlp/v1/metrics", "https://collector/otlp/v1/metrics"),
    ],
)
def test_http_gets_the_path_for_metrics(
    protocol: str, endpoint: str, given_to_exporter: str
) -> None:
    assert endpoint_for(protocol, endpoint) == given_to_exporter


@pytest.mark.parametrize(
    "protocol, endpoint, problem",
    [
        ("grpc", "http://collector:4318/v1/metrics", PATH),
        ("grpc", "http://collector", PORT),
        ("grpc", "collector", PORT),
        ("grpc", "[::1]", PORT),
        ("http/protobuf", "collector:4318", HTTP),
    ],
)
def test_an_endpoint_has_to_fit_the_protocol(protocol: str, endpoint: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        endpoint_for(protocol, endpoint)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "text, host",
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::", "::"),
        ("[::1]", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("localhost", "localhost"),
        ("Node-1.example_zone.com.", "Node-1.example_zone.com."),
    ],
)
def test_addresses_and_names_are_hosts(text: str, host: str) -> None:
    assert checked_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", "*", "[::1", "::1]", "host:80", "1.2.3", "256.1.1.1", "a b", "fe80::1%\x1b", "a" * 254],
)
def test_anything_else_is_not_a_host(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        checked_host(text)
    assert str(caught.value) == "must be an IPv4 or IPv6 address or a host name, without a port"
