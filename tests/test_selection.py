"""Who is watched: exact entries, patterns, exclusions, and the limit of what patterns match."""

import fnmatch
import gc
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from otel_emqx_monitor.config import Config, EmqxConfig
from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.selection import Selected, Selection, selection_of

EMQX = EmqxConfig(
    api_key=SecretStr("k"), api_secret=SecretStr("s"), api_url="http://h", alias="broker"
)


def selection(*clients: dict[str, Any], **keys: Any) -> Selection:
    return selection_of(Config.model_validate({"emqx": EMQX, "monitored_clients": clients, **keys}))


def rows(*client_ids: str, username: str | None = None) -> dict[str, Row]:
    return {one: Row(clientid=one, username=username, connected=True) for one in client_ids}


def watched(alias: str, client_id: str, expected_every: float | None = None) -> Watched:
    return Watched(alias, client_id, "broker", expected_every)


def aliases(selected: Selected) -> dict[str, str]:
    return {client_id: one.alias for client_id, one in selected.watched.items()}


def test_clients_named_by_their_id_are_asked_for_by_it_in_their_order() -> None:
    chosen = selection(
        {"alias": "{B}", "client_id": "b"},
        {"alias": "A", "client_id": "a", "expected_every_seconds": 60},
    )
    assert chosen.named == [watched("{B}", "b"), watched("A", "a", 60.0)]
    assert chosen.ids == ("b", "a")
    assert chosen.match("a", None) is chosen.named[1]
    assert chosen.match("c", None) is None
    selected = chosen.select(rows("a", "c"))
    assert selected == Selected({"a": watched("A", "a", 60.0)}, None)
    assert selected.watched["a"] is chosen.named[1]


def test_nobody_is_watched_when_nobody_is_named() -> None:
    chosen = selection(exclude=[{"username": "u"}])
    assert chosen.named == []
    assert chosen.ids == ()
    assert chosen.select(rows("a")) == Selected({}, None)


def test_a_pattern_needs_every_client_and_names_those_it_matches() -> None:
    chosen = selection(
        {"alias": "Exact", "client_id": "sensor-1"},
        {
            "alias": "{room}/{client_id}",
            "client_id_regex": "meter-(?P<room>[a-z]+)",
            "expected_every_seconds": 5,
        },
        {"client_id_glob": "sensor-*"},
    )
    assert chosen.ids is None
    assert chosen.named == [watched("Exact", "sensor-1")]
    assert chosen.select(rows("x", "sensor-2", "meter-cellar", "sensor-1", "METER-x")) == Selected(
        {
            "sensor-2": watched("sensor-2", "sensor-2"),
            "meter-cellar": watched("cellar/meter-cellar", "meter-cellar", 5.0),
            "sensor-1": watched("Exact", "sensor-1"),
        },
        0,
    )


def test_all_watches_every_client() -> None:
    chosen = selection_of(Config.model_validate({"emqx": EMQX, "monitored_clients": "all"}))
    everybody = rows("a", "b\n", "żółw 🐢", " ")
    assert aliases(chosen.select(everybody)) == {one: one for one in everybody}


def test_of_patterns_the_first_that_matches_wins_and_an_exact_entry_wins_over_all() -> None:
    chosen = selection(
        {"alias": "glob", "client_id_glob": "a*"},
        {"alias": "regex", "client_id_regex": "a.|b."},
        {"alias": "exact", "client_id": "ax"},
        exclude=[{"client_id_glob": "?x"}, {"client_id": "b2"}],
    )
    assert aliases(chosen.select(rows("a1", "b1", "ax", "bx", "b2"))) == {
        "a1": "glob",
        "b1": "regex",
        "ax": "exact",
    }


def test_a_username_alone_or_beside_a_pattern_has_to_be_the_client_s() -> None:
    chosen = selection(
        {"alias": "of me", "client_id_glob": "a*", "username": "me"},
        {"alias": "of {username}", "username": "you"},
        exclude=[
            {"client_id": "a2", "username": "me"},
            {"client_id": "y2", "username": "me"},
            {"client_id_regex": "y[0-9]{2}", "username": "you"},
        ],
    )
    mine = rows("a1", "a2", "x", username="me")
    yours = rows("a3", "y2", "y34", username="you")
    nobodys = rows("a4")
    assert aliases(chosen.select({**mine, **yours, **nobodys})) == {
        "a1": "of me",
        "a3": "of you",
        "y2": "of you",
    }


def test_what_a_template_does_not_know_is_left_out_and_an_alias_is_never_empty() -> None:
    chosen = selection({"client_id_regex": "(?P<n>[0-9]+)?.*", "alias": "{n}{username}"})
    assert aliases(chosen.select(rows("7x", "x"))) == {"7x": "7", "x": "x"}


def test_the_same_object_is_returned_as_long_as_a_client_is_asked_for() -> None:
    chosen = selection({"client_id_glob": "*"})
    first = chosen.select(rows("a")).watched["a"]
    for poll in range(10):
        strangers = rows(*(f"{poll}-{number}" for number in range(2_000)))
        assert chosen.select({**strangers, **rows("a")}).watched["a"] is first
        assert chosen.match("a", "anybody") is first
        assert chosen.wants(rows("a")["a"])


def decisions() -> int:
    """Return how many clients are in memory as watched ones."""
    gc.collect()
    return sum(isinstance(one, Watched) for one in gc.get_objects())


@pytest.mark.parametrize("way", ["select", "wants", "match"])
def test_clients_that_come_and_go_do_not_accumulate(way: str) -> None:
    chosen = selection({"client_id_glob": "*"})
    before = decisions()
    for poll in range(40):
        strangers = rows(*(f"{poll}-{number}" for number in range(1_000)))
        if way == "match":
            for one in strangers:
                chosen.match(one, None)
        if way == "wants":
            assert all(map(chosen.wants, strangers.values()))
        chosen.select(strangers if way == "select" else {})
    assert decisions() - before < 5_000


def test_even_without_polls_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_emqx_monitor.selection._ROOM", 1_000)
    chosen = selection({"client_id_glob": "*"})
    before = decisions()
    for number in range(10_000):
        chosen.match(str(number), None)
    assert decisions() - before <= 2_001


def test_another_username_is_another_decision() -> None:
    chosen = selection(
        {"alias": "mine", "client_id_glob": "a", "username": "me"},
        {"alias": "of {username}", "client_id_glob": "a"},
        exclude=[{"username": "nobody"}],
    )
    for username, expected in [
        ("me", {"a": "mine"}),
        ("you", {"a": "of you"}),
        ("nobody", {}),
        (None, {"a": "of "}),
        ("me", {"a": "mine"}),
    ]:
        (row,) = rows("a", username=username).values()
        assert aliases(chosen.select({"a": row})) == expected
        assert chosen.wants(row) == bool(expected)
        match = chosen.match("a", username)
        assert ({} if match is None else {"a": match.alias}) == expected


def test_another_username_that_changes_nothing_leaves_the_same_object() -> None:
    chosen = selection({"client_id_glob": "a"}, exclude=[{"username": "x"}])
    first = chosen.match("a", "me")
    assert first is not None
    assert chosen.match("a", "you") is first


def test_a_row_that_says_nothing_of_the_username_does_not_change_it() -> None:
    chosen = selection({"username": "me"})
    chosen.select(rows("a", username="me"))
    bare = Row(clientid="a")
    assert chosen.wants(bare)
    assert aliases(chosen.select({"a": bare})) == {"a": "a"}
    assert aliases(chosen.select(rows("a"))) == {}
    assert not selection({"username": "me"}).wants(bare)


def test_patterns_match_no_more_than_max_clients_the_first_ids_by_their_bytes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    chosen = selection(
        {"alias": "Z", "client_id": "z"},
        {"client_id_glob": "*"},
        exclude=[{"client_id": "B"}],
        max_clients=3,
    )
    crowd = rows("🐢", "\uffee", "z", "a", "B", "a\x01", "A")
    for _ in range(2):
        selected = chosen.select(crowd)
        assert list(selected.watched) == ["z", "a", "a\x01", "A"]
        assert selected.over_limit == 2
    assert chosen.select(rows("🐢", "\uffee", "z", "a")).over_limit == 0
    assert list(chosen.select(rows("🐢", "\uffee", "A", "a")).watched) == ["\uffee", "A", "a"]
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        (
            "WARNING",
            (
                "the patterns of monitored_clients match 5 clients, more than max_clients (3): "
                "the 2 whose client ids come last are left out; raise max_clients, make the "
                "patterns narrower, or exclude clients"
            ),
        ),
        (
            "INFO",
            (
                "the patterns of monitored_clients match no more than max_clients (3) again: "
                "nobody is left out"
            ),
        ),
        (
            "WARNING",
            (
                "the patterns of monitored_clients match 4 clients, more than max_clients (3): "
                "the 1 whose client ids come last are left out; raise max_clients, make the "
                "patterns narrower, or exclude clients"
            ),
        ),
    ]


def test_exact_entries_do_not_count_towards_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    exact = [{"alias": one, "client_id": one} for one in "abc"]
    chosen = selection(*exact, {"client_id_glob": "?"}, max_clients=1)
    assert chosen.select(rows("a", "b", "c", "d")).over_limit == 0
    assert not caplog.records


def test_a_pattern_that_would_take_other_engines_for_ever_returns() -> None:
    chosen = selection({"client_id_regex": "(a+)+$"})
    assert not chosen.wants(Row(clientid="a" * 60_000 + "!"))
    assert chosen.wants(Row(clientid="a" * 60_000))


IDS = ["a", "A", "ab", "b", "ba", "b\n", "ż", "🐢", "\uffee", "a*", "aaa"]
USERNAMES = [None, "u", "v"]
GLOBS = ["*", "a*", "*b*", "?", "[ab]*", "[!a]*"]
conditions = st.fixed_dictionaries(
    {}, optional={"username": st.sampled_from(["u", "v"]), "client_id_glob": st.sampled_from(GLOBS)}
).filter(bool)
exact_ids = st.sampled_from(IDS).map(lambda one: {"client_id": one})
polls = st.dictionaries(st.sampled_from(IDS), st.sampled_from(USERNAMES))


def holds(condition: Mapping[str, str], client_id: str, username: str | None) -> bool:
    return (
        condition.get("client_id", client_id) == client_id
        and condition.get("username", username) == username
        and fnmatch.fnmatchcase(client_id, condition.get("client_id_glob", "*"))
    )


def naive(
    entries: Iterable[Mapping[str, str]],
    excluded: Iterable[Mapping[str, str]],
    limit: int,
    poll: Mapping[str, str | None],
) -> tuple[dict[str, str], int]:
    exact = {one["client_id"]: one["alias"] for one in entries if "client_id" in one}
    found: dict[str, str] = {}
    for client_id, username in poll.items():
        if client_id in exact:
            continue
        if any(holds(one, client_id, username) for one in excluded):
            continue
        for entry in entries:
            if "client_id" not in entry and holds(entry, client_id, username):
                found[client_id] = f"{entry['number']} {client_id} {username or ''}"
                break
    kept = sorted(found, key=str.encode)[:limit]
    chosen = {one: found[one] for one in kept} | {one: exact[one] for one in poll if one in exact}
    return {one: chosen[one] for one in poll if one in chosen}, len(found) - len(kept)


@given(
    st.lists(conditions, max_size=3),
    st.lists(st.sampled_from(IDS), max_size=3, unique=True),
    st.lists(
        conditions | exact_ids | st.builds(dict, exact_ids, username=st.just("u")), max_size=3
    ),
    st.integers(1, 6),
    st.lists(polls, min_size=1, max_size=4),
)
def test_what_is_selected_is_what_a_simple_reading_of_the_rules_selects(
    patterns: list[dict[str, str]],
    exact: list[str],
    excluded: list[dict[str, str]],
    limit: int,
    seen: list[dict[str, str | None]],
) -> None:
    entries = [
        one | {"number": str(number), "alias": f"{number} {{client_id}} {{username}}"}
        for number, one in enumerate(patterns)
    ] + [{"client_id": one, "alias": f"exact {one}"} for one in exact]
    chosen = selection(
        *({key: one[key] for key in one if key != "number"} for one in entries),
        exclude=excluded,
        max_clients=limit,
    )
    for poll in seen:
        selected = chosen.select(
            {
                one: Row(clientid=one, username=username, connected=True)
                for one, username in poll.items()
            }
        )
        expected, over = naive(entries, excluded, limit, poll)
        assert aliases(selected) == expected
        assert list(selected.watched) == list(expected)
        assert selected.over_limit == (over if patterns else None)
