"""Whatever a file or the environment holds, a configuration loads or is refused with a message."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_emqx_monitor.config import Config, ConfigError, effective_yaml, load
from otel_emqx_monitor.config.model import SECTIONS
from otel_emqx_monitor.config.reference import reference

KNOWN = sorted({key.key.rpartition(".")[2] for key in reference()} | Config.model_fields.keys())
SECRET = "hunter2hunter2"

keys = st.sampled_from([*KNOWN, "<<", "${env:A}"]) | st.text(max_size=5)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=8)
    | st.sampled_from(["${env:A}", "${env:NONE}", "a${env:A:-b}", "${env:", "$${", "http://h", "5"])
    | st.sampled_from(
        ["all", "*", "[", "[a-", "(?P<x>a)", "(?=a)", "{client_id}", "{x}", "{{", "}"]
    )
)
garbage = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


names = st.sampled_from(["authorization", "X-Token", "x-token", "te", "a b", ""]) | keys


def fields(section: str) -> st.SearchStrategy[Any]:
    some = st.dictionaries(st.sampled_from(list(SECTIONS[section].model_fields)), garbage | scalars)
    return st.lists(some, max_size=3) if section in {"monitored_clients", "exclude"} else some


documents = garbage | st.fixed_dictionaries(
    {},
    optional={
        name: fields(name) | garbage if name in SECTIONS else garbage
        for name in Config.model_fields
    },
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties") / "config.yaml"


def outcome(file: Path, environ: dict[str, str]) -> Config | str:
    try:
        return load(file, environ)
    except ConfigError as error:
        refused = error
    assert refused.problems
    assert str(refused).replace("\n", "").isprintable()
    assert "is not valid," not in str(refused)  # the words for what nobody thought of
    return str(refused)


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_load_or_are_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    outcome(file, {})


@settings(deadline=None)
@given(st.text(st.sampled_from("-:?[]{},&*!|>'\"%@` \n\tab1~<#$\\"), max_size=60))
def test_any_punctuation_loads_or_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    outcome(file, {})


@settings(deadline=None)
@given(documents, st.text(st.characters()).filter(lambda text: "\0" not in text))
def test_any_yaml_loads_or_is_refused(file: Path, document: object, variable: str) -> None:
    file.write_text(yaml.safe_dump(document))
    outcome(file, {"A": variable})


@settings(deadline=None)
@given(documents)
def test_a_whole_section_from_the_environment_loads_or_is_refused(
    file: Path, document: object
) -> None:
    file.write_text(
        "emqx: ${env:A}\nmonitored_clients: ${env:A}\nexclude: ${env:A}\n"
        "polling: ${env:A}\ncounters: ${env:A}\nevents: ${env:A}\notlp: ${env:A}\n"
    )
    outcome(file, {"A": yaml.safe_dump(document)})


@settings(deadline=None, max_examples=50)  # each loads six files
@given(
    fields("emqx"),
    garbage,
    st.sampled_from(["api_key", "api_secret"]),
    st.sampled_from([SECRET, f"{SECRET}\n", f"a {SECRET}: {SECRET}", f"{SECRET}\x1b"]),
)
def test_a_secret_is_never_shown(
    file: Path, emqx: dict[str, object], other: object, key: str, secret: str
) -> None:
    (file.parent / "secret").write_text(secret)
    usual = {"api_key": "k", "api_secret": "s", "api_url": "http://h", "alias": "a"}
    for changed in ({}, emqx):
        section = usual | changed
        section.pop(key, None)
        for way in ({key: secret}, {key: "${env:SECRET}"}, {f"{key}_file": "secret"}):
            file.write_text(yaml.safe_dump({"emqx": section | way, "prometheus": other}))
            result = outcome(file, {"SECRET": secret, "A": "x"})
            assert SECRET not in str(result)
            assert SECRET not in repr(result)
            if isinstance(result, Config):
                assert SECRET not in effective_yaml(result)


@settings(deadline=None, max_examples=50)  # each loads six files
@given(
    fields("otlp"),
    names,
    st.sampled_from([SECRET, f"Bearer {SECRET}", f"{SECRET}\n", f" {SECRET}", f"{SECRET}ż"]),
    st.sampled_from(["authorization", "X-Token", "te", "a b"]),
)
def test_a_header_is_never_shown(
    file: Path, otlp: dict[str, object], other: str, secret: str, name: str
) -> None:
    emqx = {"api_key": "k", "api_secret": "s", "api_url": "http://h", "alias": "a"}
    written = (
        {name: secret},
        {name: "${env:SECRET}", other: secret},
        secret,
        [f"{name}: {secret}"],
    )
    for headers in (*written, {f"{name} {secret}": "x"}, {f"{name}={secret}": None}):
        document = {"emqx": emqx, "otlp": otlp | {"headers": headers}}
        file.write_text(yaml.safe_dump(document))
        result = outcome(file, {"SECRET": secret, "A": "x"})
        assert SECRET not in str(result)
        assert SECRET not in repr(result)
        if isinstance(result, Config):
            assert SECRET not in effective_yaml(result)


@settings(deadline=None, max_examples=50)  # each loads six files
@given(
    garbage,
    st.sampled_from([("webhook", "token"), ("mqtt", "password")]),
    st.sampled_from(
        [SECRET, f"{SECRET}\n", f"a {SECRET}: {SECRET}", f" {SECRET}", f"{SECRET}\x1b"]
    ),
)
def test_a_secret_of_events_is_never_shown(
    file: Path, other: object, place: tuple[str, str], secret: str
) -> None:
    (file.parent / "secret").write_text(secret)
    section, key = place
    emqx = {"api_key": "k", "api_secret": "s", "api_url": "http://h", "alias": "a"}
    usual = {"host": "h", "username": "u"} if section == "mqtt" else {}
    ways = ({key: secret}, {key: "${env:SECRET}"}, {f"{key}_file": "secret"}, {key: [secret]})
    for way in (*({**usual, **way} for way in ways), secret, [secret]):
        file.write_text(yaml.safe_dump({"emqx": emqx, "otlp": other, "events": {section: way}}))
        result = outcome(file, {"SECRET": secret, "A": "x"})
        assert SECRET not in str(result)
        assert SECRET not in repr(result)
        if isinstance(result, Config):
            assert SECRET not in effective_yaml(result)


@settings(deadline=None)
@given(
    st.sampled_from(["api_key", "api_secret"]),
    st.text("*&!|>%@`'\"[]{},:#? -", max_size=6),
    st.text("\n ab:}]'\"", max_size=5),
)
def test_a_secret_that_breaks_the_yaml_is_never_shown(
    file: Path, key: str, before: str, after: str
) -> None:
    file.write_text(f"emqx:\n  alias: a\n  {key}: {before}{SECRET}{after}\n")
    assert SECRET not in str(outcome(file, {}))
