"""What EMQX's REST API says: the answers to requests, without the sockets that carry them."""

import time
from base64 import b64decode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import NamedTuple

from otel_emqx_monitor.simulator import answers
from otel_emqx_monitor.simulator.answers import Answer, Refused
from otel_emqx_monitor.simulator.fleet import ClientSource, Row, Table
from otel_emqx_monitor.simulator.query import (
    Params,
    Query,
    Version,
    parse_params,
    parse_version,
    understand,
)
from otel_emqx_monitor.simulator.routes import Route, route

#: The key and secret of a broker that is told no others; they protect nothing.
DEFAULT_KEY = "simulated-key"
DEFAULT_SECRET = "simulated-secret"  # noqa: S105 - printed for everyone to use


class Request(NamedTuple):
    """What of an HTTP request matters here: the target as it was sent, and two headers."""

    method: str
    path: bytes
    query: bytes = b""
    authorization: str | None = None
    accept: str = "*/*"


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A simulated broker of one node.

    ``version`` decides what the API understands, as it does in that EMQX; ``ValueError`` when it is
    none. ``clock`` and ``started_at`` are seconds since the epoch.
    """

    source: ClientSource
    node: str = "emqx@127.0.0.1"
    version: str = "5.8.9"
    key: str = DEFAULT_KEY
    secret: str = field(default=DEFAULT_SECRET, repr=False)
    clock: Callable[[], float] = time.time
    started_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        parse_version(self.version)

    @property
    def _numbers(self) -> Version:
        return parse_version(self.version)

    def answer(self, request: Request) -> Answer:
        """Return EMQX's answer to ``request``; there is one to everything.

        Checks come in EMQX's order: path, method, key and secret, and only then the parameters.
        """
        where, client_id = route(request.path)
        if where is Route.MALFORMED:
            return answers.MALFORMED
        if where is Route.UNKNOWN:
            return answers.not_found(request.accept)
        if request.method != "GET":
            return answers.METHOD_NOT_ALLOWED
        try:
            if where is not Route.STATUS:
                self._authorize(request.authorization)
            return self._reply(where, client_id, _params(request.query))
        except Refused as refused:
            return refused.answer

    def _authorize(self, header: str | None) -> None:
        scheme, _, credentials = (header or "").partition(" ")
        if scheme.lower() == "bearer":
            raise Refused(answers.problem(401, "BAD_TOKEN", "Get a token by POST /login"))
        if scheme.lower() != "basic":
            message = "Support authorization: basic/bearer "
            raise Refused(answers.unauthorized("AUTHORIZATION_HEADER_ERROR", message))
        try:
            given = b64decode(credentials, validate=True)
        except ValueError:
            raise Refused(answers.MALFORMED) from None
        if b":" not in given:
            raise Refused(answers.MALFORMED)
        if not compare_digest(given, f"{self.key}:{self.secret}".encode()):
            message = "Check api_key/api_secret"
            raise Refused(answers.unauthorized("BAD_API_KEY_OR_SECRET", message))

    def _reply(self, where: Route, client_id: str, params: Params) -> Answer:
        match where:
            case Route.LIST:
                return self._clients(understand(params, self._numbers))
            case Route.LOOKUP:
                return self._client(client_id)
            case Route.NODES:
                return self._nodes()
            case Route.CONFIG:
                return self._global_zone()
        return self._status(as_json=params.get("format") == ["json"])

    def _clients(self, query: Query) -> Answer:
        if query.node not in (None, self.node):
            message = f'bad rpc call <<"{query.node}">>, Reason <<"invalid node">>'
            return answers.problem(500, "NODE_DOWN", message)
        table = self._table()
        keys = self._matching(table, query)
        before, end = (query.page - 1) * query.limit, query.page * query.limit
        meta: dict[str, object] = {"count": len(keys), "limit": query.limit, "page": query.page}
        # A page that the last rows fill exactly promises another one, which is empty then.
        meta["hasnext"] = len(keys) >= end
        if query.fuzzy:
            del meta["count"]
        rows = [self._row(table, key, query.fields) for key in keys[before:end]]
        return answers.ok({"data": rows, "meta": meta})

    def _matching(self, table: Table, query: Query) -> Sequence[int]:
        keys = table.keys() if query.client_ids is None else table.find(query.client_ids)
        if query.conditions:
            wanted = [name for name, _ in query.conditions]
            keys = [key for key in keys if _meets(table.row(key, wanted), query)]
        ascending = self._numbers < (5, 4, 0)
        return keys[::-1] if ascending else keys

    def _client(self, client_id: str) -> Answer:
        table = self._table()
        keys = table.find([client_id])
        return answers.ok(self._row(table, keys[0], None)) if keys else answers.CLIENT_NOT_FOUND

    def _row(self, table: Table, key: int, fields: Collection[str] | None) -> Row:
        row = {"node": self.node, **table.row(key, fields)}
        if fields is None:
            return row
        return {name: row[name] for name in fields if name in row}

    def _table(self) -> Table:
        return self.source.table(self.clock())

    def _nodes(self) -> Answer:
        table = self._table()
        sessions = len(table.keys())
        node = {
            "node": self.node,
            "version": self.version,
            "otp_release": "27.3.4.1/15.2.7",
            "load1": 0.16,
            "load5": 0.26,
            "load15": 0.39,
            "uptime": max(0, int((self.clock() - self.started_at) * 1000)),
            "role": "core",
            "edition": "Opensource" if self._numbers < (5, 9, 0) else "Enterprise",
            "node_status": "running",
            "connections": sessions,
            "cluster_sessions": sessions,
            "live_connections": table.connected(),
            "log_path": "/var/log/emqx",
            "max_fds": 1048576,
            "memory_total": "23.54G",
            "memory_used": "564.66M",
            "process_available": 2097152,
            "process_used": 399 + 2 * sessions,
            "sys_path": "/usr/lib/erlang",
        }
        return answers.ok([node])

    def _global_zone(self) -> Answer:
        refresh_ms = round(self.source.refresh_seconds * 1000)
        whole = refresh_ms % 1000 == 0
        mqtt = {
            "idle_timeout": f"{refresh_ms // 1000}s" if whole else f"{refresh_ms}ms",
            "max_inflight": 32,
            "max_mqueue_len": 1000,
            "max_awaiting_rel": 100,
            "max_subscriptions": "infinity",
            "mqueue_store_qos0": True,
            "session_expiry_interval": "2h",
        }
        return answers.ok({"mqtt": mqtt})

    def _status(self, *, as_json: bool) -> Answer:
        retry_after = ("retry-after", "15")
        if as_json:
            answer = answers.ok(
                {
                    "broker_status": "started",
                    "app_status": "running",
                    "rel_vsn": f"v{self.version}",
                    "node_name": self.node,
                }
            )
            return answer._replace(headers=(*answer.headers, retry_after))
        text = f"Node {self.node} is started\nemqx is running"
        return Answer(200, (("content-type", "text/plain"), retry_after), text.encode())


def _params(query: bytes) -> Params:
    try:
        return parse_params(query)
    except ValueError:
        raise Refused(answers.MALFORMED) from None


def _meets(row: Row, query: Query) -> bool:
    return all(holds(row.get(name)) for name, holds in query.conditions)
