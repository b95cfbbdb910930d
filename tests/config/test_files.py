import os
import shutil
from pathlib import Path

import pytest
import trustme

from otel_emqx_monitor.config import load
from tests.config.loader import Loader, emqx

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
