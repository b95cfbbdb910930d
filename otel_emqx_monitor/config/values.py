"""The kinds of values in a configuration: lax about spelling, strict about meaning.

Values from the environment are text, so numbers and switches may be written as text as well.
Every refusal is a ``ValueError`` that says what would be right.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr
from pydantic_core import PydanticKnownError

from otel_emqx_monitor.config.addresses import checked_host, normalised_api_url

#: MQTT 5.0, section 1.5.4: the length of a UTF-8 string is sent in two bytes.
LONGEST_CLIENT_ID: Final = 65_535

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


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


def check_secret(text: str) -> None:
    """Raise ``ValueError`` for text that cannot be an API key or its secret."""
    _check_text(text)
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters")


def _check_api_secret(secret: SecretStr) -> SecretStr:
    check_secret(secret.get_secret_value())
    return secret


def _check_api_key(key: SecretStr) -> SecretStr:
    # RFC 7617, section 2: the first colon ends the user name.
    if ":" in key.get_secret_value():
        raise ValueError("must not contain ':', which HTTP Basic authentication cannot carry")
    return _check_api_secret(key)


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
ApiKey = Annotated[SecretStr, AfterValidator(_check_api_key)]
ApiSecret = Annotated[SecretStr, AfterValidator(_check_api_secret)]
ApiUrl = Annotated[str, AfterValidator(normalised_api_url)]
Address = Annotated[str, AfterValidator(checked_host)]
Verification = Annotated[bool | str, PlainValidator(_verification)]
Whole = Annotated[int, BeforeValidator(_whole_not_switch)]
Number = Annotated[float, BeforeValidator(_number_not_switch)]
OptionalNumber = Annotated[
    float | None, BeforeValidator(_absent_if_empty), BeforeValidator(_number_not_switch)
]
