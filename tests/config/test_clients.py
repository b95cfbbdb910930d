"""How the entries of the lists name clients, through the whole of loading."""

import pytest
from pydantic import ValidationError

from otel_emqx_monitor.config import ExcludedClient, MonitoredClient
from tests.config.loader import MINIMAL, Loader


def entries(*lines: str, section: str = "monitored_clients") -> str:
    return MINIMAL + f"{section}:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


@pytest.mark.parametrize(
    "line, entry",
    [
        ("alias: a, client_id: '{x}'", MonitoredClient(alias="a", client_id="{x}")),
        ("alias: '{x', client_id: a", MonitoredClient(alias="{x", client_id="a")),
        ("client_id_glob: '*'", MonitoredClient(alias="{client_id}", client_id_glob="*")),
        ("client_id_glob: a, alias: b", MonitoredClient(alias="b", client_id_glob="a")),
        (
            "client_id_regex: '(?P<x>a)', alias: '{x}{username}', username: u",
            MonitoredClient(alias="{x}{username}", client_id_regex="(?P<x>a)", username="u"),
        ),
        (
            "username: u, expected_every_seconds: '60'",
            MonitoredClient(username="u", expected_every_seconds=60),
        ),
        (
            "client_id_glob: a, client_id: ~, client_id_regex: null, expected_every_seconds: ''",
            MonitoredClient(client_id_glob="a"),
        ),
    ],
)
def test_an_entry_names_a_client_or_a_pattern(
    loader: Loader, line: str, entry: MonitoredClient
) -> None:
    assert loader.load(entries(line)).monitored_clients == (entry,)


NONE = "client_id: is required; or give client_id_glob, client_id_regex or username"
TWO = "does not go together with"
NOT_RE2 = (
    "is not a regular expression in RE2's syntax, which has no backreferences and no lookaround"
)
KNOWN = "may hold {client_id} and {username}"


@pytest.mark.parametrize(
    "line, problems",
    [
        ("", [NONE]),
        ("alias: '{x}'", [NONE]),
        ("client_id: a", ["alias: is required beside client_id"]),
        ("client_id: a, alias: ''", ["alias: must not be empty, is ''"]),
        ("client_id_glob: a, alias: ~", ["alias: must be text, is empty"]),
        (
            "alias: a, client_id: a, client_id_glob: b, client_id_regex: c, username: d",
            [
                f"client_id_glob: {TWO} client_id; keep one of them",
                f"client_id_regex: {TWO} client_id; keep one of them",
                f"username: {TWO} client_id, which names one client already",
            ],
        ),
        (
            "client_id_glob: b, client_id_regex: c, username: d",
            [f"client_id_regex: {TWO} client_id_glob; keep one of them"],
        ),
        ("client_id_glob: ''", ["client_id_glob: must not be empty, is ''"]),
        ("client_id_regex: ''", ["client_id_regex: must not be empty, is ''"]),
        ("username: ''", ["username: must not be empty, is ''"]),
        ("client_id_glob: 123", ["client_id_glob: must be text, is 123; put quotes around it"]),
        ("client_id_glob: [a]", ["client_id_glob: must be text, is a list"]),
        ("username: 007", ["username: must be text, is 7; put quotes around it"]),
        (
            r'client_id_glob: "a\0"',
            [r"client_id_glob: must not contain U+0000, which MQTT forbids, is 'a\x00'"],
        ),
        (
            r'client_id_regex: "a\0"',
            [r"client_id_regex: must not contain U+0000, which MQTT forbids, is 'a\x00'"],
        ),
        (
            "client_id_glob: 'a[b'",
            ["client_id_glob: has a '[' without its ']'; write [[] for a plain '[', is 'a[b'"],
        ),
        (
            r"client_id_regex: '(a)\1'",
            [rf"client_id_regex: {NOT_RE2} (invalid escape sequence), is '(a)\1'"],
        ),
        (
            "client_id_regex: '(?=a)', alias: '{x}'",  # which groups there are nobody knows
            [f"client_id_regex: {NOT_RE2} (invalid perl operator), is '(?=a)'"],
        ),
        (
            "client_id_regex: '(?P<username>a)'",
            [
                (
                    "client_id_regex: has a group named username, which has its meaning already; "
                    "rename it, is '(?P<username>a)'"
                )
            ],
        ),
        ("client_id_glob: a, alias: '{x}'", [f"alias: {KNOWN}, not {{x}}, is '{{x}}'"]),
        ("username: a, alias: '{x}'", [f"alias: {KNOWN}, not {{x}}, is '{{x}}'"]),
        (
            "client_id_regex: '(?P<room>a)(?P<n>b)(c)', alias: '{x}'",
            ["alias: may hold {client_id}, {username}, {room} and {n}, not {x}, is '{x}'"],
        ),
        (
            "client_id_glob: a, alias: '}'",
            ["alias: has a brace without its partner; '{{' and '}}' are plain braces, is '}'"],
        ),
        (
            "client_id_glob: a, expected_every_seconds: 0",
            ["expected_every_seconds: must be greater than 0, is 0"],
        ),
        (
            "client_id_glob: a, expected_every_seconds: yes",
            ["expected_every_seconds: must be a number, is true"],
        ),
        (
            "client_id_globe: a, username: b",
            [
                (
                    "client_id_globe: is not a known key; "
                    "did you mean monitored_clients[1].client_id_glob?"
                )
            ],
        ),
        (
            "client_id_glob: '[', username: '', alias: '{x}', expected_every_seconds: -1, x: 1",
            [
                f"alias: {KNOWN}, not {{x}}, is '{{x}}'",
                "client_id_glob: has a '[' without its ']'; write [[] for a plain '[', is '['",
                "username: must not be empty, is ''",
                "expected_every_seconds: must be greater than 0, is -1",
                (
                    "x: is not a known key; known here: alias, client_id, client_id_glob, "
                    "client_id_regex, username, expected_every_seconds"
                ),
            ],
        ),
    ],
)
def test_all_that_is_wrong_with_an_entry_is_said_at_once(
    loader: Loader, line: str, problems: list[str]
) -> None:
    text = entries("client_id_glob: 'ok-*'", line)
    assert loader.problems(text) == [f"monitored_clients[1].{one}" for one in problems]


@pytest.mark.parametrize(
    "line, entry",
    [
        ("client_id: a", ExcludedClient(client_id="a")),
        ("client_id: a, username: u", ExcludedClient(client_id="a", username="u")),
        ("client_id_glob: '*x'", ExcludedClient(client_id_glob="*x")),
        ("username: u", ExcludedClient(username="u")),
    ],
)
def test_an_exclusion_names_clients_in_the_same_ways(
    loader: Loader, line: str, entry: ExcludedClient
) -> None:
    assert loader.load(entries(line, section="exclude")).exclude == (entry,)


@pytest.mark.parametrize(
    "line, problem",
    [
        ("", f"exclude[0].{NONE}"),
        (
            "client_id: a, client_id_glob: b",
            "exclude[0].client_id_glob: does not go together with client_id; keep one of them",
        ),
        (
            "client_id_glob: '[z-a]'",
            "exclude[0].client_id_glob: has a range in '[]' that runs backwards, is '[z-a]'",
        ),
        (
            "username: a, alias: b",
            ("exclude[0].alias: is not a known key here; it belongs to emqx or monitored_clients"),
        ),
    ],
)
def test_what_is_wrong_with_an_exclusion_is_refused(
    loader: Loader, line: str, problem: str
) -> None:
    assert loader.problems(entries(line, section="exclude")) == [problem]


@pytest.mark.parametrize("key", ["client_id_glob", "client_id_regex"])
def test_a_pattern_has_a_limit(loader: Loader, key: str) -> None:
    loader.load(entries(f"{key}: {'a' * 10_000}"))
    (problem,) = loader.problems(entries(f"{key}: {'a' * 1_000_000}"))
    assert problem == (
        f"monitored_clients[0].{key}: must be at most 10000 bytes of UTF-8, is '{'a' * 59}…'"
    )


def test_problems_of_entries_come_with_those_of_everything_else(loader: Loader) -> None:
    text = (
        entries("client_id_glob: '['", "alias: a, client_id: b", "alias: a, client_id_regex: '('")
        + "exclude: [{client_id_glob: '['}]\nmax_clients: 0\ncounters: total\n"
        "forget_after_seconds: 0\nstate: {path: missing/state}\n"
    )
    assert [one.partition(":")[0] for one in loader.problems(text)] == [
        "monitored_clients[0].client_id_glob",
        "monitored_clients[2].client_id_regex",
        "exclude[0].client_id_glob",
        "max_clients",
        "counters",
        "forget_after_seconds",
        "state.path",
    ]


def test_aliases_of_patterns_need_not_be_unique(loader: Loader) -> None:
    lines = ["client_id_glob: a, alias: x"] * 2 + ["client_id_regex: a, alias: x"]
    config = loader.load(entries("client_id: a, alias: x", *lines))
    assert [one.alias for one in config.monitored_clients] == ["x"] * 4


@pytest.mark.parametrize("clients", ["every", "'*'", "ALLE", "'${env:A}'"])
def test_a_word_other_than_all_is_refused(loader: Loader, clients: str) -> None:
    (problem,) = loader.problems(MINIMAL + f"monitored_clients: {clients}\n", {"A": "everybody"})
    assert problem.startswith(
        "monitored_clients: must be a list (lines that begin with '- ') or the word all"
    )


def test_a_value_from_the_environment_is_never_shown(loader: Loader) -> None:
    text = entries(
        "client_id_glob: '${env:A}', alias: 'x{${env:A}}'", "client_id_regex: '${env:B}'"
    )
    assert loader.problems(text, {"A": "hunter2[", "B": "(hunter2"}) == [
        (f"monitored_clients[0].alias: {KNOWN}, no others (the value comes from ${{env:A}})"),
        (
            "monitored_clients[0].client_id_glob: has a '[' without its ']'; write [[] for a "
            "plain '[' (the value comes from ${env:A})"
        ),
        (
            f"monitored_clients[1].client_id_regex: {NOT_RE2} (missing )) "
            "(the value comes from ${env:B})"
        ),
    ]


@pytest.mark.parametrize("key", ["client_id_glob", "client_id_regex", "username", "alias"])
def test_lone_surrogates_are_no_text(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        MonitoredClient.model_validate({"client_id_glob": "a", key: "\ud800"})


def test_an_entry_made_by_code_is_checked_as_well() -> None:
    with pytest.raises(ValidationError, match="is required beside client_id"):
        MonitoredClient(client_id="a")
    with pytest.raises(ValidationError, match="does not go together"):
        ExcludedClient(client_id_glob="a", client_id_regex="b")
