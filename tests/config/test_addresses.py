import pytest

from otel_emqx_monitor.config.addresses import checked_host, normalised_api_url

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
