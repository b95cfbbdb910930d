"""The data integration of the simulated broker: connectors, actions and rules, and their API.

The answers are those recorded on EMQX 5.8.9; those to a missing object, to one that is in use and
to unknown fields are worded as in EMQX's sources. Only the type ``http`` exists. Everything belongs
to the whole cluster: give all its brokers the same ``Integration``.
"""

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from otel_emqx_monitor.simulator import answers
from otel_emqx_monitor.simulator.answers import Answer, Refused
from otel_emqx_monitor.simulator.integration_config import (
    DEFAULTS,
    FIELDS,
    NAMES,
    Config,
    Kind,
    masked,
    merged,
    unmasked,
)
from otel_emqx_monitor.simulator.rule_sql import Columns, SqlError, Statement, parse


@dataclass
class _Stored:
    """One object: what it is set to, and when that was said, in seconds since the epoch."""

    config: Config
    created_at: float
    modified_at: float
    statement: Statement | None = None


class Post(NamedTuple):
    """What an action sends for one event."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def listens(url: str) -> bool:
    """Return whether somebody takes a connection at ``url`` within a second."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Integration:
    """What a broker was told to do with its events; safe for several threads.

    Args:
        reaches: whether a connector's URL can be reached, as EMQX tells in ``status``; ``listens``
            finds out.
    """

    reaches: Callable[[str], bool] = lambda _url: True
    _lock: Lock = field(default_factory=Lock, repr=False)
    _stored: dict[Kind, dict[str, _Stored]] = field(
        default_factory=lambda: {kind: {} for kind in Kind}, repr=False
    )

    def answer(  # noqa: PLR0913 - the parts of a request, and who answers when
        self, kind: Kind, method: str, key: str, body: bytes, *, node: str, now: float
    ) -> Answer:
        """Return what EMQX answers to a request about all objects of a kind, or the one of ``key``.

        ``key`` is empty for all. Raises ``Refused``.
        """
        with self._lock:
            if not key and method == "GET":
                return self._list(kind, node)
            if not key and method == "POST":
                return self._create(kind, _decoded(body), node, now)
            if not key or method not in ("GET", "PUT", "DELETE"):
                allowed = "GET, PUT, DELETE" if key else "GET, POST"
                return Answer(405, (("allow", allowed),))
            stored = self._stored[kind].get(key)
            if stored is None:
                raise Refused(answers.problem(404, "NOT_FOUND", _missing(kind, key)))
            if method == "DELETE":
                return self._delete(kind, key)
            if method == "PUT":
                self._set(kind, stored, _decoded(body), now)
            return answers.ok(self._described(kind, key, stored, node))

    @property
    def has_rules(self) -> bool:
        """Whether there is a rule, so that events matter to anyone."""
        return bool(self._stored[Kind.RULE])

    def posts(self, source: str, columns: Columns) -> Iterator[Post]:
        """Yield what the actions of all rules send for an event.

        ``source`` is the topic of a message that was published, or that of the event, as in
        ``$events/client_connected``.
        """
        with self._lock:
            found = list(self._posts(source, columns))
        yield from found

    def _posts(self, source: str, columns: Columns) -> Iterator[Post]:
        for key, rule in self._stored[Kind.RULE].items():
            if not rule.config["enable"] or rule.statement is None:
                continue
            if not rule.statement.covers(source):
                continue
            output = rule.statement.apply({**columns, "metadata": {"rule_id": key}})
            actions = rule.config["actions"]
            if output is None or not isinstance(actions, list):
                continue
            body = msgspec.json.encode(output)
            for action_key in actions:
                yield from self._post(str(action_key), body)

    def _post(self, action_key: str, body: bytes) -> Iterator[Post]:
        action = self._stored[Kind.ACTION].get(action_key)
        if action is None or not action.config["enable"]:
            return
        connector = self._stored[Kind.CONNECTOR].get(f"http:{action.config['connector']}")
        if connector is None or not connector.config["enable"]:
            return
        parameters = action.config["parameters"]
        assert isinstance(parameters, dict)  # noqa: S101 - for mypy; ``_set`` merged it into one
        headers = {**_texts(connector.config["headers"]), **_texts(parameters["headers"])}
        yield Post(f"{connector.config['url']}{parameters.get('path', '')}", headers, body)

    def _create(self, kind: Kind, given: Config, node: str, now: float) -> Answer:
        name = given.get("id" if kind is Kind.RULE else "name")
        if not isinstance(name, str) or not name:
            raise Refused(_invalid("required_field", "name"))
        if kind is not Kind.RULE and given.get("type") != "http":
            raise Refused(_invalid("unable_to_convert_to_enum_symbol", "type"))
        key = name if kind is Kind.RULE else f"http:{name}"
        if key in self._stored[kind]:
            raise Refused(_exists(kind))
        stored = _Stored(dict(DEFAULTS[kind]), now, now)
        config = {field: value for field, value in given.items() if field not in NAMES[kind]}
        self._set(kind, stored, config, now)
        self._stored[kind][key] = stored
        created = answers.ok(self._described(kind, key, stored, node))
        return created._replace(status=201)

    def _set(self, kind: Kind, stored: _Stored, given: Config, now: float) -> None:
        """Make ``stored`` what is ``given``; what is not given falls back to its default."""
        unknown = sorted(set(given).difference(FIELDS[kind]))
        if unknown:
            raise Refused(_invalid("unknown_fields", ",".join(unknown)))
        config = merged(DEFAULTS[kind], unmasked(given, stored.config))
        needed = {Kind.CONNECTOR: "url", Kind.ACTION: "connector", Kind.RULE: "sql"}[kind]
        if not isinstance(config.get(needed), str):
            raise Refused(_invalid("required_field", needed))
        if (
            kind is Kind.ACTION
            and f"http:{config['connector']}" not in self._stored[Kind.CONNECTOR]
        ):
            raise Refused(_invalid("connector_not_found_or_wrong_type", "connector"))
        if kind is Kind.RULE:
            try:
                stored.statement = parse(str(config["sql"]))
            except SqlError as error:
                raise Refused(answers.problem(400, "BAD_REQUEST", str(error))) from None
        stored.config = config
        stored.modified_at = now

    def _delete(self, kind: Kind, key: str) -> Answer:
        users = self._users(kind, key)
        if users and kind is Kind.ACTION:
            message = "Cannot delete action while active rules are depending on it"
            body = {"code": "BAD_REQUEST", "message": message, "rules": users}
            return answers.ok(body)._replace(status=400)
        if users:
            message = "Cannot delete connector while there are active channels defined for it"
            raise Refused(answers.problem(400, "BAD_REQUEST", message))
        del self._stored[kind][key]
        return Answer(204)

    def _users(self, kind: Kind, key: str) -> list[str]:
        """Return the names of the actions that use a connector, or of the rules that use one."""
        if kind is Kind.CONNECTOR:
            stored = self._stored[Kind.ACTION].items()
            return [
                _name(one) for one, action in stored if f"http:{action.config['connector']}" == key
            ]
        if kind is Kind.ACTION:
            rules = self._stored[Kind.RULE].items()
            return [one for one, rule in rules if key in _items(rule.config["actions"])]
        return []

    def _list(self, kind: Kind, node: str) -> Answer:
        data = [self._described(kind, key, one, node) for key, one in self._stored[kind].items()]
        if kind is not Kind.RULE:
            return answers.ok(data)
        meta = {"count": len(data), "limit": 100, "page": 1, "hasnext": False}
        return answers.ok({"data": data, "meta": meta})

    def _described(self, kind: Kind, key: str, stored: _Stored, node: str) -> Config:
        described: Config = dict(masked(stored.config))
        if kind is Kind.RULE:
            described |= {
                "id": key,
                "from": list(stored.statement.sources) if stored.statement else [],
                "created_at": _rfc3339(stored.created_at),
                "last_modified_at": _rfc3339(stored.modified_at),
            }
            return described
        users = self._users(kind, key)
        status = self._status(kind, key)
        described |= {"name": _name(key), "type": "http", "status": status}
        if kind is Kind.CONNECTOR:
            here = {"node": node, "status": status}
            return described | {"sources": [], "actions": users, "node_status": [here]}
        here = {"node": node, "status": status, "status_reason": ""}
        return described | {
            "error": "",
            "status_reason": "",
            "rules": users,
            "node_status": [here],
            "created_at": int(stored.created_at * 1000),
            "last_modified_at": int(stored.modified_at * 1000),
        }

    def _status(self, kind: Kind, key: str) -> str:
        config = self._stored[kind][key].config if key in self._stored[kind] else {}
        if kind is Kind.ACTION:
            return self._status(Kind.CONNECTOR, f"http:{config.get('connector')}")
        return "connected" if self.reaches(str(config.get("url"))) else "disconnected"


def _decoded(body: bytes) -> Config:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(_invalid("invalid_json", "body")) from None


def _invalid(reason: str, path: str) -> Answer:
    return answers.invalid({"reason": reason, "path": path, "kind": "validation_error"})


def _exists(kind: Kind) -> Answer:
    if kind is Kind.RULE:
        return answers.problem(400, "BAD_REQUEST", "rule id already exists")
    word = "connector" if kind is Kind.CONNECTOR else "bridge"
    return answers.problem(400, "ALREADY_EXISTS", f"{word} already exists")


def _missing(kind: Kind, key: str) -> str:
    if kind is Kind.RULE:
        return "Rule Id Not Found"
    word = "Connector" if kind is Kind.CONNECTOR else "Bridge"
    of_type, _, name = key.partition(":")
    return f"{word} lookup failed: {word.lower()} named '{name}' of type {of_type} does not exist."


def _texts(headers: object) -> dict[str, str]:
    return (
        {str(name): str(text) for name, text in headers.items()}
        if isinstance(headers, dict)
        else {}
    )


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _name(key: str) -> str:
    return key.partition(":")[2]


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
