from pathlib import Path

import pytest

from otel_emqx_monitor.web import live
from otel_emqx_monitor.web.live import LiveWebConfig
from otel_emqx_monitor.web.settings import WebConfig, read_web_config
from tests.web.serving import OTHER_HASH, SECRET_HASH, Files, tls


def users(config: WebConfig) -> set[str]:
    return set(config.basic_auth_users)


def test_a_change_while_the_file_is_read_shows_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path)
    path = files.write({"basic_auth_users": {"alice": SECRET_HASH}})

    def read_and_be_overtaken(file: Path) -> WebConfig:
        config = read_web_config(file)
        monkeypatch.setattr(live, "read_web_config", read_web_config)
        files.write({"basic_auth_users": {"alice": SECRET_HASH, "bob": OTHER_HASH}})
        return config

    monkeypatch.setattr(live, "read_web_config", read_and_be_overtaken)
    assert users(LiveWebConfig(path).current()) == {"alice", "bob"}


def test_a_change_that_is_refused_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path)
    files.certify("localhost")
    config = LiveWebConfig(files.write({"tls_server_config": tls()}))
    reads = []

    def counted(file: Path) -> WebConfig:
        reads.append(file)
        return read_web_config(file)

    monkeypatch.setattr(live, "read_web_config", counted)
    files.write("basic_auth_users: {}\n")
    for _ in range(3):
        assert config.current().tls_server_config.on
    assert len(reads) == 1


def test_a_certificate_that_comes_after_the_file_that_names_it_is_used(tmp_path: Path) -> None:
    files, others = Files(tmp_path), tmp_path / "later"
    files.certify("localhost")
    config = LiveWebConfig(files.write({"tls_server_config": tls()}))
    before = config.context()
    named = {"cert_file": "later/server.crt", "key_file": "later/server.key"}
    files.write({"tls_server_config": tls() | named})
    assert config.context() is before
    others.mkdir()
    Files(others).certify("localhost")
    assert config.context() is not before
    assert config.current().tls_server_config.cert_file == str(others / "server.crt")
