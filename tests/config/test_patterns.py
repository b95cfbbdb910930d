"""Globs and regular expressions of client ids."""

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.config.patterns import glob, regex


@pytest.mark.parametrize(
    "pattern, matching, others",
    [
        ("sensor", ["sensor"], ["Sensor", "sensor1", "1sensor", "sensor\n", ""]),
        ("*", ["a", " ", "a\nb\r\n", "żółw 🐢", "\x01\x7f\u2028"], []),
        ("sensor-*", ["sensor-", "sensor-1", "sensor-\n"], ["sensor", "a sensor-1"]),
        ("*-x", ["-x", "a\n-x"], ["-x ", "-X"]),
        ("a?c", ["abc", "a\nc", "a🐢c", "a?c"], ["ac", "abbc", "ae\u0301c"]),
        ("a[bc]d", ["abd", "acd"], ["ad", "abcd", "aBd"]),
        ("a[!bc]d", ["aad", "a\nd", "a🐢d"], ["abd", "acd", "ad"]),
        ("[a-cx]", ["a", "b", "x"], ["d", "-"]),
        ("[ź-ż]", ["ż", "ź"], ["z"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["a", "-"], ["b"]),
        ("[]a]", ["]", "a"], ["[", "b"]),
        ("[!]a]", ["b", "["], ["]", "a"]),
        ("[*?]", ["*", "?"], ["a"]),
        ("[[]", ["["], ["]"]),
        ("[!^]", ["a"], ["^"]),
        ("a]b", ["a]b"], []),
        (r"\*", ["\\", "\\d"], ["*", "d"]),
        (r"[\d]", ["\\", "d"], ["1"]),
        (".+^$|(){}", [".+^$|(){}"], ["a"]),
        ("**", ["", "a"], []),
    ],
)
def test_a_glob_matches_whole_client_ids(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    compiled = glob(pattern)
    assert compiled.names == ()
    assert [one for one in matching if compiled.groups(one) is None] == []
    assert [one for one in others if compiled.groups(one) is not None] == []


@given(st.text("ab*?!-[]\\^\n.é", max_size=8), st.text("ab!-[]\\^\n.é", max_size=6))
def test_a_glob_means_what_it_means_to_fnmatch_where_it_is_not_refused(
    pattern: str, client_id: str
) -> None:
    try:
        compiled = glob(pattern)
    except ValueError:
        return
    expected = re.compile(fnmatch.translate(pattern)).match(client_id)
    assert (compiled.groups(client_id) is not None) == (expected is not None)


@pytest.mark.parametrize(
    "pattern, problem",
    [
        ("a[", "has a '[' without its ']'; write [[] for a plain '['"),
        ("a[]", "has a '[' without its ']'; write [[] for a plain '['"),
        ("[!]", "has a '[' without its ']'; write [[] for a plain '['"),
        ("[^a]", "has a set that begins with '^'; write [!...] for all others"),
        ("[z-a]", "has a range in '[]' that runs backwards"),
    ],
)
def test_what_is_no_glob_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        glob(pattern)
    assert str(caught.value) == problem


def test_a_regular_expression_matches_whole_client_ids_and_line_breaks() -> None:
    compiled = regex("sensor-(?P<room>.+)-(?P<number>[0-9]+)|x")
    assert compiled.names == ("room", "number")
    assert compiled.groups("sensor-küche\n-7") == {"room": "küche\n", "number": "7"}
    assert compiled.groups("x") == {"room": None, "number": None}
    assert compiled.groups("a sensor-x-7") is None
    assert compiled.groups("sensor-x-7\n") is None
    assert regex("a$").groups("a\n") is None


NOT_RE2 = (
    "is not a regular expression in RE2's syntax, which has no backreferences and no lookaround"
)


@pytest.mark.parametrize(
    "pattern, problem",
    [
        ("(?P<x>a)\\1", f"{NOT_RE2} (invalid escape sequence)"),
        ("(?=a)b", f"{NOT_RE2} (invalid perl operator)"),
        ("(?<!a)b", f"{NOT_RE2} (invalid perl operator)"),
        ("(?P<a!>b)", f"{NOT_RE2} (invalid named capture group)"),
        ("(hunter2", f"{NOT_RE2} (missing ))"),
        ("[a", f"{NOT_RE2} (missing ])"),
        ("*", f"{NOT_RE2} (no argument for repetition operator)"),
        ("\\", f"{NOT_RE2} (trailing \\)"),
        ("a{1001}", f"{NOT_RE2} (invalid repetition size)"),
        ("((a{30}){30}){30}", f"{NOT_RE2} (invalid repetition size)"),
        (r"\pL{1000}", "needs too much memory; shorten it or its repetitions"),
        ("ab" * 500_000, "needs too much memory; shorten it or its repetitions"),
    ],
)
def test_what_is_no_regular_expression_is_refused_without_quoting_it_or_writing_to_the_terminal(
    pattern: str, problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        regex(pattern)
    assert str(caught.value) == problem
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*(.*)*x", "(?P<x>(a?)*)*b"])
def test_patterns_that_would_take_other_engines_for_ever_return(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert regex(pattern).groups("a" * 60_000 + "!") is None
    assert capfd.readouterr() == ("", "")


def test_a_memory_limit_that_is_reached_while_matching_changes_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    compiled = regex("(.*a.{900}|.*b.{900})")
    assert compiled.groups("abba" * 3_000) is not None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pattern", ["*", "?", "[!a]", "\ufffd"])
def test_a_lone_surrogate_which_mqtt_does_not_have_matches_nothing(pattern: str) -> None:
    assert glob(pattern).groups("\ud800") is None
