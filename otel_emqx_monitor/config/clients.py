"""The entries of ``monitored_clients`` and ``exclude``: how they name clients."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Self, TypeVar

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails

from otel_emqx_monitor.config import patterns
from otel_emqx_monitor.config.environment import FromEnvironment
from otel_emqx_monitor.config.section import Section
from otel_emqx_monitor.config.templates import template
from otel_emqx_monitor.config.values import (
    PLACEHOLDERS,
    ClientId,
    Contradiction,
    Glob,
    OptionalNumber,
    Regex,
    Text,
    Username,
)

#: What ``monitored_clients: all`` means.
EVERYBODY: Final[list[Mapping[str, object]]] = [{"client_id_glob": "*"}]

_WAYS: Final = ("client_id", "client_id_glob", "client_id_regex")

#: A key of an entry, and what is wrong with it.
_Wrong = tuple[str, ValueError]

S = TypeVar("S", bound=Section)


class MonitoredClient(Section):
    """One MQTT client to watch, or a pattern of clients."""

    alias: Text = Field(
        default="{client_id}",
        description="Name of the client, the label `alias`. Beside `client_id` it is required, "
        "taken literally and unique. Else it is a template: `{client_id}`, `{username}` and the "
        "named groups of `client_id_regex` are replaced; `{{` and `}}` are plain braces.",
    )
    client_id: ClientId | None = Field(
        default=None,
        description="The MQTT client id of one client: any text of 1 to 65535 bytes of UTF-8; "
        "unique. One that looks like a number needs quotes.",
    )
    client_id_glob: Glob | None = Field(
        default=None,
        description="All clients whose whole client id matches: `*` is any text, `?` any "
        "character, `[a-z]` one of these, `[!a-z]` any other. Upper case matters.",
    )
    client_id_regex: Regex | None = Field(
        default=None,
        description="The same by a regular expression in "
        "[RE2's syntax](https://github.com/google/re2/wiki/Syntax): no backreferences, no "
        "lookaround; `.` matches line breaks too. Groups are named as in `(?P<room>[a-z]+)`.",
    )
    username: Username | None = Field(
        default=None,
        description="All clients with this MQTT username; beside `client_id_glob` or "
        "`client_id_regex` both have to hold.",
    )
    expected_every_seconds: OptionalNumber = Field(
        default=None,
        gt=0,
        description="How often, in seconds, each of these clients is expected to be seen.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _agrees(cls, entry: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return _checked(entry, _wrong_with_monitored, handler)


class ExcludedClient(Section):
    """Clients that patterns do not pull in; all keys of an entry have to hold."""

    client_id: ClientId | None = Field(default=None, description="The client with this client id.")
    client_id_glob: Glob | None = Field(
        default=None, description="Clients by a glob, as in `monitored_clients`."
    )
    client_id_regex: Regex | None = Field(
        default=None, description="Clients by a regular expression, as in `monitored_clients`."
    )
    username: Username | None = Field(
        default=None,
        description="Clients with this username; beside another key both have to hold.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _agrees(cls, entry: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return _checked(entry, _wrong_with_any, handler)


def _checked(
    entry: object,
    check: Callable[[Mapping[str, object]], Iterator[_Wrong]],
    handler: ModelWrapValidatorHandler[S],
) -> S:
    """Check the keys one by one and against each other, and report all that is wrong at once."""
    wrong = list(check(entry)) if isinstance(entry, dict) else []
    details = [
        InitErrorDetails(
            type="value_error", loc=(key,), input=_given(entry, key), ctx={"error": error}
        )
        for key, error in wrong
    ]
    try:
        made = handler(entry)
    except ValidationError as error:
        details += [_again(finding) for finding in error.errors(include_url=False)]
    else:
        if not details:
            return made
    raise ValidationError.from_exception_data("entry", details)


def _given(entry: object, key: str) -> object:
    return entry.get(key) if isinstance(entry, dict) else None


def _again(finding: ErrorDetails) -> InitErrorDetails:
    """Return a finding of pydantic as something to raise once more."""
    again = InitErrorDetails(type=finding["type"], loc=finding["loc"], input=finding["input"])
    if "ctx" in finding:
        again["ctx"] = finding["ctx"]
    return again


def _wrong_with_any(entry: Mapping[str, object]) -> Iterator[_Wrong]:
    ways = [way for way in _WAYS if entry.get(way) is not None]
    if not ways and entry.get("username") is None:
        needed = "is required; or give client_id_glob, client_id_regex or username"
        yield "client_id", Contradiction(needed)
    for other in ways[1:]:
        yield other, Contradiction(f"does not go together with {ways[0]}; keep one of them")


def _wrong_with_monitored(entry: Mapping[str, object]) -> Iterator[_Wrong]:
    yield from _wrong_with_any(entry)
    if entry.get("client_id") is None:
        yield from _wrong_with_template(entry)
        return
    if "alias" not in entry:
        yield "alias", Contradiction("is required beside client_id")
    if entry.get("username") is not None:
        yield (
            "username",
            Contradiction("does not go together with client_id, which names one client already"),
        )


def _wrong_with_template(entry: Mapping[str, object]) -> Iterator[_Wrong]:
    alias, regex = entry.get("alias"), entry.get("client_id_regex")
    if not isinstance(alias, str) or not any(entry.get(way) for way in (*_WAYS, "username")):
        return
    try:
        names = patterns.regex(regex).names if isinstance(regex, str) else ()
    except ValueError:  # found at its own key; which names there are nobody knows then
        return
    try:
        # What came from a variable is not shown.
        template(alias, (*PLACEHOLDERS, *names), show=not isinstance(alias, FromEnvironment))
    except ValueError as error:
        yield "alias", error


def named(clients: Iterable[MonitoredClient]) -> Iterator[tuple[str | None, str | None]]:
    """Return alias and client id of each, ``None`` for those that no ``client_id`` names."""
    for one in clients:
        yield (None, None) if one.client_id is None else (one.alias, one.client_id)


def repeats(named: Iterable[tuple[object, object]]) -> Iterator[tuple[int, str, int]]:
    """Find aliases and client ids that come more than once.

    Args:
        named: Alias and client id of each client; what is not text is passed over.

    Yields:
        The position of a repetition, ``alias`` or ``client_id``, and the position of the first.
    """
    seen: dict[tuple[str, str], int] = {}
    for index, pair in enumerate(named):
        for key, value in zip(("alias", "client_id"), pair, strict=True):
            if isinstance(value, str):
                first = seen.setdefault((key, value), index)
                if first != index:
                    yield index, key, first
