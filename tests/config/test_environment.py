from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.config.environment import FromEnvironment, substitute
from otel_emqx_monitor.config.errors import Problems
from tests.config.loader import MINIMAL, Loader, emqx

ENVIRON = {"HOST": "emqx", "PORT": "18083", "EMPTY": "", "TRICK": "x\nport: 1 # ${env:HOST} \"'"}


def put_in(text: str) -> Any:
    problems = Problems()
    values, _ = substitute({"section": {"key": text}}, ENVIRON, problems)
    assert problems.listed() == ()
    section: Any = values["section"]
    return section["key"]


def wrong(text: str, environ: dict[str, str]) -> list[str]:
    problems = Problems()
    substitute({"section": [{"key": text}]}, environ, problems)
    return [str(problem) for problem in problems.listed()]


@pytest.mark.parametrize(
    "text, result",
    [
        ("${env:HOST}", "emqx"),
        ("http://${env:HOST}:${env:PORT}/", "http://emqx:18083/"),
        ("${env:NONE:-fallback}", "fallback"),
        ("${env:NONE:-}", ""),
        ("${env:HOST:-fallback}", "emqx"),
        ("${env:EMPTY:-fallback}", ""),
        ("${env:NONE:-a:-b $x}", "a:-b $x"),
        ("$${env:HOST}", "${env:HOST}"),
        ("$$${env:HOST}", "$${env:HOST}"),
        ("$${", "${"),
        ("${env:TRICK}", ENVIRON["TRICK"]),
    ],
)
def test_references_become_the_text_of_the_variable(text: str, result: str) -> None:
    assert put_in(text) == result


@pytest.mark.parametrize(
    "text", ["$", "$$", "${", "${HOST}", "${foo:bar}", "$HOST", "${ENV:HOST}", "a${}"]
)
def test_anything_else_stays_as_it_is(text: str) -> None:
    assert put_in(text) == text
    assert type(put_in(text)) is str


@given(st.text(st.sampled_from("${}env:A-x")))
def test_escaping_every_opening_gives_the_text_back(text: str) -> None:
    assert put_in(text.replace("${", "$${")) == text


def test_text_from_the_environment_knows_its_variables() -> None:
    value = put_in("http://${env:HOST}:${env:PORT}/${env:HOST}${env:NONE:-x}")
    assert isinstance(value, FromEnvironment)
    assert value.source == "${env:HOST} and ${env:PORT}"
    assert not isinstance(put_in("${env:NONE:-default}"), FromEnvironment)


@pytest.mark.parametrize(
    "text, problem",
    [
        (
            "a ${env:NONE}",
            (
                "section[0].key: the environment variable NONE is not set; "
                "set it, or give a default: ${env:NONE:-default}"
            ),
        ),
        ("${env:B}", "section[0].key: the environment variable B is not valid UTF-8"),
        *(
            (
                text,
                "section[0].key: has '${env:' without NAME and '}' after it; '$${' is a plain '${'",
            )
            for text in ("${env:", "${env:}", "${env:1}", "${env:A-B}", "${env:A:?x}", "${env:A:-x")
        ),
    ],
)
def test_a_reference_that_cannot_be_replaced_is_a_problem(text: str, problem: str) -> None:
    assert wrong(text, {"A": "1", "B": "\udcff"}) == [problem]


def test_only_values_are_replaced_and_other_types_stay() -> None:
    document: dict[str, object] = {"a": {"${env:HOST}": [1, None, True, 2.5]}}
    assert substitute(document, ENVIRON, Problems()) == (document, {})


def test_shared_values_stay_shared() -> None:
    shared = {"key": "${env:HOST}"}
    values, _ = substitute({"a": [shared, shared]}, ENVIRON, Problems())
    (first, second) = list(values["a"])  # type: ignore[call-overload]  # the list made above
    assert first is second
    assert first == {"key": "emqx"}
    assert shared == {"key": "${env:HOST}"}


def test_nesting_that_only_aliases_can_build_is_refused() -> None:
    deep: object = "bottom"
    for _ in range(5000):
        deep = [deep]
    problems = Problems()
    substitute({"a": deep}, {}, problems)
    (problem,) = problems.listed()
    assert problem.text == "is nested more than 20 levels deep"


def test_a_whole_section_can_be_yaml_in_a_variable(loader: Loader) -> None:
    environ = {"CLIENTS": "- {alias: a, client_id: '1'}\n- {alias: b, client_id: '${env:X}'}"}
    config = loader.load(MINIMAL + "monitored_clients: ${env:CLIENTS}\n", environ)
    assert [client.client_id for client in config.monitored_clients] == ["1", "${env:X}"]


def test_the_default_of_a_section_is_yaml_too(loader: Loader) -> None:
    text = MINIMAL + "monitored_clients: ${env:CLIENTS:-[]}\nprometheus: '${env:P:-port: 5}'\n"
    config = loader.load(text)
    assert config.monitored_clients == ()
    assert config.prometheus.port == 5


def test_an_empty_section_counts_as_missing(loader: Loader) -> None:
    config = loader.load(MINIMAL + "prometheus: ${env:P}\npolling:\n", {"P": ""})
    assert config.prometheus.port == 9671
    assert config.polling.deadline_seconds == 60


def test_problems_in_such_a_section_name_the_variable(loader: Loader) -> None:
    environ = {"PROM": "port: many\naddress: [1]", "POLL": "[1,", "CLIENTS": "- alias: hunter2"}
    text = "prometheus: ${env:PROM}\npolling: ${env:POLL}\nmonitored_clients: ${env:CLIENTS}\n"
    assert loader.problems(MINIMAL + text, environ) == [
        (
            "monitored_clients[0].client_id: is required; or give client_id_glob, client_id_regex "
            "or username (the value comes from ${env:CLIENTS})"
        ),
        "prometheus.port: must be a whole number (the value comes from ${env:PROM})",
        "prometheus.address: must be text (the value comes from ${env:PROM})",
        (
            "polling: line 2, column 1 of ${env:POLL}: is not valid YAML: "
            "did not find expected node content"
        ),
    ]


def test_scalars_from_the_environment_become_what_the_key_needs(loader: Loader) -> None:
    text = emqx(ssl="${env:TLS}", timeout_seconds="${env:SECONDS}", attempts="${env:N}")
    text += "prometheus: {port: '${env:PORT}', enable_dates: '${env:ON}'}\n"
    text += "polling: {stale_after_seconds: '${env:STALE:-}'}\n"
    environ = {"TLS": "False", "SECONDS": "2.5", "N": "7", "PORT": "1234", "ON": "true"}
    config = loader.load(text, environ)
    assert config.emqx.ssl is False
    assert config.emqx.timeout_seconds == 2.5
    assert config.emqx.attempts == 7
    assert config.prometheus.port == 1234
    assert config.prometheus.enable_dates is True
    assert config.polling.stale_after_seconds is None


def test_a_value_from_the_environment_is_named_and_never_shown(loader: Loader) -> None:
    text = emqx(api_url="${env:X}", ssl="${env:X}", attempts="${env:X}", api_key_file="${env:X}")
    error = loader.error(text + "prometheus: {enable_dates: '${env:X}'}\n", {"X": "hunter2"})
    assert [str(problem) for problem in error.problems] == [
        "emqx.api_key: is given twice: keep either api_key or api_key_file",
        (
            "emqx.ssl: must be true, false or the path of a CA bundle; there is no such file "
            "(the path comes from ${env:X})"
        ),
        (
            "emqx.api_url: must begin with http:// or https://, as in http://emqx:18083/api/ "
            "(the value comes from ${env:X})"
        ),
        "emqx.attempts: must be a whole number (the value comes from ${env:X})",
        "prometheus.enable_dates: must be true or false (the value comes from ${env:X})",
    ]
    assert "hunter2" not in str(error)
