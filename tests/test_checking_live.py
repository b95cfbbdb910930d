"""``check --watch``, on a simulated broker: in a real terminal, and into a pipe."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_emqx_monitor.checking import _Asker
from otel_emqx_monitor.cli import main
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from otel_emqx_monitor.simulator.broker import Request
from tests.checks import config, names, row
from tests.cycles import held_by_cycles
from tests.peers import http, peer, unused_port
from tests.processes import run, settings, wait_until, write_config
from tests.terminal import Terminal, terminal


@pytest.fixture
def source() -> StaticFleet:
    return StaticFleet([row("dev-a", recv_msg=15)])


@pytest.fixture
def broker(source: StaticFleet) -> Iterator[Simulator]:
    with Simulator(Broker(source=source)) as simulator:
        yield simulator


def test_a_watched_table_grows_and_shrinks_in_place(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    cfg = config(tmp_path, broker, clients="all")
    with terminal("check", "--cfg", cfg, "--watch", "0.1") as window:
        lines = window.wait_for_text("1 monitored: 1 connected")
        assert lines[0].startswith("emqx, every 0.1 s: 20")
        assert (lines[1][0], lines[6][0], lines[7]) == ("┏", "└", "1 monitored: 1 connected")
        assert window.in_alternate_screen
        assert window.cursor_is_hidden
        source.replace([row(one) for one in ("dev-a", "dev-b", "dev-c")])
        lines = window.wait_for_text("3 monitored: 3 connected")
        assert names(lines) == ["dev-a", "dev-b", "dev-c"]
        assert len(lines) == 10
        source.replace([row("dev-b", connected=False)])
        lines = window.wait_for_text("3 monitored: 0 connected, 1 disconnected, 2 absent")
        assert len(lines) == 10
    cfg = config(tmp_path, broker, clients="all")
    with terminal("check", "--all", "--cfg", cfg, "--watch", "0.1") as window:
        window.wait_for_text("1 clients: 0 connected, 1 disconnected")
        source.replace([row(f"dev-{number}") for number in range(9)])
        assert len(names(window.wait_for_text("9 clients: 9 connected"))) == 9


@pytest.mark.parametrize("lines, shown", [(12, 5), (8, 1), (7, 0), (5, 0)])
def test_a_window_that_is_smaller_counts_the_rest_and_keeps_the_summary(
    tmp_path: Path, broker: Simulator, source: StaticFleet, lines: int, shown: int
) -> None:
    source.replace([row(f"dev-{number}") for number in range(9)])
    cfg = config(tmp_path, broker, clients="all")
    with terminal("check", "--cfg", cfg, "--watch", "60", size=(100, lines)) as window:
        seen = window.wait_for_text("9 monitored: 9 connected")
    assert len(seen) == lines
    assert seen[0].startswith("emqx, every 60 s: ")
    assert seen[-1] == "9 monitored: 9 connected"
    assert seen[-2] == f"... {9 - shown} more clients in a larger window"
    assert names(seen) == [f"dev-{number}" for number in range(shown)]


def test_a_window_that_changes_is_followed_at_once(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    source.replace([row(f"dev-{number}") for number in range(9)])
    cfg = config(tmp_path, broker, clients="all")
    with terminal("check", "--cfg", cfg, "--watch", "3600", size=(100, 10)) as window:
        window.wait_for_text("... 6 more clients in a larger window")
        window.resize(100, 20)
        lines = window.wait_for(lambda shown: len(names(shown)) == 9)
        assert (len(lines), lines[-1]) == (16, "9 monitored: 9 connected")
        window.resize(50, 9)
        lines = window.wait_for_text("... 7 more clients")
        assert len(lines) == 9
        assert {len(line) for line in lines[1:7]} == {50}


def test_the_reason_stands_above_the_last_table_while_emqx_fails(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    cfg = config(tmp_path, broker, "dev-a")
    with terminal("check", "--cfg", cfg, "--watch", "0.1", size=(80, 24)) as window:
        first = window.wait_for_text("1 monitored: 1 connected")
        broker.stop()
        # The poll that was under way may have another reason.
        lines = window.wait_for_text(": cannot connect to EMQX at")
        assert lines[1].startswith("the table is of ")
        assert lines[2].startswith(f"{broker.url}v5: ")  # wrapped, not cut
        assert lines[-1] == "1 monitored: 1 connected"
        assert lines[-7:-3] == first[1:5]
        source.replace([row("dev-a", connected=False)])
        broker.start()
        lines = window.wait_for_text("1 monitored: 0 connected, 1 disconnected")
        assert len(lines) == 8


def assert_as_before(window: Terminal, *, rows: int) -> None:
    """The terminal is as a shell wants it, with the table below what was there before."""
    assert not window.in_alternate_screen
    assert not window.cursor_is_hidden
    assert window.wraps
    assert window.lines[0] == "$ command"
    assert window.lines[1].startswith("emqx, every ")
    assert len(window.lines) == 8 + rows


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("ids, exit_code", [(["dev-a"], 0), (["dev-a", "ghost"], 1)])
def test_a_signal_gives_the_terminal_back_and_the_table_s_exit_code(
    tmp_path: Path, broker: Simulator, how: str, ids: list[str], exit_code: int
) -> None:
    cfg = config(tmp_path, broker, *ids)
    with terminal("check", "--cfg", cfg, "--watch", "60") as window:
        window.wait_for_text(f"{len(ids)} monitored: 1 connected")
        if how == "Ctrl-C":
            window.type("\x03")
        else:
            window.process.send_signal(signal.SIGTERM)
        assert window.wait() == exit_code
        assert_as_before(window, rows=len(ids))


def test_a_watch_that_ends_while_emqx_fails_ends_with_3(tmp_path: Path, broker: Simulator) -> None:
    with terminal("check", "--cfg", config(tmp_path, broker, "dev-a"), "--watch", "0.1") as window:
        window.wait_for_text("1 monitored: 1 connected")
        broker.stop()
        window.wait_for_text("the table is of ")
        window.type("\x03")
        assert window.wait() == 3
        assert "the table is of " in window.lines[2]


@pytest.mark.parametrize("answers", [0, 1], ids=["the first time", "later"])
def test_ctrl_c_does_not_wait_for_a_broker_that_hangs(tmp_path: Path, answers: int) -> None:
    hanging = threading.Event()
    told = []
    simulated = Broker(source=StaticFleet([row("dev-a")]))

    def handler(connection: socket.socket, head: bytes) -> None:
        path, _, query = head.split(b" ")[1].partition(b"?")
        told.append(path)
        if sum(b"/clients" in one for one in told) > answers:
            hanging.set()
            return
        authorization = next(
            line.split(": ")[1] for line in head.decode().split("\r\n") if "uthorization: " in line
        )
        status, headers, body = simulated.answer(Request("GET", path, query, authorization))
        connection.sendall(http(f"{status} X", body, *map(": ".join, headers)))

    with peer(handler) as emqx:
        hung = settings(emqx.url, emqx={"timeout_seconds": 300}, clients={"A": "dev-a"})
        cfg = write_config(tmp_path, hung)
        with terminal("check", "--cfg", cfg, "--watch", "0.1") as window:
            assert hanging.wait(30)
            window.type("\x03")
            assert window.wait() == (0 if answers else 3)
            if answers:
                assert_as_before(window, rows=1)


def test_ctrl_z_gives_the_terminal_back_until_the_shell_goes_on(
    tmp_path: Path, broker: Simulator
) -> None:
    with terminal("check", "--cfg", config(tmp_path, broker, "dev-a"), "--watch", "60") as window:
        window.wait_for_text("1 monitored: 1 connected")
        drawn = window.written
        window.process.send_signal(signal.SIGTSTP)
        # A process without a shell above it is not stopped by SIGTSTP, so it goes on at once.
        wait_until(lambda: window.written.endswith(b"\x1b[J") and window.written != drawn)
        assert (
            window.written.removeprefix(drawn)
            == (b"\x1b[?7h\x1b[?25h\x1b[?1049l\x1b[?1049h\x1b[?25l\x1b[?7l")
            + drawn.split(b"\x1b[?7l")[1]
        )
        window.type("\x03")
        assert window.wait() == 0
        assert_as_before(window, rows=1)


@pytest.mark.parametrize(
    "client_id",
    [
        "\x1b[2J\x1b[H\x1b[?25h\x1b]0;title\x07fake",
        "\u202efdp.\u2066x\u2069",
        "x\r\n│ fake │",
        "漢字" * 40,
        "👩‍👩‍👧‍👦🏳️‍🌈" * 20,
        "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A" * 9,
        "\x9b2J\x85next\u2028line\u2029paragraph",
        "x" * 5000,
    ],
    ids=["escapes", "bidi", "line breaks", "wide", "emoji", "marks", "C1", "long"],
)
def test_no_client_id_moves_the_cursor(
    tmp_path: Path, broker: Simulator, source: StaticFleet, client_id: str
) -> None:
    source.replace([row(client_id), row("zzz")])
    cfg = config(tmp_path, broker, clients="all")
    with terminal("check", "--all", "--cfg", cfg, "--watch", "60", size=(60, 10)) as window:
        lines = window.wait_for_text("2 clients: 2 connected")
        assert [line[:1] for line in lines] == ["e", *"┏┃┃┡││└", "2"]
        assert any(line.startswith("│ zzz ") for line in lines[5:7])
        assert window.cursor_is_hidden


def test_colors_show_in_a_terminal_unless_they_are_not_wanted(
    tmp_path: Path, broker: Simulator
) -> None:
    cfg = config(tmp_path, broker, "ghost")
    for environ, colors in (
        ({}, {"red"}),
        ({"NO_COLOR": ""}, {"red"}),
        ({"NO_COLOR": "1"}, {"default"}),
    ):
        with terminal("check", "--cfg", cfg, "--watch", "60", environ=environ) as window:
            window.wait_for_text("1 monitored: 0 connected, 1 absent")
            assert window.colors_of("absent") == colors


def test_a_terminal_without_the_borders_gets_them_in_ascii(
    tmp_path: Path, broker: Simulator
) -> None:
    written = settings(broker.url, emqx={"alias": "Küche"}, clients={"Flur→": "dev-a"})
    environ = {"PYTHONIOENCODING": "ascii"}
    arguments = ["check", "--cfg", write_config(tmp_path, written), "--watch", "60"]
    with terminal(*arguments, environ=environ) as window:
        lines = window.wait_for_text("1 monitored: 1 connected")
    assert lines[0].startswith(r"K\xfcche, every 60 s: ")
    assert lines[1].startswith("+------")
    assert lines[5].startswith(r"| Flur\u2192 |")


def test_a_terminal_that_understands_nothing_gets_lines_only(
    tmp_path: Path, broker: Simulator
) -> None:
    cfg = config(tmp_path, broker, "ghost")
    with terminal("check", "--cfg", cfg, "--watch", "60", environ={"TERM": "dumb"}) as window:
        window.wait_for_text("1 monitored: 0 connected, 1 absent")
        assert b"\x1b" not in window.written


def test_log_lines_come_after_the_table(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    source.replace([row("dev-a", username="alice")])
    with terminal("check", "--cfg", config(tmp_path, broker, "dev-a"), "--watch", "0.1") as window:
        window.wait_for_text("1 monitored: 1 connected")
        source.replace([row("dev-a", username="mallory", recv_msg=77)])
        window.wait_for_text(" 77 ")
        assert not any("another user" in line for line in window.lines)
        window.type("\x03")
        assert window.wait() == 0
        assert "another user than before connects" in window.lines[9]


def test_a_pipe_gets_frames_one_below_the_other(tmp_path: Path, broker: Simulator) -> None:
    command = [sys.executable, "-m", "otel_emqx_monitor", "check", "--watch", "0.1"]
    command += ["--cfg", config(tmp_path, broker, "dev-a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline().decode() for _ in range(20)]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().decode()
        assert (process.wait(30), process.stderr.read()) == (0, b"")
    assert lines[7:9] == ["1 monitored: 1 connected\n", "\n"]
    assert lines[16:18] == ["1 monitored: 1 connected\n", "\n"]
    assert lines[0][:20] == lines[9][:20] == "emqx, every 0.1 s: 2"
    assert "\x1b" not in "".join(lines) + rest
    assert rest.endswith("1 monitored: 1 connected\n\n")


def test_a_pipe_that_is_closed_ends_the_watch_without_a_traceback(
    tmp_path: Path, broker: Simulator
) -> None:
    command = [sys.executable, "-m", "otel_emqx_monitor", "check", "--watch", "0.1"]
    command += ["--cfg", config(tmp_path, broker, "dev-a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 1
        assert process.stderr.read() == b""


def test_a_watch_whose_first_question_fails_ends_with_3(tmp_path: Path, broker: Simulator) -> None:
    broker.stop()
    ended = run("check", "--watch", "1", "--cfg", config(tmp_path, broker, "dev-a"))
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "cannot connect to EMQX at" in ended.stderr


@pytest.mark.parametrize("output", ["json", "csv"])
def test_only_the_table_can_be_watched(output: str) -> None:
    result = CliRunner().invoke(main, ["check", "--watch", "1", "--output", output])
    assert result.exit_code == 2
    assert f"it does not go with --output {output}" in result.stderr


def test_what_a_failed_question_had_is_held_by_nobody() -> None:
    nowhere = settings(f"http://127.0.0.1:{unused_port()}/api", emqx={"attempts": 1})
    asker = _Asker(Config.model_validate(nowhere), everyone=True)

    def ask() -> None:
        with suppress(EmqxError):
            asker.ask_unless(lambda seconds=0.0: False)  # noqa: ARG005 (no signal comes)

    assert held_by_cycles(ask) == []
