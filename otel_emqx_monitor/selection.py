"""Which clients are watched: those the configuration names, and those its patterns match.

Entries with a client id win over everything. Of the other entries the first that matches wins,
unless ``exclude`` has the client.

What was decided about a client id is kept, so that a poll of 100,000 clients costs a look-up for
each. A decision that nobody asked for between two polls may be forgotten: client ids that strangers
make up by the million do not accumulate.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import msgspec

from otel_emqx_monitor.config import Config, ExcludedClient, MonitoredClient
from otel_emqx_monitor.config.patterns import Pattern, glob, regex
from otel_emqx_monitor.config.templates import Template, template
from otel_emqx_monitor.config.values import PLACEHOLDERS
from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Watched

log = logging.getLogger(__name__)

#: So many decisions beyond those of the last poll are few.
_FEW: Final = 1024
#: So many decisions are kept between two polls in any case.
_ROOM: Final = 250_000


@dataclass(frozen=True, slots=True)
class Selected:
    """The clients of a poll that are watched, by client id, in the order of the poll.

    ``over_limit`` is how many more the patterns match than ``max_clients`` allows, ``None`` when
    there are no patterns.
    """

    watched: Mapping[str, Watched]
    over_limit: int | None


@dataclass(frozen=True, slots=True)
class _Condition:
    """What an entry asks of a client; ``None`` asks for nothing."""

    client_id: str | None
    pattern: Pattern | None
    username: str | None

    @property
    def is_just_a_client_id(self) -> bool:
        return self.client_id is not None and self.username is None

    def groups(self, client_id: str, username: str | None) -> Mapping[str, str | None] | None:
        """Return the pattern's named groups, ``None`` if the client is another."""
        if self.username is not None and username != self.username:
            return None
        if self.client_id is not None and client_id != self.client_id:
            return None
        return {} if self.pattern is None else self.pattern.groups(client_id)


@dataclass(frozen=True, slots=True)
class _Rule:
    """An entry of ``monitored_clients`` without a client id."""

    condition: _Condition
    alias: Template
    expected_every: float | None

    @property
    def asks_for_username(self) -> bool:
        return self.condition.username is not None or "username" in self.alias.names

    def watched(self, client_id: str, username: str | None, broker: str) -> Watched | None:
        groups = self.condition.groups(client_id, username)
        if groups is None:
            return None
        values = {**groups, "client_id": client_id, "username": username}
        # An alias is never empty: an agent's user could not tell whom it is about.
        return Watched(self.alias.fill(values) or client_id, client_id, broker, self.expected_every)


class _Decision(msgspec.Struct, frozen=True, gc=False):
    """What was decided about a client, and for which username if that matters.

    A struct that the garbage collector need not know: there is one for each client.
    """

    watched: Watched | None
    username: str | None


class Selection:
    """The clients that one configuration selects; see `selection_of`.

    ``named`` has the entries with a client id, in the order of the configuration. ``ids`` are the
    client ids to ask EMQX for, ``None`` when patterns need every client. ``max_clients`` bounds
    what patterns pull in.

    It can be used from several threads.
    """

    def __init__(
        self,
        named: Sequence[Watched],
        rules: Sequence[_Rule],
        excluded: Sequence[_Condition],
        broker: str,
        max_clients: int,
    ) -> None:
        self._exact = {one.client_id: one for one in named}
        self._rules = rules
        # Many ids may be excluded one by one: a look-up, where the others have to be gone through.
        self._excluded_ids = {one.client_id for one in excluded if one.is_just_a_client_id}
        self._excluded = [one for one in excluded if not one.is_just_a_client_id]
        self._broker = broker
        self.max_clients = max_clients
        self.named = named
        self.ids: Sequence[str] | None = None if rules else tuple(self._exact)
        self._by_username = any(rule.asks_for_username for rule in rules) or (
            bool(rules) and any(one.username is not None for one in self._excluded)
        )
        self._over_limit = False
        self._lock = Lock()
        # Decisions asked for lately, and those that nobody has asked for since they were recent.
        self._decided: dict[str, _Decision] = {}
        self._before: dict[str, _Decision] = {}
        self._made = 0
        self._room = _ROOM

    def match(self, client_id: str, username: str | None) -> Watched | None:
        """Return how a client is watched, ``None`` if it is not.

        It is the same object as long as the client is asked for from poll to poll.
        """
        decision = self._decided.get(client_id)
        if decision is None or (self._by_username and decision.username != username):
            decision = self._decide(client_id, username, sure=True)
        return decision.watched

    def wants(self, row: Row) -> bool:
        """Whether the client of ``row`` is watched."""
        decision = self._decided.get(row.clientid)
        if decision is None or (self._by_username and decision.username != row.username):
            decision = self._decide(row.clientid, row.username, sure=row.connected is not None)
        return decision.watched is not None

    def select(self, rows: Mapping[str, Row]) -> Selected:
        """Return who is watched of the clients of one poll; to be called once for each poll.

        Args:
            rows: The rows of the poll by client id. Rows that nobody wants may be missing.
        """
        by_username = self._by_username
        watched: dict[str, Watched] = {}
        for client_id, row in rows.items():
            decision = self._decided.get(client_id)
            if decision is None or (by_username and decision.username != row.username):
                decision = self._decide(client_id, row.username, sure=row.connected is not None)
            if decision.watched is not None:
                watched[client_id] = decision.watched
        self._forget()
        return self._within_limit(watched)

    def _within_limit(self, watched: dict[str, Watched]) -> Selected:
        over = 0
        if len(watched) > self.max_clients:
            # Python compares code points, whose order is that of the bytes of UTF-8.
            matched = sorted(one for one in watched if one not in self._exact)
            left_out = matched[self.max_clients :]
            over = len(left_out)
            for client_id in left_out:
                del watched[client_id]
        if over and not self._over_limit:
            log.warning(
                "the patterns of monitored_clients match %d clients, more than max_clients (%d):"
                " the %d whose client ids come last are left out; raise max_clients, make the"
                " patterns narrower, or exclude clients",
                self.max_clients + over,
                self.max_clients,
                over,
            )
        elif self._over_limit and not over:
            log.info(
                "the patterns of monitored_clients match no more than max_clients (%d) again:"
                " nobody is left out",
                self.max_clients,
            )
        self._over_limit = over > 0
        return Selected(watched, over if self._rules else None)

    def _decide(self, client_id: str, username: str | None, *, sure: bool) -> _Decision:
        """Decide about a client, and remember it.

        Not ``sure`` is a row that says nothing but its client id, as EMQX may send for an offline
        durable session: that the username is missing there does not mean that it has changed.
        """
        with self._lock:
            last = self._decided.get(client_id) or self._before.get(client_id)
            if last is None or (self._by_username and sure and last.username != username):
                watched = self._evaluate(client_id, username)
                if last is not None and last.watched == watched:
                    watched = last.watched
                last = _Decision(watched, username if self._by_username else None)
                self._made += 1
            if len(self._decided) >= self._room:
                self._before, self._decided = self._decided, {}
            self._decided[client_id] = last
            return last

    def _evaluate(self, client_id: str, username: str | None) -> Watched | None:
        if (named := self._exact.get(client_id)) is not None:
            return named
        if client_id in self._excluded_ids:
            return None
        matches = (rule.watched(client_id, username, self._broker) for rule in self._rules)
        watched = next((one for one in matches if one is not None), None)
        if watched is None:
            return None
        excluded = any(one.groups(client_id, username) is not None for one in self._excluded)
        return None if excluded else watched

    def _forget(self) -> None:
        """Drop the decisions that nobody asked for in a whole poll, once many have been added."""
        with self._lock:
            self._room = max(_ROOM, 2 * len(self._decided))
            if self._before:
                self._before = {}
            elif self._made > max(_FEW, len(self._decided) // 8):
                # Whoever is asked for until the next poll ends moves over again.
                self._before, self._decided, self._made = self._decided, {}, 0


def selection_of(config: Config) -> Selection:
    """Return the selection that ``config`` describes."""
    broker = config.emqx.alias
    named = [
        Watched(one.alias, one.client_id, broker, one.expected_every_seconds)
        for one in config.monitored_clients
        if one.client_id is not None
    ]
    rules = [_rule(one) for one in config.monitored_clients if one.client_id is None]
    excluded = [_condition(one) for one in config.exclude]
    return Selection(named, rules, excluded, broker, config.max_clients)


def everybody(broker: str) -> Selection:
    """Return the selection of all clients there are, each under its client id, without a limit."""
    rule = _Rule(_Condition(None, None, None), template("{client_id}", PLACEHOLDERS), None)
    return Selection([], [rule], [], broker, sys.maxsize)


def _rule(entry: MonitoredClient) -> _Rule:
    condition = _condition(entry)
    names = condition.pattern.names if condition.pattern else ()
    alias = template(entry.alias, (*PLACEHOLDERS, *names))
    return _Rule(condition, alias, entry.expected_every_seconds)


def _condition(entry: MonitoredClient | ExcludedClient) -> _Condition:
    pattern = None
    if entry.client_id_glob is not None:
        pattern = glob(entry.client_id_glob)
    elif entry.client_id_regex is not None:
        pattern = regex(entry.client_id_regex)
    return _Condition(entry.client_id, pattern, entry.username)
