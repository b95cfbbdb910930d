import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests

from otel_emqx_monitor.server import Access
from otel_emqx_monitor.web.tls import names
from tests.web.serving import VERIFYING, Files, connect, serving, tls

REFUSED = (requests.exceptions.SSLError, requests.exceptions.ConnectionError)


def test_metrics_come_over_tls_and_not_without(files: Files) -> None:
    path = files.write({"tls_server_config": tls()})
    with serving(Access(path)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        answer = requests.get(server.url + "metrics", verify=str(files.ca_file), timeout=20)
        assert "emqx_client_monitor_up" in answer.text
        with pytest.raises(REFUSED):
            requests.get(server.url.replace("https", "http") + "metrics", timeout=20)


def test_certificate_and_key_may_stand_in_the_file(files: Files) -> None:
    leaf = files.ca.issue_cert("127.0.0.1")
    settings = {
        "cert": leaf.cert_chain_pems[0].bytes().decode(),
        "key": leaf.private_key_pem.bytes().decode(),
        "client_ca": files.ca.cert_pem.bytes().decode(),
        "client_auth_type": "VerifyClientCertIfGiven",
    }
    with serving(Access(files.write({"tls_server_config": settings}))) as server:
        answer = requests.get(server.url + "metrics", verify=str(files.ca_file), timeout=20)
        assert answer.status_code == 200


def test_a_client_needs_a_certificate_of_the_ca(files: Files, tmp_path: Path) -> None:
    (tmp_path / "strangers").mkdir()
    stranger = Files(tmp_path / "strangers")
    stranger.certify("prometheus.example", stem="client")
    path = files.write({"tls_server_config": tls(**VERIFYING)})
    with serving(Access(path)) as server:
        url, ca = server.url + "metrics", str(files.ca_file)
        assert requests.get(url, verify=ca, cert=files.pair, timeout=20).status_code == 200
        for pair in (None, stranger.pair):
            with pytest.raises(REFUSED):
                requests.get(url, verify=ca, cert=pair, timeout=20)


@pytest.mark.parametrize(
    "allowed, passes",
    [
        (["other.example", "prometheus.example"], True),
        (["10.0.0.1"], True),
        (["::1"], True),
        (["ops@example.org"], True),
        (["example"], False),
        ([], False),
    ],
)
def test_a_client_s_certificate_has_to_have_an_allowed_name(
    files: Files, allowed: list[str], passes: bool
) -> None:
    files.certify("prometheus.example", "10.0.0.1", "::1", "ops@example.org", stem="client")
    section = tls(**VERIFYING, client_allowed_sans=allowed)
    with serving(Access(files.write({"tls_server_config": section}))) as server:
        try:
            answer = requests.get(
                server.url + "metrics", verify=str(files.ca_file), cert=files.pair, timeout=20
            )
        except REFUSED:
            assert not passes
        else:
            assert passes
            assert answer.status_code == 200


def test_names_are_written_as_go_writes_them() -> None:
    found = (
        ("DNS", "a"),
        ("URI", "spiffe://b"),
        ("IP Address", "0:0:0:0:0:0:0:1\n"),
        ("DirName", "c"),
    )
    assert names({"subjectAltName": found}) == {"a", "spiffe://b", "::1"}
    assert names({}) == frozenset()


@pytest.mark.parametrize(
    "section, spoken, version, cipher",
    [
        ({"max_version": "TLS12"}, {}, "TLSv1.2", None),
        ({"min_version": "TLS13"}, {}, "TLSv1.3", None),
        ({"min_version": "TLS13"}, {"max": ssl.TLSVersion.TLSv1_2}, None, None),
        (
            {"cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
            {"max": ssl.TLSVersion.TLSv1_2},
            "TLSv1.2",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]},
            {"max": ssl.TLSVersion.TLSv1_2},
            None,
            None,
        ),
        ({"curve_preferences": ["CurveP384"]}, {"curve": "prime256v1"}, None, None),
        ({"curve_preferences": ["CurveP384"]}, {"curve": "secp384r1"}, "TLSv1.3", None),
    ],
)
def test_versions_suites_and_curves_are_those_of_the_file(
    files: Files,
    section: dict[str, object],
    spoken: dict[str, object],
    version: str | None,
    cipher: str | None,
) -> None:
    context = ssl.create_default_context(cafile=str(files.ca_file))
    if "max" in spoken:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if "curve" in spoken:
        context.set_ecdh_curve(str(spoken["curve"]))
    path = files.write({"tls_server_config": tls(**section)})
    with serving(Access(path)) as server, connect(server) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                assert connection.version() == version
                agreed = connection.cipher()
                assert agreed is not None
                assert cipher in (None, agreed[0])
        except ssl.SSLError:
            assert version is None


def serial(server_port: socket.socket, files: Files) -> object:
    context = ssl.create_default_context(cafile=str(files.ca_file))
    with context.wrap_socket(server_port, server_hostname="localhost") as connection:
        return (connection.getpeercert() or {})["serialNumber"]


def test_a_renewed_certificate_serves_the_next_connection(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    path = files.write({"tls_server_config": tls()})
    with serving(Access(path)) as server, caplog.at_level("INFO", "otel_emqx_monitor.web"):
        first = serial(connect(server), files)
        assert serial(connect(server), files) == first

        renewed = files.ca.issue_cert("localhost")
        renewed.cert_chain_pems[0].write_to_path(files.folder / "server.crt")
        assert serial(connect(server), files) == first, "half of a new pair is not used"
        assert serial(connect(server), files) == first
        [error] = [record.getMessage() for record in caplog.records]
        assert "(KEY_VALUES_MISMATCH)" in error
        assert error.endswith("the former settings and certificates stay in use")

        renewed.private_key_pem.write_to_path(files.folder / "server.key")
        assert serial(connect(server), files) != first
        assert caplog.messages[1:] == [f"read {path} and its certificates again"]


def test_another_ca_for_clients_holds_from_the_next_connection_on(
    files: Files, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    new = Files(tmp_path / "new")
    new.certify("prometheus.example", stem="client")
    path = files.write({"tls_server_config": tls(**VERIFYING)})
    with serving(Access(path)) as server:
        url, ca = server.url + "metrics", str(files.folder / "server-ca.pem")
        files.ca.cert_pem.write_to_path(ca)
        assert requests.get(url, verify=ca, cert=files.pair, timeout=20).status_code == 200
        new.ca.cert_pem.write_to_path(files.ca_file)
        assert requests.get(url, verify=ca, cert=new.pair, timeout=20).status_code == 200
        with pytest.raises(REFUSED):
            requests.get(url, verify=ca, cert=files.pair, timeout=20)


def test_tls_is_not_turned_off_while_it_runs(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    path = files.write({"tls_server_config": tls()})
    with serving(Access(path)) as server:
        files.write("basic_auth_users: {}\n")
        answer = requests.get(server.url + "metrics", verify=str(files.ca_file), timeout=20)
        assert answer.status_code == 200
    assert "it turns TLS on or off, which needs a restart" in caplog.text


@pytest.mark.parametrize(
    "lost, told",
    [
        (["client_allowed_sans"], "it takes away client_allowed_sans, which needs a restart"),
        (
            ["client_allowed_sans", "client_auth_type", "client_ca_file"],
            "it asks no longer for certificates of clients, which needs a restart",
        ),
    ],
)
def test_a_file_that_is_half_written_lets_nobody_in(
    files: Files, lost: Sequence[str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tls(**VERIFYING, client_allowed_sans=["nobody.example"])
    path = files.write({"tls_server_config": whole})
    with serving(Access(path)) as server:
        half = {key: value for key, value in whole.items() if key not in lost}
        files.write({"tls_server_config": half})
        url, ca = server.url + "metrics", str(files.ca_file)
        with pytest.raises(REFUSED):
            requests.get(url, verify=ca, cert=files.pair, timeout=20)
    assert told in caplog.text
