"""The kinds of values in a configuration: lax about spelling, strict about meaning.

Values from the environment are text, so numbers and switches may be written as text as well.
Every refusal is a ``ValueError`` that says what would be right.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr, ValidationInfo
from pydantic_core import PydanticKnownError

from otel_emqx_monitor.config import patterns
from otel_emqx_monitor.config.addresses import checked_host, normalised_api_url, normalised_endpoint
from otel_emqx_monitor.text import printable

#: MQTT 5.0, section 1.5.4: the length of a UTF-8 string is sent in two bytes.
LONGEST_CLIENT_ID: Final = 65_535

#: What a template of aliases can always hold; the named groups of a regular expression come on top.
PLACEHOLDERS: Final = ("client_id", "username")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")

# gRPC's rule for names of metadata, which is narrower than that of HTTP (RFC 9110, section 5.6.2).
_HEADER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Both exporters take printable ASCII; requests would quote other values in its error.
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
_EXPORTER_S_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "te", "transfer-encoding"}
)


class Contradiction(ValueError):
    """Two keys do not go together; neither value is wrong by itself, so neither is shown."""


def comes_with_certificate(path: str | None, info: ValidationInfo) -> str | None:
    """Return a section's ``client_key_file`` if ``client_certificate_file`` comes with it.

    Raises:
        Contradiction: one of the two is there without the other.
    """
    certificate = info.data.get("client_certificate_file", path)
    if path is None and certificate is not None:
        raise Contradiction("is required together with client_certificate_file")
    if path is not None and certificate is None:
        raise Contradiction("has no use without client_certificate_file; give both or none")
    return path


def _check_text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if _SURROGATE.search(text):
        raise ValueError("must be valid Unicode text")
    return text


def _check_client_id(text: str) -> str:
    # MQTT 5.0, section 1.5.4, requirements 1 and 2: neither surrogates nor U+0000.
    _check_text(text)
    if "\0" in text:
        raise ValueError("must not contain U+0000, which MQTT forbids")
    if len(text.encode()) > LONGEST_CLIENT_ID:
        raise ValueError(
            f"must be at most {LONGEST_CLIENT_ID} bytes of UTF-8, which is MQTT's limit"
        )
    return text


def _check_pattern(text: str) -> str:
    _check_text(text)
    if "\0" in text:
        raise ValueError("must not contain U+0000, which MQTT forbids")
    if len(text.encode()) > patterns.LONGEST_PATTERN:
        raise ValueError(f"must be at most {patterns.LONGEST_PATTERN} bytes of UTF-8")
    return text


def _check_glob(text: str) -> str:
    patterns.glob(_check_pattern(text))
    return text


def _check_regex(text: str) -> str:
    names = patterns.regex(_check_pattern(text)).names
    if taken := [name for name in PLACEHOLDERS if name in names]:
        raise ValueError(f"has a group named {taken[0]}, which has its meaning already; rename it")
    return text


def check_secret(text: str) -> None:
    """Raise ``ValueError`` for text that cannot be an API key or its secret."""
    _check_text(text)
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters")


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    check_secret(text)
    if text != text.strip():
        raise ValueError("must not begin or end with a space, which HTTP would take away")
    return token


def _check_topic_prefix(text: str) -> str:
    # MQTT 5.0, section 4.7.1: these stand for other topics.
    _check_client_id(text)
    if "+" in text or "#" in text:
        raise ValueError("must be a topic, without the wildcards + and #")
    if text.endswith("/"):
        raise ValueError("must not end with '/'")
    return text


def _check_api_secret(secret: SecretStr) -> SecretStr:
    check_secret(secret.get_secret_value())
    return secret


def _check_api_key(key: SecretStr) -> SecretStr:
    # RFC 7617, section 2: the first colon ends the user name.
    if ":" in key.get_secret_value():
        raise ValueError("must not contain ':', which HTTP Basic authentication cannot carry")
    return _check_api_secret(key)


def _check_header_name(name: str) -> str:
    small = name.lower()
    if not _HEADER_NAME.fullmatch(name):
        # The name is not shown: a whole header could have slipped into it.
        raise ValueError(
            "has a name that is not just letters, digits, '-', '_' and '.'; "
            "write each header as name: value"
        )
    if small in _EXPORTER_S_HEADERS or small.startswith("grpc-"):
        raise ValueError(f"has {printable(small, 60)}, which the exporter sets itself")
    if small.endswith("-bin"):
        raise ValueError(f"has {printable(small, 60)}; gRPC keeps names in -bin for binary values")
    return name


def _check_header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise ValueError("must not be empty")
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError("must be one line of printable ASCII characters")
    if text != text.strip():
        raise ValueError("must not begin or end with a space; perhaps a variable in it is empty")
    return value


def _empty_if_absent(value: object) -> object:
    return {} if value is None else value


def _as_sent(headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    sent = {name.lower(): value for name, value in headers.items()}
    if len(sent) < len(headers):
        raise Contradiction("has one name twice, in capital and small letters; keep one")
    return MappingProxyType(sent)


def _whole_not_switch(value: object) -> object:
    if isinstance(value, bool):  # which Python counts among the numbers
        raise PydanticKnownError("int_type")
    return value


def _number_not_switch(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


def _absent_if_empty(value: object) -> object:
    return None if isinstance(value, str) and value.lower() in ("", "null") else value


def _verification(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be true, false or the path of a CA bundle")
    switch = {"true": True, "false": False}.get(value.lower())
    return _check_text(value) if switch is None else switch


Text = Annotated[str, AfterValidator(_check_text)]
ClientId = Annotated[str, AfterValidator(_check_client_id)]
#: MQTT 5.0, section 3.1.3.5: a UTF-8 string, as the client id is. An empty one is not asked for.
Username = ClientId
Glob = Annotated[str, AfterValidator(_check_glob)]
Regex = Annotated[str, AfterValidator(_check_regex)]
ApiKey = Annotated[SecretStr, AfterValidator(_check_api_key)]
ApiSecret = Annotated[SecretStr, AfterValidator(_check_api_secret)]
ApiUrl = Annotated[str, AfterValidator(normalised_api_url)]
Address = Annotated[str, AfterValidator(checked_host)]
Verification = Annotated[bool | str, PlainValidator(_verification)]
Whole = Annotated[int, BeforeValidator(_whole_not_switch)]
Number = Annotated[float, BeforeValidator(_number_not_switch)]
Token = Annotated[SecretStr, AfterValidator(_check_token)]
TopicPrefix = Annotated[str, AfterValidator(_check_topic_prefix)]
OptionalName = Annotated[
    Annotated[str, AfterValidator(_check_client_id)] | None, BeforeValidator(_absent_if_empty)
]
OptionalWhole = Annotated[
    int | None, BeforeValidator(_absent_if_empty), BeforeValidator(_whole_not_switch)
]
OptionalText = Annotated[
    Annotated[str, AfterValidator(_check_text)] | None, BeforeValidator(_absent_if_empty)
]
OptionalEndpoint = Annotated[
    Annotated[str, AfterValidator(normalised_endpoint)] | None, BeforeValidator(_absent_if_empty)
]
OptionalProtocol = Annotated[
    Literal["grpc", "http/protobuf"] | None, BeforeValidator(_absent_if_empty)
]
OptionalCompression = Annotated[Literal["none", "gzip"] | None, BeforeValidator(_absent_if_empty)]
OptionalSwitch = Annotated[bool | None, BeforeValidator(_absent_if_empty)]
#: Names in small letters, as HTTP/2 sends them (RFC 9113, section 8.2.1).
Headers = Annotated[
    Mapping[
        Annotated[str, AfterValidator(_check_header_name)],
        Annotated[SecretStr, AfterValidator(_check_header_value)],
    ],
    BeforeValidator(_empty_if_absent),
    AfterValidator(_as_sent),
]
OptionalNumber = Annotated[
    float | None, BeforeValidator(_absent_if_empty), BeforeValidator(_number_not_switch)
]
