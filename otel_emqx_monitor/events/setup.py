"""Makes EMQX post its events to the agent: a connector, an action and one or two rules.

EMQX's rule engine takes an HTTP connector (where to), an action of it (what to post) and rules
(which events). Their names are fixed, so that running again changes what differs and nothing else.
The one exception is the action: EMQX masks the token when it is asked for it, so nobody can tell if
it is still the right one, and the action is sent each time. What people tuned in EMQX's dashboard
(pool sizes, TLS, buffers, descriptions) stays.

``POST`` and ``PUT`` of an object that another one is making or removing meanwhile are answered with
"exists" or "missing"; then it is looked at again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import msgspec

from otel_emqx_monitor.config.addresses import normalised_base_url
from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.emqx.answers import Answer
from otel_emqx_monitor.emqx.broker import ask_broker
from otel_emqx_monitor.emqx.decoding import decoder
from otel_emqx_monitor.emqx.errors import (
    BadRequest,
    CannotConnect,
    EmqxError,
    ServerError,
    TimedOut,
)
from otel_emqx_monitor.emqx.http import Method
from otel_emqx_monitor.emqx.sessions import Sessions
from otel_emqx_monitor.events.objects import ConfigObject, Json, differences, masked, merged
from otel_emqx_monitor.events.sql import checked_topic_filter, messages_sql, presence_sql
from otel_emqx_monitor.events.webhook import PATH
from otel_emqx_monitor.text import printable

NAME = "otel_emqx_monitor"
MESSAGES_NAME = f"{NAME}_messages"

Echo = Callable[[str], object]

_REQUEST_SECONDS = 60.0
_LOOKS = 3


@dataclass(frozen=True)
class Wanted:
    """What EMQX should do.

    Args:
        url: the agent's base URL as EMQX sees it, ``http://agent:9671``.
        token: what the agent's webhook wants to see; printable ASCII without blanks.
        topics: topic filters whose messages count; without one only presence is told.

    Raises ``ValueError`` with a sentence for what cannot be used; it never holds the token.
    """

    url: str
    token: str = field(repr=False)
    topics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "url", normalised_base_url(self.url))
        except ValueError as error:
            raise ValueError(f"the URL of the agent {error}") from None
        for topic in self.topics:
            try:
                checked_topic_filter(topic)
            except ValueError as error:
                raise ValueError(f"{printable(topic, 100)!r} cannot be used: {error}") from None
        check_token(self.token)


def check_token(token: str) -> None:
    """Raise ``ValueError`` if ``token`` cannot stand in the header of an action as it is."""
    if not token or not token.isascii() or any(not "!" <= char <= "~" for char in token):
        raise ValueError("the token must be printable ASCII without blanks, and not empty")
    if "${" in token:
        raise ValueError("the token must not hold ${: EMQX would put a variable there")


_CONNECTOR = ConfigObject(
    "connector",
    NAME,
    "/connectors",
    f"http:{NAME}",
    first={"type": "http", "name": NAME, "headers": {}},
    kept=(
        *("connect_timeout", "description", "enable_pipelining", "headers"),
        *("pool_size", "pool_type", "resource_opts", "ssl"),
    ),
)
_ACTION = ConfigObject(
    "action",
    NAME,
    "/actions",
    f"http:{NAME}",
    first={"type": "http", "name": NAME},
    kept=("description", "parameters", "resource_opts"),
    hidden=True,
)
_RULE = ConfigObject("rule", NAME, "/rules", NAME, first={"id": NAME}, kept=("description",))
_MESSAGES_RULE = replace(_RULE, name=MESSAGES_NAME, key=MESSAGES_NAME, first={"id": MESSAGES_NAME})


def set_up(config: EmqxConfig, wanted: Wanted, echo: Echo, *, dry_run: bool = False) -> None:
    """Make EMQX post to the agent what is ``wanted``; each thing done is told through ``echo``.

    With ``dry_run`` EMQX is only asked, and the requests that would be sent are told.

    Raises:
        EmqxError: EMQX cannot be asked, is too old or refuses; what was told before is done.
    """
    with _Session(config, echo, dry_run=dry_run, token=wanted.token) as session:
        session.check_version()
        connector = session.ensure(replace(_CONNECTOR, wanted=_connector(wanted.url)))
        session.ensure(replace(_ACTION, wanted=_action(wanted.token)))
        session.ensure(replace(_RULE, wanted=_rule(NAME, presence_sql())))
        if wanted.topics:
            sql = messages_sql(wanted.topics)
            session.ensure(replace(_MESSAGES_RULE, wanted=_rule(MESSAGES_NAME, sql)))
        else:
            session.remove(_MESSAGES_RULE, quiet=True)
        if connector is not None:
            echo(_reach(connector, wanted.url))


def remove(config: EmqxConfig, echo: Echo, *, dry_run: bool = False) -> None:
    """Remove from EMQX all that ``set_up`` makes, told through ``echo``; what is missing is fine.

    Raises:
        EmqxError: EMQX cannot be asked, is too old or refuses; what was told before is done.
    """
    with _Session(config, echo, dry_run=dry_run) as session:
        session.check_version()
        for unwanted in (_MESSAGES_RULE, _RULE, _ACTION, _CONNECTOR):
            session.remove(unwanted)


def _connector(url: str) -> Json:
    wanted: dict[str, object] = {"enable": True, "url": url}
    if url.startswith("https:"):
        wanted["ssl"] = {"enable": True}
    return wanted


def _action(token: str) -> Json:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    parameters = {"path": PATH, "method": "post", "headers": headers}
    return {"enable": True, "connector": NAME, "parameters": parameters}


def _rule(name: str, sql: str) -> Json:
    return {"name": name, "enable": True, "actions": [f"http:{NAME}"], "sql": sql}


def _reach(connector: Json, url: str) -> str:
    status = connector.get("status")
    if status == "connected":
        return f"EMQX reaches {url}."
    return (
        f"EMQX does not reach {url} yet (status {printable(str(status), 40)}); check that the agent"
        " runs, and that this is its address as EMQX sees it"
    )


class _Session:
    """Asks and changes one broker, in turn, and tells what it did."""

    def __init__(self, config: EmqxConfig, echo: Echo, *, dry_run: bool, token: str = "") -> None:
        self._where = f"EMQX at {config.api_url}"
        self._sessions = Sessions(config)
        self._http = self._sessions.open()
        self._echo = echo
        self._dry_run = dry_run
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sessions.close()

    def check_version(self) -> None:
        """Raise ``BadRequest`` if EMQX is known to be without connectors and actions."""
        with self._http.deadline(_REQUEST_SECONDS) as deadline:
            broker = ask_broker(self._http, deadline)
        if broker.versions and not broker.dialect.has_actions:
            versions = ", ".join(sorted({printable(text, 40) for text in broker.versions}))
            raise BadRequest(
                f"{self._where} is version {versions}, whose API has no HTTP connectors and"
                " actions (they came with 5.4.0, and every node needs it); upgrade it, or let the"
                " agent subscribe to $SYS (events.mqtt), which needs no rule"
            )

    def ensure(self, one: ConfigObject) -> Json | None:
        """Make ``one`` as it is wanted; return what EMQX says of it, ``None`` in a dry run."""
        for _ in range(_LOOKS):
            present = self._look(one)
            if present is None:
                method: Method = "POST"
                target, body, done = one.collection, {**one.first, **one.wanted}, "created"
            else:
                changes = ", ".join(differences(one.wanted, present))
                if not changes and not one.hidden:
                    self._echo(f"{one.title}: unchanged")
                    return present
                kept = {name: present[name] for name in one.kept if name in present}
                method, target, body = "PUT", one.path, merged(kept, one.wanted)
                done = f"updated ({changes or 'EMQX masks its token, so it is sent each time'})"
            if self._dry_run:
                self._tell(method, target, body)
                return None
            answer = self._send(method, target, body)
            if answer.status in (200, 201):
                self._echo(f"{one.title}: {done}")
                return _json(answer)
        raise ServerError(
            f"{self._where} says now that the {one.title} exists and now that it does not; see who"
            " else changes it, then run setup-events again"
        )

    def remove(self, one: ConfigObject, *, quiet: bool = False) -> None:
        """Remove ``one``; that it is missing is told unless ``quiet``."""
        missing = (self._dry_run or quiet) and self._look(one) is None
        if not missing and self._dry_run:
            self._tell("DELETE", one.path, None)
            return
        if not missing:
            missing = self._send("DELETE", one.path, None).status == 404
        if not (missing and quiet):
            self._echo(f"{one.title}: {'was not there' if missing else 'removed'}")

    def _look(self, one: ConfigObject) -> Json | None:
        answer = self._send("GET", one.path, None)
        return None if answer.status == 404 else _json(answer)

    def _send(self, method: Method, target: str, body: Json | None) -> Answer:
        encoded = None if body is None else msgspec.json.encode(body)
        hidden = (self._token,) if self._token else ()
        try:
            with self._http.deadline(_REQUEST_SECONDS) as deadline:
                return self._http.send(method, target, deadline, body=encoded, hidden=hidden)
        except (CannotConnect, TimedOut) as error:
            if method == "GET":
                raise
            raise _unsure(error, method, target) from error

    def _tell(self, method: Method, target: str, body: Json | None) -> None:
        if body is None:
            self._echo(f"{method} {target}")
            return
        self._echo(f"{method} {target} {msgspec.json.encode(masked(body)).decode()}")


def _unsure(error: EmqxError, method: Method, target: str) -> EmqxError:
    return type(error)(
        f"{error}; nobody knows if EMQX has done {method} {target}: run setup-events again, it"
        " looks at what is there"
    )


_json = decoder(dict[str, object])
