import os
from pathlib import Path

import pytest

from otel_emqx_monitor.config import ConfigError, default_path, load
from tests.config.loader import MINIMAL, Loader


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, alias: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(MINIMAL.replace("LocalEMQX", alias))
    return path


def test_the_default_place_is_our_own_even_when_nothing_is_there(home: Path) -> None:
    assert default_path() == home / ".config/otel-emqx-monitor/config.yaml"


def test_the_place_of_the_original_is_taken_when_only_that_exists(home: Path) -> None:
    original = write(home / ".config/emqx-client-monitor/config.yaml", "original")
    assert default_path() == original
    assert load(environ={}).emqx.alias == "original"
    own = write(home / ".config/otel-emqx-monitor/config.yaml", "own")
    assert default_path() == own
    assert load(None, {}).emqx.alias == "own"


def test_without_any_configuration_the_message_says_how_to_start(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {})
    assert str(caught.value) == (
        f"cannot use the configuration {home}/.config/otel-emqx-monitor/config.yaml:\n"
        "  there is no such file, nor the original's "
        f"{home}/.config/emqx-client-monitor/config.yaml\n"
        "  to start, copy examples/minimal.yaml there and fill it in, "
        "or name a file with --cfg FILE\n"
        "  to see it at work without a broker, run: otel-emqx-monitor demo"
    )


def test_a_file_in_the_home_folder_can_be_named(home: Path) -> None:
    (home / "c.yaml").write_text(MINIMAL)
    assert load(Path("~/c.yaml"), {}).emqx.alias == "LocalEMQX"


@pytest.mark.parametrize(
    "path, problem",
    [
        ("/nonexistent/c.yaml", "there is no such file"),
        ("/", "it is a folder, not a file"),
        ("/dev/null/c.yaml", "it cannot be read: Not a directory"),
        ("/" + "a" * 300, "it cannot be read: File name too long"),
        ("a\0b", "its path is not one that a file can have"),
        ("~nobody-of-that-name/c", "the home folder that '~' stands for is not known"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(path: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Path(path), {})
    assert [str(found) for found in caught.value.problems] == [problem]
    assert caught.value.where == path


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_one_line(loader: Loader) -> None:
    path = loader.file(MINIMAL)
    path.chmod(0)
    with pytest.raises(ConfigError, match="there is no permission to read it"):
        load(path, {})


NEEDED = "examples/minimal.yaml shows what is needed"


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", f"is empty; {NEEDED}"),
        (b"# only a comment\n", f"is empty; {NEEDED}"),
        (b"- a\n", f"must be a mapping (lines of 'key: value'); {NEEDED}"),
        (b"hunter2", f"must be a mapping (lines of 'key: value'); {NEEDED}"),
        (b"a: 1\nb: \xff\n", "it is not UTF-8 text (line 2)"),
        (MINIMAL.encode("utf-16"), "it is not UTF-8 text (line 1)"),
        (b"a: b: c\n", "line 1, column 5: is not valid YAML: mapping values are not allowed"),
        (b"[" * 100_000, "line 1: is nested more than 20 levels deep"),
        (b"{a: " * 100_000, "line 1: is nested more than 20 levels deep"),
        (b"&a [*a]", "line 1: a YAML alias (*) stands inside its own anchor (&)"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(
    loader: Loader, content: bytes, problem: str
) -> None:
    (found,) = loader.problems(content)
    assert found.startswith(problem)


def test_windows_line_breaks_and_a_byte_order_mark_do_no_harm(loader: Loader) -> None:
    config = loader.load(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert config.emqx.alias == "LocalEMQX"


def test_the_environment_of_the_process_is_the_default(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER", "from outside")
    path = loader.file(MINIMAL.replace("LocalEMQX", "${env:BROKER}"))
    assert load(path).emqx.alias == "from outside"


def test_problems_of_all_kinds_are_reported_together(loader: Loader) -> None:
    error = loader.error(
        """\
emqx:
  api_key: 12345
  api_secret_file: missing
  api_url: http://admin:hunter2@emqx:18083/
  alias: ${env:BROKER}
  timeout_seconds: -5
  attempts: 3
  attempts: 4
monitored_clients:
  - alias: a
    client_id: 007
  - alias: a
    client_id: "b"
    colour: red
prometheus:
  port: ${env:PORT}
  enable_date: true
polling: [60]
""",
        {"PORT": "http"},
    )
    assert str(error) == (
        f"cannot use the configuration {loader.folder}/config.yaml:\n"
        "  emqx.attempts: is given twice, in line 7 and in line 8; keep one\n"
        "  emqx.alias: the environment variable BROKER is not set; "
        "set it, or give a default: ${env:BROKER:-default}\n"
        f"  emqx.api_secret_file: there is no such file: {loader.folder}/missing\n"
        "  emqx.api_key: must be text, is a number; put quotes around it\n"
        "  emqx.api_url: must not hold a user or password: use emqx.api_key and emqx.api_secret\n"
        "  emqx.timeout_seconds: must be greater than 0, is -5\n"
        "  monitored_clients[0].client_id: must be text, is 7; put quotes around it\n"
        "  monitored_clients[1].alias: is the same as monitored_clients[0].alias; "
        "it must be unique\n"
        "  monitored_clients[1].colour: is not a known key; known here: alias, client_id, "
        "client_id_glob, client_id_regex, username, expected_every_seconds\n"
        "  prometheus.port: must be a whole number (the value comes from ${env:PORT})\n"
        "  prometheus.enable_date: is not a known key; did you mean prometheus.enable_dates?\n"
        "  polling: must be a mapping (lines of 'key: value'), is a list"
    )


def test_ten_thousand_clients_load(loader: Loader) -> None:
    clients = "".join(f"  - alias: sensor {i}\n    client_id: id-{i}\n" for i in range(10_000))
    config = loader.load(f"{MINIMAL}monitored_clients:\n{clients}")
    assert len(config.monitored_clients) == 10_000
    assert config.monitored_clients[-1].client_id == "id-9999"
