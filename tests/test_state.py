"""Memory in a file: what comes back, what is written, and files that cannot be used."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.epochs import Pending, Spell, Tally
from otel_emqx_monitor.fleet import REASONS, Client, Counted, Fleet, Memory, State, Watched
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import Remembered, Restored, Unusable, read

T0 = datetime(2026, 11, 22, 17, 0, 0, 123_000, tzinfo=UTC)
COUNTED = Counted(("recv_msg", "send_msg"), ("mqueue_dropped",))


def row(client_id: str, connected: bool = True) -> Row:
    return Row(
        clientid=client_id,
        username="user",
        node="emqx@127.0.0.1",
        connected=connected,
        connected_at=T0,
        disconnected_at=None if connected else T0 + timedelta(seconds=9),
        created_at=T0 - timedelta(days=1),
        keepalive=60,
        proto_ver=5,
        clean_start=False,
        expiry_interval=3600,
    )


def tally(*counts: int | None) -> Tally:
    earlier = (Spell(T0, counts, heard=counts, open=False, ended=T0),)
    pending = Pending(counts, T0, T0, 5.5)
    return Tally(
        Spell(T0, counts, pending=pending), 7, epochs=3, ended=counts, earlier=earlier, horizon=T0
    )


def client(client_id: str, received: int = 5, state: State = State.CONNECTED) -> Client:
    memory = Memory(
        since=100.5,
        last_seen=200.25,
        row=row(client_id, state is State.CONNECTED),
        connection=tally(received, None),
        session=tally(1),
        disconnections=(2, *[0] * (len(REASONS) - 2), 1),
    )
    return Client(Watched(client_id.upper(), client_id, "broker"), state, memory)


def fleet(*clients: Client, polled_at: float = 300.0) -> Fleet:
    return Fleet(clients, polled_at, polled_at, COUNTED)


@contextmanager
def store(path: Path, counted: Counted | None = COUNTED) -> Iterator[tuple[Store, Restored]]:
    opened = Store(path, counted, patience=0)
    try:
        yield opened, opened.open()
    finally:
        opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def saved(path: Path, *fleets: Fleet) -> Restored:
    """Return what comes back after the fleets were saved one after the other."""
    with store(path) as (writing, _):
        for one in fleets:
            writing.save(one)
        assert writing.write_errors == 0
        assert (writing.written_at is not None) == bool(fleets)
    with store(path) as (_, restored):
        return restored


def test_a_new_file_holds_nothing(path: Path) -> None:
    with store(path) as (_, restored):
        assert not restored.clients
        assert restored.polled_at is None


def test_how_often_events_said_that_a_client_left_comes_back(path: Path) -> None:
    counted = (2,) + (0,) * (len(REASONS) - 1)
    one = client("a")
    told = msgspec.structs.replace(one.memory, disconnections=counted)
    [remembered] = saved(path, fleet(msgspec.structs.replace(one, memory=told))).clients
    assert remembered.memory.disconnections == counted


def test_memory_comes_back_as_it_was(path: Path) -> None:
    gone = client("gone", state=State.ABSENT)
    assert saved(path, fleet(gone)) == Restored(
        [Remembered("gone", State.ABSENT, gone.memory)], 300.0
    )


def test_counts_of_disconnections_come_back(path: Path) -> None:
    left = client("left", state=State.DISCONNECTED)
    counts = tuple(range(len(REASONS)))
    memory = msgspec.structs.replace(left.memory, disconnections=counts)
    [restored] = saved(path, fleet(Client(left.watched, left.state, memory))).clients
    assert restored.memory.disconnections == counts


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_of_a_client_whose_instants_have_no_year_in_utc_presence_alone_is_kept(
    path: Path, at: str
) -> None:
    odd = client("odd")
    told = msgspec.structs.replace(row("odd"), created_at=datetime.fromisoformat(at))
    memory = msgspec.structs.replace(odd.memory, row=told)
    restored = saved(path, fleet(Client(odd.watched, State.ABSENT, memory), client("b"))).clients
    assert restored[1] == Remembered("odd", State.ABSENT, Memory(100.5, 200.25))


@pytest.mark.parametrize(
    "nonsense",
    [
        "UPDATE about SET polled_at = 9e999",
        "UPDATE clients SET client_id = CAST(x'ff' AS TEXT)",
        "UPDATE clients SET memory = CAST(x'ff' AS TEXT)",
        "UPDATE clients SET memory = x'91'",
        "UPDATE clients SET memory = CAST(zeroblob(9) AS TEXT)",
    ],
)
def test_a_file_that_holds_nonsense_is_set_aside(
    path: Path, nonsense: str, caplog: pytest.LogCaptureFixture
) -> None:
    saved(path, fleet(client("a")))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(nonsense)
    with store(path) as (_, restored):
        assert not restored.clients
    assert "it is damaged" in caplog.text
    assert len(list(path.parent.glob("*.unusable-*Z"))) == 1


def test_a_file_whose_damage_sqlite_cannot_say_in_utf_8_is_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(path, fleet(client("a")))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_schema SET sql = CAST(x'4352ff' AS TEXT), name = x'88ff'")
    with store(path) as (_, restored):
        assert not restored.clients
    assert "its schema is damaged" in caplog.text
    assert len(list(path.parent.glob("*.unusable-*Z"))) == 1


def test_a_connected_client_was_last_seen_by_the_last_poll(path: Path) -> None:
    here = client("here")
    later = replace(fleet(here), polled_at=345.0)
    [restored] = saved(path, fleet(here), later).clients
    assert restored.memory == msgspec.structs.replace(here.memory, last_seen=345.0)


def test_a_client_that_was_never_seen_comes_back_so_that_it_can_be_overdue(path: Path) -> None:
    never = Client(Watched("N", "never", "broker"), State.ABSENT, Memory(since=50.0))
    assert saved(path, fleet(never)).clients == [
        Remembered("never", State.ABSENT, Memory(since=50.0))
    ]


def test_odd_client_ids_and_counts_beyond_32_bits_come_back(path: Path) -> None:
    ids = ["", "a'b\"c;--", "\u4f60\u597d \U0001f600", "\x01\x7f", "x" * 65_535]
    kept = [client(one, received=2**63 - 1) for one in ids]
    restored = saved(path, fleet(*kept)).clients
    assert {one.client_id: one.memory.connection for one in restored} == {
        one.client_id: one.memory.connection for one in kept
    }


def test_clients_that_are_forgotten_leave_the_file(path: Path) -> None:
    restored = saved(path, fleet(client("a"), client("b")), fleet(client("b")))
    assert [one.client_id for one in restored.clients] == ["b"]


def test_what_an_earlier_run_knew_and_this_one_does_not_leaves_with_the_first_poll(
    path: Path,
) -> None:
    saved(path, fleet(client("a"), client("b")))
    assert [one.client_id for one in saved(path, fleet(client("b"))).clients] == ["b"]


def test_keys_of_messages_come_back_until_they_are_forgotten_twice(path: Path) -> None:
    kept = []
    for key, forget in [(-(2**63), False), (2**63 - 1, True), (7, True)]:
        with store(path) as (writing, restored):
            kept.append(set(restored.keys))
            writing.save(fleet())
            writing.save_some([client("a")], [key, key], forget=forget)
    with store(path) as (_, restored):
        kept.append(set(restored.keys))
    assert kept == [set(), {-(2**63)}, {-(2**63), 2**63 - 1}, {2**63 - 1, 7}]


def test_a_file_of_before_there_were_events_is_taken(path: Path) -> None:
    gone = client("gone", state=State.ABSENT)
    assert saved(path, fleet(gone)).clients
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE messages")
    db.close()
    with store(path) as (_, restored):
        assert restored == Restored([Remembered("gone", State.ABSENT, gone.memory)], 300.0)


def test_only_what_has_changed_is_written(path: Path) -> None:
    still, busy = client("still"), client("busy", received=1)
    with store(path) as (writing, _):
        writing.save(fleet(still, busy))
        with watched_statements(writing) as statements:
            later = msgspec.structs.replace(still.memory, last_seen=315.0)
            again = Client(still.watched, State.CONNECTED, later)
            writing.save(fleet(again, client("busy", received=2), polled_at=315.0))
    inserts = [one for one in statements if one.startswith("INSERT")]
    assert len(inserts) == 1
    assert "'busy'" in inserts[0]


@contextmanager
def watched_statements(writing: Store) -> Iterator[list[str]]:
    statements: list[str] = []
    assert writing._db is not None
    writing._db.set_trace_callback(statements.append)
    yield statements
    writing._db.set_trace_callback(None)


def test_counts_follow_their_fields_when_others_are_counted(path: Path) -> None:
    saved(path, fleet(client("a", received=5)))
    other = Counted(("recv_oct", "recv_msg"), ())
    with store(path, other) as (_, restored):
        [one] = restored.clients
    assert one.memory.connection is not None
    assert one.memory.connection.totals == (None, 10)
    assert one.memory.session is None


def test_without_counters_epochs_are_kept_all_the_same(path: Path) -> None:
    saved(path, fleet(client("a")))
    with store(path, None) as (_, restored):
        [one] = restored.clients
    assert one.memory.connection is not None
    assert (one.memory.connection.totals, one.memory.connection.epochs) == ((), 3)


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    saved(path, fleet(client("a")))
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_process_can_read_presence_while_the_agent_writes(path: Path) -> None:
    with store(path) as (writing, _):
        writing.save(fleet(client("a", state=State.DISCONNECTED)))
        [one] = read(path).clients
    assert (one.client_id, one.state, one.memory.last_seen) == ("a", State.DISCONNECTED, 200.25)


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (thing)")
        db.execute("INSERT INTO precious VALUES (42)")
    db.close()


def newer_version(path: Path) -> None:
    saved(path, fleet(client("a")))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def garbled_memory(path: Path) -> None:
    saved(path, fleet(client("a")))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE clients SET memory = x'c1'")
    db.close()


def counts_that_do_not_fit(path: Path) -> None:
    saved(path, fleet(client("a")))
    with sqlite3.connect(path) as db:
        kept = b"\x92" + msgspec.msgpack.encode(["a"] * 9) + msgspec.msgpack.encode([])
        db.execute("UPDATE about SET counted = ?", [kept])
        wrong = msgspec.msgpack.encode(["connected", 1.0, None, None, [None, [], 7], None])
        db.execute("UPDATE clients SET memory = ?", [wrong])
    db.close()


def torn_pages(path: Path) -> None:
    saved(path, fleet(*(client(f"client-{number}") for number in range(500))))
    content = bytearray(path.read_bytes())
    content[8192:40960] = os.urandom(32768)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda path: path.write_bytes(b"hello, I am no database" * 100), "not a database"),
        (lambda path: path.write_bytes(b"\0" * 4096), "not a database"),
        (foreign_database, "it is the database of another program"),
        (newer_version, "it is of another version of this program (schema 99)"),
        (garbled_memory, "it is damaged"),
        (torn_pages, "damaged|malformed"),
    ],
    ids=["text", "zeros", "foreign", "newer", "garbled", "torn"],
)
def test_a_file_that_cannot_be_used_is_set_aside_whole_and_the_agent_goes_on(
    path: Path, spoil: Callable[[Path], object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(path)
    content = path.read_bytes()
    caplog.clear()
    with store(path) as (writing, restored):
        assert not restored.clients
        writing.save(fleet(client("a")))
        assert writing.write_errors == 0
    assert [one.client_id for one in read(path).clients] == ["a"]
    [aside] = path.parent.glob("state.db.unusable-*[Z]")
    assert aside.read_bytes() == content
    [message] = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert str(aside) in message
    assert any(part in message for part in reason.split("|"))


def test_counts_of_the_wrong_length_are_damage_too(path: Path) -> None:
    counts_that_do_not_fit(path)
    with store(path, Counted(("a",), ())) as (_, restored):
        assert not restored.clients
    assert len(list(path.parent.glob("state.db.unusable-*"))) == 1


def test_reading_does_not_change_a_file_that_cannot_be_used(path: Path) -> None:
    foreign_database(path)
    before = path.read_bytes()
    with pytest.raises(Unusable):
        read(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_two_agents_are_given_is_kept_by_the_first(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store(path) as (first, _):
        first.save(fleet(client("a")))
        with store(path) as (second, restored):
            assert not restored.clients
            second.save(fleet(client("b")))
            assert second.write_errors == 1
    assert [one.client_id for one in read(path).clients] == ["a"]
    assert "another agent uses it; give each its own state.path" in caplog.text


@pytest.mark.parametrize("where", ["missing/state.db", "folder"])
def test_a_place_that_cannot_be_written_leaves_the_agent_without_a_file(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    with store(tmp_path / where) as (writing, restored):
        assert not restored.clients
        writing.save(fleet(client("a")))
        writing.save(fleet(client("a")))
        assert writing.write_errors == 2
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    assert "will not outlive this run" in caplog.text


def test_what_a_full_disk_refused_is_written_when_there_is_room_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    many = [client(f"client-{number:04d}", received=number) for number in range(2_000)]
    with store(path) as (writing, _):
        writing.save(fleet(client("a")))
        assert writing._db is not None
        writing._db.execute("PRAGMA max_page_count = 1")
        writing.save(fleet(client("a"), *many))
        writing.save(fleet(client("a"), *many))
        assert writing.write_errors == 2
        writing._db.execute("PRAGMA max_page_count = 1000000")
        writing.save(fleet(client("a"), *many))
        assert writing.write_errors == 2
    assert len(read(path).clients) == 2_001
    told = [one.getMessage() for one in caplog.records if str(path) in one.getMessage()]
    assert len([one for one in told if "cannot write" in one and "full" in one]) >= 1
    assert len(told) == 3  # what was remembered, the begin of the outage and its end


def test_a_file_that_is_deleted_under_the_agent_is_written_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store(path) as (writing, _):
        writing.save(fleet(client("a"), client("b")))
        for one in path.parent.glob("state.db*"):
            one.unlink()
        writing.save(fleet(client("a"), client("b")))
        assert writing.write_errors == 0
    assert [one.client_id for one in read(path).clients] == ["a", "b"]
    assert "was moved or deleted" in caplog.text
