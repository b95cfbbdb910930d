import datetime as dt
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_emqx_monitor.config import document
from otel_emqx_monitor.config.document import parse
from otel_emqx_monitor.config.errors import Problems

QUOTE = "put quotes around it if it is meant as text"
NO_NUMBER = f"a: line 1: looks like a number or a date but is none; {QUOTE}"
NO_TAG = f"a: line 1: has a YAML tag (!), which has no use here; {QUOTE}"
NO_ANCHOR = f"a: line 1: is a YAML alias (*) without its anchor (&); {QUOTE}"


def read(text: str) -> object:
    problems = Problems()
    value = parse(text, problems)
    assert problems.listed() == ()
    return value


def wrong(text: str) -> list[str]:
    problems = Problems()
    parse(text, problems)
    return [str(problem) for problem in problems.listed()]


@pytest.fixture(params=["libyaml", "pure Python"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure Python":
        monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("this PyYAML is built without libyaml")


@pytest.mark.parametrize(
    "text, value",
    [
        ("", None),
        ("# nothing", None),
        (
            "a: 1\nb: [x, 2.5, true, ~, '3', \"\\x00\"]",
            {"a": 1, "b": ["x", 2.5, True, None, "3", "\0"]},
        ),
        ("a: !!str 5\nb: ! 6", {"a": "5", "b": "6"}),
        ("1: a\non: b\n~: c", {"1": "a", "on": "b", "~": "c"}),
        ("a: 2024-01-31", {"a": dt.date(2024, 1, 31)}),
        ("a: =\nb: 1e3", {"a": "=", "b": "1e3"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("&k key: v\nother: *k", {"key": "v", "other": "key"}),
        ("a: &k key\n*k : v", {"a": "key", "key": "v"}),
    ],
)
@pytest.mark.usefixtures("either_parser")
def test_yaml_means_what_people_expect(text: str, value: object) -> None:
    assert read(text) == value


def test_merge_keys_fill_in_what_is_missing() -> None:
    text = """
    first: &first {a: 1, b: 1}
    second: &second {b: 2, c: 2}
    one: {<<: *first, a: 0}
    two: {a: 0, <<: [*first, *second]}
    """
    result: Any = read(text)
    assert result["one"] == {"a": 0, "b": 1}
    assert result["two"] == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a: 1\nb: 2\na: 3", "a: is given twice, in line 1 and in line 3; keep one"),
        ("x:\n - a: 1\n   a: 2", "x[0].a: is given twice, in line 2 and in line 3; keep one"),
        (
            "a: @x",
            "line 1, column 4: is not valid YAML: a value that begins with @ needs quotes",
        ),
        ("a:\n\tb: 1", "line 2, column 1: is not valid YAML: a tab, where YAML wants spaces"),
        ("a: 'x", "line 1, column 6: is not valid YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 2", "line 2: begins a second YAML document; use one"),
        ("a: b\x07", "line 1, column 5: the character U+0007 is not allowed in YAML"),
        ("a: 1\nb: \ud800", "line 2, column 4: the character U+D800 is not allowed in YAML"),
        (
            "a: 2024-99-99",
            NO_NUMBER,
        ),
        (
            "a: 0b_",
            NO_NUMBER,
        ),
        (
            "a: " + "9" * 5000,
            NO_NUMBER,
        ),
        (
            "a: !secret",
            NO_TAG,
        ),
        (
            "a: *secret",
            NO_ANCHOR,
        ),
        (
            "a: !!python/name:os.system x",
            NO_TAG,
        ),
        ("? [a]\n: b", "line 1: a key must be text"),
        ("<<: 5", "'<<': must name a mapping, or a list of mappings"),
        ("a: &x [*x]", "line 1: a YAML alias (*) stands inside its own anchor (&)"),
        ("&x a: &x {*x : 1}", "line 1: a YAML alias (*) stands inside its own anchor (&)"),
        ("[" * 50_000, "line 1: is nested more than 20 levels deep"),
        ("- " * 50_000, "line 1: is nested more than 20 levels deep"),
        ("? " * 50_000, "line 1: is nested more than 20 levels deep"),
    ],
)
@pytest.mark.usefixtures("either_parser")
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, problem: str) -> None:
    assert wrong(text) == [problem]


@pytest.mark.usefixtures("either_parser")
def test_an_escaped_surrogate_is_refused() -> None:
    assert len(wrong('a: "\\ud800"')) == 1
    assert len(wrong('"\\ud800": a')) == 1


@pytest.mark.parametrize(
    "secret",
    [
        "*hunter2",
        "!hunter2",
        "!h!hunter2",
        "@hunter2",
        "'hunter2",
        "hunter2: hunter2",
        "%hunter2",
        "[hunter2",
        "{hunter2",
    ],
)
@pytest.mark.usefixtures("either_parser")
def test_an_unquoted_secret_is_never_quoted_in_a_message(secret: str) -> None:
    problems = wrong(f"api_secret: {secret}")
    assert problems
    assert "hunter2" not in " ".join(problems)


def test_aliases_of_aliases_cost_nothing() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 200))]
    result: Any = read("\n".join(lines))
    assert result["a199"][0] is result["a199"][1]


def test_merges_of_merges_cost_nothing() -> None:
    lines = [
        "a0: &a0 {x: 1}",
        *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 200)),
    ]
    result: Any = read("\n".join(lines))
    assert result["a199"] == {"x": 1}


# What PyYAML's own loader makes of a plain document is the oracle.
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(plain, st.booleans(), st.booleans())
def test_plain_documents_read_as_with_safe_load(value: object, unicode: bool, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=unicode, default_flow_style=flow)
    assert read(text) == yaml.safe_load(text)
