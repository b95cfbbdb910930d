import os
import shutil
from pathlib import Path

import pytest
import trustme

from otel_emqx_monitor.config import load
from tests.config.loader import MINIMAL, Loader, emqx, otlp

CA = "must be true, false or the path of a CA bundle"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_can_come_from_a_file_beside_the_configuration(loader: Loader, end: str) -> None:
    (loader.folder / "key").write_bytes(f"key from file{end}".encode())
    (loader.folder / "secret").write_bytes(f"sécret{end}".encode())
    section = emqx(api_key="", api_secret="", api_key_file="key", api_secret_file="./secret")
    config = loader.load(section)
    assert config.emqx.api_key.get_secret_value() == "key from file"
    assert config.emqx.api_secret.get_secret_value() == "sécret"
    assert config.emqx.api_key_file == str(loader.folder / "key")


def test_the_path_of_a_secret_can_start_in_the_home_folder(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "key").write_text("k\n")
    monkeypatch.setenv("HOME", str(home))
    config = loader.load(emqx(api_key="", api_key_file="~/key"))
    assert config.emqx.api_key.get_secret_value() == "k"


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "its content must not be empty"),
        (b"\n", "its content must not be empty"),
        (b"a\nb\n", "its content must be one line without control characters"),
        (b"a\n\n", "its content must be one line without control characters"),
        (b"a\x00", "its content must be one line without control characters"),
        (b"ok\n\xff", "it is not UTF-8 text (line 2)"),
        (b"a" * 70_000, "it is larger than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    loader: Loader, content: bytes, problem: str
) -> None:
    path = loader.folder / "key"
    path.write_bytes(content)
    assert loader.problems(emqx(api_key="", api_key_file="key")) == [
        f"emqx.api_key_file: {problem}: {path}"
    ]


def test_a_secret_file_that_cannot_be_read_is_refused(loader: Loader) -> None:
    text = emqx(api_key="", api_secret="", api_key_file="none", api_secret_file=".")
    assert loader.problems(text) == [
        f"emqx.api_key_file: there is no such file: {loader.folder / 'none'}",
        f"emqx.api_secret_file: it is a folder, not a file: {loader.folder}",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_secret_file_without_permission_is_refused(loader: Loader) -> None:
    path = loader.folder / "key"
    path.write_text("k")
    path.chmod(0)
    assert loader.problems(emqx(api_key="", api_key_file="key")) == [
        f"emqx.api_key_file: there is no permission to read it: {path}"
    ]


@pytest.mark.parametrize(
    "path, problem",
    [
        (
            "~nobody-of-that-name/key",
            "the home folder that '~' stands for is not known: ~nobody-of-that-name/key",
        ),
        (r'"a\0b"', "its path is not one that a file can have: /folder/a\\x00b"),
    ],
)
def test_a_path_that_cannot_be_is_refused(loader: Loader, path: str, problem: str) -> None:
    expected = problem.replace("/folder", str(loader.folder))
    assert loader.problems(emqx(api_key="", api_key_file=path)) == [
        f"emqx.api_key_file: {expected}"
    ]


def test_a_secret_is_needed_once_and_only_once(loader: Loader) -> None:
    (loader.folder / "key").write_text("k")
    text = emqx(api_key_file="key", api_secret="")
    assert loader.problems(text) == [
        "emqx.api_key: is given twice: keep either api_key or api_key_file",
        "emqx.api_secret: is required: give api_secret, or api_secret_file with a file's path",
    ]


def test_a_variable_that_was_left_empty_is_no_secret(loader: Loader) -> None:
    (loader.folder / "key").write_text("k")
    text = emqx(api_key="${env:KEY:-}", api_key_file="${env:KEY_FILE:-}")
    assert loader.load(text, {"KEY": "a"}).emqx.api_key.get_secret_value() == "a"
    assert loader.load(text, {"KEY_FILE": "key"}).emqx.api_key.get_secret_value() == "k"
    assert loader.problems(text) == [
        "emqx.api_key: is required: give api_key, or api_key_file with a file's path"
    ]


def test_a_file_named_by_a_missing_variable_is_one_problem(loader: Loader) -> None:
    assert loader.problems(emqx(api_key="", api_key_file="${env:KEY_FILE}")) == [
        (
            "emqx.api_key_file: the environment variable KEY_FILE is not set; "
            "set it, or give a default: ${env:KEY_FILE:-default}"
        )
    ]


def test_a_path_must_be_text(loader: Loader) -> None:
    assert loader.problems(emqx(api_key="", api_key_file="5")) == [
        "emqx.api_key_file: must be text, is 5; put quotes around it"
    ]


def test_a_ca_bundle_is_found_beside_the_configuration(loader: Loader) -> None:
    trustme.CA().cert_pem.write_to_path(str(loader.folder / "ca.pem"))
    assert loader.load(emqx(ssl="ca.pem")).emqx.ssl == str(loader.folder / "ca.pem")


def test_a_folder_of_certificates_is_accepted(loader: Loader) -> None:
    (loader.folder / "certs").mkdir()
    assert loader.load(emqx(ssl="certs")).emqx.ssl == str(loader.folder / "certs")


def test_a_ca_bundle_that_verifies_nothing_is_refused(loader: Loader) -> None:
    path = loader.folder / "ca.pem"
    assert loader.problems(emqx(ssl="ca.pem")) == [f"emqx.ssl: {CA}; there is no such file: {path}"]
    path.write_text("not a certificate")
    assert loader.problems(emqx(ssl="ca.pem")) == [
        f"emqx.ssl: {CA}; it holds no certificates in PEM format: {path}"
    ]


@pytest.mark.parametrize(
    "text, value",
    [("true", True), ("False", False), ('"TRUE"', True), ('"false"', False)],
)
def test_ssl_can_be_a_switch_however_it_is_written(loader: Loader, text: str, value: bool) -> None:
    assert loader.load(emqx(ssl=text)).emqx.ssl is value


@pytest.mark.parametrize(
    "text, shown", [("1", "1"), ('""', "''"), ("null", "empty"), ("[]", "a list")]
)
def test_ssl_can_be_nothing_else(loader: Loader, text: str, shown: str) -> None:
    assert loader.problems(emqx(ssl=text)) == [f"emqx.ssl: {CA}, is {shown}"]


def test_paths_do_not_depend_on_the_working_folder(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loader.folder / "key").write_text("k")
    elsewhere = loader.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(loader.file(emqx(api_key="", api_key_file="../key")), elsewhere / "c.yaml")
    monkeypatch.chdir(loader.folder)
    config = load(Path("elsewhere/c.yaml"), {})
    assert config.emqx.api_key_file == str(loader.folder / "elsewhere" / ".." / "key")


def otlp_files(**names: str) -> str:
    return otlp("endpoint: https://c", *(f"{key}: {name}" for key, name in names.items()))


@pytest.mark.usefixtures("pem_files")
def test_files_are_found_beside_the_configuration_and_in_the_home_folder(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(loader.folder))
    config = loader.load(
        otlp_files(
            ca_file="./ca.pem", client_certificate_file="~/client.pem", client_key_file="client.key"
        )
    ).otlp
    assert config is not None
    assert config.ca_file == f"{loader.folder}/ca.pem"
    assert config.client_certificate_file == f"{loader.folder}/client.pem"
    assert config.client_key_file == f"{loader.folder}/client.key"


@pytest.mark.usefixtures("pem_files")
def test_certificate_and_key_can_be_in_one_file(loader: Loader) -> None:
    both = (loader.folder / "client.pem").read_bytes() + (loader.folder / "client.key").read_bytes()
    (loader.folder / "both.pem").write_bytes(both)
    loader.load(otlp_files(client_certificate_file="both.pem", client_key_file="both.pem"))


@pytest.mark.parametrize(
    "name, problem",
    [
        ("missing", "there is no such file: {folder}/missing"),
        (".", "it is a folder, not a file: {folder}"),
        ("client.key", "it holds no certificates in PEM format: {folder}/client.key"),
        ("config.yaml", "it holds no certificates in PEM format: {folder}/config.yaml"),
        (r'"a\0b"', "its path is not one that a file can have: {folder}/a\\x00b"),
        ("~nobody-of-that-name/x", "the home folder that '~' stands for is not known: {file}"),
        ("${env:FILE}", "there is no such file (the path comes from ${{env:FILE}})"),
    ],
)
@pytest.mark.parametrize("key", ["ca_file", "client_certificate_file"])
@pytest.mark.usefixtures("pem_files")
def test_a_file_without_certificates_is_refused(
    loader: Loader, key: str, name: str, problem: str
) -> None:
    files = {"client_certificate_file": "client.pem", "client_key_file": "client.key", key: name}
    expected = problem.format(folder=loader.folder, file=name)
    assert loader.problems(otlp_files(**files), {"FILE": "hunter2"}) == [f"otlp.{key}: {expected}"]


ENCRYPTED = "its key is encrypted; give one without a passphrase"
NO_KEY = "it holds no private key in PEM format"


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", NO_KEY),
        (b"\xff\x00", NO_KEY),
        (b"-----BEGIN CERTIFICATE-----\nhunter2\n", NO_KEY),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n", ENCRYPTED),
        (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nhunter2\n", ENCRYPTED),
        (
            b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
            "OpenSSL cannot use it with client_certificate_file",
        ),
        (b"a" * 70_000, "it is larger than 65536 bytes"),
    ],
)
@pytest.mark.usefixtures("pem_files")
def test_a_file_without_a_usable_key_is_refused(
    loader: Loader, content: bytes, problem: str
) -> None:
    path = loader.folder / "bad.key"
    path.write_bytes(content)
    text = otlp_files(client_certificate_file="client.pem", client_key_file="bad.key")
    assert loader.problems(text) == [f"otlp.client_key_file: {problem}: {path}"]


@pytest.mark.usefixtures("pem_files")
def test_the_key_of_another_certificate_is_refused(loader: Loader) -> None:
    text = otlp_files(client_certificate_file="client.pem", client_key_file="${env:KEY}")
    loader.load(text, {"KEY": "client.key"})
    assert loader.problems(text, {"KEY": "other.key"}) == [
        (
            "otlp.client_key_file: its key is not that of client_certificate_file "
            "(the path comes from ${env:KEY})"
        )
    ]


@pytest.mark.usefixtures("pem_files")
def test_every_file_that_is_wrong_is_reported(loader: Loader) -> None:
    text = otlp_files(ca_file="x", client_certificate_file="y", client_key_file="ca.pem")
    assert loader.problems(text) == [
        f"otlp.ca_file: there is no such file: {loader.folder}/x",
        f"otlp.client_certificate_file: there is no such file: {loader.folder}/y",
        f"otlp.client_key_file: it holds no private key in PEM format: {loader.folder}/ca.pem",
    ]


def state(path: str) -> str:
    return MINIMAL + f"state: {{path: {path}}}\n"


def test_the_path_of_the_state_starts_in_the_folder_of_the_configuration_or_at_home(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loader.folder / "kept").mkdir()
    monkeypatch.setenv("HOME", str(loader.folder))
    for written, path in [
        ("state.db", "state.db"),
        ("kept/state", "kept/state"),
        ("'~/state'", "state"),
        (str(loader.folder / "absolute"), "absolute"),
    ]:
        assert loader.load(state(written)).state.path == str(loader.folder / path)
        assert not (loader.folder / path).exists()


@pytest.mark.parametrize("nothing", ["~", "''", "'${env:STATE:-}'"])
def test_without_a_path_nothing_is_kept(loader: Loader, nothing: str) -> None:
    assert loader.load(state(nothing)).state.path is None


def test_a_state_that_cannot_be_kept_there_is_refused(loader: Loader) -> None:
    here = loader.folder
    (here / "file").write_text("")
    missing = "its folder does not exist; create it, or name a file elsewhere"
    for written, problem in [
        ("none/state", f"{missing}: {here}/none/state"),
        ("file/state", f"{missing}: {here}/file/state"),
        (".", f"it is a folder; name a file in it: {here}"),
        ("x" * 300 + "/b", f"it cannot be read: File name too long: {here}/x"),
        (r'"a\0/b"', f"its path is not one that a file can have: {here}/a\\x00/b"),
        ("~nobody-of-that-name/a", "the home folder that '~' stands for is not known"),
        ("'${env:STATE}'", f"{missing} (the path comes from ${{env:STATE}})"),
        ("5", "must be text, is 5; put quotes around it"),
    ]:
        (found,) = loader.problems(state(written), {"STATE": "none/x"})
        assert found.startswith(f"state.path: {problem}")
