import ssl
from typing import Any

import pytest

from otel_emqx_monitor.config.reading import FileRefused
from otel_emqx_monitor.web.settings import SUITES, TLS13_SUITES, read_web_config
from tests.config.loader import MINIMAL, Loader
from tests.web.serving import SECRET_HASH, VERIFYING, Files, tls

EVERYTHING = f"""\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: true
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
    X-XSS-Protection: ""
basic_auth_users:
  alice: {SECRET_HASH}
"""


def refusal(files: Files, settings: dict[str, Any] | str) -> str:
    with pytest.raises(FileRefused) as caught:
        read_web_config(files.write(settings))
    return str(caught.value)


def test_the_toolkit_s_file_is_read_with_paths_from_its_folder(files: Files) -> None:
    config = read_web_config(files.write(EVERYTHING))
    assert config.tls_server_config.cert_file == str(files.folder / "server.crt")
    assert config.tls_server_config.client_certificates == "required"
    assert config.tls_server_config.suites == ("ECDHE-RSA-AES128-GCM-SHA256",)
    assert config.http_server_config.headers == {
        "Strict-Transport-Security": "max-age=31536000",
        "X-Frame-Options": "deny",
    }
    assert list(config.basic_auth_users) == ["alice"]
    assert SECRET_HASH not in repr(config)


@pytest.mark.parametrize("text", ["", "tls_server_config:\n", "tls_server_config:\n  cert_file:\n"])
def test_a_file_that_says_nothing_is_plain_http(files: Files, text: str) -> None:
    config = read_web_config(files.write(text))
    assert not config.tls_server_config.on
    assert config.basic_auth_users == {}


@pytest.mark.parametrize(
    "section, message",
    [
        ({"client_auth_type": "RequireAnyClientCert"}, "RequireAnyClientCert would take certific"),
        ({"client_auth_type": "RequireClientCert"}, "RequireClientCert would take certificates"),
        ({"client_auth_type": "RequestClientCert"}, "RequestClientCert would take certificates"),
        ({"client_auth_type": "Always"}, "must be one of NoClientCert, VerifyClientCertIfGiven, R"),
        ({"client_auth_type": "RequireAndVerifyClientCert"}, "give client_ca_file"),
        ({"client_ca_file": "ca.pem"}, "clients are not asked for theirs"),
        ({"client_allowed_sans": ["a"]}, "which a client without a certificate would pass"),
        (
            {
                "client_allowed_sans": ["a"],
                "client_ca_file": "ca.pem",
                "client_auth_type": "VerifyClientCertIfGiven",
            },
            "which a client without a certificate would pass",
        ),
        ({"min_version": "TLS10"}, "min_version: TLS10 is given up (RFC 8996)"),
        ({"max_version": "TLS11"}, "max_version: TLS11 is given up (RFC 8996)"),
        ({"min_version": "SSL3"}, "min_version: must be TLS12 or TLS13"),
        ({"min_version": "TLS13", "max_version": "TLS12"}, "a min_version above its max_version"),
        ({"cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]}, "has TLS_RSA_WITH_RC4_128_SHA, which"),
        (
            {"cipher_suites": ["TLS_AES_128_GCM_SHA256"], "max_version": "TLS12"},
            "cipher_suites of TLS 1.3 alone",
        ),
        ({"curve_preferences": ["X25519", "CurveP256"]}, "has more than one; Python can set one"),
        ({"curve_preferences": ["Curve1"]}, "has Curve1; known are CurveP256, CurveP384"),
        ({"cert": "PEM"}, "has cert and cert_file; keep one"),
        ({"key": "PEM"}, "has key and key_file; keep one"),
        ({"cert_file": ""}, "needs cert_file or cert"),
        ({"key_file": None}, "needs key_file or key"),
        ({"cert_fil": "x"}, "tls_server_config.cert_fil: is not a known key"),
        ({"prefer_server_cipher_suites": "perhaps"}, "must be true or false"),
    ],
)
def test_tls_that_cannot_be_honoured_is_refused(
    files: Files, section: dict[str, Any], message: str
) -> None:
    assert message in refusal(files, {"tls_server_config": tls(**section)})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"tls_config": {}}, "tls_config: is not a known key"),
        ({"rate_limit": {"burst": 1}}, "rate_limit: is not supported; prometheus.max_connections"),
        ({"basic_auth_users": {"a": "secret"}}, "must be a password's bcrypt hash"),
        ({"basic_auth_users": {"a": SECRET_HASH.replace("$04$", "$17$")}}, "has a cost of 17"),
        ({"basic_auth_users": {"a": SECRET_HASH.replace("$04$", "$03$")}}, "has a cost of 3"),
        ({"basic_auth_users": {"a:b": SECRET_HASH}}, "a user name with ':'"),
        ({"basic_auth_users": ["a"]}, "basic_auth_users: must be a mapping"),
        ({"http_server_config": {"headers": {"Server": "x"}}}, "has Server; only Strict-Transport"),
        ({"http_server_config": {"headers": {"X-Frame-Options": "no"}}}, "must be deny or sameori"),
        (
            {"http_server_config": {"headers": {"Content-Security-Policy": "a\r\nB: c"}}},
            "must be one line of printable ASCII",
        ),
        ("- a\n", "must be a mapping"),
        ("a: [\n", "is not valid YAML"),
    ],
)
def test_other_settings_that_are_wrong_are_refused(
    files: Files, settings: dict[str, Any] | str, message: str
) -> None:
    assert message in refusal(files, settings)


def test_no_secret_is_in_a_refusal(files: Files) -> None:
    settings = {
        "tls_server_config": {"key": "hunter2-key", "cert": "x", "key_file": "k"},
        "basic_auth_users": {"a": "hunter2-password"},
    }
    message = refusal(files, settings)
    assert "tls_server_config: has key and key_file" in message
    assert "hunter2" not in message


def test_suites_are_all_openssl_s(files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for suite in SUITES.values():
        context.set_ciphers(suite)
        assert suite in {cipher["name"] for cipher in context.get_ciphers()}
    assert {cipher["name"] for cipher in context.get_ciphers()} >= TLS13_SUITES


def test_the_configuration_names_the_file_relative_to_itself_and_is_refused_with_it(
    loader: Loader,
) -> None:
    files = Files(loader.folder)
    text = MINIMAL + "prometheus:\n  web_config_file: web.yml\n"
    path = files.write({"tls_server_config": tls(**VERIFYING)})
    missing = loader.folder / "server.crt"
    [problem] = loader.problems(text)
    assert problem == (
        f"prometheus.web_config_file: tls_server_config.cert_file {missing}: there is no such"
        f" file: {path}"
    )
    files.certify("localhost")
    assert loader.load(text).prometheus.web_config_file == str(path)
    files.certify("localhost", stem="other")
    (loader.folder / "other.key").rename(loader.folder / "server.key")
    [problem] = loader.problems(text)
    assert "OpenSSL cannot use tls_server_config.cert_file" in problem
    assert "(KEY_VALUES_MISMATCH)" in problem
