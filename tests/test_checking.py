"""``check``, once, on a simulated broker and with the agent's state file."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_emqx_monitor import statefile
from otel_emqx_monitor.cli import main
from otel_emqx_monitor.fleet import Client, Fleet, Memory, State, Watched
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from otel_emqx_monitor.state import Store
from tests.checks import config, expecting, names, row

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def source() -> StaticFleet:
    return StaticFleet([row("dev-a", recv_msg=15)])


@pytest.fixture
def broker(source: StaticFleet) -> Iterator[Simulator]:
    with Simulator(Broker(source=source)) as simulator:
        yield simulator


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments], catch_exceptions=False)


def test_patterns_show_whom_they_match(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    source.replace([row("dev-b"), row("dev-a"), row("other")])
    cfg = config(tmp_path, broker, {"client_id_glob": "dev-*"}, {"client_id": "x", "alias": "X"})
    result = check("--cfg", cfg)
    assert names(result.stdout.splitlines()) == ["X", "dev-a", "dev-b"]
    assert result.exit_code == 1


def test_all_clients_can_be_monitored(tmp_path: Path, broker: Simulator) -> None:
    result = check("--cfg", config(tmp_path, broker, clients="all"))
    assert (result.exit_code, names(result.stdout.splitlines())) == (0, ["dev-a"])
    assert result.stdout.splitlines()[-1] == "1 monitored: 1 connected"


def ago(seconds: float) -> str:
    moment = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds, UTC)
    return moment.isoformat(timespec="milliseconds")


def test_who_is_expected_now_and_then_is_well_until_overdue(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    left = {"connected": False, "connected_at": ago(4000), "disconnected_at": ago(3000)}
    source.replace([row("dev-a", **left)])
    well = check("--cfg", config(tmp_path, broker, expecting("dev-a", 86_400)))
    assert well.exit_code == 0
    assert "disconnected" in well.stdout
    assert " 50 minutes │" in well.stdout
    late = check("--cfg", config(tmp_path, broker, expecting("dev-a", 600)))
    assert late.exit_code == 1
    assert " 50 minutes, overdue │" in late.stdout
    assert late.stdout.splitlines()[-1] == "1 monitored: 0 connected, 1 disconnected; 1 overdue"


def test_the_column_seen_is_there_when_anybody_is_expected(
    tmp_path: Path, broker: Simulator
) -> None:
    assert "Seen" not in check("--cfg", config(tmp_path, broker, "dev-a")).stdout
    shown = check("--cfg", config(tmp_path, broker, expecting("dev-a", 60), "ghost")).stdout
    assert [line.split("│")[-2].strip() for line in shown.splitlines() if line[0] == "│"] == [
        "now",
        "never",
    ]


def test_json_and_csv_say_who_was_seen_when_and_who_is_overdue(
    tmp_path: Path, broker: Simulator, source: StaticFleet
) -> None:
    left = {"connected": False, "disconnected_at": "2020-01-02T03:04:05.678+01:00"}
    source.replace([row("dev-a", **left), row("dev-b")])
    cfg = config(tmp_path, broker, expecting("dev-a", 60), "dev-b", "ghost")
    [gone, here, ghost] = json.loads(check("--cfg", cfg, "--output", "json").stdout)["clients"]
    assert gone["last_seen"] == "2020-01-02T02:04:05.678Z"
    assert (gone["overdue"], here["overdue"], ghost["overdue"]) == (True, None, None)
    assert (here["last_seen"] is not None, ghost["last_seen"]) == (True, None)
    table = check("--cfg", cfg, "--output", "csv").stdout.splitlines()
    assert table[0].endswith(",last_seen,overdue")
    assert table[1].endswith(",2020-01-02T02:04:05.678Z,True")
    assert table[3].endswith(",,")


@pytest.fixture
def state(tmp_path: Path, broker: Simulator) -> Path:
    """The file of an agent that has seen dev-a, which has left the broker since."""
    path = tmp_path / "state.db"
    fill(path, last_seen=LONG_AGO.timestamp())
    source = broker.broker.source
    assert isinstance(source, StaticFleet)
    source.replace([row("other")])
    return path


def fill(path: Path, last_seen: float) -> None:
    store = Store(path, None)
    store.open()
    gone = Client(Watched("dev-a", "dev-a"), State.ABSENT, Memory(since=1.0, last_seen=last_seen))
    store.save(Fleet((gone,), last_seen))
    store.close()


def assert_seen(cfg: str, last_seen: str | None, stderr: str = "") -> None:
    result = check("--cfg", cfg, "--output", "json")
    [client] = json.loads(result.stdout)["clients"]
    assert (client["last_seen"], result.stderr) == (last_seen, stderr)
    assert client["state"] == "absent"


def test_the_state_file_tells_when_a_client_was_seen(
    tmp_path: Path, broker: Simulator, state: Path
) -> None:
    cfg = config(tmp_path, broker, expecting("dev-a", 60), state=state)
    before = state.read_bytes()
    assert_seen(cfg, "2020-01-01T00:00:00.000Z")
    assert " years, overdue │" in check("--cfg", cfg).stdout
    assert state.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("state*")) == ["state.db", "state.db.lock"]


def test_without_a_state_file_nobody_was_seen(tmp_path: Path, broker: Simulator) -> None:
    cfg = config(tmp_path, broker, "ghost", state=tmp_path / "none")
    assert_seen(cfg, None)
    assert not (tmp_path / "none").exists()


def test_the_state_file_of_a_running_agent_can_be_read(
    tmp_path: Path, broker: Simulator, state: Path
) -> None:
    store = Store(state, None)
    store.open()  # which holds the lock, as the agent does
    try:
        writing = sqlite3.connect(state)
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("DELETE FROM clients")
        cfg = config(tmp_path, broker, "dev-a", state=state)
        assert_seen(cfg, "2020-01-01T00:00:00.000Z")
        writing.close()
    finally:
        store.close()


def test_a_damaged_state_file_is_told_and_the_check_goes_on(
    tmp_path: Path, broker: Simulator, state: Path
) -> None:
    state.write_bytes(b"not a database at all" * 100)
    assert_seen(
        config(tmp_path, broker, "dev-a", state=state),
        None,
        f"otel-emqx-monitor: cannot read the state file {state}: file is not a database;"
        " who was seen before is not known\n",
    )
    assert state.read_bytes().startswith(b"not a database")


def test_a_state_file_of_another_version_is_told_and_left_alone(
    tmp_path: Path, broker: Simulator, state: Path
) -> None:
    changing = sqlite3.connect(state)
    changing.execute("PRAGMA user_version = 99")
    changing.close()
    assert_seen(
        config(tmp_path, broker, "dev-a", state=state),
        None,
        f"otel-emqx-monitor: cannot read the state file {state}: it is of another version of this"
        " program (schema 99); who was seen before is not known\n",
    )
    with pytest.raises(statefile.Unusable):
        statefile.read(state)
