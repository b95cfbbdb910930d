"""Asks the nodes of a cluster each for its own clients, all at once.

One question for all clients fails as a whole while one node hangs, and once the cluster has given
that node up it is answered without those clients and without a word (EMQX 5.8.9: 50 s and status
500 for 140 s, then 200). Asked node by node, a node that hangs blinds only its own clients, and it
is known whose they are.

* While a node hangs the list of nodes is late too. So nodes that are known are asked while the list
  is being asked for, and a list that fails is no failure as long as some node answers.
* A client that moves from one node to another in the middle of a poll can be missed by both. So
  whoever is missing is asked for once more, unless it was last seen on a node that is blind.
* Durable sessions that are offline come with the rows of every node, whatever ``node=`` says (EMQX
  5.6 and later). They count, since each tells of a client of the cluster; but not those that name a
  node which is blind now: after a split of the net their clients may be connected there.
"""

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass

from otel_emqx_monitor import background
from otel_emqx_monitor.causes import let_go
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.broker import Node
from otel_emqx_monitor.emqx.dialect import dialect_of
from otel_emqx_monitor.emqx.errors import (
    CannotConnect,
    EmqxError,
    ServerError,
    TimedOut,
    Unreadable,
)
from otel_emqx_monitor.emqx.reading import Question, Reader
from otel_emqx_monitor.emqx.roster import Member, Roster
from otel_emqx_monitor.emqx.rows import Row, newest_by_id

Rows = dict[str, Row]

#: Of several failures the first kind of these tells most.
_TELLING = (ServerError, Unreadable, CannotConnect, TimedOut)


@dataclass(frozen=True)
class Seen:
    """The rows of all nodes that answered, and the other ids last seen on nodes that did not."""

    rows: Rows
    hidden: frozenset[str]


def read_nodes(
    roster: Roster,
    question: Question,
    deadline: Deadline,
    expected: Collection[str],
    list_nodes: Callable[[], list[Node]] | None,
) -> Seen:
    """Ask every node that should answer, and settle in ``roster`` which did.

    Args:
        roster: the nodes known so far.
        question: what is to be read.
        deadline: when to give up.
        expected: the client ids that are asked for once more when they are missing.
        list_nodes: asks for the list of nodes; ``None`` when ``roster`` has just had one.

    Raises:
        EmqxError: no node answered, or something is wrong with all alike, as with the API key.
    """
    asking = _Asking(roster, question, deadline)
    asking.ask_all(list_nodes)
    asking.ask_again(expected)
    roster.settle(asking.parts.keys(), asking.errors)
    rows = _merge(asking, roster.blind.keys())
    _remember(asking, roster, rows)
    return Seen(rows, asking.hidden())


def _remember(asking: "_Asking", roster: Roster, rows: Rows) -> None:
    """Note for each node whom it has; of one that did not answer, whoever has not moved."""
    ids: dict[str, set[str]] = {one.name: set() for one in roster}
    for row in rows.values():
        if row.node in ids:
            ids[row.node].add(row.clientid)
    for one in roster:
        if one.name in asking.parts:
            one.ids = ids[one.name]
        else:
            one.ids.difference_update(rows)


def _merge(asking: "_Asking", blind: Collection[str]) -> Rows:
    return newest_by_id(
        row
        for part in asking.parts.values()
        for row in part.values()
        if row.node not in blind  # a part's own node never is
    )


class _Asking:
    """One poll of the nodes: ``parts`` has the rows of those that answered, ``errors`` the rest."""

    def __init__(self, roster: Roster, question: Question, deadline: Deadline) -> None:
        self.parts: dict[str, Rows] = {}
        self.errors: dict[str, EmqxError] = {}
        self._roster = roster
        self._question = question
        self._deadline = deadline
        self._no_list: EmqxError | None = None

    def ask_all(self, list_nodes: Callable[[], list[Node]] | None) -> None:
        """Ask all known nodes, and those that the list of nodes shows in addition."""
        asked: dict[str, Future[Rows]] = {}

        def ask_others() -> None:
            for one in self._roster:
                if one.name not in asked and not one.stopped:
                    asked[one.name] = self._start(one, lambda reader: reader.read().rows)

        listing = background.start("emqx-nodes", list_nodes) if list_nodes else None
        ask_others()
        try:
            if listing is not None:
                self._take_list(listing)
                ask_others()
        finally:
            wait(asked.values())  # no session is left in use, whatever happens
        # What a node told while the cluster gave it up is not believed: it may be an empty list.
        current = {one.name for one in self._roster if not one.stopped}
        self._take({name: part for name, part in asked.items() if name in current})

    def ask_again(self, expected: Collection[str]) -> None:
        """Ask the nodes that answered for those of ``expected`` whom none of them showed."""
        missing = set(expected).difference(self.hidden(), *self.parts.values())
        if missing:
            before, self.parts = self.parts, {}
            self._take(
                {
                    one.name: self._start(one, lambda reader: reader.read_again(missing))
                    for one in self._roster
                    if one.name in before
                }
            )
            self.parts = {name: before[name] | part for name, part in self.parts.items()}

    def hidden(self) -> frozenset[str]:
        """The ids that were last seen on nodes which do not answer, and nowhere now."""
        ids = (one.ids for one in self._roster if one.name not in self.parts)
        return frozenset().union(*ids).difference(*self.parts.values())

    def _start(self, one: Member, read: Callable[[Reader], Rows]) -> Future[Rows]:
        versions = [node.node.version for node in self._roster if not node.stopped]
        reader = Reader(
            self._question,
            one.http,
            self._deadline,
            dialect_of(versions),
            one.node.sessions,
            node=one.name,
            attempts=1 if one.failed else None,
        )

        def work() -> Rows:
            with one.http.within(self._deadline):
                return read(reader)

        return background.start("emqx-node", work)

    def _take_list(self, listing: Future[list[Node]]) -> None:
        try:
            self._roster.listed(listing.result())
        except EmqxError as error:
            let_go(error)  # its frames have this, and the rows of all nodes
            self._no_list = error

    def _take(self, asked: dict[str, Future[Rows]]) -> None:
        """Wait for answers and sort them.

        Raises:
            EmqxError: there is none, or an error that is none of one node alone.
        """
        wait(asked.values())
        for name, future in asked.items():
            try:
                self.parts[name] = future.result()
            except EmqxError as error:
                let_go(error)
                self.errors[name] = error
        for failure in self.errors.values():
            if not failure.retryable:
                raise failure
        if not self.parts:
            raise self._why_none()

    def _why_none(self) -> EmqxError:
        """The error that tells most; what fails for the first time tells more than what goes on."""
        fresh = [
            self.errors[one.name]
            for one in self._roster
            if one.name in self.errors and not one.failed
        ]
        errors = fresh or list(self.errors.values())
        self._roster.note_failures(self.errors)
        if self._no_list is not None:
            errors.append(self._no_list)
        if not errors:
            return ServerError(
                "no node of EMQX's cluster is running, says its list of nodes; look at the state of"
                " the nodes (emqx ctl cluster status)"
            )
        return min(errors, key=_rank)


def _rank(error: EmqxError) -> int:
    kinds: Iterable[type[EmqxError]] = _TELLING
    return next((rank for rank, kind in enumerate(kinds) if isinstance(error, kind)), len(_TELLING))
