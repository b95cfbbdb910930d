"""The kinds of values that need more than a table: headers, which are secrets by name."""

from typing import Any

import pytest
from pydantic import SecretStr

from otel_emqx_monitor.config import OtlpConfig
from tests.config.loader import Loader, otlp


def test_headers_are_sent_in_small_letters_and_their_values_are_secret(loader: Loader) -> None:
    text = otlp(
        "headers:",
        "  Authorization: Bearer ${env:TOKEN}",
        "  x-scope_org.id: \"'tenant' 1\"",
    )
    config = loader.load(text, {"TOKEN": "hunter2"}).otlp
    assert config is not None
    assert {name: value.get_secret_value() for name, value in config.headers.items()} == {
        "authorization": "Bearer hunter2",
        "x-scope_org.id": "'tenant' 1",
    }
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config)


def test_headers_cannot_be_changed() -> None:
    headers: Any = OtlpConfig(headers={"a": SecretStr("b")}).headers
    with pytest.raises(TypeError):
        headers["a"] = "c"


ASCII = "must be one line of printable ASCII characters"
SPACE = "must not begin or end with a space; perhaps a variable in it is empty"


@pytest.mark.parametrize(
    "value, problem",
    [
        ("''", "must not be empty"),
        ("' '", SPACE),
        ("'hunter2 '", SPACE),
        ("' hunter2'", SPACE),
        (r'"hunter2\n"', ASCII),
        (r'"hunter2\r\nx: y"', ASCII),
        (r'"hunter2\t"', ASCII),
        (r'"hunter2\x7f"', ASCII),
        ("żółw-hunter2", ASCII),
        ("12345", "must be text, is a number; put quotes around it"),
        ("true", "must be text, is true or false; put quotes around it"),
        ("~", "must be text, is empty"),
        ("[hunter2]", "must be text, is a list"),
        ("{hunter2: hunter2}", "must be text, is a mapping"),
        ("Bearer ${env:EMPTY}", f"{SPACE} (the value comes from ${{env:EMPTY}})"),
        ("${env:EMPTY}", "must not be empty (the value comes from ${env:EMPTY})"),
        ("${env:TOKEN}x", f"{ASCII} (the value comes from ${{env:TOKEN}})"),
        (
            "${env:NONE}",
            (
                "the environment variable NONE is not set; "
                "set it, or give a default: ${env:NONE:-default}"
            ),
        ),
    ],
)
def test_a_value_that_cannot_be_sent_is_refused_and_never_shown(
    loader: Loader, value: str, problem: str
) -> None:
    text = otlp("headers:", f"  x-token: {value}")
    error = loader.error(text, {"EMPTY": "", "TOKEN": "hunter2\n"})
    assert [str(found) for found in error.problems] == [f"otlp.headers.x-token: {problem}"]


NAME = (
    "has a name that is not just letters, digits, '-', '_' and '.'; "
    "write each header as name: value"
)


@pytest.mark.parametrize(
    "name, problem",
    [
        ("''", NAME),
        ("authorization Bearer hunter2", NAME),
        ("authorization=hunter2", NAME),
        ("a:hunter2", NAME),
        ("hunter2!", NAME),
        ("hunter2ż", NAME),
        (r'"hunter2\n"', NAME),
        ("[hunter2]", "line 8: a key must be text"),
        ("Content-Type", "has content-type, which the exporter sets itself"),
        ("content-length", "has content-length, which the exporter sets itself"),
        ("grpc-timeout", "has grpc-timeout, which the exporter sets itself"),
        ("Trace-Bin", "has trace-bin; gRPC keeps names in -bin for binary values"),
    ],
)
def test_a_name_that_cannot_be_sent_is_refused(loader: Loader, name: str, problem: str) -> None:
    assert loader.problems(otlp("headers:", f"  {name}: hunter2")) == [f"otlp.headers: {problem}"]


def test_one_header_in_capital_and_small_letters_is_refused(loader: Loader) -> None:
    assert loader.problems(otlp("headers: {X-Token: hunter2, x-token: hunter3}")) == [
        "otlp.headers: has one name twice, in capital and small letters; keep one"
    ]


def test_every_header_that_is_wrong_is_reported(loader: Loader) -> None:
    assert loader.problems(otlp("headers: {a: 1, b: fine, c: ''}")) == [
        "otlp.headers.a: must be text, is a number; put quotes around it",
        "otlp.headers.c: must not be empty",
    ]
