"""What EMQX's REST API says: the answers to requests, without the sockets that carry them.

A ``Broker`` is the API of one node. Most tests want no other node; where there are several, all
that this node can know of them comes from the ``Cluster``.
"""

import time
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hmac import compare_digest
from typing import NamedTuple

from otel_emqx_monitor.simulator import answers
from otel_emqx_monitor.simulator.answers import Answer, Refused
from otel_emqx_monitor.simulator.cluster import Cluster, NodeDown, node_names
from otel_emqx_monitor.simulator.fleet import ClientSource, Row, Table
from otel_emqx_monitor.simulator.integration import Integration
from otel_emqx_monitor.simulator.integration_config import Kind
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
    """What of an HTTP request matters here: the target as it was sent, and two headers.

    ``waited`` is for how many seconds it has been under way, when it is asked again after
    ``Hanging``.
    """

    method: str
    path: bytes
    query: bytes = b""
    authorization: str | None = None
    accept: str = "*/*"
    waited: float = 0.0
    body: bytes = b""


#: The first version with connectors and actions; rules are older, but of no use here without.
_ACTIONS_SINCE = (5, 4, 0)
_INTEGRATION = {
    Route.CONNECTORS: Kind.CONNECTOR,
    Route.ACTIONS: Kind.ACTION,
    Route.RULES: Kind.RULE,
}

#: What matches on one node: its name, its table, and the keys of the rows, in the order of answers.
_Found = tuple[str, Table, Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The API of one simulated node.

    ``source`` is the clients of a broker that has no other node, or the ``Cluster`` that ``node``
    is one of; without ``node`` the cluster's first answers. ``version`` decides what the API
    understands, as it does in that EMQX. ``role`` is that of the key: ``administrator``, ``viewer``
    (reads only) or ``publisher`` (neither). ``integration`` is what it is told to do with its
    events; nodes of one cluster share one. ``clock`` and ``started_at`` are seconds since the
    epoch, for a broker of one node: a cluster has its own.

    Raises ``ValueError`` when ``version`` is none, ``UnknownNode`` when ``node`` is not there.
    """

    source: ClientSource | Cluster
    node: str | None = None
    version: str = "5.8.9"
    key: str = DEFAULT_KEY
    secret: str = field(default=DEFAULT_SECRET, repr=False)
    role: str = "administrator"
    clock: Callable[[], float] = time.time
    started_at: float = field(default_factory=time.time)
    integration: Integration = field(default_factory=Integration)

    def __post_init__(self) -> None:
        parse_version(self.version)
        self.cluster.state(self.name)

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster that this node is one of; one of its own if it was given none."""
        if isinstance(self.source, Cluster):
            return self.source
        [default] = node_names(1)
        nodes = {self.node or default: self.source}
        return Cluster(nodes, clock=self.clock, started_at=self.started_at)

    @cached_property
    def name(self) -> str:
        """The name of the node that answers."""
        return self.node or self.cluster.names[0]

    @property
    def _numbers(self) -> Version:
        return parse_version(self.version)

    def answer(self, request: Request) -> Answer:
        """Return EMQX's answer to ``request``; there is one to everything, if the node runs.

        Checks come in EMQX's order: path, method, key and secret, and only then the parameters.

        Raises:
            Hanging: this node is frozen, or another one that the answer needs; ask again later.
            NodeDead: this node does not run.
        """
        self.cluster.check_answering(self.name)
        where, key = route(request.path)
        kind = _INTEGRATION.get(where)
        try:
            if where is Route.MALFORMED:
                raise Refused(answers.MALFORMED)
            if where is Route.UNKNOWN or (kind and self._numbers < _ACTIONS_SINCE):
                raise Refused(answers.not_found(request.accept))
            if request.method != "GET" and kind is None:
                raise Refused(answers.METHOD_NOT_ALLOWED)
            if where is not Route.STATUS:
                self._authorize(request)
            if kind is not None:
                now = self.cluster.clock()
                return self.integration.answer(
                    kind, request.method, key, request.body, node=self.name, now=now
                )
            return self._reply(where, key, _params(request.query), request.waited)
        except Refused as refused:
            return refused.answer
        except NodeDown as down:
            return answers.node_down(f"'{down.node}'", down.reason)

    def _authorize(self, request: Request) -> None:
        self._authenticate(request.authorization)
        allowed = {"administrator": True, "viewer": request.method == "GET"}
        if not allowed.get(self.role, False):
            raise Refused(answers.FORBIDDEN)

    def _authenticate(self, header: str | None) -> None:
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

    def _reply(self, where: Route, client_id: str, params: Params, waited: float) -> Answer:
        match where:
            case Route.LIST:
                return self._clients(understand(params, self._numbers), waited)
            case Route.LOOKUP:
                return self._client(client_id, waited)
            case Route.NODES:
                return self._nodes(waited)
            case Route.CONFIG:
                return self._global_zone()
        return self._status(as_json=params.get("format") == ["json"])

    def _call(self, node: str, waited: float) -> Table:
        return self.cluster.call(self.name, node, waited, self.cluster.rpc_timeout)

    def _clients(self, query: Query, waited: float) -> Answer:
        if query.node is None:
            asked = self.cluster.running(self.name, waited)
        elif query.node in self.cluster.names:
            asked = [query.node]
        else:
            return answers.node_down(f'<<"{query.node}">>', '<<"invalid node">>')
        tables = [(node, self._call(node, waited)) for node in asked]
        found = [(node, table, self._matching(table, query)) for node, table in tables]
        count = sum(len(keys) for _, _, keys in found)
        before, end = (query.page - 1) * query.limit, query.page * query.limit
        meta: dict[str, object] = {"count": count, "limit": query.limit, "page": query.page}
        # A page that the last rows fill exactly promises another one, which is empty then.
        meta["hasnext"] = count >= end
        if query.fuzzy:
            del meta["count"]
        rows = [_row(*place, query.fields) for place in _slice(found, before, end)]
        return answers.ok({"data": rows, "meta": meta})

    def _matching(self, table: Table, query: Query) -> Sequence[int]:
        keys = table.keys() if query.client_ids is None else table.find(query.client_ids)
        if query.conditions:
            wanted = [name for name, _ in query.conditions]
            keys = [key for key in keys if _meets(table.row(key, wanted), query)]
        ascending = self._numbers < (5, 4, 0)
        return keys[::-1] if ascending else keys

    def _client(self, client_id: str, waited: float) -> Answer:
        # Every node has the registry that says where a client is, so only that node is asked.
        for node in self.cluster.running(self.name, waited):
            if self.cluster.source(node).table(self.cluster.clock()).find([client_id]):
                table = self._call(node, waited)
                if keys := table.find([client_id]):  # it may have left meanwhile
                    return answers.ok(_row(node, table, keys[0], None))
        return answers.CLIENT_NOT_FOUND

    def _nodes(self, waited: float) -> Answer:
        tables = {}
        for node in self.cluster.running(self.name, waited):
            with suppress(NodeDown):  # EMQX leaves out who does not answer
                timeout = self.cluster.nodes_timeout
                tables[node] = self.cluster.call(self.name, node, waited, timeout)
        sessions = sum(len(table.keys()) for table in tables.values())
        running = [self._running(node, table, sessions) for node, table in tables.items()]
        stopped = [
            {"node": node, "role": "core", "node_status": "stopped"}
            for node in self.cluster.stopped(self.name, waited)
        ]
        return answers.ok(running + stopped)

    def _running(self, node: str, table: Table, cluster_sessions: int) -> dict[str, object]:
        sessions = len(table.keys())
        age = self.cluster.clock() - self.cluster.started_at(node)
        return {
            "node": node,
            "version": self.version,
            "otp_release": "27.3.4.1/15.2.7",
            "load1": 0.16,
            "load5": 0.26,
            "load15": 0.39,
            "uptime": max(0, int(age * 1000)),
            "role": "core",
            "edition": "Opensource" if self._numbers < (5, 9, 0) else "Enterprise",
            "node_status": "running",
            "connections": sessions,
            "cluster_sessions": cluster_sessions,
            "live_connections": table.connected(),
            "log_path": "/var/log/emqx",
            "max_fds": 1048576,
            "memory_total": "23.54G",
            "memory_used": "564.66M",
            "process_available": 2097152,
            "process_used": 399 + 2 * sessions,
            "sys_path": "/usr/lib/erlang",
        }

    def _global_zone(self) -> Answer:
        refresh_ms = round(self.cluster.source(self.name).refresh_seconds * 1000)
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
                    "node_name": self.name,
                }
            )
            return answer._replace(headers=(*answer.headers, retry_after))
        text = f"Node {self.name} is started\nemqx is running"
        return Answer(200, (("content-type", "text/plain"), retry_after), text.encode())


def _params(query: bytes) -> Params:
    try:
        return parse_params(query)
    except ValueError:
        raise Refused(answers.MALFORMED) from None


def _slice(found: Iterable[_Found], start: int, end: int) -> Iterator[tuple[str, Table, int]]:
    """Yield the places of the rows from ``start`` to ``end``, counted over all nodes."""
    for node, table, keys in found:
        for key in keys[max(0, start) : max(0, end)]:
            yield node, table, key
        start -= len(keys)
        end -= len(keys)


def _row(node: str, table: Table, key: int, fields: Collection[str] | None) -> Row:
    row = {"node": node, **table.row(key, fields)}
    if fields is None:
        return row
    return {name: row[name] for name in fields if name in row}


def _meets(row: Row, query: Query) -> bool:
    return all(holds(row.get(name)) for name, holds in query.conditions)
